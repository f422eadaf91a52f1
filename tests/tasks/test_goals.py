"""Several goals: the front, and the choice from it by the declared rule, on values written by hand."""

import itertools

import numpy as np
import pytest

from tasks.artifacts import CostRule, GoalRule
from tasks.errors import RefitError
from tasks.goals import Point, choose, front, record

FREE = {"at_most": None, "weight": None}
POINTS = [
    Point("trial 1", 0.7312, {"latency_ms": 8.8, "size_kb": 134.0}),
    Point("trial 2", 0.7309, {"latency_ms": 3.2, "size_kb": 93.0}),
    Point("trial 3", 0.7290, {"latency_ms": 3.0, "size_kb": 200.0}),
    Point("trial 4", 0.7100, {"latency_ms": 1.0, "size_kb": 10.0}),
    Point("trial 5", 0.7000, {"latency_ms": 5.0, "size_kb": 95.0}),
]


def rule(within: float | None = None, **costs: dict) -> GoalRule:
    return GoalRule(within=within, costs={name: CostRule(**FREE | cost) for name, cost in costs.items()})


def test_the_front_is_what_no_other_beats():
    assert front(POINTS, "roc_auc") == [0, 1, 2, 3]
    assert front(POINTS, "rmse") == [3, 4]  # less is better there, and the metric's worst cost most
    same = [Point(n, 0.5, {"size_kb": 1.0}) for n in "ab"]
    assert front(same, "roc_auc") == [0]
    rng = np.random.default_rng(0)
    drawn = [Point(str(i), float(v), {"size_kb": float(s)}) for i, (v, s) in enumerate(rng.integers(0, 6, (40, 2)))]
    found = front(drawn, "roc_auc")
    pairs = {(drawn[i].value, drawn[i].costs["size_kb"]) for i in found}
    assert len(pairs) == len(found)
    for one, other in itertools.permutations(pairs, 2):
        assert not (one[0] >= other[0] and one[1] <= other[1])
    for point in drawn:
        assert any(v >= point.value and s <= point.costs["size_kb"] for v, s in pairs)


@pytest.mark.parametrize(
    ("declared", "chosen", "said"),
    [
        (rule(latency_ms={}, size_kb={}), 1, "has the lowest latency_ms times size_kb of the 3 whose roc_auc is at most 0.50% worse"),
        (rule(0.0, latency_ms={}, size_kb={}), 0, "of the 1 whose roc_auc is at most 0.00% worse than 0.7312"),
        (rule(0.05, latency_ms={}, size_kb={}), 3, "of the 4 whose"),
        (rule(latency_ms={"at_most": 5.0}, size_kb={"at_most": 1000.0}), 1, "3 of these keep latency_ms at most 5 and size_kb at most 1000"),
        (rule(latency_ms={"at_most": 3.1}, size_kb={"at_most": 1000.0}), 2, "has the best roc_auc"),
        (rule(latency_ms={"at_most": 9.0}, size_kb={}), 1, "has the lowest size_kb of the 3"),
        (rule(0.05, latency_ms={"at_most": 9.0}, size_kb={"at_most": 1000.0}), 3, "has the lowest latency_ms times size_kb of the 4"),
        (rule(latency_ms={"weight": 0.00001}, size_kb={"weight": 0.00001}), 1, "less 1e-05 for each ms and 1e-05 for each kB"),
        (rule(latency_ms={"weight": 1e-7}, size_kb={"at_most": 1000.0}), 0, "has the best roc_auc less 1e-07 for each ms"),
        (rule(latency_ms={"weight": 0.1}, size_kb={"at_most": 1000.0}), 3, "(0.61)"),
    ],
)  # fmt: skip
def test_the_rule_chooses(declared: dict, chosen: int, said: str):
    found, why = choose(POINTS, declared, "roc_auc")
    assert found == chosen
    assert said in why
    assert ("By the roc_auc alone it would have been trial 1: roc_auc 0.7312, 8.8 ms, 134 kB." in why) == (chosen != 0)


def test_of_errors_less_is_better():
    errors = [
        Point("a", 2.00, {"size_kb": 50.0}),
        Point("b", 2.005, {"size_kb": 10.0}),
        Point("c", 3.0, {"size_kb": 1.0}),
    ]
    assert choose(errors, rule(size_kb={}), "rmse")[0] == 1
    found, why = choose(errors, rule(size_kb={"weight": 0.03}), "rmse")
    assert found == 1
    assert "has the best rmse plus 0.03 for each kB (2.305)" in why
    assert choose(errors, rule(size_kb={"weight": 0.2}), "rmse")[0] == 2
    assert choose(errors, rule(size_kb={"at_most": 60.0}), "rmse")[0] == 0


def test_a_limit_that_nothing_keeps_is_refused_with_what_comes_nearest():
    said = r"nothing that was tried keeps latency_ms at most 0.5 and size_kb at most 20; the nearest of 5 is trial 4 \(roc_auc 0.71, 1 ms"
    with pytest.raises(RefitError, match=said):
        choose(POINTS, rule(latency_ms={"at_most": 0.5}, size_kb={"at_most": 20.0}), "roc_auc")


def test_what_is_kept_of_a_choice_says_all_of_it():
    declared = rule(size_kb={})
    points = [Point(p.name, p.value, {"size_kb": p.costs["size_kb"]}) for p in POINTS]
    found, why = choose(points, declared, "roc_auc")
    assert record(points, declared, found, why, "roc_auc").to_dict() == {
        "rule": {"within": None, "costs": {"size_kb": FREE}},
        "front": [
            {"name": "trial 1", "value": 0.7312, "size_kb": 134.0, "chosen": False},
            {"name": "trial 2", "value": 0.7309, "size_kb": 93.0, "chosen": True},
            {"name": "trial 4", "value": 0.71, "size_kb": 10.0, "chosen": False},
        ],
        "reason": why,
    }
    assert choose(points[:1], declared, "roc_auc")[1].startswith("Trial 1 is the only one; trial 1 has")
