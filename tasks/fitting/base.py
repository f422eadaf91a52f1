"""What every family sees (:class:`Job`) and gives back (:class:`Fitted`)."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Protocol

import numpy as np

from tasks.fitting.space import Space
from tasks.kinds import Output, find_kind


class Stopped(Exception):
    """Raised by :meth:`Job.step` where a pruner ends a trial, or time is up."""


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
    watch: Callable[[int, Callable[[], np.ndarray]], bool] | None = None
    log: Callable[[str], None] | None = None
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

    def step(self, number: int, predict: Callable[[], np.ndarray]) -> None:
        """Tell the tuner about step ``number`` (rounds or epochs done); ``predict`` scores the validation rows.

        Raises :class:`Stopped` where the trial is not worth going on.
        """
        if self.watch is not None and self.watch(number, predict):
            raise Stopped

    @property
    def late(self) -> bool:
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
    history: dict[str, list[float]]  # loss curves by name; empty where there are none
    notes: dict[str, Any]  # what the fit decided, such as the number of rounds

    def predict(self, Z: np.ndarray) -> np.ndarray:
        """``(n, classes)`` probabilities, or ``(n,)`` numbers; float64."""

    def save(self, folder: Path) -> None:
        """Write files without a pickle whose bytes depend on the fitted state alone."""

    @classmethod
    def load(cls, folder: Path, kind: str, classes: int) -> Fitted: ...


class Family(Protocol):
    """A family's module.

    One with ``go_on(params, job, turn)`` can be trained in turns (see ``_turns``): it goes on from ``turn.before`` with
    other values of ``CHANGEABLE`` parameters (empty: of all), writes ``turn.after``, and gives what is fitted by then.
    ``TURNED`` are parameters that say how long and how a training goes on, which turns decide. ``COMPRESSES``: whether
    ``training.compression`` can make smaller forms. ``ALIASES`` are second names of parameters that its library takes, each
    with the one that goes here; ``COUNTS`` says of parameters when they do something (see ``_counts``). ``STEPS``: whether a
    fit tells of its steps, so that a pruner can stop it (:meth:`Job.step`). ``ON_GPU`` are parameters that only count there.
    ``OUTPUTS``: what its models can give for a row; ``LOSSES``: what they can be fitted by, where that is more than the usual.
    """

    NAME: str
    OUTPUTS: tuple[Output, ...]
    ALSO: tuple[str, ...]
    NEEDS: str
    HARDWARE: str

    def space(self, kind: str, rows: int, columns: int) -> Space: ...

    def fit(self, params: dict[str, Any], job: Job) -> Fitted: ...


def as_sets(coded: Mapping[int, int], how: dict[str, Any]) -> list[int]:
    """Columns whose categories trees split as sets: those of at most ``native_levels``, which is taken out of ``how``.

    Categories of more levels are split by the order of their codes, like numbers. Which is better depends on the table:
    of many levels a best set is found by chance too easily, and sets say more where there are many rows a level.
    """
    most = int(how.pop("native_levels", NATIVE_LEVELS))
    return sorted(j for j, levels in coded.items() if levels <= most)
