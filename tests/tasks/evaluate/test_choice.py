"""Which candidate challenges: the best on validation rows, by hand; ties, reasons, and all candidates together."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from statsmodels.stats.contingency_tables import cochrans_q

from tasks.artifacts import CostRule, FrontPoint, GoalChoice, GoalRule
from tasks.errors import RefitError
from tasks.evaluate import candidates
from tasks.evaluate.candidates import Contestant, Mix, Split, check_scores, splits_of
from tasks.evaluate.choice import all_together, by_goals, choose, describe, reason, threshold_of
from tasks.kinds import find_kind
from tasks.params import Params
from tests import samples

Y = np.array([0.0, 0, 1, 1, 0, 1, 1, 0])


def params(kind: str, metric: str, **training: Any) -> Params:
    columns = {"x": "numeric", "y": "numeric" if kind == "regression" else "categorical"}
    return Params.model_validate(
        {
            "problem": {"name": "p", "kind": kind, "table": "t", "target": "y", "metric": metric},
            "data": {"tables": {"t": {"source": "t.csv", "columns": columns}}},
            "training": training,
            "models": {"tree": {}, "ridge" if kind == "regression" else "logistic": {}},
        }
    )


def two(p: Any) -> np.ndarray:
    return np.column_stack([1 - np.array(p), p])


def candidate(name: str, valid: np.ndarray, test: np.ndarray | None = None, mix: Mix | None = None, **more: Any) -> Contestant:  # fmt: skip
    fitted = None if mix else samples.candidate(name, **more)
    return Contestant(name, {"valid": valid, "test": valid if test is None else test}, fitted, mix)


def splits(y: np.ndarray = Y) -> dict[str, Split]:
    return {name: Split(np.arange(len(y)), y) for name in ("valid", "test")}


GOOD, FAIR, BAD = (two(np.abs(Y - p)) for p in (0.1, 0.3, 0.6))


@pytest.mark.parametrize("metric", ["log_loss", "roc_auc", "brier"])
def test_the_best_on_validation_rows_is_chosen_whatever_test_rows_say(metric: str) -> None:
    each = [candidate("a", BAD, GOOD), candidate("b", GOOD, BAD), candidate("c", GOOD, GOOD)]
    best, values = choose(each, splits(), params("binary", metric))
    assert best.family == "b"  # and of equal ones the first
    assert values["b"]["valid"] == values["a"]["test"] == values["c"]["test"]
    assert values["a"]["valid"] == values["b"]["test"] != values["c"]["test"]
    assert choose(each[:1] + each[2:], splits(), params("binary", metric))[0].family == "c"


def test_errors_are_small_where_they_are_good_and_a_value_that_is_none_is_refused() -> None:
    y = np.array([1.0, 2, 3])
    each = [candidate("a", y + 1), candidate("b", y + 0.5)]
    best, values = choose(each, splits(y), params("regression", "rmse"))
    assert (best.family, values["a"]["valid"], values["b"]["test"]) == ("b", 1.0, 0.5)
    with pytest.raises(RefitError, match=r"'mape' is undefined on the validation rows \(a truth of 0 has no relative"):
        choose([candidate("a", y)], splits(y - 1), params("regression", "mape"))
    with pytest.raises(RefitError, match=r"'r2' is undefined on the validation rows; choose another"):
        choose([candidate("a", y)], splits(y * 0), params("regression", "r2"))


def test_a_metric_of_decisions_goes_by_each_candidates_own_threshold() -> None:
    shifted = two(np.where(Y == 1, 0.3, 0.1))  # right at a threshold of 0.2, and never at one half
    each = [candidate("a", FAIR), candidate("b", shifted)]
    assert choose(each, splits(), params("binary", "accuracy", threshold="half"))[0].family == "a"
    values = choose(each, splits(), params("binary", "accuracy", threshold="best_f1"))[1]
    assert values["b"]["valid"] == 1.0
    assert threshold_of(shifted, Y, params("binary", "accuracy", threshold="best_f1")) == pytest.approx(0.2)
    dear = params("binary", "accuracy", threshold="cost", cost=(9.0, 1.0))
    wrong = two([0.9, 0.1, 0.8, 0.2, 0.1, 0.2, 0.2, 0.1])
    assert threshold_of(wrong, Y, dear) > 0.9
    assert threshold_of(Y, Y, params("regression", "rmse")) is None


def test_the_reason_names_the_nearest_rival() -> None:
    values = {"a": {"valid": 0.7}, "b": {"valid": 0.9}, "c": {"valid": 0.85}}
    assert reason(candidate("b", GOOD), values, "roc_auc") == (
        "b has the best roc_auc on the validation rows (0.9); next is c (0.85)."
    )
    lower = {"a": {"valid": 0.3}, "b": {"valid": 0.2}, "c": {"valid": 0.5}}
    assert "next is a (0.3)" in reason(candidate("b", GOOD), lower, "log_loss")
    assert "is the only candidate (roc_auc 0.9 on" in reason(candidate("b", GOOD), {"b": {"valid": 0.9}}, "roc_auc")


def test_what_is_written_of_the_choice() -> None:
    values = {"b": {"valid": 0.9, "test": 0.8}}
    alone = describe(candidate("b", GOOD), values, params("binary", "roc_auc"), 0.4, 0.5)
    assert alone.to_dict() == {
        "family": "b", "members": ["b"], "weights": [1.0], "threshold": 0.4, "metric": "roc_auc", "valid": 0.9, "test": 0.8,
        "baseline": 0.5, "reason": "b is the only candidate (roc_auc 0.9 on the validation rows).",
    }  # fmt: skip
    mix = candidate("b", GOOD, mix=Mix(["x", "y"], [0.3, 0.7], {"method": "auto"}, "mixed"))
    told = describe(mix, values, params("binary", "roc_auc"), None, None)
    assert (told.members, told.weights, told.calibration) == (["x", "y"], [0.3, 0.7], {"method": "auto"})
    assert told.reason == "mixed"
    assert describe(mix, values, params("binary", "roc_auc"), None, None, "by its goals").reason == "by its goals"


def test_without_features_a_model_says_the_training_rows_shares_or_mean() -> None:
    assert find_kind("multiclass").constant(np.array([0.0, 2, 2, 1]), 4, 2).tolist() == [[0.25, 0.25, 0.5, 0.0]] * 2
    assert find_kind("regression").constant(np.array([1.0, 2, 6]), 0, 2).tolist() == [3.0, 3.0]


def test_all_together_is_cochrans_q_at_the_chosen_ones_number_of_alarms() -> None:
    rng = np.random.default_rng(0)
    y = (rng.random(300) < 0.4).astype(float)
    each = [
        candidate(n, two(np.clip(0.4 * y + noise * rng.random(300), 0, 1))) for n, noise in (("a", 0.6), ("b", 0.9))
    ]
    each.append(candidate("c", two(rng.random(300))))
    found = all_together(each, each[0], splits(y)["test"], "binary", 0.45)
    alarms = int((each[0].scores["test"][:, 1] >= 0.45).sum())
    right = []
    for one in each:
        p = one.scores["test"][:, 1]
        right.append(np.isin(np.arange(300), np.argsort(-p, kind="stable")[:alarms]) == (y == 1))
    q = cochrans_q(np.column_stack(right).astype(int))
    assert found is not None
    assert (found.statistic, found.p, found.df) == pytest.approx((q.statistic, q.pvalue, 2))
    assert found.accuracy == pytest.approx({one.family: r.mean() for one, r in zip(each, right, strict=True)})
    assert [(p.first, p.second) for p in found.pairs] == [("a", "b"), ("a", "c"), ("b", "c")]
    assert found.pairs[1].p_holm < 0.001
    assert all_together(each[:1], each[0], splits(y)["test"], "binary", 0.5) is None
    assert all_together(each, each[0], splits(y)["test"], "regression", 0.5) is None


@pytest.mark.parametrize(
    ("scores", "message"),
    [
        (two([0.5, np.nan]), r"x: 1 scores are missing or infinite\. Train"),
        (np.array([1.0, np.inf, np.inf]), r"x: 2 scores are missing"),
        (np.array([[0.5, 0.5], [0.5, 0.500002]]), r"x: 1 rows are no probabilities"),
        (np.array([[1.2, -0.2], [0.5, 0.5]]), r"x: 1 rows are no probabilities"),
        (np.array([[0.5, 0.5], [0.5, 0.5000009]]), None),
        (np.array([-3.0, 7.0]), None),
    ],
)
def test_scores_that_are_none_are_refused(scores: np.ndarray, message: str | None) -> None:
    kind = "regression" if scores.ndim == 1 else "binary"
    if message is None:
        return check_scores(scores, kind, "x", "Train again.")
    with pytest.raises(RefitError, match=message):
        check_scores(scores, kind, "x", "Train again.")


def test_splits_keep_their_rows_and_truths_in_order() -> None:
    import pandas as pd

    frame = pd.DataFrame({"__row__": [5, 3, 9, 1, 7], "__split__": ["test", "valid", "valid", "train", "test"],
                          "__target__": [0.0, 1, 0, 1, 1]})  # fmt: skip
    found = splits_of(frame, "binary", ["n", "y"])
    assert {k: (s.rows.tolist(), s.y.tolist()) for k, s in found.items()} == {
        "valid": ([3, 9], [1.0, 0.0]), "test": ([5, 7], [0.0, 1.0]),
    }  # fmt: skip
    with pytest.raises(RefitError, match=r"all 2 rows of 'valid' are of class 'y'"):
        splits_of(frame.assign(__target__=1.0), "binary", ["n", "y"])
    assert set(splits_of(frame.assign(__target__=1.0), "regression", [])) == {"valid", "test"}


def goals_of(*points: tuple[str, float, float, bool]) -> GoalChoice:
    """A front of (name, metric, kB, chosen), of which half a point of the metric counts as much as 50 kB."""
    rule = GoalRule(within=None, costs={"size_kb": CostRule(at_most=None, weight=0.01)})
    front = [FrontPoint(name=n, value=v, size_kb=kb, chosen=chosen) for n, v, kb, chosen in points]
    return GoalChoice(rule=rule, front=front, reason="")


def test_goals_choose_between_families_by_what_their_fitted_trials_cost() -> None:
    """By half a point of the metric for each kB; a family's last fit says how large it is, and which trial it was."""
    goals = {
        "a": goals_of(("0", 0.9, 50.0, False), ("1", 0.8, 10.0, True)),
        "b": goals_of(("0", 0.8, 1.0, False), ("1", 0.85, 20.0, True)),
    }
    values = {"a": {"valid": 0.8}, "b": {"valid": 0.85}}
    plain = [candidate("a", GOOD), candidate("b", GOOD)]
    best, why = by_goals(plain, values, goals, "roc_auc")
    assert best.family == "a", "0.80 less 0.10 against 0.85 less 0.20"
    assert "roc_auc" in why
    grown = [candidate("a", GOOD, goals={"trial": "1", "size_kb": 30.0, "gone": []}), candidate("b", GOOD)]
    assert by_goals(grown, values, goals, "roc_auc")[0].family == "b", "the last fit has 30 kB"
    first = {"trial": "0", "gone": []}
    another = [
        candidate("a", GOOD, goals=first | {"size_kb": 50.0}),
        candidate("b", GOOD, goals=first | {"size_kb": 1.0}),
    ]
    assert by_goals(another, values, goals, "roc_auc")[0].family == "b", "the trials that were fitted have 50 and 1 kB"


