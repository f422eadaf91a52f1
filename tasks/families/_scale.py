"""The default calibration: two numbers (two classes) or one (several), fitted so that it can help but hardly harm.

With two classes the log-odds get a slope and a shift (Platt, 1999, on log-odds), with several the logarithms of the
probabilities a common slope, which is one over the temperature (Guo et al., 2017). Neither changes an order of rows,
or the most probable class.

The fit is penalised towards no change, as if slope 1 and shift 0 had been seen before with an uncertainty of
:data:`SLOPE` and :data:`SHIFT`; far from there the penalty only grows in proportion (Huber, 1964), since class weights
and resampled rows move log-odds by several units. So with a handful of rows of the rarer class little happens, and
there is no number of rows from which on it suddenly does. What was found is used only where it lowers the log loss of
rows that it was not fitted on, by cross-fitting.

Of n rows none is expected to turn out as something that was given less than 1 in 2n. Where one does (a forest in which
no tree voted for it), scores beyond are not believed: they are drawn in to within one unit of log-odds, in their order.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

SLOPE, SHIFT = 0.5, 1.0
LEAST = 0.05  # slope: scores that say nothing are made nearly equal, and never turned round
FOLDS = 5
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

    None where all rows are of one class, or where it would not lower the log loss of rows left out of the fit and no
    score has to be drawn in.
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
    order = np.lexsort((np.random.default_rng(0).random(len(labels)), labels))
    folds = np.empty(len(labels), dtype=int)
    folds[order] = np.arange(len(labels)) % FOLDS
    gain = 0.0
    for fold in range(FOLDS):
        rest, held = folds != fold, folds == fold
        gain += _loss(x[held], truth[held]) - _loss(scaled(x[held], _fit(x[rest], truth[rest])), truth[held])
    if gain > 0:
        return _fit(x, truth) | drawn
    return _same(x) | drawn if drawn else None


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
        margin = x + change[0] * z + change[1]
        q = expit(margin)
        weight, rest = q * (1.0 - q), q - y
        gradient = np.array([(rest * z).sum(), rest.sum()])
        cross = (weight * z).sum()
        hessian = np.array([[(weight * z * z).sum(), cross], [cross, weight.sum()]])
        return _penalised((_loss(margin, y), gradient, hessian), change, (SLOPE, SHIFT))

    slope, shift = _minimum(at, 2) + np.array([1.0, 0.0])
    return {"slope": float(slope), "shift": float(centre + shift - slope * centre)}


def _one(x: np.ndarray, truth: np.ndarray) -> Scale:
    """Slope of the logarithms ``x`` ``(n, classes)`` for truths of that shape."""
    z = x - x.max(axis=1, keepdims=True)
    wanted = (truth * z).sum(axis=1)

    def at(change: np.ndarray) -> Point:
        margin = (1.0 + change[0]) * z
        q = np.exp(margin)
        q /= q.sum(axis=1, keepdims=True)
        mean = (q * z).sum(axis=1)
        spread = (q * (z - mean[:, None]) ** 2).sum()
        return _penalised(
            (_loss(margin, truth), np.array([(mean - wanted).sum()]), np.array([[spread]])), change, (SLOPE,)
        )

    return {"slope": float(1.0 + _minimum(at, 1)[0])}


def _penalised(point: Point, change: np.ndarray, widths: tuple[float, ...]) -> Point:
    """Adds Huber's function of ``change / widths``."""
    value, gradient, hessian = point
    width = np.array(widths)
    away = change / width
    far = np.abs(away) > 1.0
    value += float(np.where(far, np.abs(away) - 0.5, 0.5 * away**2).sum())
    return value, gradient + np.clip(away, -1.0, 1.0) / width, hessian + np.diag(np.where(far, 0.0, 1.0 / width**2))


def _minimum(at: Callable[[np.ndarray], Point], size: int) -> np.ndarray:
    """Newton's method with halved steps; the first number stays above ``LEAST - 1``."""
    found = np.zeros(size)
    value, gradient, hessian = at(found)
    for _ in range(100):
        stuck = found[0] <= LEAST - 1.0 and gradient[0] > 0  # at its bound, and drawn beyond: only the others move
        free = np.arange(size)[1 if stuck else 0 :]
        if not len(free):
            break
        step = np.zeros(size)
        curved = hessian[np.ix_(free, free)]
        step[free] = -np.linalg.solve(curved + 1e-9 * (1.0 + np.trace(curved)) * np.eye(len(free)), gradient[free])
        for _ in range(60):
            tried = found + step
            tried[0] = max(tried[0], LEAST - 1.0)
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
