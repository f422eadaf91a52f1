"""How certain the chosen candidate's figures are, how it does on its own training rows, and when fitted on fewer of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from tasks.errors import RefitError
from tasks.evaluate.diagnosis import Figure
from tasks.fitting.base import Fold
from tasks.fitting.calibration import Calibration, mixed
from tasks.fitting.setup import Setup
from tasks.fitting.space import Settings
from tasks.kinds import find_kind
from tasks.metrics import measure, measurer
from tasks.metrics.intervals import resamples
from tasks.models import Model, fit_family
from tasks.stored import by_parts

SAMPLE = 20_000  # training rows on which the fitted model is measured, and rows that a standard error is taken from
MOST = 20_000  # training rows of the largest refit
WATCHED = 5_000  # validation rows that early stopping of a refit looks at
STEPS = (1 / 16, 1 / 4, 1.0)
DRAWS = 3  # random samples of each smaller size
STRETCHES = 40  # of time, drawn as wholes
TIMES = 200


def errors(metric: str, kind: str, y: np.ndarray, scores: Sequence[np.ndarray], threshold: float, seed: int,
           time: pd.Series | None = None) -> np.ndarray:  # fmt: skip
    """Covariance (k, k) of one metric's values for ``k`` scores of the same rows, by the bootstrap.

    With ``time`` (n,) 40 stretches of it are drawn instead of single rows, for rows of one day have much in common.
    Of many rows a sample gives the covariance, scaled.
    """
    n = len(y)
    at = np.sort(np.random.default_rng(seed).choice(n, SAMPLE, replace=False)) if n > SAMPLE else np.arange(n)
    groups = None
    if time is not None and len(at) >= 2 * STRETCHES:
        order = np.argsort(time.to_numpy()[at], kind="stable")
        groups = np.empty(len(at), dtype=np.int64)
        groups[order] = np.arange(len(at)) * STRETCHES // len(at)
    each = [measurer(metric, kind, y[at], s[at], threshold) for s in scores]
    values = np.array([[m(w) for m in each] for w in resamples(len(at), TIMES, seed, groups)])
    values = values[np.isfinite(values).all(axis=1)]
    if len(values) < TIMES / 2:
        return np.full((len(scores), len(scores)), np.inf)
    return np.atleast_2d(np.cov(values, rowvar=False)) * len(at) / n


def figure(metric: str, kind: str, y: np.ndarray, scores: np.ndarray, threshold: float, seed: int,
           time: pd.Series | None = None) -> Figure:  # fmt: skip
    """The metric on these rows, with its standard error; ``time`` as in :func:`errors`."""
    variance = errors(metric, kind, y, [scores], threshold, seed, time)[0, 0]
    return Figure(measure(metric, y, scores, kind, threshold), float(np.sqrt(variance)), len(y))


def on_training_rows(models: list[Model], weights: np.ndarray, X: pd.DataFrame, y: np.ndarray, metric: str, kind: str,
                     threshold: float, seed: int, time: pd.Series | None = None,
                     fixed: Calibration | None = None) -> Figure:  # fmt: skip
    """The metric on (a sample of) the rows that the model was fitted on."""
    at = np.arange(len(X))
    if len(X) > SAMPLE:
        at = np.sort(np.random.default_rng(seed).choice(len(X), SAMPLE, replace=False))
    scores = mixed((m.predict(X.iloc[at]) for m in models), weights, fixed)
    return figure(metric, kind, y[at], scores, threshold, seed, None if time is None else time.iloc[at])


def order_of(y: np.ndarray, kind: str, time: pd.Series | None, seed: int) -> np.ndarray:
    """Positions (n,) so that the first ``m`` of them are a fair sample of size ``m``: the newest rows where ``time`` is
    given, else rows drawn at random, of each class its share.

    >>> order_of(np.array([0, 0, 0, 0, 1, 1.0]), "binary", None, 0)[:3] >= 4
    array([False,  True, False])
    """
    if time is not None:
        return np.argsort(time.to_numpy(), kind="stable")[::-1]
    rng = np.random.default_rng(seed)
    if not find_kind(kind).output.classes:
        return rng.permutation(len(y))
    place = np.empty(len(y))
    for label in np.unique(y):
        at = np.flatnonzero(y == label)
        place[at] = (rng.permutation(len(at)) + 0.5) / len(at)
    return np.argsort(place, kind="stable")


def learning_curve(family: str, settings: Settings, fold: Fold, setup: Setup, metric: str, full: np.ndarray | None,
                   threshold: float, times: tuple[pd.Series, pd.Series] | None = None) -> list[dict[str, Any]]:  # fmt: skip
    """The validation metric by number of training rows, with what each step gained and that gain's standard error.

    Refits use at most 20,000 rows, so that they cost seconds: the newest ones where ``times`` (of training and
    validation rows) are given, else random ones, of the smaller sizes three samples. A size on which the family cannot
    be fitted (too few rows, or one class) is left out. ``full`` are the validation scores of the candidate itself, the
    last point; None where it is made in another way (folds), and so is no point of the same curve. Refits are
    calibrated as the candidate is.
    """
    X, y, X_valid, y_valid = fold
    kind, seed = setup.kind, setup.seed
    most = min(MOST, len(X))
    watched = order_of(y_valid, kind, times[1] if times else None, seed)[:WATCHED]
    points: list[dict[str, Any]] = []
    found: list[list[np.ndarray]] = []
    for size in sorted({round(most * step) for step in STEPS}):
        if size < 20 or (size == len(X) and full is not None):
            continue
        scores, own = [], []
        for draw in range(1 if times or size == len(X) else DRAWS):
            at = np.sort(order_of(y, kind, times[0] if times else None, seed + draw)[:size])
            part, truth = X.iloc[at], y[at]
            if find_kind(kind).output.classes and len(np.unique(truth)) < setup.classes:
                continue
            try:
                small = Fold(part, truth, X_valid.iloc[watched], y_valid[watched])
                model = fit_family(family, settings, small, setup)
            except RefitError:
                continue
            scores.append(by_parts(model.predict, X_valid))
            own.append(measure(metric, truth, model.predict(part), kind, threshold))
        values = [measure(metric, y_valid, s, kind, threshold) for s in scores]
        if scores and np.isfinite([*values, *own]).all():
            points.append(
                {"rows": size, "train": float(np.mean(own)), "valid": float(np.mean(values)), "values": values}
            )
            found.append(scores)
    if full is not None:
        value = measure(metric, y_valid, full, kind, threshold)
        points.append({"rows": len(X), "train": None, "valid": value, "values": [value]})
        found.append([full])
    if not points:
        return []
    every = [s for each in found for s in each]
    covariance = errors(metric, kind, y_valid, every, threshold, seed, times[1] if times else None)
    return _with_gains(points, covariance)


def _with_gains(points: list[dict[str, Any]], covariance: np.ndarray) -> list[dict[str, Any]]:
    """The points with what each gained on the one before; ``values`` are those of its draws, in ``covariance``'s order.

    A gain is uncertain by the validation rows, which all points share, and by the training rows drawn.
    """
    out: list[dict[str, Any]] = []
    start = 0
    for number, point in enumerate(points):
        gain = error = None
        if number:
            old, new = points[number - 1]["values"], point["values"]
            weight = np.zeros(len(covariance))
            weight[start : start + len(old)] = -1 / len(old)
            weight[start + len(old) : start + len(old) + len(new)] = 1 / len(new)
            variance = sum(float(np.var(v, ddof=1)) / len(v) for v in (old, new) if len(v) > 1)
            gain = point["valid"] - points[number - 1]["valid"]
            if np.isfinite(covariance).all():
                error = float(np.sqrt(max(0.0, float(weight @ covariance @ weight)) + variance))
            start += len(old)
        out.append({k: v for k, v in point.items() if k != "values"} | {"gain": gain, "gain_error": error})
    return out
