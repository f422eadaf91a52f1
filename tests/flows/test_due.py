"""A worker that was off for several moments of a schedule: the newest is made up for, as of its own moment, and no other.

When it comes back a run by hand is at work, which is waited for, and is killed.
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from flows.due import timed
from tasks.files import read_json
from tasks.params import load
from tests.flows.conftest import running
from tests.flows.project import PARAMS, REFIT, diary, make_project, refit

TIMED = PARAMS.replace("target: y}", "target: y, prediction_time: at}").replace("{x:", "{at: datetime, x:")
LATE = PARAMS.replace("t.csv,", "t.csv, event_time: at, outcome: [y], known_at: at,").replace(
    "{x:", "{at: datetime, x:"
)


@pytest.mark.parametrize(("text", "answer"), [(PARAMS, False), (TIMED, True), (LATE, True)])
def test_a_moment_counts_where_some_table_knows_of_time(tmp_path: Path, text: str, answer: bool) -> None:
    (tmp_path / "params.yaml").write_text(text)
    assert timed(load(tmp_path / "params.yaml")) is answer


@contextmanager
def by_hand(root: Path, env: dict[str, str]) -> Iterator[subprocess.Popen[bytes]]:
    """`refit run` at work in the project, in a stage."""
    hand = subprocess.Popen([*REFIT, "run"], cwd=root, env=env, stdout=-3, stderr=-3)
    try:
        while diary(root, "began") != ["load"]:
            assert hand.poll() is None
            time.sleep(0.1)
        yield hand
    finally:
        hand.kill()
        hand.wait()


@pytest.mark.flows
def test_missed_moments_are_made_up_for_once(tmp_path: Path, server: dict[str, str]) -> None:
    from prefect.client.orchestration import SyncPrefectClient
    from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterDeploymentId
    from prefect.client.schemas.objects import FlowRun
    from prefect.client.schemas.schedules import RRuleSchedule

    root = make_project(tmp_path / "missed")
    (root / "params.yaml").write_text(TIMED.replace("name: toy", "name: missed"))
    refit(root, "deploy", "--cron", "0 5 1 1 *", env=server)
    with SyncPrefectClient(server["PREFECT_API_URL"]) as client:
        deployment = client.read_deployment_by_name("retrain/missed")
        first = datetime.now(UTC) + timedelta(seconds=25)  # time enough for the server to plan them
        thrice = f"DTSTART:{first:%Y%m%dT%H%M%SZ}\nRRULE:FREQ=SECONDLY;INTERVAL=4;COUNT=3"
        client.create_deployment_schedules(deployment.id, [(RRuleSchedule(rrule=thrice), True)])
        of = FlowRunFilter(deployment_id=FlowRunFilterDeploymentId(any_=[deployment.id]))

        def due() -> list[FlowRun]:
            found = client.read_flow_runs(flow_run_filter=of, limit=200)
            past = [
                run for run in found if run.expected_start_time and run.expected_start_time.timestamp() < time.time()
            ]
            return sorted(past, key=lambda run: run.expected_start_time or run.created)

        def wait(least: int, ended: bool) -> list[FlowRun]:
            deadline = time.monotonic() + 240
            while time.monotonic() < deadline:
                runs = due()
                if len(runs) >= least and (not ended or all(run.state and run.state.is_final() for run in runs)):
                    return runs
                time.sleep(1)
            raise AssertionError([(run.name, run.expected_start_time, run.state) for run in due()])

        wait(3, ended=False)
        words = ["worker", "start", "--pool", "refit-missed", "--work-queue", "missed"]
        with (
            by_hand(root, {**server, "NAP_load": "600"}) as hand,
            running([sys.executable, "-m", "prefect", *words], server),
        ):
            deadline = time.monotonic() + 240
            while not (waiting := [run for run in due() if run.state_name == "Waiting"]):
                assert time.monotonic() < deadline, [(run.name, run.state) for run in due()]
                time.sleep(0.5)
            assert "another `refit run` is at work" in refit(root, "run", code=1, env=server)
            hand.kill()  # which leaves its stage running
            runs = wait(3, ended=True)
        states = client.read_flow_run_states(waiting[0].id)
    *older, newest = runs
    assert waiting[0].id == newest.id
    assert f"waits for `refit run` (process {hand.pid}, since " in str(waiting[0].state and waiting[0].state.message)
    assert [state.name for state in states][-3:] == ["Waiting", "Running", "Completed"]
    assert [run.state_name for run in older] == ["Skipped"] * len(older)
    assert newest.state_name == "Completed"
    assert all("works for this one too" in str(run.state.message) for run in older if run.state)
    assert diary(root).count("load") == 1
    as_of = datetime.fromisoformat(read_json(root / "data" / "context" / "as_of.json")["as_of"])
    assert newest.expected_start_time
    assert as_of == newest.expected_start_time
    assert newest.name == f"missed, as of {as_of:%Y-%m-%d %H:%M}"
