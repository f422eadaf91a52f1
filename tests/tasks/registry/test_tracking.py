"""MLflow with its real SQLite store: versions are whole, found again, and refused when damaged."""

from __future__ import annotations

import itertools
import json
import os
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from tasks.artifacts import Failed, Metrics, RawManifest, Verdict
from tasks.artifacts.raw import RawTable
from tasks.errors import RefitError
from tasks.files import _machine, hash_tree, sha256, write_json
from tasks.registry import embedded, tracking
from tasks.registry.run_record import record
from tasks.registry.store import check_store
from tasks.registry.tracking import CHECKOUT, DECISION, KEY, PARENT, Registered, Registry, RegistryState, RunResult
from tests.samples import candidate, choice, drift, metrics
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
    (stored,) = (project / ".refit" / "mlruns").rglob(f"{one.run_id}/artifacts/model/package")
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


def test_what_the_registry_says_is_what_it_was_told_last(project: Path) -> None:
    registry = Registry(project)
    assert registry.state("nobody") == RegistryState(None, None)
    registry.follow("nobody", "1", decision="mark")  # of a model that is not there nothing can be said
    assert registry.state("nobody") == RegistryState(None, None)
    registry.follow(MODEL, "1", "2", "first")
    assert registry.state(MODEL) == RegistryState("1", "first")
    registry.follow(MODEL, "2", decision="second")
    assert registry.state(MODEL) == RegistryState("2", "second")
    registry.follow(MODEL, "2")
    assert registry.state(MODEL) == RegistryState("2", "second"), "who names no decision leaves the last one"
    registry.follow(MODEL, None, decision="third")
    assert registry.state(MODEL) == RegistryState(None, "third")
    registry.follow(MODEL, None)  # there is no alias to be taken away
    aliases = registry.client.get_registered_model(MODEL).aliases
    assert aliases == {}, "who was champion is no challenger"
    assert registry.client.get_registered_model(MODEL).tags[DECISION] == "third"


def test_a_package_of_another_name_is_refused(project: Path) -> None:
    registry = Registry(project)
    run = registry.version(MODEL, "1").run_id
    with pytest.raises(
        RefitError, match=r"1: this package was made as 'toy' and cannot be registered as 'other'\. Put problem\.name"
    ):
        registry.register("other", project / "made" / "1", run)
    assert registry.versions("other") == []
    with pytest.raises(RefitError, match=r"^other: no version '1' in the registry; there is none yet\. See"):
        registry.version("other", "1")
    assert registry.holding("other", registry.version(MODEL, "1").package_sha256) is None
    assert registry.holding(MODEL, "none") is None


def test_a_version_without_its_package_is_none(project: Path) -> None:
    """A crash between the version and its tag, and a number that is made only to be used up."""
    registry = Registry(project)
    listed = registry.versions(MODEL)
    registry.client.create_model_version(MODEL, "nowhere")
    assert registry.versions(MODEL) == listed


def test_files_are_recorded_with_a_run_and_come_back(project: Path, tmp_path: Path) -> None:
    registry = Registry(project)
    run = registry.restored("files", "x")
    (tmp_path / "kept" / "deep").mkdir(parents=True)
    (tmp_path / "kept" / "deep" / "a.txt").write_text("deep")
    (tmp_path / "alone.txt").write_text("alone")
    assert not registry.has(run, "alone.txt")
    registry.store(run, tmp_path / "alone.txt", "here")
    registry.store(run, tmp_path / "kept", "there")
    assert registry.has(run, "here/alone.txt")
    assert not registry.has(run, "alone.txt")
    assert registry.has(run, "there/deep/a.txt")
    assert not registry.has(run, "there/deep/b.txt")
    assert registry.artifact(run, "there/deep/a.txt", tmp_path).read_text() == "deep"


