"""Which trials are not worth going on with: rules on the values that trials had at equal steps.

They are functions of the values alone, so that an interrupted search goes on as if undisturbed, and nothing is
written to the study at each step (which takes longer than ten rounds of trees on a small table).
Successive halving is the asynchronous one of Li et al. (2020), Hyperband that of Li et al. (2018) with brackets
dealt out in turn.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np

FACTOR = 3  # one in so many goes on at each rung
BRACKETS = 3
STARTUP = 4  # trials before a median is trusted

Steps = Mapping[int, float]  # value by step; lower is better


def first_look(steps: int) -> int:
    """The step of the first decision, where whole trials take ``steps``.

    Looking sooner than after a quarter only tells quick learners from slow ones, which are often better in the end.
    """
    return max(1, steps // 4)


def should_stop(name: str, number: int, own: Steps, others: Mapping[int, Steps], first: int) -> bool:
    """Whether trial ``number``, just arrived at its newest step, is to be stopped.

    ``name`` is a ``tuning.pruner``, ``others`` are the other trials' values by number.

    >>> should_stop("halving", 2, {10: 0.9}, {0: {10: 0.5}, 1: {10: 0.7}}, 10)
    True
    """
    if name == "median":
        return _worse_than_median(own, others.values(), first)
    if name == "hyperband":
        bracket = number % BRACKETS
        others = {n: steps for n, steps in others.items() if n % BRACKETS == bracket}
        first *= FACTOR**bracket
    return name != "none" and _out_of_the_best(own, others.values(), first)


def _out_of_the_best(own: Steps, others: Iterable[Steps], first: int) -> bool:
    """Not in the best third at a rung; rungs are ``first``, three times that, and so on."""
    step = max(own)
    if step < first:
        return False
    rung = first
    while rung * FACTOR <= step:
        rung *= FACTOR
    if any(rung <= s < step for s in own):
        return False  # was let through at this rung
    values = sorted([own[step], *(steps[step] for steps in others if step in steps)])
    return own[step] > values[max(1, len(values) // FACTOR) - 1]


def _worse_than_median(own: Steps, others: Iterable[Steps], first: int) -> bool:
    """The best so far is worse than the median of the others at this step."""
    step = max(own)
    values = [steps[step] for steps in others if step in steps]
    return step >= first and len(values) >= STARTUP and min(own.values()) > float(np.median(values))
