"""scikit-learn estimators as :class:`~tasks.fitting.base.Fitted`: linear ones as arrays, others through skops."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from tasks.errors import RefitError
from tasks.fitting.base import Curves, Job, Notes
from tasks.kinds import MANY, find_kind

if TYPE_CHECKING:
    from sklearn.base import BaseEstimator


class Linear:
    """``Z @ coef + intercept``, then the link: all that a fitted linear model is."""

    FORMAT: ClassVar[str] = "linear"

    def __init__(self, coef: np.ndarray, intercept: np.ndarray, kind: str) -> None:
        self.coef, self.intercept, self.kind = coef, intercept, kind
        self.history: Curves = {}
        self.notes: Notes = {}

    @classmethod
    def of(cls, estimator: BaseEstimator, job: Job) -> Linear:
        """From a fitted scikit-learn estimator with ``coef_`` ``(p,)`` or ``(k, p)``."""
        coef = np.atleast_2d(np.asarray(estimator.coef_, dtype=float)).T
        intercept = np.atleast_1d(np.asarray(estimator.intercept_, dtype=float))
        if job.output == MANY and coef.shape[1] != job.classes:  # a class without training rows
            wide, low = np.zeros((coef.shape[0], job.classes)), np.full(job.classes, -1e9)
            present = np.asarray(estimator.classes_, dtype=int)
            if coef.shape[1] == 1:
                coef, intercept = np.hstack([-coef / 2, coef / 2]), np.append(-intercept / 2, intercept / 2)
            wide[:, present], low[present] = coef, intercept
            coef, intercept = wide, low
        return cls(coef, intercept, job.kind)

    def predict(self, Z: np.ndarray) -> np.ndarray:
        """As :meth:`Fitted.predict`."""
        margins = np.asarray(Z @ self.coef.astype(Z.dtype), dtype=float) + self.intercept
        return find_kind(self.kind).output.of_margins(margins)

    def save(self, folder: Path) -> None:
        """As :meth:`Fitted.save`."""
        from safetensors.numpy import save_file

        arrays = {"coef": np.ascontiguousarray(self.coef), "intercept": np.ascontiguousarray(self.intercept)}
        save_file(arrays, folder / "linear.safetensors")

    @classmethod
    def load(cls, folder: Path, kind: str, classes: int) -> Linear:
        """Read what :meth:`save` wrote."""
        from safetensors.numpy import load_file

        arrays = load_file(folder / "linear.safetensors")
        return cls(arrays["coef"], arrays["intercept"], kind)


class Estimator:
    """Any other fitted scikit-learn estimator."""

    FORMAT: ClassVar[str] = "skops"

    def __init__(self, estimator: BaseEstimator, kind: str, classes: int) -> None:
        self.estimator, self.kind, self.classes = estimator, kind, classes
        self.history: Curves = {}
        self.notes: Notes = {}

    def predict(self, Z: np.ndarray) -> np.ndarray:
        """As :meth:`Fitted.predict`."""
        if not find_kind(self.kind).output.classes:
            return np.asarray(self.estimator.predict(Z), dtype=float)
        found = np.asarray(self.estimator.predict_proba(Z), dtype=float)
        present = np.asarray(self.estimator.classes_, dtype=int)
        if len(present) == self.classes:
            return found
        out = np.zeros((len(Z), self.classes))  # a class without training rows has probability 0
        out[:, present] = found
        return out

    def save(self, folder: Path) -> None:
        """As :meth:`Fitted.save`."""
        from tasks.fitting.archive import dump

        dump(self.estimator, folder / "estimator.skops")

    @classmethod
    def load(cls, folder: Path, kind: str, classes: int) -> Estimator:
        """Read what :meth:`save` wrote."""
        from tasks.fitting.archive import load

        return cls(load(folder / "estimator.skops"), kind, classes)


def fit_linear(estimator: BaseEstimator, job: Job) -> Linear:
    """Fit a linear scikit-learn estimator and keep its coefficients."""
    estimator.fit(job.X, job.output.targets(job.y), **_weight(job))
    return Linear.of(estimator, job)


def fit_estimator(estimator: BaseEstimator, job: Job) -> Estimator:
    """Fit a scikit-learn estimator; one thread is used for predictions, which is quickest for a row."""
    estimator.fit(job.X, job.output.targets(job.y), **_weight(job))
    if "n_jobs" in estimator.get_params(deep=False):
        estimator.set_params(n_jobs=None)
    return Estimator(estimator, job.kind, job.classes)


def sampled(job: Job, rows: int) -> Job:
    """The job on at most ``rows`` training rows, drawn with its seed; for families whose time grows faster than rows."""
    if len(job.X) <= rows:
        return replace(job)
    at = np.sort(np.random.default_rng(job.seed).choice(len(job.X), rows, replace=False))
    if job.output.classes:  # a class that the draw missed keeps its first row
        lost = np.setdiff1d(np.unique(job.y), np.unique(job.y[at]))
        at = np.union1d(at, [int(np.argmax(job.y == value)) for value in lost]).astype(int)
    weight, groups = (None if values is None else values[at] for values in (job.weight, job.groups))
    return replace(job, X=job.X[at], y=job.y[at], weight=weight, groups=groups, memo={})


def refuse_weights(job: Job, name: str) -> None:
    """For families that cannot weigh rows, which say so by ``WEIGHS = False``."""
    if job.weight is not None:
        raise cannot_weigh(name)


def cannot_weigh(name: str) -> RefitError:
    """What is told where rows are to be weighed, and the family cannot."""
    return RefitError(
        f"training.imbalance: class_weight weighs rows, and {name} cannot; use smote, adasyn, under_sample "
        f"or smote_tomek, or leave {name} out of models"
    )


def _weight(job: Job) -> dict[str, np.ndarray]:
    return {} if job.weight is None else {"sample_weight": job.weight}
