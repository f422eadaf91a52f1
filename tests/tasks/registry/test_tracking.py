"""MLflow with its real SQLite store: versions are whole, found again, and refused when damaged."""

from __future__ import annotations

import itertools
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from tasks.errors import RefitError
from tasks.files import _machine, hash_tree, sha256, write_json
from tasks.registry.store import check_store
from tasks.registry.tracking import CHECKOUT, PARENT, Registered, Registry, Result
from tests.tasks.registry.packages import MODEL, make_package, make_versions


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder whose registry holds two versions."""
    root = tmp_path_factory.mktemp("project")
    make_versions(root, 2)
    return root


def test_a_registry_whose_making_was_cut_off_is_made_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from sqlalchemy import event
    from sqlalchemy.engine import Engine

    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))  # nothing is kept there, so that MLflow makes it
    statements = itertools.count()

    def stop(*_: object) -> None:
        if next(statements) == 200:
            raise KeyboardInterrupt

    event.listen(Engine, "before_cursor_execute", stop)
    try:
        with pytest.raises(KeyboardInterrupt):
            Registry(tmp_path)
    finally:
        event.remove(Engine, "before_cursor_execute", stop)
    killed = tmp_path / ".refit" / f".mlflow.db.x.{_machine()}-999999999.part"  # what a kill leaves in its place
    killed.touch()
    monkeypatch.chdir(tmp_path)  # where MLflow's own experiment says that its files are
    uri = Registry(tmp_path).uri
    assert list(check_store(tmp_path, uri, MODEL, 1.0)) == []
    assert [path.name for path in (tmp_path / ".refit").iterdir()] == ["mlflow.db"]

    def said(root: Path) -> list[str]:
        """The tables and rows of a registry, without the moments at which they were made."""
        with closing(sqlite3.connect(root / ".refit" / "mlflow.db")) as there:
            there.execute("UPDATE experiments SET creation_time = 0, last_update_time = 0")
            return sorted(line.replace(str(root), "ROOT") for line in there.iterdump())

    (tmp_path / "b").mkdir()
    monkeypatch.chdir(tmp_path / "b")
    assert list((tmp_path / "cache" / "refit").iterdir()), "the first one is kept"
    assert list(check_store(tmp_path / "b", Registry(tmp_path / "b").uri, MODEL, 1.0)) == []
    assert said(tmp_path) == said(tmp_path / "b"), "a blank one is what MLflow makes, with this project's place"


def test_a_package_is_registered_once(project: Path) -> None:
    registry = Registry(project)
    first, second = registry.versions(MODEL)
    assert (first.version, second.version) == ("1", "2")
    again = registry.register(MODEL, project / "made" / "1", first.run_id)
    assert again == first
    assert len(registry.versions(MODEL)) == 2
    assert first.package_sha256 == sha256(project / "made" / "1" / "bundle.json")


def test_a_fetched_package_is_the_registered_one(project: Path, tmp_path: Path) -> None:
    registry = Registry(project)
    folder = registry.fetch(registry.version(MODEL, "2"), tmp_path / "copy")
    assert hash_tree(folder) == hash_tree(project / "made" / "2")


def test_an_unknown_version_lists_those_there_are(project: Path) -> None:
    with pytest.raises(RefitError, match=r"no version '7' in the registry; there are '1', '2'"):
        Registry(project).version(MODEL, "7")


@pytest.mark.parametrize(
    ("harm", "said"),
    [
        ("remove", "its package is missing|cannot be used"),
        ("damage", r"damaged: 'plan\.json'"),
        ("exchange", "not the one registered"),
    ],
)
def test_a_damaged_package_is_refused(project: Path, tmp_path: Path, harm: str, said: str) -> None:
    registry = Registry(project)
    one = registry.version(MODEL, "1")
    (stored,) = (project / ".refit" / "mlruns").rglob(f"{one.run_id}/artifacts/package")
    shutil.copytree(stored, tmp_path / "whole")
    if harm == "damage":
        (stored / "plan.json").write_text("{}")
    else:
        shutil.rmtree(stored)
    if harm == "exchange":
        make_package(stored, "another package")
    into = tmp_path / "into"
    try:
        with pytest.raises(RefitError, match=said):
            registry.fetch(one, into)
    finally:
        shutil.rmtree(stored, ignore_errors=True)
        shutil.copytree(tmp_path / "whole", stored)
    assert not into.exists()
    assert registry.fetch(one, into) == into


def test_aliases_follow_and_are_put_right(project: Path) -> None:
    registry = Registry(project)
    registry.follow(MODEL, "1", "2")
    registry.client.set_registered_model_alias(MODEL, "champion", "2")
    registry.follow(MODEL, "1")
    assert {k: str(v) for k, v in registry.client.get_registered_model(MODEL).aliases.items()} == {
        "champion": "1",
        "challenger": "2",
    }


def test_an_unreachable_registry_is_a_plain_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    with pytest.raises(
        RefitError, match=r"the registry \(http://127\.0\.0\.1:9\) cannot be used.*champion is unchanged"
    ):
        Registry(tmp_path).versions(MODEL)


def test_a_run_is_logged_once_with_a_nested_run_per_family(
    project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", Registry(project).uri)
    data = tmp_path / "data"
    write_json(data / "evaluation" / "choice.json", {"family": "tree", "metric": "roc_auc", "valid": 0.7, "test": 0.6})
    write_json(data / "evaluation" / "metrics.json", {"candidates": {"tree": {"test": {"roc_auc": 0.6}}}})
    for family in ("tree", "line", "dropped"):
        write_json(
            data / "models" / family / "candidate.json",
            {"family": family, "params": {"depth": 3}, "valid": 0.7, "history": {"loss": [0.9, 0.5]}},
        )
    (tmp_path / "params.yaml").write_text("seed: 1\n")
    (tmp_path / "dvc.lock").write_text("schema: '2.0'\n")
    result = Result(tmp_path, "logged", "key-1", "2013-10-31", {"data/raw": "abc.dir"}, "c0ffee", ("line", "tree"))
    registry = Registry(tmp_path)
    run_id = registry.track(result)
    assert registry.track(result) == run_id
    experiment = registry.experiment("logged")
    runs = registry.client.search_runs([experiment])
    parent = registry.client.get_run(run_id)
    nested = {r.data.params["family"]: r for r in runs if r.data.tags.get(PARENT) == run_id}
    assert sorted(nested) == ["line", "tree"]
    assert len(runs) == 3
    assert parent.data.tags["dvc.data/raw"] == "abc.dir"
    assert parent.data.tags["mlflow.source.git.commit"] == "c0ffee"
    assert int(parent.data.tags["refit.threads"]) >= 1
    assert parent.data.metrics["test"] == 0.6
    assert nested["tree"].data.metrics["test.roc_auc"] == 0.6
    assert nested["tree"].data.params["depth"] == "3"
    curve = registry.client.get_metric_history(nested["line"].info.run_id, "curve.loss")
    assert [(m.step, m.value) for m in curve] == [(0, 0.9), (1, 0.5)]
    assert "curves.png" in [f.path for f in registry.client.list_artifacts(nested["line"].info.run_id)]


def evaluated(root: Path) -> Registry:
    """The registry of a project of which there is just enough to be tracked."""
    write_json(root / "data" / "evaluation" / "choice.json", {"family": "tree", "metric": "rmse", "valid": 1.0})
    write_json(root / "data" / "evaluation" / "metrics.json", {})
    for name in ("params.yaml", "dvc.lock"):
        (root / name).write_text("seed: 1\n")
    return Registry(root)


def test_a_run_left_unfinished_is_logged_anew(project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", Registry(project).uri)
    registry = evaluated(tmp_path)
    experiment = registry.experiment("crashed")
    left = registry.client.create_run(experiment, tags={"refit.key": "k"}).info.run_id
    child = registry.client.create_run(experiment, tags={PARENT: left}).info.run_id
    run_id = registry.track(Result(tmp_path, "crashed", "k", None, {}, None, ()))
    assert run_id not in (left, child)
    assert [r.info.run_id for r in registry.client.search_runs([experiment])] == [run_id]


def test_a_run_that_another_checkout_is_at_work_on_is_left_alone(
    project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", Registry(project).uri)
    registry = evaluated(tmp_path)
    experiment = registry.experiment("shared")
    theirs, ours = (
        registry.client.create_run(experiment, tags={"refit.key": "k", CHECKOUT: whose}).info.run_id
        for whose in (Registry(project).checkout, registry.checkout)
    )
    run_id = registry.track(Result(tmp_path, "shared", "k", None, {}, None, ()))
    found = {run.info.run_id: run.info.status for run in registry.client.search_runs([experiment])}
    assert found == {theirs: "RUNNING", run_id: "FINISHED"}, "ours, which a kill left, is dropped"
    assert run_id != ours


def test_numbers_of_another_registry_are_not_given_again(project: Path, tmp_path: Path) -> None:
    registry = Registry(project)
    run = registry.restored(MODEL, "nine")
    assert registry.restored(MODEL, "nine") == run
    package = make_package(tmp_path / "nine", "package 9")
    assert registry.register(MODEL, package, run, above=8).version == "9"
    assert registry.register(MODEL, package, run, above=20).version == "9"
    another = make_package(tmp_path / "ten", "package 10")
    assert registry.register(MODEL, another, registry.restored(MODEL, "ten"), above=4).version == "10"
    assert [v.version for v in registry.versions(MODEL)] == ["1", "2", "9", "10"]


def test_a_package_that_two_register_at_once_is_one_version(
    project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another is quicker between the look and the version: whoever is later takes its own away."""
    registry = Registry(project)
    package = make_package(tmp_path / "same", "the same")
    run = registry.restored(MODEL, "same")
    honest = Registry._use_up

    def slow(self: Registry, model: str, source: str, above: int) -> None:
        monkeypatch.setattr(Registry, "_use_up", honest)
        theirs.append(registry.register(model, package, run))
        honest(self, model, source, above)

    theirs: list[Registered] = []
    monkeypatch.setattr(Registry, "_use_up", slow)
    assert registry.register(MODEL, package, run) == theirs[0]
    assert [v.version for v in registry.versions(MODEL) if v.package_sha256 == theirs[0].package_sha256] == [
        theirs[0].version
    ]


