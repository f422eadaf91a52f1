"""The command without a pipeline behind it: help, start-up time, doctor, init, plain mistakes."""

from __future__ import annotations

import os
import platform
import socket
import subprocess
import sys
import threading
import time
from importlib.metadata import version
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from ruamel.yaml import YAML

from flows import cli, doctor
from flows.preflight import servers
from flows.preflight.parameters import approval, remarks
from flows.preflight.subject import Subject
from flows.project import create
from tasks.errors import RefitError
from tasks.extras import DISTRIBUTION
from tasks.params import Params, load, parse
from tests.projects import ROOT
from tests.samples import drift

REFIT = [sys.executable, "-m", "flows.cli"]
COMMANDS = (
    "run",
    "deploy",
    "backfill",
    "serve",
    "predict",
    "explain",
    "init",
    "doctor",
    "promote",
    "rollback",
    "adopt",
    "history",
    "verify",
    "prove-time",
    "report",
    "status",
    "params",
    "schema",
    "events import",
    "journal",
    "journal backup",
    "journal erase",
)


def test_what_a_run_with_nothing_to_do_looks_at_imports_nothing_heavy() -> None:
    code = "import sys, flows.up_to_date; print([m for m in ('pandas', 'pyarrow', 'prefect', 'mlflow') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_help_imports_nothing_heavy() -> None:
    code = (
        "import sys, flows.cli; heavy = {'prefect', 'mlflow', 'dvc', 'pandas', 'numpy', 'sqlalchemy', 'bentoml', 'pydantic'}; "
        "print(sorted(heavy & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_shows_an_example(command: str) -> None:
    done = subprocess.run([*REFIT, *command.split(), "--help"], capture_output=True, text=True, check=True)
    assert f"Example: refit {command}" in done.stdout


def test_it_says_which_it_is() -> None:
    done = subprocess.run([*REFIT, "--version"], capture_output=True, text=True, check=True)
    assert done.stdout == f"refit {version(DISTRIBUTION)} (Python {platform.python_version()})\n"


def test_a_shell_completes_commands_and_options(tmp_path: Path) -> None:
    """In a bash of its own, in which `refit` is this command."""
    (tmp_path / "refit").write_text(f'#!/bin/sh\nexec {sys.executable} -m flows.cli "$@"\n')
    (tmp_path / "refit").chmod(0o755)
    asked = {"rol": "rollback", "serve --po": "--port", "run --as": "--as-of", "--comp": "--completion"}
    script = ['eval "$(refit --completion bash)"']
    for typed in asked:
        words = f"refit {typed}".split()
        script += [
            f"COMP_WORDS=({' '.join(words)}); COMP_CWORD={len(words) - 1}",
            "_refit_completion refit",
            'echo "${COMPREPLY[@]}"',
        ]
    env = {**os.environ, "PATH": f"{tmp_path}{os.pathsep}{os.environ['PATH']}", "PYTHONPATH": str(ROOT)}
    done = subprocess.run(["bash", "-c", "\n".join(script)], capture_output=True, text=True, check=True, env=env)
    assert (done.stdout.split(), done.stderr) == (list(asked.values()), "")
    for shell in ("zsh", "fish"):
        said = subprocess.run([*REFIT, "--completion", shell], capture_output=True, text=True, check=True).stdout
        assert "_REFIT_COMPLETE=complete_" + shell in said
    wrong = subprocess.run([*REFIT, "--completion", "tcsh"], capture_output=True, text=True)
    assert wrong.returncode == 2
    assert "'tcsh' is not one of 'bash', 'zsh', 'fish'" in wrong.stderr


def test_outside_a_project_the_message_says_what_to_do(tmp_path: Path) -> None:
    for command in ("run", "history"):
        done = subprocess.run([*REFIT, command], cwd=tmp_path, capture_output=True, text=True)
        assert done.returncode == 1
        assert done.stderr.startswith("error: ")
        assert "refit init" in done.stderr


def test_init_makes_a_project(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("a,b,y\n" + "".join(f"{i / 7},{i % 3},{i % 2}\n" for i in range(60)))
    said = list(create(tmp_path, [tmp_path / "t.csv"], "y", force=False))
    assert said[-1] == "next: refit run"
    params = load(tmp_path / "params.yaml")
    assert (params.problem.kind, params.problem.target.column) == ("binary", "y")
    dag = (tmp_path / "dvc.yaml").read_text()
    assert "tasks/" not in dag
    assert "t.csv" in dag
    assert "url = ../.dvc-remote" in (tmp_path / ".dvc" / "config").read_text(), "a copy or a clone has its own"
    assert doctor.dvc(tmp_path).good
    config = tmp_path / ".dvc" / "config"
    config.write_text(config.read_text().replace("../.dvc-remote", "/elsewhere/.dvc-remote"))
    assert doctor.dvc(tmp_path).mend == "dvc remote modify local url ../.dvc-remote"
    assert all((tmp_path / "data" / name / "README.md").exists() for name in ("context", "champion", "expectations"))
    with pytest.raises(RefitError, match=r"is there already\. Use --force"):
        list(create(tmp_path, [tmp_path / "t.csv"], "y", force=False))


def test_init_in_git_uses_it_and_elsewhere_says_what_is_lost(tmp_path: Path) -> None:
    table = "a,b,y\n" + "".join(f"{i / 7},{i % 3},{i % 2}\n" for i in range(60))
    alone, inside = tmp_path / "alone", tmp_path / "repository" / "inside"
    for folder in (alone, inside):
        folder.mkdir(parents=True)
        (folder / "t.csv").write_text(table)
    git = ["git", "-C", str(inside)]
    subprocess.run([*git, "init", "-q", str(inside.parent)], check=True)
    lost = "no git here, which DVC's experiments need: `git init` and `dvc config --unset core.no_scm` add it later"
    assert lost in list(create(alone, [alone / "t.csv"], "y", force=False))
    assert "no_scm" in (alone / ".dvc" / "config").read_text()
    assert lost not in list(create(inside, [inside / "t.csv"], "y", force=False))
    assert "no_scm" not in (inside / ".dvc" / "config").read_text()
    (inside / "data" / "context" / "as_of.json").write_text("{}")
    (inside / "data" / "champion" / "champion.json").write_text("{}")
    (inside / "data" / "raw").mkdir()
    (inside / "data" / "raw" / "t.parquet").write_text("")
    seen = subprocess.run(
        [*git, "ls-files", "--others", "--exclude-standard", "data"], check=True, capture_output=True, text=True
    )
    files = seen.stdout.split()
    assert "data/context/as_of.json" in files
    assert "data/champion/README.md" in files
    assert not {"data/champion/champion.json", "data/raw/t.parquet"} & set(files)


def test_init_refuses_before_it_writes(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("a,y\n1,1\n2,1\n")
    with pytest.raises(RefitError, match="'y'"):
        list(create(tmp_path, [tmp_path / "t.csv"], "y", force=False))
    assert not (tmp_path / "params.yaml").exists()


def test_doctor_names_what_is_missing_and_how_to_mend_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PREFECT_API_URL", raising=False)
    found = {f.what: f for f in doctor.examine(tmp_path)}
    assert found["Python"].good
    assert not found["DVC"].good
    assert "dvc init" in found["DVC"].line()
    assert not found["params.yaml"].good
    assert found["folders"].mend.startswith("mkdir -p data/context")
    monkeypatch.setenv("PREFECT_API_URL", "http://127.0.0.1:9/api")
    assert "does not answer" in doctor.prefect().says
    lock = tmp_path / "requirements.lock"
    lock.write_text("numpy==0.0.1 \\\n    --hash=sha256:x\nabsent-package==1; python_version < '3'\n")
    assert "numpy" in doctor.packages(lock).says
    assert "absent" not in doctor.packages(lock).says


def test_a_prefect_server_at_work_is_given_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whether it is there is told by the connection, and soon; what it takes to answer is another thing."""
    monkeypatch.setattr(servers, "WAIT", 0.05)
    with socket.create_server(("127.0.0.1", 0)) as door:

        def answer() -> None:
            caller, _ = door.accept()
            with caller:
                asked = caller.recv(4096)
                time.sleep(0.2)
                status = b"200 OK" if asked.startswith(b"GET /api/health ") else b"404 Not Found"
                caller.sendall(b"HTTP/1.1 " + status + b"\r\nContent-Length: 0\r\n\r\n")

        found = []
        for path in ("/api/", "/other"):
            threading.Thread(target=answer, daemon=True).start()
            found.append(servers.silence(f"http://127.0.0.1:{door.getsockname()[1]}{path}"))
        monkeypatch.setattr(servers, "BUSY", 0.05)
        found.append(servers.silence(f"http://127.0.0.1:{door.getsockname()[1]}/api"))
    assert found == [None, "it answered 404", "timed out"]


def test_init_in_a_checkout_makes_ingest_depend_on_the_table(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("a,b,y\n" + "".join(f"{i / 7},{i % 3},{i % 2}\n" for i in range(60)))
    (tmp_path / "dvc.yaml").write_text((ROOT / "dvc.yaml").read_text())
    list(create(tmp_path, [tmp_path / "t.csv"], "y", force=False))
    before, after = (YAML(typ="safe").load(folder / "dvc.yaml") for folder in (ROOT, tmp_path))
    assert after["stages"]["ingest"]["deps"] == [*before["stages"]["ingest"]["deps"], str(tmp_path / "t.csv")]
    after["stages"]["ingest"]["deps"].pop()
    assert after == before


# What a run says and asks where its stages are done ------------------------------------------------------------------


def asked(**sections: Any) -> Params:
    return parse(
        {
            "problem": {"name": "p", "kind": "regression", "table": "t", "target": "y"},
            "data": {"tables": {"t": {"source": "t.csv", "columns": {"x": "numeric", "y": "numeric"}}}},
            "models": {"ridge": {}},
            **sections,
        }
    )


@pytest.mark.parametrize(
    ("alarm", "found", "status"),
    [("exit", True, cli.DRIFTED), ("exit", False, 0), ("tell", True, 0), ("exit", None, 0)],
)
def test_a_run_that_found_drift_ends_with_a_status_of_its_own_where_that_is_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, alarm: str, found: bool | None, status: int
) -> None:
    """The run itself is another matter (test_drift): here it has ended."""
    params = asked(monitoring={"alarm": alarm})
    if found is not None:
        drift(found).write(tmp_path / "data" / "drift")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("flows.preflight.require", lambda root, as_of: params)
    monkeypatch.setitem(
        sys.modules, "flows.run", SimpleNamespace(run=lambda root, as_of, watch: None)
    )  # without Prefect
    monkeypatch.setattr("flows.display.summary", lambda *given: "done")
    monkeypatch.setattr(cli.stops, "heed", lambda what: None)
    monkeypatch.setattr(cli.stops, "attended", lambda work, clear: work())
    code = 0
    try:
        cli.run_command(plain=True)
    except SystemExit as ended:
        code = int(ended.code or 0)
    assert code == status


def test_who_asks_for_a_persons_approval_is_told_without_a_server_and_waits_a_number_of_seconds(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("PREFECT_API_URL", raising=False)
    monkeypatch.setenv("REFIT_APPROVAL_SECONDS", "soon")
    without, with_one = asked(), asked(promotion={"approval": True})
    assert list(remarks(without)) == []
    assert [said.partition(":")[0] for said in remarks(with_one)] == ["promotion.approval"]
    assert list(approval(Subject(Path(), without))) == []
    with pytest.raises(RefitError, match="REFIT_APPROVAL_SECONDS"):
        list(approval(Subject(Path(), with_one)))
    monkeypatch.setenv("PREFECT_API_URL", "http://server")
    assert list(remarks(with_one)) == []
