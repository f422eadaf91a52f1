"""Effects on a real registry, with hand-made packages and verdicts in place of a pipeline's."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from flows import accepted, champions, context, hand, promotion, standing
from tasks.artifacts import Validation
from tasks.errors import RefitError
from tasks.files import read_json, sha256, write_json
from tasks.params import parse
from tasks.registry.history import Decision, DecisionHistory, Overtaken
from tasks.registry.tracking import DECISION, Registered, Registry
from tests.samples import policy_state
from tests.tasks.registry.packages import MODEL, make_package, make_versions


@pytest.fixture(scope="module")
def stocked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project whose registry has versions 1 to 3 and no champion."""
    root = tmp_path_factory.mktemp("stocked")
    make_versions(root, 3)
    return root


@pytest.fixture
def project(stocked: Path) -> Path:
    """The same with an empty history and no files of a run."""
    (stocked / ".refit" / "history.db").unlink(missing_ok=True)
    (stocked / "champion.lock").unlink(missing_ok=True)
    Registry(stocked).client.delete_registered_model_tag(MODEL, DECISION)
    for alias in Registry(stocked).client.get_registered_model(MODEL).aliases:
        Registry(stocked).client.delete_registered_model_alias(MODEL, alias)
    shutil.rmtree(stocked / "data", ignore_errors=True)
    return stocked


def put(root: Path, version: int, verdict: str, **more: object) -> Registered:
    """Lay out what a run that made this version leaves; returns the version."""
    shutil.rmtree(root / "data" / "package", ignore_errors=True)
    make_package(root / "data" / "package", f"package {version}")
    write_json(
        root / "data" / "verdict" / "verdict.json",
        {"verdict": verdict, "sentence": f"{verdict} {version}.", "rule": "test", "n": 10, **more},
    )
    return Registry(root).version(MODEL, str(version))


def aliases(root: Path) -> dict[str, str]:
    return {k: str(v) for k, v in Registry(root).client.get_registered_model(MODEL).aliases.items()}


def test_what_was_decided_before_is_a_file_for_the_report(project: Path) -> None:
    """With the figures of each run; not what this very package came to, so that the next run finds the file as it is."""
    file = project / "data" / "champion" / "past.json"

    def run(version: int, said: str, as_of: str) -> None:
        evidence = {"metric": "roc_auc", "challenger": 0.7 + version / 100, "champion": None if version == 1 else 0.7}
        registered = put(project, version, said, evidence=evidence)
        validation = Validation(as_of=as_of, tables={}, expectations=[], baseline={})
        validation.write(project / "data" / "validated")
        context.write_champion(project, MODEL)
        promotion.decide(project, registered)
        context.write_champion(project, MODEL)

    run(1, "promote", "2024-01-01")
    assert not file.exists()
    run(2, "keep", "2024-01-08")
    first = {"as_of": "2024-01-01", "family": "", "metric": "roc_auc", "rows": 10, "challenger": 0.71, "champion": None}
    known = read_json(file)["decisions"]
    assert [(d["action"], d["version"], d["champion"], d["by"]) for d in known] == [("promote", "1", "1", "refit run")]
    assert known[0]["measured"] == first | {"interval": None, "drifted": None, "drifted_columns": None}
    wrote = file.stat().st_mtime_ns
    context.write_champion(project, MODEL)
    assert file.stat().st_mtime_ns == wrote
    run(3, "promote", "2024-01-15")
    assert [(d["action"], d["version"]) for d in read_json(file)["decisions"]] == [("promote", "1"), ("keep", "2")]
    assert read_json(file)["decisions"][1]["measured"]["champion"] == 0.7
    hand.rollback(project, MODEL, None, "too slow")
    put(project, 2, "keep")
    context.write_champion(project, MODEL)
    last = read_json(file)["decisions"][-1]
    assert (last["action"], last["version"], last["measured"]) == ("rollback", "1", {})


