"""The package stage: what is in a package, that it has the same bytes every time, and what it refuses."""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Sized
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from ruamel.yaml import YAML

from tasks import params
from tasks.bundle import Bundle
from tasks.code import RECEIPT
from tasks.engine import Plan
from tasks.engine.asof import prediction_times
from tasks.engine.compute import compute
from tasks.engine.derive import derive
from tasks.engine.facts import MISSING
from tasks.engine.online import start
from tasks.errors import RefitError
from tasks.files import hash_tree, read_json, read_table, write_json, write_table
from tasks.package.golden import golden
from tasks.package.history import horizon, keep, known, needs
from tasks.package.receipt import code_hashes, receipt
from tasks.package.schema import schema
from tests.samples import KINDS
from tests.tasks.engine import worlds
from tests.tasks.package.projects import TIMED, package, project
from tests.tasks.package.projects import timed as timed_problem


@pytest.fixture(scope="module")
def timed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = project(tmp_path_factory.mktemp("timed"), TIMED)
    package(root)
    return root


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_is_packaged(kind: str, tmp_path: Path) -> None:
    family = "ridge" if kind == "regression" else "logistic"
    bundle = Bundle.load(package(project(tmp_path, kind, (family,)))).start()
    golden = read_json(bundle.path / "golden.json")["rows"]
    assert len(golden) == 20
    decisions = {row["decision"] for row in golden}
    assert all(isinstance(d, float) for d in decisions) if kind == "regression" else decisions <= set(bundle.classes)
    assert bundle.manifest.metrics["metric"]
    assert len(bundle.identity) == 64


def test_same_inputs_give_the_same_bytes(timed: Path, tmp_path: Path) -> None:
    """Also from another folder, at another time, with another hash seed, and after files were touched."""
    other = Path(shutil.copytree(timed, tmp_path / "elsewhere" / "deep"))
    shutil.rmtree(other / "data" / "package")
    for path in other.rglob("*.parquet"):
        os.utime(path, (1, 1))
    package(other)
    assert hash_tree(other / "data" / "package") == hash_tree(timed / "data" / "package")


def test_package_names_no_path_and_no_clock(timed: Path) -> None:
    for path in (timed / "data" / "package").glob("*.json"):
        text = path.read_text()
        assert str(timed) not in text
        assert not re.search(r"20(2[5-9]|3\d)-\d\d-\d\d", text), path


def test_it_says_what_an_event_of_each_table_looks_like(timed: Path) -> None:
    bundle = Bundle.load(timed / "data" / "package")
    assert bundle.events is not None
    asked = {name: [field.name for field in table.row.fields] for name, table in bundle.events.items()}
    tables = params.load(timed / "params.yaml").data.tables
    assert asked == {name: list(table.columns) for name, table in tables.items()}
    assert "events.json" in bundle.manifest.files


def test_history_holds_only_what_windows_can_see(timed: Path) -> None:
    orders = read_table(timed / "data" / "validated" / "orders.parquet")
    history = read_table(timed / "data" / "package" / "history" / "orders.parquet")
    assert 0 < len(history) < len(orders)
    assert set(history) == {"order", "shop", "placed_at", "arrived_at", "delay", "late"}
    assert history["arrived_at"].notna().all()
    shops = read_table(timed / "data" / "package" / "history" / "shops.parquet")
    assert len(shops) == 8


def test_it_answers_from_the_start_of_the_test_part_and_says_until_when_it_knows(timed: Path) -> None:
    features = read_table(timed / "data" / "features" / "features.parquet")
    orders = read_table(timed / "data" / "validated" / "orders.parquet")
    bundle = Bundle.load(timed / "data" / "package")
    start = features.loc[features["__split__"] == "test", "__time__"].min()
    assert pd.Timestamp(bundle.manifest.answers_from) == start
    assert {k: pd.Timestamp(v) for k, v in bundle.manifest.known_until.items()} == {
        "orders": orders["arrived_at"].max()
    }


