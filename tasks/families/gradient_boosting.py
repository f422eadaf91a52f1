"""Histogram gradient boosting of scikit-learn, stopped early on the validation rows."""

from __future__ import annotations

from typing import Any

import numpy as np

from tasks.fitting.base import NATIVE_LEVELS, Fitted, Job, Turn, as_sets
from tasks.fitting.counts import Only
from tasks.fitting.estimators import Estimator
from tasks.fitting.space import Number, Settings, Space, as_int, whole
from tasks.kinds import MANY, NUMBER, TWO

NAME = "gradient_boosting"
OUTPUTS = (TWO, MANY, NUMBER)
ALSO = (  # parameters beside those of the space
    "rounds", "patience", "native_levels", "loss", "quantile", "max_depth", "max_bins", "monotonic_cst",
    "interaction_cst",
)  # fmt: skip
COUNTS = {
    "quantile": Only((NUMBER,), beside={"loss": ("quantile",)}),
    "monotonic_cst": Only((TWO, NUMBER)),
}
NEEDS = "trees"
HARDWARE = "cpu"
STEPS = True
EVERY = 10  # rounds between looks at the validation rows
CHANGEABLE = ()  # all: each tree is grown by itself
TURNED = ("rounds", "patience")
TURN = 25  # rounds
BINS = 255  # scikit-learn's own


def space(kind: str, rows: int, columns: int) -> Space:
    return {
        "learning_rate": Number(0.05 if rows > 20_000 else 0.02, 0.3, 0.1, log=True),
        "max_leaf_nodes": whole(7, 63, 31, log=True, limits=(2, 1e6)),
        "min_samples_leaf": whole(5, max(10, min(200, rows // 20)), 40 if rows > 5000 else 10, log=True),
        "l2_regularization": Number(1e-3, 30, 1.0, log=True),
        "max_features": Number(0.2, 1.0, 0.5, limits=(0.01, 1.0)),
    }


def fit(params: Settings, job: Job) -> Fitted:
    from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor

    base = HistGradientBoostingClassifier if job.output.classes else HistGradientBoostingRegressor

    class Watched(base):  # type: ignore[misc, valid-type]
        """scikit-learn has no callback here; this private hook sees each round's validation margins."""

        def _check_early_stopping_loss(self, *args: Any, **named: Any) -> bool:
            stop = super()._check_early_stopping_loss(*args, **named)
            done = len(self.validation_score_) - 1
            raw = named.get("raw_predictions_val", args[3] if len(args) > 3 else None)
            if done and done % EVERY == 0 and raw is not None:
                job.step(done, lambda: job.output.of_margins(raw))
            return stop or job.late

    how = dict(params)
    patience = as_int(how.pop("patience", 20))
    estimator = Watched(
        **{
            "max_iter": as_int(how.pop("rounds", 400)),
            "early_stopping": True,
            "n_iter_no_change": patience,
            "tol": 0.0,
            "categorical_features": _sets(job, how) or None,
            "random_state": job.seed,
            **how,
        }
    )
    labels, valid = job.output.targets(job.y), job.output.targets(job.y_valid)
    known = np.isin(valid, labels) if job.output.classes else np.ones(len(valid), dtype=bool)
    estimator.fit(job.X, labels, sample_weight=job.weight, X_val=job.X_valid[known], y_val=valid[known])
    estimator.__class__ = base
    losses = [-float(v) for v in estimator.validation_score_[1:]]
    best = int(np.argmin(losses)) + 1
    del estimator._predictors[best:]
    estimator._bin_mapper.n_threads = 1  # as many as this machine had, and only a fit would use them
    fitted = Estimator(estimator, job.kind, job.classes)
    fitted.history = {"train_loss": [-float(v) for v in estimator.train_score_[1:]], "valid_loss": losses}
    fitted.notes = {"rounds": best}
    return fitted


def go_on(params: Settings, job: Job, turn: Turn) -> Fitted:
    """More trees on top of those there are; draws of columns go on as well."""
    from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor

    how = dict(params)
    sets = _sets(job, how) or None
    if turn.before is None:
        base = HistGradientBoostingClassifier if job.output.classes else HistGradientBoostingRegressor
        estimator = base(
            early_stopping=False, categorical_features=sets, random_state=job.seed, warm_start=True, max_iter=TURN
        )
    else:
        estimator = Estimator.load(turn.before, job.kind, job.classes).estimator
        estimator.set_params(max_iter=estimator.n_iter_ + TURN)
    estimator.set_params(**how)
    estimator.fit(job.X, job.output.targets(job.y), sample_weight=job.weight)
    estimator._bin_mapper.n_threads = 1  # as in fit
    fitted = Estimator(estimator, job.kind, job.classes)
    fitted.notes = {"rounds": estimator.n_iter_}
    return fitted


def _sets(job: Job, how: Settings) -> list[int]:
    """Columns whose categories are split as sets: scikit-learn has a bin for each level, so no more levels than bins."""
    most = min(as_int(how.get("native_levels", NATIVE_LEVELS)), as_int(how.get("max_bins", BINS)))
    how["native_levels"] = most
    return as_sets(job.coded, how)