def test_counted_rows_travel_with_the_history(project: Path) -> None:
    """The next run finds what every earlier look counted, but not what its own package came to against this champion."""
    verdict, counted = project / "data" / "verdict", project / "data" / "champion" / "counted"

    def look(version: int, said: str, rows: bytes) -> None:
        registered = put(project, version, said, state=policy_state(version))
        context.write_champion(project, MODEL)
        (verdict / "counted.parquet").write_bytes(rows)
        promotion.decide(project, registered)

    def held() -> dict[str, bytes]:
        context.write_champion(project, MODEL)
        return {path.name: path.read_bytes() for path in counted.glob("*.parquet")}

    look(1, "promote", b"one")
    look(2, "keep", b"two")
    assert read_json(project / "data" / "champion" / "champion.json")["since"] == 1
    assert held() == {"000001.parquet": b"one"}  # package 2 is here still: its own look is not held against it
    put(project, 3, "keep")
    assert held() == {"000001.parquet": b"one", "000002.parquet": b"two"}
    hand.promote(project, MODEL, "2", "by hand", None)
    put(project, 3, "keep")
    held()
    assert read_json(project / "data" / "champion" / "champion.json")["since"] == 3
    hand.rollback(project, MODEL, None, "back")
    put(project, 2, "keep")  # champion again is 1: what was counted before is not fresh, nor is it new
    assert held() == {"000001.parquet": b"one", "000002.parquet": b"two"}
    assert read_json(project / "data" / "champion" / "champion.json")["since"] == 4
    (counted / "000009.parquet").write_bytes(b"of another history")
    (counted / "000001.parquet").write_bytes(b"damaged")
    assert held() == {"000001.parquet": b"one", "000002.parquet": b"two"}


def test_the_first_model_then_a_better_one_then_back(project: Path) -> None:
    assert context.write_champion(project, MODEL) is None
    first = promotion.decide(project, put(project, 1, "promote", state=policy_state(1)))
    assert (first.version, first.champion, first.sentence) == ("1", "1", "promote 1.")
    # A second look at the same result finds it done.
    assert promotion.decide(project, put(project, 1, "promote", state=policy_state(1))) == first
    assert len(DecisionHistory(project).decisions(MODEL)) == 1

    second = put(project, 2, "promote", state=policy_state(2))
    assert context.write_champion(project, MODEL) == "1"
    assert read_json(project / "data" / "champion" / "champion.json")["version"] == "1"
    assert read_json(project / "data" / "champion" / "promotion.json") == policy_state(1)
    assert promotion.would_promote(project, second)
    assert promotion.decide(project, second).champion == "2"
    assert aliases(project) == {"champion": "2"}, "a champion is no challenger"
    # The package is the champion now: what it was compared with stays, so that nothing runs again.
    assert context.write_champion(project, MODEL) == "2"
    assert read_json(project / "data" / "champion" / "champion.json")["version"] == "1"

    back = hand.rollback(project, MODEL, None, "complaints")
    assert (back.version, back.previous, back.reason) == ("1", "2", "complaints")
    assert aliases(project)["champion"] == "1"
    # The version rolled back is not promoted again by the next run, even by a new verdict.
    again = put(project, 2, "promote", n=11)
    assert not promotion.would_promote(project, again)
    kept = promotion.decide(project, again)
    assert kept.champion == "1"
    assert "it was rolled back on" in kept.sentence
    assert [d.action for d in DecisionHistory(project).decisions(MODEL)] == ["promote", "promote", "rollback", "keep"]
    # A person may.
    assert hand.promote(project, MODEL, "2", "checked it", None).champion == "2"


def test_tables_are_held_against_the_champions_until_a_person_accepts_others(project: Path) -> None:
    held, refused = project / accepted.ACCEPTED, project / accepted.REFUSED

    def accept(reason: str, *tables: str) -> list[str]:
        return accepted.accept(project, MODEL, reason, list(tables))

    assert not accepted.outdated(project, MODEL), "a first run has nothing to hold its tables against"
    promotion.decide(project, put(project, 1, "promote"))
    assert accepted.outdated(project, MODEL)
    write_json(held / "gone.json", {"of": {}})  # a table that the champion does not have
    assert accepted.write(project, MODEL) == "1"
    baseline = read_json(held / "t.json")
    assert (baseline["made of"], baseline["of"]["version"]) == ("package 1", "1")
    assert [path.name for path in held.iterdir()] == ["t.json"]
    assert not accepted.outdated(project, MODEL)

    with pytest.raises(RefitError, match="no rows wait to be accepted: the latest run did not refuse any table"):
        accept("miles")
    write_json(refused / "t.json", {"made of": "this week"})
    with pytest.raises(RefitError, match=r"--table: one of 't'; found 'tt'\. Did you mean 't'"):
        accept("miles", "tt")
    with pytest.raises(RefitError, match="--reason: says why"):
        accept(" ")
    assert accept("miles") == ["t"]
    baseline = read_json(held / "t.json")
    assert (baseline["made of"], baseline["of"]["reason"]) == ("this week", "miles")
    assert baseline["of"]["by"] == hand.person()
    assert not accepted.outdated(project, MODEL), "it stays until there is another champion"

    second = put(project, 2, "promote")
    context.write_champion(project, MODEL)
    promotion.decide(project, second)
    assert accepted.outdated(project, MODEL)
    assert accepted.write(project, MODEL) == "2"
    assert read_json(held / "t.json")["made of"] == "package 2"
    hand.adopt_nothing(project, MODEL, "begin anew")
    assert accepted.outdated(project, MODEL)
    assert accepted.write(project, MODEL) is None
    assert not held.exists()


