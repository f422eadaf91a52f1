"""Every family is given the same features: without those that say nothing, and those that selection drops."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tasks.artifacts import FeatureAbout, Summary
from tasks.files import read_table, write_table
from tasks.fitting.rows import read_rows
from tasks.params import Params, parse
from tasks.tune.__main__ import worth_trying
from tests.samples import features_folder

SILENT = {"blank": "is empty in all training rows", "same": "has one value in the training rows"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = features_folder(tmp_path_factory.mktemp("tune"))
    table = read_table(folder / "features.parquet").assign(blank=np.nan, same=1.0)
    write_table(folder / "features.parquet", table)
    told = Summary.read(folder)
    more = [FeatureAbout(name=name, kind="numeric") for name in SILENT]
    told.model_copy(update={"features": [*told.features, *more], "silent": SILENT}).write(folder)
    return folder


def params(**sections: Any) -> Params:
    base = {
        "problem": {"name": "t", "kind": "binary", "table": "t", "target": "target"},
        "data": {"tables": {"t": {"source": "x", "columns": {"target": "numeric", "same": "numeric", "x": "numeric"}}}},
        "models": {"logistic": {}},
    }
    return parse(base | sections)


def test_what_says_nothing_is_left_out_with_its_reason(folder: Path) -> None:
    rows = read_rows(folder)
    found = worth_trying(rows, params())
    assert found.dropped == SILENT
    assert found.kept == [name for name in rows.kinds if name not in SILENT]
    assert list(rows.only(found.kept).frame) == found.kept


def test_selection_adds_its_own_reasons(folder: Path) -> None:
    rows = read_rows(folder)
    found = worth_trying(rows, params(features={"select": {"correlation": 0.9}}))
    assert found.dropped.items() > SILENT.items()
    assert any("rank correlation" in why for why in found.dropped.values())
    assert {*found.kept, *found.dropped} == {*rows.kinds}
    assert not {*found.kept} & {*found.dropped}


def test_what_is_to_be_kept_stays_and_so_does_the_feature_that_cuts_the_folds(folder: Path) -> None:
    rows = read_rows(folder)
    found = worth_trying(rows, params(features={"select": {"keep": ["same"]}}))
    assert "same" in found.kept
    assert found.dropped["blank"] == SILENT["blank"]
    found = worth_trying(rows, params(tuning={"split": "group", "group": "same"}))
    assert "same" in found.kept


def test_features_that_all_speak_are_all_taken(tmp_path: Path) -> None:
    rows = read_rows(features_folder(tmp_path))
    found = worth_trying(rows, params())
    assert (found.kept, found.dropped) == ([*rows.kinds], {})
