"""The sources of ``tests.bench.reading``: each gives its values, or is refused as it deserves."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.bench._reading_sources import Source, cases, wrong


@pytest.mark.parametrize("case", cases(), ids=lambda case: case.name)
def test_an_awkward_source(case: Source, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert wrong(case) == []
