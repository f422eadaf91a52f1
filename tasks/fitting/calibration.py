"""Calibration of probabilities, fitted on rows that the model was not fitted on."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from tasks.errors import RefitError
from tasks.fitting.scale import Scale, inputs, scale_of, scale_of_mean, scaled
from tasks.kinds import find_kind, sigmoid, softmax, two_columns

TINY = 1e-12


def check_method(method: str, kind: str) -> None:
    """Refuse, before any fit, to calibrate numbers by a named method; ``auto`` does nothing to them."""
    if not find_kind(kind).calibrated and method not in ("auto", "none"):
        raise RefitError(f"training.calibration: {method!r} needs classes, and problem.kind is {kind!r}")


def calibrate(method: str, scores: np.ndarray, y: np.ndarray, kind: str) -> Calibration | None:
    """The calibration of a model by its ``scores`` of rows that it was not fitted on; None where there is none to do.

    Parameters
    ----------
    method : ``none``; ``auto`` (see :mod:`tasks.fitting.scale`); or one of the
        others, which are used whatever comes of it.
    scores, y : ``(n, classes)`` probabilities, and class indexes ``(n,)``.
    """
    check_method(method, kind)
    if method == "none" or not find_kind(kind).calibrated:
        return None
    if method != "auto":
        return Calibration.fit(method, scores, y)
    found = scale_of(scores, y)
    return None if found is None else Calibration.by_scale(found)


def calibrate_mean(fixed: Calibration | None, one: np.ndarray, mean: np.ndarray) -> Calibration:
    """The calibration of a mean of fold models from ``fixed``, that of one of them by ``auto``; see ``scale_of_mean``."""
    return Calibration.by_scale(scale_of_mean(fixed.scale if fixed else None, one, mean))


def mixed(scores: Iterable[np.ndarray], weights: Sequence[float] | np.ndarray, fixed: Calibration | None) -> np.ndarray:
    """The weighted mean of several models' scores; ``fixed`` is the mean's own calibration.

    A mean of calibrated probabilities is not extreme enough (Ranjan and Gneiting, 2010), so it has one of its own.
    """
    total = np.asarray(sum(w * s for w, s in zip(weights, scores, strict=True)))
    return total if fixed is None else fixed.apply(total)


@dataclass(frozen=True)
class Calibration:
    """Maps scores ``(n, k)`` to calibrated ones. ``curves`` hold numbers a class, as ``method`` needs them.

    ``auto`` has one curve, a scale of :mod:`tasks.fitting.scale`.
    """

    method: str
    curves: tuple[dict[str, list[float]], ...]

    @classmethod
    def fit(cls, method: str, scores: np.ndarray, y: np.ndarray) -> Calibration:
        """``sigmoid`` (Platt), ``isotonic`` (both one class against the rest) or ``temperature`` (one number)."""
        if method == "temperature":
            return cls(method, ({"t": [_temperature(scores, y.astype(int))]},))
        binary = scores.shape[1] == 2
        curves = []
        for k in [1] if binary else range(scores.shape[1]):
            truth = (y.astype(int) == k).astype(float)
            curves.append(_platt(scores[:, k], truth) if method == "sigmoid" else _isotonic(scores[:, k], truth))
        return cls(method, tuple(curves))

    @classmethod
    def of(cls, state: dict[str, Any] | None) -> Calibration | None:
        """From what :meth:`state` gave; None of None."""
        return cls(state["method"], tuple(state["curves"])) if state else None

    @classmethod
    def by_scale(cls, scale: Scale) -> Calibration:
        """The calibration that ``auto`` found."""
        return cls("auto", ({k: [v] for k, v in scale.items()},))

    @property
    def scale(self) -> Scale | None:
        """Of ``auto``; None for other methods."""
        return {k: v[0] for k, v in self.curves[0].items()} if self.method == "auto" else None

    def apply(self, scores: np.ndarray) -> np.ndarray:
        """Calibrated scores ``(n, classes)``, each row summing to 1."""
        if self.scale is not None:
            found = scaled(inputs(scores), self.scale)
            return probabilities(found) if found.ndim == 1 else softmax(found)
        if self.method == "temperature":
            return softmax(np.log(np.clip(scores, TINY, 1)) / self.curves[0]["t"][0])
        if len(self.curves) == 1:
            return two_columns(self._one(self.curves[0], scores[:, 1]))
        columns = np.column_stack([self._one(c, scores[:, k]) for k, c in enumerate(self.curves)])
        total = columns.sum(axis=1, keepdims=True)
        return np.where(total > 0, columns / np.where(total > 0, total, 1), 1 / columns.shape[1])

    def _one(self, curve: dict[str, list[float]], p: np.ndarray) -> np.ndarray:
        if self.method == "sigmoid":
            return sigmoid(curve["slope"][0] * _logit(p) + curve["shift"][0])
        return np.interp(p, curve["x"], curve["y"])

    def state(self) -> dict[str, Any]:
        """What :meth:`of` reads: names and numbers."""
        return {"method": self.method, "curves": list(self.curves)}


def probabilities(margin: np.ndarray) -> np.ndarray:
    """Both classes' ``(n, 2)`` from log-odds, exact at either end: ``1 - p`` would make equals of the surest rows."""
    from scipy.special import expit

    return np.column_stack([expit(-margin), expit(margin)])


def _logit(p: np.ndarray) -> np.ndarray:
    p = np.clip(p, TINY, 1 - TINY)
    return np.log(p) - np.log1p(-p)


def _platt(p: np.ndarray, truth: np.ndarray) -> dict[str, list[float]]:
    from sklearn.linear_model import LogisticRegression

    if truth.min() == truth.max():
        return {"slope": [1.0], "shift": [0.0]}
    fitted = LogisticRegression(C=1e6).fit(_logit(p)[:, None], truth)
    return {"slope": [float(fitted.coef_[0, 0])], "shift": [float(fitted.intercept_[0])]}


def _isotonic(p: np.ndarray, truth: np.ndarray) -> dict[str, list[float]]:
    from sklearn.isotonic import IsotonicRegression

    fitted = IsotonicRegression(y_min=0, y_max=1, out_of_bounds="clip").fit(p, truth)
    return {"x": fitted.X_thresholds_.tolist(), "y": fitted.y_thresholds_.tolist()}


def _temperature(scores: np.ndarray, y: np.ndarray) -> float:
    """The divisor of the logits with the least log loss (Guo et al., 2017)."""
    from scipy.optimize import minimize_scalar

    logs, rows = np.log(np.clip(scores, TINY, 1)), np.arange(len(y))

    def loss(log_t: float) -> float:
        scaled = logs / np.exp(log_t)
        top = scaled.max(axis=1)
        return float((np.log(np.exp(scaled - top[:, None]).sum(axis=1)) + top - scaled[rows, y]).mean())

    return float(np.exp(minimize_scalar(loss, bounds=(-3, 3), method="bounded").x))
