"""What can be known before a run starts is looked at before it starts: before any stage, any server and any heavy import.

`refit run` looks first of all and tells everything at once, a scheduled run looks again on its worker, and `refit doctor` shows the
same findings. A check changes nothing that stays, and each asks the rule itself where that is cheap: small tables are read as the
stage ``ingest`` reads them, the DAG is DVC's own.
"""

from __future__ import annotations

import os
import re
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from tasks.errors import RefitError, some, with_causes
from tasks.idle import own_ways
from tasks.registry.history import local

if TYPE_CHECKING:
    import pandas as pd

    from tasks.params import Params, Table

SMALL = 2 << 20  # bytes of a source that is read whole; of a larger CSV file this much is looked at
ROOM = 256 << 20  # bytes that any run needs: Prefect, MLflow, packages
TIMES = 3  # a table's bytes lie on the disk as raw, as validated and as features, and DVC's cache links or copies them
PATIENCE = "PGCONNECT_TIMEOUT"  # the driver's own setting, in seconds, at least 2
WAIT = 2.0  # seconds for an answer of a server, or for a database that another program has locked
START, SPEED = (
    1.5,
    1e8,
)  # auto: seconds until its first fit can begin, and bytes of a table that a second surely does not exceed
SURELY = 0.5  # share of a table's rows that are surely fitted on
FUTURE = timedelta(days=1)  # `--as-of` of today means its end, and clocks differ


@dataclass(frozen=True)
class Looked:
    """What the checks go by: the project's folder, its parameters (None: they are wrong) and the asked ``as_of``."""

    root: Path
    params: Params | None
    as_of: str | None = None


@dataclass(frozen=True)
class Trouble:
    """Something that is wrong, under the name of what it is about."""

    about: str
    says: str


WRITTEN = ("data/code", "data/sources")  # what stages read and a run writes before them
Check = Callable[[Looked], Iterator[str]]


def beforehand(root: Path, as_of: str | None = None) -> Params:
    """The project's parameters, if nothing is known to be wrong.

    Raises
    ------
    RefitError
        With everything that is wrong, a line each.
    """
    looked, found = look(root, as_of)
    if found:
        raise RefitError("\n".join(one.says for one in found))
    assert looked.params is not None
    return looked.params


def look(root: Path, as_of: str | None = None) -> tuple[Looked, list[Trouble]]:
    """Do all checks; without right parameters those that do not need them."""
    root, params, found = root.resolve(), None, []
    if not (root / "dvc.yaml").exists():
        says = f"{root}: no dvc.yaml here. Change to the project's folder, or run `refit init`."
        return Looked(root, None, as_of), [Trouble("DVC", says)]
    from tasks.params import load

    try:
        params = load(root / "params.yaml")
    except RefitError as error:
        found.append(Trouble("params.yaml", str(error)))
    looked = Looked(root, params, as_of)
    with _impatient():
        for about, check in CHECKS.items():
            if about in WITHIN and any(one.about == "folder" for one in found):
                continue  # it lies in a folder that cannot be written to, which is told already
            try:
                for says in check(looked):
                    found.append(Trouble(about, says))
            except RefitError as error:
                found.append(Trouble(about, str(error)))
    return looked, found


@contextmanager
def _impatient() -> Iterator[None]:
    """Let PostgreSQL's driver wait no longer than the other checks do, unless the user says how long."""
    own = PATIENCE not in os.environ
    os.environ.setdefault(PATIENCE, str(max(2, round(WAIT))))
    try:
        yield
    finally:
        if own:
            del os.environ[PATIENCE]


# The machine ----------------------------------------------------------------------------------------------------------


def python(_: Looked) -> Iterator[str]:
    """Python 3.11 to 3.13."""
    if not (3, 11) <= sys.version_info[:2] <= (3, 13):
        here = ".".join(map(str, sys.version_info[:3]))
        yield f"Python {here}: Refit runs on 3.11, 3.12 and 3.13. Use one of these."


def temporary(_: Looked) -> Iterator[str]:
    """A folder for temporary files, with some room."""
    try:
        folder = tempfile.gettempdir()  # tries to write where it looks
    except FileNotFoundError:
        yield "TMPDIR: no folder for temporary files can be written to, or all are full. Make room, or name one: TMPDIR=/path."
        return
    if (named := os.environ.get("TMPDIR")) and not os.path.samefile(named if os.path.isdir(named) else folder, folder):
        yield f"TMPDIR: {named} cannot be written to. Name a folder that can, or unset it."
    elif named and not os.path.isdir(named):
        yield f"TMPDIR: {named} is no folder. Make it, or unset TMPDIR."


