"""The project's folder: it can be written to, no other run is at work in it, and DVC can read its DAG."""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

from flows import carried
from flows.preflight.subject import Subject
from tasks.errors import RefitError, with_causes
from tasks.params import Params
from tasks.registry.history import local

WRITTEN = ("data/code", "data/sources")  # what stages read and a run writes before them


def writable(subject: Subject) -> Iterator[str]:
    """The project's folder, and those in it that a run writes to."""
    local(subject.root, "history.db")  # refuses a path that no database can have
    for folder in (subject.root, subject.root / "data", subject.root / ".refit", subject.root / ".dvc"):
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
    for says in writable(Subject(root.resolve(), None)):
        raise RefitError(says)


def alone(subject: Subject) -> Iterator[str]:
    """No other run is at work in the folder."""
    from flows.alone import AtWork, at_work

    who = at_work(subject.root)
    if who is not None and who.process != os.getpid():  # a scheduled run looks when it has waited for its turn
        yield str(AtWork(subject.root, who))


def dag(subject: Subject) -> Iterator[str]:
    """``.dvc`` and ``dvc.yaml`` are what DVC can read, and what stages read is there or is made."""
    from dvc.config import ConfigError
    from dvc.dependency import ParamsDependency
    from dvc.exceptions import DvcException, NotDvcRepoError
    from dvc.repo import Repo

    from flows.commands import words
    from flows.records import read_lock
    from flows.screen import silence_dvc

    silence_dvc()
    text = (subject.root / "dvc.yaml").read_text(encoding="utf-8", errors="replace")
    marks = [n for n, line in enumerate(text.splitlines(), 1) if line.startswith(("<<<<<<< ", ">>>>>>> "))]
    if marks:
        yield f"dvc.yaml:{marks[0]}: holds the marks of an unfinished merge. Finish it (git status), then run again."
        return
    lock = subject.root / "dvc.lock"
    if carried.damaged(subject.root) or (lock.exists() and read_lock(lock) is None):
        return  # a run sets it aside and mends that; until then DVC reads nothing
    try:
        with Repo(str(subject.root)) as repo:
            stages = list(repo.index.graph)
            made = [f"{out.fs_path}/" for stage in stages for out in stage.outs]
            gone: dict[str, str] = {}
            asked: dict[
                str, dict[str, str]
            ] = {}  # of each file of parameters the keys, with the first stage that names it
            for stage in stages:
                if stage.cmd is not None:
                    words(stage.cmd)
                for dep in stage.deps:
                    if isinstance(dep, ParamsDependency):
                        keys = asked.setdefault(dep.fs_path, {})
                        for key in sorted(dep.params):
                            keys.setdefault(key, stage.addressing)
                    path, whole = Path(str(dep.fs_path)), f"{dep.fs_path}/"
                    if (
                        not any(whole.startswith(out) or out.startswith(whole) for out in made)
                        and not dep.exists
                        and not any(path.is_relative_to(subject.root / one) for one in WRITTEN)
                    ):
                        gone.setdefault(os.path.relpath(path, subject.root), stage.addressing)
            unset = {
                key: stage
                for file, keys in asked.items()
                for there in [ParamsDependency(None, file, list(keys), repo=repo).read_params()]
                for key, stage in keys.items()
                if key not in there
            }
    except NotDvcRepoError:
        yield f"{subject.root}: not a DVC repository. Run `dvc init` (without git: --no-scm)."
    except ConfigError as error:
        yield f".dvc/config: {with_causes(error)}. Mend that line, or restore the file from git."
    except RefitError as error:
        yield str(error)
    except DvcException as error:
        if subject.params is not None or not re.search(
            "params.yaml|Could not find", str(error)
        ):  # else it is told already
            yield f"dvc.yaml: {with_causes(error)}"
    else:
        for key, stage in unset.items():
            mend = (
                f"a line `{key}: {{}}`, which takes its defaults"
                if key in Params.model_fields
                else "it there, or take it out"
            )
            yield f"params.yaml: has no {key}, and dvc.yaml's stage {stage} goes by it (params). Write {mend}."
        known = _sources(subject)
        for name, stage in gone.items():
            if not known(name):
                mend = f"mkdir -p {name}" if name.startswith("data/") else "restore it, or take it out of dvc.yaml"
                yield f"{name}: is not there, and the stage {stage} needs it (deps in dvc.yaml). Mend: {mend}."


def _sources(subject: Subject) -> Callable[[str], bool]:
    """Whether a path is a table's source, which is told of by itself, or was one, which a run takes out of ``dvc.yaml``."""
    if subject.params is None:
        return lambda path: False
    from flows.sources import former
    from tasks.ingest.files import watched

    try:
        now = {os.path.normpath(one) for paths in watched(subject.params, subject.root).values() for one in paths}
        dropped = former(subject.root, subject.params)
    except RefitError:  # one that cannot be watched, of which the tables tell
        return lambda path: True
    return lambda path: path in now or dropped(path)
