"""A key that would do nothing where it stands is refused with the reason, or told of; where it does something it passes."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from tasks.errors import RefitError
from tasks.families import find_family
from tasks.fitting.counts import searched
from tasks.idle import own_ways
from tasks.kinds import kinds_of
from tasks.listed import family_names
from tasks.models import check_models
from tasks.params import parse
from tasks.tune.portfolio import portfolio

PROJECT: dict[str, Any] = {
    "problem": {"name": "p", "kind": "binary", "table": "t", "target": "y"},
    "data": {"tables": {"t": {"source": "t.csv", "columns": {"y": "boolean", "a": "numeric", "b": "numeric", "c": "text", "d": "categorical"}}}},
    "models": {"logistic": {}},
}  # fmt: skip


def project(**sections: Any) -> dict[str, Any]:
    tree = copy.deepcopy(PROJECT)
    for name, value in sections.items():
        tree[name] = {**tree.get(name, {}), **value}
    return tree


KIND = {"problem": {"kind": "multiclass"}}
COLUMNS = {**PROJECT["data"]["tables"]["t"]["columns"], "at": "datetime"}
DATED = {"tables": {"t": {"source": "t.csv", "event_time": "at", "columns": COLUMNS}}}
SHOP = {"sql": "sqlite:///shop.db", "table": "t"}
# What is idle, what is said, and what else makes it count.
CASES: list[tuple[dict[str, Any], str, dict[str, Any]]] = [
    ({"features": {"encode": {"bins": 5}}}, "features.encode.bins: counts only with scale: bins", {"features": {"encode": {"bins": 5, "scale": "bins"}}}),
    ({"features": {"polynomial": {"degree": 3}}}, "features.polynomial.columns: found 0, so it makes nothing; name the features", {"features": {"polynomial": {"degree": 3, "columns": ["a"]}}}),
    ({"features": {"polynomial": {"columns": ["a"], "interaction_only": True}}}, "found 1, so it makes nothing; name two features", {"features": {"polynomial": {"columns": ["a", "b"], "interaction_only": True}}}),
    (
        {"evaluation": {"cost_unit": "EUR"}},
        "evaluation.cost_unit: is that of training.cost, which counts only with training.threshold: cost",
        {"evaluation": {"cost_unit": "EUR"}, "training": {"threshold": "cost"}},
    ),
    ({"training": {"cost": [1, 5]}}, "training.cost: counts only with threshold: cost", {"training": {"cost": [1, 5], "threshold": "cost"}}),
    ({"training": {"precision": 0.9}}, "training.precision: counts only with threshold: precision", {"training": {"precision": 0.9, "threshold": "precision"}}),
    (KIND | {"training": {"threshold": "half"}}, "training.threshold: belongs to a decision between two classes, and problem.kind is 'multiclass'", {"training": {"threshold": "half"}}),
    ({"tuning": {"folds": 5}}, "tuning.folds: split: holdout has none", {"tuning": {"folds": 5, "split": "kfold"}}),
    ({"split": {"kind": "time", "salt": "7"}, "data": DATED}, "split.salt: divides rows at random, and kind is 'time'", {"split": {"salt": "7"}}),
    ({"split": {"kind": "time", "by": ["d"]}, "data": DATED}, "split.by: keeps rows together at random and in folds; kind is 'time', and tuning.split 'holdout'", {"split": {"kind": "time", "by": ["d"]}, "data": DATED, "tuning": {"split": "kfold"}}),
    ({"training": {"ensembles": ["greedy"]}}, "training.ensembles: mix several families, and models has one", {"training": {"ensembles": ["greedy"]}, "models": {"logistic": {}, "tree": {}}}),
    ({"serving": {"stale": "refuse"}}, "serving.stale: is about tables whose rows become too old, and features has neither lookups nor history", {"serving": {"stale": "refuse"}, "features": {"history": [{"table": "t", "by": ["d"], "windows": ["7d"]}]}, "problem": {"prediction_time": "at"}, "data": DATED}),
    ({"features": {"encode": {"words": 5}, "columns": ["a"]}}, "features.encode.words: is for text features, and there are none", {"features": {"encode": {"words": 5}}}),
    ({"features": {"encode": {"max_levels": 5}, "columns": ["a"]}}, "features.encode.max_levels: is for categorical features, and there are none", {"features": {"encode": {"max_levels": 5}}}),
    ({"features": {"encode": {"scale": "log"}, "columns": ["c"]}}, "features.encode.scale: is for numeric features, and there are none", {"features": {"encode": {"scale": "log"}}}),
    ({"promotion": {"fdr": "saffron"}}, "promotion.fdr: counts only with error: fdr", {"promotion": {"fdr": "saffron", "error": "fdr"}}),
    ({"promotion": {"evidence": "line", "control": "each_run"}}, "promotion.evidence: 'line' adds up over runs", {"promotion": {"evidence": "line"}}),
    ({"promotion": {"guardrails": {"slices": ["a"]}}}, "promotion.guardrails.slices: counts only with slice_drop", {"promotion": {"guardrails": {"slices": ["a"], "slice_drop": 0.1}}}),
    ({"orchestration": {"no_gpu": "wait"}}, "orchestration.no_gpu: is about stages that go to work pools", {"orchestration": {"no_gpu": "wait", "pools": {"gpu": "g"}}}),
    ({"orchestration": {"exchange": "remote"}}, "orchestration.exchange: is about", {"orchestration": {"exchange": "remote", "pools": {"cpu": "c"}}}),
    ({"data": {"tables": {"t": {**PROJECT["data"]["tables"]["t"], "source": SHOP, "files": {"twice": "refuse"}}}}}, "data.tables.t.files: is about files, and the source is a database", {"data": {"tables": {"t": {**PROJECT["data"]["tables"]["t"], "source": SHOP}}}}),
]  # fmt: skip


@pytest.mark.parametrize(("idle", "said", "counts"), CASES, ids=[said.partition(":")[0] for _, said, _ in CASES])
def test_a_key_that_would_do_nothing_is_refused(idle: dict[str, Any], said: str, counts: dict[str, Any]) -> None:
    with pytest.raises(RefitError) as caught:
        parse(project(**idle))
    assert said in str(caught.value)
    assert str(caught.value).count("\n") == 0
    parse(project(**counts))


def test_what_is_so_anyway_may_be_written_out() -> None:
    said = {"tuning": {"folds": 3}, "orchestration": {"exchange": "folder"}, "promotion": {"fdr": "lord"}}
    assert parse(project(problem={"kind": "multiclass"}, training={"threshold": "best_f1"}, **said)).tuning.folds == 3


def test_what_some_families_do_by_themselves_is_told() -> None:
    models = {"xgboost": {}, "logistic": {}, "mlp": {}, "auto": {}}
    encode = {"scale": "bins", "bins": 4, "categories": "target"}
    assert list(own_ways(parse(project(features={"encode": encode}, models=models)))) == [
        "features.encode.scale: not taken by 'xgboost' (trees compare values and need no scale)",
        "features.encode.bins: not taken by 'xgboost' (trees find their own cuts)",
        "features.encode.categories: not taken by 'mlp' (each level gets a number or a vector of its own)",
    ]
    assert list(own_ways(parse(project(features={"encode": {"words": 20}}, models=models)))) == []
    how = {"features": {"encode": {"scale": "log", "categories": "native"}}, "tuning": {"pruner": "median"}}
    tree = project(**how) | {"models": {"adaboost": {}, "gam": {}, "lightgbm": {}, "svm": {}}}
    assert list(own_ways(parse(tree))) == [
        "features.encode.scale: not taken by 'lightgbm' (trees compare values and need no scale)",
        "features.encode.categories: not taken by 'gam' (each level gets a number or a vector of its own)",
        "features.encode.scale: not taken by 'adaboost' (trees compare values and need no scale)",
        "features.encode.categories: not taken by 'adaboost', 'svm' (numbers alone are taken, so each level gets a column)",
        "tuning.pruner: not taken by 'adaboost', 'gam', 'svm' (fitted in one go, with no step to stop at)",
    ]
    tree = project(tuning={"pruner": "median"}) | {"models": {"mlp": {"params": {"compile": True}}}}
    said = "models.mlp.params.compile: counts where a GPU trains, and does nothing on a CPU"
    assert list(own_ways(parse(tree))) == [said]
    assert list(own_ways(parse(tree | {"training": {"device": "cuda"}}))) == []
    tree = project() | {"models": {"logistic": {"params": {"C": 1.0}, "trials": 9}}}
    said = "models.logistic.trials: found 9, and logistic has nothing to search here, so it is fitted once"
    assert list(own_ways(parse(tree))) == [said]
    tree = project(tuning={"pruner": "median", "split": "kfold"})  # between folds any family can be stopped
    assert list(own_ways(parse(tree))) == []


ALONE: list[tuple[str, str, dict[str, Any], str]] = [
    ("binary", "lightgbm", {"params": {"reg_lambda": 3}}, r"params\.reg_lambda: is another name of lambda_l2, and goes by that one here"),
    ("binary", "xgboost", {"params": {"eta": 0.1}}, r"params\.eta: is another name of learning_rate"),
    ("binary", "lightgbm", {"params": {"bagging_fraction": 0.5}}, r"params\.bagging_fraction: counts only with bagging_freq; remove it, or set that"),
    ("binary", "lightgbm", {"params": {"bagging_freq": 1, "bagging_fraction": 0}}, r"params\.bagging_freq: counts only with bagging_fraction or"),
    ("multiclass", "xgboost", {"params": {"scale_pos_weight": 3}}, r"params\.scale_pos_weight: counts only where problem\.kind is 'binary', and it is 'multiclass'; remove it"),
    ("binary", "svm", {"params": {"degree": 3, "kernel": "rbf"}}, r"params\.degree: counts only with kernel: poly; remove it, or set that"),
    ("binary", "svm", {"params": {"degree": 3}, "space": {"kernel": ["rbf", "linear"]}}, r"params\.degree: counts only with kernel: poly"),
    ("binary", "svm", {"params": {"gamma": 3, "kernel": "linear"}}, r"params\.gamma: does nothing with kernel: linear; remove it\."),
    ("binary", "svm", {"params": {"kernel": "linear"}, "space": {"gamma": [0.1, 1]}}, r"space\.gamma: does nothing with kernel: linear; remove it"),
    ("binary", "mlp", {"params": {"lr": 0.1, "find_lr": True}}, r"params\.lr: does nothing with find_lr: true; remove it"),
    ("binary", "random_forest", {"params": {"max_samples": 0.5, "bootstrap": False}}, r"params\.max_samples: does nothing with bootstrap: false"),
    ("binary", "logistic", {"params": {"C": 1.0}, "space": {"C": [0.1, 1]}}, r"space\.C: params fixes it to 1\.0 already; leave one out"),
]  # fmt: skip


@pytest.mark.parametrize(("kind", "family", "own", "said"), ALONE, ids=[f"{f} {s[:40]}" for _, f, _, s in ALONE])
def test_a_parameter_that_would_do_nothing_is_refused(kind: str, family: str, own: dict[str, Any], said: str) -> None:
    tree = project(problem={"kind": kind}) | {"models": {family: own}}
    with pytest.raises(RefitError, match=rf"models\.{family}\.{said}"):
        check_models(parse(tree))


def test_what_counts_only_sometimes_is_taken_where_it_counts_and_else_not_searched() -> None:
    for family, own in (
        ("svm", {"params": {"degree": 3}}),  # the search may choose the kernel poly
        ("svm", {"params": {"degree": 3, "kernel": "poly"}}),
        ("lightgbm", {"params": {"bagging_freq": 1, "bagging_fraction": 0.5}}),
        ("random_forest", {"params": {"max_samples": 0.5}}),
    ):
        check_models(parse(project() | {"models": {family: own}}))
    svm, mlp = find_family("svm"), find_family("mlp")
    assert set(searched(svm, svm.space("binary", 500, 5), {"kernel": "linear"}, "binary")) == {"C"}
    assert set(searched(svm, svm.space("binary", 500, 5), {"kernel": "rbf"}, "binary")) == {"C", "gamma"}
    assert "lr" not in searched(mlp, mlp.space("binary", 500, 5), {"find_lr": True}, "binary")
    assert "lr" in searched(mlp, mlp.space("binary", 500, 5), {"find_lr": False}, "binary")


@pytest.mark.parametrize("family", [name for name in family_names() if name != "auto"])
def test_a_misspelt_parameter_of_a_family_is_refused_before_anything_runs(family: str) -> None:
    kind = kinds_of(*find_family(family).OUTPUTS)[0]
    name = next(iter((*find_family(family).space(kind, 1000, 10), *find_family(family).ALSO)))
    tree = project(problem={"kind": kind}) | {"models": {family: {"params": {f"{name}x": 1}}}}
    tree["data"]["tables"]["t"]["columns"]["y"] = "numeric" if kind == "regression" else "boolean"
    with pytest.raises(
        RefitError, match=rf"models\.{family}\.params\.{name}x: {family} has no such parameter\. Did you mean"
    ):
        check_models(parse(tree))
    tree["models"][family]["params"] = {name: 1}
    check_models(parse(tree))


def test_auto_takes_neither_parameters_nor_a_space() -> None:
    for key in ("params", "space"):
        tree = project(models={"auto": {key: {"rounds": 10}}})
        with pytest.raises(
            RefitError, match=rf"models\.auto\.{key}: auto chooses families and their parameters by itself"
        ):
            check_models(parse(tree))


def test_what_auto_and_the_networks_use_may_be_set_by_hand() -> None:
    from tasks.families import realmlp, tabm
    from tasks.families.mlp.training import DEFAULTS

    own: dict[str, dict[str, Any]] = {"mlp": DEFAULTS, "tabm": tabm.DEFAULTS, "realmlp": realmlp.DEFAULTS}
    for name, given in own.items():
        family = find_family(name)
        assert {*family.ALSO, *family.space("binary", 1000, 10)} == set(given), name
    for kind in ("binary", "multiclass", "regression"):
        for rows in (500, 100_000):
            for name, params in portfolio(kind, rows, 10, counts=True):
                family = find_family(name)
                assert set(params) <= {*family.ALSO, *family.space(kind, rows, 10)}, (name, params)
