"""The same champion, or a refusal that says what is gone: with lost files, other registries, other histories, other names."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from flows import champions, context, hand, packages, promotion, standing
from tasks.errors import RefitError
from tasks.files import read_json, sha256, write_json
from tasks.params import parse
from tasks.registry.history import Decision, DecisionHistory, Overtaken
from tasks.registry.tracking import DECISION, Registered, Registry, RunResult
from tests.samples import policy_state
from tests.tasks.registry.packages import MODEL, make_package, make_versions

pytestmark = pytest.mark.flows


@pytest.fixture(scope="module")
def stocked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project whose registry has versions 1 to 3, and whose history is empty."""
    root = tmp_path_factory.mktemp("stocked") / "of"
    make_versions(root, 3)
    return root


@pytest.fixture(scope="module")
def blank(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A registry with nothing in it; MLflow takes seconds to make one."""
    root = tmp_path_factory.mktemp("blank")
    Registry(root).versions(MODEL)
    return root / ".refit" / "mlflow.db"


@pytest.fixture
def project(stocked: Path, tmp_path: Path) -> Path:
    """A copy of it, moved to a path that MLflow's files have to follow."""
    root = tmp_path / "a copy"
    shutil.copytree(stocked, root)
    shutil.rmtree(root / "made")
    return root


@pytest.fixture
def elsewhere(blank: Path, tmp_path: Path) -> str:
    """The URI of another registry, in which nothing is."""
    shutil.copy(blank, tmp_path / "other.db")
    return f"sqlite:///{tmp_path / 'other.db'}"


def laid(root: Path, content: str, verdict: str, **more: object) -> None:
    """What the stages of a run leave that made this package, compared with the champion as it was fetched."""
    shutil.rmtree(root / "data" / "package", ignore_errors=True)
    make_package(root / "data" / "package", content)
    context.write_champion(root, MODEL)
    judged = {"verdict": verdict, "sentence": f"{verdict} {content}.", "rule": "test", "n": 10, **more}
    write_json(root / "data" / "verdict" / "verdict.json", judged)


def carried_out(root: Path) -> standing.Standing:
    """The effects of such a run."""
    registry = Registry(root)
    digest = sha256(root / "data" / "package" / "bundle.json")
    found = RunResult(root, MODEL, digest, None, {}, None, ())
    return promotion.decide(root, promotion.register(root, found, registry.restored(MODEL, digest)))


def ran(root: Path, content: str, verdict: str, **more: object) -> standing.Standing:
    standing.check_ready(root, MODEL)
    laid(root, content, verdict, **more)
    return carried_out(root)


def crowned(root: Path) -> str:
    """Hash of the package that the history, the alias, the lock and the service all call champion."""
    champion, registry = DecisionHistory(root).champion(MODEL), Registry(root)
    assert champion is not None
    alias = str(registry.client.get_registered_model(MODEL).aliases["champion"])
    folder, _, _ = champions.to_serve(root, MODEL)
    lock = champions.lock_of(root)
    assert lock is not None
    found = {champion.package_sha256, registry.version(MODEL, alias).package_sha256, lock.package_sha256}
    assert found == {sha256(folder / "bundle.json")}
    return champion.package_sha256


def lost(root: Path, *paths: str) -> Path:
    """The project without these files and folders, under another path: this process has the old registry open."""
    for path in (root / name for name in paths):
        shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
    return root.rename(root.with_name(f"{root.name} and on"))


def test_a_copied_project_has_files_of_its_own(project: Path, stocked: Path) -> None:
    registry = Registry(project)
    for version in registry.versions(MODEL):
        assert registry.client.get_run(version.run_id).info.artifact_uri.startswith(project.as_uri() + "/")
    kept = sorted((stocked / ".refit" / "mlruns").rglob("*"))
    assert ran(project, "package 9", "promote").champion == "4"
    assert sorted((stocked / ".refit" / "mlruns").rglob("*")) == kept
    project.rename(project.with_name("renamed"))
    assert crowned(project.with_name("renamed")) == sha256(project.with_name("renamed") / "data/package/bundle.json")


@pytest.mark.parametrize("known_by", ["versions", "data/champion", "data/package"])
def test_another_registry_gets_the_champion_under_its_number(
    project: Path, elsewhere: str, known_by: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The kept challenger is registered after it, under a number that the history has not given to another package."""
    assert ran(project, "package 9", "promote").champion == "4"
    digest = crowned(project)
    if known_by != "data/package":
        ran(project, "package 10", "keep")
    for path in (".refit/versions", "data/champion/package"):
        if path not in (f".refit/{known_by}", f"{known_by}/package"):
            shutil.rmtree(project / path, ignore_errors=True)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", elsewhere)
    at_end = ran(project, "package 11", "keep")
    assert crowned(project) == digest
    registry = Registry(project)
    numbers = {v.version: v.package_sha256 for v in registry.versions(MODEL)}
    assert numbers["4"] == digest
    assert (at_end.champion, at_end.version) == ("4", "5" if known_by == "data/package" else "6")
    assert set(numbers) == {"4", at_end.version}
    with pytest.raises(RefitError, match="no version '1' in the registry; there are '4'"):
        hand.promote(project, MODEL, "1", "never decided on", None)


def test_a_lost_registry_is_filled_again(project: Path) -> None:
    ran(project, "package 9", "promote")
    digest = crowned(project)
    project = lost(project, ".refit/mlflow.db", ".refit/mlruns")
    assert ran(project, "package 10", "keep").version == "5"
    assert crowned(project) == digest


def test_a_champion_that_is_nowhere_is_refused_before_any_work(
    project: Path, elsewhere: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = ran(project, "package 9", "promote")
    for path in (".refit/versions", "data/package"):
        shutil.rmtree(project / path)
    standing.check_ready(project, MODEL)  # its own registry has it
    shutil.rmtree(project / ".refit/versions")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", elsewhere)
    said = rf"the package of version {first.champion} \([0-9a-f]{{12}}\) is gone: .*other\.db\) does not know it.*MLFLOW_TRACKING_URI"
    for ask in (standing.check_ready, champions.to_serve):
        with pytest.raises(RefitError, match=said):
            ask(project, MODEL)
    # What the message advises helps.
    assert hand.adopt_nothing(project, MODEL, "gone for good").champion is None
    assert ran(project, "package 12", "promote").champion is not None


def test_numbers_of_two_registries_are_never_mixed(
    project: Path, stocked: Path, elsewhere: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    hand.promote(project, MODEL, "1", "first", None)
    digest = crowned(project)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", elsewhere)
    registry = Registry(project)
    for i in (7, 8):
        run = registry.restored(MODEL, f"made by another {i}")
        registry.register(MODEL, make_package(project / "theirs" / str(i), f"theirs {i}"), run)
    ran(project, "package 10", "keep")
    assert crowned(project) == digest
    assert registry.holding(MODEL, digest) == registry.version(MODEL, "3"), "1 is another package there"
    ambiguous = (
        r"version '1' means several packages, since the history has numbers of another registry: '[0-9a-f]{12}', '"
    )
    with pytest.raises(RefitError, match=ambiguous):
        hand.promote(project, MODEL, "1", "which?", None)
    other = registry.version(MODEL, "1").package_sha256
    assert hand.promote(project, MODEL, other[:12], "theirs", None).version == "1"
    assert crowned(project) == other
    back = hand.rollback(project, MODEL, None, "back to what was first here")
    assert (back.package_sha256, back.version) == (digest, "3")
    assert crowned(project) == digest


def test_old_copies_of_packages_are_removed(tmp_path: Path) -> None:
    """Of the last eight champions all stay, whatever their age; of others, and of what a kill left, a day."""
    digests = [f"{i:064x}"[::-1] for i in range(12)]
    past = [Decision("m", "promote", str(i), str(i), digest, "", "", "") for i, digest in enumerate(digests)]
    past.append(Decision("m", "keep", "99", "11", "f" * 64, "", "", ""))
    for name in (*(digest[:16] for digest in digests), "f" * 16, ".left.old", "new"):
        (tmp_path / packages.KEPT / name).mkdir(parents=True)
        if name != "new":
            os.utime(tmp_path / packages.KEPT / name, (0, 0))
    packages.prune(tmp_path, past)
    assert {p.name for p in (tmp_path / packages.KEPT).iterdir()} == {"new", *(digest[:16] for digest in digests[4:])}
    packages.prune(tmp_path / "nowhere", past)


# A history that is not there ------------------------------------------------------------------------------------------

WITNESSES = {
    "registry": ("champion.lock", "data"),
    "lock": (".refit", "data"),
    "data/champion": (".refit", "champion.lock"),
    "data/start": (".refit", "champion.lock", "data/champion"),
}


@pytest.mark.parametrize("witness", WITNESSES)
def test_a_history_that_is_not_there_is_not_an_empty_one(project: Path, witness: str) -> None:
    """One thing that tells of the champion is left: nothing decides, and nothing that knows of it is changed."""
    ran(project, "package 9", "promote")
    ran(project, "package 10", "keep")
    write_json(project / "data" / "start" / "params.json", {})
    project = lost(project, ".refit/history.db", *WITNESSES[witness])
    tries: list[Callable[[], object]] = [
        lambda: standing.check_ready(project, MODEL),
        lambda: hand.promote(project, MODEL, None, "unseen", None),
        lambda: hand.rollback(project, MODEL, None, "unseen"),
    ]
    if witness != "registry":  # what reads files alone has to be told by files
        tries += [lambda: context.write_champion(project, MODEL), lambda: champions.to_serve(project, MODEL)]
    for attempt in tries:
        with pytest.raises(RefitError, match=r"history.*REFIT_HISTORY.*docs/champion\.md.*`refit adopt"):
            attempt()
    make_package(project / "data" / "package", "package 11") if not (project / "data" / "package").exists() else None
    write_json(project / "data/verdict/verdict.json", {"verdict": "promote", "sentence": "Promote."})
    with pytest.raises(RefitError, match="REFIT_HISTORY"):
        carried_out(project)
    assert DecisionHistory(project).decisions(MODEL) == []
    if witness == "registry":
        assert Registry(project).state(MODEL).champion == "4"


def test_a_history_that_lost_decisions_is_not_the_one_that_was_followed(project: Path) -> None:
    ran(project, "package 9", "promote")
    shutil.copy(project / ".refit" / "history.db", project / "backup.db")
    hand.promote(project, MODEL, "1", "by hand", None)
    shutil.copy(project / "backup.db", project / ".refit" / "history.db")
    told = r"champion\.lock follows decision 2 \(champion: version 1, package [0-9a-f]{12}\), which is not in the history here"
    with pytest.raises(RefitError, match=told):
        standing.check_ready(project, MODEL)
    (project / "champion.lock").unlink()
    with pytest.raises(
        RefitError, match=r"follows decision 2 \(champion: version 1 there\), which is not in the history"
    ):
        standing.check_ready(project, MODEL)
    made = hand.adopt(project, MODEL, None, "the backup lacked it", None)
    assert (made.action, made.champion, made.previous, made.number) == ("adopt", "1", "4", 2)
    assert crowned(project) == made.package_sha256


def test_two_copies_cannot_both_decide_in_one_registry(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", Registry(project).uri)
    ran(project, "package 9", "promote")
    copy = project.with_name("second")
    shutil.copytree(project, copy)
    hand.promote(copy, MODEL, "2", "in the copy", None)
    before = Registry(project).state(MODEL)
    for attempt in (
        lambda: hand.promote(project, MODEL, "3", "here", None),
        lambda: standing.check_ready(project, MODEL),
    ):
        with pytest.raises(RefitError, match=r"follows decision 2 .*another project's.*problem\.name"):
            attempt()
    assert Registry(project).state(MODEL) == before


def test_another_projects_champion_of_the_same_name_is_left_alone(
    project: Path, stocked: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also in a registry of before the marks: its champion was never decided on here."""
    other = tmp_path / "other"
    shutil.copytree(stocked, other)
    Registry(other).client.set_registered_model_alias(MODEL, "champion", "2")
    ran(project, "package 9", "promote")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{other / '.refit' / 'mlflow.db'}")
    with pytest.raises(RefitError, match="another project's model"):
        ran(project, "package 10", "keep")
    assert Registry(project).state(MODEL).champion == "2"
    # One that was decided on here is our own, and is put right.
    monkeypatch.delenv("MLFLOW_TRACKING_URI")
    registry = Registry(project)
    registry.client.delete_registered_model_tag(MODEL, DECISION)
    standing.check_ready(project, MODEL)


def test_a_renamed_problem_does_not_take_the_champion_along(project: Path) -> None:
    ran(project, "package 9", "promote")
    with pytest.raises(
        RefitError, match=r"problem\.name: this project's champion is that of 'toy', and params\.yaml says 'toys'"
    ):
        standing.check_ready(project, "toys")
    registry = Registry(project)
    with pytest.raises(RefitError, match="made as 'toy' and cannot be registered as 'toys'"):
        registry.register("toys", project / "data" / "package", registry.restored("toys", "x"))
    tree = {
        "problem": {"name": "toys", "kind": "binary", "table": "t", "target": "y"},
        "data": {"tables": {"t": {"source": "t.csv", "columns": {"y": "categorical"}}}},
        "models": {"logistic": {}},
    }
    (project / "dvc.lock").write_text("schema: '2.0'\n")
    with pytest.raises(RefitError, match=r"the package of this run was made as 'toy', and params\.yaml says 'toys'"):
        standing.result(project, parse(tree, "params.yaml"))
    hand.adopt_nothing(project, "toys", "another question")
    standing.check_ready(project, "toys")
    standing.check_ready(project, MODEL)  # and back
    assert DecisionHistory(project).champion(MODEL) is not None


def test_a_merged_lock_is_told(project: Path) -> None:
    ran(project, "package 9", "promote")
    lock = project / "champion.lock"
    lock.write_text("<<<<<<< ours\n" + lock.read_text())
    with pytest.raises(RefitError, match=r"champion\.lock: cannot be read .*Restore it from git, or remove it"):
        standing.check_ready(project, MODEL)
    lock.unlink()
    standing.check_ready(project, MODEL)


# Adoption -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("source", ["registry", "data/champion"])
def test_an_adopted_champion_brings_its_account(project: Path, source: str) -> None:
    """State and counted rows come along, those of looks before it was champion stay before it, and its package is checked."""
    verdict = project / "data" / "verdict"

    def look(content: str, said: str, rows: bytes) -> None:
        standing.check_ready(project, MODEL)
        laid(project, content, said, state=policy_state(int(content.split()[1])))
        (verdict / "counted.parquet").write_bytes(rows)
        carried_out(project)

    look("package 7", "promote", b"one")
    look("package 8", "promote", b"two")
    look("package 9", "keep", b"three")
    digest = crowned(project)
    laid(project, "package 10", "keep")
    about = project / "data" / "champion" / "champion.json"
    since, counted = read_json(about)["since"], project / "data" / "champion" / "counted"
    looks = {path.read_bytes(): int(path.stem) > since for path in counted.glob("*.parquet")}
    assert looks == {b"one": False, b"two": False, b"three": True}
    state = read_json(project / "data" / "champion" / "promotion.json")
    gone = ("data", ".refit/history.db", ".refit/versions") if source == "registry" else (".refit",)
    project = lost(project, "champion.lock", *gone)
    verdict, about = (project / "data" / name for name in ("verdict", "champion/champion.json"))
    counted = about.parent / "counted"
    seen: list[str] = []

    def check(package: Path) -> dict[str, object]:
        seen.append(sha256(package / "bundle.json"))
        return {}

    made = hand.adopt(project, MODEL, None, "a new machine", check)
    assert seen == [digest]
    assert (made.action, made.package_sha256, made.champion, made.reason) == ("adopt", digest, "5", "a new machine")
    assert made.evidence["adopted"]["looks"] == 3
    assert crowned(project) == digest
    laid(project, "package 10", "keep")
    since = read_json(about)["since"]
    assert since == made.number
    assert {path.read_bytes(): int(path.stem) > since for path in counted.glob("*.parquet")} == looks
    assert read_json(project / "data" / "champion" / "promotion.json") == state
    # Adopting what is champion already changes nothing.
    rows = DecisionHistory(project).decisions(MODEL)
    assert hand.adopt(project, MODEL, None, "again", check) == made
    assert DecisionHistory(project).decisions(MODEL) == rows


def test_which_package_to_adopt_is_not_guessed(project: Path) -> None:
    """`data/champion` may be what the champion replaced: the newest verdict was to promote, and no file tells the end."""
    ran(project, "package 8", "promote")
    old = crowned(project)
    ran(project, "package 9", "promote")
    new = crowned(project)
    assert read_json(project / "data" / "champion" / "champion.json")["package_sha256"] == old
    lock = (project / "champion.lock").read_bytes()
    project = lost(project, ".refit", "champion.lock")
    with pytest.raises(
        RefitError, match=f"Say which: `refit adopt {new[:12]} --reason ...` for data/package, `refit adopt {old[:12]}"
    ):
        hand.adopt(project, MODEL, None, "which?", None)
    (project / "champion.lock").write_bytes(lock)
    assert hand.adopt(project, MODEL, None, "as the lock says", None).package_sha256 == new
    assert crowned(project) == new
    assert hand.adopt(project, MODEL, old[:12], "no, the one before", None).package_sha256 == old
    assert crowned(project) == old


def test_there_is_nothing_to_adopt_in_a_new_project(project: Path) -> None:
    with pytest.raises(RefitError, match=r"nothing tells of a champion: neither the registry .* nor champion\.lock"):
        hand.adopt(project, MODEL, None, "what?", None)
    with pytest.raises(RefitError, match="--reason: say why"):
        hand.adopt(project, MODEL, None, " ", None)
    assert hand.adopt(project, MODEL, "2", "imported", None).champion == "2"


def test_nobody_elses_champion_is_taken_away(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ran(project, "package 9", "promote")
    monkeypatch.setenv("REFIT_HISTORY", f"sqlite:///{project.with_name('own.db')}")
    monkeypatch.setenv(
        "MLFLOW_TRACKING_URI", f"{Registry(project).uri}?timeout=30"
    )  # as a server would be: not its own file
    with pytest.raises(RefitError, match=r"--none: version 4 of toy is champion in the registry .*for all who use it"):
        hand.adopt_nothing(project, MODEL, "anew")
    assert Registry(project).state(MODEL).champion == "4"


def test_after_a_beginning_without_a_champion_the_same_verdict_is_carried_out(project: Path) -> None:
    assert ran(project, "package 9", "promote").champion == "4"
    hand.adopt_nothing(project, MODEL, "the data were wrong")
    with pytest.raises(RefitError, match="no champion to serve yet"):
        champions.to_serve(project, MODEL)
    assert "champion" not in Registry(project).client.get_registered_model(MODEL).aliases
    with pytest.raises(RefitError, match="there is no champion yet"):
        hand.rollback(project, MODEL, None, "none")
    assert ran(project, "package 9", "promote").champion == "4"
    assert [d.action for d in DecisionHistory(project).decisions(MODEL)] == ["promote", "adopt", "promote"]


# Others, at the same time ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("verdict", ["keep", "promote"])
def test_a_look_at_a_champion_that_was_replaced_meanwhile_is_kept_and_told(project: Path, verdict: str) -> None:
    hand.promote(project, MODEL, "1", "first", None)
    laid(project, "package 9", verdict, state=policy_state(4))
    (project / "data" / "verdict" / "counted.parquet").write_bytes(b"rows")
    hand.promote(project, MODEL, "3", "someone else was quicker", None)
    told = r"it was to replace version 1, and version 3 became champion.*Run again to compare with it"
    for _ in range(2):  # a repeat finds it done
        if verdict == "promote":
            with pytest.raises(Overtaken, match=told):
                carried_out(project)
        else:
            assert "That champion was replaced meanwhile: " in carried_out(project).sentence
    rows = DecisionHistory(project).decisions(MODEL)
    assert [d.action for d in rows] == ["promote", "promote", "keep"]
    assert "someone else was quicker" in rows[-1].reason
    assert DecisionHistory(project).counted(MODEL) == {3: b"rows"}
    assert crowned(project) == Registry(project).version(MODEL, "3").package_sha256
    # It was a look at another champion: the next one, of this same package, has its rows for counted.
    context.write_champion(project, MODEL)
    assert [p.read_bytes() for p in (project / "data/champion/counted").iterdir()] == [b"rows"]
    # The same verdict with its champion back is carried out.
    if verdict == "promote":
        hand.rollback(project, MODEL, "1", "back")
        context.write_champion(project, MODEL)
        assert carried_out(project).champion == "4"


def test_an_alias_that_a_slow_follower_set_is_put_right_by_it(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Between the look at the history and the alias another decides, and is quicker: the slow one looks again."""
    hand.promote(project, MODEL, "1", "first", None)
    honest = Registry.follow
    late: list[Decision] = []

    def slow(self: Registry, model: str, champion: str | None, *more: str | None) -> None:
        if not late:
            late.append(Decision(MODEL, "promote", "3", "3", versions[2].package_sha256, "quick", "another", "key"))
            DecisionHistory(project).record(late[0], versions[1].package_sha256)
            honest(self, model, "3")
        honest(self, model, champion, *more)

    versions: list[Registered] = Registry(project).versions(MODEL)
    monkeypatch.setattr(Registry, "follow", slow)
    hand.promote(project, MODEL, "2", "slow", None)
    monkeypatch.undo()
    assert crowned(project) == versions[2].package_sha256
