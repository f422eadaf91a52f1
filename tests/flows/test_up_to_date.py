"""A run with nothing to do is known as one, loads nothing for it, and whatever is left to do is seen."""

from __future__ import annotations

import json
import os
import shutil
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

import pandas as pd
import pytest

from flows import sources, standing
from flows.dag import Dag
from flows.expected import Expected
from flows.node import Outcome
from flows.standing import DONE, Standing
from flows.up_to_date import SNAPSHOTS, UpToDate, server_named, up_to_date
from flows.watcher import Watcher
from tasks.files import read_json
from tasks.params import load
from tasks.registry.history import Decision, DecisionHistory
from tests.flows.project import PARAMS, copied, make_project, recorded, refit
from tests.projects import succeeds

MODEL = "iris-target"


def ask(root: Path, as_of: str | None = None, done: set[str] | None = None) -> UpToDate | None:
    """What a run without a server asks before it loads Prefect."""
    with Dag(root, sources.list_sources) as dag:
        return up_to_date(dag, as_of, set() if done is None else done)


@pytest.fixture(scope="module")
def project(iris: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Iris after its first run, as if it had been made where it lies."""
    root = copied(iris, tmp_path_factory.mktemp("rest") / "iris")
    done = read_json(root / DONE)
    made = standing.result(root, load(root / "params.yaml"))
    standing.finish(root, made, Standing(done["version"], done["champion"], done["sentence"]), done["seconds"])
    return root


@pytest.mark.flows
def test_a_run_with_nothing_to_do_loads_neither_prefect_nor_mlflow(project: Path) -> None:
    """And says at its end what a run says that did it all. An older project gets its `refit.dvc`, and nothing runs for it."""
    (project / "refit.dvc").unlink()
    code = (
        "import sys; from flows.cli import app; app(['run', '--plain'], standalone_mode=False); "
        "print(sorted({'prefect', 'mlflow', 'sqlalchemy', 'sklearn', 'scipy', 'rich'} & set(sys.modules)))"
    )
    said = succeeds(project, sys.executable, "-c", code)
    assert (project / "refit.dvc").read_text().startswith("outs: []\n")
    first, second, *lines, loaded = said.splitlines()
    assert loaded == "[]", said
    stages = len(recorded(project))
    assert first.endswith(" s  looking at params.yaml, the tables and what changed")
    assert second.endswith(f" s  {stages} stages, none of them to run")
    shown = [line.split("  ")[-1].partition(" (")[0] for line in lines[:stages]]
    assert sorted(shown) == sorted(f"{name} cached" for name in recorded(project))
    assert lines[stages:][:3] == ["", f"stages    0 run, {stages} cached", "rows      150 accepted, 0 quarantined"]
    labels = [line.split()[0] for line in lines[stages + 1 :]]
    assert labels == [
        "stages",
        "rows",
        "family",
        "test",
        "drift",
        "verdict",
        "registry",
        "report",
        "package",
        "UI",
        "runs",
    ]


@pytest.mark.flows
def test_on_a_server_a_run_with_nothing_to_do_leaves_its_trace(project: Path, server: dict[str, str]) -> None:
    def asked(what: str, **of: object) -> list[dict[str, Any]]:
        body = json.dumps(of).encode()
        request = Request(f"{server['PREFECT_API_URL']}/{what}/filter", body, {"Content-Type": "application/json"})
        with urlopen(request, timeout=20) as answer:
            found: list[dict[str, Any]] = json.load(answer)
        return found

    before = {run["id"] for run in asked("flow_runs")}
    stages = sorted(recorded(project))
    assert f"0 run, {len(stages)} cached" in refit(project, "run", "--plain", env=server)
    (run,) = [
        run for run in asked("flow_runs") if run["id"] not in before and run["parameters"]["root"] == str(project)
    ]
    assert run["state_type"] == "COMPLETED"
    cached: list[str] = []
    for _ in range(600):  # the server comes to know of tasks by and by
        tasks = asked("task_runs", flow_runs={"id": {"any_": [run["id"]]}})
        cached = sorted(task["name"] for task in tasks if task["state"]["name"] == "Cached")
        if cached == stages:
            break
        time.sleep(0.2)
    assert cached == stages


@pytest.mark.flows
def test_whatever_is_left_to_do_is_seen(project: Path) -> None:
    """Each of these alone, and put back: an edit, an output that is gone, an effect that a kill left undone."""
    rest = ask(project)
    assert rest is not None
    assert [outcome.how for outcome in rest.outcomes] == ["unchanged"] * len(recorded(project))
    assert rest.standing == Standing("1", "1", read_json(project / DONE)["sentence"])
    assert rest.notes == ()

    def changed(name: str, change: Callable[[str], str]) -> None:
        path = project / name
        before, stamp = path.read_text(), path.stat()
        path.write_text(change(before))
        assert ask(project) is None, f"{name} was another"
        path.write_text(before)
        os.utime(path, ns=(stamp.st_atime_ns, stamp.st_mtime_ns))

    changed("params.yaml", lambda text: text.replace("trials: 2", "trials: 3", 1))
    changed("iris.csv", lambda text: text + text.splitlines()[1] + "\n")
    changed("data/reports/report.html", lambda text: text + " ")
    changed("dvc.lock", lambda text: text.partition("  report:")[0])
    changed(DONE, lambda text: text.replace('"of": "', '"of": "0'))
    changed(DONE, lambda text: text.replace("history.db", "other.db"))
    changed(DONE, lambda text: "{}")
    for name in ("data/verdict/verdict.json", ".refit/mlflow.db"):
        os.rename(project / name, project / "aside")
        assert ask(project) is None, f"{name} was not there"
        os.rename(project / "aside", project / name)
    assert ask(project, as_of="2031-01-01") is None
    again = ask(project)
    assert again is not None
    assert again.standing == rest.standing
    history = DecisionHistory(project)
    last = history.decisions(MODEL)[-1]
    history.record(
        Decision(MODEL, "adopt", "none", None, "", "begin anew", "somebody", "by hand"), expected=last.package_sha256
    )
    assert ask(project) is None, "somebody decided since"


def test_a_dag_without_a_verdict_has_no_effects_that_could_be_left(tmp_path: Path) -> None:
    root = make_project(tmp_path)
    assert ask(root) is None
    with Dag(root) as dag:
        for name in dag.nodes:
            dag.run(name, lambda line: None)
    rest = ask(root)
    assert rest is not None
    assert (rest.standing, [outcome.stage for outcome in rest.outcomes]) == (None, ["load", "fit@p", "fit@q", "join"])
    (root / "dvc.yaml").write_text((root / "dvc.yaml").read_text() + "    desc: a comment\n")
    assert ask(root) is not None, "only what a stage goes by counts"
    shutil.rmtree(root / "data" / "fit_q")
    assert ask(root) is None


def test_of_a_database_the_rows_are_asked_and_not_twice(tmp_path: Path) -> None:
    import sqlite3
    from contextlib import closing

    root = make_project(tmp_path)
    rows = pd.DataFrame({"x": [1.0, 2.0], "y": ["a", "b"]})
    with closing(sqlite3.connect(root / "shop.db")) as connection:
        rows.to_sql("t", connection, index=False)
    (root / "params.yaml").write_text(PARAMS.replace("source: t.csv", "source: {sql: 'sqlite:///shop.db', table: t}"))
    dag = (
        (root / "dvc.yaml")
        .read_text()
        .replace("load", "ingest")
        .replace("data/context]", "data/context, data/sources]")
    )
    (root / "dvc.yaml").write_text(dag)
    (root / "data" / "sources").mkdir()
    (root / "data" / "sources" / "README.md").write_text("snapshots\n")
    done: set[str] = set()
    assert (ask(root, done=done), done) == (None, {SNAPSHOTS})
    with Dag(root) as opened:
        for name in opened.nodes:
            opened.run(name, lambda line: None)
    assert ask(root) is not None
    with closing(sqlite3.connect(root / "shop.db")) as connection:
        rows.head(1).to_sql("t", connection, index=False, if_exists="append")
    assert ask(root) is None
    os.rename(root / "shop.db", root / "aside.db")
    done.clear()
    with pytest.raises(sources.RefitError, match=r"no such file"):
        ask(root, done=done)
    assert done == set()


def test_a_watcher_is_told_what_the_flow_would_have_told(tmp_path: Path) -> None:
    told: list[object] = []

    class Notes(Watcher):
        def began(self, params: object) -> None:
            told.append(params)

        def note(self, text: str) -> None:
            told.append(text)

        def expects(self, expected: Expected) -> None:
            told.append(expected)

        def ended(self, stage: str, outcome: Outcome) -> None:
            told.append((stage, outcome))

        def concluded(self, root: Path, standing: Standing | None) -> None:
            told.append((root, standing))

    (tmp_path / "params.yaml").write_text(PARAMS)
    params, outcome = load(tmp_path / "params.yaml"), Outcome("load", "unchanged", 0.0)
    expected = Expected({"load": ()}, frozenset(), {}, 1)
    UpToDate(params, expected, (outcome,), ("dvc.yaml: mended",), None).tell(tmp_path, Notes())
    assert told == [params, "dvc.yaml: mended", expected, ("load", outcome), (tmp_path, None)]


@pytest.mark.parametrize(
    ("file", "text", "named"),
    [
        ("pyproject.toml", '[project]\ndependencies = ["prefect"]\n', False),
        ("pyproject.toml", '[tool.prefect.api]\nurl = "http://127.0.0.1:9/api"\n', True),
        ("prefect.toml", '[api]\nurl = "http://127.0.0.1:9/api"\n', True),
        ("prefect.toml", "[logging]\nlevel = 'ERROR'\n", False),
        (".env", "PREFECT_API_URL=http://127.0.0.1:9/api\n", True),
        (".env", "SHOP=postgresql://shop\n", False),
        ("home/profiles.toml", 'active = "a"\n[profiles.a]\nPREFECT_API_URL = "http://127.0.0.1:9/api"\n', True),
        ("home/profiles.toml", 'active = "a"\n[profiles.a]\nPREFECT_LOGGING_LEVEL = "ERROR"\n', False),
    ],
)
def test_a_server_that_any_of_prefects_files_names_is_to_know_of_the_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, file: str, text: str, named: bool
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("PREFECT_API_URL", raising=False)
    monkeypatch.setenv("PREFECT_HOME", str(tmp_path / "home"))
    (tmp_path / "home").mkdir()
    assert not server_named(tmp_path)
    (tmp_path / file).write_text(text)
    assert server_named(tmp_path) is named
    monkeypatch.setenv("PREFECT_API_URL", "http://127.0.0.1:9/api")
    assert server_named(tmp_path)


def test_without_a_home_of_its_own_prefect_is_asked_for_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("PREFECT_API_URL", "PREFECT_HOME"):
        monkeypatch.delenv(name, raising=False)
    assert not server_named(tmp_path)
    profiles = tmp_path / ".refit" / "prefect" / "profiles.toml"
    profiles.parent.mkdir(parents=True)
    profiles.write_text("[profiles.a]\n")
    monkeypatch.setenv("PREFECT_API_URL", "")
    assert not server_named(tmp_path), "an empty variable names none"
