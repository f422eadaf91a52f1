"""docs/tutorial.md from its first command to its last, as a reader types them, with a real Prefect server and worker."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path

import pytest

from tasks.artifacts import Drift
from tasks.files import read_json
from tasks.registry.history import DecisionHistory
from tests.flows.conftest import running
from tests.projects import ROOT

pytestmark = [pytest.mark.flows, pytest.mark.timeout(900)]
PAGE = (ROOT / "docs" / "tutorial.md").read_text()
SERVER = "prefect server start"
ADDRESS = "export PREFECT_API_URL=http://127.0.0.1:4200/api"
WORKER = "prefect worker start "


def typed(root: Path, line: str, env: dict[str, str]) -> str:
    """What a command prints in a shell, which ends well."""
    done = subprocess.run(
        ["bash", "-euc", line], cwd=root, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=500
    )  # fmt: skip
    assert done.returncode == 0, f"{line}\n{done.stdout}"
    assert "Traceback" not in done.stdout, done.stdout
    return done.stdout


def test_the_page(tmp_path: Path, server: dict[str, str]) -> None:
    """The server of the session stands for the reader's, which it begins with; so runs need not start one each."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    env = {**server, "PATH": path}
    said: dict[str, list[str]] = {}
    with ExitStack() as terminals:
        for block in re.findall(r"```console\n(.*?)```", PAGE, flags=re.DOTALL):
            for line in (one.removeprefix("$ ") for one in block.splitlines()):
                if line.startswith(WORKER):
                    terminals.enter_context(running([sys.executable, "-m", *shlex.split(line)], env))
                elif line not in (SERVER, ADDRESS):
                    said.setdefault(line, []).append(typed(tmp_path, line, env))
                if line == "refit report --all":
                    everything = (tmp_path / ".refit" / "reports" / "all.html").read_text()
                elif line.startswith("prefect deployment run"):
                    terminals.pop_all().close()  # the worker is needed no longer

    def told(line: str, at: int = 0) -> str:
        return said[line][at]

    # the tables, and the first model, with what its errors cost
    assert "kept 8 weeks aside in later/" in told("refit init --example two-tables")
    assert "order,customer,ordered_at,amount,channel" in told("head -4 customers.csv orders/2024-06-24.csv")
    first, last = said["refit run"]
    assert "registry  this run: version 1; champion: version 1" in first
    assert told("refit report").strip() == "data/reports/report.html"
    report = (tmp_path / "data" / "reports" / "report.html").read_text()
    assert "What errors cost" in report
    assert re.search(r"[\d.]+\xa0EUR", report)
    assert "are awaited until" in report

    # the schedule, and the week that its worker took
    assert "retrain/comes-back runs at '0 5 * * 1' (UTC)" in told('refit deploy --cron "0 5 * * 1"')
    assert re.search(r"schedule +0 5 \* \* 1 \(UTC\)", told("refit status")), (
        "the server may not have planned a run yet"
    )
    (week,) = (text for line, (text, *_) in said.items() if line.startswith("prefect deployment run"))
    assert "finished successfully" in week
    assert re.search(r"The next run is due on |Runs come by the schedule 0 5", everything)
    assert "EUR a row" in everything.replace("\xa0", " ")

    # drift, a promotion by hand, and back
    assert "this run: version 3" in last
    drift = Drift.read(tmp_path / "data" / "drift")
    assert "orders[customer].mean(amount, 14d)" in [c.column for c in drift.columns if c.drifted], drift.sentence
    decisions = DecisionHistory(tmp_path).decisions("comes-back")
    assert [(d.action, d.version) for d in decisions][:: len(decisions) - 1] == [("promote", "1"), ("rollback", "1")]
    assert decisions[0].package_sha256 == decisions[-1].package_sha256
    assert "too many vouchers since Tuesday" in told("refit history")
    assert read_json(tmp_path / "champion.lock")["version"] == "1"
    assert "retrain/comes-back is no longer deployed" in told("refit deploy --remove")
