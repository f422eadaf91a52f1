"""What `refit run` shows on a terminal of 160, 80 and 40 columns, without colours, and in a pipe: read as a terminal reads it."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest

from flows.standing import DONE
from tests.flows.project import alone, copied, recorded, refit
from tests.flows.terminal import Terminal, drawn

pytestmark = pytest.mark.flows
# Of libraries that a run works with: bars, log lines, warnings.
FOREIGN = re.compile(r"Collecting|Committing|Checking|\|0/|it/s|INFO|WARNING|alembic|Warning|Traceback")


def ran(root: Path, env: dict[str, str], columns: int, *more: str) -> list[str]:
    """What stands on the terminal after a run, line by line; the cursor is there again and nothing foreign ever was."""
    terminal = Terminal(root, env, "run", *more, columns=columns)
    status, _ = terminal.end()
    assert status == 0, terminal.said
    lines, cursor = drawn(terminal.said, columns)
    assert cursor, "the cursor is shown again"
    assert FOREIGN.findall(terminal.said) == [], terminal.said
    return lines


@pytest.fixture(scope="module")
def project(iris: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return copied(iris, tmp_path_factory.mktemp("terminal") / "iris")


def test_a_run_with_effects_on_eighty_columns(
    project: Path, tmp_path: Path, server: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A stage runs and all effects are done anew, in databases that are made anew: libraries would have much to say."""
    for name in ("mlflow.db", "history.db", Path(DONE).name):
        (project / ".refit" / name).unlink()
    (project / "champion.lock").unlink()
    shutil.rmtree(project / ".refit" / "mlruns")
    report = project / "data" / "reports" / "report.html"
    report.chmod(0o644)
    report.write_text("edited")
    lines = ran(project, {**server, "XDG_CACHE_HOME": str(tmp_path)}, 80)
    stages = len(recorded(project))
    assert re.fullmatch(r"\d+ of \d+ stages to run(, about 0:\d\d by their last times)?", lines[0]), lines
    done = [line for line in lines if line.startswith("✓ ")]
    assert len(done) == stages
    at = lines.index("")
    assert lines[at + 1].startswith("stages    ")
    assert any(line.startswith("          ") for line in lines[at:]), (
        "long lines of the summary are broken below their label"
    )
    assert lines[-1] == ""
    assert "registry  this run: version 1; champion: version 1" in lines


def test_a_run_with_nothing_to_do_on_any_terminal(project: Path) -> None:
    stages = len(recorded(project))
    for columns in (160, 40):
        lines = ran(project, alone(), columns)
        assert lines[0] == f"{stages} stages, none of them to run"
        assert [line.partition(" (")[0] for line in lines[1 : 1 + stages] if line.startswith("✓ ")]
        assert lines[1 + stages : 3 + stages] == ["", f"stages    0 run, {stages} cached"]
    terminal = Terminal(project, {**alone(), "NO_COLOR": "1"}, "run")
    assert terminal.end()[0] == 0
    assert "\x1b[32m" not in terminal.said
    assert "looking at params.yaml" in terminal.said, "it says at once what it does"


def test_in_a_pipe_and_for_a_machine_that_runs_jobs_there_are_plain_lines(project: Path) -> None:
    said = refit(project, "run")
    assert "\x1b" not in said
    assert re.match(r" +\d+\.\d s  looking at params\.yaml, the tables and what changed\n", said)
    terminal = Terminal(project, {**alone(), "CI": "true"}, "run", job=True)
    assert terminal.end()[0] == 0
    assert "\x1b" not in terminal.said
    lines, _ = drawn(terminal.said, 10_000)
    assert re.sub(r"[\d.]+ s", "", "\n".join(lines)) == re.sub(r"[\d.]+ s", "", said)