@pytest.mark.parametrize(("calibration", "fixed"), [("auto", True), ("none", False)])
def test_a_mix_is_made_of_the_members_and_weights_that_were_better(
    monkeypatch: pytest.MonkeyPatch, calibration: str, fixed: bool
) -> None:
    each = [candidate("a", GOOD, FAIR), candidate("b", FAIR, GOOD), candidate("c", BAD)]
    asked: list[Any] = []
    found = {"method": "voting", "members": ["b", "a"], "weights": [0.25, 0.75], "tried": {"voting": 0.5, "greedy": 0.7},
             "single": {"family": "a", "value": 0.625}}  # fmt: skip

    def combine(*given: Any) -> dict[str, Any]:
        asked.append(given)
        return found

    monkeypatch.setattr(candidates, "combine", combine)
    told = params("binary", "log_loss", ensembles=["voting"], calibration=calibration)
    mix = candidates.ensemble_of(each, splits(), told)
    assert mix is not None
    assert list(asked[0][0]) == ["a", "b", "c"]
    assert asked[0][2:] == ("binary", "log_loss", ("voting",), told.seed)
    assert (mix.family, mix.mix.members, mix.mix.weights) == ("voting", ["b", "a"], [0.25, 0.75])
    assert mix.mix.reason == (
        "the ensemble by voting of b, a has a log_loss of 0.5 on validation rows that its weights were not fitted on; the "
        "best single candidate is a (0.625)."
    )
    plain = {"valid": 0.25 * FAIR + 0.75 * GOOD, "test": 0.25 * GOOD + 0.75 * FAIR}
    assert (mix.mix.calibration is not None) == fixed
    if not fixed:
        for name, wanted in plain.items():
            np.testing.assert_allclose(mix.scores[name], wanted)
    found["method"] = "single"
    assert candidates.ensemble_of(each, splits(), told) is None
