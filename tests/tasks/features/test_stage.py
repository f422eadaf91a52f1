"""The stage: targets, splits, and the files it writes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from ruamel.yaml import YAML

from tasks.errors import RefitError
from tasks.features.__main__ import main
from tasks.features.split import at_random, by_time
from tasks.features.target import encode_target
from tasks.files import read_json, write_json, write_table
from tasks.params import Problem, Split
from tests.samples import KINDS, sample_frame
from tests.tasks.engine.worlds import tree, world


def days(*values: float) -> pd.Series:
    return pd.Series(pd.Timestamp("2024-01-01", tz="UTC") + pd.to_timedelta(values, unit="D"))


def test_a_time_split_waits_for_labels() -> None:
    time = days(0, 5, 19, 21, 29, 31, 33, 20)
    known = days(1, 25, 19.5, 22, 30.5, 32, 34, 20)
    labelled = np.array([True] * 6 + [False, True])
    split = Split(kind="time", valid="10d", test="10d")
    part, boundaries = by_time(time, known, labelled, split, days(40)[0] - pd.Timedelta(1, "us"))
    assert boundaries["test"] == "2024-01-31T00:00:00+00:00"
    assert part.tolist() == ["train", "pending", "train", "valid", "pending", "test", "pending", "valid"]


def test_a_random_split_keeps_the_classes_shares() -> None:
    y = np.repeat([0.0, 1.0], [900, 100])
    y[5] = np.nan
    part, _ = at_random(y, ~np.isnan(y), True, Split(valid=0.2, test=0.1), 3)
    again, _ = at_random(y, ~np.isnan(y), True, Split(valid=0.2, test=0.1), 3)
    assert (part == again).all()
    assert part[5] == "pending"
    for split, share in (("valid", 0.2), ("test", 0.1)):
        assert (part[y == 1] == split).mean() == pytest.approx(share)
        assert (part[y == 0] == split).mean() == pytest.approx(share, abs=0.002)


def problem(kind: str, **target: object) -> Problem:
    return Problem(name="p", kind=kind, table="t", target={"column": "y", **target})


def test_targets() -> None:
    y, classes = encode_target(pd.Series(["no", "yes", None, "no"], dtype="str"), problem("binary", positive="no"))
    assert classes == ["yes", "no"]
    assert y[[0, 1, 3]].tolist() == [1.0, 0.0, 1.0]
    assert np.isnan(y[2])
    assert encode_target(pd.Series([2.0, 0.0, 1.0]), problem("multiclass"))[1] == ["0", "1", "2"]
    with pytest.raises(RefitError, match="one class only"):
        encode_target(pd.Series([1.0, 1.0, np.nan]), problem("binary"))
    with pytest.raises(RefitError, match=r"has 3 classes.*Set kind: multiclass"):
        encode_target(pd.Series([1.0, 2.0, 3.0]), problem("binary"))
    with pytest.raises(RefitError, match=r"positive: 'ye' is not one of 'no', 'yes'\. Did you mean 'yes'"):
        encode_target(pd.Series(["no", "yes"], dtype="str"), problem("binary", positive="ye"))


def run_in(folder: Path, spec: dict, tables: dict[str, pd.DataFrame], monkeypatch: pytest.MonkeyPatch) -> pd.DataFrame:
    with open(folder / "params.yaml", "w") as file:
        YAML().dump(spec, file)
    for name, table in tables.items():
        write_table(folder / "data" / "validated" / f"{name}.parquet", table)
    write_json(folder / "data" / "validated" / "summary.json", {"as_of": None})
    monkeypatch.chdir(folder)
    main()
    return pd.read_parquet(folder / "data" / "features" / "features.parquet")


@pytest.mark.parametrize("kind", KINDS)
def test_tables_without_time_or_relations(kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    frame, target = sample_frame(kind)
    frame = frame.astype({c: float for c in frame.columns if c != "band"})
    kinds = {c: "categorical" if c == "band" else "numeric" for c in frame.columns}
    spec = {
        "problem": {"name": "p", "kind": kind, "table": "t", "target": target},
        "data": {"tables": {"t": {"source": "x", "columns": kinds}}},
        "models": {"ridge" if kind == "regression" else "logistic": {}},
    }
    made = run_in(tmp_path, spec, {"t": frame}, monkeypatch)
    assert list(made.columns[:5]) == ["__row__", "__time__", "__known__", "__split__", "__target__"]
    assert list(made.columns[5:]) == [c for c in frame.columns if c != target]
    summary = read_json("data/features/summary.json")
    assert (
        summary["rows"]
        == made["__split__"].value_counts().reindex(["train", "valid", "test", "pending"], fill_value=0).to_dict()
    )
    assert (
        made["__target__"] == (frame[target] if kind == "regression" else frame[target].rank(method="dense") - 1)
    ).all()


def test_tables_with_time_write_the_same_bytes_twice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spec = tree(["2h"], {"amount": ["mean"]})
    spec["split"] = {"kind": "time", "valid": "10h", "test": "10h"}
    tables = world(0, 200)
    made = run_in(tmp_path, spec, tables, monkeypatch)
    first = (tmp_path / "data/features/features.parquet").read_bytes()
    assert set(made["__split__"]) == {"train", "valid", "test", "pending"}
    assert (made["__time__"].dropna() == tables["orders"]["asked"].dropna()).all()
    assert made.loc[made["__split__"] == "pending", "__target__"].isna().all()
    run_in(tmp_path, spec, tables, monkeypatch)
    assert (tmp_path / "data/features/features.parquet").read_bytes() == first
