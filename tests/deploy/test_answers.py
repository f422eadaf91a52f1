"""What `refit predict` says of a file as a whole, which columns it asks for, and what it warns of, row by row."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from deploy import predict as batch
from deploy.predict import ERROR, SHOWN, Answered, _answers, _check_columns, _ending, _rows, _timings, _warnings
from tasks.artifacts import Schema, SchemaField
from tasks.bundle.horizon import FINE, Horizon
from tasks.engine.facts import MISSING
from tasks.errors import RefitError
from tasks.kinds import find_kind

DAY = 86_400_000_000


def field(name: str, kind: str, **more: Any) -> SchemaField:
    return SchemaField(name=name, kind=kind, nullable=True, **more)


def test_a_file_is_told_of_in_a_few_lines() -> None:
    assert Answered(1200, 0).lines() == ["1,200 of 1,200 rows answered"]
    assert Answered(5, 2, 1, ["row 2: x", "row 3: y"], ["read as UTF-16"]).lines() == [
        "read as UTF-16", "3 of 5 rows answered, 1 of them with a warning", "row 2: x", "row 3: y",
    ]  # fmt: skip
    assert Answered(5000, 1003, 0, ["row 1: x"]).lines()[-1] == "and 1,002 more rows without an answer (column error)"


def test_columns_that_are_needed_must_be_there_and_others_may() -> None:
    fields = [field("weight", "numeric"), field("shop", "text"), field("order", "numeric", required=False)]
    _check_columns(["shop", "weight", "more"], fields, Path("a.csv"))
    with pytest.raises(
        RefitError, match=r"a\.csv: lacks column 'weight', 'shop', which the model needs\. It has 'wieght'\. 'weight'"
    ):
        _check_columns(["wieght"], fields, Path("a.csv"))


@pytest.mark.parametrize(("name", "ending"), [("a.CSV", ".csv"), ("a.csv.gz", ".csv.gz"), ("a.b.parquet", ".parquet")])
def test_the_ending_says_how_answers_are_written(name: str, ending: str) -> None:
    assert _ending(Path(name)) == ending


@pytest.mark.parametrize("chunk", [1, 3, 4, 10, 11])
def test_rows_come_back_in_chunks_of_one_size(tmp_path: Path, chunk: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batch, "ROWS", 3)
    pq.write_table(pa.table({"n": list(range(10))}), tmp_path / "a.parquet")
    found = [table["n"].to_pylist() for table in _rows(tmp_path / "a.parquet", chunk)]
    assert found == [list(range(at, min(at + chunk, 10))) for at in range(0, 10, chunk)]


FIELDS = [
    field("n", "numeric", min=0.0, max=10.0), field("low", "numeric", min=0.0), field("high", "numeric", max=10.0),
    field("c", "categorical", allowed=["5.0", "b"]), field("free", "text"),
]  # fmt: skip


def bundle(kind: str = "binary", **more: Any) -> Any:
    classes = {"binary": ("no", "yes"), "multiclass": ("a", "b", "c"), "regression": ()}[kind]
    plan = SimpleNamespace(time=None, cap=None)
    it = SimpleNamespace(
        kind=kind,
        name="toy",
        classes=classes,
        threshold=0.5,
        plan=plan,
        levels={},
        schema=Schema(table="t", fields=FIELDS),
    )
    it.predict = lambda rows: np.asarray(rows["score"].tolist())
    it.problem = find_kind(kind)
    return SimpleNamespace(**{**it.__dict__, **more})


def asked(rows: int = 1, **columns: Any) -> pa.Table:
    usual = {"n": 1.0, "low": 1.0, "high": 1.0, "c": "b", "free": "x"}
    made = {name: pa.array(columns.get(name, [value] * rows)) for name, value in usual.items()}
    return pa.table({**made, ERROR: pa.array(columns.get(ERROR, [None] * rows), pa.string())})


def test_bounds_and_new_levels_are_warned_of_where_there_is_an_answer() -> None:
    table = asked(
        6, n=[0.0, 10.0, -0.1, 10.5, None, -1.0], low=[0.0, 99.0, -1.0, 1.0, 1.0, 1.0], high=[10.0, -9.0, 11.0, 1.0, 1.0, 1.0],
        c=["5", "b", "z", "b", None, "z"],
    )  # fmt: skip
    features = pd.DataFrame({"shop": ["a", "new", None, "a", "a", "new"]})
    gone = np.array([False] * 5 + [True])
    found = _warnings(bundle(levels={"shop": frozenset("a")}), table, features, [FINE] * 6, gone)
    assert list(found) == [
        None,
        "'shop': 'new' was in no training row, so the model knows nothing of it",
        "'n': -0.1 is below 0, the least that training rows may have; 'low': -1 is below 0, the least that training rows may have; "
        "'high': 11 is above 10, the most that training rows may have; 'c': 'z' is not one of '5', 'b'",
        "'n': 10.5 is above 10, the most that training rows may have",
        None,
        None,
    ]


def test_each_moment_is_judged_by_the_horizon(monkeypatch: pytest.MonkeyPatch) -> None:
    moments = np.array([5 * DAY, 10 * DAY, 20 * DAY, 21 * DAY, 5 * DAY, 40 * DAY, MISSING])
    monkeypatch.setattr(batch, "prediction_times", lambda plan, rows: moments)
    dated = bundle(plan=SimpleNamespace(time=SimpleNamespace(column="n"), cap=None))
    horizon = Horizon(10 * DAY, {"a": 20 * DAY, "b": 30 * DAY}, {"a": 5 * DAY})
    looked: list[int] = []
    judge = horizon.check
    object.__setattr__(horizon, "check", lambda t: looked.append(t) or judge(t))
    found = _timings(dated, horizon, asked(7))
    assert [bool(t.refused) for t in found] == [True, False, False, False, True, False, False]
    assert [t.stale for t in found] == [(), (), (), (), (), ("a",), ()]
    assert [len(t.ages) for t in found] == [0, 0, 0, 1, 0, 2, 0]
    assert sorted(looked) == [5 * DAY, 21 * DAY, 40 * DAY], "each different one once, and only those that may be odd"
    assert _timings(bundle(), horizon, asked(2)) == [FINE, FINE]
    assert _timings(dated, Horizon(), asked(7)) == [FINE] * 7


@pytest.mark.parametrize(
    ("kind", "scores", "wanted"),
    [
        ("binary", [[0.4, 0.6], [0.9, 0.1]], {"probability": [0.6, 0.1], "decision": ["yes", "no"], "threshold": [0.5, 0.5]}),
        ("multiclass", [[0.2, 0.5, 0.3], [0.6, 0.3, 0.1]],
         {"probabilities.a": [0.2, 0.6], "probabilities.b": [0.5, 0.3], "probabilities.c": [0.3, 0.1], "decision": ["b", "a"]}),
        ("regression", [2.5, -1.0], {"prediction": [2.5, -1.0]}),
    ],
)  # fmt: skip
def test_an_answer_has_the_services_columns_in_their_order(
    kind: str, scores: list[Any], wanted: dict[str, Any]
) -> None:
    told = Answered(rows=7)
    made = _answers(bundle(kind), "3", Horizon(), asked(2), pd.DataFrame({"score": scores}), [], told, False)
    found = made.to_pydict()
    assert list(found) == ["row", *[n for n in wanted if n != "threshold"], "model", "version",
                           *(["threshold"] if kind == "binary" else []), "warnings", "error"]  # fmt: skip
    assert {name: found[name] for name in wanted} == wanted
    assert (found["row"], found["model"], found["version"]) == ([8, 9], ["toy"] * 2, ["3"] * 2)
    assert (found["warnings"], found["error"]) == ([None] * 2, [None] * 2)
    assert (told.rows, told.unanswered, told.warned, told.faults) == (9, 0, 0, [])


def test_a_row_without_an_answer_has_the_error_and_nothing_else() -> None:
    told = Answered(rows=10, faults=["row 1: x"] * (SHOWN - 2))
    scores = [[0.4, 0.6], [np.nan, np.inf], [0.4, 0.6], [0.4, 0.6]]
    table = asked(4, n=[99.0, 99.0, 99.0, 1.0], **{ERROR: [None, None, "cannot be read", "nor this"]})
    made = _answers(bundle(), "3", Horizon(), table, pd.DataFrame({"score": scores}), [], told, False).to_pydict()
    infinite = "the model has no finite answer; the row's numbers are too large"
    assert made["error"] == [None, infinite, "cannot be read", "nor this"]
    assert made["probability"] == [0.6, None, None, None]
    assert made["decision"] == ["yes", None, None, None]
    assert made["threshold"] == [0.5, None, None, None]
    assert [w is None for w in made["warnings"]] == [False, True, True, True]
    assert (told.rows, told.unanswered, told.warned) == (14, 3, 1)
    assert told.faults[SHOWN - 2 :] == [f"row 12: {infinite}", "row 13: cannot be read"]


def test_a_row_for_which_a_table_is_too_old_is_warned_of_or_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batch, "prediction_times", lambda plan, rows: np.array([22, 40]) * DAY)
    dated = bundle(plan=SimpleNamespace(time=SimpleNamespace(column="n"), cap=None))
    horizon = Horizon(None, {"a": 20 * DAY}, {"a": 5 * DAY})
    for refuse in (False, True):
        made = _answers(
            dated, "3", horizon, asked(2), pd.DataFrame({"score": [[0.4, 0.6]] * 2}), [], Answered(), refuse
        ).to_pydict()
        assert "2d before this row" in made["warnings"][0]
        assert [e is None for e in made["error"]] == [True, not refuse]
        assert "too old to rely on (at most 5d)" in (made["error"] if refuse else made["warnings"])[1]


def test_a_key_that_is_called_as_a_column_of_the_answer_is_told_apart() -> None:
    table = asked(1)
    for i, value in enumerate(["k1", "k2", "k3"]):
        table = table.append_column(f"{batch.KEY}{i}", pa.array([value]))
    keys = ["row", "model", "order"]
    made = _answers(bundle(), "3", Horizon(), table, pd.DataFrame({"score": [[0.4, 0.6]]}), keys, Answered(), False)
    assert made.column_names[:4] == ["row", "key.row", "key.model", "order"]
    assert (made["row"].to_pylist(), made["key.row"].to_pylist()) == ([1], ["k1"])
    assert made["model"].to_pylist() == ["toy"]
    assert made["order"].to_pylist() == ["k3"]
    assert made["key.model"].to_pylist() == ["k2"]
