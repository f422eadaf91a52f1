"""The DAG of ``dvc.yaml``, walked in process: stages that are ready run side by side, each recorded as ``dvc repro`` would.

DVC stays the only judge of what changed and the only keeper of results: the same ``dvc.lock``, the same cache,
the same run cache. Only the running of a command is ours (no shell, lines streamed, killed as a group), so that
independent stages overlap and a stage costs a few hundredths of a second more than its command. Measured on
two cores for a no-op Python stage: 0.03 s above its command here, 1.2 s through ``dvc repro -s NAME`` as a process.

A run works on what it began with (:mod:`flows.seal`); whatever else a stage reads must still be what the run first
met, or the run ends with an error: nothing is recorded that a stage may have read otherwise.

A kill at any moment leaves either a stage's old record or its new one: outputs first go to the cache, then
``dvc.lock`` is replaced by a rename. The next walk ends what a killed one left running, removes the outputs
of unfinished stages and repeats only those.
"""

from __future__ import annotations

import logging
import os
import re
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from flows.commands import (
    Cancelled,
    StageFailed,
    end_group,
    end_orphans,
    failure,
    follow,
    is_stage,
    own,
    start,
    words,
)
from flows.seal import Seal, file_system, seal, signature
from tasks import code
from tasks.errors import RefitError, nearest, shortened, some
from tasks.files import FAILED, sweep, write_json, write_text
from tasks.params import AT_START

if TYPE_CHECKING:
    from dvc.repo import Repo
    from dvc.stage import PipelineStage

Log = Callable[[str], None]
walks: set[Dag] = set()  # of this process
How = Literal["unchanged", "restored", "ran"]


@dataclass(frozen=True)
class Outcome:
    """What became of a stage: ``unchanged``, ``restored`` from the run cache, or ``ran``; and its wall seconds."""

    stage: str
    how: How
    seconds: float


@dataclass
class Node:
    """A stage of ``dvc.yaml``: its name, command, first line of description, ``meta``, and the stages it waits for."""

    name: str
    cmd: str | list[str]
    desc: str
    meta: dict[str, Any]
    needs: tuple[str, ...]
    deps: tuple[str, ...]
    outs: tuple[str, ...]
    record: PipelineStage = field(repr=False)

    @property
    def sealed(self) -> bool:
        """Whether its commands read ``params.yaml`` and code as the run began with them."""
        return all(is_stage(command) for command in words(self.cmd))


