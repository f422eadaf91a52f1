"""The stage on real packages: verdicts, and clear errors instead of verdicts."""

import contextlib
import json
import re
import runpy
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from ruamel.yaml import YAML

from tasks import memory
from tasks.artifacts import ChampionFile, ChampionLock, Contender, Leaks, Manifest, Suspicion
from tasks.bundle.manifest import write_manifest
from tasks.bundle.seen import Seen
from tasks.compare.evidence import gather
from tasks.compare.policy import decide, read_state
from tasks.compare.scores import Pair
from tasks.compare.verdict import Contenders, compared
from tasks.errors import RefitError
from tasks.files import hash_tree, read_json, sha256, write_json
from tasks.params import Promotion
from tests.tasks.package import projects
from tests.tasks.package.projects import TIMED, package, project


@pytest.fixture(scope="module")
def packages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Two real projects on the same data: one packaged with XGBoost, one with a logistic regression."""
    root = tmp_path_factory.mktemp("compare")
    out = {}
    for family in ("xgboost", "logistic"):
        out[family] = project(root / family, TIMED, (family,))
        package(out[family])
    return out


def crown(root: Path, bundle: Path) -> None:
    """Make a package the champion of a project."""
    shutil.copytree(bundle, root / "data" / "champion" / "package")
    about = {"version": "3", "name": "x", "run_id": "r", "package_sha256": sha256(bundle / "bundle.json")}
    write_json(root / "data" / "champion" / "champion.json", about)


@pytest.fixture
def rivals(packages: dict[str, Path], tmp_path: Path) -> Path:
    """A project with an XGBoost challenger and the logistic champion."""
    shutil.copytree(packages["xgboost"], tmp_path / "it")
    crown(tmp_path / "it", packages["logistic"] / "data" / "package")
    return tmp_path / "it"


def settle(root: Path, **promotion: object) -> None:
    tree = YAML().load((root / "params.yaml").read_text())
    tree["promotion"] = promotion
    YAML().dump(tree, root / "params.yaml")


def compare(root: Path) -> dict:
    with contextlib.chdir(root):
        runpy.run_module("tasks.compare.__main__")["main"]()
    return read_json(root / "data" / "verdict" / "verdict.json")


def refused(root: Path, match: str) -> None:
    with pytest.raises(RefitError, match=match):
        compare(root)
    assert not (root / "data" / "verdict").exists()


def test_no_champion_yet(packages, tmp_path):
    shutil.copytree(packages["logistic"], tmp_path / "it")
    found = compare(tmp_path / "it")
    assert found["champion"] is None
    assert found["tests"]["delong"]["auc"][0] == pytest.approx(found["evidence"]["challenger"])
    assert found["verdict"] == ("promote" if found["evidence"]["p"] <= 0.05 else "inconclusive")
    assert found["state"]["looks"] == 0
    scores = pd.read_parquet(tmp_path / "it" / "data" / "verdict" / "predictions.parquet")
    assert list(scores.columns) == ["__row__", "__target__", "challenger_score_0", "challenger_score_1"]


def test_challenger_against_champion(rivals):
    settle(rivals, metric="accuracy")
    found = compare(rivals)
    scores = pd.read_parquet(rivals / "data" / "verdict" / "predictions.parquet")
    assert len(scores) == found["n"]
    y, one, two = scores["__target__"], scores["challenger_score_1"], scores["champion_score_1"]
    alarms = int((two >= 0.4).sum())  # both thresholds are 0.4: judged at the champion's number of alarms
    said = np.zeros(len(y))
    said[np.argsort(-one.to_numpy(), kind="stable")[:alarms]] = 1
    right, other = said == y, (two >= 0.4) == y
    table = found["evidence"]["table"]
    assert table["challenger_alone"] == int((right & ~other).sum())
    assert table["champion_alone"] == int((other & ~right).sum())
    assert found["evidence"]["difference"] == pytest.approx(right.mean() - other.mean())
    assert found["tests"]["mcnemar"]["variant"] == "exact"
    assert "few enough" in found["tests"]["mcnemar"]["why"]
    assert {"delong", "mcnemar_mid_p", "mcnemar_asymptotic", "bootstrap_accuracy"} <= set(found["tests"])
    assert found["champion"]["version"] == "3"
    assert found["state"]["looks"] == 1
    assert found["sentence"].count(".") >= 1
    assert str(table["challenger_alone"]) in found["sentence"]
    assert ("labelled rows" in " ".join(found["why"])) == (found["verdict"] == "inconclusive")


def test_a_limit_of_memory_changes_the_way_and_no_byte_of_the_verdict(rivals, monkeypatch):
    """Features of the compared rows are made key by key, from disk, to the same scores of both models."""
    compare(rivals)
    first = hash_tree(rivals / "data" / "verdict")
    monkeypatch.setattr(memory, "_gigabytes", 0.0001)
    compare(rivals)
    assert hash_tree(rivals / "data" / "verdict") == first
    assert not list((rivals / ".refit").iterdir())  # it was made for what lies between


def test_the_verdict_is_a_function_of_its_inputs(rivals):
    compare(rivals)
    first = (rivals / "data" / "verdict" / "verdict.json").read_bytes()
    compare(rivals)
    assert (rivals / "data" / "verdict" / "verdict.json").read_bytes() == first


def test_the_state_of_the_last_look_counts(rivals):
    state = compare(rivals)["state"]
    write_json(rivals / "data" / "champion" / "promotion.json", {**state, "looks": 9, "process": None})
    found = compare(rivals)
    assert found["evidence"]["look"] == 10
    assert found["evidence"]["level"] < 0.001


def test_rows_that_an_earlier_look_counted_are_neither_new_nor_fresh(rivals):
    before = compare(rivals)["evidence"]["rows"]
    assert before["new"] == before["fresh"] == before["unseen"] == before["test"]
    champion = rivals / "data" / "champion"
    about = read_json(champion / "champion.json")
    (champion / "counted").mkdir()
    shutil.copy(rivals / "data" / "verdict" / "counted.parquet", champion / "counted" / "000004.parquet")
    write_json(champion / "champion.json", {**about, "since": 4})
    found = compare(rivals)
    assert found["evidence"]["rows"] == {**before, "new": 0, "fresh": 0}
    assert found["verdict"] == "inconclusive"
    assert Seen.read(rivals / "data" / "verdict" / "counted.parquet").row.size == 0
    write_json(champion / "champion.json", {**about, "since": 3})  # counted after it took office
    assert compare(rivals)["evidence"]["rows"] == {**before, "new": 0}


def test_a_champion_without_a_record_meets_newer_rows_or_none(rivals):
    package = rivals / "data" / "champion" / "package"
    (package / "rows.parquet").unlink()
    manifest = read_json(package / "bundle.json")
    about = {k: v for k, v in manifest.items() if k not in ("format", "files")}
    about_file = rivals / "data" / "champion" / "champion.json"
    times = pd.read_parquet(rivals / "data" / "features" / "features.parquet")
    times = times.loc[times["__split__"] == "test", "__time__"]

    def known_until(moment: str | None) -> dict:
        write_json(package / "receipt.json", {**read_json(package / "receipt.json"), "as_of": moment})
        write_manifest(package, Manifest.of_json(about))
        write_json(about_file, {**read_json(about_file), "package_sha256": sha256(package / "bundle.json")})
        return compare(rivals)

    found = known_until(None)
    assert found["verdict"] == "inconclusive"
    assert "does not say which rows it was fitted on" in found["sentence"]
    assert "refit promote VERSION --reason" in found["sentence"]
    middle = times.sort_values().iloc[len(times) // 2]
    found = known_until(middle.isoformat())
    assert found["evidence"]["rows"]["unseen"] == (times > middle).sum()
    assert any("rows newer than all of its own" in line for line in found["warnings"])


def test_the_champion_itself_is_kept(packages, tmp_path):
    shutil.copytree(packages["xgboost"], tmp_path / "it")
    crown(tmp_path / "it", packages["xgboost"] / "data" / "package")
    found = compare(tmp_path / "it")
    assert found["verdict"] == "keep"
    assert "same package" in found["sentence"]


def test_rows_of_one_shop_together(rivals):
    settle(rivals, cluster=["shop"])
    found = compare(rivals)
    assert found["tests"]["mcnemar_clustered"]["clusters"] == 8
    assert found["evidence"]["decided_by"] == "contributions"
    assert found["evidence"]["metric"] == "roc_auc"
    assert found["tests"]["contributions"]["df"] <= 7


def test_a_suspected_column_stops_a_promotion_until_it_is_accepted(rivals):
    about = {"feature": "weight", "kind": "copy", "strength": 1.0, "certain": True, "said": "repeats the target"}
    leak = {"column": "weight", "columns": ["weight"], **about}
    Leaks(suspicions=[Suspicion(**leak)], checked=[], limits=[]).write(rivals / "data/leaks")
    found = []
    for more in ({}, {"accept": ["weight"]}):
        settle(rivals, rule="non_inferiority", margin=0.5, **more)
        found.append(compare(rivals))
    assert [one["verdict"] for one in found] == ["inconclusive", "promote"]
    assert [(one["suspicions"], one["accepted"]) for one in found] == [([leak], []), ([], [leak])]


def test_guardrails_stop_what_the_policy_would_promote(rivals):
    settle(rivals, rule="non_inferiority", margin=0.5, guardrails={"size_mb": 0.001, "latency_ms": 10000})
    found = compare(rivals)
    rails = {rail["name"]: rail["passed"] for rail in found["guardrails"]}
    assert rails == {"size_mb": False, "latency_ms": True}
    assert found["verdict"] == "keep"
    assert "guardrail size_mb fails" in found["sentence"]
    assert found["state"]["promoted"] == []
    settle(
        rivals,
        rule="non_inferiority",
        margin=0.5,
        guardrails={"slice_drop": 0.9, "slices": ["shop"], "calibration": 0.9},
    )
    found = compare(rivals)
    assert found["verdict"] == "promote"
    assert found["state"]["promoted"] == [1]


@pytest.mark.parametrize("kind", ["multiclass", "regression"])
def test_other_kinds(kind, tmp_path):
    families = {"multiclass": ("xgboost", "logistic"), "regression": ("xgboost", "ridge")}[kind]
    roots = [project(tmp_path / family, kind, (family,)) for family in families]
    bundles = [package(root) for root in roots]
    assert compare(roots[1])["champion"] is None
    crown(roots[0], bundles[1])
    found = compare(roots[0])
    assert found["evidence"]["rows"]["unseen"] == found["evidence"]["rows"]["test"]
    written = pd.read_parquet(roots[0] / "data" / "verdict" / "predictions.parquet")
    scores = [written.filter(regex=f"^{who}_score").to_numpy().squeeze() for who in ("challenger", "champion")]
    again = Pair(
        kind, written["__target__"].to_numpy(), *scores, (0.5, 0.5), pd.Series(pd.NaT, index=written.index), {}
    )
    everything = np.ones(again.n, dtype=bool)
    evidence = gather(again, Promotion(), found["evidence"]["metric"], everything, 0, beside=False)
    assert found["evidence"]["p_better"] == pytest.approx(evidence.look.p_better)
    assert found["evidence"]["p_worse"] == pytest.approx(evidence.look.p_worse)
    decision = decide(evidence.look, read_state(None), Promotion(), "a", "b")
    worse = (
        decision.worse and found["evidence"]["decisive"]
    )  # rows that helped to choose the champion say nothing against it
    assert found["verdict"] == ("promote" if decision.promote else "keep" if worse else "inconclusive")
    if kind == "regression":
        assert {"diebold_mariano", "wilcoxon", "bootstrap_rmse"} <= set(found["tests"])
        scores = pd.read_parquet(roots[0] / "data" / "verdict" / "predictions.parquet")
        gap = (scores["champion_score"] - scores["__target__"]) ** 2 - (
            scores["challenger_score"] - scores["__target__"]
        ) ** 2
        mine, theirs = found["evidence"]["challenger"], found["evidence"]["champion"]
        assert theirs**2 - mine**2 == pytest.approx(gap.mean())
        assert found["evidence"]["difference"] == pytest.approx(mine - theirs)
        # The same model with a little noise cannot be told apart; how many rows would do is said.
        pair = Pair("regression", *(scores[c].to_numpy() for c in ("__target__", "champion_score", "champion_score")),
                    (0.5, 0.5), pd.Series(pd.NaT, index=scores.index), {})  # fmt: skip
        noise = np.random.default_rng(0).normal(0, 0.01 * pair.challenger.std(), pair.n)
        pair = replace(pair, challenger=pair.challenger + noise)
        policy, nobody = Promotion(), Contenders(None, Contender(package_sha256="", family=""))
        evidence = gather(pair, policy, "rmse", np.ones(pair.n, dtype=bool), 0)
        decision = decide(evidence.look, read_state(None), policy, "a", "b")
        said = compared(evidence, decision, policy, [], pair.n, nobody, True, None)
        assert said.verdict == "inconclusive"
        assert re.search(
            r"of 1% in RMSE would show after [\d,]+ labelled rows, of 2% after [\d,]+, of 5%", " ".join(said.why)
        )
    else:
        assert "mcnemar" in found["tests"]
        assert found["evidence"]["metric"] == "log_loss"
        assert found["evidence"]["accuracy"]["judged"] == "the most probable class"


def test_damaged_or_missing_champion(rivals):
    path = rivals / "data" / "champion" / "package" / "schema.json"
    text = path.read_text()
    path.write_text(text + " ")
    refused(rivals, "damaged: 'schema.json'")
    path.write_text(text)
    about = rivals / "data" / "champion" / "champion.json"
    write_json(about, {**read_json(about), "package_sha256": "0" * 64})
    refused(rivals, "champion.json names version 3")
    shutil.rmtree(rivals / "data" / "champion" / "package")
    refused(rivals, "no package here")


def test_an_empty_folder_is_no_first_model_where_the_lock_names_a_champion(packages, tmp_path):
    root = tmp_path / "it"
    shutil.copytree(packages["logistic"], root)
    lock = ChampionLock(model="x", version="3", package_sha256="0" * 64, decision="1:a")
    lock.write(root)
    refused(root, r"data/champion is empty, and champion.lock names version 3.*`python -m flows.context`.*git: copies")
    ChampionLock(model="x", version=None, package_sha256="", decision="2:b").write(root)
    assert compare(root)["champion"] is None, "there is none: it was taken back"
    lock.model_copy(update={"package_sha256": sha256(root / "data/package/bundle.json")}).write(root)
    assert compare(root)["champion"] is None, "the first model, judged again"


def test_a_champion_that_was_replaced_since_gives_no_verdict(rivals):
    folder = rivals / "data" / "champion"
    ChampionFile.read(folder).model_copy(update={"since": 5}).write(folder)
    lock = ChampionLock(model="x", version="4", package_sha256="0" * 64, decision="6:a")
    lock.write(rivals)
    refused(
        rivals, "data/champion holds version 3, and champion.lock names version 4: .*about a champion that was replaced"
    )
    lock.model_copy(update={"decision": "4:a"}).write(rivals)  # which has not followed yet
    assert compare(rivals)["champion"]["version"] == "3"


def edit_test_rows(root: Path, change) -> None:
    path = root / "data" / "features" / "features.parquet"
    frame = pd.read_parquet(path)
    test = frame["__split__"] == "test"
    change(frame, test)
    frame.to_parquet(path)


def test_rows_that_cannot_be_judged(rivals):
    edit_test_rows(rivals, lambda frame, test: frame.__setitem__("__target__", frame["__target__"].where(~test, 1.0)))
    refused(rivals, "all [0-9,]+ rows are of class '1'")
    edit_test_rows(rivals, lambda frame, test: frame.__setitem__("__target__", frame["__target__"].where(~test)))
    refused(rivals, "have no label; no verdict")
    edit_test_rows(rivals, lambda frame, test: frame.__setitem__("__split__", frame["__split__"].where(~test, "train")))
    refused(rivals, "no labelled rows to compare on")


def test_scores_that_do_not_fit_are_refused():
    from tasks.compare.scores import checked

    with pytest.raises(RefitError, match="2 predictions for 3 rows; no verdict"):
        checked(np.zeros((2, 2)), 3, "data/champion")
    with pytest.raises(RefitError, match="1 of 3 predictions are missing or infinite; no verdict"):
        checked(np.array([1.0, np.nan, 0.0]), 3, "data/champion")


def test_a_column_that_the_champion_needs_is_gone(packages, tmp_path, monkeypatch):
    """The champion's plan reads the shops' size; this run's tables and plan no longer have it."""
    tree, tables = projects.timed()
    tree["features"].pop("lookups")
    tree["data"]["tables"]["shops"]["columns"].pop("size")
    tables["shops"] = tables["shops"].drop(columns="size")
    monkeypatch.setattr(projects, "timed", lambda: (tree, tables))
    root = project(tmp_path / "it", TIMED, ("logistic",))
    package(root)
    crown(root, packages["xgboost"] / "data" / "package")
    found = compare(root)
    assert found["verdict"] == "inconclusive"
    assert re.search(r"the champion's features cannot be computed from these tables .*size.*another problem.name",
                     found["sentence"])  # fmt: skip


def test_nothing_in_the_verdict_is_undefined(rivals):
    compare(rivals)
    text = (rivals / "data" / "verdict" / "verdict.json").read_text()
    assert "NaN" not in text
    assert json.loads(text)["policy"]["alpha"] == 0.05
