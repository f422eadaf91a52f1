"""What every family sees (:class:`Job`) and gives back (:class:`Fitted`)."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple, Protocol

import numpy as np

from tasks.fitting.space import Setting, Settings, Space, as_int
from tasks.kinds import Output, find_kind

if TYPE_CHECKING:
    import pandas as pd

    from tasks.artifacts import NetworkForm

Log = Callable[[str], None]
Predict = Callable[[], np.ndarray]  # scores of the validation rows, (n, classes) or (n,)
Watch = Callable[[int, Predict], bool]  # told of a step (rounds or epochs done); True: the fit is to stop
Curves = dict[str, list[float]]  # losses by step, by name
Notes = dict[str, Setting]  # what a fit decided by itself, by name
Counts = dict[str, list[int]]  # training rows of each class, before and after balancing


class Stopped(Exception):
    """Raised by :meth:`Job.step` where a pruner ends a trial, or time is up."""


class Fold(NamedTuple):
    """Rows to fit on, and rows for early stopping, calibration or judgement: features, and targets float64 ``(n,)``."""

    X: pd.DataFrame
    y: np.ndarray
    X_valid: pd.DataFrame
    y_valid: np.ndarray


@dataclass
class Job:
    """One fit: encoded training rows, encoded validation rows for early stopping, and what bounds it.

    ``X`` is ``(n, p)``, ``y`` float64 ``(n,)`` (class indexes for classification). ``coded`` maps the
    columns that hold category codes to their number of codes. ``groups`` ``(n,)``, where some rows were made from others,
    says which belong together, so that none is judged by a fit on a row that it was made from.
    """

    kind: str
    classes: int
    X: np.ndarray
    y: np.ndarray
    X_valid: np.ndarray
    y_valid: np.ndarray
    weight: np.ndarray | None = None
    coded: Mapping[int, int] = field(default_factory=dict)
    seed: int = 0
    threads: int = 1
    device: str = "cpu"
    groups: np.ndarray | None = None
    deadline: float | None = None  # time.monotonic() at which to stop with what there is
    watch: Watch | None = None
    log: Log | None = None
    names: Sequence[str] = ()  # of X's columns
    memo: dict[str, Any] = field(default_factory=dict)  # what a family keeps between fits on the same rows

    @property
    def output(self) -> Output:
        """What the model is to give for a row."""
        return find_kind(self.kind).output

    @property
    def loss(self) -> str:
        """What it is to be fitted by, one of the family's ``LOSSES``."""
        return find_kind(self.kind).loss

    @property
    def labels(self) -> np.ndarray:
        """``y`` as whole numbers."""
        return self.y.astype(np.int64)

    def step(self, number: int, predict: Predict) -> None:
        """Tell the tuner about step ``number`` (rounds or epochs done); ``predict`` scores the validation rows.

        Raises :class:`Stopped` where the trial is not worth going on.
        """
        if self.watch is not None and self.watch(number, predict):
            raise Stopped

    @property
    def late(self) -> bool:
        """Whether time is up."""
        return self.deadline is not None and time.monotonic() > self.deadline


@dataclass(frozen=True)
class Turn:
    """A part of a training that goes on from a state: ``number`` counts from 0; ``before`` is the folder that the turn
    before it wrote (None in the first), ``after`` the one that this turn writes.
    """

    number: int
    before: Path | None
    after: Path


NATIVE_LEVELS = 1000


class Fitted(Protocol):
    """A fitted estimator on encoded rows. ``FORMAT`` names it in ``model.json``."""

    FORMAT: ClassVar[str]
    history: Curves  # empty where there are none
    notes: Notes

    def predict(self, Z: np.ndarray) -> np.ndarray:
        """``(n, classes)`` probabilities, or ``(n,)`` numbers; float64."""

    def save(self, folder: Path) -> None:
        """Write files without a pickle whose bytes depend on the fitted state alone."""

    @classmethod
    def load(cls, folder: Path, kind: str, classes: int) -> Fitted:
        """Read what :meth:`save` wrote."""


Reader = Callable[[Path, str, int], Fitted]  # of a folder, a kind and its number of classes


@dataclass(frozen=True)
class Compress:
    """How smaller forms are made and judged: ``training.compression`` of params, and the problem's metric.

    ``measure`` gives the metric of scores of the validation rows; ``higher``: more of it is better.
    """

    prune: float | None
    quantise: bool
    tolerance: float
    measure: Callable[[np.ndarray], float]
    higher: bool


class Family(Protocol):
    """A family's module: what it must have. What it may have besides:

    ``OUTPUTS`` is what its models can give for a row, ``LOSSES`` what they can be fitted by, where that is more than the
    usual. ``ALIASES`` are second names of parameters that its library takes, each with the one that goes here; ``COUNTS``
    says of parameters when they do something (see :mod:`tasks.fitting.counts`); ``ON_GPU`` are parameters that only count
    there. ``WEIGHS`` is False where it cannot weigh rows. ``STEPS``: whether a fit tells of its steps, so that a pruner can
    stop it (:meth:`Job.step`). ``FORMATS``: forms that its models alone are stored in, each with what reads it. One with
    ``go_on`` can be trained in turns (:class:`GoesOn`), one with ``smaller`` be compressed (:class:`Compresses`).
    """

    NAME: str
    OUTPUTS: tuple[Output, ...]
    ALSO: tuple[str, ...]
    NEEDS: str
    HARDWARE: str

    def space(self, kind: str, rows: int, columns: int) -> Space:
        """What a search varies, for a kind of problem and a table's size."""

    def fit(self, params: Settings, job: Job) -> Fitted:
        """Fit with ``params``, its own defaults where left out."""


class GoesOn(Family, Protocol):
    """A family that can be trained in turns (see :mod:`tasks.models.turns`).

    ``CHANGEABLE`` are the parameters that a turn may change (empty: all); ``TURNED`` say how long and how a training goes
    on, which turns decide; ``TURN`` is how many rounds or epochs one takes.
    """

    CHANGEABLE: tuple[str, ...]
    TURNED: tuple[str, ...]
    TURN: int

    def go_on(self, params: Settings, job: Job, turn: Turn) -> Fitted:
        """Go on from ``turn.before``, write ``turn.after``, and give what is fitted by then."""


class Compresses(Family, Protocol):
    """A family that ``training.compression`` can make smaller forms of."""

    def smaller(
        self, fitted: Fitted, params: Settings, job: Job, how: Compress, scores: Callable[[Fitted], np.ndarray]
    ) -> tuple[Fitted, list[NetworkForm], dict[str, float]]:
        """The form to keep, all forms, and milliseconds of a row by form, measured here and now.

        ``scores`` gives a form's scores of the validation rows.
        """


def as_sets(coded: Mapping[int, int], how: Settings) -> list[int]:
    """Columns whose categories trees split as sets: those of at most ``native_levels``, which is taken out of ``how``.

    Categories of more levels are split by the order of their codes, like numbers. Which is better depends on the table:
    of many levels a best set is found by chance too easily, and sets say more where there are many rows a level.
    """
    most = as_int(how.pop("native_levels", NATIVE_LEVELS))
    return sorted(j for j, levels in coded.items() if levels <= most)
