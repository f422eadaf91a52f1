"""Studies on disk: what was tried, kept so that a killed search goes on, and shared by several workers."""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import time
import warnings
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import IO, Any, Literal

import optuna
import sqlalchemy
from optuna.storages._rdb import models
from optuna.trial import FrozenTrial, TrialState

import tasks.encoding
import tasks.families
import tasks.fitting
import tasks.models
from tasks.errors import RefitError, first_line
from tasks.extras import install
from tasks.files import hash_tree
from tasks.fitting.space import Number, OneOf, Settings, Space

FOLDER = Path(".refit/studies")
ENVIRONMENT = "REFIT_STUDIES_URL"  # a database that workers on several machines share
FINISHED = (TrialState.COMPLETE, TrialState.PRUNED)
BEAT = 5  # seconds between signs of life of a running trial
LOST = 30  # seconds without one after which another worker takes the trial over

optuna.logging.set_verbosity(optuna.logging.ERROR)
warnings.filterwarnings("ignore", category=optuna.exceptions.ExperimentalWarning)
warnings.filterwarnings("ignore", message="PedAnovaImportanceEvaluator computes")  # and low values are the good ones
warnings.filterwarnings("ignore", message="Heartbeat of storage is supposed")  # the search gives the signs itself


def study_key(**inputs: Any) -> str:
    """A name that depends on everything a trial's value depends on, the code of the families included."""
    code: dict[str, str] = {}
    for package in (tasks.encoding, tasks.fitting, tasks.families, tasks.models):
        found = hash_tree(Path(str(package.__file__)).parent)
        code |= {f"{package.__name__}/{k}": v for k, v in found.items() if k.endswith(".py")}
    text = json.dumps({"inputs": inputs, "code": code}, sort_keys=True, default=repr)
    return hashlib.sha256(text.encode()).hexdigest()[:24]


@contextmanager
def open_study(
    key: str, directions: list[Literal["minimize", "maximize"]], folder: Path = FOLDER, shared: bool = True
) -> Iterator[optuna.Study]:
    """Open or create a study. Trials that a killed process left running are put back in the queue.

    By default one SQLite file a study below ``.refit/studies``; with ``REFIT_STUDIES_URL`` set, the database it names,
    unless the study may not be ``shared``.

    Raises
    ------
    RefitError
        If the database of ``REFIT_STUDIES_URL`` cannot be used.
    """
    url = os.environ.get(ENVIRONMENT) if shared else None
    folder.mkdir(parents=True, exist_ok=True)
    with open(folder / f"{key}.lock", "a") as lock:
        alone = _locked(lock) and not url
        path = (
            str((folder / f"{key}.db").absolute()).replace("{", "{{").replace("}", "}}")
        )  # Optuna fills in a template
        storage = _shared(url) if url else _storage(f"sqlite:///{path}")
        study = optuna.create_study(storage=storage, study_name=key, directions=directions, load_if_exists=True)
        if alone:
            requeue(study)
            fcntl.flock(lock, fcntl.LOCK_SH)  # others may join now, and will find nothing to put back
        else:
            with turn(study, folder):
                requeue(study, lost(study))
        yield study
        storage.remove_session()


@cache
def _storage(url: str) -> optuna.storages.RDBStorage:
    """A connection, kept for the process: opening one checks the tables' version, which takes up to a second."""
    lite = url.startswith("sqlite")
    more = {"connect_args": {"timeout": 60}} if lite else {"pool_pre_ping": True}
    storage = optuna.storages.RDBStorage(url, engine_kwargs=more, heartbeat_interval=BEAT, grace_period=LOST)
    if lite:
        storage.engine.dispose()
        sqlalchemy.event.listen(storage.engine, "connect", _quick)
    return storage


def _quick(connection: Any, _: Any) -> None:
    """No wait for the disk at each commit: a killed process loses nothing, a power cut the newest trials at most."""
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=NORMAL")


def _shared(url: str) -> optuna.storages.RDBStorage:
    """The database of ``REFIT_STUDIES_URL``."""
    try:
        parsed = sqlalchemy.make_url(url)
        if parsed.drivername in ("postgres", "postgresql"):
            parsed = parsed.set(drivername="postgresql+psycopg")
        shown = parsed.render_as_string(hide_password=True)
    except sqlalchemy.exc.ArgumentError:
        raise RefitError(
            f"{ENVIRONMENT}: not a database's URL; expected postgresql://user:password@host:port/database"
        ) from None
    for left in (2, 1, 0):
        try:
            return _storage(parsed.render_as_string(hide_password=False))
        except ImportError as error:
            raise RefitError(
                f"{ENVIRONMENT}: {shown} needs a driver that is not installed ({error}); "
                f"for PostgreSQL: {install('postgres')}"
            ) from None
        except sqlalchemy.exc.OperationalError as error:
            raise RefitError(
                f"{ENVIRONMENT}: cannot connect to {shown}: {first_line(error)}. "
                "Start the database, or unset the variable to keep studies in .refit/studies"
            ) from None
        except (sqlalchemy.exc.ProgrammingError, sqlalchemy.exc.IntegrityError):
            if not left:
                raise
            time.sleep(0.5)  # two workers made the tables of a new database at once
    raise AssertionError("unreachable")


