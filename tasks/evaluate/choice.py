"""Which candidate challenges, its threshold, and what it has to beat at least."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from tasks.artifacts import AllTogether, Choice, GoalChoice, PairOfFamilies
from tasks.errors import RefitError
from tasks.evaluate.candidates import Contestant, Mix, Split
from tasks.goals import Point
from tasks.goals import choose as choose_by
from tasks.kinds import find_kind
from tasks.metrics import better, measure
from tasks.paired import cochran_q
from tasks.params import Params


def threshold_of(scores: np.ndarray, y: np.ndarray, params: Params) -> float | None:
    """The decision threshold by ``training.threshold``, from validation rows; None where there is none."""
    return find_kind(params.problem.kind).threshold(scores, y, params.training)


def choose(
    candidates: list[Contestant], splits: dict[str, Split], params: Params
) -> tuple[Contestant, dict[str, dict[str, float]]]:
    """The candidate with the best validation value of ``problem.metric``, and both values of every one.

    Of equal values the family named first in ``params.yaml`` wins. Test rows play no part in it.
    """
    kind, metric = params.problem.kind, params.problem.metric
    values: dict[str, dict[str, float]] = {}
    best: Contestant | None = None
    for candidate in candidates:
        threshold = threshold_of(candidate.scores["valid"], splits["valid"].y, params)
        values[candidate.family] = {
            name: measure(metric, split.y, candidate.scores[name], kind, threshold) for name, split in splits.items()
        }
        if not np.isfinite(values[candidate.family]["valid"]):
            why = " (a truth of 0 has no relative error)" if metric == "mape" else ""
            raise RefitError(f"problem.metric: {metric!r} is undefined on the validation rows{why}; choose another.")
        if best is None or better(metric, values[candidate.family]["valid"], values[best.family]["valid"]):
            best = candidate
    assert best is not None
    return best, values


def by_goals(
    candidates: list[Contestant], values: dict[str, dict[str, float]], goals: Mapping[str, GoalChoice], metric: str
) -> tuple[Contestant, str]:
    """The candidate that ``tuning.goals`` chooses among the families, and why.

    ``goals``: by family what tuning recorded; a family costs what its trial did that was fitted
    on all rows, but for its size, which is that of the last fit.
    """
    points = []
    for one in candidates:
        last, front = one.fitted.goals if one.fitted else None, goals[one.family].front
        own = next(point for point in front if (point.chosen if last is None else point.name == last.trial))
        now = {} if last is None else {"size_kb": last.size_kb}
        costs = {name: float(now.get(name, cost)) for name, cost in own.costs.items()}
        points.append(Point(one.family, values[one.family]["valid"], costs))
    place, why = choose_by(points, goals[candidates[0].family].rule, metric)
    return candidates[place], why


def reason(best: Contestant, values: dict[str, dict[str, float]], metric: str) -> str:
    """One plain sentence: why this candidate challenges."""
    top = values[best.family]["valid"]
    others = {name: v["valid"] for name, v in values.items() if name != best.family}
    if not others:
        return f"{best.family} is the only candidate ({metric} {top:.4g} on the validation rows)."
    second = next(iter(sorted(others, key=lambda name: abs(others[name] - top))))
    return (
        f"{best.family} has the best {metric} on the validation rows ({top:.4g}); "
        f"next is {second} ({others[second]:.4g})."
    )


def describe(best: Contestant, values: dict[str, dict[str, float]], params: Params, threshold: float | None,
             baseline: float | None, why: str = "") -> Choice:  # fmt: skip
    """The challenger, its members and weights, threshold and values; ``why`` where goals chose it."""
    mix = best.mix or Mix([best.family], [1.0], None, "")
    made = Choice(
        family=best.family,
        members=mix.members,
        weights=mix.weights,
        threshold=threshold,
        metric=params.problem.metric,
        valid=values[best.family]["valid"],
        test=values[best.family]["test"],
        baseline=baseline,
        reason=why or mix.reason or reason(best, values, params.problem.metric),
    )
    return made.model_copy(update={"calibration": mix.calibration}) if mix.calibration else made


def all_together(
    candidates: list[Contestant], best: Contestant, split: Split, kind: str, threshold: float | None
) -> AllTogether | None:
    """Are some candidates right more often than others? Cochran's Q on the test rows, and Holm-corrected pairs.

    Binary candidates raise as many alarms as the chosen one, so that thresholds play no part. None where
    answers are no decisions, and where there is one candidate only.
    """
    problem = find_kind(kind)
    if not problem.output.classes or len(candidates) < 2:
        return None
    right = np.empty((len(split.y), len(candidates)))
    for k, one in enumerate(candidates):
        right[:, k] = problem.alike(one.scores["test"], best.scores["test"], threshold) == split.y
    found = cochran_q(right)
    return AllTogether(
        test="Cochran's Q",
        statistic=found.statistic,
        df=found.df,
        p=found.p,
        accuracy={one.family: float(right[:, k].mean()) for k, one in enumerate(candidates)},
        pairs=[
            PairOfFamilies(first=candidates[i].family, second=candidates[j].family, p_holm=p)
            for (i, j), p in found.pairs.items()
        ],
    )
