"""What stages need is estimated in one place: what does not fit is refused with what it takes and what can be done."""

from __future__ import annotations

import pytest

from tasks import memory
from tasks.errors import RefitError


def test_the_limit_is_what_the_process_does_not_hold_already() -> None:
    given = memory.allowed(1000.0)
    assert 990 * memory.GB < given.bytes < 1000 * memory.GB
    assert "training.memory_gb: 1000" in given.source
    assert "60% of the" in memory.allowed(None).source


def test_a_fit_that_needs_more_is_refused_with_the_memory_that_is_enough() -> None:
    limit = memory.Memory(0.7 * memory.GB, "training.memory_gb: 1")
    with pytest.raises(RefitError, match=r"logistic holds its rows in memory, and 3,000,000 rows x 146 features take about "
                       r"17\.8 GB .*Raise training\.memory_gb to 18\.8.*take logistic out of models"):  # fmt: skip
        memory.check_fit("logistic", 3_000_000, 146, limit)
    enough = memory.Memory(18.8 * memory.GB - memory.LIBRARIES, "more")
    memory.check_fit("logistic", 3_000_000, 146, enough)
    assert memory.from_disk("xgboost")
    assert not memory.from_disk("auto")


def test_so_many_rows_fit_as_a_fit_of_them_takes() -> None:
    rows = memory.rows_for("xgboost", 1e9, 100)
    assert memory.fit("xgboost", rows, 100) <= 1e9 < memory.fit("xgboost", rows + 1, 100)
