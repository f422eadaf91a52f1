"""The stage: targets, splits, and the files it writes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from ruamel.yaml import YAML

from tasks import files, memory
from tasks.artifacts import Validation
from tasks.engine import from_disk
from tasks.errors import RefitError
from tasks.features.__main__ import main
from tasks.features.split import by_identity, by_time
from tasks.files import read_json, write_table
from tasks.identity import Rule, identify, together
from tasks.kinds import find_kind
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


def parts_of(frame: pd.DataFrame, key: tuple[str, ...] = (), **split: object) -> pd.Series:
    """Part of each row by its index, as the stage gives it to labelled rows of a table with these columns."""
    rule = Rule("t", key or tuple(sorted(frame.columns)), ("numeric",) * len(key or frame.columns), bool(key))
    given = Split(**split)
    groups = together(frame, identify(frame, rule).row, given.by)
    return pd.Series(by_identity(groups, np.ones(len(frame), dtype=bool), given)[0], index=frame.index)


def table(n: int, seed: int = 0) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    return pd.DataFrame({"id": np.arange(n) * 7.0, "x": rng.normal(size=n), "who": rng.integers(0, n // 5, n) * 1.0})


@pytest.mark.parametrize("key", [(), ("id",)])
def test_rows_appended_removed_or_reordered_move_no_other_row(key: tuple[str, ...]) -> None:
    rows = table(2000)
    before = parts_of(rows.iloc[:1500], key)
    later = rows.drop(index=range(0, 1500, 7)).sample(frac=1, random_state=1)
    after = parts_of(later, key)
    both = before.index.intersection(after.index)
    assert len(both) > 1200
    assert (before[both] == after[both]).all()
    shares = after.value_counts(normalize=True)
    assert shares["test"] == pytest.approx(0.2, abs=0.03)
    assert shares["valid"] == pytest.approx(0.2, abs=0.03)


def test_a_part_depends_on_the_salt_and_hardly_on_the_shares() -> None:
    rows = table(2000)
    assert (parts_of(rows) == parts_of(rows, salt="7")).mean() == pytest.approx(0.6**2 + 2 * 0.2**2, abs=0.04)
    smaller = parts_of(rows, test=0.1)
    assert set(smaller[parts_of(rows) == "train"]) == {"train"}  # shares that change move as few rows as can be
    assert set(parts_of(rows)[smaller == "test"]) == {"test"}


def test_with_a_key_corrected_values_move_no_row() -> None:
    rows = table(500)
    corrected = rows.assign(x=rows["x"] + 1)
    assert (parts_of(rows, ("id",)) == parts_of(corrected, ("id",))).all()


def test_rows_of_one_group_stay_together() -> None:
    rows = table(2000)
    part = parts_of(rows, by=("who",))
    assert (part.groupby(rows["who"]).nunique() == 1).all()
    rows.loc[:99, "who"] = np.nan  # unknown groups: each row by itself
    assert set(parts_of(rows, by=("who",))[:100]) == {"train", "valid", "test"}


def test_equal_rows_stay_together_unless_one_content_is_common() -> None:
    rows = table(1000)
    twins = pd.concat([rows, rows.iloc[:300]], ignore_index=True)
    part = parts_of(twins)
    assert (part[1000:].to_numpy() == part[:300].to_numpy()).all()
    common = pd.concat([rows, rows.iloc[[0] * 100]], ignore_index=True)  # one content on 9% of the rows
    assert part[0] in set(parts_of(common)[1000:])
    assert parts_of(common)[1000:].nunique() == 3
    assert (parts_of(common)[1:1000] == parts_of(rows)[1:]).all()


def test_a_part_without_rows_is_refused() -> None:
    rows = table(400).assign(who=1.0)
    with pytest.raises(RefitError, match=r"400 labelled rows and 1 different values of split\.by.*split\.salt"):
        parts_of(rows, by=("who",))


@pytest.mark.parametrize(
    ("valid", "test", "counts"),
    [
        (0.2, 0.2, [6, 2, 2]),
        (0.1, 0.3, [6, 1, 3]),
        (0.2, "3d", [5, 2, 3]),
        ("1d", 0.2, [7, 1, 2]),
        (0.01, 0.01, [8, 1, 1]),
    ],
)
def test_a_time_split_takes_shares_and_durations(valid: object, test: object, counts: list[int]) -> None:
    time = days(*range(10)).sample(frac=1, random_state=0).reset_index(drop=True)
    known = pd.Series(pd.NaT, index=time.index, dtype=time.dtype)
    part, _ = by_time(time, known, np.ones(10, bool), Split(kind="time", valid=valid, test=test), None)
    assert [(part == name).sum() for name in ("train", "valid", "test")] == counts
    newest = {name: time[part == name] for name in ("train", "valid", "test")}
    assert newest["train"].max() < newest["valid"].min() <= newest["valid"].max() < newest["test"].min()


def test_a_share_never_parts_rows_of_one_moment_and_counts_labelled_rows() -> None:
    time = days(*[0] * 4, *[1] * 2, *[2] * 3, *[3] * 1, *[9] * 5)
    labelled = np.array([True] * 10 + [False] * 5)
    known = pd.Series(pd.NaT, index=time.index, dtype=time.dtype)
    part, boundaries = by_time(time, known, labelled, Split(kind="time", valid=0.2, test=0.2), None)
    # A fifth is two rows: the newest moment has one and the two newest four; one is nearer.
    assert part.tolist() == ["train"] * 6 + ["valid"] * 3 + ["test"] + ["pending"] * 5
    assert boundaries["test"] == "2024-01-04T00:00:00+00:00"
    few = days(*[0] * 5, *[1] * 5)
    with pytest.raises(RefitError, match=r"split\.valid: the labelled rows have too few different times"):
        by_time(few, known[:10], np.ones(10, bool), Split(kind="time"), None)


@pytest.mark.parametrize(
    ("values", "positive", "classes"),
    [
        (["late", "on time"], None, ["on time", "late"]),  # by the name, though the alphabet has it first
        (["churned", "active"], None, ["active", "churned"]),
        (["left", "right"], None, ["left", "right"]),  # names do not say: the order stays, however rare
        (["1", "2"], None, ["1", "2"]),
        ([0.0, 1.0], None, ["0", "1"]),
        ([0.0, 1.0], True, ["0", "1"]),
        ([0.0, 1.0], False, ["1", "0"]),
        (["False", "True"], 1, ["False", "True"]),
        (["False", "True"], "false", ["True", "False"]),
        (["1", "2"], 1.0, ["2", "1"]),
    ],
)
def test_the_positive_class_is_the_one_declared_or_named(values: list, positive: object, classes: list[str]) -> None:
    rare_first = pd.Series(values[:1] * 2 + values[1:] * 8)
    common_first = pd.Series(values[:1] * 8 + values[1:] * 2)
    declared = problem("binary", positive=positive)
    for labels in (rare_first, common_first):
        labels = labels if isinstance(values[0], float) else labels.astype("str")
        assert encode_target(labels, declared)[1] == classes
    said = find_kind(declared.kind).remark(classes, declared.target)
    assert said.startswith(f"{classes[1]!r} is the positive class" if positive is None else "")
    assert bool(said) == (positive is None)


def problem(kind: str, **target: object) -> Problem:
    return Problem(name="p", kind=kind, table="t", target={"column": "y", **target})


def encode_target(values: pd.Series, declared: Problem) -> tuple[np.ndarray, list[str]]:
    return find_kind(declared.kind).read(values, declared.target)


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
    Validation(as_of=None, tables={}, expectations=[]).write(folder / "data" / "validated")
    monkeypatch.chdir(folder)
    main()
    return pd.read_parquet(folder / "data" / "features" / "features.parquet")


@pytest.mark.parametrize("kind", KINDS)
def test_tables_without_time_or_relations(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    frame, target = sample_frame(kind)
    frame = frame.astype({c: float for c in frame.columns if c != "band"})
    large = next(c for c in frame.columns if c not in ("band", target))
    frame.loc[0, large] = 1e39
    kinds = {c: "categorical" if c == "band" else "numeric" for c in frame.columns}
    spec = {
        "problem": {"name": "p", "kind": kind, "table": "t", "target": target},
        "data": {"tables": {"t": {"source": "x", "columns": kinds}}},
        "models": {"ridge" if kind == "regression" else "logistic": {}},
    }
    made = run_in(tmp_path, spec, {"t": frame}, monkeypatch)
    assert (
        f"values beyond 3.4e+38 count as that, since models hold no larger ones: {large!r}\n" in capsys.readouterr().out
    )
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


def test_key_by_key_from_disk_gives_the_bytes_of_all_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A limit of memory changes the way, and no byte: also where the table is written in several row groups."""
    spec = tree(["2h", "all"], {"amount": ["mean", "max"]})
    spec["split"] = {"kind": "time", "valid": "10h", "test": "10h"}
    monkeypatch.setattr(files, "LARGE_TABLE", 100)
    monkeypatch.setattr(files, "SMALL_GROUP", 64)
    monkeypatch.setattr(from_disk, "PART", 40)  # one key may have more rows, which are asked in turn
    written = []
    for limit in (1000.0, 0.0001):
        monkeypatch.setattr(memory, "_gigabytes", limit)
        run_in(tmp_path, spec, world(0, 200), monkeypatch)
        written.append({p.name: p.read_bytes() for p in (tmp_path / "data/features").iterdir()})
    assert written[0] == written[1]
    assert not list((tmp_path / ".refit").iterdir())


