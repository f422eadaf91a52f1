"""From `init` to the second unattended week, with a real Prefect server and worker. A week is a minute here: rows come every three seconds."""

from __future__ import annotations

import random
import re
import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tasks.registry.history import DecisionHistory
from tests.flows.conftest import running
from tests.flows.project import refit
from tests.flows.webhook import Webhook, served

pytestmark = pytest.mark.flows


def parcels() -> str:
    """A table that is extended as time goes by: an hour of rows, of which the last forty minutes lie ahead."""
    draw, begin = random.Random(1), datetime.now(UTC) - timedelta(minutes=20)
    lines = ["at,height,weight,late"]
    for k in range(1200):
        height, weight = draw.gauss(0, 1), draw.gauss(0, 1)
        late = int(height + weight + draw.gauss(0, 1) > 0)
        lines.append(f"{begin + timedelta(seconds=3 * k):%Y-%m-%dT%H:%M:%SZ},{height:.3f},{weight:.3f},{late}")
    return "\n".join(lines)


def test_two_weeks_pass_by_themselves(tmp_path: Path, server: dict[str, str]) -> None:
    from prefect.client.orchestration import SyncPrefectClient
    from prefect.client.schemas.filters import (
        ArtifactFilter,
        ArtifactFilterFlowRunId,
        FlowRunFilter,
        FlowRunFilterDeploymentId,
    )
    from prefect.client.schemas.objects import FlowRun

    root = tmp_path / "parcels"
    root.mkdir()
    (root / "parcels.csv").write_text(parcels())
    refit(root, "init", "--data", "parcels.csv", "--target", "late")
    text = re.sub(r"  auto: .*\n", "", (root / "params.yaml").read_text()).replace("trials: 6", "trials: 2")
    text = text.replace("explain: true", "explain: false") + "\nnotify: {when: [failure, verdict], to: [HOOK]}\n"
    (root / "params.yaml").write_text(text)
    said = refit(root, "deploy", "--cron", "* * * * *", env=server)
    command = next(line for line in said.splitlines() if "prefect worker start" in line).partition("prefect ")[2]
    assert f"prefect {command}" == "prefect worker start --pool refit-late --work-queue late"

    with SyncPrefectClient(server["PREFECT_API_URL"]) as client:
        deployment = client.read_deployment_by_name("retrain/late").id
        of = FlowRunFilter(deployment_id=FlowRunFilterDeploymentId(any_=[deployment]))

        def worked() -> list[FlowRun]:
            found = [run for run in client.read_flow_runs(flow_run_filter=of, limit=200) if run.state_name != "Skipped"]
            return sorted((run for run in found if run.state and run.state.is_final()), key=lambda run: run.created)

        webhook = Webhook()
        worker = [sys.executable, "-m", "prefect", *command.split()]
        with served(webhook), running(worker, server | {"HOOK": webhook.url}):
            deadline = time.monotonic() + 500
            while len(worked()) < 2 and time.monotonic() < deadline:
                time.sleep(1)
        first, second = sorted(worked(), key=lambda run: run.expected_start_time or run.created)[:2]
        shown = client.read_artifacts(
            artifact_filter=ArtifactFilter(flow_run_id=ArtifactFilterFlowRunId(any_=[second.id]))
        )
    refit(root, "deploy", "--remove", env=server)

    # each worked as of its own moment, the second on the rows that had come since
    assert [run.state_name for run in (first, second)] == ["Completed", "Completed"], (first.state, second.state)
    decisions = DecisionHistory(root).decisions("late")
    assert [d.version for d in decisions[:2]] == ["1", "2"]
    for run, decision in zip((first, second), decisions, strict=False):
        assert run.expected_start_time
        assert run.name == f"late, as of {run.expected_start_time:%Y-%m-%d %H:%M}: {decision.evidence['verdict']}"
        assert run.state
        assert run.state.message == decision.reason

    # who is to know was told, with a link to the run
    assert [str(body["text"]).splitlines()[:2] for body in webhook.got[:2]] == [
        [f"*late: {decision.evidence['verdict']}*", decision.reason] for decision in decisions[:2]
    ]
    assert str(webhook.got[1]["text"]).endswith(f"/runs/flow-run/{second.id}")

    # what Prefect's UI shows of it
    by_key = {one.key: one for one in shown}
    assert {"late-verdict", "late-metrics", "late-progress", "late-report"} <= by_key.keys()
    page = str(by_key["late-verdict"].data)
    assert f"# late: {decisions[1].evidence['verdict']}" in page
    assert decisions[1].reason in page
    assert "- **This run**: version 2 (logistic)" in page
    assert re.search(
        r"\n- The next run is due on \d+ \w+ \d+, \d\d:\d\d UTC, by the schedule \* \* \* \* \* \(UTC\)\.\n", page
    )
    assert '"beside": "champion"' in str(by_key["late-metrics"].data)
    assert float(str(by_key["late-progress"].data)) == 100
    report = str(by_key["late-report"].data)
    assert "# late: the report of version 2" in report
    assert f"\n{root / 'data' / 'reports' / 'report.html'}\n" in report
    assert "file:" not in report