def test_a_suspected_leak_is_repeated_to_the_person_who_promotes_by_hand(project: Path) -> None:
    leak = {"column": "refund", "columns": ["refund"], "feature": "refund", "kind": "copy", "strength": 1.0, "certain": True,
            "said": "repeats the target"}  # fmt: skip
    promotion.decide(project, put(project, 1, "inconclusive", suspicions=[leak], accepted=[]))
    assert DecisionHistory(project).decisions(MODEL)[-1].evidence["suspicions"] == [leak]
    made = hand.promote(project, MODEL, "1", "known in time", None)
    assert hand.suspected(project, made) == ["suspected as a leak: refund repeats the target"]
    promotion.decide(project, put(project, 2, "inconclusive", suspicions=[], accepted=[leak]))
    assert hand.suspected(project, hand.promote(project, MODEL, "2", "fine", None)) == []
    assert DecisionHistory(project).decisions(MODEL)[-2].evidence["accepted"] == [leak]


def test_a_family_dropped_from_the_parameters_is_not_part_of_the_result(tmp_path: Path) -> None:
    params = parse(
        {
            "problem": {"name": MODEL, "kind": "binary", "table": "t", "target": "y"},
            "data": {"tables": {"t": {"source": "t.csv", "columns": {"y": "categorical"}}}},
            "models": {"logistic": {}},
        },
        "params.yaml",
    )
    stages = ("ingest", "tune@logistic", "train@logistic", "tune@tree", "train@tree")
    (tmp_path / "dvc.lock").write_text(
        "schema: '2.0'\nstages:\n"
        + "".join(f"  {name}:\n    cmd: x\n    outs: [{{path: data/{name}, md5: {32 * 'a'}}}]\n" for name in stages)
    )
    found = standing.result(tmp_path, params)
    assert found.families == ("logistic",)
    assert list(found.data_versions) == ["data/ingest", "data/tune@logistic", "data/train@logistic"]


def test_a_refusal_is_recorded_and_keeps_the_champion(project: Path) -> None:
    promotion.decide(project, put(project, 1, "promote"))
    challenger = put(project, 2, "promote", state=policy_state(2))
    context.write_champion(project, MODEL)
    refused = promotion.decide(project, challenger, reply=promotion.Reply(False, "Ada: wait for the audit"))
    assert refused.champion == "1"
    assert "refused by Ada: wait for the audit" in refused.sentence
    last = DecisionHistory(project).decisions(MODEL)[-1]
    assert (last.action, last.version, last.champion, last.previous) == ("keep", "2", "1", "1")
    against = read_json(project / "data" / "champion" / "champion.json")["package_sha256"]
    said = {"verdict": "promote", "rule": "test", "n": 10, "state": policy_state(2), "against": against}
    assert last.evidence == said
    assert aliases(project)["champion"] == "1"
    # Nobody is asked about the same verdict twice, and a repeated run leaves the refusal as it is.
    assert not promotion.would_promote(project, challenger)
    assert promotion.decide(project, challenger) == refused
    # A new verdict about it is a new question; an approval is in its reason.
    again = put(project, 2, "promote", n=11)
    assert promotion.would_promote(project, again)
    assert promotion.decide(project, again, reply=promotion.Reply(True, "Ada: audited")).champion == "2"
    assert DecisionHistory(project).decisions(MODEL)[-1].reason == "promote 2. Approved: Ada: audited"


def test_nothing_before_the_first_champion(project: Path) -> None:
    with pytest.raises(RefitError, match="there is no champion yet, so nothing can be rolled back"):
        hand.rollback(project, MODEL, None, "why not")
    hand.promote(project, MODEL, "1", "first", None)
    with pytest.raises(RefitError, match="version 1 is the first champion; nothing stood before it"):
        hand.rollback(project, MODEL, None, "why not")


