"""A first ``params.yaml`` for any file: it loads, its kinds fit, and what cannot be learned is refused."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tasks import params
from tasks.errors import RefitError
from tasks.profile import infer, to_yaml
from tasks.profile.inference import infer_kind, infer_problem


def loaded(path: Path, target: str) -> params.Params:
    """What ``refit init`` would write for the file, written and read back."""
    beside = path.with_suffix(".yaml")
    beside.write_text(to_yaml(infer(path, target)), encoding="utf-8")
    return params.load(beside)


def written(folder: Path, frame: pd.DataFrame, kind: str = "csv") -> Path:
    path = folder / f"table.{kind}"
    frame.to_csv(path, index=False) if kind == "csv" else frame.to_parquet(path)
    return path


@pytest.mark.parametrize("form", ["csv", "parquet"])
@pytest.mark.parametrize(
    ("name", "kind", "target_kind", "linear"),
    [
        ("iris", "multiclass", "categorical", {"logistic"}),
        ("breast_cancer", "binary", "categorical", {"logistic"}),
        ("diabetes", "regression", "numeric", {"ridge", "linear"}),
        ("wine", "multiclass", "categorical", {"logistic"}),
    ],
)
def test_bundled_tables(tmp_path: Path, name: str, form: str, kind: str, target_kind: str, linear: set[str]) -> None:
    from sklearn import datasets

    frame = getattr(datasets, f"load_{name}")(as_frame=True).frame
    found = loaded(written(tmp_path, frame, form), "target")
    assert found.problem.kind == kind
    columns = found.data.tables["table"].columns
    assert columns["target"].kind == target_kind
    assert {c.kind for name, c in columns.items() if name != "target"} == {"numeric"}
    assert "auto" in found.models
    assert found.models.keys() & linear
    assert found.split.kind == "random"
    assert found.problem.target.positive == ("1" if kind == "binary" else None)


N = 60
COLUMNS = {
    "numeric": [x / 7 for x in range(N)],
    "whole numbers that repeat": [x % 30 for x in range(N)],
    "text digits": [f"{x}.5" for x in range(N)],
    "categorical": ["red", "green", "blue"] * 20,
    "categorical with gaps": ["red", None, "blue"] * 20,
    "boolean": [True, False] * 30,
    "boolean words": ["Yes", "no", None] * 20,
    "datetime": [f"2024-01-{1 + x % 28:02d}" for x in range(N)],
    "datetime typed": list(pd.date_range("2024-01-01", periods=N)),
    "text": [f"the parcel number {x} came late again" for x in range(N)],
}


@pytest.mark.parametrize("label", COLUMNS)
def test_kinds_of_columns(label: str) -> None:
    kind, remark = infer_kind("column", pa.chunked_array([pa.array(COLUMNS[label])]))
    expected = label.split()[0]
    assert kind == {"whole": "numeric"}.get(expected, "numeric" if label == "text digits" else expected)
    assert remark == ""


@pytest.mark.parametrize(
    ("name", "values", "kind", "remark"),
    [
        ("a", [None] * N, "ignore", "no value at all"),
        ("a", [5] * N, "ignore", "always '5'"),
        ("a", [5, None] * 30, "ignore", "always '5'"),
        ("a", list(range(7, 7 + N)), "ignore", "counts the rows"),
        ("a", list(range(N))[::-1], "ignore", "counts the rows"),
        ("order_id", [x * x + 3 for x in range(N)], "ignore", "every value differs, and by its name it is an id"),
        ("orderId", [x * x + 3 for x in range(N)], "ignore", "every value differs, and by its name it is an id"),
        ("price", [x * x + 3 for x in range(N)], "numeric", ""),
        ("paid", [x * x + 3 for x in range(N)], "numeric", ""),
        ("a", [f"C-{x}" for x in range(N)], "ignore", "60 different values in 60 rows, as in an id or a name"),
        ("a", ["007", "123", "456"] * 20, "categorical", "digits with leading zeros"),
        ("a", ["1.5", "2"] * 29 + ["3", "?"], "numeric", "without 1 that are no numbers, whose rows go to quarantine"),
        ("a", ["1.5", "?"] * 30, "categorical", ""),
    ],
)
def test_columns_that_deserve_a_remark(name: str, values: list[object], kind: str, remark: str) -> None:
    assert infer_kind(name, pa.chunked_array([pa.array(values)])) == (kind, remark)


@pytest.mark.parametrize(
    ("values", "kind", "classes"),
    [
        ([0, 1] * 30, "binary", ["0", "1"]),
        ([0.0, 1.0, None] * 20, "binary", ["0", "1"]),
        (["no", "yes"] * 30, "binary", ["no", "yes"]),
        ([True, False] * 30, "binary", ["False", "True"]),
        ([3, 4, 5] * 20, "multiclass", ["3", "4", "5"]),
        (["a", "b", "c"] * 20, "multiclass", ["a", "b", "c"]),
        ([1.5, 2.5, 3.5] * 20, "regression", []),
        (list(range(N)), "regression", []),
        ([str(x / 3) for x in range(N)], "regression", []),
    ],
)
def test_kinds_of_problems(values: list[object], kind: str, classes: list[str]) -> None:
    found = infer_problem(pa.chunked_array([pa.array(values)]), "the target")
    assert found == (kind, "numeric" if kind == "regression" else "categorical", classes)


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        (["yes"] * N, r"the target 'y' has only the class 'yes' in all 60 rows; a model needs at least two"),
        ([1.5] * N, "has only the class '1.5' in all 60 rows"),
        ([None] * N, "is empty in all 60 rows, so there is nothing to learn. Choose another column"),
        ([1.0, 2.0] * 10 + [None] * (N - 20), "is filled in only 20 rows; at least 30 are needed"),
        ([f"n{x}" for x in range(N)], "has 60 different values in 60 rows, so most would be alone in their class. Choose a column whose"),
        (["a"] * 40 + ["b"] * 19 + ["c"], "fewer than 3 rows of class 'c'; a class needs one in each of training"),
    ],
)  # fmt: skip
def test_targets_that_cannot_be_learned(tmp_path: Path, target: list[object], expected: str) -> None:
    path = written(tmp_path, pd.DataFrame({"x": np.arange(N) / 3, "y": target}), "parquet")
    with pytest.raises(RefitError, match=expected):
        infer(path, "y")


def test_a_missing_target_offers_the_nearest(tmp_path: Path) -> None:
    path = written(tmp_path, pd.DataFrame({"x": np.arange(N) / 3, "price": np.arange(N)}))
    with pytest.raises(
        RefitError, match=r"has no column 'pryce' to predict\. Did you mean 'price'\? Its columns are 'x', 'price'"
    ):
        infer(path, "pryce")  # fmt: skip


def test_a_table_without_features_is_refused(tmp_path: Path) -> None:
    path = written(tmp_path, pd.DataFrame({"id": np.arange(N), "c": "x", "y": [0, 1] * 30}))
    with pytest.raises(
        RefitError, match="no column is left to predict 'y' from: all others are constant, empty or ids"
    ):
        infer(path, "y")


def test_ignored_columns_carry_their_reason(tmp_path: Path) -> None:
    frame = pd.DataFrame({"id": np.arange(N), "empty": None, "same": "x", "x": np.arange(N) / 3, "y": ["a", "b"] * 30})
    text = to_yaml(infer(written(tmp_path, frame), "y"))
    for line in ("id: ignore *# counts the rows", "empty: ignore *# no value at all", "same: ignore *# always 'x'"):
        assert re.search(line, text)
    assert (
        "positive: 'b'  # the class whose probability is predicted, chosen as the later in the alphabet, since both are"
        in text
    )


def test_awkward_names_survive(tmp_path: Path) -> None:
    names = ["a: b", "# c", "'q\"", "ünï", "- d", "yes", "1", "{x}", "tab\there"]
    frame = pd.DataFrame({name: np.arange(N) / (i + 2) for i, name in enumerate(names)} | {"the y?": [0, 1] * 30})
    path = written(tmp_path, frame).rename(tmp_path / "my data (2).csv")
    found = loaded(path, "the y?")
    assert found.problem.name == "my-data-2-the-y"
    assert list(found.data.tables["my-data-2"].columns) == [*names, "the y?"]


def test_the_source_is_relative_inside_the_project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "here").mkdir()
    path = written(tmp_path / "here", pd.DataFrame({"x": np.arange(N) / 3, "y": [0, 1] * 30}))
    monkeypatch.chdir(tmp_path)
    assert infer(path, "y")["data"]["tables"]["table"]["source"] == "here/table.csv"
    monkeypatch.chdir(tmp_path / "here")
    assert infer("../here/table.csv", "y")["data"]["tables"]["table"]["source"] == "table.csv"


def test_a_large_table_is_tuned_on_a_part(tmp_path: Path) -> None:
    frame = pd.DataFrame({"x": np.arange(70_000) / 3, "y": [0, 1] * 35_000})
    assert loaded(written(tmp_path, frame, "parquet"), "y").tuning.rows == 60_000


values = st.none() | st.text(max_size=5) | st.sampled_from(["1", "2.5", "yes", "no", "2024-01-01", "00", "NA"])


@settings(max_examples=60, suppress_health_check=[HealthCheck.too_slow])
@given(st.data())
def test_any_table_gives_a_file_that_loads_or_a_refusal(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:  # fmt: skip
    rows = data.draw(st.integers(30, 45))
    frame = pd.DataFrame(
        {
            name: pd.Series(data.draw(st.lists(values, min_size=rows, max_size=rows)), dtype="str")
            for name in data.draw(st.lists(st.text(min_size=1, max_size=5), min_size=1, max_size=3, unique=True))
        }
    )
    target = data.draw(st.sampled_from(list(frame)))
    path = tmp_path_factory.mktemp("any") / "any.parquet"
    frame.to_parquet(path)
    try:
        tree = infer(path, target)
    except RefitError:
        return
    path.with_suffix(".yaml").write_text(to_yaml(tree), encoding="utf-8")
    assert params.load(path.with_suffix(".yaml")) == params.parse(tree)
