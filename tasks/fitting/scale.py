"""The default calibration: two numbers (two classes) or one (several), fitted so that they can hardly harm.

With two classes the log-odds get a slope and a shift (Platt, 1999, on log-odds), with several the logarithms of the
probabilities a common slope, which is one over the temperature (Guo et al., 2017). Neither changes an order of rows,
or the most probable class.

The fit is penalised towards no change, as if slope 1 and shift 0 had been seen before with an uncertainty of
:data:`SLOPE` (of the slope's logarithm, since penalised models need slopes of two and three) and :data:`SHIFT` (far from
0 its penalty only grows in proportion, as by Huber, 1964, since class weights and resampled rows move log-odds by several
units). So with a handful of rows of the rarer class little happens, and there is no number of rows from which on it
suddenly does. There is no test whether it helps: where nothing was wrong, two numbers cost one nat of log loss in all
rows together, and a test would keep the slopes that it fails to see (of a tenth, with a hundred rows of the rarer class),
which the correction for the mean then takes for 1.

Of n rows none is expected to turn out as something that was given less than 1 in 2n. Where one does (a forest in which
no tree voted for it), scores beyond are not believed: they are drawn in to within one unit of log-odds, in their order.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

SLOPE, SHIFT = 0.5, 1.0
LEAST = 0.05  # slope: scores that say nothing are made nearly equal, and never turned round
STEP = 1.0  # of the slope's logarithm, at most
SMALLEST = np.finfo(float).tiny

Scale = dict[str, float]  # slope; shift with two classes; limit where scores beyond it are drawn in
Point = tuple[float, np.ndarray, np.ndarray]  # value, gradient and Hessian of what is minimised


def inputs(scores: np.ndarray) -> np.ndarray:
    """What is scaled of probabilities ``(n, classes)``: log-odds ``(n,)`` of two classes, logarithms of several."""
    both = np.log(np.maximum(scores, SMALLEST))
    return np.asarray(both[:, 1] - both[:, 0]) if scores.shape[1] == 2 else np.asarray(both)


def scaled(x: np.ndarray, scale: Scale) -> np.ndarray:
    """:func:`inputs`, scaled."""
    if "limit" in scale:
        x = drawn_in(x, scale["limit"])
    return scale["slope"] * x + scale.get("shift", 0.0)


def drawn_in(x: np.ndarray, limit: float) -> np.ndarray:
    """Numbers beyond ``limit`` on either side brought to less than one beyond it, in the same order.

    >>> drawn_in(np.array([-700.0, -3.0, 2.0, 3.0]), 2.0).round(2).tolist()
    [-3.0, -2.5, 2.0, 2.5]
    """
    beyond = np.maximum(np.abs(x) - limit, 0.0)
    return np.asarray(np.clip(x, -limit, limit) + np.sign(x) * beyond / (1.0 + beyond))


def scale_of(scores: np.ndarray, y: np.ndarray) -> Scale | None:
    """The scale by ``scores`` ``(n, classes)`` of rows that the model has not seen, and their class indexes ``(n,)``.

    None where all rows are of one class.
    """
    labels = y.astype(int)
    if len(np.unique(labels)) < 2:
        return None
    x, limit = inputs(scores), float(np.log(2 * len(labels)))
    truth = labels.astype(float) if x.ndim == 1 else np.eye(x.shape[1])[labels]
    surprise = (x < -limit) & (truth > 0)
    if x.ndim == 1:
        surprise |= (x > limit) & (truth < 1)
    drawn = {"limit": limit} if surprise.any() else {}
    x = drawn_in(x, limit) if drawn else x
    return _fit(x, truth) | drawn


def scale_of_mean(scale: Scale | None, one: np.ndarray, mean: np.ndarray) -> Scale:
    """The scale of the mean of models that were fitted on other folds, from the scale of one of them.

    Noise makes one model's scores more extreme than it knows, and averaging takes part of it away: what is right for
    one is too little for the mean. By how much, tells a fit of ``mean`` on ``one`` (both ``(n, classes)``: scores of
    the same rows by one model and by the mean of all, without any label) as if the mean were the truth. On rows that
    they were fitted on models differ somewhat less than on new ones, so it errs towards no correction.
    """
    x = drawn_in(inputs(one), float(np.log(2 * len(one))))
    found = _fit(x, mean[:, 1] if x.ndim == 1 else mean)
    scale = scale or _same(x)
    if found["slope"] >= 1.0:  # no mean is more extreme than what it is of
        return scale
    slope = scale["slope"] / found["slope"]
    shift = {"shift": scale["shift"] - slope * found["shift"]} if x.ndim == 1 else {}
    return scale | {"slope": slope} | shift


def _same(x: np.ndarray) -> Scale:
    """The scale that changes nothing."""
    return {"slope": 1.0, "shift": 0.0} if x.ndim == 1 else {"slope": 1.0}


def _fit(x: np.ndarray, truth: np.ndarray) -> Scale:
    return _two(x, truth) if x.ndim == 1 else _one(x, truth)


def _loss(x: np.ndarray, truth: np.ndarray) -> float:
    """Log loss of log-odds ``(n,)`` or of unnormalised logarithms ``(n, classes)``, summed over rows."""
    if x.ndim == 1:
        return float((np.logaddexp(0.0, x) - truth * x).sum())
    return float((np.logaddexp.reduce(x, axis=1) - (truth * x).sum(axis=1)).sum())


def _two(x: np.ndarray, y: np.ndarray) -> Scale:
    """Slope and shift of log-odds ``x`` ``(n,)`` for truths ``y`` (0 or 1, or a probability).

    The shift is penalised where rows are in doubt, so that its penalty says nothing about the slope.
    """
    from scipy.special import expit

    p = expit(x)
    doubt = p * (1.0 - p) + SMALLEST
    centre = float((doubt * x).sum() / doubt.sum())
    z = x - centre

    def at(change: np.ndarray) -> Point:
        wide = np.exp(change[0]) * z
        margin = centre + wide + change[1]
        q = expit(margin)
        weight, rest = q * (1.0 - q), q - y
        gradient = np.array([(rest * wide).sum(), rest.sum()])
        cross = (weight * wide).sum()
        hessian = np.array([[(weight * wide * wide).sum(), cross], [cross, weight.sum()]])
        return _penalised((_loss(margin, y), gradient, hessian), change)

    log_slope, shift = _minimum(at, 2)
    slope = float(np.exp(log_slope))
    return {"slope": slope, "shift": float(centre + shift - slope * centre)}


def _one(x: np.ndarray, truth: np.ndarray) -> Scale:
    """Slope of the logarithms ``x`` ``(n, classes)`` for truths of that shape."""
    z = x - x.max(axis=1, keepdims=True)

    def at(change: np.ndarray) -> Point:
        margin = np.exp(change[0]) * z
        q = np.exp(margin)
        q /= q.sum(axis=1, keepdims=True)
        mean = (q * margin).sum(axis=1)
        gradient = np.array([(mean - (truth * margin).sum(axis=1)).sum()])
        spread = (q * (margin - mean[:, None]) ** 2).sum()
        return _penalised((_loss(margin, truth), gradient, np.array([[spread]])), change)

    return {"slope": float(np.exp(_minimum(at, 1)[0]))}


def _penalised(point: Point, change: np.ndarray) -> Point:
    """Adds the penalties: a square of the slope's logarithm, Huber's function of the shift where there is one."""
    value, gradient, hessian = point
    width = np.array([SLOPE, SHIFT])[: len(change)]
    away = change / width
    drawn, curved = away.copy(), np.ones(len(change))
    value += 0.5 * float(away[0]) ** 2
    if len(change) > 1:
        shift = abs(float(away[1]))
        value += 0.5 * shift**2 if shift <= 1.0 else shift - 0.5
        drawn[1], curved[1] = np.clip(away[1], -1.0, 1.0), float(shift <= 1.0)
    return value, gradient + drawn / width, hessian + np.diag(curved / width**2)


def _minimum(at: Callable[[np.ndarray], Point], size: int) -> np.ndarray:
    """Gauss and Newton's method with halved steps; the first number, a slope's logarithm, stays above that of LEAST."""
    least = float(np.log(LEAST))
    found = np.zeros(size)
    value, gradient, hessian = at(found)
    for _ in range(100):
        stuck = found[0] <= least and gradient[0] > 0  # at its bound, and drawn beyond: only the others move
        free = np.arange(size)[1 if stuck else 0 :]
        if not len(free):
            break
        step = np.zeros(size)
        curved = hessian[np.ix_(free, free)]
        step[free] = -np.linalg.solve(curved + 1e-9 * (1.0 + np.trace(curved)) * np.eye(len(free)), gradient[free])
        step /= max(1.0, abs(step[0]) / STEP)
        for _ in range(60):
            tried = found + step
            tried[0] = max(tried[0], least)
            new = at(tried)
            if new[0] <= value:
                break
            step /= 2.0
        else:
            break
        gain = value - new[0]
        found, (value, gradient, hessian) = tried, new
        if gain <= 1e-12 * (1.0 + abs(value)):
            break
    return found
