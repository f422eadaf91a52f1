"""New rows against the champion through the command: refused by the rules, accepted by a person, and then told as drift."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from flows import accepted
from flows.cli import DRIFTED
from flows.display import drifted, summary
from tasks.files import hash_tree, read_json
from tasks.params import load
from tasks.registry.tracking import Registry
from tests.flows.project import copied, refit
from tests.projects import edit
from tests.samples import drift


@pytest.mark.flows
def test_new_rows_in_another_unit_are_named_and_end_the_run_with_its_own_status(
    iris: Path, tmp_path: Path, server: dict[str, str]
) -> None:
    root = copied(iris, tmp_path / "copy")
    (table,) = root.glob("*.csv")
    frame = pd.read_csv(table)
    column = next(c for c in frame if "petal" in c and "length" in c)
    more = frame.sample(60, random_state=0)
    more[column] = more[column] * 1000 + 1
    pd.concat([frame, more]).to_csv(table, index=False)
    edit(root / "params.yaml", monitoring={"alarm": "exit"})
    refused_and_accepted(root, column, server)
    said = refit(root, "run", "--plain", code=DRIFTED, env=server)
    rows = read_json(root / "data" / "validated" / "summary.json")
    assert rows["baseline"]["iris"]["reason"] == "petals in another unit"
    assert all(one["success"] for one in rows["expectations"])
    assert (root / "data" / "package" / "held_against" / "iris.json").exists()
    found = read_json(root / "data" / "drift" / "drift.json")
    assert found["sentence"] in said
    assert f"`{column}`: " in found["sentence"]
    assert "against the champion (version 1)" in found["sentence"]
    assert found["sentence"].split("`:")[0] in (root / "data" / "reports" / "report.html").read_text()
    registry = Registry(root)
    newest = max(registry.versions(load(root / "params.yaml").problem.name), key=lambda v: int(v.version))
    run = registry.client.get_run(newest.run_id).data
    assert run.metrics["drift/drifted"] == 1
    assert run.metrics["drift/columns"] == sum(c["drifted"] for c in found["columns"])
    assert run.tags["drift"] == found["sentence"]


def refused_and_accepted(root: Path, column: str, server: dict[str, str]) -> None:
    """The run ends before features; a person's word makes the same rows the baseline until there is another champion."""
    held, package = root / accepted.ACCEPTED, root / "data" / "package"
    assert not held.exists(), "there was nothing to hold the first rows against"
    assert not (package / "held_against").exists()
    before = hash_tree(root / "data" / "features")
    said = refit(root, "run", "--plain", env=server, code=1)
    assert "rules from the rows of champion version 1" in said
    assert f"iris, all rows: {column}, quantiles: expected" in said
    assert "in the rows of champion version 1" in said
    assert "`refit accept --reason ...`" in said
    assert hash_tree(root / "data" / "features") == before
    baseline = read_json(held / "iris.json")
    assert baseline["of"]["version"] == "1"
    assert {k: v for k, v in baseline.items() if k != "of"} == read_json(package / "accepted" / "iris.json")
    assert "accepted: iris" in refit(root, "accept", "--reason", "petals in another unit")


@pytest.mark.parametrize(("state", "expected"), [(True, True), (False, False), (None, False)])
def test_the_summary_says_what_the_stage_decided(tmp_path: Path, state: bool | None, expected: bool) -> None:
    drift(state).write(tmp_path / "data" / "drift")
    assert drifted(tmp_path) is expected
    params = load(Path(__file__).parents[2] / "params.yaml")
    assert "drift   This is what it came to." in summary(tmp_path, params, None, {})


def test_without_the_stage_nothing_has_drifted(tmp_path: Path) -> None:
    assert not drifted(tmp_path)
