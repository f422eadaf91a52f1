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
from ruamel.yaml import YAML

from tasks import params
from tasks.engine.derive import derive
from tasks.errors import RefitError
from tasks.idle import idle, own_ways
from tasks.ingest.tables import ingest
from tasks.models import check_models
from tasks.profile import infer, to_yaml
from tasks.profile.column import About, judge, judge_target


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
    check_models(found)  # what init writes is accepted, and nothing of it does nothing
    assert [*idle(found), *own_ways(found)] == []
    assert found.split.kind == "random"
    assert found.problem.target.positive == ("1" if kind == "binary" else None)


def declared(name: str, column: pa.ChunkedArray) -> tuple[object, str]:
    """How a column is declared, and what is remarked."""
    found = judge(name, column, About())
    return found.spec, found.remark


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
    kind, remark = declared("column", pa.chunked_array([pa.array(COLUMNS[label])]))
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
        (
            "a",
            ["1.5", "2"] * 29 + ["3", "12a"],
            "numeric",
            "without 1 that are no numbers, such as '12a', whose rows go to quarantine",
        ),
        (
            "a",
            ["1.5", "2"] * 29 + ["3", "?"],
            {"kind": "numeric", "missing": ["usual", "?"]},
            "'?' (1 row) counts as missing",
        ),
        ("a", ["1.5", "?"] * 30, "categorical", ""),
    ],
)
def test_columns_that_deserve_a_remark(name: str, values: list[object], kind: str, remark: str) -> None:
    assert declared(name, pa.chunked_array([pa.array(values)])) == (kind, remark)


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
    found, judged, named = judge_target(pa.chunked_array([pa.array(values)]), "the target", About())
    assert (found, named) == (kind, classes)
    assert judged.spec == ("numeric" if kind == "regression" else "categorical")


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
    frame = pd.DataFrame({"nr": np.arange(N), "empty": None, "same": "x", "x": np.arange(N) / 3, "y": ["a", "b"] * 30})
    text = to_yaml(infer(written(tmp_path, frame), "y"))
    for line in ("nr: ignore *# counts the rows", "empty: ignore *# no value at all", "same: ignore *# always 'x'"):
        assert re.search(line, text)
    assert (
        "positive: 'b'  # the class whose probability is predicted, chosen as the later in the alphabet, since both are"
        in text
    )


def texts(**counts: int) -> pa.ChunkedArray:
    return pa.chunked_array([[text.replace("_", "/") for text, n in counts.items() for _ in range(n)]])


@pytest.mark.parametrize(
    ("values", "markers", "missing"),
    [
        (texts(Mild=100, Severe=82, **{"None": 218}), [], [""]),  # 218 of 400 vanished
        (texts(Mild=100, **{"None": 100}), [], [""]),
        (texts(valid=50, null=50), [], [""]),
        (texts(EU=50, ASIA=50, NA=40), [], [""]),
        (texts(EU=50, ASIA=50, NA=40, null=3), [], ["", "null"]),
        (texts(EU=50, ASIA=50, NA=40), ["NA"], None),  # the file writes missing numbers so
        (texts(EU=250, ASIA=248, NA=2), [], None),
        (texts(yes=50, no=50, NA=40), [], None),
        (texts(EU=50, ASIA=50, nan=40), [], None),
        (pa.chunked_array([[str(i % 30) for i in range(90)] + ["None"] * 30]), [], None),
        (pa.chunked_array([[f"n{i % 30}" for i in range(90)] + ["NA"] * 30]), [], None),
    ],
)
def test_a_usual_text_for_missing_may_be_a_class(
    values: pa.ChunkedArray, markers: list[str], missing: list[str] | None
) -> None:
    found = judge("a", values, About(markers=frozenset(markers))).spec
    assert (found.get("missing") if isinstance(found, dict) else None) == missing


@pytest.mark.parametrize(
    ("values", "spec"),
    [
        ([f"{x}.50" for x in range(99)] + ["1,234.50"], {"kind": "numeric", "format": "1,234.50"}),
        ([f"{x}" for x in range(99)] + ["12,5"], {"kind": "numeric", "format": "1234,50"}),
        ([f"{x}.5" for x in range(97)] + ["12,5", "7,25", "1,1"], "numeric"),  # typing mistakes
        ([f"{x} €" for x in range(50)] + [str(x) for x in range(50)], {"kind": "numeric", "format": "1234.50 €"}),
        (["M", "f", "m", "F"] * 25, {"kind": "categorical", "case": "lower"}),
        (["A", "a"] * 50, "categorical"),
        ([f"{x} {('kg', 'g')[x % 2]}" for x in range(100)], "ignore"),
        ([f"A{x % 9}" for x in range(100)], "categorical"),
        ([f"{x % 9}k" for x in range(100)], "categorical"),
        ([("10+ years", "< 1 year", "2 years")[x % 3] for x in range(100)], "categorical"),
        ([f"{x}.{x % 7}.1" for x in range(100)], "ignore"),
        (["low", "high"] * 45 + ["1", "2"] * 5, "categorical"),
        ([f"+49 89 {x * 7919 % 90000 + 10000}" for x in range(100)], "ignore"),
    ],
)
def test_numbers_as_people_write_them(values: list[str], spec: object) -> None:
    assert declared("a", pa.chunked_array([values]))[0] == spec


