"""What the candidates said: reading their scores, refusing those that cannot be judged, and mixing them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from pydantic import JsonValue

from tasks.artifacts import Candidate
from tasks.ensembles import combine
from tasks.errors import RefitError
from tasks.fitting.calibration import calibrate, mixed
from tasks.kinds import find_kind
from tasks.params import Params
from tasks.stored import Frame

SPLITS = ("valid", "test")


@dataclass(frozen=True)
class Split:
    """Rows of one split: position in the validated table, and the truth; both (n,)."""

    rows: np.ndarray
    y: np.ndarray


@dataclass(frozen=True)
class Mix:
    """How an ensemble was made: its members and weights, the calibration of their mean, and why it is better."""

    members: list[str]
    weights: list[float]
    calibration: dict[str, JsonValue] | None
    reason: str


@dataclass(frozen=True)
class Contestant:
    """What may be chosen, a ``fitted`` family or a ``mix`` of them: scores by split, in the order of :class:`Split`'s rows."""

    family: str
    scores: dict[str, np.ndarray]
    fitted: Candidate | None = None
    mix: Mix | None = None


def splits_of(features: Frame, kind: str, classes: list[str]) -> dict[str, Split]:
    """Validation and test rows of the feature table.

    Raises
    ------
    RefitError
        If a split has no rows, a label is missing, or a classification split holds one class only.
    """
    out = {}
    for name in SPLITS:
        part = features[features["__split__"] == name]
        y = part["__target__"].to_numpy(dtype=float)
        if len(part) == 0:
            raise RefitError(f"split: no labelled rows fall into {name!r}. Make split.{name} larger.")
        if find_kind(kind).targeted and not np.isfinite(y).all():
            count = int((~np.isfinite(y)).sum())
            raise RefitError(f"data/features: {count} rows of split {name!r} have no label. Run `refit run` again.")
        if find_kind(kind).output.classes and len(np.unique(y)) < 2:
            only = classes[int(y[0])]
            raise RefitError(
                f"split: all {len(y):,} rows of {name!r} are of class {only!r}; nothing can be measured on one class. "
                f"Make split.{name} larger, or split at random."
            )
        out[name] = Split(part["__row__"].to_numpy(), y)
    return out


def scores_of(
    family: str, predictions: pd.DataFrame, splits: dict[str, Split], classes: list[str], kind: str
) -> dict[str, np.ndarray]:
    """A family's scores by split, brought into the order of the splits' rows.

    Raises
    ------
    RefitError
        If rows are missing, doubled or too many, or a score is missing, infinite or no probability.
    """
    path = f"data/models/{family}/predictions.parquet"
    columns = [f"score_{k}" for k in range(len(classes))] or ["score"]
    remedy = f"Train {family} again (`refit run`)."
    lacking = [c for c in ("__row__", "__split__", *columns) if c not in predictions]
    if lacking:
        raise RefitError(f"{path}: lacks the columns {lacking}. {remedy}")
    out = {}
    for name, split in splits.items():
        part = predictions[predictions["__split__"] == name]
        if len(part) != len(split.rows):
            raise RefitError(
                f"{path}: {len(part):,} predictions for the {len(split.rows):,} rows of split {name!r}. {remedy}"
            )
        index = pd.Index(part["__row__"])
        at = index.get_indexer(split.rows) if index.is_unique else np.array([-1])
        if (at < 0).any():
            raise RefitError(f"{path}: the predictions of split {name!r} are for other rows. {remedy}")
        scores = part[columns].to_numpy(dtype=float)[at]
        check_scores(scores, kind, f"{path}, split {name!r}", remedy)
        out[name] = scores[:, 0] if columns == ["score"] else scores
    return out


def check_scores(scores: np.ndarray, kind: str, where: str, remedy: str) -> None:
    """Refuse scores that are missing or infinite, or cannot be of this kind of problem."""
    bad = ~np.isfinite(scores.reshape(len(scores), -1)).all(axis=1)
    if bad.any():
        raise RefitError(f"{where}: {int(bad.sum()):,} scores are missing or infinite. {remedy}")
    find_kind(kind).check_scores(scores, where, remedy)


def ensemble_of(candidates: list[Contestant], splits: dict[str, Split], params: Params) -> Contestant | None:
    """The mix of candidates by ``training.ensembles``; None where none is better on validation rows than the best alone.

    By the default calibration it is calibrated as a whole, since a mean of calibrated probabilities is not.
    """
    problem = params.problem
    found = combine(
        {c.family: c.scores["valid"] for c in candidates},
        splits["valid"].y,
        problem.kind,
        problem.metric,
        params.training.ensembles,
        params.seed,
    )
    if found["method"] == "single":
        return None
    by_name = {c.family: c.scores for c in candidates}
    each = {name: [by_name[m][name] for m in found["members"]] for name in splits}
    fixed = None
    if params.training.calibration == "auto":
        fixed = calibrate("auto", mixed(each["valid"], found["weights"], None), splits["valid"].y, problem.kind)
    single = found["single"]
    reason = (
        f"the ensemble by {found['method']} of {', '.join(found['members'])} has a {problem.metric} of "
        f"{found['tried'][found['method']]:.4g} on validation rows that its weights were not fitted on; the best single "
        f"candidate is {single['family']} ({single['value']:.4g})."
    )
    mix = Mix(found["members"], found["weights"], fixed.state() if fixed else None, reason)
    scores = {name: mixed(each[name], found["weights"], fixed) for name in splits}
    return Contestant(found["method"], scores, mix=mix)