def room(looked: Looked) -> Iterator[str]:
    """Room on the project's disk for what a run writes."""
    free = shutil.disk_usage(looked.root).free
    data = sum(size(paths) for paths in files(looked).values())
    if free < ROOM + TIMES * data:
        yield (
            f"{looked.root}: {free / 2**30:.1f} GiB are free on this disk, and a run on {data / 2**30:.1f} GiB of tables writes "
            f"about {(ROOM + TIMES * data) / 2**30:.1f} GiB. Make room (`dvc gc -w` drops what no stage needs any more), or move "
            "the project."
        )


def memory(looked: Looked) -> Iterator[str]:
    """Memory that ``training.memory_gb`` allows itself."""
    asked = looked.params.training.memory_gb if looked.params else None
    if asked is None or (looked.params and looked.params.orchestration.pools):
        return
    import psutil

    there = psutil.virtual_memory().total / 1e9
    if asked > there:
        yield f"training.memory_gb: {asked:g} are more than this machine has ({there:.1f}). Lower it, or leave it out."
        return
    yield from too_small(looked, asked)


def too_small(looked: Looked, gigabytes: float) -> Iterator[str]:
    """Stages, and families of models, that the problem's table surely does not leave enough of ``training.memory_gb``."""
    from tasks import memory
    from tasks.engine import Plan
    from tasks.families._imbalance import ROWS

    params = looked.params
    assert params is not None
    paths = files(looked).get(params.problem.table, [])
    rows = sum(rows_of(path) for path in paths)
    if not rows:
        return
    limit = memory.Memory(gigabytes * memory.GB - memory.LIBRARIES, f"training.memory_gb: {gigabytes:g}")
    columns = len(params.data.tables[params.problem.table].given)
    if (need := memory.checked(rows, columns)) > limit.bytes:
        yield (
            f"training.memory_gb: {params.problem.table} has about {rows:,} rows x {columns} columns, which take about "
            f"{(need + memory.LIBRARIES) / memory.GB:.1f} GB in the stage validate, and {gigabytes:g} may be used. Raise it, or "
            "ignore columns that are not needed."
        )
    if isinstance(params.features.history, str) or params.features.columns == "auto":
        return  # how many features there will be is not known
    fitted = int(rows * SURELY)  # others are test rows, or not known yet
    count, how = len(Plan.derive(params).features), params.training.imbalance
    for name in params.models:
        if memory.fit(name, fitted, count) <= limit.bytes:
            continue
        if not memory.from_disk(name, params.tuning.sampler == "pbt"):
            yield memory.said(name, fitted, count, limit)
        elif how in ROWS:
            yield memory.no_rows(how, fitted, count, limit)


def rows_of(path: Path) -> int:
    """About how many rows a CSV or Parquet file has; 0 where that is not seen at once."""
    import pyarrow.parquet as pq

    try:
        with path.open("rb") as file:
            start = file.read(SMALL)
        if start.startswith(b"PAR1"):
            return int(pq.read_metadata(path).num_rows)
        lines = start.count(b"\n")
        return 0 if b"\0" in start or not lines else path.stat().st_size * lines // len(start)
    except (OSError, ValueError):
        return 0


# The folder -----------------------------------------------------------------------------------------------------------


def writable(looked: Looked) -> Iterator[str]:
    """The project's folder, and those in it that a run writes to."""
    local(looked.root, "history.db")  # refuses a path that no database can have
    for folder in (looked.root, looked.root / "data", looked.root / ".refit", looked.root / ".dvc"):
        if not folder.is_dir():
            continue
        try:
            with tempfile.NamedTemporaryFile(prefix=".refit-", suffix=".part", dir=folder):
                pass
        except OSError as error:
            yield (
                f"{folder}: cannot be written to ({error.strerror}). Change its owner or permissions, or work in a copy of the "
                "project. `refit serve`, `history`, `verify` and `report` only read."
            )
            return


def to_write(root: Path) -> None:
    """Refuse, in a line, a command that writes in a folder that cannot be written to."""
    for says in writable(Looked(root.resolve(), None)):
        raise RefitError(says)


def alone(looked: Looked) -> Iterator[str]:
    """No other run is at work in the folder."""
    from flows.commands import at_work

    who = at_work(looked.root)
    if who is not None:
        yield f"{looked.root}: another `refit run` is at work here (process {who or 'unknown'}). Wait for it, or stop it."


