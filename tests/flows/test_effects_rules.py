"""What effects leave in files, by hand-made histories and packages and without MLflow; ``test_effects`` has a real registry."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from prefect import State

from flows import champions, context, packages, promotion, retrain, standing
from flows.context import moment
from flows.standing import DONE, Standing
from tasks.artifacts import ChampionFile, Manifest, Validation
from tasks.bundle.manifest import read_manifest, write_manifest
from tasks.errors import RefitError
from tasks.files import read_json, sha256, write_json
from tasks.params import parse
from tasks.registry.history import Decision, DecisionHistory, Overtaken, mark
from tasks.registry.tracking import Registered
from tests.tasks.registry.packages import MODEL, make_package


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.delenv("REFIT_HISTORY", raising=False)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    return tmp_path


def params(**more: Any) -> Any:
    tree = {
        "problem": {"name": MODEL, "kind": "binary", "table": "t", "target": "y"},
        "data": {"tables": {"t": {"source": "t.csv", "columns": {"y": "categorical"}}}},
        "models": {"logistic": {}},
    }
    return parse({**tree, **more})


def laid(root: Path, content: str) -> str:
    """The package of a run; returns its hash."""
    shutil.rmtree(root / "data" / "package", ignore_errors=True)
    return sha256(make_package(root / "data" / "package", content) / "bundle.json")


def decided(
    root: Path, version: str, digest: str, before: str | None, counted: bytes | None = None, **more: Any
) -> Decision:
    action, champion = more.pop("action", "promote"), more.pop("champion", version)
    row = Decision(MODEL, action, version, champion, digest, "why", "who", f"{version} {action} {more}", more)
    return DecisionHistory(root).record(row, before, counted)


# Before the stages ----------------------------------------------------------------------------------------------------


def test_tuning_begins_at_the_champions_parameters(root: Path) -> None:
    path = root / "data" / "start" / "params.json"
    assert context.write_warm_start(root, MODEL) is None
    assert not path.exists()
    package = make_package(root / "data" / "package", "a")
    members = {"a/model.json": {"family": "mlp", "params": {"lr": 1}}, "b/model.json": {"family": "mlp", "params": {"lr": 2}},
               "c/model.json": {"family": "ridge"}, "c/other.json": {"family": "gam", "params": {}}}  # fmt: skip
    for name, state in members.items():
        write_json(package / "model" / name, state)
    with pytest.raises(RefitError, match="not part of it"):
        read_manifest(package)
    about = {k: v for k, v in read_json(package / "bundle.json").items() if k not in ("format", "files")}
    digest = write_manifest(package, Manifest.of_json(about))
    decided(root, "3", digest, None)
    assert context.write_warm_start(root, MODEL) == "3"
    assert read_json(path) == {"mlp": [{"lr": 1}, {"lr": 2}]}
    stamp = path.stat().st_mtime_ns
    context.write_warm_start(root, MODEL)
    assert path.stat().st_mtime_ns == stamp, "an unchanged file keeps its time"
    decided(root, "none", "", digest, action="adopt", champion=None)
    champions._write_lock(root, DecisionHistory(root).decisions(MODEL), None)
    assert context.write_warm_start(root, MODEL) is None
    assert not path.exists()


def test_an_experiment_is_compared_with_the_champion_that_the_newest_run_made(root: Path) -> None:
    digest = laid(root, "a")
    assert context.place_champion(root, MODEL) is None
    first = decided(root, "1", digest, None, state={"looks": 1})
    assert context.place_champion(root, MODEL) == "1"
    held = ChampionFile.read(root / "data" / "champion")
    assert (held.version, held.package_sha256, held.since) == ("1", digest, first.number)
    assert packages.is_whole(root / "data" / "champion" / "package", digest)


def test_the_comparison_finds_the_champion_as_it_was_fetched(root: Path) -> None:
    folder = root / "data" / "champion"
    digest = laid(root, "a")
    assert context.write_champion(root, MODEL) is None
    assert not (folder / "champion.json").exists()
    first = decided(root, "1", digest, None, state={"looks": 1})
    assert context.write_champion(root, MODEL) == "1"
    assert not folder.exists() or not (folder / "package").exists(), (
        "the package is the champion: what it was compared with stays"
    )
    assert packages.local_copy(root, digest) == root / packages.KEPT / digest[:16], (
        "and is kept: the next run writes over it"
    )
    other = laid(root, "b")
    assert context.write_champion(root, MODEL) == "1"
    about = {"version": "1", "package_sha256": digest, "since": first.number, "name": MODEL}
    assert read_json(folder / "champion.json") == about
    assert read_json(folder / "promotion.json") == {"looks": 1}
    assert packages.is_whole(folder / "package", digest)
    # Of what this very package came to against this champion nothing counts; what others came to does.
    decided(root, "2", other, digest, b"rows of 2", action="keep", state={"looks": 2}, against=digest)
    context.write_champion(root, MODEL)
    assert read_json(folder / "promotion.json") == {"looks": 1}
    decided(root, "3", "c" * 64, digest, b"rows of 3", action="keep", state={"looks": 3}, against=digest)
    context.write_champion(root, MODEL)
    assert read_json(folder / "promotion.json") == {"looks": 3}
    assert {p.name: p.read_bytes() for p in (folder / "counted").iterdir()} == {"000003.parquet": b"rows of 3"}
    decided(root, "2", other, digest, b"again", action="keep", state={"looks": 4}, against="d" * 64)
    context.write_champion(root, MODEL)
    assert read_json(folder / "promotion.json") == {"looks": 4}, "it was compared with another champion"
    assert {p.name for p in (folder / "counted").iterdir()} == {"000003.parquet", "000004.parquet"}
    # A damaged copy is fetched again, and what somebody wrote beside it stays.
    write_json(folder / "champion.json", {**about, "remark": "mine"})
    context.write_champion(root, MODEL)
    assert "remark" in read_json(folder / "champion.json")
    (folder / "package" / "schema.json").write_text("damaged")
    context.write_champion(root, MODEL)
    assert packages.is_whole(folder / "package", digest)
    assert read_json(folder / "champion.json") == about
    decided(root, "none", "", digest, action="adopt", champion=None)
    champions._write_lock(root, DecisionHistory(root).decisions(MODEL), None)
    assert context.write_champion(root, MODEL) is None
    assert not (folder / "champion.json").exists()
    assert not (folder / "package").exists()


def test_a_moment_without_a_zone_is_utc_and_another_text_is_told() -> None:
    assert moment("2024-05-01T10:00:00").isoformat() == "2024-05-01T10:00:00+00:00"
    with pytest.raises(RefitError, match=r"; found 'soon'\.$"):
        moment("soon")


# After the stages -----------------------------------------------------------------------------------------------------


def lock(root: Path, **md5: str) -> None:
    stages = {
        name.replace("_", "@", 1): {"cmd": "x", "outs": [{"path": f"data/{name}", "md5": d * 32}, {"path": "x"}]}
        for name, d in md5.items()
    }
    (root / "dvc.lock").write_text(json.dumps({"schema": "2.0", "stages": stages}))


def test_a_result_is_named_by_its_outputs_and_the_models_name(root: Path) -> None:
    lock(root, ingest="a", tune_logistic="b", train_tree="c")
    found = standing.result(root, params())
    assert (found.model, found.families, found.as_of, found.commit, found.start) == (
        MODEL,
        ("logistic",),
        None,
        None,
        None,
    )
    assert found.data_versions == {"data/ingest": "a" * 32, "data/tune_logistic": "b" * 32}
    lock(root, tune_logistic="b", ingest="a", train_tree="d")
    assert standing.result(root, params()).key == found.key, "neither order nor a dropped family counts"
    lock(root, ingest="a", tune_logistic="e")
    assert standing.result(root, params()).key != found.key
    lock(root, ingest="a", tune_logistic="b")
    named = params(problem={"name": "other", "kind": "binary", "table": "t", "target": "y"})
    assert standing.result(root, named).key != found.key
    Validation(as_of="2024-01-01", tables={}, expectations=[]).write(root / "data" / "validated")
    assert standing.result(root, params(), root).as_of == "2024-01-01"
    laid(root, "a")
    assert standing.result(root, params()).key == found.key
    with pytest.raises(
        RefitError, match=r"the package of this run was made as 'toy', and params\.yaml says 'other' by now"
    ):
        standing.result(root, named)


def test_the_commit_says_whether_files_were_changed(root: Path) -> None:
    def git(*words: str) -> None:
        subprocess.run(
            ["git", "-c", "user.name=a", "-c", "user.email=a@b", *words], cwd=root, check=True, capture_output=True
        )

    assert standing._commit(root) is None
    git("init", "-q")
    (root / "a").write_text("1")
    git("add", "a")
    git("commit", "-qm", "one")
    head = standing._commit(root)
    assert head is not None
    assert len(head) == 40
    (root / "b").write_text("untracked")
    assert standing._commit(root) == head
    (root / "a").write_text("2")
    assert standing._commit(root) == f"{head}+"


def test_what_is_done_is_remembered_for_this_very_result_and_history(root: Path) -> None:
    lock(root, ingest="a")
    found = standing.result(root, params())
    assert standing.concluded(root, found) is None
    at_end = Standing("3", "2", "Kept.")
    assert not at_end.waiting
    digest = laid(root, "a")
    last = decided(root, "2", digest, None)
    standing.finish(root, found, at_end, 12.34567)
    done = read_json(root / DONE)
    assert done == {
        "of": found.key, "stand": champions.registry_state(root, last), "version": "3", "champion": "2", "sentence": "Kept.", "seconds": 12.346,
    }  # fmt: skip
    assert standing.concluded(root, found) is None, "its registry is not there"
    (root / ".refit" / "mlflow.db").touch()
    assert standing.concluded(root, found) == at_end
    lock(root, ingest="b")
    assert standing.concluded(root, standing.result(root, params())) is None
    decided(root, "3", "c" * 64, digest, action="keep")
    assert standing.concluded(root, found) is None, "somebody decided since"
    (root / DONE).write_text("[]")
    assert standing.concluded(root, found) is None


def test_a_run_that_ended_with_this_history_is_not_asked_again(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[bool] = []
    monkeypatch.setattr(champions, "check_ready", lambda root, model, known: asked.append(known))
    standing.check_ready(root, MODEL)
    last = decided(root, "1", laid(root, "a"), None)
    standing.check_ready(root, MODEL)
    write_json(root / DONE, {"stand": champions.registry_state(root, last)})
    standing.check_ready(root, MODEL)
    decided(root, "2", "b" * 64, last.package_sha256, action="keep")
    standing.check_ready(root, MODEL)
    assert asked == [False, False, True, False]


@pytest.mark.parametrize(("text", "seconds"), [(None, 7 * 86_400), ("", 7 * 86_400), ("1", 1), ("90", 90)])
def test_a_person_has_seven_days_or_what_is_said(
    text: str | None, seconds: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("REFIT_APPROVAL_SECONDS", raising=False)
    if text is not None:
        monkeypatch.setenv("REFIT_APPROVAL_SECONDS", text)
    assert promotion.approval_seconds() == seconds


@pytest.mark.parametrize("text", ["0", "-1", "1.5", "soon"])
def test_no_other_patience_is_taken(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REFIT_APPROVAL_SECONDS", text)
    with pytest.raises(RefitError, match="REFIT_APPROVAL_SECONDS: a whole number of seconds, 1 or more"):
        promotion.approval_seconds()


def verdict(root: Path, said: str, **more: Any) -> Registered:
    write_json(root / "data" / "verdict" / "verdict.json", {"verdict": said, "sentence": f"{said}.", **more})
    return Registered(MODEL, "2", "run", laid(root, "b"))


def test_what_would_be_promoted_is_new_and_better_and_was_not_rolled_back(root: Path) -> None:
    digest = laid(root, "a")
    for said in ("keep", "inconclusive"):
        assert not promotion.would_promote(root, verdict(root, said))
    challenger = verdict(root, "promote")
    assert promotion.would_promote(root, challenger), "a first model"
    decided(root, "1", digest, None)
    assert promotion.would_promote(root, challenger)
    assert not promotion.would_promote(root, Registered(MODEL, "1", "run", digest)), "the champion itself"
    key = promotion._occasion(root, challenger, [])
    assert key == f"verdict:{sha256(root / 'data/verdict/verdict.json')}:{challenger.package_sha256}"
    DecisionHistory(root).record(
        Decision(MODEL, "keep", "2", "1", challenger.package_sha256, "refused", "who", key), digest
    )
    assert not promotion.would_promote(root, challenger), "nobody is asked twice about one verdict"
    challenger = verdict(root, "promote", n=11)
    assert promotion.would_promote(root, challenger)
    decided(root, "2", challenger.package_sha256, digest)
    decided(root, "1", digest, challenger.package_sha256, action="rollback")
    challenger = verdict(root, "promote", n=12)
    assert not promotion.would_promote(root, challenger), "it was rolled back from"


def test_after_a_beginning_without_a_champion_the_same_verdict_is_a_new_occasion(root: Path) -> None:
    challenger = verdict(root, "promote")
    past = [decided(root, "none", "", None, action="adopt", champion=None)]
    assert promotion._occasion(root, challenger, past).endswith(f"{challenger.package_sha256}:1")
    past.append(decided(root, "1", "a" * 64, None, action="adopt"))
    assert promotion._occasion(root, challenger, past).endswith(f"{challenger.package_sha256}:1")


def test_who_waits_is_told_how_to_approve(root: Path) -> None:
    challenger = verdict(root, "promote")
    waits = promotion.waiting(root, challenger)
    assert (waits.version, waits.champion, waits.waiting) == ("2", None, True)
    assert waits.sentence.startswith(
        "promote. Not promoted until a person approves (promotion.approval): `refit promote 2 "
    )
    decided(root, "1", "a" * 64, None)
    assert promotion.waiting(root, challenger).champion == "1"


def test_a_look_whose_champion_was_replaced_meanwhile_is_kept_and_says_so(root: Path) -> None:
    decided(root, "1", "a" * 64, None)
    decided(root, "5", "e" * 64, "a" * 64)
    for action, said in (
        ("promote", "version 2 was not made champion"),
        ("keep", "why That champion was replaced meanwhile: "),
    ):
        row = Decision(MODEL, action, "2", "2" if action == "promote" else None, "b" * 64, "why", "who", action)  # type: ignore[arg-type]
        made = promotion._record(root, row, "a" * 64, b"rows")
        assert (made.action, made.champion, made.key) == ("keep", "5", f"{action}:late:2")
        assert made.reason.startswith(said)
        assert DecisionHistory(root).counted(MODEL)[made.number] == b"rows"
    row = Decision(MODEL, "promote", "2", "2", "b" * 64, "why", "who", "in time")
    assert promotion._record(root, row, "e" * 64, None).champion == "2"
    with pytest.raises(Overtaken):
        DecisionHistory(root).record(Decision(MODEL, "promote", "3", "3", "c" * 64, "", "", "x"), "e" * 64)
    assert mark(DecisionHistory(root).decisions(MODEL)[-1]).startswith("5:")


@pytest.mark.parametrize("waiting", [True, False])
def test_a_run_that_waits_for_a_persons_word_ends_in_a_state_of_its_own(waiting: bool) -> None:
    where = Standing("2", "1", "Promote, once somebody approves.", waiting=waiting)
    found = retrain.ended(where)
    assert isinstance(found, State)
    assert found.name == ("Unapproved" if waiting else "Completed")
    assert found.message == where.sentence
    assert found.is_completed()
    assert retrain.ended(None) is None
