"""Both models' scores on the same unseen rows, checked, and what each of them got right."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from tasks.bundle import Bundle
from tasks.errors import RefitError, some


@dataclass(frozen=True)
class Pair:
    """Truth and both models' scores on the same rows.

    ``y`` (n,); scores (n, n_classes) or (n,). ``time`` (n,) is the rows' prediction time, NaT where there is
    none; ``clusters`` are labels (n,) by the name of what they have in common.
    """

    kind: str
    y: np.ndarray
    challenger: np.ndarray
    champion: np.ndarray
    thresholds: tuple[float, float]
    time: pd.Series
    clusters: dict[str, np.ndarray]

    @property
    def n(self) -> int:
        return len(self.y)


def checked(scores: np.ndarray, n: int, whose: str) -> np.ndarray:
    """Refuse scores that do not fit the rows, or are missing or infinite."""
    scores = np.asarray(scores, dtype=float)
    if len(scores) != n:
        raise RefitError(f"{whose}: {len(scores):,} predictions for {n:,} rows; no verdict. Package the model again.")
    bad = ~np.isfinite(scores.reshape(n, -1)).all(axis=1)
    if bad.any():
        raise RefitError(
            f"{whose}: {int(bad.sum()):,} of {n:,} predictions are missing or infinite; no verdict. "
            "Look at the features of those rows, and train again."
        )
    return scores


def labels(target: np.ndarray, kind: str, classes: tuple[str, ...]) -> np.ndarray:
    """The truth of the compared rows; refused where there is none, or only one class."""
    y = np.asarray(target, dtype=float)
    if len(y) == 0:
        raise RefitError("split.test: no labelled rows to compare on; no verdict. Make split.test larger.")
    if not np.isfinite(y).all():
        raise RefitError(f"{int((~np.isfinite(y)).sum()):,} of the {len(y):,} test rows have no label; no verdict.")
    if kind != "regression" and len(np.unique(y)) < 2:
        raise RefitError(
            f"split.test: all {len(y):,} rows are of class {classes[int(y[0])]!r}, so nothing tells two models apart; "
            "no verdict. Make split.test larger."
        )
    return y


def champion_scores(champion: Bundle, challenger: Bundle, features: pd.DataFrame, rows: pd.DataFrame,
                    tables: dict[str, pd.DataFrame]) -> np.ndarray:  # fmt: skip
    """The champion's scores of ``rows`` in the challenger's classes.

    Its features are its own plan's; where both plans are the same, ``features`` are used again.
    """
    if champion.kind != challenger.kind:
        raise RefitError(
            f"problem.kind: the champion predicts a {champion.kind} target, this run a {challenger.kind} one. "
            "They cannot be compared; give the new problem another problem.name."
        )
    if champion.plan.hash != challenger.plan.hash:
        try:
            features = champion.compute(rows, tables)
        except (RefitError, KeyError, ValueError, TypeError) as error:
            raise RefitError(
                f"data/champion: the champion's features cannot be computed from these tables ({_said(error)}). "
                "Keep the columns that it needs, or give the changed problem another problem.name."
            ) from error
    scores = champion.predict(features)
    if champion.kind == "regression" or champion.classes == challenger.classes:
        return scores
    if not set(champion.classes) & set(challenger.classes):
        raise RefitError(
            f"problem.target: the champion knows the classes {some(champion.classes)}, the data has "
            f"{some(challenger.classes)}. Give the new problem another problem.name."
        )
    # A class that the champion does not know gets no probability from it: on such rows it is wrong.
    aligned = np.zeros((len(scores), len(challenger.classes)))
    for k, name in enumerate(champion.classes):
        if name in challenger.classes:
            aligned[:, challenger.classes.index(name)] = scores[:, k]
    return aligned


def _said(error: BaseException) -> str:
    text = f"column {error} is missing" if isinstance(error, KeyError) else str(error).rstrip(".")
    return text if len(text) <= 200 else text[:197] + "..."


def right(pair: Pair) -> tuple[np.ndarray, np.ndarray, str]:
    """Whether each model is right, row by row (0/1), and at which decisions that is judged, in words.

    Binary models whose thresholds were tuned (not both at 0.5) are judged at equal numbers of alarms: the
    champion's threshold sets the number, and the challenger raises its alarm on as many rows, those it
    scores highest. Otherwise moving a threshold alone, without knowing anything better, would look like
    a gain in accuracy. The labels play no part in it.
    """
    if pair.kind == "multiclass":
        one, two = pair.challenger.argmax(axis=1), pair.champion.argmax(axis=1)
        return (one == pair.y).astype(float), (two == pair.y).astype(float), "the most probable class"
    mine, theirs = pair.challenger[:, 1], pair.champion[:, 1]
    said = theirs >= pair.thresholds[1]
    if pair.thresholds == (0.5, 0.5):
        said_mine, how = mine >= 0.5, "both models at threshold 0.5"
    else:
        alarms = int(said.sum())
        said_mine = np.zeros(pair.n, dtype=bool)
        said_mine[np.argsort(-mine, kind="stable")[:alarms]] = True
        how = f"both models raise {alarms:,} alarms on these rows, as the champion's threshold does"
    return (said_mine == pair.y).astype(float), (said == pair.y).astype(float), how


def losses(y: np.ndarray, scores: np.ndarray, metric: str) -> np.ndarray:
    """Loss of each row, in the spirit of the problem's metric: smaller is better.

    Regression: the absolute error for ``mae`` and ``mape``, else the squared one. Classification: the log
    loss for ``log_loss``, else the squared error of the probabilities.
    """
    if scores.ndim == 1:
        return np.abs(scores - y) if metric in ("mae", "mape") else (scores - y) ** 2
    index = y.astype(np.int64)
    if metric == "log_loss":
        return -np.log(np.clip(scores[np.arange(len(y)), index], np.finfo(float).eps, 1.0))
    return ((scores - np.eye(scores.shape[1])[index]) ** 2).sum(axis=1)