def test_a_run_that_stands_for_a_lost_one_is_ended_and_says_of_which_package(project: Path) -> None:
    registry = Registry(project)
    runs = {digest: registry.restored("lost", digest) for digest in ("a" * 64, "b" * 64)}
    assert len(set(runs.values())) == 2
    for digest, run_id in runs.items():
        run = registry.client.get_run(run_id)
        assert (run.info.status, run.data.tags[KEY]) == ("FINISHED", f"restored:{digest}")
        assert run.info.run_name == f"lost: package {digest[:12]}, registered again"


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
    choice("tree", valid=0.7, test=0.6).write(data / "evaluation")
    metrics(tree={"valid": {}, "test": {"roc_auc": 0.6}}).write(data / "evaluation")
    RawManifest(
        tables={"a": RawTable(source="a.csv", sha256="f" * 64, rows=7, columns=["x", "y"], unreadable=0)}
    ).write(data / "raw")
    for family in ("tree", "line", "dropped"):
        candidate(family, {"depth": 3}, history={"loss": [0.9, 0.5]}).write(data / "models" / family)
    (tmp_path / "params.yaml").write_text("seed: 1\n")
    (tmp_path / "dvc.lock").write_text("schema: '2.0'\n")
    result = RunResult(tmp_path, "logged", "key-1", "2013-10-31", {"data/raw": "abc.dir"}, "c0ffee", ("line", "tree"))
    registry = Registry(tmp_path)
    run_id = registry.track(result)
    assert registry.track(result) == run_id
    experiment = registry.experiment("logged")
    runs = registry.client.search_runs([experiment])
    parent = registry.client.get_run(run_id)
    nested = {r.data.params["family"]: r for r in runs if r.data.tags.get(PARENT) == run_id}
    assert sorted(nested) == ["line", "tree"]
    assert len(runs) == 3
    (table,) = parent.inputs.dataset_inputs
    assert (table.dataset.name, table.dataset.digest) == ("a", "f" * 36)
    assert json.loads(table.dataset.profile) == {"num_rows": 7, "columns": ["x", "y"]}
    assert not any("abc.dir" in value for value in parent.data.tags.values()), "hashes are in dvc.lock"
    assert parent.data.tags["mlflow.source.git.commit"] == "c0ffee"
    assert int(parent.data.tags["refit.threads"]) >= 1
    assert parent.info.run_name == "logged 2013-10-31"
    assert parent.data.metrics["test/roc_auc"] == 0.6
    assert nested["tree"].info.run_name == "tree: logged 2013-10-31"
    assert nested["tree"].data.metrics["test/roc_auc"] == 0.6
    assert nested["tree"].data.params["depth"] == "3"
    curve = registry.client.get_metric_history(nested["line"].info.run_id, "curve/loss")
    assert [(m.step, m.value) for m in curve] == [(0, 0.9), (1, 0.5)]
    assert "curves.png" in [f.path for f in registry.client.list_artifacts(nested["line"].info.run_id)]


