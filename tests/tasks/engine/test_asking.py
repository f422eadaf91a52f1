"""Rows of a file of their own ask the tables: in pieces, with the bits that the whole gives."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tasks.engine import from_disk
from tasks.engine.compute import compute
from tests.tasks.engine.worlds import assert_same, plan, world


@pytest.mark.parametrize("memory_mb", [1, 1000])
def test_rows_of_another_file(memory_mb: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(from_disk, "COPIES", 12_000)  # as if each part took more memory, so that there are many
    tables = world(5, 120)
    for name, table in tables.items():
        table.to_parquet(tmp_path / f"{name}.parquet")
    order = np.random.default_rng(0).permutation(120)[:71]
    tables["orders"].iloc[order].to_parquet(tmp_path / "asking.parquet", index=False)
    sources = {name: tmp_path / f"{name}.parquet" for name in tables}
    asked = list(from_disk.compute_from_disk(plan(), sources, memory_mb, tmp_path / "asking.parquet", chunk=30))
    assert [len(piece) for piece in asked] == [30, 30, 11]
    whole = compute(plan(), tables, tables["orders"])
    assert_same(whole.iloc[order].reset_index(drop=True), pd.concat(asked))