def dag(looked: Looked) -> Iterator[str]:
    """``.dvc`` and ``dvc.yaml`` are what DVC can read, and what stages read is there or is made."""
    import logging

    from dvc.config import ConfigError
    from dvc.exceptions import DvcException, NotDvcRepoError
    from dvc.repo import Repo

    from flows.commands import words
    from flows.records import read_lock

    logging.getLogger("dvc").setLevel(logging.CRITICAL)
    text = (looked.root / "dvc.yaml").read_text(encoding="utf-8", errors="replace")
    marks = [n for n, line in enumerate(text.splitlines(), 1) if line.startswith(("<<<<<<< ", ">>>>>>> "))]
    if marks:
        yield f"dvc.yaml:{marks[0]}: holds the marks of an unfinished merge. Finish it (git status), then run again."
        return
    lock = looked.root / "dvc.lock"
    if lock.exists() and read_lock(lock) is None:
        return  # a run sets it aside and mends that; until then DVC reads nothing
    try:
        with Repo(str(looked.root)) as repo:
            stages = list(repo.index.graph)
            made = [Path(out.fs_path) for stage in stages for out in stage.outs]
            gone: dict[str, str] = {}
            for stage in stages:
                if stage.cmd is not None:
                    words(stage.cmd)
                for dep in stage.deps:
                    path = Path(str(dep.fs_path))
                    own = any(path == out or path.is_relative_to(out) or out.is_relative_to(path) for out in made)
                    if (
                        not own
                        and not dep.exists
                        and not any(path.is_relative_to(looked.root / one) for one in WRITTEN)
                    ):
                        gone.setdefault(os.path.relpath(path, looked.root), stage.addressing)
    except NotDvcRepoError:
        yield f"{looked.root}: not a DVC repository. Run `dvc init` (without git: --no-scm)."
    except ConfigError as error:
        yield f".dvc/config: {with_causes(error)}. Mend that line, or restore the file from git."
    except RefitError as error:
        yield str(error)
    except DvcException as error:
        if looked.params is not None or "params.yaml" not in str(error):  # else it is told already
            yield f"dvc.yaml: {with_causes(error)}"
    else:
        known = _sources(looked)
        for name, stage in gone.items():
            if not known(name):
                mend = f"mkdir -p {name}" if name.startswith("data/") else "restore it, or take it out of dvc.yaml"
                yield f"{name}: is not there, and the stage {stage} needs it (deps in dvc.yaml). Mend: {mend}."


def _sources(looked: Looked) -> Callable[[str], bool]:
    """Whether a path is a table's source, which is told of by itself, or was one, which a run takes out of ``dvc.yaml``."""
    if looked.params is None:
        return lambda path: False
    from flows.sources import former
    from tasks.ingest.files import watched

    try:
        now = {os.path.normpath(one) for paths in watched(looked.params, looked.root).values() for one in paths}
        dropped = former(looked.root, looked.params)
    except RefitError:  # one that cannot be watched, of which the tables tell
        return lambda path: True
    return lambda path: path in now or dropped(path)


# Parameters -----------------------------------------------------------------------------------------------------------


def moment(looked: Looked) -> Iterator[str]:
    """``as_of`` is a moment, and has passed."""
    from flows.context import moment as read

    own = looked.params.data.as_of if looked.params else None
    at, name = (own, "data.as_of") if looked.as_of is None else (read(looked.as_of), "--as-of")
    if at is not None and at > datetime.now(UTC) + FUTURE:
        yield f"{name}: {at:%Y-%m-%d} lies in the future, and what will be known then nobody can know. Name a day that has passed."


def families(looked: Looked) -> Iterator[str]:
    """Families serve the problem, their spaces are within bounds, and what they need is installed."""
    if looked.params is None:
        return
    from importlib.util import find_spec

    from tasks.families import check_models
    from tasks.tune.portfolio import ALSO_NEEDS

    check_models(looked.params)
    for name in looked.params.models:
        needs = ALSO_NEEDS.get(name)
        if needs and find_spec(needs) is None:
            yield f"models.{name}: needs {needs}, which is not installed. pip install 'refit[networks]', or take it out of models."


def budgets(looked: Looked) -> Iterator[str]:
    """``auto`` has time for a first fit: less than this has never been enough, more may still be too little."""
    if looked.params is None or "auto" not in looked.params.models:
        return
    tuning, own = looked.params.tuning, looked.params.models["auto"]
    name = "tuning.seconds" if own.seconds is None else "models.auto.seconds"
    much = size(files(looked).get(looked.params.problem.table, [])) if tuning.rows is None else 0
    least, given = START + much / SPEED, own.seconds or tuning.seconds
    if given < least:
        table = f" on a table of {much / 2**20:,.0f} MiB" if much >= SMALL else ""
        yield f"{name}: {given:g} s are surely too few for a first fit of auto{table} ({least:.1f} s and more). Raise it."


