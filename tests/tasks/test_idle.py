"""A key that would do nothing where it stands is refused with the reason, or told of; where it does something it passes."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from tasks.errors import RefitError
from tasks.families import check_models, find_family
from tasks.idle import own_ways
from tasks.params import family_names, parse
from tasks.tune.portfolio import portfolio

PROJECT: dict[str, Any] = {
    "problem": {"name": "p", "kind": "binary", "table": "t", "target": "y"},
    "data": {"tables": {"t": {"source": "t.csv", "columns": {"y": "boolean", "a": "numeric", "b": "numeric", "c": "text"}}}},
    "models": {"logistic": {}},
}  # fmt: skip


def project(**sections: Any) -> dict[str, Any]:
    tree = copy.deepcopy(PROJECT)
    for name, value in sections.items():
        tree[name] = {**tree.get(name, {}), **value}
    return tree


KIND = {"problem": {"kind": "multiclass"}}
SHOP = {"sql": "sqlite:///shop.db", "table": "t"}
# What is idle, what is said, and what else makes it count.
CASES: list[tuple[dict[str, Any], str, dict[str, Any]]] = [
    ({"features": {"encode": {"bins": 5}}}, "features.encode.bins: counts only with scale: bins", {"features": {"encode": {"bins": 5, "scale": "bins"}}}),
    ({"features": {"polynomial": {"degree": 3}}}, "features.polynomial.columns: found 0, so it makes nothing; name the features", {"features": {"polynomial": {"degree": 3, "columns": ["a"]}}}),
    ({"features": {"polynomial": {"columns": ["a"], "interaction_only": True}}}, "found 1, so it makes nothing; name two features", {"features": {"polynomial": {"columns": ["a", "b"], "interaction_only": True}}}),
    ({"training": {"cost": [1, 5]}}, "training.cost: counts only with threshold: cost", {"training": {"cost": [1, 5], "threshold": "cost"}}),
    ({"training": {"precision": 0.9}}, "training.precision: counts only with threshold: precision", {"training": {"precision": 0.9, "threshold": "precision"}}),
    (KIND | {"training": {"threshold": "half"}}, "training.threshold: belongs to a decision between two classes, and problem.kind is 'multiclass'", {"training": {"threshold": "half"}}),
    ({"tuning": {"folds": 5}}, "tuning.folds: split: holdout has none", {"tuning": {"folds": 5, "split": "kfold"}}),
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


@pytest.mark.parametrize("family", [name for name in family_names() if name != "auto"])
def test_a_misspelt_parameter_of_a_family_is_refused_before_anything_runs(family: str) -> None:
    kind = find_family(family).KINDS[0]
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
    from tasks.families._net_train import DEFAULTS

    own = {"mlp": DEFAULTS, "tabm": tabm.DEFAULTS, "realmlp": realmlp.DEFAULTS}
    for name, given in own.items():
        family = find_family(name)
        assert {*family.ALSO, *family.space("binary", 1000, 10)} == set(given), name
    for kind in ("binary", "multiclass", "regression"):
        for rows in (500, 100_000):
            for name, params in portfolio(kind, rows, 10, counts=True):
                family = find_family(name)
                assert set(params) <= {*family.ALSO, *family.space(kind, rows, 10)}, (name, params)
