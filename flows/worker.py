"""What a Prefect worker runs of a stage: its commands, their lines and signs of life told through Prefect's API."""

from __future__ import annotations

import json
import os
import threading
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from prefect import flow, get_client
from prefect.runtime import flow_run
from prefect.states import Completed, Failed

import tasks.stage  # noqa: F401  (quiet settings before the stage's own imports)
from flows.commands import CommandFailed, failure, follow, start, words
from tasks.errors import RefitError

if TYPE_CHECKING:
    from prefect.client.schemas.objects import State

    from flows.exchange import Entry, Order
    from flows.node import Log

BEAT = 2.0  # seconds between signs of life
LINES, ALIVE = "refit.stage", "refit.beat"  # the logger that a stage's lines are under; the label that keeps changing
# Names of failed states beside Prefect's own: the command said in plain words what is wrong, or this worker could not begin
# (repeating cannot help either), or it could not fetch or deliver.
MISTAKE, REFUSED, UNDELIVERED = "Mistake", "Refused", "Undelivered"
CHECKOUT = "REFIT_CHECKOUT"
ENVIRONMENT = "REFIT_STUDIES_URL"  # tasks/tune/study.py; importing that takes Optuna


@flow(name="refit-stage", validate_parameters=False)
def run_stage(root: str | None, order: dict[str, Any]) -> State:
    """Run a stage in the sender's folder ``root``, or, without one, in this worker's own checkout by the DVC remote.

    The final state's message tells the sender: a JSON list of outputs (by the remote), or what failed.
    """
    # The last bits of some sums depend on it, and the sender records its own.
    os.environ["OMP_NUM_THREADS"] = str(order["threads"])
    with _told() as say:
        try:
            if root is not None:
                if not Path(root).is_dir():
                    raise RefitError(
                        f"{root}: this worker does not see the project's folder. Share it, or set orchestration.exchange: remote."
                    )
                _commands(Path(root), Path(root), order["stage"], order["commands"], say, Path(order["start"]))
                return Completed(message="ran in the sender's folder")
            return Completed(message=json.dumps(_by_remote(cast("Order", order), say)))
        except RefitError as error:
            mistake = getattr(error, "mistake", True)
            if isinstance(error, CommandFailed):
                return Failed(name=MISTAKE if mistake else "Failed", message=str(error))
            return Failed(name=REFUSED if mistake else UNDELIVERED, message=str(error))


def _by_remote(order: Order, say: Log) -> list[Entry]:
    from flows.exchange import Workplace

    checkout = Path(os.environ.get(CHECKOUT, ""))
    if not (os.environ.get(CHECKOUT) and (checkout / ".dvc").is_dir()):
        raise RefitError(
            f"{CHECKOUT}: a worker of a pool with orchestration.exchange: remote needs its own checkout of the project; "
            f"start it with {CHECKOUT} set to that folder, found {os.environ.get(CHECKOUT)!r}."
        )
    if order["shared"] and not os.environ.get(ENVIRONMENT):
        raise RefitError(
            f"{ENVIRONMENT}: orchestration.tuners lets several workers share a search, in the database that this variable names; "
            "this worker does not have it. Start it with postgresql://user@host/name of a database that all of them see."
        )
    with Workplace(checkout.resolve(), order) as place:
        _commands(place.folder, Path(place.stage.wdir), order["stage"], words(place.stage.cmd), say)
        return place.deliver()


def _commands(
    root: Path, wdir: Path, stage: str, commands: list[list[str]], say: Log, sealed: Path | None = None
) -> None:
    for command in commands:
        code, lines = follow(start(stage, command, wdir, root, sealed), say)
        if code:
            raise failure(stage, code, lines)


@contextmanager
def _told() -> Iterator[Log]:
    """A function that has a line told to the sender; every few seconds lines and a sign of life go to Prefect's API.

    All lines are there when the context ends, before the run's final state.
    """
    lines: deque[dict[str, object]] = deque()
    stop, run = threading.Event(), str(flow_run.id)

    def say(line: str) -> None:
        now = datetime.now(UTC).isoformat()
        lines.append({"name": LINES, "level": 20, "message": line[:10_000], "timestamp": now, "flow_run_id": run})

    def post() -> None:
        while batch := list(islice(lines, 500)):
            client.create_logs(batch)
            for _ in batch:
                lines.popleft()

    def beat() -> None:
        count = 0
        while not stop.wait(BEAT if count else 0):
            count += 1
            try:
                client.update_flow_run_labels(flow_run.id, {ALIVE: count})
                post()
            except Exception:  # a server that is away for a moment: the next beat tells it all
                continue

    with get_client(sync_client=True) as client:
        thread = threading.Thread(target=beat, daemon=True)
        thread.start()
        try:
            yield say
        finally:
            stop.set()
            thread.join()
            post()
