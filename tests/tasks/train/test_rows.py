"""What cannot be learnt from is refused before any fit."""

from pathlib import Path

import numpy as np
import pytest

from tasks.errors import RefitError
from tasks.files import read_json, read_table, write_json, write_table
from tasks.fitting.rows import read_rows
from tests.samples import features_folder


def changed(root: Path, kind: str, change) -> Path:
    folder = features_folder(root, kind)
    table, summary = read_table(folder / "features.parquet"), read_json(folder / "summary.json")
    table, summary = change(table, summary) or (table, summary)
    write_table(folder / "features.parquet", table)
    write_json(folder / "summary.json", summary)
    return folder


def test_rows_by_split_without_pending(tmp_path: Path):
    def change(table, summary):
        table.loc[:9, "__split__"] = "pending"
        table.loc[:9, "__target__"] = np.nan
        return table, summary

    rows = read_rows(changed(tmp_path, "binary", change))
    assert rows.row.min() == 10
    assert len(rows.frame) == sum(len(rows.of(s)[1]) for s in ("train", "valid", "test"))
    assert np.isfinite(rows.y).all()


@pytest.mark.parametrize(
    ("kind", "change", "message"),
    [
        ("binary", lambda t, s: (t.assign(__target__=0.0), s), "has one class, '0', in all training rows"),
        ("regression", lambda t, s: (t.assign(__target__=7.0), s), "has one value, 7, in all training rows"),
        ("binary", lambda t, s: (t, s | {"features": []}), "no feature is left"),
        ("binary", lambda t, s: (t[t["__split__"] != "valid"], s), "split.valid: no row is in the valid split"),
        ("multiclass", lambda t, s: (t, s | {"classes": [str(i) for i in range(200)]}), "200 classes and .* rows"),
        ("multiclass", lambda t, s: (t[t["__target__"] != 2], s), "the classes '2' have no training row"),
    ],
)
def test_hopeless_problems_are_refused(tmp_path: Path, kind: str, change, message: str):
    with pytest.raises(RefitError, match=message):
        read_rows(changed(tmp_path, kind, change))
