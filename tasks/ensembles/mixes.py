"""Voting, blending, stacking and greedy selection over candidates' scores."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np

from tasks.encoding.folds import by_number, dealt
from tasks.errors import RefitError, nearest, some
from tasks.kinds import find_kind
from tasks.metrics import better, higher_is_better, measure

METHODS = ("greedy", "bagged", "voting", "blending", "stacking")
ROUNDS = 50  # greedy steps; weights come in steps of a fiftieth or coarser
PATIENCE = 10  # greedy steps without a gain
FOLDS = 5
TURNS = 20  # random halves of the members that bagged selection is run on
WORK = 60_000  # rows x turns of it, at most
FEWEST = 3  # turns of it, whatever they cost

Predictions = Mapping[str, np.ndarray]


def combine(
    predictions: Predictions,
    y: np.ndarray,
    kind: str,
    metric: str,
    methods: Sequence[str] = METHODS,
    seed: int = 0,
    seconds: float | None = None,
) -> dict[str, Any]:
    """Find the ensemble that beats the best single candidate on validation rows, if there is one.

    Parameters
    ----------
    predictions : candidate's name to its scores of the validation rows, ``(n, classes)`` or ``(n,)``.
    y : targets ``(n,)``.
    kind, metric : as in ``problem``.
    methods : out of :data:`METHODS`.
    seconds : what bagged selection may take in all, for a search under a time budget; else its work is bounded alone.

    Returns
    -------
    dict
        ``members`` and ``weights`` (positive, summing to 1; one member where no ensemble is better), ``method``
        (``single`` or one of ``methods``), ``value`` on the validation rows, ``single`` (the best candidate
        and its value) and ``tried``: method to its out-of-fold value. A method is judged by rows that its
        weights were not fitted on, so that fitting alone does not make it look better.

    >>> rng = np.random.default_rng(0)
    >>> y = rng.normal(size=400)
    >>> noisy = {name: y + rng.normal(size=400) for name in "abc"}
    >>> found = combine(noisy, y, "regression", "rmse")
    >>> sorted(found["members"]), found["value"] < found["single"]["value"]
    (['a', 'b', 'c'], True)
    """
    for method in methods:
        if method not in METHODS:
            raise RefitError(
                f"training.ensembles: {method!r} is not one of {some(METHODS)}." + nearest(method, METHODS)
            )
    names = sorted(predictions)
    y = np.asarray(y, dtype=float)
    stack = np.stack([np.asarray(predictions[n], dtype=float) for n in names])
    values = {n: _measure(metric, y, p, kind) for n, p in zip(names, stack, strict=True)}
    top = names[0]
    for name in names[1:]:
        if better(metric, values[name], values[top]):
            top = name
    out: dict[str, Any] = {
        "members": [top],
        "weights": [1.0],
        "method": "single",
        "value": values[top],
        "single": {"family": top, "value": values[top]},
        "tried": {},
    }
    if len(names) < 2:
        return out
    folds = by_number(dealt(y, np.random.default_rng(seed), lambda n: np.arange(n) % FOLDS), FOLDS)
    best = values[top]
    for method in methods:
        weigh = WAYS[method]
        if method == "bagged" and seconds is not None:
            weigh = partial(bagged, seconds=seconds / (FOLDS + 1))
        mixed = np.zeros_like(stack[0])
        for fitted, held in folds:
            mixed[held] = _mix(stack[:, held], weigh(stack[:, fitted], y[fitted], kind, metric))
        honest = _measure(metric, y, mixed, kind)
        out["tried"][method] = honest
        if better(metric, honest, best):
            weights = weigh(stack, y, kind, metric)
            used = np.flatnonzero(weights > 1e-6)
            if len(used) < 2:
                continue
            best = honest
            shares = weights[used] / weights[used].sum()
            out |= {
                "members": [names[i] for i in used],
                "weights": [float(w) for w in shares],
                "method": method,
                "value": _measure(metric, y, _mix(stack[used], shares), kind),
            }
    return out


def _measure(metric: str, y: np.ndarray, scores: np.ndarray, kind: str) -> float | None:
    value = float(measure(metric, y, scores, kind))
    return value if np.isfinite(value) else None


def _mix(stack: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Weighted mean over members: ``(m, n, ...)`` to ``(n, ...)``."""
    return np.tensordot(weights / weights.sum(), stack, axes=1)


