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

import os
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from flows.alone import take_lock
from flows.carried import given, keep_given, set_aside, walked
from flows.commands import (
    Cancelled,
    StageFailed,
    end_group,
    end_orphans,
    failure,
    follow,
    start,
    words,
)
from flows.node import Execute, How, Log, Node, Outcome
from flows.reads import Reads
from flows.records import Records
from flows.screen import silence_dvc
from flows.seal import Seal, file_system, seal
from flows.warm import Process, Warm
from tasks import code
from tasks.artifacts import Failed
from tasks.errors import RefitError, nearest, some, with_causes
from tasks.files import sweep
from tasks.params import AT_START

if TYPE_CHECKING:
    from dvc.dependency import ParamsDependency
    from dvc.repo import Repo
    from dvc.stage import PipelineStage

walks: set[Dag] = set()  # of this process
_NONE = object()


class Dag:
    """The stages of one project folder, opened through DVC.

    Use as a context manager: within it the working directory is the project's folder, and this process owns the project's walk
    (a second ``refit run`` is refused). What a killed walk left behind is ended and removed first. ``seal`` is what
    the walk works on, ``notes`` what was found and mended at the start, a line each; ``before(root)`` is called just before the
    sealing, and gives such lines too. ``take(root)`` takes the walk's lock: who waits for others hands in another way.
    """

    seal: Seal

    def __init__(
        self,
        root: str | Path = ".",
        before: Callable[[Path], list[str]] | None = None,
        take: Callable[[Path], TextIO] = take_lock,
    ) -> None:
        self.root = Path(root).resolve()
        self._before = before
        self._take = take
        self.cancelled = threading.Event()
        self._dvc = threading.RLock()  # DVC's objects are not for several threads
        self._running: dict[str, Process] = {}
        self._warm = Warm()
        self.notes: list[str] = []

    def __enter__(self) -> Dag:
        if not (self.root / "dvc.yaml").exists():
            raise RefitError(f"{self.root}: no dvc.yaml here. Change to the project's folder, or run `refit init`.")
        self._lock = self._take(self.root)
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
        self._warm.close()
        self._repo.close()
        self._leave()

    def _leave(self) -> None:
        walks.discard(self)
        os.chdir(self._came_from)
        self._lock.close()

    def _open(self) -> None:
        from dvc.exceptions import DvcException, NotDvcRepoError
        from dvc.repo import Repo

        silence_dvc()
        sweep(self.root / "data")
        self.notes += set_aside(self.root)
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
        self._records = Records(self._repo, self.root)
        self.notes += self._records.notes
        try:
            graph = walked(self._repo)
        except DvcException as error:
            raise RefitError(f"dvc.yaml: {with_causes(error)}") from None
        self.nodes: dict[str, Node] = {}
        names = {stage: stage.addressing for stage in graph}
        self._reads = Reads(self.seal, [Path(out.fs_path) for stage in graph for out in stage.outs])
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
        if given(self._repo):
            with self._locked():
                keep_given(self._repo)
        dag = (self.seal.folder / AT_START["dvc.yaml"]).read_text(encoding="utf-8")
        code.write(self.root, code.asked(dag), self.seal.folder / "tasks")
        self.nodes = dict(sorted(self.nodes.items(), key=lambda item: self._depth(item[0])))

    def _depth(self, name: str) -> int:
        return 1 + max((self._depth(n) for n in self.nodes[name].needs), default=0)

    def _bound(self, node: Node, stage: PipelineStage) -> PipelineStage:
        """The stage with its code where the run keeps it; parameters come from there through DVC's file system."""
        from dvc.dependency import ParamsDependency

        for dep in stage.deps:
            if isinstance(dep, ParamsDependency):
                if Path(dep.fs_path) == self.root / "params.yaml":  # which is read once, and not for each stage
                    setattr(dep, "read_params", partial(self._parameters, dep))  # noqa: B010 (a method to mypy)
            elif node.sealed and (kept := self.seal.path_of(Path(dep.fs_path))) is not None:
                dep.fs_path = str(kept)
        return stage

    def _parameters(self, dep: ParamsDependency, **asked: bool) -> dict[str, Any]:
        """What DVC reads of the run's ``params.yaml`` for a stage: its keys, those of them that are there."""
        values: dict[str, Any] = {}
        for key in dep.params:
            found: Any = self._tree
            for name in key.split("."):
                found = found.get(name, _NONE) if isinstance(found, dict) else _NONE
            if found is not _NONE:
                values[key] = found
        if len(values) < max(len(dep.params), 1) or not asked.get(
            "flatten", True
        ):  # a list's place, a pattern, all of it
            return dict(type(dep).read_params(dep, **asked))
        return values

    @cached_property
    def _tree(self) -> object:
        from dvc.utils.serialize import load_yaml

        path = self.seal.folder / "params.yaml"
        return load_yaml(str(path)) if path.exists() else {}

    def node(self, name: str) -> Node:
        """The stage of this name. Raises :class:`RefitError` where ``dvc.yaml`` has none."""
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
        with self._locked():
            return self._reads.edited(self.nodes.values(), self.root)

    def restorable(self, name: str) -> bool:
        """Whether the run cache has the stage's outputs for its dependencies as they are now."""
        node = self.node(name)
        with self._locked():
            stage = self._bound(node, node.record.reload())
            if not all(d.exists for d in stage.deps):
                return False
            cached = self._records.cached(stage)
            return cached is not None and cached.outs_cached()

    def give_up(self, name: str, record: Failed) -> None:
        """Leave what failed behind: each output folder then holds this record alone.

        ``dvc.lock`` has no such stage, so that the next run tries again.
        """
        node = self.node(name)
        with self._locked():
            node.record.remove_outs(ignore_remove=False, force=False)
            for out in node.record.outs:
                record.write(out.fs_path)
            self._records.drop(name)
            node.record = self._bound(node, node.record.reload())

    def pull(self, names: list[str]) -> None:
        """Fetch the outputs of stages, as ``dvc.lock`` names them, from the DVC remote."""
        from dvc.exceptions import DvcException

        try:
            with self._dvc:
                self._repo.pull(names)
        except DvcException as error:
            raise RefitError(f"dvc pull {' '.join(names)}: {with_causes(error)}") from error

    def run(self, name: str, log: Log, execute: Execute | None = None, force: bool = False) -> Outcome:
        """Bring one stage up to date; what it needs must be so already.

        ``execute`` runs the command (default: a process of ours); ``force``: even where nothing changed.
        Raises :class:`StageFailed` where the command fails or leaves an output out, :class:`Cancelled` after
        :meth:`cancel`; neither leaves a record.
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
                raise StageFailed(f"{name}: {with_causes(error)}", mistake=True) from error
            raise

    def _run(self, node: Node, log: Log, execute: Execute | None, force: bool) -> Outcome:
        began = time.perf_counter()
        name, stage = node.name, node.record
        words(node.cmd)  # refuses a shell's operators before anything is removed

        def outcome(how: How) -> Outcome:
            return Outcome(name, how, time.perf_counter() - began)

        with self._locked():
            if not (force or stage.changed()):
                self._reads.meet(node)
                return outcome("unchanged")
            self._missing(node)
            self._remove_former(node)
            cached = None if force else self._records.cached(stage)
            before = self._reads.state(node)
            self._reads.meet(node, worked=False)
            if cached is not None and self._records.sound(cached, name, log):
                stage.remove_outs(ignore_remove=False, force=False)
                cached.checkout(force=True)
                self._record(node, before, {o.def_path: o.hash_info for o in cached.outs})
                return outcome("restored")
            stage.remove_outs(ignore_remove=False, force=False)
            self._reads.same_parameters(node)
        (execute or self.run_here)(node, log)
        with self._locked():
            if self.cancelled.is_set():
                raise Cancelled(f"{name}: stopped; nothing of it was recorded")
            left_out = [str(o) for o in stage.outs if not o.exists]
            if left_out:
                raise StageFailed(f"{name}: the command ended well but did not write {some(left_out)}.")
            self._reads.same_parameters(node)
            self._record(node, before)
        return outcome("ran")

    def _missing(self, node: Node) -> None:
        gone = [str(d) for d in node.record.deps if not d.exists]
        if gone:
            raise StageFailed(
                f"{node.name}: needs {some(gone)}, which is not there (see deps in dvc.yaml).", mistake=True
            )

    def _remove_former(self, node: Node) -> None:
        """Remove what stages that ``dvc.yaml`` no longer has made in a folder that this one reads, since a clone has none of it.

        DVC's cache keeps it, should such a stage come back.
        """
        made = [Path(out.fs_path) for other in self.nodes.values() for out in other.record.outs]
        for path in self._records.former(self.nodes):
            read = any(path.is_relative_to(dep.fs_path) for dep in node.record.deps)
            if read and not any(path.is_relative_to(out) or out.is_relative_to(path) for out in made):
                shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)

    def _record(self, node: Node, before: list[tuple[str, object]], expected: dict[str, object] | None = None) -> None:
        """What ``dvc repro`` does after a command, but not where a dependency is no longer what it was before."""
        stage = node.record
        stage.save(run_cache=False)
        for (path, old), (_, new) in zip(before, self._reads.state(node), strict=True):
            if old != new:
                raise StageFailed(
                    f"{node.name}: {path} was edited while the stage ran, so its result was not recorded."
                )
        self._reads.meet(node)
        for out in stage.outs:
            if expected is not None and out.hash_info != expected[out.def_path]:
                raise StageFailed(f"{node.name}: {out} could not be restored whole from DVC's cache.")
        self._records.keep(stage)

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

    def run_here(self, node: Node, log: Log) -> None:
        """Run a stage's commands one after another, each as a process of ours."""
        for command in words(node.cmd):
            self.execute(node.name, command, log)

    def execute(self, name: str, command: list[str], log: Log) -> None:
        """Run one command of a stage as a process of ours, in the stage's folder; its lines go to ``log``."""
        if self.cancelled.is_set():
            raise Cancelled(f"{name}: stopped before it began")
        process = start(name, command, self.node(name).record.wdir, self.root, self.seal.folder, self._warm)
        self._running[name] = process
        if self.cancelled.is_set():  # between the check above and the start
            end_group(process)
        try:
            code, lines = follow(process, log)
        finally:
            self._running.pop(name, None)
        if self.cancelled.is_set():
            raise Cancelled(f"{name}: stopped; its unfinished outputs are removed before it runs again")
        if code:
            raise failure(name, code, lines)

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
