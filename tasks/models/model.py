"""From a feature frame to a model and back from disk: encoder, estimator and calibration in one object."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from safetensors import SafetensorError

from tasks.artifacts import NetworkForm
from tasks.encoding import Encoder
from tasks.encoding.category import STAND_INS
from tasks.encoding.encoder import Unseen
from tasks.errors import RefitError
from tasks.families import find_family
from tasks.files import read_json, write_json
from tasks.fitting.base import Compress, Counts, Curves, Fitted, Fold, Job, Log, Notes, Turn, Watch
from tasks.fitting.calibration import Calibration, calibrate, check_method
from tasks.fitting.setup import Setup
from tasks.fitting.space import Settings
from tasks.kinds import find_kind
from tasks.models.bag import Bag, Joined
from tasks.models.check import check_kind, compresses
from tasks.models.formats import load_fitted
from tasks.models.turns import one_turn, replay
from tasks.process import threads

STRIDES = (1, 3, 5, 7)  # in such steps eight stand-ins come in four different orders


def resolved(name: str, params: Settings) -> tuple[str, Settings]:
    """The family that is really fitted: ``auto`` carries its choice in the parameter ``family``."""
    if name != "auto":
        return name, params
    rest = {k: v for k, v in params.items() if k != "members"}  # of a bag the leading member
    return str(rest.pop("family")), rest


def expected(fitted: Fitted, Z: np.ndarray, unseen: list[Unseen]) -> np.ndarray:
    """Scores of encoded rows; of those with new levels the mean over the levels that stand in for them.

    Where several columns have one, their stand-ins come in different orders.
    """
    scores = fitted.predict(Z)
    if not unseen:
        return scores
    rows = np.logical_or.reduce([one.rows for one in unseen])
    part = Z[rows]
    total = np.zeros(())
    for turn in range(STAND_INS):
        for number, one in enumerate(unseen):
            place = turn * STRIDES[number % len(STRIDES)] + number // len(STRIDES)
            part[one.rows[rows], one.column] = one.codes[place % len(one.codes)]
        total = total + fitted.predict(part)
    scores = np.array(scores)
    scores[rows] = total / STAND_INS
    return scores


@dataclass
class Prepared:
    """Encoded rows on which one family may be fitted many times."""

    family: str
    setup: Setup
    encoder: Encoder
    Z: np.ndarray
    y: np.ndarray
    Z_valid: np.ndarray
    y_valid: np.ndarray
    weight: np.ndarray | None = None
    groups: np.ndarray | None = None  # of rows that were made: see Job
    memo: dict[str, Any] = field(default_factory=dict)
    unseen: list[Unseen] = field(default_factory=list)  # new levels of the validation rows
    counts: Counts = field(default_factory=dict)

    def scores(self, fitted: Fitted) -> np.ndarray:
        """Scores of the validation rows, as :meth:`Model.raw` gives them."""
        return expected(fitted, self.Z_valid, self.unseen)

    def fit(
        self, params: Settings, *, deadline: float | None = None, watch: Watch | None = None, log: Log | None = None
    ) -> Fitted:
        """Fit the family with ``params``. ``watch`` is asked at each step whether to stop (see :class:`Job`)."""
        family, job = find_family(self.family), self.job(deadline, watch, log)
        return replay(family, params, job) if "turns" in params else family.fit(params, job)

    def turn(self, params: Settings, turn: Turn, deadline: float | None = None) -> Fitted:
        """Go on from a state with ``params`` for one turn (see :mod:`tasks.models.turns`)."""
        return one_turn(find_family(self.family), params, self.job(deadline), turn)

    def job(self, deadline: float | None = None, watch: Watch | None = None, log: Log | None = None) -> Job:
        """What the family is given to fit."""
        return Job(
            kind=self.setup.kind,
            classes=self.setup.classes,
            X=self.Z,
            y=self.y,
            X_valid=self.Z_valid,
            y_valid=self.y_valid,
            weight=self.weight,
            coded=self.encoder.coded,
            names=self.encoder.names,
            seed=self.setup.seed,
            threads=threads(),
            device=self.setup.device,
            groups=self.groups,
            deadline=deadline,
            watch=watch,
            log=log,
            memo=self.memo,
        )


def prepare(family: str, fold: Fold, setup: Setup) -> Prepared:
    """Balance and encode training rows as ``family`` needs them; validation rows are only encoded.

    Raises
    ------
    RefitError
        If the family does not serve the kind, or the rows cannot be balanced as asked.
    """
    kind, how = setup.kind, setup.imbalance
    check_kind(family, kind)
    X, y = fold.X, fold.y
    weight = groups = None
    counts: Counts = {}
    if how != "none":
        from tasks.fitting.imbalance import balanced_weight, resample

        if not find_kind(kind).balanced:
            raise RefitError(f"training.imbalance: {how!r} needs classes, and problem.kind is {kind!r}")
        if how == "class_weight":
            weight = balanced_weight(y, setup.classes)
        else:
            counts["before"] = np.bincount(y.astype(int), minlength=setup.classes).tolist()
            balanced = resample(X, y, how, setup.seed, setup.columns)
            X, y = balanced.X, balanced.y
            counts["after"] = np.bincount(y.astype(int), minlength=setup.classes).tolist()
            groups = balanced.origin if balanced.made.any() else None
    encoder, Z = Encoder.fit_transform(
        X, y, find_family(family).NEEDS, kind, kinds=setup.columns, seed=setup.seed, groups=groups, **setup.encode
    )
    Z_valid = encoder.transform(fold.X_valid)
    unseen = encoder.unseen(fold.X_valid, Z_valid)
    return Prepared(family, setup, encoder, Z, y, Z_valid, fold.y_valid, weight, groups, unseen=unseen, counts=counts)


@dataclass
class Model:
    """A fitted family with its encoder: scores straight from a feature frame."""

    family: str
    kind: str
    classes: int
    encoder: Encoder | Joined
    fitted: Fitted
    calibration: Calibration | None = None
    params: Settings = field(default_factory=dict)
    forms: list[NetworkForm] = field(default_factory=list)  # where it was compressed
    row_ms: dict[str, float] = field(default_factory=dict)  # then, by form
    counts: Counts = field(default_factory=dict)  # as in Prepared

    @property
    def history(self) -> Curves:
        """Loss curves by name."""
        return self.fitted.history

    @property
    def notes(self) -> Notes:
        """What the fit decided by itself, such as the number of rounds."""
        return self.fitted.notes

    def predict(self, X: pd.DataFrame) -> np.ndarray:
        """``(n, classes)`` probabilities, or ``(n,)`` numbers; float64.

        Of a row with a level that training never saw, the mean over known levels that stand in for it.
        """
        return self._calibrated(self.raw(X))

    def raw(self, X: pd.DataFrame) -> np.ndarray:
        """:meth:`predict` before the calibration."""
        Z = self.encoder.transform(X)
        return expected(self.fitted, Z, self.encoder.unseen(X, Z))

    def score(self, Z: np.ndarray) -> np.ndarray:
        """The same from encoded rows, in which no level is new."""
        return self._calibrated(self.fitted.predict(Z))

    def _calibrated(self, scores: np.ndarray) -> np.ndarray:
        return scores if self.calibration is None else self.calibration.apply(scores)


def fit_family(
    name: str,
    params: Settings,
    fold: Fold,
    setup: Setup,
    *,
    compression: Compress | None = None,
    fitted: Fitted | None = None,
    log: Log | None = None,
) -> Model:
    """Fit one family on a feature frame.

    Parameters
    ----------
    name, params : the family and its parameters (its own defaults where left out).
    fold : training rows, and rows for early stopping and calibration.
    compression : how smaller forms are made, where the smallest good one is to be kept.
    fitted : what tuning has trained on these very rows, in place of another fit.

    Raises
    ------
    RefitError
        If the family does not serve the kind, cannot be fitted on such rows, or is to be compressed and cannot.
    """
    name, params = resolved(name, params)
    if "imbalance" in params:  # a member of auto may have been better without
        setup = replace(setup, imbalance=str(params["imbalance"]))
        params = {k: v for k, v in params.items() if k != "imbalance"}
    check_method(setup.calibration, setup.kind)
    family = find_family(name)
    if compression and not compresses(family):
        raise RefitError(
            f"training.compression: {name} has no smaller form; name others in training.compression.families"
        )
    prepared = prepare(name, fold, setup)
    if fitted is None:
        fitted = prepared.fit(params, log=log)
    model = Model(name, setup.kind, setup.classes, prepared.encoder, fitted, params=params, counts=prepared.counts)

    def calibrated(scores: np.ndarray) -> Calibration | None:
        return calibrate(setup.calibration, scores, fold.y_valid, setup.kind)

    if compression and compresses(family):

        def scores(form: Fitted) -> np.ndarray:
            found = prepared.scores(form)
            fixed = calibrated(found)
            return found if fixed is None else fixed.apply(found)

        settings = {name: value for name, value in params.items() if name != "turns"}
        job = prepared.job(log=log)
        model.fitted, model.forms, model.row_ms = family.smaller(fitted, settings, job, compression, scores)
    if setup.calibration != "none" and find_kind(setup.kind).calibrated:
        model.calibration = calibrated(prepared.scores(model.fitted))
    return model


def save_model(model: Model, folder: str | Path) -> None:
    """Write a model as JSON and array files; no pickle, and the same bytes for the same model."""
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    write_json(
        folder / "model.json",
        {
            "family": model.family,
            "params": model.params,
            "kind": model.kind,
            "classes": model.classes,
            "format": model.fitted.FORMAT,
            "calibration": model.calibration.state() if model.calibration else None,
        },
    )
    model.encoder.save(folder)
    model.fitted.save(folder)


def load_model(folder: str | Path) -> Model:
    """Read what :func:`save_model` wrote; predictions are equal to the saved model's.

    Raises
    ------
    RefitError
        If a file is missing or damaged, or holds a type that is not allowed.
    """
    folder = Path(folder)
    state = read_json(folder / "model.json")
    try:
        form, of = state["format"], (state["kind"], state["classes"])
        encoder: Encoder | Joined
        fitted: Fitted
        if form == Bag.FORMAT:
            encoder, fitted = Joined.load(folder), Bag.load(folder, *of)
        else:
            encoder, fitted = Encoder.load(folder), load_fitted(form, folder, *of)
    except FileNotFoundError as error:
        raise RefitError(f"{folder}: a file of the model is missing ({error}); train again.") from None
    except (SafetensorError, OSError, ValueError, KeyError, RuntimeError) as error:
        raise RefitError(f"{folder}: damaged ({error}); train again.") from None
    calibration = Calibration.of(state["calibration"])
    return Model(state["family"], state["kind"], state["classes"], encoder, fitted, calibration, state["params"])
