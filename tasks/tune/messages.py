"""What a search and its worker processes say to each other; :meth:`tasks.tune.worker.Worker.hear` alone reads the answers."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from tasks.fitting.base import Turn
from tasks.fitting.space import Settings


@dataclass(frozen=True)
class Attempt:
    """A trial: parameters, the family where it is another than the objective's, and of a population its turn."""

    params: Settings
    family: str = ""
    turn: Turn | None = None


@dataclass(frozen=True)
class FoldAttempt(Attempt):
    """One fold of a setting that ``auto`` tries; what comes of it goes to ``folder``."""

    fold: int = 0
    folder: Path = Path()


@dataclass(frozen=True)
class Begin:
    """Fit, within ``seconds``; where it is ``watched``, each step is told and waits for word whether to stop."""

    attempt: Attempt
    seconds: float
    watched: bool


@dataclass(frozen=True)
class Guess:
    """Say the least seconds that a fit with these parameters can take."""

    params: Settings


@dataclass(frozen=True)
class Ready:
    """The process is there, with its libraries and its rows."""


@dataclass(frozen=True)
class Step:
    """A step of a watched fit, and the metric by then."""

    number: int
    value: float


@dataclass(frozen=True)
class Done:
    """A trial's metric, and after it its costs; all finite."""

    values: list[float]


@dataclass(frozen=True)
class Guessed:
    """The least seconds of a fit; 0 where nothing can be said."""

    seconds: float


@dataclass(frozen=True)
class Pruned:
    """The trial was stopped, or time was up."""


@dataclass(frozen=True)
class FitFailed:
    """The fit failed, and others may not."""

    reason: str


@dataclass(frozen=True)
class Died(FitFailed):
    """The process is gone."""

    reason: str = "its process died (out of memory?)"


@dataclass(frozen=True)
class UserMistake:
    """What the user has to mend: no other trial would do better."""

    reason: str


Answer = Step | Done | Guessed | Pruned | FitFailed | UserMistake
