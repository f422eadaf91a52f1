"""The walk of a DAG: ready, start, wait. How a stage is started and what its end means are handed in."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from concurrent.futures import Future
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from flows.node import Node

T = TypeVar("T")


def failure(_: Node, future: Future[T]) -> BaseException | None:
    """The error that a stage's future ended with; None where it ended well."""
    return future.exception()


def walk(
    nodes: Mapping[str, Node],
    start: Callable[[Node], Future[T]],
    parallel: int,
    settle: Callable[[Node, Future[T]], BaseException | None] = failure,
) -> None:
    """Start every stage once those that it needs are done, at most ``parallel`` at once, and wait for all of them.

    Parameters
    ----------
    nodes
        Stages by name, in the order in which they start where several could.
    start
        Begins a stage and returns at once, with what ends when the stage does.
    settle
        Says, in this thread, whether a stage that has ended counts as failed: its error, or None.

    Raises
    ------
    BaseException
        The first error of a stage. Nothing new was started after it, and what ran has ended.
    """
    done: set[str] = set()
    running: dict[Future[T], Node] = {}
    ended: SimpleQueue[Future[T]] = SimpleQueue()
    error: BaseException | None = None
    while True:
        for node in [] if error else ready(nodes, done, running.values())[: parallel - len(running)]:
            future = start(node)
            running[future] = node
            future.add_done_callback(ended.put)
        if not running:
            break
        future = _next(ended)
        node = running.pop(future)
        failed = settle(node, future)
        if failed is None:
            done.add(node.name)
        error = error or failed
    if error:
        raise error


def ready(nodes: Mapping[str, Node], done: Collection[str], running: Collection[Node]) -> list[Node]:
    """Stages that could start now: neither done nor running, and all that they need is done."""
    begun = {*done, *(node.name for node in running)}
    return [node for name, node in nodes.items() if name not in begun and set(node.needs) <= set(done)]


def _next(ended: SimpleQueue[Future[T]]) -> Future[T]:
    while True:
        try:
            return ended.get(timeout=1.0)  # a bounded wait lets Ctrl-C in
        except Empty:
            continue
