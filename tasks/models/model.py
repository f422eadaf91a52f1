"""From a feature frame to a model and back from disk: encoder, estimator and calibration in one object."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from safetensors import SafetensorError

from tasks.encoding import Encoder
from tasks.encoding.category import STAND_INS
from tasks.encoding.encoder import Unseen
from tasks.errors import RefitError, some
from tasks.families import find_family
from tasks.files import read_json, write_json
from tasks.fitting.base import Family, Fitted, Job, Turn
from tasks.fitting.calibration import Calibration, calibrate, check_method
from tasks.fitting.counts import check_params, idle_because, searched
from tasks.fitting.device import check_device
from tasks.fitting.estimators import cannot_weigh
from tasks.fitting.imbalance import ROWS
from tasks.fitting.space import Space, narrowed
from tasks.kinds import USUAL_LOSSES, find_kind, kind_names
from tasks.listed import family_names
from tasks.models.bag import Joined
from tasks.models.formats import load_fitted
from tasks.models.turns import one_turn, replay
from tasks.process import threads

if TYPE_CHECKING:
    from tasks.params import FamilyParams as Own
    from tasks.params import Params

LARGEST = 10**9, 10**6  # rows and columns
STRIDES = (1, 3, 5, 7)  # in such steps eight stand-ins come in four different orders


def serves(family: Family, kind: str) -> bool:
    """Whether a family gives what this kind of problem asks for, and can be fitted by its loss."""
    asked = find_kind(kind)
    return asked.output in family.OUTPUTS and asked.loss in getattr(family, "LOSSES", USUAL_LOSSES)


def check_kind(name: str, kind: str) -> None:
    """Refuse a family that does not serve this kind of problem, naming those that do."""
    family = find_family(name)
    if not serves(family, kind):
        able = [n for n in family_names() if serves(find_family(n), kind)]
        raise RefitError(
            f"models.{name}: serves {some([k for k in kind_names() if serves(family, k)])}, and problem.kind is {kind!r}. "
            f"Families for {kind}: {some(able, 40)}."
        )


def check_models(params: Params) -> None:
    """Refuse, before any stage runs, families that do not serve the problem, spaces outside their bounds, and a GPU for none.

    Parameters that a family does not know are refused, too.
    Bounds that depend on the rows are taken at their widest here; ``tune`` checks them again with the rows at hand.
    """
    kind = params.problem.kind
    for name, own in params.models.items():
        check_kind(name, kind)
        family = find_family(name)
        space = family.space(kind, *LARGEST)
        if name == "auto" and (own.params or own.space):
            key = "params" if own.params else "space"
            raise RefitError(
                f"models.auto.{key}: auto chooses families and their parameters by itself; name the family in models "
                "instead, or leave this out."
            )
        if params.training.imbalance == "class_weight" and not weighs(name):
            raise cannot_weigh(name)
        if params.training.imbalance in ROWS and name == "xgboost" and params.features.engine == "spark":
            raise RefitError(
                f"training.imbalance: {params.training.imbalance!r} makes rows, and features.engine: spark trains xgboost on "
                "Spark; set class_weight, which weighs them, or engine: local"
            )
        check_params(family, own.params, kind, narrowed(space, own.space, f"models.{name}.space"))
        _check_search(name, own, kind, space)
    check_device(params, {name: find_family(name).HARDWARE for name in params.models})


def _check_search(name: str, own: Own, kind: str, space: Space) -> None:
    """Refuse spaces of a family whose parameters are fixed, or would do nothing beside those that are."""
    family = find_family(name)
    left = searched(family, space, own.params, kind)
    for key in own.space:
        if key in own.params:
            raise RefitError(
                f"models.{name}.space.{key}: params fixes it to {own.params[key]!r} already; leave one out."
            )
        if key not in left:
            why = idle_because(family, key, own.params, kind, space)
            raise RefitError(f"models.{name}.space.{key}: {why}; remove it.")


def weighs(name: str) -> bool:
    """Whether a family can weigh rows; those that cannot say so by ``WEIGHS = False``."""
    return bool(getattr(find_family(name), "WEIGHS", True))


def compresses(name: str) -> bool:
    """Whether ``training.compression`` can make smaller forms of the family."""
    return bool(getattr(find_family(name), "COMPRESSES", False))


def resolved(name: str, params: dict[str, Any]) -> tuple[str, dict[str, Any]]:
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
    total: Any = 0.0
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
    kind: str
    classes: int
    encoder: Encoder
    Z: np.ndarray
    y: np.ndarray
    Z_valid: np.ndarray
    y_valid: np.ndarray
    weight: np.ndarray | None = None
    groups: np.ndarray | None = None  # of rows that were made: see Job
    memo: dict[str, Any] = field(default_factory=dict)
    unseen: list[Unseen] = field(default_factory=list)  # new levels of the validation rows
    counts: dict[str, list[int]] = field(
        default_factory=dict
    )  # training rows of each class, before and after balancing

    def scores(self, fitted: Fitted) -> np.ndarray:
        """Scores of the validation rows, as :meth:`Model.raw` gives them."""
        return expected(fitted, self.Z_valid, self.unseen)

    def fit(
        self,
        params: dict[str, Any],
        *,
        seed: int = 0,
        device: str = "cpu",
        deadline: float | None = None,
        watch: Callable[[int, Callable[[], np.ndarray]], bool] | None = None,
        log: Callable[[str], None] | None = None,
    ) -> Fitted:
        """Fit the family with ``params``. ``watch`` is asked at each step whether to stop (see :class:`Job`)."""
        family, job = find_family(self.family), self.job(seed, device, deadline, watch, log)
        return replay(family, params, job) if "turns" in params else family.fit(params, job)

    def turn(
        self, params: dict[str, Any], turn: Turn, *, seed: int = 0, device: str = "cpu", deadline: float | None = None
    ) -> Fitted:
        """Go on from a state with ``params`` for one turn (see ``_turns``)."""
        return one_turn(find_family(self.family), params, self.job(seed, device, deadline), turn)

    def job(
        self,
        seed: int,
        device: str,
        deadline: float | None = None,
        watch: Callable[[int, Callable[[], np.ndarray]], bool] | None = None,
        log: Callable[[str], None] | None = None,
    ) -> Job:
        """What the family is given to fit."""
        return Job(
            kind=self.kind,
            classes=self.classes,
            X=self.Z,
            y=self.y,
            X_valid=self.Z_valid,
            y_valid=self.y_valid,
            weight=self.weight,
            coded=self.encoder.coded,
            names=self.encoder.names,
            seed=seed,
            threads=threads(),
            device=device,
            groups=self.groups,
            deadline=deadline,
            watch=watch,
            log=log,
            memo=self.memo,
        )


def prepare(
    family: str,
    X: pd.DataFrame,
    y: np.ndarray,
    X_valid: pd.DataFrame,
    y_valid: np.ndarray,
    kind: str,
    classes: int,
    *,
    kinds: Mapping[str, str] | None = None,
    encode: Mapping[str, Any] | None = None,
    imbalance: str = "none",
    seed: int = 0,
) -> Prepared:
    """Balance and encode training rows as ``family`` needs them; validation rows are only encoded."""
    check_kind(family, kind)
    weight = groups = None
    counts: dict[str, list[int]] = {}
    if imbalance != "none":
        from tasks.fitting.imbalance import balanced_weight, resample

        if not find_kind(kind).balanced:
            raise RefitError(f"training.imbalance: {imbalance!r} needs classes, and problem.kind is {kind!r}")
        if imbalance == "class_weight":
            weight = balanced_weight(y, classes)
        else:
            counts["before"] = np.bincount(y.astype(int), minlength=classes).tolist()
            balanced = resample(X, y, imbalance, seed, kinds)
            X, y = balanced.X, balanced.y
            counts["after"] = np.bincount(y.astype(int), minlength=classes).tolist()
            groups = balanced.origin if balanced.made.any() else None
    needs = find_family(family).NEEDS
    encoder, Z = Encoder.fit_transform(X, y, needs, kind, kinds=kinds, seed=seed, groups=groups, **(encode or {}))
    Z_valid = encoder.transform(X_valid)
    unseen = encoder.unseen(X_valid, Z_valid)
    return Prepared(
        family, kind, classes, encoder, Z, y, Z_valid, y_valid, weight, groups, unseen=unseen, counts=counts
    )


@dataclass
class Model:
    """A fitted family with its encoder: scores straight from a feature frame."""

    family: str
    kind: str
    classes: int
    encoder: Encoder | Joined
    fitted: Fitted
    calibration: Calibration | None = None
    params: dict[str, Any] = field(default_factory=dict)
    forms: list[dict[str, Any]] = field(default_factory=list)  # of a compressed network, see _compress.chosen
    counts: dict[str, list[int]] = field(default_factory=dict)  # as in Prepared

    @property
    def history(self) -> dict[str, list[float]]:
        """Loss curves by name."""
        return self.fitted.history

    @property
    def notes(self) -> dict[str, Any]:
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
    params: dict[str, Any],
    X: pd.DataFrame,
    y: np.ndarray,
    X_valid: pd.DataFrame,
    y_valid: np.ndarray,
    kind: str,
    *,
    classes: int = 2,
    kinds: Mapping[str, str] | None = None,
    encode: Mapping[str, Any] | None = None,
    imbalance: str = "none",
    calibration: str = "none",
    seed: int = 0,
    device: str = "cpu",
    compression: Mapping[str, Any] | None = None,
    fitted: Fitted | None = None,
    log: Callable[[str], None] | None = None,
) -> Model:
    """Fit one family on a feature frame.

    Parameters
    ----------
    name, params : the family and its parameters (its own defaults where left out).
    X, y : training rows; ``y`` float64, class indexes for classification.
    X_valid, y_valid : rows for early stopping and calibration.
    kind, classes : of the problem; ``classes`` is 0 for regression.
    kinds : feature name to numeric, categorical or text.
    encode, imbalance, calibration, device : as in ``features.encode`` and ``training`` of params.
    compression : as in ``training`` of params, with ``measure`` and ``higher`` of the metric (see ``_compress.chosen``).
    fitted : what tuning has trained on these very rows, in place of another fit.

    Raises
    ------
    RefitError
        If the family does not serve the kind, cannot be fitted on such rows, or is to be compressed and cannot.
    """
    name, params = resolved(name, params)
    imbalance = params.get("imbalance", imbalance)  # a member of auto may have been better without
    params = {k: v for k, v in params.items() if k != "imbalance"}
    check_method(calibration, kind)
    if compression and not compresses(name):
        raise RefitError(
            f"training.compression: {name} has no smaller form; name others in training.compression.families"
        )
    prepared = prepare(
        name, X, y, X_valid, y_valid, kind, classes, kinds=kinds, encode=encode, imbalance=imbalance, seed=seed
    )
    if fitted is None:
        fitted = prepared.fit(params, seed=seed, device=device, log=log)
    model = Model(prepared.family, kind, classes, prepared.encoder, fitted, params=params, counts=prepared.counts)

    def calibrated(scores: np.ndarray) -> Calibration | None:
        return calibrate(calibration, scores, y_valid, kind)

    if compression:
        from tasks.families.mlp.compression import chosen

        def scores(form: Fitted) -> np.ndarray:
            found = prepared.scores(form)
            fixed = calibrated(found)
            return found if fixed is None else fixed.apply(found)

        settings = {name: value for name, value in params.items() if name != "turns"}
        model.fitted, model.forms = chosen(fitted, settings, prepared.job(seed, device, log=log), compression, scores)
    if calibration != "none" and find_kind(kind).calibrated:
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
        encoder = (Joined if state["format"] == "bag" else Encoder).load(folder)
        fitted = load_fitted(state["format"], folder, state["kind"], state["classes"])
    except FileNotFoundError as error:
        raise RefitError(f"{folder}: a file of the model is missing ({error}); train again.") from None
    except (SafetensorError, OSError, ValueError, KeyError, RuntimeError) as error:
        raise RefitError(f"{folder}: damaged ({error}); train again.") from None
    calibration = Calibration.of(state["calibration"])
    return Model(state["family"], state["kind"], state["classes"], encoder, fitted, calibration, state["params"])
