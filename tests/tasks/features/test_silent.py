"""Features that say nothing are found, all of them and no others, and named with the reason."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tasks.errors import RefitError
from tasks.features.silent import CONSTANT, EMPTY, silent
from tasks.features.wide import beyond
from tasks.files import read_json, write_table
from tasks.values.numbers import LARGEST
from tests.tasks.engine.test_rhythm import every
from tests.tasks.features.test_stage import run_in

CELLS = {
    "numeric": st.sampled_from([np.nan, 0.0, -0.0, 1.0]),
    "categorical": st.sampled_from([None, "a", "b", ""]),
    "text": st.sampled_from([None, "", " \t", "one word", "two"]),
}


@st.composite
def frames(draw: st.DrawFn) -> tuple[pd.DataFrame, dict[str, str]]:
    rows = draw(st.integers(2, 4))
    kinds = {f"f{i}": kind for i, kind in enumerate(draw(st.lists(st.sampled_from(sorted(CELLS)), max_size=5)))}
    columns = {
        name: pd.Series(
            draw(st.lists(CELLS[kind], min_size=rows, max_size=rows)), dtype=float if kind == "numeric" else "str"
        )
        for name, kind in kinds.items()
    }
    columns["last"] = pd.Series(np.arange(rows) // draw(st.integers(1, 4)), dtype=float)
    return pd.DataFrame(columns), kinds | {"last": "numeric"}


@settings(max_examples=60, deadline=None)
@given(frames())
def test_the_silent_are_those_that_the_definition_names(made: tuple[pd.DataFrame, dict[str, str]]) -> None:
    frame, kinds = made
    expected = {}
    for name, kind in kinds.items():
        values = [None if pd.isna(v) or (kind == "text" and not v.strip()) else v for v in frame[name].tolist()]
        if all(v is None for v in values):
            expected[name] = EMPTY
        elif None not in values and len(set(values)) == 1:
            expected[name] = CONSTANT
    if len(expected) == len(kinds):
        with pytest.raises(RefitError, match=f"none of the {len(kinds)} features says anything"):
            silent(frame, kinds, np.ones(len(frame), bool))
    else:
        assert silent(frame, kinds, np.ones(len(frame), bool)) == expected


def test_without_training_rows_or_features_nothing_is_judged() -> None:
    assert silent(pd.DataFrame({"a": pd.Series(dtype=float)}), {"a": "numeric"}, np.zeros(0, bool)) == {}
    assert silent(pd.DataFrame(index=range(3)), {}, np.ones(3, bool)) == {}


def test_one_training_row_says_nothing_whatever_stands_in_it() -> None:
    frame, kinds = pd.DataFrame({"a": [1.0, 2.0], "b": [np.nan, 3.0]}), {"a": "numeric", "b": "numeric"}
    said = r"none of the 2 features says anything in the 1 training rows: 1 are empty and 1 have one value \('a', 'b'\)"
    with pytest.raises(RefitError, match=said):
        silent(frame, kinds, np.array([True, False]))
    assert silent(frame.assign(c=[1.0, 1.0]), kinds | {"c": "numeric"}, np.array([True, True])) == {"c": CONSTANT}


def test_columns_with_numbers_that_models_cannot_hold_are_named(tmp_path: Path) -> None:
    frame = pd.DataFrame(
        {"a": [LARGEST, -LARGEST, np.nan], "b": [0, -1e39, np.nan], "c": [1e300, 1.0, 2.0], "d": list("abc")}
    )
    write_table(tmp_path / "t.parquet", frame.assign(e=np.nan))
    assert beyond(tmp_path / "t.parquet", ["c", "a", "d", "e", "b"]) == ["c", "b"]
    assert beyond(tmp_path / "t.parquet", ["a"]) == []


def sales(**features: object) -> dict:
    return {
        "problem": {"name": "s", "kind": "regression", "table": "sales", "target": "y", "prediction_time": "at"},
        "data": {
            "tables": {
                "sales": {
                    "source": "x", "key": ["id"], "event_time": "at", "known_at": "at", "outcome": ["y"],
                    "columns": {"id": "numeric", "at": "datetime", "shop": "categorical", "y": "numeric",
                                "currency": "categorical", "note": "text"},
                }
            }
        },
        "features": features,
        "split": {"kind": "time", "valid": "180d", "test": "180d"},
        "models": {"ridge": {}},
    }  # fmt: skip


def test_the_stage_names_them_and_only_where_there_are_any(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    tables = every("MS", 36)
    rows = tables["sales"]
    rows["currency"] = pd.Series(np.where(rows["at"] < "2021-12-01", "EUR", "USD"), dtype="str")
    rows["note"] = pd.Series([None] * len(rows), dtype="str")
    history = {"table": "sales", "by": ["shop"], "windows": ["1d"], "columns": {"y": ["mean"]}}
    made = run_in(tmp_path, sales(columns=["shop", "currency", "note"], history=[history]), tables, monkeypatch)
    summary = read_json("data/features/summary.json")
    assert summary["silent"] == {
        "currency": CONSTANT,  # it changes after the training rows, from which no model learns it
        "note": EMPTY,
        "shop.count(1d)": CONSTANT,
        "shop.mean(y, 1d)": EMPTY,
    }
    assert set(summary["silent"]) < set(made.columns)  # they are computed all the same
    assert "4 of 5 features say nothing, and no model gets them: 'currency', 'note'" in capsys.readouterr().out
    run_in(tmp_path, sales(columns=["shop"], history="auto"), tables, monkeypatch)
    summary = read_json("data/features/summary.json")
    assert summary["silent"] == {"shop.std(y, 31d)": EMPTY}  # of one event a month
    assert [f["name"] for f in summary["features"] if f["name"].startswith("shop.mean")] == [
        "shop.mean(y, 31d)", "shop.mean(y, 92d)", "shop.mean(y, 366d)",
    ]  # fmt: skip
    assert "history of sales by shop: windows of 31d, 92d, 366d" in capsys.readouterr().out
    run_in(tmp_path, sales(columns=["shop"]), tables, monkeypatch)
    assert "silent" not in read_json("data/features/summary.json")
    with pytest.raises(RefitError, match=r"none of the 1 features says anything in the \d+ training rows: 1 are empty"):
        run_in(tmp_path, sales(columns=["note"]), tables, monkeypatch)