def test_what_a_run_leaves_behind_is_recorded_by_its_rules(
    project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Long curves, many parameters, a family that failed, drift, and which files go along."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", Registry(project).uri)
    data, start = tmp_path / "data", tmp_path / "start"
    chosen = choice("tree", metric="auc", valid=0.7, test=0.6, baseline=0.5, threshold=0.25, reason="it won")
    chosen.write(data / "evaluation")
    metrics(tree={"valid": {}, "test": {"auc": 0.625}, "threshold": 0.5}).write(data / "evaluation")
    Failed(family="line", stage="tune", why="w" * 5001).write(data / "models" / "line")
    many = {f"p{i:03d}": "v" * 501 for i in range(120)}
    tree = candidate("tree", many, valid={"auc": 0.75}, history={"loss": list(range(2500))})
    tree.write(data / "models" / "tree")
    for name in ("best", "trials", "selection"):
        write_json(data / "tuning" / "tree" / f"{name}.json", {})
    drift(True).model_copy(update={"sentence": "d" * 5001}).write(data / "drift")
    for place in ("evaluation/more/a.svg", "verdict/verdict.txt", "reports/report.html", "package/bundle.json"):
        (data / place).parent.mkdir(parents=True, exist_ok=True)
        (data / place).write_text("x")
    (data / "reports" / "folder.html").mkdir()
    start.mkdir()
    (start / "params.yaml").write_text("seed: 1\n")
    (tmp_path / "params.yaml").write_text("seed: 2 # edited since\n")
    (tmp_path / "dvc.lock").write_text("schema: '2.0'\n")
    registry = Registry(tmp_path)
    run_id = registry.track(RunResult(tmp_path, "ruled", "k", None, {}, None, ("line", "tree"), start))
    run = registry.client.get_run(run_id)
    assert (run.info.status, run.info.run_name) == ("FINISHED", "ruled")
    assert "mlflow.source.git.commit" not in run.data.tags
    assert run.data.params == {"family": "tree", "metric": "auc", "as_of": ""}
    told = {"valid/auc": 0.7, "test/auc": 0.6, "threshold": 0.25}
    assert run.data.metrics == {**told, "drift/drifted": 1.0, "drift/columns": 0.0, "drift/answers": 0.0}
    assert run.data.tags["drift"] == "d" * 5000
    files = [(place, f.path) for place in ("", "evaluation", "verdict", "drift", "reports", "package")
             for f in registry.client.list_artifacts(run_id, place or None) if not f.is_dir]  # fmt: skip
    assert sorted(files) == [
        ("", "dvc.lock"), ("", "params.yaml"), ("drift", "drift/drift.json"), ("evaluation", "evaluation/a.svg"),
        ("evaluation", "evaluation/choice.json"), ("evaluation", "evaluation/metrics.json"),
        ("reports", "reports/report.html"),
    ]  # fmt: skip
    assert registry.artifact(run_id, "params.yaml", tmp_path / "start").read_text() == "seed: 1\n"
    nested = {r.info.run_name: r for r in registry.client.search_runs([registry.experiment("ruled")])}
    assert set(nested) == {"ruled", "line: ruled", "tree: ruled"}
    line, tree_run = nested["line: ruled"], nested["tree: ruled"]
    assert (line.info.status, line.data.tags["failed"], line.data.params) == ("FAILED", "w" * 5000, {})
    assert (tree_run.info.status, line.data.tags[PARENT], tree_run.data.tags[PARENT]) == ("FINISHED", run_id, run_id)
    assert tree_run.data.params == {"family": "tree", **{f"p{i:03d}": "v" * 500 for i in range(99)}}
    figures = tree_run.data.metrics
    assert {k: figures[k] for k in ("valid/auc", "test/auc", "threshold")} == {
        "valid/auc": 0.75, "test/auc": 0.625, "threshold": 0.5,
    }  # fmt: skip
    curve = registry.client.get_metric_history(tree_run.info.run_id, "curve/loss")
    assert sorted((m.step, m.value) for m in curve) == [(i, float(i)) for i in range(2500)]
    kept = {f.path for f in registry.client.list_artifacts(tree_run.info.run_id)}
    assert kept == {"candidate.json", "best.json", "trials.json", "curves.png"}