# Ways: scores (m, n, ...), targets (n,) -> weights (m,) --------------------------------------------
def greedy(stack: np.ndarray, y: np.ndarray, kind: str, metric: str) -> np.ndarray:
    """Add, with repetition, the member that helps the metric most (Caruana et al., 2004).

    Starts from the best member. Steps that do not help at once are made too, up to :data:`PATIENCE` in a row, since what
    harms at half the weight may help at a tenth; the best of all states counts.
    """
    sign = 1.0 if higher_is_better(metric) else -1.0
    counts = np.zeros(len(stack))
    kept = counts.copy()
    total = np.zeros_like(stack[0])
    reached, idle = -np.inf, 0
    for size in range(1, ROUNDS + 1):
        found = [_measure(metric, y, (total + one) / size, kind) for one in stack]
        values = [-np.inf if v is None else sign * v for v in found]
        best = int(np.argmax(values))
        counts[best] += 1
        total += stack[best]
        if values[best] > reached + 1e-9:
            reached, kept, idle = values[best], counts.copy(), 0
        elif (idle := idle + 1) == PATIENCE:
            break
    return kept / kept.sum() if kept.any() else np.full(len(stack), 1 / len(stack))


def bagged(stack: np.ndarray, y: np.ndarray, kind: str, metric: str, seconds: float | None = None) -> np.ndarray:
    """Greedy selection out of random halves of the members, averaged: less at the mercy of chance on few rows.

    Bagged ensemble selection of Caruana et al. (2004); fewer turns on many rows, where chance matters less.
    """
    rng = np.random.default_rng(0)
    members = len(stack)
    weights = np.zeros(members)
    begun = time.monotonic()
    for turn in range(max(FEWEST, min(TURNS, WORK // len(y)))):
        if seconds is not None and turn >= FEWEST and time.monotonic() - begun > seconds:
            break
        half = np.sort(rng.permutation(members)[: max(2, (members + 1) // 2)])
        weights[half] += greedy(stack[half], y, kind, metric)
    return weights / weights.sum()


def voting(stack: np.ndarray, y: np.ndarray, kind: str, metric: str) -> np.ndarray:
    """Every member the same."""
    return np.full(len(stack), 1.0 / len(stack))


def blending(stack: np.ndarray, y: np.ndarray, kind: str, metric: str) -> np.ndarray:
    """Weights in proportion to how much a member's error is below that of knowing nothing."""
    errors = np.array([_error(one, y, kind) for one in stack])
    nothing = _error(find_kind(kind).constant(y, stack.shape[-1], len(y)), y, kind)
    gain = np.clip(nothing - errors, 0, None)
    return gain / gain.sum() if gain.sum() > 0 else voting(stack, y, kind, metric)


def stacking(stack: np.ndarray, y: np.ndarray, kind: str, metric: str) -> np.ndarray:
    """A linear meta-learner: the weights (not negative, summing to 1) of least squared error or log loss."""
    from scipy.optimize import minimize

    members = len(stack)

    def loss(weights: np.ndarray) -> float:
        return _error(np.tensordot(weights, stack, axes=1), y, kind)

    found = minimize(
        loss,
        np.full(members, 1.0 / members),
        method="SLSQP",
        bounds=[(0.0, 1.0)] * members,
        constraints={"type": "eq", "fun": lambda w: w.sum() - 1.0},
        options={"maxiter": 100},
    )
    weights = np.clip(found.x, 0.0, None)
    return weights / weights.sum() if weights.sum() > 0 else voting(stack, y, kind, metric)


def _error(scores: np.ndarray, y: np.ndarray, kind: str) -> float:
    """The mean loss of a row: its squared error, or its surprise."""
    return float(find_kind(kind).row_loss(y, scores).mean())


WAYS: dict[str, Callable[[np.ndarray, np.ndarray, str, str], np.ndarray]] = {
    "greedy": greedy,
    "bagged": bagged,
    "voting": voting,
    "blending": blending,
    "stacking": stacking,
}
