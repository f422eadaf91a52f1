"""A stage of ``dvc.yaml`` as the walk sees it, and what becomes of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from flows.commands import is_stage, words

if TYPE_CHECKING:
    from dvc.stage import PipelineStage

Log = Callable[[str], None]
How = Literal["unchanged", "restored", "ran"]

Execute = Callable[["Node", Log], None]  # runs a stage's commands


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
    meta: dict[str, str | int]
    needs: tuple[str, ...]
    deps: tuple[str, ...]
    outs: tuple[str, ...]
    record: PipelineStage = field(repr=False)

    @property
    def sealed(self) -> bool:
        """Whether its commands read ``params.yaml`` and code as the run began with them."""
        return all(is_stage(command) for command in words(self.cmd))