def test_what_other_columns_say_of_a_number() -> None:
    values = pa.chunked_array([[f"1.{x:03d}" for x in range(99)]])
    assert judge("a", values, About(comma=True)).spec == {"kind": "numeric", "format": "1.234,50"}
    assert judge("a", values, About()).spec == "numeric"
    assert "if it is one thousand, declare format: '1.234,50'" in judge("a", values, About()).remark


DAYS = pd.date_range("2022-01-01", periods=120, tz="UTC")
RNG = np.random.default_rng(0)


def dated(**more: object) -> pd.DataFrame:
    frame = pd.DataFrame({"order date": DAYS, "x": RNG.normal(size=120), "y": ["on time", "late", "on time"] * 40})
    return frame.assign(**more)


@pytest.mark.parametrize("form", ["csv", "parquet"])
@pytest.mark.parametrize("written_as", ["%Y-%m-%d", "%d.%m.%Y", "%m/%d/%Y", "%Y%m%d", "epoch", "excel", "typed"])
def test_a_table_with_a_moment_is_split_by_time(tmp_path: Path, form: str, written_as: str) -> None:
    """Whatever the way of writing: the column is a time, the newest rows test, and later runs read by the same form."""
    number = {"epoch": DAYS.astype("int64") // 10**6, "excel": (DAYS - pd.Timestamp("1899-12-30", tz="UTC")).days}
    given = number[written_as] if written_as in number else DAYS if written_as == "typed" else DAYS.strftime(written_as)
    found = loaded(written(tmp_path, dated(**{"order date": given}), form), "y")
    assert (found.split.kind, found.split.test, found.split.valid) == ("time", 0.2, 0.2)
    assert found.problem.prediction_time == params.Moment(column="order date")
    table = found.data.tables["table"]
    assert table.event_time == params.Moment(column="order date")
    times = ingest("table", table.model_copy(update={"source": str(tmp_path / f"table.{form}")}))
    assert times.problems.empty
    assert (times.frame["order date"] == DAYS.to_series().to_numpy()).all()


def test_the_reason_stands_beside_the_split(tmp_path: Path) -> None:
    text = to_yaml(infer(written(tmp_path, dated()), "y"))
    assert "kind: time  # order date says when each row happened: the newest rows test" in text
    text = to_yaml(infer(written(tmp_path, dated().drop(columns="order date")), "y"))
    assert "kind: random  # no column says when a row happened, so a row's part follows from its inputs" in text
    birth = pd.to_datetime(RNG.integers(-(10**9), 9 * 10**8, 120), unit="s").strftime("%Y-%m-%d")
    text = to_yaml(infer(written(tmp_path, dated(**{"birth_date": birth}).drop(columns="order date")), "y"))
    assert "kind: random  # birth_date: by its name no moment of the row, so a row's part" in text


def test_a_time_after_the_moment_is_left_out_with_the_reason(tmp_path: Path) -> None:
    later = DAYS + pd.to_timedelta(RNG.integers(1, 9, 120), "D")
    text = to_yaml(infer(written(tmp_path, dated(delivered=later)), "y"))
    assert re.search(r"delivered: ignore *# later than order date in 100% of rows, so perhaps not known yet", text)


def test_a_project_without_time_becomes_one_with_time_by_one_edit(tmp_path: Path) -> None:
    path = written(tmp_path, dated())
    tree = infer(path, "y")
    tree["split"]["kind"] = "random"  # what the user may prefer, and back again
    assert params.parse(tree).split.kind == "random"
    tree["split"]["kind"] = "time"
    assert params.parse(tree).split.kind == "time"


@pytest.mark.parametrize(
    ("name", "values", "key", "kind"),
    [
        ("id", list(range(120)), ("id",), "numeric"),
        ("customer_id", [x * x + 3 for x in range(120)], ("customer_id",), "numeric"),
        ("uuid", [f"a-{x}" for x in range(120)], ("uuid",), "categorical"),
        ("order no", [f"{x:05d}" for x in range(120)], ("order no",), "categorical"),
        ("id", [None, *range(119)], (), None),  # one row has no name
        ("id", [1, 1, *range(118)], (), None),
        ("Unnamed: 0", list(range(120)), (), "ignore"),  # the place in the file is no name
        ("index", list(range(120)), (), "ignore"),
        ("price", [x * x + 3 for x in range(120)], (), "numeric"),
    ],
)
def test_a_unique_id_is_the_key(
    tmp_path: Path, name: str, values: list[object], key: tuple[str, ...], kind: str
) -> None:
    found = loaded(written(tmp_path, dated(**{name: values}), "parquet"), "y").data.tables["table"]
    assert found.key == key
    assert kind is None or found.columns[name].kind == kind
    if key:
        plan = derive(loaded(written(tmp_path, dated(**{name: values}), "parquet"), "y"))
        assert name not in {feature.name for feature in plan.features}


@pytest.mark.parametrize(
    ("labels", "positive", "why"),
    [
        (["late"] * 100 + ["on time"] * 20, "late", "chosen by its name; write 'on time' for the other"),
        (["a"] * 20 + ["b"] * 100, "a", "chosen as the rarer one; write 'b' for the other"),
        ([1] * 100 + [2] * 20, "2", "chosen as the rarer one; write '1' for the other"),
        ([0.0] * 20 + [1.0] * 100, "1", "chosen by its name; write '0' for the other"),
        ([True] * 100 + [False] * 20, "True", "chosen by its name; write 'False' for the other"),
    ],
)
@pytest.mark.parametrize("form", ["csv", "parquet"])
def test_the_positive_class_and_why(tmp_path: Path, form: str, labels: list[object], positive: str, why: str) -> None:
    path = written(tmp_path, dated(y=labels), form)
    assert loaded(path, "y").problem.target.positive == positive
    assert f"positive: '{positive}'  # the class whose probability is predicted, {why}" in to_yaml(infer(path, "y"))


def test_rows_of_one_customer_stay_together_and_the_salt_is_written(tmp_path: Path) -> None:
    who = np.repeat(np.arange(40), 3)
    traits = RNG.normal(size=(40, 3))[who]
    frame = pd.DataFrame({"customer": who * 3 + 100, "a": traits[:, 0], "b": traits[:, 1], "c": RNG.normal(size=120)})
    path = written(tmp_path, frame.assign(y=np.where(traits[:, 2] > 0, "yes", "no")))
    found = loaded(path, "y")
    assert found.split.by == ("customer",)
    assert found.split.salt in map(str, range(64))
    assert "by: [customer]  # rows of one customer agree in" in to_yaml(infer(path, "y")).replace("] #", "]  #")
    assert loaded(path, "y") == found


def test_awkward_names_survive(tmp_path: Path) -> None:
    names = ["a: b", "# c", "'q\"", "ünï", "- d", "yes", "1", "{x}", "tab\there", "two\nlines", "nul\0", "esc\x1b"]
    frame = pd.DataFrame({name: np.arange(N) / (i + 2) for i, name in enumerate(names)} | {"the y?": [0, 1] * 30})
    path = written(tmp_path, frame).rename(tmp_path / "my data (2).csv")
    found = loaded(path, "the y?")
    assert found.problem.name == "the-y"
    assert list(found.data.tables["my-data-2"].columns) == [*names, "the y?"]


def test_every_section_that_a_stage_names_is_written_and_none_is_empty(tmp_path: Path) -> None:
    """DVC wants every section that a stage names."""
    dag = YAML(typ="safe").load((Path(__file__).parents[3] / "dvc.yaml").read_text())["stages"]
    named = {key.partition(".")[0] for stage in dag.values() for key in stage.get("do", stage).get("params", [])}
    for y in ([0, 1] * 30, [0, 1, 2] * 20, [x / 7 for x in range(N)]):
        tree = infer(written(tmp_path, pd.DataFrame({"x": np.arange(N) / 3, "y": y})), "y")
        assert named <= tree.keys()
        assert "{}" not in to_yaml(tree)


def test_a_moment_whose_name_could_be_read_otherwise_is_a_mapping(tmp_path: Path) -> None:
    found = loaded(written(tmp_path, dated().rename(columns={"order date": "day - 2h"})), "y")
    assert found.problem.prediction_time == params.Moment(column="day - 2h")


def test_no_name_and_no_value_ends_the_line_of_a_comment(tmp_path: Path) -> None:
    frame = dated(
        **{"fill\n# ed\0: x": ["\0\n a: b"] * 120, "again\n": ["x\ny\0", "z"] * 60, "y": ["x\ny\0", "z"] * 60}
    )
    found = loaded(written(tmp_path, frame.rename(columns={"order date": "order\ndate\0"}), "parquet"), "y")
    assert found.problem.prediction_time == params.Moment(column="order\ndate\0")


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
