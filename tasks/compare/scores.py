"""Both models' scores on the same unseen rows, checked, and what each of them got right."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import pandas as pd

from tasks.bundle import Bundle
from tasks.bundle.asked import Asked
from tasks.errors import RefitError, shortened, some
from tasks.kinds import Decided, Kind, find_kind
from tasks.values.levels import level


class Incomparable(RefitError):
    """The two models cannot be compared on these rows; the champion stays, and the message says what to do."""


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
        """How many rows."""
        return len(self.y)

    @property
    def problem(self) -> Kind:
        """What kind of problem it is."""
        return find_kind(self.kind)

    @cached_property
    def decided(self) -> Decided | None:
        """Both models' decisions, taken so that they can be compared; None where answers are no decisions."""
        return self.problem.decided(self.challenger, self.champion, self.thresholds)

    @cached_property
    def right(self) -> tuple[np.ndarray, np.ndarray]:
        """Whether each model's decision is right, row by row (0/1)."""
        assert self.decided is not None
        return (self.decided.challenger == self.y).astype(float), (self.decided.champion == self.y).astype(float)

    def take(self, chosen: np.ndarray) -> Pair:
        """Some of the rows, by mask or position."""
        return replace(
            self,
            y=self.y[chosen],
            challenger=self.challenger[chosen],
            champion=self.champion[chosen],
            time=self.time.iloc[np.flatnonzero(chosen) if chosen.dtype == bool else chosen],
            clusters={name: labels[chosen] for name, labels in self.clusters.items()},
        )


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
    """The truth of the compared rows; refused where there are no rows, a label is missing, or all are of one class."""
    y = np.asarray(target, dtype=float)
    if len(y) == 0:
        raise RefitError("split.test: no labelled rows to compare on; no verdict. Make split.test larger.")
    if find_kind(kind).targeted and not np.isfinite(y).all():
        raise RefitError(f"{int((~np.isfinite(y)).sum()):,} of the {len(y):,} test rows have no label; no verdict.")
    if find_kind(kind).output.classes and len(np.unique(y)) < 2:
        raise RefitError(
            f"split.test: all {len(y):,} rows are of class {classes[int(y[0])]!r}, so nothing tells two models apart; "
            "no verdict. Make split.test larger."
        )
    return y


def champion_scores(champion: Bundle, challenger: Bundle, asked: Asked) -> tuple[np.ndarray, pd.DataFrame]:
    """The champion's scores of the asked rows, in its own classes, and its categorical features.

    Its features are its own plan's.

    Raises
    ------
    Incomparable
        If the kinds of problem differ, or the features cannot be computed.
    """
    if champion.kind != challenger.kind:
        raise Incomparable(
            f"the champion predicts a {champion.kind} target, this run a {challenger.kind} one. "
            "Give the new problem another problem.name."
        )
    try:
        return asked.answers(champion)
    except (RefitError, KeyError, ValueError, TypeError) as error:
        if champion.plan.hash == challenger.plan.hash:  # then it is no matter of what the tables have
            raise
        raise Incomparable(
            f"the champion's features cannot be computed from these tables ({_said(error)}). "
            "Keep the columns that it needs, or give the changed problem another problem.name."
        ) from error


@dataclass(frozen=True)
class Aligned:
    """Both models' scores in the same classes, ``keep`` (n,) the rows that both can answer, and the champion's threshold."""

    y: np.ndarray
    challenger: np.ndarray
    champion: np.ndarray
    threshold: float
    keep: np.ndarray
    warnings: list[str]


