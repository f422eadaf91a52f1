"""Work pools: send a stage's command to the Prefect work pool that its hardware asks for."""

from __future__ import annotations

from collections.abc import Callable

from flows.dag import Dag, Log, Node
from tasks.params import Params


def executor(dag: Dag, node: Node, params: Params) -> Callable[[Node, Log], None] | None:
    """How to run a stage's command: None, in a process of this machine, unless its pool is configured."""
    return None