def _locked(lock: IO[str]) -> bool:
    """True if no other process works on the study; joins those that do otherwise."""
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        fcntl.flock(lock, fcntl.LOCK_SH)
        return False
    return True


@contextmanager
def turn(study: optuna.Study, folder: Path = FOLDER) -> Iterator[None]:
    """Let one worker at a time look at the study and take a trial, so that no point is taken twice."""
    engine = _database(study).engine
    if engine.dialect.name != "postgresql":
        with open(folder / f"{study.study_name}.turn", "a") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield
        return
    number = int.from_bytes(hashlib.sha256(study.study_name.encode()).digest()[:8], "big", signed=True)
    with engine.connect() as connection:  # the lock ends with the transaction, and with a killed process
        connection.execute(sqlalchemy.text("SELECT pg_advisory_xact_lock(:number)"), {"number": number})
        yield


def requeue(study: optuna.Study, only: Iterable[int] | None = None) -> None:
    """Put trials whose process is gone back in the queue, under their own number and parameters.

    Keeping the number keeps the trial's seed, so that the search goes on as if never interrupted.
    ``only``: ids of the trials; by default all that are running.
    """
    if only is None:
        only = [t._trial_id for t in study.get_trials(deepcopy=False, states=(TrialState.RUNNING,))]
    for trial_id in only:
        study._storage.set_trial_state_values(trial_id, TrialState.WAITING)


def beat(study: optuna.Study, trials: Iterable[optuna.Trial]) -> None:
    """Tell the other workers that these trials are still being fitted."""
    for trial in trials:
        _database(study).record_heartbeat(trial._trial_id)


def record_steps(study: optuna.Study, trial: optuna.Trial, values: Mapping[int, float]) -> None:
    """Write a trial's intermediate values, all at once."""
    kind = models.TrialIntermediateValueModel.TrialIntermediateValueType.FINITE
    with sqlalchemy.orm.Session(_database(study).engine) as session:
        session.add_all(
            models.TrialIntermediateValueModel(
                trial_id=trial._trial_id, step=step, intermediate_value=value, intermediate_value_type=kind
            )
            for step, value in values.items()
        )
        session.commit()


def lost(study: optuna.Study) -> list[int]:
    """Ids of running trials whose worker gave no sign of life for long. Ask in a :func:`turn`.

    Within it every worker has given the first sign of a trial it took, so one without any was killed there.
    """
    database = _database(study)
    with sqlalchemy.orm.Session(database.engine) as session:
        running = models.TrialModel.study_id == study._study_id, models.TrialModel.state == TrialState.RUNNING
        mute = session.scalars(
            sqlalchemy.select(models.TrialModel.trial_id).where(*running, ~models.TrialModel.heartbeats.any())
        ).all()
    return [*mute, *database._get_stale_trial_ids(study._study_id)]


def _database(study: optuna.Study) -> optuna.storages.RDBStorage:
    assert isinstance(study._storage, optuna.storages._CachedStorage)
    assert isinstance(study._storage._backend, optuna.storages.RDBStorage)
    return study._storage._backend


def distributions(space: Space) -> dict[str, optuna.distributions.BaseDistribution]:
    """The space as Optuna's distributions."""
    out: dict[str, optuna.distributions.BaseDistribution] = {}
    for name, dim in space.items():
        if isinstance(dim, OneOf):
            out[name] = optuna.distributions.CategoricalDistribution(dim.options)
        elif dim.whole:
            out[name] = optuna.distributions.IntDistribution(int(dim.low), int(dim.high), log=dim.log)
        else:
            out[name] = optuna.distributions.FloatDistribution(dim.low, dim.high, log=dim.log)
    return out


def inside(space: Space, params: Settings) -> Settings:
    """The part of ``params`` that the space knows, moved to its nearest bounds; for warm starts."""
    out: Settings = {}
    for name, value in params.items():
        dim = space.get(name)
        if isinstance(dim, OneOf) and value in dim.options:
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
