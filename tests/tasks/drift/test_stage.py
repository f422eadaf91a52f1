"""The stage: new rows against the champion in service, its answers to held-out rows, and what is said where nothing can be."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from ruamel.yaml import YAML

from tasks.files import read_json, sha256, write_json
from tests.shared import shared
from tests.tasks.package import projects
from tests.tasks.package.projects import TIMED, package, project
from tests.tasks.report.runs import stage

ROWS = 2000


def frame(rows: int, change: bool = False) -> pd.DataFrame:
    """Rows of one population; those before :data:`ROWS` are always the same. ``change``: two columns of all rows replaced."""
    rng = np.random.default_rng(0)
    x = pd.DataFrame(rng.normal(size=(2 * ROWS, 3)), columns=["a", "b", "c"])
    x["band"] = np.where(rng.random(2 * ROWS) < 0.3, "high", "low")
    x["target"] = np.where(x["a"] + rng.normal(size=2 * ROWS) > 0, "1", "0")
    if change:
        x["a"], x["b"] = x["a"] + 6, x["b"] - 8
    return x[:rows]


def written(root: Path, rows: int, family: str, change: bool = False) -> Path:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(projects, "sample_frame", lambda kind: (frame(rows, change), "target"))
        return project(root, "binary", (family,))


@pytest.fixture(scope="module")
def forest(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The package of a forest, which knows its training rows by heart."""

    def build(folder: Path) -> None:
        package(written(folder / "made", ROWS, "random_forest"))

    return shared(tmp_path_factory, "forest-package", build) / "made" / "data" / "package"


def against(root: Path, champion: Path) -> dict[str, Any]:
    """Make a package the champion of a project, run the stage, and read what it says."""
    shutil.copytree(champion, root / "data" / "champion" / "package")
    about = {"version": "7", "package_sha256": sha256(champion / "bundle.json")}
    write_json(root / "data" / "champion" / "champion.json", about)
    stage(root, "drift")
    return read_json(root / "data" / "drift" / "drift.json")


@pytest.mark.slow
def test_rows_of_the_same_population_are_no_drift_also_to_a_forest(forest: Path, tmp_path: Path) -> None:
    """Its scores on its training rows are far more extreme than on any others; the reference's are of held-out rows."""
    found = against(written(tmp_path, 2 * ROWS, "logistic"), forest)
    assert found["window"]["rows"] == ROWS
    assert (found["drifted"], found["prediction"]["state"]) == (False, "stable")
    assert found["reference"]["version"] == "7"
    assert found["sentence"].startswith(
        "No drift against the champion (version 7): 4 columns and the predictions are as"
    )


@pytest.mark.slow
def test_a_replaced_table_under_a_random_split_is_drift(forest: Path, tmp_path: Path) -> None:
    """One column moved by 6 standard deviations, one by -8: the new package's own rows look like the newest; the champion's do not."""
    root = written(tmp_path, ROWS, "logistic", change=True)
    package(root)
    found = against(root, forest)
    assert {c["column"] for c in found["columns"] if c["drifted"]} == {"a", "b"}
    assert found["drifted"]
    assert "`a`: " in found["sentence"]
    assert "`b`: " in found["sentence"]
    assert (root / "data" / "drift" / "drift.html").exists()

    def again(**monitoring: Any) -> dict[str, Any]:
        tree = YAML().load(root / "params.yaml")
        YAML().dump(tree | {"monitoring": monitoring}, root / "params.yaml")
        stage(root, "drift")
        return read_json(root / "data" / "drift" / "drift.json")

    few, many = again(rows=1000, drift_share=0.6), again(rows=1000, false_alarms=52, drift_share=0.4)
    assert ("of the table" in few["sentence"], "50% of the table" in many["sentence"]) == (False, True)
    assert {few["window"]["rows"], many["window"]["rows"]} == {found["window"]["rows"]}
    assert column(few, "c")["p"] != column(found, "c")["p"], "other rows are drawn"
    one, other = (np.log(column(d, "c")["p"]) / column(d, "c")["statistic"] for d in (few, many))
    assert other - one == pytest.approx(np.log(52)), "the p-value at which a column alarms"
    most = found["window"]["rows"]
    none = again(least_rows=most + 1)
    assert (none["state"], none["columns"]) == ("unjudged", [])
    assert f"{most} new rows, too few to judge ({most + 1} are needed)" in none["sentence"]


def column(found: dict[str, Any], name: str) -> dict[str, Any]:
    return next(c for c in found["columns"] if c["column"] == name)


@pytest.mark.slow
def test_the_table_that_the_champion_was_made_from_has_no_new_rows(forest: Path, tmp_path: Path) -> None:
    found = against(written(tmp_path, ROWS, "logistic"), forest)
    assert (found["state"], found["drifted"], found["columns"]) == ("no_rows", None, [])
    assert found["sentence"] == "No new rows since the champion (version 7) was made: no verdict on drift."


def test_the_first_run_without_times_has_no_new_rows(tmp_path: Path) -> None:
    root = project(tmp_path, "regression", ("ridge",))
    package(root)
    stage(root, "drift")
    found = read_json(root / "data" / "drift" / "drift.json")
    assert (
        found["sentence"]
        == "No new rows since the new package (there is no champion yet) was made: no verdict on drift."
    )
    assert found["reference"]["of"] == "new package"
    assert not (root / "data" / "drift" / "drift.html").exists()


@pytest.mark.slow
def test_a_champion_with_another_plan_computes_its_own_features(tmp_path: Path) -> None:
    champion = package(project(tmp_path / "before", TIMED, ("logistic",)))
    root = project(tmp_path / "after", TIMED, ("logistic",))
    file = root / "data" / "features" / "plan.json"
    plan = read_json(file)
    plan["features"] = [f for f in plan["features"] if f["name"] != "weight"]
    write_json(file, plan)
    found = against(root, champion)
    assert "weight" in {c["column"] for c in found["columns"]}
    assert found["reference"]["of"] == "champion"


def test_a_champion_whose_columns_are_gone_is_not_compared(tmp_path: Path) -> None:
    champion = package(project(tmp_path / "before", TIMED, ("logistic",)))
    root = project(tmp_path / "after", TIMED, ("logistic",))
    file = root / "data" / "features" / "plan.json"
    write_json(file, read_json(file) | {"features": []})
    tree = YAML().load(root / "params.yaml")
    del tree["data"]["tables"]["shops"], tree["features"]["lookups"]
    YAML().dump(tree, root / "params.yaml")
    found = against(root, champion)
    assert found["state"] == "unjudged"
    assert found["sentence"].startswith(
        "No verdict on drift against the champion (version 7): the champion's features cannot be computed from these tables"
    )