@pytest.mark.parametrize(
    ("known_at", "known"),
    [
        ("known", "known"),
        ({"*": "known", "y": "happened + 2h"}, "happened"),
    ],
)
def test_a_row_is_written_with_its_moments_its_group_its_part_and_its_label(
    known_at: object, known: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = tree(["1d"], {"amount": ["mean"]})
    spec["split"] = {"kind": "random", "by": ["where"], "valid": 0.3, "test": 0.3}
    spec["data"]["tables"]["orders"]["known_at"] = known_at
    tables = world(0, 120)
    orders = tables["orders"]
    orders["where"] = np.arange(120.0) % 30
    orders.loc[::10, "y"] = np.nan
    made = run_in(tmp_path, spec, tables, monkeypatch)
    assert made["__row__"].tolist() == list(range(120))
    assert made["__time__"].equals(orders["asked"].rename("__time__"))
    due = orders["known"] if known == "known" else orders["happened"] + pd.Timedelta("2h")
    assert made["__known__"].equals(due.rename("__known__"))
    assert ((made["__split__"] == "pending") == orders["y"].isna()).all()
    assert made["__target__"].equals(orders["y"].rename("__target__"))
    assert made["__group__"].dtype == np.uint64
    assert made.groupby(orders["where"])["__group__"].nunique().eq(1).all()
    assert made["__group__"].nunique() == 30
    there = made[made["__split__"] != "pending"]
    assert there.groupby("__group__")["__split__"].nunique().eq(1).all()
    summary = read_json("data/features/summary.json")
    assert summary["rows"] == {name: int((made["__split__"] == name).sum()) for name in summary["rows"]}
    assert summary["classes"] == ["0", "1"]
    assert summary["boundaries"] == {"valid": 0.3, "test": 0.3}