def test_what_is_not_known_yet_is_not_kept(timed: Path) -> None:
    """Its moment is there already (an offset from an earlier one), its outcome is not: it is told when it is known."""
    stored = read_json(timed / "data" / "features" / "plan.json")
    stored["tables"]["orders"]["known_at"] = {"column": "placed_at", "offset": 86_400_000_000}
    plan = Plan.from_dict(stored)
    orders = read_table(timed / "data" / "validated" / "orders.parquet")
    newest = orders["placed_at"].max()
    facts = known(orders, plan, "orders", newest.value // 1000)
    assert (facts["placed_at"] <= newest - pd.Timedelta(days=1)).all()
    assert 0 < len(facts) < len(orders)


@pytest.mark.parametrize("seed", range(2))
def test_what_is_kept_is_enough_for_every_row_from_then_on(seed: int) -> None:
    """Ties, late facts out of turn, missing moments and keys, own events: the same bits as with everything."""
    columns = {"amount": ["count", "mean", "std", "median", "first", "trend"], "shop": ["n_unique", "mode"]}
    plan = derive(params.parse(worlds.tree(["2h", "6h"], columns)))
    tables = worlds.world(seed, 200)
    rows, hour = tables["orders"], 3_600_000_000
    times, as_of = prediction_times(plan, rows), worlds.START.value // 1000 + 45 * hour
    since = worlds.START.value // 1000 + 25 * hour
    facts = {name: known(tables[name], plan, name, as_of) for name in tables}
    kept = {name: keep(facts[name], plan, name, need, since) for name, need in needs(plan).items()}
    found = horizon(plan, kept, since)
    assert (found.answers_from, set(found.known_until)) == (since, {"orders", "prices"})
    assert max(found.known_until.values()) <= as_of
    state = start(plan, {name: one.frame for name, one in kept.items()})

    def online(asked: pd.DataFrame) -> pd.DataFrame:
        made = [state.compute_row(row) for row in asked.to_dict("records")]
        return pd.DataFrame(made, index=asked.index, columns=list(plan.names))

    asked = rows[times >= since]
    worlds.assert_same(compute(plan, facts, asked), online(asked))
    before = rows[(times < since) & (times != MISSING)]
    assert not compute(plan, facts, before).equals(online(before)), "and no more than that"


def test_golden_rows_lie_at_the_beginning_of_the_horizon_and_after_its_end(timed: Path) -> None:
    bundle = Bundle.load(timed / "data" / "package").start()
    rows = read_json(bundle.path / "golden.json")["rows"]
    times = [pd.Timestamp(row["input"]["placed_at"]) - pd.Timedelta("1h") for row in rows]
    assert times[0] == pd.Timestamp(bundle.manifest.answers_from)
    after = [t > pd.Timestamp(bundle.manifest.known_until["orders"]) for t in times]
    assert sum(after) >= 4
    assert [bool(row["warnings"]) for row in rows] == after
    assert rows[-1]["features"]["shop.count(7d)"] == 0


def test_history_without_bound_is_kept_whole(timed: Path) -> None:
    stored = read_json(timed / "data" / "features" / "plan.json")
    for feature in stored["features"]:
        if feature["make"]["op"] == "aggregate":
            feature["make"]["window"] = "last 5"
    plan = Plan.from_dict(stored)
    orders = read_table(timed / "data" / "validated" / "orders.parquet")
    facts = known(orders, plan, "orders", None)
    kept = keep(facts, plan, "orders", needs(plan)["orders"], orders["placed_at"].max().value // 1000)
    assert len(kept.frame) == orders["arrived_at"].notna().sum()
    assert horizon(plan, {"orders": kept}, 0).answers_from is None


def test_schema_asks_for_what_the_plan_reads(timed: Path) -> None:
    schema = read_json(timed / "data" / "package" / "schema.json")
    fields = {f["name"]: f for f in schema["fields"]}
    assert schema["table"] == "orders"
    assert {"placed_at", "shop", "weight", "gift"} <= set(fields)
    assert not {"delay", "arrived_at", "late"} & set(fields)
    assert fields["weight"] == {"name": "weight", "kind": "numeric", "nullable": True, "min": 0.0, "max": 100.0}
    plan = Plan.from_dict(read_json(timed / "data" / "package" / "plan.json"))
    assert list(fields) == plan.row_columns()


def test_reference_is_a_sample_of_known_rows_and_its_scores_are_of_held_out_ones(timed: Path) -> None:
    """The newest week of the test rows stays out: the first run looks at it."""
    features = read_table(timed / "data" / "features" / "features.parquet")
    reference = read_table(timed / "data" / "package" / "reference.parquet")
    seen, week = reference["__split__"] != "test", features["__time__"].max() - pd.Timedelta(days=7)
    assert seen.sum() == features["__split__"].isin(["train", "valid"]).sum()
    assert (~seen).sum() == ((features["__split__"] == "test") & (features["__time__"] <= week)).sum() > 0
    assert list(reference)[-2:] == ["score_0", "score_1"]
    assert reference.loc[seen, ["score_0", "score_1"]].isna().all(axis=None)
    np.testing.assert_allclose(reference.loc[~seen, ["score_0", "score_1"]].sum(axis=1), 1)


def test_ordinary_counts_every_known_row_by_past_window(timed: Path) -> None:
    features = read_table(timed / "data" / "features" / "features.parquet")
    known = features[features["__split__"].isin(["train", "valid"])]
    record = Bundle.load(timed / "data" / "package").ordinary
    weight, shop = record.columns["weight"], record.columns["shop"]
    assert (record.length, record.end) == (pd.Timedelta(days=7), known["__time__"].max())
    assert (weight.total.sum(), weight.total[0]) == (len(known), known["weight"].isna().sum())
    newest = known["__time__"] > record.end - pd.Timedelta(days=7)
    assert weight.past[-1].sum() == newest.sum()
    counts = known.loc[newest, "shop"].value_counts()
    assert shop.past[-1][2:-1].tolist() == [counts.get(level, 0) for level in shop.cells.levels]
    assert (
        record.answers.columns["prediction"].total.sum()
        == (features["__split__"] == "test").sum()
        - (
            (features["__split__"] == "test")
            & (features["__time__"] > features["__time__"].max() - pd.Timedelta(days=7))
        ).sum()
    )


def test_rows_without_a_moment_are_all_remembered(tmp_path: Path) -> None:
    root = project(tmp_path / "plain", "regression", ("ridge",))
    bundle = Bundle.load(package(root))
    features = read_table(root / "data" / "features" / "features.parquet")
    assert len(bundle.seen.row) == features["__split__"].isin(["train", "valid"]).sum()
    assert len(bundle.there.row) == (features["__split__"] == "test").sum()


def test_receipt_names_inputs_code_and_parameters(timed: Path) -> None:
    receipt = read_json(timed / "data" / "package" / "receipt.json")
    features = timed / "data" / "features" / "features.parquet"
    assert receipt["data"]["features/features.parquet"] == hash_tree(features.parent)["features.parquet"]
    assert receipt["code"] == code_hashes()
    assert {"tasks/bundle/__init__.py", "tasks/params/__init__.py"} <= set(receipt["code"])
    assert receipt["params"]["problem"]["name"] == "orders-late"
    assert receipt["seed"] == 42


def test_a_family_that_was_dropped_leaves_no_trace(timed: Path, tmp_path: Path) -> None:
    """Its folder stays behind when it leaves ``params.yaml``; a rebuild has no such folder."""
    other = Path(shutil.copytree(timed, tmp_path / "copy"))
    for part in ("models", "tuning"):
        write_json(other / "data" / part / "mlp" / "left.json", {})
    package(other)
    assert hash_tree(other / "data" / "package") == hash_tree(timed / "data" / "package")


def test_the_stage_depends_on_the_code_that_the_receipt_names() -> None:
    stage = YAML(typ="safe").load((Path(__file__).parents[3] / "dvc.yaml").read_text())["stages"]["package"]
    code = {dep.removeprefix("tasks/") for dep in stage["deps"] if dep.startswith("tasks/")}
    assert code == set(RECEIPT)


def test_what_changed_since_is_named(timed: Path, tmp_path: Path) -> None:
    then = read_json(timed / "data" / "package" / "receipt.json")
    other = Path(shutil.copytree(timed, tmp_path / "copy"))
    unchanged = receipt(other / "data", params.load(other / "params.yaml"), None).to_dict()
    assert unchanged == then
    (other / "data" / "models" / "xgboost" / "model" / "booster.ubj").write_bytes(b"other")
    text = (other / "params.yaml").read_text().replace("weight", "wait")
    (other / "params.yaml").write_text("seed: 7\n" + text)
    now = receipt(other / "data", params.load(other / "params.yaml"), "2024-02-01").to_dict()
    assert {section for section in now if now[section] != then[section]} == {"as_of", "data", "params", "seed"}
    for section, changed in (("data", {"models/xgboost/model/booster.ubj"}), ("params", {"data", "features", "seed"})):
        assert {name for name in now[section] if now[section][name] != then[section][name]} == changed
        assert now[section].keys() == then[section].keys()


def test_a_feature_that_differs_online_is_found(
    timed: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Training-serving skew: the feature table says something else than the plan computes."""
    other = Path(shutil.copytree(timed, tmp_path / "skewed"))
    path = other / "data" / "features" / "features.parquet"
    frame = read_table(path)
    frame["weight"] = frame["weight"] * (1 + 1e-15) + 1e-12
    write_table(path, frame)
    with pytest.raises(SystemExit, match="1"):
        package(other)
    assert "online, feature 'weight' is" in capsys.readouterr().err
    assert (other / "data" / "package" / "bundle.json").exists(), "the package that was there stays"


class Neighbours:
    """A model whose scores depend on the rows that are asked together: what is served is not what was evaluated."""

    def __init__(self, scores: float) -> None:
        self.scores = scores

    def predict(self, rows: Sized) -> np.ndarray:
        first = 0.5 + (self.scores if len(rows) > 1 else 0.0)
        return np.tile([first, 1 - first], (len(rows), 1))


def test_scores_that_differ_online_are_found(timed: Path) -> None:
    bundle = Bundle.load(timed / "data" / "package").start()
    features = read_table(timed / "data" / "features" / "features.parquet").tail(5)
    rows = read_table(timed / "data" / "validated" / "orders.parquet").tail(5)
    bundle.members = [Neighbours(1e-3)]
    with pytest.raises(
        RefitError, match=r"golden row 0: online scores \(0\.5, 0\.5\), and the pipeline's are \[0\.501 0\.499\]"
    ):
        golden(bundle, features, rows)
    bundle.members = [Neighbours(1e-12)]  # the last bits of a batch are no other answer, and both are kept
    made = golden(bundle, features, rows).rows
    assert [row.scores for row in made] == [[0.5, 0.5]] * 5
    assert made[0].batch_scores == [0.5 + 1e-12, 0.5 - 1e-12]
    assert {(row.decision, row.batch_decision) for row in made} == {("1", "1")}
    assert [row.features["weight"] for row in made] == [None if w != w else w for w in features["weight"].tolist()]


def test_a_missing_member_is_named(timed: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    other = Path(shutil.copytree(timed, tmp_path / "copy"))
    choice = read_json(other / "data" / "evaluation" / "choice.json")
    write_json(other / "data" / "evaluation" / "choice.json", {**choice, "members": ["mlp"]})
    with pytest.raises(SystemExit, match="1"):
        package(other)
    assert "choice.json names 'mlp'" in capsys.readouterr().err


def test_golden_inputs_are_plain_json(timed: Path) -> None:
    rows = read_json(timed / "data" / "package" / "golden.json")["rows"]
    assert all(isinstance(row["input"]["gift"], bool) for row in rows)
    assert all(pd.Timestamp(row["input"]["placed_at"]).tzinfo is not None for row in rows)
    json.dumps(rows, allow_nan=False)


def test_an_own_event_is_told_by_the_key_which_may_be_left_out() -> None:
    """Where a row's own event could be in view, its key is an optional field."""
    tree, _ = timed_problem()
    tree["problem"]["prediction_time"] = "placed_at + 20h"
    plan = derive(params.parse(tree))
    assert plan.identity == ["order"]
    found = {f.name: f.to_dict() for f in schema(params.parse(tree), plan.row_columns(), plan.identity).fields}
    assert found["order"] == {"name": "order", "kind": "numeric", "nullable": True, "required": False}
    assert "required" not in found["shop"]
