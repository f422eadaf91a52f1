"""Files that people have, through ``init`` and ``ingest``: the values that stand in them, or a refusal that says why."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.bench._reading_files import Case, cases
from tests.bench.reading import read


@pytest.mark.parametrize("case", cases(), ids=lambda case: case.name.replace(" ", "-"))
def test_an_awkward_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, case: Case) -> None:
    monkeypatch.chdir(tmp_path)
    assert read(case, validated=False) == []