class Dag:
    """The stages of one project folder, opened through DVC.

    Use as a context manager: within it the working directory is the project's folder, and this process owns the project's walk
    (a second ``refit run`` is refused). What a killed walk left behind is ended and removed first. ``seal`` is what
    the walk works on, ``notes`` what was found and mended at the start, a line each; ``before(root)`` is called just before the
    sealing, and gives such lines too.
    """

    seal: Seal

    def __init__(self, root: str | Path = ".", before: Callable[[Path], list[str]] | None = None) -> None:
        self.root = Path(root).resolve()
        self._before = before
        self.cancelled = threading.Event()
        self._dvc = threading.RLock()  # DVC's objects are not for several threads
        self._running: dict[str, subprocess.Popen[str]] = {}
        self._guard: Any = None
        self._met: dict[str, tuple[Any, str]] = {}  # inputs that no stage makes: their hash, and the stage that met it
        self.notes: list[str] = []

    def __enter__(self) -> Dag:
        self._guard = own(self.root)
        walks.add(self)
        end_orphans(self.root)
        self._came_from = Path.cwd()
        os.chdir(self.root)  # DVC reads paths from here
        try:
            self._open()
        except BaseException:
            self._leave()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.cancel()
        self._repo.close()
        self._leave()

    def _leave(self) -> None:
        walks.discard(self)
        os.chdir(self._came_from)
        self._guard.close()

    def _open(self) -> None:
        from dvc.exceptions import DvcException, NotDvcRepoError
        from dvc.repo import Repo

        logging.getLogger("dvc").setLevel(logging.ERROR)

        if not (self.root / "dvc.yaml").exists():
            raise RefitError(f"{self.root}: no dvc.yaml here. Change to the project's folder, or run `refit init`.")
        sweep(self.root / "data")
        if self._before is not None:
            self.notes += self._before(self.root)
        self.seal = seal(self.root)
        try:
            self._repo = Repo(str(self.root), _wait_for_lock=True)
        except NotDvcRepoError:
            raise RefitError(f"{self.root}: not a DVC repository. Run `dvc init` (without git: --no-scm).") from None
        self._repo.fs = file_system(self.seal)
        if self._repo.dvcignore.is_ignored_dir(str(self.seal.folder)):
            raise RefitError(
                f"{self.root / '.dvcignore'}: hides .refit, where a run keeps what it reads. Take that line out."
            )
        self._stages = self._lock_at_start()
        try:
            graph = self._repo.index.graph
        except DvcException as error:
            raise RefitError(f"dvc.yaml: {first_line(error)}") from None
        self.nodes: dict[str, Node] = {}
        for stage in graph:
            if stage.cmd is None:
                raise RefitError(
                    f"{stage.relpath}: only stages of dvc.yaml are walked; add the data as a stage's source."
                )
        names = {stage: stage.addressing for stage in graph}
        self._made = [Path(out.fs_path) for stage in graph for out in stage.outs]
        for stage in graph:
            self.nodes[names[stage]] = Node(
                name=names[stage],
                cmd=stage.cmd,
                desc=stage.short_description() or "",
                meta=dict(stage.meta or {}),
                needs=tuple(sorted(names[s] for s in graph.successors(stage))),
                deps=tuple(str(d) for d in stage.deps),
                outs=tuple(str(o) for o in stage.outs),
                record=stage,
            )
        for node in self.nodes.values():
            node.record = self._bound(node, node.record)
        dag = (self.seal.folder / AT_START["dvc.yaml"]).read_text(encoding="utf-8")
        code.write(self.root, code.asked(dag), self.seal.folder / "tasks")
        self.nodes = dict(sorted(self.nodes.items(), key=lambda item: self._depth(item[0])))

    def _depth(self, name: str) -> int:
        return 1 + max((self._depth(n) for n in self.nodes[name].needs), default=0)

    def _bound(self, node: Node, stage: PipelineStage) -> PipelineStage:
        """The stage with its code where the run keeps it; parameters come from there through DVC's file system."""
        from dvc.dependency import ParamsDependency

        for dep in stage.deps if node.sealed else []:
            kept = None if isinstance(dep, ParamsDependency) else self.seal.path_of(Path(dep.fs_path))
            if kept is not None:
                dep.fs_path = str(kept)
        return stage

    def node(self, name: str) -> Node:
        if name not in self.nodes:
            raise RefitError(f"dvc.yaml: no stage {name!r}; it has {some(self.nodes, 20)}." + nearest(name, self.nodes))
        return self.nodes[name]

    # One stage ---------------------------------------------------------------------------------------------

    def changed(self, name: str) -> bool:
        """Whether DVC holds the stage for changed: its command, a dependency or an output."""
        with self._locked():
            return bool(self.node(name).record.changed())

    def newer(self) -> list[str]:
        """What was edited since the walk began, and is no part of what it made: files that are sealed, and inputs."""
        own = {str(self.root / "data" / name) for name in ("context", "champion", "start", "code")}  # written by runs
        found = self.seal.newer()
        with self._locked():
            for node in self.nodes.values():
                for dep in self._inputs(node):
                    kept = self._met.get(dep.fs_path)
                    if kept is not None and dep.fs_path not in own and str(dep) not in found:
                        gone = not dep.exists
                        if gone or dep.get_hash() != kept[0]:
                            found.append(str(dep))
        return found

    def restorable(self, name: str) -> bool:
        """Whether the run cache has the stage's outputs for its dependencies as they are now."""
        node = self.node(name)
        with self._locked():
            stage = self._bound(node, node.record.reload())
            if not all(d.exists for d in stage.deps):
                return False
            found = self._cached(stage)
            return found is not None and found.outs_cached()

    def give_up(self, name: str, record: dict[str, Any]) -> None:
        """Leave what failed behind: each output folder then holds :data:`tasks.files.FAILED` alone.

        ``dvc.lock`` has no such stage, so that the next run tries again.
        """
        from dvc.utils.serialize import dumps_yaml, parse_yaml_for_update

        node = self.node(name)
        with self._locked():
            node.record.remove_outs(ignore_remove=False, force=False)
            for out in node.record.outs:
                write_json(Path(out.fs_path) / FAILED, record)
            self._stages.pop(name, None)
            path = self.root / "dvc.lock"
            if read_lock(path) is not None:
                lock = parse_yaml_for_update(path.read_text(encoding="utf-8"), str(path))
                if (lock.get("stages") or {}).pop(name, None) is not None:
                    write_text(path, dumps_yaml(lock))
            node.record = self._bound(node, node.record.reload())

    def pull(self, names: list[str]) -> None:
        """Fetch the outputs of stages, as ``dvc.lock`` names them, from the DVC remote."""
        from dvc.exceptions import DvcException

        try:
            with self._dvc:
                self._repo.pull(names)
        except DvcException as error:
            raise RefitError(f"dvc pull {' '.join(names)}: {first_line(error)}") from error

    def run(
        self, name: str, log: Log, execute: Callable[[Node, Log], None] | None = None, force: bool = False
    ) -> Outcome:
        """Bring one stage up to date; what it needs must be so already.

        ``execute`` runs the command (default: a process of ours); ``force``: even where nothing changed. Raises :class:`StageFailed` where the command
        fails or leaves an output out, :class:`Cancelled` after :meth:`cancel`; neither leaves a record.
        """
        from dvc.exceptions import DvcException

        node = self.node(name)
        try:
            return self._run(node, log, execute, force)
        except BaseException as error:
            # The object now holds the new dependencies' hashes beside the old outputs'. A second try with it would
            # take the old outputs for the new dependencies' result, so it starts from what is on disk.
            with self._locked():
                node.record = self._bound(node, node.record.reload())
            if isinstance(error, DvcException):
                raise StageFailed(f"{name}: {first_line(error)}", mistake=True) from error
            raise

    def _run(self, node: Node, log: Log, execute: Callable[[Node, Log], None] | None, force: bool) -> Outcome:
        began = time.perf_counter()
        name, stage = node.name, node.record
        commands = words(node.cmd)

        def outcome(how: How) -> Outcome:
            return Outcome(name, how, time.perf_counter() - began)

        with self._locked():
            if not (force or stage.changed()):
                self._meet(node)
                return outcome("unchanged")
            self._missing(node)
            found = None if force else self._cached(stage)
            before = self._read(node)
            self._meet(node, worked=False)
            if found is not None and self._sound(found, name, log):
                stage.remove_outs(ignore_remove=False, force=False)
                found.checkout(force=True)
                self._record(node, before, {o.def_path: o.hash_info for o in found.outs})
                return outcome("restored")
            stage.remove_outs(ignore_remove=False, force=False)
            self._same_parameters(node)
        if execute is None:
            for command in commands:
                self.execute(name, command, log)
        else:
            execute(node, log)
        with self._locked():
            if self.cancelled.is_set():
                raise Cancelled(f"{name}: stopped; nothing of it was recorded")
            left_out = [str(o) for o in stage.outs if not o.exists]
            if left_out:
                raise StageFailed(f"{name}: the command ended well but did not write {some(left_out)}.")
            self._same_parameters(node)
            self._record(node, before)
        return outcome("ran")

    def _missing(self, node: Node) -> None:
        gone = [str(d) for d in node.record.deps if not d.exists]
        if gone:
            raise StageFailed(
                f"{node.name}: needs {some(gone)}, which is not there (see deps in dvc.yaml).", mistake=True
            )

    # What a stage reads -------------------------------------------------------------------------------------

    def _inputs(self, node: Node) -> list[Any]:
        """Dependencies that no stage makes and that are read where they lie: sources, expectations, a program of the user's."""
        from dvc.dependency import ParamsDependency

        return [
            dep
            for dep in node.record.deps
            if not isinstance(dep, ParamsDependency)
            and not Path(dep.fs_path).is_relative_to(self.seal.folder)
            and not any(Path(dep.fs_path).is_relative_to(o) or o.is_relative_to(dep.fs_path) for o in self._made)
        ]

    def _meet(self, node: Node, worked: bool = True) -> None:
        """See that the stage's inputs are what earlier stages of this walk worked on; note them where it ``worked`` on them."""
        for dep in self._inputs(node):
            now, first = self._met.get(dep.fs_path, (dep.hash_info, node.name))
            if now != dep.hash_info:
                raise StageFailed(
                    f"{node.name}: {dep} was edited while this run was going on, and {first} worked on what it was "
                    "before. Run again.",
                    mistake=True,
                )
            if worked:
                self._met[dep.fs_path] = (now, first)

    def _read(self, node: Node) -> list[Any]:
        """What the stage's dependencies are now: their hashes, and the marks that each write to an input leaves."""
        marks = [signature(Path(dep.fs_path)) for dep in self._inputs(node)]
        node.record.save_deps()
        hashes = [(str(d), d.hash_info) for d in node.record.deps]
        return [*hashes, *((str(d), mark) for d, mark in zip(self._inputs(node), marks, strict=True))]

    def _same_parameters(self, node: Node) -> None:
        """A command that is no package of ``tasks`` reads ``params.yaml`` itself: it must be what the run began with."""
        from dvc.dependency import ParamsDependency
        from dvc.dependency.param import read_param_file
        from dvc.fs import localfs
        from dvc.utils.serialize import ParseError

        for dep in [] if node.sealed else node.record.deps:
            if not isinstance(dep, ParamsDependency):
                continue
            try:
                now = read_param_file(localfs, dep.fs_path, list(dep.params) or None, flatten=True)
            except (ParseError, OSError):
                now = None
            if now != dep.hash_info.value:
                raise StageFailed(
                    f"{node.name}: {dep} was edited after this run had begun, and {node.cmd!r} reads it by itself "
                    "(a package of tasks/ would read what the run began with). Run again.",
                    mistake=True,
                )

    # The cache ----------------------------------------------------------------------------------------------

    def _cached(self, stage: PipelineStage) -> PipelineStage | None:
        """The stage as the lock or the run cache has it for its present dependencies; None where neither does."""
        from dvc.stage.cache import _can_hash
        from dvc.stage.serialize import to_single_stage_lockfile

        cache = self._repo.stage_cache
        if not _can_hash(stage):
            return None
        if not stage.changed_stage() and stage.deps_cached() and all(o.hash_info for o in stage.outs):
            entry = to_single_stage_lockfile(stage)
        else:
            stage.save_deps()
            entry = cache._load(stage)
        made: PipelineStage | None = cache._create_stage(entry, wdir=stage.wdir) if entry else None
        return made

    def _sound(self, found: PipelineStage, name: str, log: Log) -> bool:
        """Whether every object that a cached stage needs is there and is what its name says.

        DVC believes a read-only object unseen. A damaged one is removed, and taken from ``data/`` anew where that is whole.
        """
        cached = [out for out in found.outs if out.use_cache]
        damaged, whole = 0, False
        for _ in range(3):  # a damaged list of a folder hides what it lists
            removed = sum(map(_remove_damaged, cached))
            damaged, whole = damaged + removed, removed == 0 and found.outs_cached()
            if whole:
                break
            for out in cached:
                if out.exists and out.get_hash() == out.hash_info:
                    out.obj = None
                    out.commit(relink=False)
        if damaged:
            log(
                f"{damaged} damaged object{'s' if damaged > 1 else ''} of {name} in DVC's cache removed; "
                + ("its files in the project are whole" if whole else "it is made anew")
            )
        return whole

    def _record(self, node: Node, before: list[Any], expected: dict[str, Any] | None = None) -> None:
        """What ``dvc repro`` does after a command, but ``dvc.lock`` is replaced whole instead of written in place.

        Not where a dependency is no longer what it was before.
        """
        from dvc.stage.serialize import to_lockfile
        from dvc.utils.serialize import dumps_yaml, parse_yaml_for_update

        stage = node.record
        stage.save(run_cache=False)
        for (path, old), (_, new) in zip(before, self._read(node), strict=True):
            if old != new:
                raise StageFailed(
                    f"{node.name}: {path} was edited while the stage ran, so its result was not recorded."
                )
        self._meet(node)
        for out in stage.outs:
            if expected is not None and out.hash_info != expected[out.def_path]:
                raise StageFailed(f"{node.name}: {out} could not be restored whole from DVC's cache.")
        if all(o.use_cache or o.is_metric or o.is_plot for o in stage.outs):
            self._repo.stage_cache.save(stage)
        stage.commit()
        path = self.root / "dvc.lock"
        text = path.read_text(encoding="utf-8") if read_lock(path) is not None else ""
        lock = parse_yaml_for_update(text, str(path)) or {"schema": "2.0", "stages": dict(self._stages)}
        self._stages |= to_lockfile(stage)
        lock.setdefault("stages", {}).update(to_lockfile(stage))
        new = dumps_yaml(lock)
        if new != text:
            write_text(path, new)

    def _lock_at_start(self) -> dict[str, Any]:
        """The stages of ``dvc.lock``. One that is cut or in conflict is set aside; the run cache then has the stages."""
        path = self.root / "dvc.lock"
        lock = read_lock(path)
        if lock is None and path.exists():
            os.replace(path, self.root / ".refit" / "dvc.lock.damaged")
            self.notes.append(
                "dvc.lock was cut or in conflict, and was set aside as .refit/dvc.lock.damaged; stages come from the run cache"
            )
        elif lock is None and (Path(self._repo.stage_cache.cache_dir)).is_dir():
            self.notes.append("dvc.lock was not there; stages come from the run cache")
        return dict((lock or {}).get("stages") or {})

    @contextmanager
    def _locked(self) -> Iterator[None]:
        from dvc.repo import lock_repo

        with self._dvc, lock_repo(self._repo):
            yield

    @contextmanager
    def dvc(self) -> Iterator[Repo]:
        """DVC's own view of the project, for one thread at a time."""
        with self._locked():
            yield self._repo

    def execute(self, name: str, command: list[str], log: Log) -> None:
        """Run one command of a stage as a process of ours, in the stage's folder; its lines go to ``log``."""
        if self.cancelled.is_set():
            raise Cancelled(f"{name}: stopped before it began")
        process = start(name, command, self.node(name).record.wdir, self.root, self.seal.folder)
        self._running[name] = process
        if self.cancelled.is_set():  # between the check above and the start
            end_group(process)
        try:
            code, said = follow(process, log)
        finally:
            self._running.pop(name, None)
        if self.cancelled.is_set():
            raise Cancelled(f"{name}: stopped; its unfinished outputs are removed before it runs again")
        if code:
            raise failure(name, code, said)

    def cancel(self) -> None:
        """Stop every running command with all its children, politely first; returns when they are gone."""
        self.cancelled.set()
        ends = [threading.Thread(target=end_group, args=(p,)) for p in list(self._running.values())]
        for end in ends:
            end.start()
        for end in ends:
            end.join()


