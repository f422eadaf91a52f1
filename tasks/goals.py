"""Several goals: which trials no other beats in all of them, and which of these is chosen by the declared rule.

A rule is what ``tuning.goals`` declares; its costs are ``latency_ms`` and ``size_kb``. :func:`choose` says how it is applied.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from tasks.artifacts import FrontPoint, GoalChoice, GoalRule
from tasks.errors import RefitError, some
from tasks.metrics import higher_is_better

UNITS = {"latency_ms": "ms", "size_kb": "kB"}
WITHIN = 0.005  # how much worse the metric may be, as a share of it, where costs are to be low and nothing says how low


@dataclass(frozen=True)
class Point:
    """What can be chosen: a trial or a family, its metric on held-out rows, and its costs by name."""

    name: str
    value: float
    costs: Mapping[str, float]


def front(points: Sequence[Point], metric: str) -> list[int]:
    """Places of the points that no other one beats: as good in the metric and all costs, and better in one.

    Of equal points the first stays.

    >>> a, b, c = (Point(n, v, {"size_kb": s}) for n, v, s in [("a", 0.9, 9.0), ("b", 0.8, 5.0), ("c", 0.8, 6.0)])
    >>> front([a, b, c], "roc_auc")
    [0, 1]
    """
    sign = -1.0 if higher_is_better(metric) else 1.0
    places = [(sign * p.value, *(p.costs[name] for name in sorted(p.costs))) for p in points]

    def beaten(i: int) -> bool:
        return any(
            all(a <= b for a, b in zip(other, places[i], strict=True)) and (other != places[i] or j < i)
            for j, other in enumerate(places)
            if j != i
        )

    return [i for i in range(len(points)) if not beaten(i)]


def choose(points: Sequence[Point], rule: GoalRule, metric: str) -> tuple[int, str]:
    """The place of the point that the rule chooses from the front, and why, in a sentence or two.

    First, what goes beyond an ``at_most`` is out. Of the rest:

    - with weights, the best of the metric less each cost times its weight (for metrics of which less is better: plus);
    - else, where a cost has neither limit nor weight, or ``within`` is set: of those whose metric is at most ``within``
      (a share of the best one's) worse than the best one's, the one with the smallest product of these costs
      (of all, if each has a limit);
    - else the best metric.

    Raises
    ------
    RefitError
        If nothing keeps the limits; it names what comes nearest.
    """
    sign = -1.0 if higher_is_better(metric) else 1.0
    costs = rule.costs
    best = min(range(len(points)), key=lambda i: (sign * points[i].value, i))
    on_front = front(points, metric)
    limits = {name: float(cost.at_most) for name, cost in costs.items() if cost.at_most is not None}
    kept = [i for i in on_front if all(points[i].costs[name] <= most for name, most in limits.items())]
    if not kept:
        raise RefitError(_too_dear(points, limits, metric))
    reason = f"{points[0].name} is the only one" if len(points) == 1 else ""
    if not reason:
        reason = f"of {len(points)}, {len(on_front)} are beaten by no other in {some(['metric', *costs])}".replace(
            "'", ""
        )
        if limits:
            reason += f", {len(kept)} of these keep {_limits(limits)}"
    weights = {name: float(cost.weight) for name, cost in costs.items() if cost.weight is not None}
    free = [name for name in costs if name not in limits and name not in weights]
    within = rule.within
    if weights:

        def loss(i: int) -> float:
            return sign * points[i].value + sum(w * points[i].costs[name] for name, w in weights.items())

        chosen = min(kept, key=lambda i: (loss(i), i))
        step = "less" if sign < 0 else "plus"
        terms = " and ".join(f"{w:g} for each {UNITS[name]}" for name, w in weights.items())
        why = f"has the best {metric} {step} {terms} ({sign * loss(chosen):.4g})"
    elif free or within is not None:
        within = WITHIN if within is None else float(within)
        top = min(kept, key=lambda i: (sign * points[i].value, i))
        allowed = within * abs(points[top].value)
        near = [i for i in kept if sign * (points[i].value - points[top].value) <= allowed]
        names = free or list(costs)
        chosen = min(near, key=lambda i: (math.fsum(math.log(max(points[i].costs[n], 1e-12)) for n in names), i))
        what = " times ".join(names)
        why = f"has the lowest {what} of the {len(near)} whose {metric} is at most {within:.2%} worse than {points[top].value:.4g}"
    else:
        chosen = min(kept, key=lambda i: (sign * points[i].value, i))
        why = f"has the best {metric}"
    sentence = f"{reason}; {points[chosen].name} {why}: {_shown(points[chosen], metric)}."
    if chosen != best:
        sentence += f" By the {metric} alone it would have been {points[best].name}: {_shown(points[best], metric)}."
    return chosen, sentence[0].upper() + sentence[1:]


def record(points: Sequence[Point], rule: GoalRule, chosen: int, reason: str, metric: str) -> GoalChoice:
    """What is kept of a choice: the rule, the front by falling metric, and the reason."""
    sign = -1.0 if higher_is_better(metric) else 1.0
    places = sorted(front(points, metric), key=lambda i: (sign * points[i].value, i))
    best_first = [
        FrontPoint(name=points[i].name, value=points[i].value, **points[i].costs, chosen=i == chosen) for i in places
    ]
    return GoalChoice(rule=rule, front=best_first, reason=reason)


def _shown(point: Point, metric: str) -> str:
    costs = ", ".join(f"{value:.3g} {UNITS[name]}" for name, value in point.costs.items())
    return f"{metric} {point.value:.4g}, {costs}"


def _limits(limits: Mapping[str, float]) -> str:
    return " and ".join(f"{name} at most {most:g}" for name, most in limits.items())


def _too_dear(points: Sequence[Point], limits: Mapping[str, float], metric: str) -> str:
    nearest = min(points, key=lambda p: max(p.costs[name] / most for name, most in limits.items()))
    return (
        f"tuning.goals: nothing that was tried keeps {_limits(limits)}; the nearest of {len(points)} is {nearest.name} "
        f"({_shown(nearest, metric)}). Raise at_most or the number of trials, or narrow the space to smaller models."
    )