def test_a_champion_changed_meanwhile_is_not_overwritten(project: Path) -> None:
    hand.promote(project, MODEL, "1", "first", None)
    challenger = put(project, 2, "promote")
    context.write_champion(project, MODEL)  # compared with version 1 ...
    hand.promote(project, MODEL, "3", "someone else was quicker", None)  # ... and then
    with pytest.raises(Overtaken, match=r"it was to replace version 1, and version 3 became champion.*Run again"):
        promotion.decide(project, challenger)
    champion = DecisionHistory(project).champion(MODEL)
    assert champion is not None
    assert champion.version == "3"
    assert aliases(project)["champion"] == "3"


def test_a_failing_check_changes_nothing(project: Path) -> None:
    hand.promote(project, MODEL, "1", "first", None)

    def refuse(package: Path) -> dict[str, object]:
        assert (package / "bundle.json").exists()
        raise RefitError("golden row 0: differs")

    with pytest.raises(RefitError, match="golden row 0"):
        hand.promote(project, MODEL, "2", "try", refuse)
    champion = DecisionHistory(project).champion(MODEL)
    assert champion is not None
    assert champion.version == "1"


def test_a_reason_is_asked_for(project: Path) -> None:
    with pytest.raises(RefitError, match="--reason: say why"):
        hand.promote(project, MODEL, "1", "  ", None)


def test_promoting_the_champion_again_mends_the_alias(project: Path) -> None:
    hand.promote(project, MODEL, "1", "first", None)
    Registry(project).client.set_registered_model_alias(MODEL, "champion", "3")
    assert hand.promote(project, MODEL, "1", "again", None).reason == "first"
    assert aliases(project)["champion"] == "1"
    assert len(DecisionHistory(project).decisions(MODEL)) == 1


def test_the_champion_is_exported_for_serving(project: Path) -> None:
    with pytest.raises(RefitError, match="no champion to serve yet"):
        champions.to_serve(project, MODEL)
    hand.promote(project, MODEL, "2", "first", None)
    folder, version, _ = champions.to_serve(project, MODEL)
    digest = Registry(project).version(MODEL, "2").package_sha256
    assert (folder.name, version) == (digest[:16], "2")
    (folder / "plan.json").write_text("damaged")
    folder, _, _ = champions.to_serve(project, MODEL)
    assert "package 2" in (folder / "plan.json").read_text()


@pytest.mark.parametrize("asked", ["yesterday", "2013-13-01", "31.10.2013"])
def test_as_of_must_be_a_moment(tmp_path: Path, asked: str) -> None:
    with pytest.raises(RefitError, match="a moment is a date or an ISO time"):
        context.write_as_of(tmp_path, asked)


def test_as_of_is_written_once_and_removed(tmp_path: Path) -> None:
    context.write_as_of(tmp_path, "2013-11-30")
    path = tmp_path / "data" / "context" / "as_of.json"
    assert read_json(path) == {"as_of": "2013-11-30T23:59:59.999999+00:00"}
    before = path.stat().st_mtime_ns
    context.write_as_of(tmp_path, "2013-11-30")
    assert path.stat().st_mtime_ns == before
    context.write_as_of(tmp_path, None)
    assert not path.exists()


def test_a_package_is_registered_once_as_challenger_with_a_number_above_all_that_were_decided_on(project: Path) -> None:
    """A champion whose number another registry gave: what is new here gets a higher one."""
    package = make_package(project / "made" / "nine", "package 9")
    digest = sha256(package / "bundle.json")
    shutil.copytree(package, project / "data" / "package")
    (project / "dvc.lock").write_text('{"schema": "2.0", "stages": {}}')
    tree = {
        "problem": {"name": MODEL, "kind": "binary", "table": "t", "target": "y"},
        "data": {"tables": {"t": {"source": "t.csv", "columns": {"y": "categorical"}}}},
        "models": {"logistic": {}},
    }
    found, registry = standing.result(project, parse(tree)), Registry(project)
    DecisionHistory(project).record(Decision(MODEL, "promote", "7", "7", digest, "", "", "there"), None)
    champion = promotion.register(project, found, registry.restored(MODEL, digest))
    assert (champion.version, champion.package_sha256) == ("7", digest), "it keeps its own number"
    assert aliases(project) == {"champion": "7"}
    shutil.rmtree(project / "data" / "package")
    make_package(project / "data" / "package", "package 10")
    run = registry.restored(MODEL, "ten")
    challenger = promotion.register(project, found, run)
    assert (challenger.version, challenger.run_id) == ("8", run)
    assert aliases(project) == {"champion": "7", "challenger": "8"}
    assert promotion.register(project, found, run) == challenger
