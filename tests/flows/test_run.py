"""The whole pipeline on iris through the command: run, cached, changed, history, verify, and kills between effects."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tasks.files import read_json, sha256
from tasks.registry.history import History
from tasks.registry.tracking import PARENT, Registry
from tests.flows.project import dvc

pytestmark = pytest.mark.flows
REFIT = [sys.executable, "-m", "flows.cli"]
MODEL = "iris-target"


def refit(root: Path, *arguments: str, code: int = 0) -> str:
    """Run the command in the project; returns what it printed."""
    env = {k: v for k, v in os.environ.items() if not k.startswith(("PREFECT_", "MLFLOW_TRACKING"))}
    done = subprocess.run([*REFIT, *arguments], cwd=root, env=env, capture_output=True, text=True, timeout=500)
    assert done.returncode == code, done.stdout + done.stderr
    assert "Traceback" not in done.stderr, done.stderr
    return done.stdout + done.stderr


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Iris after its first run, with two small families."""
    from sklearn.datasets import load_iris

    root = tmp_path_factory.mktemp("iris")
    load_iris(as_frame=True).frame.to_csv(root / "iris.csv", index=False)
    refit(root, "init", "--data", "iris.csv", "--target", "target")
    params = root / "params.yaml"
    text = re.sub(r"  auto: .*", "  gradient_boosting: {}", params.read_text())
    params.write_text(text.replace("trials: 6", "trials: 2"))
    said = refit(root, "run", "--plain")
    assert "150 accepted, 0 quarantined" in said
    assert "champion: version 1" in said
    return root


def test_a_second_run_does_nothing(project: Path) -> None:
    began = time.perf_counter()
    said = refit(project, "run", "--plain")
    print(f"nothing to do, without a server: {time.perf_counter() - began:.1f} s")
    assert "stages    0 run, 12 cached" in said
    assert dvc(project, "status").strip() == "Data and pipelines are up to date."
    assert len(History(project).decisions(MODEL)) == 1


def test_what_is_tracked(project: Path) -> None:
    registry = Registry(project)
    (version,) = registry.versions(MODEL)
    assert version.package_sha256 == sha256(project / "data" / "package" / "bundle.json")
    runs = registry.client.search_runs([registry.experiment(MODEL)])
    nested = {r.info.run_name for r in runs if r.data.tags.get(PARENT) == version.run_id}
    assert nested == {"logistic", "gradient_boosting"}
    parent = registry.client.get_run(version.run_id).data
    lock = {k.removeprefix("dvc."): v for k, v in parent.tags.items() if k.startswith("dvc.")}
    assert "data/features" in lock
    assert parent.params["family"] == read_json(project / "data" / "evaluation" / "choice.json")["family"]
    assert {k: str(v) for k, v in registry.client.get_registered_model(MODEL).aliases.items()} == {
        "champion": "1",
        "challenger": "1",
    }


def test_the_package_is_rebuilt_to_the_byte(project: Path) -> None:
    said = refit(project, "verify", "1", "--rebuild")
    assert "ok  rebuild" in said
    assert "every byte the same" in said


PHASES = ("track ...", "register ...", "check package ...", "promote ...")