def remarks(params: Params) -> Iterator[str]:
    """What is told and does not stop a run."""
    from tasks.families import find_family

    only = [name for name in params.models if find_family(name).HARDWARE == "cpu"]
    if params.training.device == "cuda" and only:
        yield f"training.device is cuda, and {some(only, 5)} can compute on the CPU only: they do"
    if params.training.device == "cuda" and "gpu" not in params.orchestration.pools and not shutil.which("nvidia-smi"):
        yield "training.device is cuda, and there is no GPU here (no nvidia-smi): training runs on the CPU"
    if params.promotion.approval and not os.environ.get("PREFECT_API_URL"):
        yield "promotion.approval: no Prefect server to ask a person on (PREFECT_API_URL); what wins waits for `refit promote`"
    yield from own_ways(params)


def approval(looked: Looked) -> Iterator[str]:
    """How long a person is waited for is a number, where one is asked."""
    from flows.promotion import approval_seconds

    if looked.params is not None and looked.params.promotion.approval:
        approval_seconds()
    yield from ()


def elsewhere(root: Path) -> str | None:
    """What to do where the DVC remote that `refit init` made is another folder's: the project was copied, moved or cloned."""
    text = "".join(p.read_text(encoding="utf-8") for p in (root / ".dvc" / "config",) if p.is_file())
    for name, url in re.findall(r"""\['remote "([^"]+)"'\]\s+url = (/.*/\.dvc-remote)\s""", text + "\n"):
        if Path(url).parent.resolve() != root.resolve():
            return f"DVC's remote {name!r} is {url}, of another folder. dvc remote modify {name} url ../.dvc-remote"
    return None


def pools(looked: Looked) -> Iterator[str]:
    """Work pools have a server, and ``exchange: remote`` a remote."""
    if looked.params is None or not looked.params.orchestration.pools:
        return
    if not os.environ.get("PREFECT_API_URL"):
        yield "orchestration.pools: work pools need a Prefect server; set PREFECT_API_URL, or remove pools."
    if looked.params.orchestration.exchange == "remote":
        from dvc.repo import Repo

        from flows import carry

        with Repo(str(looked.root)) as repo:
            name = repo.config["core"].get("remote")
            url = str(repo.config["remote"].get(name, {}).get("url", "")) if name else ""
        if (other := elsewhere(looked.root)) is not None:
            yield other
        if not name:
            yield "orchestration.exchange: remote needs a DVC remote; dvc remote add -d NAME URL, or use folder."
        elif "://" not in url:
            place = Path(url) if os.path.isabs(url) else looked.root / ".dvc" / url
            if not place.is_dir() and not place.parent.is_dir():
                yield f"DVC's remote {name!r}: {place} is not there. Mount or make it, or name another: dvc remote modify {name} url URL."
            elif not os.access(place if place.is_dir() else place.parent, os.W_OK | os.X_OK):
                yield f"DVC's remote {name!r}: {place} cannot be written to, and inputs are pushed there. Mend its rights."
        elif (why := carry.unreachable(looked.root)) is not None:
            yield f"DVC's remote {name!r} ({url.split('@')[-1]}): {why}. Mend it, or name another: dvc remote modify {name} url URL."


# Tables ---------------------------------------------------------------------------------------------------------------


def files(looked: Looked) -> dict[str, list[Path]]:
    """The files of every table that are there."""
    if looked.params is None:
        return {}
    from tasks.ingest.files import find

    found: dict[str, list[Path]] = {}
    for name, table in looked.params.data.tables.items():
        try:
            every = find(name, within(table, looked.root)).files
        except RefitError:  # of which the tables tell
            every = []
        found[name] = [path for one in every if (path := Path(one.path)).is_file()]
    return found


def within(table: Table, root: Path) -> Table:
    """A table whose sources are named by whole paths."""
    from tasks.ingest.files import paths_of

    if not (paths := paths_of(table)):
        return table
    whole = tuple(str(root / path) for path in paths)
    return table.model_copy(update={"source": whole[0] if isinstance(table.source, str) else whole})


def size(paths: list[Path]) -> int:
    """Bytes of files."""
    return sum(path.stat().st_size for path in paths)


