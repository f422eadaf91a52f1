"""The DAG of ``dvc.yaml``, walked in process: stages that are ready run side by side, each recorded as ``dvc repro`` would.

DVC stays the only judge of what changed and the only keeper of results: the same ``dvc.lock``, the same cache,
the same run cache. Only the running of a command is ours (no shell, lines streamed, killed as a group), so that
independent stages overlap and a stage costs a few hundredths of a second more than its command. Measured on
two cores for a no-op Python stage: 0.03 s above its command here, 1.2 s through ``dvc repro -s NAME`` as a process.

A kill at any moment leaves either a stage's old record or its new one: outputs first go to the cache, then
``dvc.lock`` is replaced by a rename. The next walk ends what a killed one left running, removes the outputs
of unfinished stages and repeats only those.
"""

from __future__ import annotations

import logging
import os
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from flows.commands import Cancelled, StageFailed, end_group, end_orphans, failure, follow, own, start, words
from tasks.errors import RefitError, nearest, some
from tasks.files import write_text

if TYPE_CHECKING:
    from dvc.repo import Repo
    from dvc.stage import PipelineStage

Log = Callable[[str], None]
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


class Dag:
    """The stages of one project folder, opened through DVC.

    Use as a context manager: within it the working directory is the project's folder, and this process owns the project's walk (a second ``refit run`` is refused),
    and processes that a killed walk left behind are ended first.
    """

    def __init__(self, root: str | Path = ".") -> None:
        self.root = Path(root).resolve()
        self.cancelled = threading.Event()
        self._dvc = threading.RLock()  # DVC's objects are not for several threads
        self._running: dict[str, subprocess.Popen[str]] = {}
        self._guard: Any = None

    def __enter__(self) -> Dag:
        self._guard = own(self.root)
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
        os.chdir(self._came_from)
        self._guard.close()

    def _open(self) -> None:
        from dvc.exceptions import DvcException, NotDvcRepoError
        from dvc.repo import Repo

        logging.getLogger("dvc").setLevel(logging.ERROR)

        if not (self.root / "dvc.yaml").exists():
            raise RefitError(f"{self.root}: no dvc.yaml here. Change to the project's folder, or run `refit init`.")
        try:
            self._repo = Repo(str(self.root), _wait_for_lock=True)
        except NotDvcRepoError:
            raise RefitError(f"{self.root}: not a DVC repository. Run `dvc init` (without git: --no-scm).") from None
        _mend_lock(self.root)
        try:
            graph = self._repo.index.graph
        except DvcException as error:
            raise RefitError(f"dvc.yaml: {_first(error)}") from None
        self.nodes: dict[str, Node] = {}
        for stage in graph:
            if stage.cmd is None:
                raise RefitError(
                    f"{stage.relpath}: only stages of dvc.yaml are walked; add the data as a stage's source."
                )
        names = {stage: stage.addressing for stage in graph}
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
        self.nodes = dict(sorted(self.nodes.items(), key=lambda item: self._depth(item[0])))

    def _depth(self, name: str) -> int:
        return 1 + max((self._depth(n) for n in self.nodes[name].needs), default=0)

    def node(self, name: str) -> Node:
        if name not in self.nodes:
            raise RefitError(f"dvc.yaml: no stage {name!r}; it has {some(self.nodes, 20)}." + nearest(name, self.nodes))
        return self.nodes[name]

    # One stage ---------------------------------------------------------------------------------------------

    def changed(self, name: str) -> bool:
        """Whether DVC holds the stage for changed: its command, a dependency or an output."""
        with self._locked():
            return bool(self.node(name).record.changed())

    def pull(self, names: list[str]) -> None:
        """Fetch the outputs of stages, as ``dvc.lock`` names them, from the DVC remote."""
        from dvc.exceptions import DvcException

        try:
            with self._dvc:
                self._repo.pull(names)
        except DvcException as error:
            raise RefitError(f"dvc pull {' '.join(names)}: {_first(error)}") from error

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
                node.record = node.record.reload()
            if isinstance(error, DvcException):
                raise StageFailed(f"{name}: {_first(error)}", mistake=True) from error
            raise

    def _run(self, node: Node, log: Log, execute: Callable[[Node, Log], None] | None, force: bool) -> Outcome:
        began = time.perf_counter()
        name, stage = node.name, node.record
        commands = words(node.cmd)

        def outcome(how: How) -> Outcome:
            return Outcome(name, how, time.perf_counter() - began)

        with self._locked():
            if not (force or stage.changed()):
                return outcome("unchanged")
            self._missing(node)
            stage.remove_outs(ignore_remove=False, force=False)
            if not force and self._restore(stage):
                self._record(stage)
                return outcome("restored")
            stage.save_deps()
            before = [(str(d), d.hash_info) for d in stage.deps]
        if execute is None:
            for command in commands:
                self.execute(name, command, log)
        else:
            execute(node, log)
        with self._locked():
            if self.cancelled.is_set():
                raise Cancelled(f"{name}: stopped; nothing of it was recorded")
            stage.save_deps()
            for (path, old), dep in zip(before, stage.deps, strict=True):
                if old != dep.hash_info:
                    raise StageFailed(f"{name}: {path} was edited while the stage ran, so its result was not recorded.")
            left_out = [str(o) for o in stage.outs if not o.exists]
            if left_out:
                raise StageFailed(f"{name}: the command ended well but did not write {some(left_out)}.")
            self._record(stage)
        return outcome("ran")

    def _missing(self, node: Node) -> None:
        gone = [str(d) for d in node.record.deps if not d.exists]
        if gone:
            raise StageFailed(
                f"{node.name}: needs {some(gone)}, which is not there (see deps in dvc.yaml).", mistake=True
            )

    def _restore(self, stage: PipelineStage) -> bool:
        from dvc.stage.cache import RunCacheNotFoundError

        try:
            self._repo.stage_cache.restore(stage)
        except RunCacheNotFoundError:
            return False
        return True

    def _record(self, stage: PipelineStage) -> None:
        """What ``dvc repro`` does after a command, but ``dvc.lock`` is replaced whole instead of written in place."""
        from dvc.stage.serialize import to_lockfile
        from dvc.utils.serialize import dumps_yaml, parse_yaml_for_update

        cacheable = all(o.use_cache or o.is_metric or o.is_plot for o in stage.outs)
        stage.save(run_cache=cacheable)
        stage.commit()
        path = self.root / "dvc.lock"
        old = path.read_text(encoding="utf-8") if path.exists() else ""
        lock = parse_yaml_for_update(old, str(path)) or {"schema": "2.0"}
        lock.setdefault("stages", {}).update(to_lockfile(stage))
        new = dumps_yaml(lock)
        if new != old:
            write_text(path, new)

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
        process = start(name, command, self.node(name).record.wdir, self.root)
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

    # All stages --------------------------------------------------------------------------------------------

    def walk(self, start: Callable[[Node, Callable[[BaseException | None], None]], None], parallel: int) -> None:
        """Call ``start(node, done)`` for every stage once those it needs are done, at most ``parallel`` at once.

        ``start`` returns at once and later calls ``done(None)``, or ``done(error)``: then nothing new is started,
        what runs may finish, and the first error is raised.
        """
        wake = threading.Condition()
        finished: set[str] = set()
        active: set[str] = set()
        errors: list[BaseException] = []

        def end(name: str, error: BaseException | None) -> None:
            with wake:
                active.discard(name)
                if error is None:
                    finished.add(name)
                else:
                    errors.append(error)
                wake.notify()

        def ready() -> list[Node]:
            if errors:
                return []
            free = [n for k, n in self.nodes.items() if k not in finished | active and finished.issuperset(n.needs)]
            return free[: max(0, parallel - len(active))]

        while True:
            with wake:
                starting = ready()
                while not starting and active:
                    wake.wait(timeout=1.0)  # a bounded wait lets Ctrl-C in
                    starting = ready()
                active.update(n.name for n in starting)
            if not starting:
                break
            for node in starting:
                start(node, partial(end, node.name))
        if errors:
            raise errors[0]


def _first(error: BaseException) -> str:
    """An error's text and its causes', in one line of bounded length."""
    parts: list[str] = []
    cause: BaseException | None = error
    while cause is not None:
        if str(cause) and str(cause) not in parts:
            parts.append(str(cause))
        cause = cause.__cause__
    text = " — ".join(parts)
    return text if len(text) <= 600 else text[:597] + "..."


def _mend_lock(root: Path) -> None:
    """Set aside a ``dvc.lock`` that a killed ``dvc repro`` left half-written; the run cache then restores every stage."""
    from dvc.schema import COMPILED_LOCKFILE_SCHEMA
    from dvc.utils.serialize import YAMLFileCorruptedError, load_yaml
    from voluptuous import Invalid

    path = root / "dvc.lock"
    if not path.exists():
        return
    try:
        COMPILED_LOCKFILE_SCHEMA(load_yaml(str(path)))
    except (YAMLFileCorruptedError, Invalid):
        os.replace(path, root / ".refit" / "dvc.lock.damaged")
