"""Studies on disk: what was tried, kept so that a killed search goes on, and shared by several workers."""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import IO, Any, Literal

import optuna
from optuna.trial import FrozenTrial, TrialState

import tasks.encoding
import tasks.families
from tasks.families._space import Choice, Number, Space
from tasks.files import hash_tree

FOLDER = Path(".refit/studies")
ENVIRONMENT = "REFIT_STUDIES_URL"  # a database that workers on several machines share
FINISHED = (TrialState.COMPLETE, TrialState.PRUNED)

optuna.logging.set_verbosity(optuna.logging.ERROR)
warnings.filterwarnings("ignore", category=optuna.exceptions.ExperimentalWarning)


def study_key(**inputs: Any) -> str:
    """A name that depends on everything a trial's value depends on, the code of the families included."""
    code: dict[str, str] = {}
    for package in (tasks.encoding, tasks.families):
        code |= {k: v for k, v in hash_tree(Path(str(package.__file__)).parent).items() if k.endswith(".py")}
    text = json.dumps({"inputs": inputs, "code": code}, sort_keys=True, default=repr)
    return hashlib.sha256(text.encode()).hexdigest()[:24]


@contextmanager
def open_study(
    key: str, directions: list[Literal["minimize", "maximize"]], folder: Path = FOLDER, file: str = ""
) -> Iterator[optuna.Study]:
    """Open or create a study. Trials that a killed process left running are put back in the queue.

    By default one SQLite file a study below ``.refit/studies`` (or the one named ``file``, which several
    studies may share: making one takes a second); with ``REFIT_STUDIES_URL`` set, the database it names.
    """
    url = os.environ.get(ENVIRONMENT)
    folder.mkdir(parents=True, exist_ok=True)
    with open(folder / f"{key}.lock", "a") as lock:
        alone = _locked(lock)
        storage = _storage(url or f"sqlite:///{(folder / f'{file or key}.db').absolute()}", bool(url))
        study = optuna.create_study(storage=storage, study_name=key, directions=directions, load_if_exists=True)
        if url:
            optuna.storages.fail_stale_trials(study)
        elif alone:
            requeue(study)
            fcntl.flock(lock, fcntl.LOCK_SH)  # others may join now, and will find nothing to put back
        yield study
        storage.remove_session()


@cache
def _storage(url: str, shared: bool) -> optuna.storages.RDBStorage:
    """A connection, kept for the process: opening one checks the tables' version, which takes up to a second."""
    return optuna.storages.RDBStorage(
        url,
        engine_kwargs={} if shared else {"connect_args": {"timeout": 60}},
        heartbeat_interval=30 if shared else None,
    )


def _locked(lock: IO[str]) -> bool:
    """True if no other process works on the study; joins those that do otherwise."""
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        fcntl.flock(lock, fcntl.LOCK_SH)
        return False
    return True


def requeue(study: optuna.Study) -> None:
    """Put trials whose process is gone back in the queue, under their own number and parameters.

    Keeping the number keeps the trial's seed, so that the search goes on as if never interrupted.
    """
    for trial in study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
        study._storage.set_trial_state_values(trial._trial_id, TrialState.WAITING)


def distributions(space: Space) -> dict[str, optuna.distributions.BaseDistribution]:
    """The space as Optuna's distributions."""
    out: dict[str, optuna.distributions.BaseDistribution] = {}
    for name, dim in space.items():
        if isinstance(dim, Choice):
            out[name] = optuna.distributions.CategoricalDistribution(dim.options)
        elif dim.whole:
            out[name] = optuna.distributions.IntDistribution(int(dim.low), int(dim.high), log=dim.log)
        else:
            out[name] = optuna.distributions.FloatDistribution(dim.low, dim.high, log=dim.log)
    return out


def inside(space: Space, params: dict[str, Any]) -> dict[str, Any]:
    """The part of ``params`` that the space knows, moved to its nearest bounds; for warm starts."""
    out = {}
    for name, value in params.items():
        dim = space.get(name)
        if isinstance(dim, Choice) and value in dim.options:
            out[name] = value
        elif isinstance(dim, Number) and isinstance(value, (int, float)):
            near = min(max(float(value), dim.low), dim.high)
            out[name] = round(near) if dim.whole else near
    return out


def finished(study: optuna.Study) -> list[FrozenTrial]:
    """Trials that count, in the order of their numbers."""
    return study.get_trials(deepcopy=False, states=FINISHED)


def seconds_spent(study: optuna.Study) -> float:
    """Seconds of all finished trials, summed."""
    return sum(t.duration.total_seconds() for t in finished(study) if t.duration)