@pytest.mark.faults
@pytest.mark.parametrize("phase", PHASES)
def test_a_kill_between_effects_is_made_good_by_the_same_command(project: Path, tmp_path: Path, phase: str) -> None:
    root = tmp_path / "copy"
    shutil.copytree(project, root, symlinks=True)
    for name in ("mlflow.db", "history.db", "done.json", "walk.lock"):
        (root / ".refit" / name).unlink(missing_ok=True)
    shutil.rmtree(root / ".refit" / "mlruns")
    env = {**os.environ, "PYTHONUNBUFFERED": "1"}
    process = subprocess.Popen([*REFIT, "run", "--plain"], cwd=root, env=env, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    for line in process.stdout:
        if phase in line:
            time.sleep(0.1)
            process.send_signal(signal.SIGKILL)
            break
    process.wait()
    said = refit(root, "run", "--plain")
    assert "0 run, 12 cached" in said
    assert "champion: version 1" in said
    registry = Registry(root)
    assert [v.version for v in registry.versions(MODEL)] == ["1"]
    runs = registry.client.search_runs([registry.experiment(MODEL)])
    assert sorted(r.info.status for r in runs) == ["FINISHED"] * 3
    assert [d.action for d in History(root).decisions(MODEL)] == ["promote"]


def test_a_change_of_tuning_runs_only_what_depends_on_it(project: Path) -> None:
    params = project / "params.yaml"
    text = params.read_text()
    params.write_text(text.replace("logistic: {}", "logistic: {trials: 1}"))
    said = refit(project, "run", "--plain")
    ran = {line.split()[2] for line in said.splitlines() if " done (" in line}
    assert {"tune@logistic", "train@logistic"} <= ran
    assert not {"ingest", "validate", "features", "tune@gradient_boosting", "train@gradient_boosting"} & ran
    params.write_text(text)
    said = refit(project, "run", "--plain")
    ran = {line.split()[2] for line in said.splitlines() if " done (" in line}
    assert ran <= {"compare", "report"}, "what was computed before comes from the run cache; the champion is new"
    assert "Data and pipelines are up to date." in dvc(project, "status")


@pytest.fixture(scope="module")
def fewer(project: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The project with a registry of its own: version 1 of both families, version 2 after one was dropped."""
    root = tmp_path_factory.mktemp("fewer") / "copy"
    shutil.copytree(project, root, symlinks=True)
    shutil.rmtree(root / ".refit")
    assert "this run: version 1" in refit(root, "run", "--plain")
    params = root / "params.yaml"
    params.write_text(params.read_text().replace("  gradient_boosting: {}\n", ""))
    assert "this run: version 2" in refit(root, "run", "--plain")
    return root


def test_a_package_is_rebuilt_after_a_family_was_dropped(fewer: Path) -> None:
    assert (fewer / "data" / "models" / "gradient_boosting").exists(), "what the family left stays in the project"
    said = refit(fewer, "verify", "2", "--rebuild")
    assert "every byte the same" in said


def test_versions_are_compared_on_one_page(fewer: Path) -> None:
    said = refit(fewer, "report", "1", "2").splitlines()
    assert said[0].startswith("Version 1  ")
    assert said[1].startswith("Version 2  logistic, log_loss ")
    assert said[-1] == ".refit/reports/compare.html"
    page = (fewer / said[-1]).read_text()
    assert "2 runs compared" in page
    measured = read_json(fewer / "data" / "evaluation" / "metrics.json")["choice"]["test"]["log_loss"]
    assert f"{measured:.4g}" in page
    assert "models.gradient_boosting" in page, "the parameters that differ are shown"
    assert dvc(fewer, "status").strip() == "Data and pipelines are up to date."
    assert refit(fewer, "report").strip() == "data/reports/report.html"
    assert "two runs are called 'Version 1'" in refit(fewer, "report", "1", "1", code=1)
    assert "no version '9' in the registry" in refit(fewer, "report", "1", "9", code=1)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["run", "--as-of", "soon"], "a moment is a date or an ISO time"),
        (["rollback", "--reason", "x", "--to", "99"], "no version '99' in the registry"),
        (["verify", "99"], "no version '99' in the registry"),
        (["init", "--data", "iris.csv", "--target", "target"], "params.yaml: is there already. Use --force"),
        (["init", "--data", "iris.csv", "--target", "tarqet", "--force"], "Did you mean 'target'?"),
    ],
)
def test_mistakes_end_with_one_plain_message(project: Path, arguments: list[str], said: str) -> None:
    assert said in refit(project, *arguments, code=1)


def test_tuning_begins_at_the_champion_and_a_promotion_alone_starts_none(project: Path, tmp_path: Path) -> None:
    root = tmp_path / "copy"
    shutil.copytree(project, root, symlinks=True)
    start = root / "data" / "start" / "params.json"
    assert not start.exists()  # there was no champion when the only data was tuned on
    assert "0 run, 12 cached" in refit(root, "run", "--plain")
    params = root / "params.yaml"
    params.write_text(params.read_text().replace("trials: 2", "trials: 3"))
    refit(root, "run", "--plain")
    champion = read_json(root / ".refit" / "serving" / "1" / "bundle.json")["family"]
    begun = read_json(start)
    assert list(begun) == [champion]
    first = read_json(root / "data" / "tuning" / champion / "trials.json")[0]["params"]
    assert first == {**begun[champion][0], **first}
    assert set(first) & set(begun[champion][0])
    assert "data/start" in (root / "dvc.lock").read_text()
    before = start.read_bytes()
    assert "0 run, 12 cached" in refit(root, "run", "--plain")
    assert start.read_bytes() == before
