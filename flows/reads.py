"""What stages read beside what others make: it must be the same for all stages of a walk, and while each of them runs."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from flows.commands import StageFailed
from flows.seal import Seal, signature

if TYPE_CHECKING:
    from dvc.dependency import Dependency

    from flows.node import Node

RUN_WRITES = ("context", "champion", "start", "code")  # in data/: written by runs, and so never an edit


class Reads:
    """What the stages of one walk have read so far. ``made``: outputs of all stages, which are no inputs."""

    def __init__(self, seal: Seal, made: list[Path]) -> None:
        self._seal, self._made = seal, made
        self._met: dict[str, tuple[object, str]] = {}  # inputs: their hash, and the stage that met it first

    def inputs(self, node: Node) -> list[Dependency]:
        """Dependencies that no stage makes and that are read where they lie: sources, expectations, a program of the user's."""
        from dvc.dependency import ParamsDependency

        return [
            dep
            for dep in node.record.deps
            if not isinstance(dep, ParamsDependency)
            and not Path(dep.fs_path).is_relative_to(self._seal.folder)
            and not any(Path(dep.fs_path).is_relative_to(o) or o.is_relative_to(dep.fs_path) for o in self._made)
        ]

    def meet(self, node: Node, worked: bool = True) -> None:
        """See that the stage's inputs are what earlier stages of this walk worked on; note them where it ``worked`` on them.

        Raises :class:`StageFailed` where one was edited since.
        """
        for dep in self.inputs(node):
            now, first = self._met.get(dep.fs_path, (dep.hash_info, node.name))
            if now != dep.hash_info:
                raise StageFailed(
                    f"{node.name}: {dep} was edited while this run was going on, and {first} worked on what it was "
                    "before. Run again.",
                    mistake=True,
                )
            if worked:
                self._met[dep.fs_path] = (now, first)

    def state(self, node: Node) -> list[tuple[str, object]]:
        """What the stage's dependencies are now: their hashes, and the marks that each write to an input leaves."""
        marks = [signature(Path(dep.fs_path)) for dep in self.inputs(node)]
        node.record.save_deps()
        hashes = [(str(dep), dep.hash_info) for dep in node.record.deps]
        return [*hashes, *((str(dep), mark) for dep, mark in zip(self.inputs(node), marks, strict=True))]

    def same_parameters(self, node: Node) -> None:
        """A command that is no package of ``tasks`` reads ``params.yaml`` itself: it must be what the run began with.

        Raises :class:`StageFailed` where it is not.
        """
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

    def edited(self, nodes: Iterable[Node], root: Path) -> list[str]:
        """Sealed files and inputs that are other ones by now than those that the walk worked on."""
        own = {str(root / "data" / name) for name in RUN_WRITES}
        names = self._seal.newer()
        for node in nodes:
            for dep in self.inputs(node):
                met = self._met.get(dep.fs_path)
                if met is None or dep.fs_path in own or str(dep) in names:
                    continue
                if not dep.exists or dep.get_hash() != met[0]:
                    names.append(str(dep))
        return names
