"""The whole pipeline on iris through the command: run, cached, changed, history, verify."""

from __future__ import annotations

import shutil
import time
from pathlib import Path

import pytest

from flows.champions import to_serve
from tasks.files import read_json, sha256
from tasks.registry.history import DecisionHistory
from tasks.registry.tracking import PARENT, Registry
from tests.flows.project import copied, dvc, recorded, refit
from tests.projects import ROOT

pytestmark = pytest.mark.flows
MODEL = "iris-target"


@pytest.fixture(scope="module")
def project(iris: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Iris after its first run, for the tests of this module; they come in order."""
    return copied(iris, tmp_path_factory.mktemp("run") / "iris")


def test_a_second_run_does_nothing(project: Path) -> None:
    start = project / "data" / "start" / "params.json"
    assert not start.exists(), "there was no champion when the only data was tuned on"
    began = time.perf_counter()
    said = refit(project, "run", "--plain")
    print(f"nothing to do, without a server: {time.perf_counter() - began:.1f} s")
    assert f"stages    0 run, {len(recorded(project))} cached" in said
    assert dvc(project, "status").strip() == "Data and pipelines are up to date."
    assert len(DecisionHistory(project).decisions(MODEL)) == 1


def test_what_is_tracked(project: Path) -> None:
    registry = Registry(project)
    (version,) = registry.versions(MODEL)
    assert version.package_sha256 == sha256(project / "data" / "package" / "bundle.json")
    runs = registry.client.search_runs([registry.experiment(MODEL)])
    nested = {r.info.run_name.partition(":")[0] for r in runs if r.data.tags.get(PARENT) == version.run_id}
    assert nested == {"logistic", "gradient_boosting"}
    parent = registry.client.get_run(version.run_id).data
    assert registry.has(version.run_id, "dvc.lock")
    assert parent.tags["verdict"] == "promote"
    assert parent.params["family"] == read_json(project / "data" / "evaluation" / "choice.json")["family"]
    aliases = registry.client.get_registered_model(MODEL).aliases
    assert {k: str(v) for k, v in aliases.items()} == {"champion": "1"}


def test_a_change_of_tuning_runs_only_what_depends_on_it(project: Path, server: dict[str, str]) -> None:
    params = project / "params.yaml"
    text = params.read_text()
    params.write_text(text.replace("logistic: {trials: 2}", "logistic: {trials: 1}"))
    said = refit(project, "run", "--plain", env=server)
    ran = {line.split()[2] for line in said.splitlines() if " done (" in line}
    assert {"tune@logistic", "train@logistic"} <= ran
    assert not {"ingest", "validate", "features", "tune@gradient_boosting", "train@gradient_boosting"} & ran
    params.write_text(text)
    said = refit(project, "run", "--plain", env=server)
    ran = {line.split()[2] for line in said.splitlines() if " done (" in line}
    assert ran <= {"compare", "drift", "report"}, (
        "what was computed before comes from the run cache; the champion is new"
    )
    assert "Data and pipelines are up to date." in dvc(project, "status")


def test_a_lost_lock_costs_no_search_and_no_look(iris: Path, tmp_path: Path, server: dict[str, str]) -> None:
    """There is a champion by now, at whose parameters a new search would begin."""
    root = copied(iris, tmp_path / "copy")
    before, decided = recorded(root), len(DecisionHistory(root).decisions(MODEL))
    (root / "dvc.lock").unlink()
    said = refit(root, "run", "--plain", env=server)
    assert f"stages    0 run, {len(before)} cached" in said
    assert "note      dvc.lock was not there; stages come from the run cache" in said
    assert recorded(root) == before
    assert not (root / "data" / "start" / "params.json").exists()
    assert len(DecisionHistory(root).decisions(MODEL)) == decided
    metrics = root / "data" / "evaluation" / "metrics.json"
    whole, folder = metrics.read_bytes(), root / ".dvc" / "cache" / "files" / "md5"
    (cached,) = [path for path in folder.rglob("*") if path.is_file() and path.read_bytes() == whole]
    cached.chmod(0o644)
    cached.write_bytes(whole.replace(b"0.9", b"0.8"))
    cached.chmod(0o444)
    shutil.rmtree(metrics.parent)
    said = refit(root, "run", "--plain", env=server)
    assert f"stages    1 run, {len(before) - 1} cached" in said
    assert "evaluate | 1 damaged object of evaluate in DVC's cache removed; it is made anew" in said
    assert metrics.read_bytes() == whole
    assert recorded(root) == before


def test_another_refit_runs_again_what_it_changed_and_nothing_else(
    iris: Path, tmp_path: Path, server: dict[str, str]
) -> None:
    root, upgraded = copied(iris, tmp_path / "copy"), tmp_path / "upgraded"
    for name in ("tasks", "flows", "deploy"):
        shutil.copytree(ROOT / name, upgraded / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "requirements.lock", upgraded)
    page = upgraded / "tasks" / "report" / "page.py"
    page.write_text(page.read_text() + "\n# a newer version\n")
    lock, new = (root / "dvc.lock").read_text(), {**server, "PYTHONPATH": str(upgraded)}
    said = refit(root, "run", "--plain", env=new)
    assert [line.split()[2] for line in said.splitlines() if " done (" in line] == ["report"]
    assert str(tmp_path) not in (root / "dvc.lock").read_text()
    assert dvc(root, "status").strip() == "Data and pipelines are up to date."
    said = refit(root, "run", "--plain", env=server)
    assert "report cached (restored from the run cache)" in said
    assert (root / "dvc.lock").read_text() == lock


@pytest.fixture(scope="module")
def fewer(twice: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project with version 1 of both families, and version 2 after one was dropped."""
    return copied(twice, tmp_path_factory.mktemp("fewer") / "copy")


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
    assert "Version 1 is the champion." in page
    assert "best" not in said[0] + said[1]
    said = refit(fewer, "report", "--all").splitlines()
    assert said == ["2 runs, 2 decisions; champion: version 1", ".refit/reports/all.html"]
    everything = (fewer / said[-1]).read_text()
    assert "Version 1 is the champion, since " in everything
    assert all(d.reason[:60] in everything.replace("&#39;", "'") for d in DecisionHistory(fewer).decisions(MODEL))
    assert f"{read_json(fewer / 'data' / 'evaluation' / 'choice.json')['test']:.3f}" in everything
    assert "not both" in refit(fewer, "report", "1", "--all", code=1)
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


def test_tuning_begins_at_the_champion_and_a_promotion_alone_starts_none(
    iris: Path, tmp_path: Path, server: dict[str, str]
) -> None:
    root = copied(iris, tmp_path / "copy")
    start = (
        root / "data" / "start" / "params.json"
    )  # that the first promotion starts no search: test_a_second_run_does_nothing
    params = root / "params.yaml"
    params.write_text(params.read_text().replace("trials: 2", "trials: 3"))
    refit(root, "run", "--plain", env=server)
    champion = read_json(to_serve(root, MODEL)[0] / "bundle.json")["family"]
    begun = read_json(start)
    assert list(begun) == [champion]
    first = read_json(root / "data" / "tuning" / champion / "trials.json")[0]["params"]
    assert first == {**begun[champion][0], **first}
    assert set(first) & set(begun[champion][0])
    assert "data/start" in (root / "dvc.lock").read_text()
    before = start.read_bytes()
    assert f"0 run, {len(recorded(root))} cached" in refit(root, "run", "--plain", env=server)
    assert start.read_bytes() == before