def test_a_registry_keeps_the_account_of_its_champion(project: Path) -> None:
    registry = Registry(project)
    assert registry.account(MODEL, "sha") is None
    registry.keep_account(MODEL, "sha", 2, {"looks": 1}, {1: b"one", 3: b"three"})
    assert registry.account(MODEL, "sha") == (2, {"looks": 1}, {1: b"one", 3: b"three"})
    assert registry.account(MODEL, "another") is None
    # Of another history, whose looks have the same numbers.
    registry.keep_account(MODEL, "another", 1, None, {1: b"another one"})
    assert registry.account(MODEL, "another") == (1, None, {1: b"another one"})
    assert registry.account(MODEL, "sha") is None


def test_a_projects_registry_follows_its_folder(project: Path, tmp_path: Path) -> None:
    """A folder whose name MLflow writes in another way, and one whose path begins like the old one."""
    for name in ("my _%project", f"{project.name}-2"):
        copy = tmp_path / name
        shutil.copytree(project, copy)
        registry = Registry(copy)
        for version in registry.versions(MODEL):
            registry.fetch(version, copy / "fetched")
            place = registry.client.get_run(version.run_id).info.artifact_uri
            assert place.startswith(copy.as_uri() + "/.refit/mlruns/")
        before = {v.version: registry.client.get_run(v.run_id).info.artifact_uri for v in registry.versions(MODEL)}
        again = Registry(copy)
        assert {v.version: again.client.get_run(v.run_id).info.artifact_uri for v in again.versions(MODEL)} == before
