"""Checks across keys: each mistake with its neighbour that is none, so that a rule is neither lost nor too wide."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from tasks.errors import RefitError
from tasks.params import parse

CUSTOMERS = {
    "source": "c.csv", "key": ["who"],
    "columns": {"who": "categorical", "age": "numeric", "joined": "datetime", "left": "numeric", "vip": "boolean"},
}  # fmt: skip
ORDERS = {
    "source": "o.csv", "key": ["id"], "event_time": "at",
    "columns": {"id": "numeric", "who": "categorical", "at": "datetime", "paid": "datetime", "amount": "numeric", "kind": "categorical",
                "note": "text", "spare": "ignore"},
}  # fmt: skip
EVENTS: dict[str, Any] = {"from": "orders", "by": "who", "within": "30d"}
SHOP: dict[str, Any] = {
    "problem": {"name": "p", "kind": "binary", "table": "customers", "prediction_time": "joined", "target": {**EVENTS, "any": True}},
    "data": {"tables": {"customers": CUSTOMERS, "orders": ORDERS}},
    "split": {"kind": "time"},
    "models": {"logistic": {}},
}  # fmt: skip
PLAIN: dict[str, Any] = {
    "problem": {"name": "p", "kind": "binary", "table": "t", "target": "y"},
    "data": {"tables": {"t": {"source": "t.csv", "columns": {"y": "boolean", "a": "numeric", "b": "numeric", "c": "text",
                                                                "d": "datetime", "e": "datetime"}}}},
    "models": {"logistic": {}},
}  # fmt: skip


def changed(base: dict[str, Any], **changes: Any) -> dict[str, Any]:
    """A tree with keys set, written with ``__`` for a dot; ``...`` takes one out."""
    tree = copy.deepcopy(base)
    for dotted, value in changes.items():
        *parents, last = dotted.split("__")
        node = tree
        for parent in parents:
            node = node.setdefault(parent, {})
        if value is ...:
            node.pop(last, None)
        else:
            node[last] = value
    return tree


def told(tree: dict[str, Any]) -> str:
    """What is wrong with it; empty where nothing is."""
    try:
        parse(tree)
    except RefitError as error:
        return str(error)
    return ""


def of(**target: Any) -> dict[str, Any]:
    return {"problem__target": {**EVENTS, **target}}


NUMBER = {"problem__kind": "regression"}
CASES: list[tuple[dict[str, Any], dict[str, Any], str]] = [  # base, changes, what is said ("": nothing)
    (SHOP, {}, ""),
    # the label's columns
    (SHOP, of(any="amount > 3"), ""), (SHOP, of(any="amout > 3"), "problem.target.any: 'amout > 3': 'amout' is not one of"),
    (SHOP, of(any="spare > 3"), "problem.target.any: 'spare > 3': 'spare' is not one of"),
    (SHOP, NUMBER | of(sum="amount"), ""), (SHOP, NUMBER | of(sum="amount * 2"), ""),
    (SHOP, NUMBER | of(sum="amount * id"), ""), (SHOP, NUMBER | of(sum="kind"), "must be of kind numeric or boolean, and is declared 'categorical'"),
    (SHOP, NUMBER | of(sum="kind * 2"), "column 'kind' must be of kind numeric or boolean"), (SHOP, NUMBER | of(sum="amount *"), "problem.target.sum: "),
    (SHOP, NUMBER | of(n_unique="kind"), ""), (SHOP, NUMBER | of(sum="amount", where="kind == 'a'"), ""),
    (SHOP, NUMBER | of(sum="amount", where="kindd == 'a'"), "'kindd' is not one of"), (SHOP, NUMBER | of(last="amount"), ""),
    (SHOP, NUMBER | of(last="paid"), "column 'paid' is a moment, which cannot be a target"),
    # the kind of problem
    (SHOP, of(last="kind"), ""), (SHOP, {"problem__kind": "multiclass"} | of(last="kind"), ""), (SHOP, NUMBER | of(last="kind"), "`last` makes a target of kind binary or multiclass."),
    (SHOP, of(last="kind", above=1), "'kind' is a category, and not compared with a number"), (SHOP, of(count=True), "`count` makes a target of kind regression; `above: 3`"),
    (SHOP, NUMBER | of(count=True), ""), (SHOP, of(count=True, above=2), ""), (SHOP, {"problem__kind": "multiclass"} | of(any=True), "`any` makes a target of kind binary."),
    (SHOP, NUMBER | of(none=True), "`none` makes a target of kind binary."), (SHOP, of(none=True), ""),
    # whose events
    (SHOP, of(any=True, by={"who": "who"}), ""), (SHOP, of(any=True, by={"age": "id"}), ""),
    (SHOP, of(any=True, by={"age": "who"}), "'age' is numeric in 'customers' and 'who' categorical in its events"),
    (SHOP, of(any=True, by={"who": "whose"}), "problem.target.by: 'whose' is not one of"), (SHOP, of(any=True, by={"whose": "who"}), "problem.target.by: 'whose' is not one of"),
    (SHOP, {"data__tables__orders__event_time": ...}, "problem.target.from: table 'orders' needs event_time"),
    (SHOP, {"problem__table": "orders", "problem__prediction_time": "at", "data__tables__orders__key": ...}, "data.tables.orders.key: needed: by it a row's own event is left out"),
    (SHOP, {"problem__table": "orders", "problem__prediction_time": "at"}, ""), (SHOP, {"data__tables__customers__key": ...}, ""),
    (SHOP, of(any=True, **{"from": "order"}), "problem.target.from: 'order' is not one of 'customers', 'orders'"),
    # when
    (SHOP, {"problem__prediction_time": ...}, ""),
    (SHOP, {"problem__prediction_time": ..., "data__tables__customers__columns__born": "datetime"}, "missing; the label counts what happens after it: name one of 'joined', 'born' there"),
    (SHOP, {"problem__prediction_time": ..., "data__tables__customers__columns__joined": "text"}, "problem.prediction_time: missing; the label counts what happens after it: declare a column datetime"),
    (SHOP, {"data__tables__orders__known_at": "paid"}, "problem.target.late: missing; events of 'orders' are known at a moment of their own"),
    (SHOP, {"data__tables__orders__known_at": "paid"} | of(any=True, late="2d"), ""), (SHOP, {"data__tables__orders__known_at": "at + 1d"}, ""),
    (SHOP, of(any=True, name="age"), "problem.target.name: 'age' is a column of 'customers' already"), (SHOP, of(any=True, name="back"), ""),
    # parts whose rows share events
    (SHOP, {"split__kind": "random"}, "split.kind: 'random' parts rows whose labels share events; use kind: time, or keep together by: [who]"),
    (SHOP, {"split": {"kind": "random", "by": ["who"]}}, ""), (SHOP, {"split": {"kind": "random", "by": ["age"]}}, "'random' parts rows"),
    *[(SHOP, {"tuning__split": way}, f"tuning.split: '{way}' parts rows whose labels share events") for way in ("kfold", "stratified")],
    (SHOP, {"tuning__split": "time_series"}, ""), (SHOP, {"tuning__split": "kfold", "split": {"kind": "time", "by": ["who"]}}, ""),
    # snapshots
    (SHOP, {"problem__table": {"snapshots": "customers", "every": "7d"}, "problem__prediction_time": ...}, ""),
    (SHOP, {"problem__table": {"snapshots": "customers", "every": "7d", "name": "orders"}, "problem__prediction_time": ...}, "problem.table.name: 'orders' is a table already"),
    (SHOP, {"problem__table": {"snapshots": "customers", "every": "7d"}, "problem__prediction_time": ..., "data__tables__customers__event_time": "joined",
            "data__tables__customers__known_at": {"who": "joined + 1d"}}, "'who' is an outcome of 'customers', known only later"),
    (SHOP, {"problem__table": {"snapshots": "customers", "every": "7d"}, "problem__prediction_time": ...} | of(any=True, by={"joined": "at"}),
     "column 'joined' must be of kind categorical or numeric or boolean"),
    # tables
    (PLAIN, {"data__tables__t__key": ["a"]}, ""), (PLAIN, {"data__tables__t__event_time": "a"}, "data.tables.t.event_time: column 'a' must be of kind datetime"),
    (PLAIN, {"data__tables__t__event_time": "d", "data__tables__t__known_at": "e", "data__tables__t__outcome": ["y", "b"]}, ""),
    (PLAIN, {"data__tables__t__known_at": "e", "data__tables__t__outcome": ["y"]}, "data.tables.t.known_at: needs event_time"),
    (PLAIN, {"data__tables__t__event_time": "d", "data__tables__t__outcome": ["y"]}, "data.tables.t.outcome: needs known_at"),
    (PLAIN, {"data__tables__t__event_time": "d", "data__tables__t__known_at": {"y": "a"}}, "data.tables.t.known_at.y: column 'a' must be of kind datetime"),
    *[(PLAIN, {"data__tables__t__corrections": how}, "data.tables.t.corrections: needs key: the columns that name a row.") for how in ("states", "later")],
    (PLAIN, {"data__tables__t__corrections": "reject"}, ""), (PLAIN, {"data__tables__t__corrections": "later", "data__tables__t__key": ["a"]}, ""),
    (PLAIN, {"data__tables__t__corrections": "states", "data__tables__t__key": ["a"]}, "'states' needs event_time, or known_at too"),
    (PLAIN, {"data__tables__t__corrections": "states", "data__tables__t__key": ["a"], "data__tables__t__event_time": "d"}, ""),
    # sections
    (PLAIN, {"split__by": ["a"]}, ""), (PLAIN, {"split__by": ["y"]}, "split.by: 'y' is not known of a row without its outcome"), (PLAIN, {"split__by": ["z"]}, "split.by: 'z' is not one of"),
    (PLAIN, {"split__kind": "time"}, "split.kind: 'time' needs problem.prediction_time: name one of 'd', 'e' there, or use kind: random."),
    (PLAIN, {"split__kind": "time", "problem__prediction_time": "d"}, ""), (PLAIN, {"split__kind": "time", "data__tables__t__columns__e": "text"}, ""),
    (PLAIN, {"promotion__cluster": ["a"]}, ""), (PLAIN, {"promotion__cluster": ["day"]}, "promotion.cluster: 'day' is not one of"),
    (PLAIN, {"promotion__cluster": ["day"], "problem__prediction_time": "d"}, ""),
    (PLAIN, {"promotion__accept": ["a"]}, ""), (PLAIN, {"promotion__accept": ["t.a"]}, ""), (PLAIN, {"promotion__accept": ["x.a"]}, "promotion.accept: 'x.a' is not one of"),
    (PLAIN, {"promotion__metric": "f1"}, ""), (PLAIN, {"promotion__metric": "rmse"}, "promotion.metric: 'rmse' is not one of"),
    (PLAIN, {"promotion__guardrails": {"slice_drop": 0.1, "slices": ["z"]}}, "promotion.guardrails.slices: 'z' is not one of"),
    (PLAIN, {"evaluation__slices": ["a"]}, ""), (PLAIN, {"evaluation__slices": ["aa"]}, "evaluation.slices: 'aa' is not a feature; there are"),
    (PLAIN, {"tuning": {"split": "group", "group": "a"}}, ""), (PLAIN, {"tuning": {"split": "group", "group": "y"}}, "tuning.group: 'y' is not a feature"),
    (PLAIN, {"features__select__keep": ["b"]}, ""), (PLAIN, {"features__select__keep": ["bb"]}, "features.select.keep: 'bb' is not a feature"),
    (PLAIN, {"features__history": [{"table": "t", "by": ["c"], "windows": ["7d"]}], "problem__prediction_time": "d"}, "features.history[0].windows: table 't' has no event_time, so it has no windows."),
    (PLAIN, {"features__history": "auto"}, "features.history: 'auto' needs problem.prediction_time"),
    (PLAIN, {"tuning__split": "time_series"}, "tuning.split: 'time_series' needs problem.prediction_time"), (PLAIN, {"tuning__split": "time_series", "problem__prediction_time": "d"}, ""),
    *[(changed(PLAIN, problem__kind="regression", problem__target="a"), {f"training__{key}": way}, f"training.{key}: '{way}' needs classes") for key, way in (("imbalance", "smote"), ("calibration", "sigmoid"))],
    (changed(PLAIN, problem__kind="regression", problem__target="a"), {"training": {"imbalance": "none", "calibration": "auto"}}, ""),
    # compression
    (PLAIN, {"training__compression": {"prune": 0.5}, "models": {"mlp": {}}}, ""), (PLAIN, {"training__compression": {"prune": 0.5}, "models": {"mlp": {}, "ridge": {}}, **NUMBER, "problem__target": "a"}, "training.compression: 'ridge' cannot be compressed; name those that can, families: [mlp]"),
    (PLAIN, {"training__compression": {"prune": 0.5, "families": ["mlp"]}, "models": {"mlp": {}, "logistic": {}}}, ""),
    (PLAIN, {"training__compression": {"prune": 0.5, "families": ["mpl"]}, "models": {"mlp": {}}}, "training.compression.families: 'mpl' is not one of 'mlp'"),
    (PLAIN, {"training__compression": {"prune": 0.5}, "models": {"auto": {}}}, "'auto' cannot be compressed (auto serves the models that tuning has judged); add "),
    # a population
    (PLAIN, {"tuning": {"sampler": "pbt"}, "models": {"mlp": {}}}, ""), (PLAIN, {"tuning": {"sampler": "pbt", "trials": 4}, "models": {"mlp": {}}}, ""),
    (PLAIN, {"tuning": {"sampler": "pbt", "trials": 3}, "models": {"mlp": {}}}, "tuning.trials: 3 is too few for 'pbt', which needs 4 or more"),
    (PLAIN, {"tuning": {"sampler": "pbt"}, "models": {"mlp": {"trials": 3}}}, "models.mlp.trials: 3 is too few for 'pbt'"),
    (PLAIN, {"tuning": {"sampler": "pbt", "trials": 3}, "models": {"mlp": {"trials": 4}}}, ""),
    (PLAIN, {"tuning": {"sampler": "pbt"}, "models": {"logistic": {}, "mlp": {}}}, "tuning.sampler: 'pbt' changes a model while it trains, and 'logistic' cannot go on"),
    (PLAIN, {"tuning": {"sampler": "pbt", "split": "kfold"}, "models": {"mlp": {}}}, "tuning.split: 'kfold' has several folds, and 'pbt' trains on one"),
    (PLAIN, {"tuning": {"sampler": "pbt", "pruner": "median"}, "models": {"mlp": {}}}, "tuning.pruner: 'pbt' replaces the members that lag behind itself"),
    (PLAIN, {"tuning": {"sampler": "pbt", "pruner": "none"}, "models": {"mlp": {}}}, ""),
]  # fmt: skip


@pytest.mark.parametrize(("base", "changes", "said"), CASES)
def test_a_mistake_is_told_and_its_neighbour_is_none(base: dict[str, Any], changes: dict[str, Any], said: str) -> None:
    found = told(changed(base, **changes))
    assert (said in found) if said else not found, found


def test_a_column_that_becomes_known_later_and_is_not_there_is_told_once() -> None:
    found = told(changed(PLAIN, data__tables__t__event_time="d", data__tables__t__known_at={"yy": "e"}))
    assert found.count("'yy' is not one of") == 1
    assert "data.tables.t.known_at: 'yy' is not one of" in found