def test_a_verdict_and_drift_are_named_and_measured(tmp_path: Path) -> None:
    data = tmp_path / "data"
    choice("tree", valid=0.7, test=0.6, baseline=0.5, reason="it won").write(data / "evaluation")
    about = metrics(tree={"valid": {}, "test": {}}).to_dict()
    about |= {
        "choice": {"family": "tree", "valid": {"brier": 0.1}, "test": {"brier": 0.2, "ece": None}},
        "rows": {"test": 9},
    }
    about |= {"baseline": {"name": "the majority", "valid": {}, "test": {"brier": 0.25}}}
    Metrics.of_json(about).write(data / "evaluation")
    evidence = {"challenger": 0.72, "champion": 0.7, "difference": 0.02, "interval": [-0.01, 0.05], "p_better": 0.1}
    said = {"verdict": "inconclusive", "sentence": "Inconclusive: too close.", "n": 9, "evidence": evidence}
    Verdict.of_json(said).write(data / "verdict")
    drift(False).write(data / "drift")
    told = record(tmp_path, "late", "2013-11-30T23:59:59+00:00")
    assert told.name == "late 2013-11-30 inconclusive"
    assert told.params == {"family": "tree", "metric": "roc_auc", "as_of": "2013-11-30T23:59:59+00:00"}
    assert told.figures == {
        "valid/roc_auc": 0.7, "test/roc_auc": 0.6, "valid/brier": 0.1, "test/brier": 0.2, "without a model/brier": 0.25,
        "rows/test": 9.0, "compared/challenger": 0.72, "compared/champion": 0.7, "compared/difference": 0.02,
        "compared/difference from": -0.01, "compared/difference to": 0.05, "compared/p better": 0.1, "compared/rows": 9.0,
        "drift/drifted": 0.0, "drift/columns": 0.0, "drift/answers": 0.0,
    }  # fmt: skip
    assert told.tags == {
        "verdict": "inconclusive",
        "sentence": "Inconclusive: too close.",
        "drift": "This is what it came to.",
    }
    assert told.description.splitlines()[:3] == [
        "Inconclusive: too close.", "", "- model: tree; roc_auc 0.6 on the test rows, 0.5 without a model",
    ]  # fmt: skip
    assert "- made from what was known at 2013-11-30 23:59 UTC" in told.description.splitlines()
    drift(None).write(data / "drift")
    assert not any(name.startswith("drift/") for name in record(tmp_path, "late", None).figures), "nothing was judged"


def test_a_version_tells_what_it_is(project: Path) -> None:
    registry = Registry(project)
    run = registry.client.create_run(
        registry.experiment(MODEL), tags={"verdict": "keep", "mlflow.note.content": "what it is"}
    ).info.run_id
    registry.client.log_param(run, "family", "tree")
    made = registry.register(MODEL, make_package(project / "made" / "told", "told"), run)
    version = registry.client.get_model_version(MODEL, made.version)
    assert version.description == "what it is"
    assert version.tags == {"verdict": "keep", "family": "tree", "refit.package_sha256": made.package_sha256}
    registry.follow(MODEL, made.version, about="Champion.")
    assert registry.client.get_registered_model(MODEL).description == "Champion."
    registry.client.delete_model_version(MODEL, made.version)


def test_a_package_of_an_older_registry_is_fetched(project: Path, tmp_path: Path) -> None:
    registry = Registry(project)
    run = registry.client.create_run(registry.experiment(MODEL)).info.run_id
    package = make_package(tmp_path / "made", "older")
    registry.client.log_artifacts(run, str(package), "package")
    older = Registered(MODEL, "9", run, sha256(package / "bundle.json"))
    assert hash_tree(registry.fetch(older, tmp_path / "copy")) == hash_tree(package)


