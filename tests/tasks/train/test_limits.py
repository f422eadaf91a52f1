"""The limits of ``tuning.goals`` on the last fit, which has more rows than a trial had."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from tasks.artifacts import Best, Trial
from tasks.errors import RefitError
from tasks.train.limits import fit_within
from tests.samples import best, trial


def tuned(at_most: float | None, weight: float | None = None) -> tuple[Best, list[Trial]]:
    """Three trials, the larger the better, of which the rule has chosen the best that kept the limit in tuning."""
    sizes = {"trial 1": (0.80, 50.0), "trial 2": (0.85, 90.0), "trial 3": (0.90, 300.0)}
    rule = {"within": None, "costs": {"size_kb": {"at_most": at_most, "weight": weight}}}
    front = [
        {"name": name, "value": value, "size_kb": kb, "chosen": name == "trial 2"}
        for name, (value, kb) in sizes.items()
    ]
    trials = [trial(i, 0.8, params={"depth": i + 1}) for i in range(3)]
    goals = {"rule": rule, "front": front, "reason": ""}
    return best("xgboost", {"rounds": 9, "depth": 2}, goals=goals), trials


def last_fit(best: Best, trials: list[Trial], kb: dict[int, float]) -> tuple[Any, list[str]]:
    """What is kept where a fit of each depth has so many kB, and what was said; a model is its depth."""
    said: list[str] = []
    fit: Any = lambda params: SimpleNamespace(model=params["depth"])  # noqa: E731
    return fit_within(best, trials, fit, said.append, measured=lambda depth: kb[int(depth)]), said  # type: ignore[call-overload]


def test_a_trial_that_keeps_the_limit_on_all_rows_is_kept() -> None:
    kept, said = last_fit(*tuned(100), {2: 99.0})
    assert kept.params == {"rounds": 9, "depth": 2}
    assert kept.goals.to_dict() == {"trial": "trial 2", "size_kb": 99.0, "gone": []}
    assert (kept.found.model, said) == (2, [])


def test_where_it_has_grown_beyond_the_limit_the_next_of_the_front_is_fitted() -> None:
    kept, said = last_fit(*tuned(100), {1: 60.0, 2: 101.0})
    assert kept.params == {"rounds": 9, "depth": 1}
    assert kept.found.model == 1
    assert kept.goals.to_dict() == {
        "trial": "trial 1",
        "size_kb": 60.0,
        "gone": [{"trial": "trial 2", "size_kb": 101.0}],
    }
    assert said[0] == "xgboost: trial 2, fitted on all rows, has 101 kB, and tuning.goals allows 100"
    assert "Trial 1 is the only one" in said[1] or "trial 1 has" in said[1]


def test_where_none_keeps_it_nothing_is_packaged() -> None:
    with pytest.raises(RefitError, match=r"at_most: 100 kB, and on all rows no trial of xgboost keeps it; the smallest of 2 fits is trial 1 with 120 kB"):  # fmt: skip
        last_fit(*tuned(100), {1: 120.0, 2: 150.0})


@pytest.mark.parametrize("how", [{"at_most": None, "weight": 0.1}, {"at_most": None}])
def test_without_a_limit_the_chosen_trial_is_fitted_whatever_it_has(how: dict[str, Any]) -> None:
    kept, said = last_fit(*tuned(**how), {2: 5000.0})
    assert (kept.goals.to_dict(), said) == ({"trial": "trial 2", "size_kb": 5000.0, "gone": []}, [])


def test_without_goals_nothing_is_measured() -> None:
    kept, _ = last_fit(best("xgboost", {"depth": 2}), [], {})
    assert (kept.goals, kept.params) == (None, {"depth": 2})