def align(y: np.ndarray, mine: np.ndarray, theirs: np.ndarray, challenger: tuple[str, ...], champion: tuple[str, ...],
          threshold: float) -> Aligned:  # fmt: skip
    """Scores, truth and threshold so that they speak of the same classes.

    Two classes in the other order are turned round, the champion's threshold with them. Several classes of which one side
    does not know all: rows of the classes that both know are judged, by the scores among these.

    Parameters
    ----------
    y : (n,) class indices of the challenger. mine, theirs : (n, k) scores in the order of ``challenger``, ``champion``.
    threshold : of the champion's second class, where there are two.

    Raises
    ------
    Incomparable
        If a class was renamed, or may have been: each side knows one that the other does not.
    """
    whole = np.ones(len(y), dtype=bool)
    if challenger == champion:
        return Aligned(y, mine, theirs, threshold, whole, [])
    appeared, gone = [c for c in challenger if c not in champion], [c for c in champion if c not in challenger]
    if appeared and gone:
        raise Incomparable(
            f"the champion knows the classes {some(champion)}, the data has {some(challenger)}: classes were renamed, or it "
            "is another problem. Write the old names in the data, or give the new problem another problem.name."
        )
    order = [champion.index(c) for c in challenger if c in champion]
    if not appeared and not gone:
        if len(challenger) > 2:
            return Aligned(y, mine, theirs[:, order], threshold, whole, [])
        # Our alarm is where it raises none: from the smallest of those scores on, as 1 - threshold may round otherwise.
        alarms = theirs[theirs[:, 1] < threshold, 0]
        turned = float(alarms.min()) if len(alarms) else 2.0
        told = f"The positive class is {challenger[1]!r} now, and was {champion[1]!r} for the champion; its answers are turned round."
        return Aligned(y, mine, theirs[:, order], turned, whole, [told])
    common = [c for c in challenger if c in champion]
    if len(common) < 2:
        raise Incomparable(
            f"the champion knows the classes {some(champion)}, the data has {some(challenger)}: with one class in common "
            "nothing tells the models apart. Give the new problem another problem.name."
        )
    own = [challenger.index(c) for c in common]
    keep = np.isin(y, own)
    index = np.full(len(challenger), -1)
    index[own] = np.arange(len(own))
    left = int((~keep).sum())
    told = (
        f"The champion does not know the class {some(appeared)}: {left:,} rows of it are left out, and both models are judged on "
        f"the classes that both know." if appeared
        else f"The class {some(gone)}, which the champion knows, is not in the data; both models are judged on the other classes."
    )  # fmt: skip
    return Aligned(
        index[y.astype(np.int64)].astype(float), _among(mine[:, own]), _among(theirs[:, order]), threshold, keep, [told]
    )


def _among(scores: np.ndarray) -> np.ndarray:
    """Probabilities given that it is one of these classes; even where none of them got any."""
    total = scores.sum(axis=1, keepdims=True)
    return np.where(total > 0, scores / np.where(total > 0, total, 1), 1 / scores.shape[1])


KNOWN = 0.5  # of the levels that a champion should know, a smaller share is no longer the column that it was fitted on


def unknown_levels(features: pd.DataFrame, reference: pd.DataFrame) -> list[str]:
    """What is said of the champion's categorical features whose levels in these rows are mostly new to it, as by another spelling.

    How many rows of new levels are ordinary is told by its own sample of training rows: the share of levels that stand
    there once (Good, 1953).

    Parameters
    ----------
    features : the compared rows' categorical features, as the champion computes them. reference : its training rows'.
    """
    out = []
    for name in features.columns:
        now, then = features[name].dropna(), reference[name].dropna()
        if now.empty or then.empty:
            continue
        counts = then.value_counts()
        expected = 1 - float((counts == 1).sum()) / len(then)
        known = now.isin({level(value) for value in counts.index})  # packages of old wrote some levels otherwise
        if float(known.mean()) < KNOWN * expected:
            fresh = [str(v) for v in now[~known].value_counts().index[:3]]
            usual = [str(v) for v in counts.index[:3]]
            out.append(
                f"the champion knows {known.mean():.0%} of the values of {name!r} in these rows: they are {some(fresh)}, "
                f"and it was fitted on {some(usual)}"
            )
    return out


def _said(error: BaseException) -> str:
    """What went wrong, in at most 200 characters.

    >>> len(_said(ValueError("x" * 300))), _said(KeyError("age"))
    (200, "column 'age' is missing")
    """
    text = f"column {error} is missing" if isinstance(error, KeyError) else str(error).rstrip(".")
    return shortened(text, 200)