def tables(looked: Looked) -> Iterator[str]:
    """Sources are there and have the declared columns; small ones are read as the stage ``ingest`` reads them."""
    dag = (looked.root / "dvc.yaml").read_text(encoding="utf-8", errors="replace")
    if looked.params is None or " -m tasks.ingest" not in dag:  # a DAG that reads its tables in another way
        return
    from flows.sources import absent, connected, queries

    if gone := list(absent(looked.root, looked.params)):
        yield from gone
        return
    for name, query in queries(looked.params).items():
        with connected(query.sql, name, looked.root):
            pass
    for name, paths in files(looked).items():
        table = looked.params.data.tables[name]
        try:
            frame = read(name, within(table, looked.root), paths)
        except RefitError as error:
            yield str(error).replace(f"{looked.root}{os.sep}", "")
        else:
            yield from known_by_then(looked, name, table, frame)


def read(name: str, table: Table, paths: list[Path]) -> pd.DataFrame | None:
    """A small table, read; None for a large one, of which the columns alone are looked at where it is one file."""
    from tasks.ingest.files import find, paths_of
    from tasks.ingest.tables import ingest

    if not paths_of(table):
        return None
    find(name, table)  # refuses what has no files
    if size(paths) <= SMALL:
        return ingest(name, table).frame
    from tasks.profile.names import locate

    wanted = [column for column, spec in table.given.items() if spec.kind != "ignore"]
    there = header(paths[0]) if len(paths) == 1 else None
    absent = [column for column in wanted if locate(column, there) is None] if there else []
    if absent:
        raise RefitError(
            f"data.tables.{name}.columns: {paths[0]} has no column {some(absent)}. It has {some(there or [], 30)}."
        )
    return None


def header(path: Path) -> list[str] | None:
    """The columns of a large file; None where its beginning alone does not say."""
    from tasks.profile import read_columns

    try:
        with path.open("rb") as file:
            start = file.read(SMALL)
        if start.startswith(b"PAR1"):
            import pyarrow.parquet as pq

            return list(pq.read_schema(path).names)
        if b"\0" in start or b"\n" not in start:
            return None
        with tempfile.NamedTemporaryFile(suffix=path.suffix) as part:
            part.write(start[: start.rindex(b"\n") + 1])
            part.flush()
            return list(read_columns(part.name).column_names)
    except (RefitError, OSError, ValueError):
        return None


def known_by_then(looked: Looked, name: str, table: Table, frame: pd.DataFrame | None) -> Iterator[str]:
    """Something of the problem's table was known at ``as_of``."""
    assert looked.params is not None
    from flows.context import moment as at

    as_of = at(looked.as_of) if looked.as_of is not None else looked.params.data.as_of
    when = looked.params.problem.prediction_time or table.event_time
    if frame is None or as_of is None or name != looked.params.problem.table or when is None:
        return
    if when.column not in frame or not len(frame):
        return
    first = frame[when.column].min()
    if first == first and first > as_of:
        asked = "--as-of" if looked.as_of is not None else "data.as_of"
        yield f"{asked}: {as_of:%Y-%m-%d %H:%M} is before every row of {name!r} (its first {when.column} is {first:%Y-%m-%d %H:%M})."


# Servers and databases ------------------------------------------------------------------------------------------------


def prefect(_: Looked) -> Iterator[str]:
    """Prefect's server answers, where one is named."""
    from urllib.request import Request, urlopen

    url = os.environ.get("PREFECT_API_URL")
    if not url:
        return
    try:
        with urlopen(Request(url.rstrip("/") + "/health"), timeout=WAIT):
            return
    except (OSError, ValueError) as error:
        why = getattr(error, "reason", None) or error
        yield f"PREFECT_API_URL: {url} does not answer ({why}). Start it (prefect server start), or unset PREFECT_API_URL."


def history(looked: Looked) -> Iterator[str]:
    """The history of decisions can be read and written, and is the one that the project follows."""
    from flows import champions
    from tasks.registry.history import check_database, history_url

    wrong = list(check_database(history_url(looked.root), WAIT))
    yield from wrong
    if looked.params is not None and not wrong:
        champions.decisions(looked.root, looked.params.problem.name, None)


def registry(looked: Looked) -> Iterator[str]:
    """MLflow's database or server is there, is MLflow's, of this version, writable, and has the model's experiment."""
    from tasks.registry.store import check_store
    from tasks.registry.tracking import tracking_uri

    name = looked.params.problem.name if looked.params else None
    yield from check_store(looked.root, tracking_uri(looked.root), name, WAIT)


WITHIN = ("registry", "decisions")
CHECKS: dict[str, Check] = {
    "Python": python,
    "temporary": temporary,
    "folder": writable,
    "other run": alone,
    "disk": room,
    "memory": memory,
    "DVC": dag,
    "as of": moment,
    "families": families,
    "budgets": budgets,
    "pools": pools,
    "approval": approval,
    "tables": tables,
    "Prefect": prefect,
    "registry": registry,
    "decisions": history,
}