def test_curves_that_cannot_be_drawn_end_no_run(project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    figure = tracking._figure("tree", {"loss": [0.9, 0.5, 0.4], "rate": [1, 2], "note": ["x"]})
    (axes,) = figure.axes
    drawn = {line.get_label(): (list(line.get_xdata()), list(line.get_ydata())) for line in axes.lines}
    assert drawn == {"loss": ([1, 2, 3], [0.9, 0.5, 0.4]), "rate": ([1, 2], [1, 2])}
    assert (axes.get_title(), axes.get_xlabel(), axes.get_legend() is not None) == ("tree", "step", True)
    assert tracking._figure("tree", {}) is None

    def broken(*_: object) -> None:
        raise ValueError("no font\nat all")

    monkeypatch.setattr(tracking, "_figure", broken)
    registry = Registry(project)
    candidate("tree").write(tmp_path / "tree")
    registry._family(registry.experiment("drawn"), "parent", tmp_path / "tree", metrics(), tmp_path, "run")
    (run,) = registry.client.search_runs([registry.experiment("drawn")])
    assert run.info.status == "FINISHED"
    assert run.data.tags["left_out"].startswith("curves.png: ")
    assert "no font" in run.data.tags["left_out"]


def evaluated(root: Path) -> Registry:
    """The registry of a project of which there is just enough to be tracked."""
    choice("tree", metric="rmse", valid=1.0).write(root / "data" / "evaluation")
    metrics().write(root / "data" / "evaluation")
    for name in ("params.yaml", "dvc.lock"):
        (root / name).write_text("seed: 1\n")
    return Registry(root)


def test_a_run_left_unfinished_is_logged_anew(project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", Registry(project).uri)
    registry = evaluated(tmp_path)
    experiment = registry.experiment("crashed")
    left = registry.client.create_run(experiment, tags={"refit.key": "k"}).info.run_id
    child = registry.client.create_run(experiment, tags={PARENT: left}).info.run_id
    run_id = registry.track(RunResult(tmp_path, "crashed", "k", None, {}, None, ()))
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
    run_id = registry.track(RunResult(tmp_path, "shared", "k", None, {}, None, ()))
    found = {run.info.run_id: run.info.status for run in registry.client.search_runs([experiment])}
    assert found == {theirs: "RUNNING", run_id: "FINISHED"}, "ours, which a kill left, is dropped"
    assert run_id != ours


def test_of_two_runs_of_one_result_the_earliest_that_was_finished_counts(
    project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", Registry(project).uri)
    registry = evaluated(tmp_path)
    experiment = registry.experiment("twice")
    made = {}
    for at, status in ((300, "FINISHED"), (100, "RUNNING"), (200, "FINISHED")):
        made[at] = registry.client.create_run(experiment, start_time=at, tags={KEY: "k"}).info.run_id
        registry.client.set_terminated(made[at], status)
    assert registry.track(RunResult(tmp_path, "twice", "k", None, {}, None, ())) == made[200]
    other = registry.track(RunResult(tmp_path, "twice", "l", "2020-01-01", {}, None, ()))
    assert other not in made.values()
    assert registry.client.get_run(other).info.run_name == "twice 2020-01-01"


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
    (kept,) = registry.client.search_runs([registry.experiment(MODEL)], "tags.`refit.key` = 'account'")
    assert kept.data.tags["mlflow.note.content"].startswith("No model was made here"), (
        "who meets it in MLflow reads why"
    )
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


def test_the_oldest_account_counts_where_two_checkouts_made_one(project: Path) -> None:
    registry = Registry(project)
    experiment = registry.experiment("counted")
    assert registry._account_run("counted", make=False) is None
    assert registry.account("counted", "sha") is None
    late, early = (
        registry.client.create_run(experiment, start_time=at, tags={KEY: "account"}).info.run_id for at in (200, 100)
    )
    assert late != registry._account_run("counted", make=True) == early
    assert registry.account("counted", "sha") is None, "nothing was written yet"
    registry.keep_account("counted", "sha", 4, [1], {12: b"b", 2: b"a"})
    registry.keep_account("counted", "sha", 4, [2], {12: b"b", 2: b"a", 13: b"c"})
    assert registry.account("counted", "sha") == (4, [2], {2: b"a", 12: b"b", 13: b"c"})
    assert len(registry.client.list_artifacts(early, "counted")) == 3
    made = registry._account_run("fresh", make=True)
    run = registry.client.get_run(made)
    assert (run.info.status, run.info.run_name) == ("FINISHED", "fresh: rows that looks counted")


def test_a_server_has_its_own_places_and_a_file_of_ours_is_below_the_project(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is asked of a server fails within seconds, and who set limits keeps them."""
    for name in ("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "MLFLOW_HTTP_REQUEST_TIMEOUT", "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR"):  # fmt: skip
        monkeypatch.setenv(name, "5")
        monkeypatch.delenv(name)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://me:secret@127.0.0.1:9")
    registry = Registry(tmp_path)
    assert registry.shown == "127.0.0.1:9"
    assert os.environ["MLFLOW_HTTP_REQUEST_MAX_RETRIES"] == "2"
    assert os.environ["MLFLOW_HTTP_REQUEST_TIMEOUT"] == "30"
    assert os.environ["MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR"] == "false"
    assert registry.checkout == f"{os.uname().nodename}:{tmp_path}"
    assert not (tmp_path / ".refit").exists(), "nothing of ours is made where a server keeps it"


def test_a_registry_that_may_only_be_read_is_read_from_a_copy(
    project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(project, copy)
    before = sha256(copy / ".refit" / "mlflow.db")
    monkeypatch.setattr(tracking, "writable", lambda path: False)  # as on a disk mounted to be read only
    registry = Registry(copy)
    (first, *_) = registry.versions(MODEL)
    assert registry.client.get_run(first.run_id).info.artifact_uri.startswith(copy.as_uri())
    assert hash_tree(registry.fetch(first, tmp_path / "fetched")) == hash_tree(project / "made" / "1")
    assert sha256(copy / ".refit" / "mlflow.db") == before
    registry._copy.cleanup()


@pytest.mark.parametrize(
    ("there", "stays"),
    [  # which folders' files are there: of the project that it was copied from, and of this one
        ((), False), (("then",), True), (("now",), False), (("then", "now"), False),
    ],
)  # fmt: skip
def test_whole_paths_move_with_the_folder_unless_they_are_another_projects(
    tmp_path: Path, there: tuple[str, ...], stays: bool
) -> None:
    """The paths of the tables that a database has; one of another place, and one that only begins like it, stay."""
    then, now = tmp_path / "then", tmp_path / "now"
    for name in there:
        (tmp_path / name / ".refit" / "mlruns" / "toy").mkdir(parents=True)
    now.mkdir(exist_ok=True)
    database = tmp_path / "mlflow.db"
    embedded.move_in(now, database)
    assert not database.exists()
    with closing(sqlite3.connect(database)) as raw, raw:
        raw.execute("CREATE TABLE other (x TEXT)")
    embedded.move_in(now, database)  # no database of MLflow's
    old = f"{then.as_uri()}/.refit/mlruns/toy"
    paths = {"experiments.artifact_location": [old, "s3://bucket/toy"], "runs.artifact_uri": [f"{old}/1/artifacts", f"{old}2/1"],
             "model_versions.source": [f"{old}/1/artifacts/package"]}  # fmt: skip
    with closing(sqlite3.connect(database)) as raw, raw:
        for place, values in paths.items():
            table, column = place.split(".")
            raw.execute(f"CREATE TABLE {table} ({column} TEXT, storage_location TEXT)")
            raw.executemany(f"INSERT INTO {table} VALUES (?, ?)", [(v, v) for v in values])
    embedded.move_in(now, database)
    moved = {k: [v.replace(f"{old}/", f"{now.as_uri()}/.refit/mlruns/toy/") if v != old else f"{now.as_uri()}/.refit/mlruns/toy" for v in vs] for k, vs in paths.items()}  # fmt: skip
    with closing(sqlite3.connect(database)) as raw:
        for place, values in (paths if stays else moved).items():
            table, column = place.split(".")
            assert [v for (v,) in raw.execute(f"SELECT {column} FROM {table}")] == values
        (kept,) = raw.execute("SELECT storage_location FROM model_versions").fetchone()
        assert kept == (paths if stays else moved)["model_versions.source"][0]


@pytest.mark.parametrize("uri", ["http://host", "postgresql://host/x", "sqlite://", "sqlite:///:memory:"])
def test_only_a_sqlite_file_is_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, uri: str) -> None:
    monkeypatch.chdir(tmp_path)
    embedded.make(uri)
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "there.db").write_text("as it is")
    embedded.make(f"sqlite:///{tmp_path}/there.db")
    assert (tmp_path / "there.db").read_text() == "as it is"
