"""Who gets a stage next where workers die, and what of several at one search counts; the workers themselves are in test_machines."""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from flows import pools, worker
from flows.commands import CommandFailed, StageFailed
from tasks.errors import RefitError
from tasks.params import Params, parse

pytestmark = pytest.mark.flows
DECLARED: dict[str, Any] = {
    "problem": {"name": "toy", "kind": "binary", "table": "t", "target": "y"},
    "data": {"tables": {"t": {"source": "t.csv", "columns": {"x": "numeric", "y": "categorical"}}}},
    "models": {"logistic": {}, "auto": {}},
}


def params(**orchestration: Any) -> Params:
    return parse(DECLARED | {"orchestration": {"pools": {"cpu": "c"}} | orchestration}, "params.yaml")


class Far:
    """Workers by what becomes of each one's work; ``lines`` is what the run is told."""

    def __init__(self, *fates: str | Exception) -> None:
        self.fates, self.sent, self.here = list(fates), 0, 0
        self.lines: list[str] = []
        self.threads: list[int] = []

    def send(self, *arguments: Any) -> str:
        self.sent += 1
        self.threads.append(arguments[5]["threads"])
        fate = self.fates.pop(0)
        if isinstance(fate, Exception):
            raise fate
        return fate


@pytest.fixture
def far(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Far]:
    def made(*fates: str | Exception) -> Far:
        workers = Far(*fates)
        monkeypatch.setattr(pools, "send", workers.send)
        monkeypatch.setattr(pools, "alive", lambda pool: bool(workers.fates))
        return workers

    return made


def run(workers: Far, *deps: str, **orchestration: Any) -> None:
    def execute(*arguments: Any) -> None:
        workers.here += 1

    dag = SimpleNamespace(root=Path("/p"), seal=SimpleNamespace(folder=Path("/p/.refit/start/x")), run_here=execute)
    record = SimpleNamespace(deps=[SimpleNamespace(def_path=path) for path in deps], wdir="/p")
    node = SimpleNamespace(name="load", cmd="python work.py", meta={}, record=record)
    pools._run(dag, params(**orchestration), node, workers.lines.append)  # type: ignore[arg-type]


def test_a_stage_whose_worker_died_goes_to_another(far: Callable[..., Far]) -> None:
    workers = far(pools.WorkerDied("load: its worker has died"), "done")
    run(workers)
    assert (workers.sent, workers.here) == (2, 0)
    assert workers.lines == ["sent to work pool 'c'", "warning: load: its worker has died", "sent to work pool 'c'"]


def test_it_runs_here_where_no_worker_is_left(far: Callable[..., Far]) -> None:
    workers = far(pools.NobodyLeft("load: gone"))
    run(workers)
    assert (workers.sent, workers.here) == (1, 1)
    assert workers.lines[-1] == "warning: no worker of pool 'c' is alive; load runs here"


def test_what_kills_worker_after_worker_is_given_up_and_other_failures_are_at_once(far: Callable[..., Far]) -> None:
    workers = far(*[pools.WorkerDied("died")] * 9)
    with pytest.raises(CommandFailed, match="died"):
        run(workers)
    assert workers.sent == pools.LIVES
    workers = far(StageFailed("other code", mistake=True), "done")
    with pytest.raises(StageFailed, match="other code"):
        run(workers)
    assert workers.sent == 1


def test_a_stage_that_reads_outside_of_the_folder_runs_here_and_says_so(far: Callable[..., Far]) -> None:
    workers = far("done")
    run(workers, "t.csv", "../shared/x.csv", exchange="remote")
    assert (workers.sent, workers.here) == (0, 1)
    assert workers.lines == [
        "load runs here: '../shared/x.csv' lies outside of the project's folder, and is not carried to a worker"
    ]


def test_a_stage_is_sent_with_the_number_of_threads_that_it_would_have_here(
    far: Callable[..., Far], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    workers = far("done")
    run(workers)
    assert workers.threads == [3]


def test_a_worker_is_dead_after_half_a_minute_without_a_sign_by_the_senders_clock(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now = 100.0
    monkeypatch.setattr(pools, "time", SimpleNamespace(monotonic=lambda: now))
    life = pools._Life(SimpleNamespace(name="load"), "c", False, print)  # type: ignore[arg-type]
    for sign in (1, 2, 3):
        now += 29
        life.check(sign)
    now += 29
    life.check(3)
    now += 2
    with pytest.raises(pools.WorkerDied, match="load: its worker in pool 'c' has died"):
        life.check(3)


def test_a_worker_without_the_database_of_studies_takes_no_part_in_a_shared_search(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / ".dvc").mkdir()
    monkeypatch.setenv(worker.CHECKOUT, str(tmp_path))
    monkeypatch.delenv(worker.ENVIRONMENT, raising=False)
    with pytest.raises(RefitError, match=r"REFIT_STUDIES_URL: .* this worker does not have it"):
        worker._by_remote({"shared": True}, print)


def test_of_several_at_one_search_the_first_end_counts_and_a_death_is_no_matter() -> None:
    lines: list[str] = []
    turn = itertools.count()

    def work(enough: threading.Event) -> str:
        mine = next(turn)
        if mine == 0:
            raise pools.WorkerDied("one has died")
        if mine == 1:
            while not lines:  # of the death
                time.sleep(0.01)
            return "found"
        assert enough.wait(30), "it is told that another was done first"
        return ""

    assert pools._first(3, work, lines.append) == "found"
    assert lines == ["warning: one has died; another worker goes on"]

    def die(enough: threading.Event) -> str:
        raise pools.WorkerDied("all died")

    with pytest.raises(pools.WorkerDied, match="all died"):
        pools._first(2, die, lines.append)


def test_only_searches_that_can_be_shared_are_sent_twice() -> None:
    def count(name: str, models: tuple[str, ...] = ("logistic", "auto"), **more: Any) -> int:
        orchestration = {"pools": {"cpu": "c"}, "exchange": "remote", "tuners": 3}
        made: dict[str, Any] = {"models": {one: {} for one in models}, "tuning": more, "orchestration": orchestration}
        return pools.tuners(SimpleNamespace(name=name), parse(DECLARED | made, "params.yaml"))  # type: ignore[arg-type]

    assert [count(name) for name in ("tune@logistic", "tune@auto", "train@logistic", "features")] == [3, 1, 1, 1]
    assert count("tune@mlp", ("mlp",), sampler="pbt") == 1
    for wrong in ({"exchange": "folder"}, {"pools": {}, "exchange": "remote"}):
        with pytest.raises(
            RefitError, match=r"tuners: 2 workers can share a search only where each has its own checkout"
        ):
            params(tuners=2, **wrong)


def test_without_a_worker_a_stage_waits_or_runs_here_as_it_is_told(far: Callable[..., Far]) -> None:
    workers, node = far(), SimpleNamespace(name="load", meta={})
    assert pools._pool(node, params(no_gpu="wait"), workers.lines.append) == "c"  # type: ignore[arg-type]
    assert pools._pool(node, params(), workers.lines.append) is None  # type: ignore[arg-type]
    assert workers.lines == [
        "no worker of pool 'c' is alive; load waits for one (orchestration.no_gpu)",
        "warning: no worker of pool 'c' is alive; load runs here",
    ]