def cancel_all() -> None:
    """:meth:`Dag.cancel` of every walk in this process, from any thread."""
    for dag in list(walks):
        dag.cancel()


def first_line(error: BaseException) -> str:
    """An error's text and its causes', in one line of bounded length."""
    parts: list[str] = []
    cause: BaseException | None = error
    while cause is not None:
        if str(cause) and str(cause) not in parts:
            parts.append(str(cause))
        cause = cause.__cause__
    return shortened(" — ".join(parts), 600)


def read_lock(path: Path) -> dict[str, Any] | None:
    """A ``dvc.lock``; None where it is not there, or is not what DVC writes (cut, or in conflict)."""
    from dvc.schema import COMPILED_LOCKFILE_SCHEMA
    from dvc.utils.serialize import ParseError, load_yaml
    from voluptuous import Invalid

    try:
        lock: dict[str, Any] = COMPILED_LOCKFILE_SCHEMA(load_yaml(str(path)))
    except (OSError, ParseError, Invalid):
        return None
    entries = [e for s in (lock.get("stages") or {}).values() for e in (*s.get("deps", []), *s.get("outs", []))]
    return lock if all(re.fullmatch(r"[0-9a-f]{32}(\.dir)?", str(e.get("md5", "0" * 32))) for e in entries) else None


def _remove_damaged(out: Any) -> int:
    """Remove the cached objects of an output whose content is not what their name says; returns how many."""
    from dvc_data.hashfile.hash import file_md5
    from dvc_data.hashfile.tree import Tree

    found = 0

    def right(oid: str) -> bool:
        nonlocal found
        path = out.cache.oid_to_path(oid)
        if not os.path.exists(path):
            return False
        if file_md5(path, out.cache.fs) == oid.removesuffix(".dir"):
            return True
        os.unlink(path)
        found += 1
        return False

    out.obj = None
    if right(out.hash_info.value) and isinstance(tree := out.get_obj(), Tree):
        for _, _, part in tree:
            right(part.value)
    return found
