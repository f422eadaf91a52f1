"""The example of docs/labels.md: customers week by week, their later orders as the label, from two files to answers."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from ruamel.yaml import YAML

from tasks.files import read_json, read_table
from tests.flows.project import refit
from tests.projects import ROOT

pytestmark = [pytest.mark.flows, pytest.mark.timeout(600)]
DAY = pd.Timedelta(1, "D")


def write_shop(folder: Path) -> pd.DataFrame:
    """Sixty customers, half of whom order often and half seldom; returns the orders."""
    rng = np.random.default_rng(0)
    names = np.array([f"c{i:02}" for i in range(60)])
    often = rng.random(60) < 0.5
    count = np.where(often, 24, 4)
    orders = pd.DataFrame({"customer": np.repeat(names, count)})
    hours = np.sort(rng.integers(0, 300 * 24, len(orders)))
    orders = orders.sample(frac=1, random_state=0, ignore_index=True)
    orders.insert(0, "order", np.arange(len(orders)))
    orders["ordered_at"] = pd.Timestamp("2024-01-01", tz="UTC") + pd.to_timedelta(hours, unit="h")
    orders["amount"] = np.round(rng.gamma(2, 30, len(orders)), 2)
    orders["refunded"] = rng.random(len(orders)) < 0.2
    pd.DataFrame({"customer": names, "age": rng.integers(18, 90, 60)}).to_csv(folder / "customers.csv", index=False)
    orders.to_csv(folder / "orders.csv", index=False)
    return orders


def test_the_example_of_the_docs_gets_a_champion_that_answers_as_the_pipeline_does(
    tmp_path: Path, server: dict[str, str]
) -> None:
    orders = write_shop(tmp_path)
    refit(tmp_path, "init", "--data", "orders.csv", "--target", "refunded")
    blocks = re.findall(r"```yaml\n(.*?)```", (ROOT / "docs" / "labels.md").read_text(), flags=re.DOTALL)
    (written,) = (block for block in blocks if "models:" in block)
    yaml, path = YAML(), tmp_path / "params.yaml"
    with path.open() as begun:
        tree = yaml.load(begun)
    tree |= yaml.load(written)
    with path.open("w") as file:
        yaml.dump(tree, file)
    said = refit(tmp_path, "run", "--plain", env=server)
    assert "champion: version 1" in said

    rows = read_table(tmp_path / "data/validated/customers_snapshots.parquet")
    made = read_table(tmp_path / "data/features/features.parquet")
    for who, t, label in rows.sample(200, random_state=0).itertuples(index=False):
        mine = orders[(orders["customer"] == who) & (orders["ordered_at"] >= t) & (orders["ordered_at"] < t + 30 * DAY)]
        over = t + 30 * DAY <= pd.Timestamp("2024-10-01", tz="UTC")
        assert label == float(len(mine) > 0) if over else np.isnan(label)
    verdict = read_json(tmp_path / "data/verdict/verdict.json")
    assert verdict["verdict"] == "promote"
    assert "rows of equal customer together" in json.dumps(verdict["tests"])

    # A request brings the entity and the moment, and gets the pipeline's own answer.
    from deploy.app import Served
    from tasks.bundle import Bundle

    served = Served(Bundle.load(tmp_path / "data/package"), "1")
    told = read_table(tmp_path / "data/evaluation/predictions.parquet").set_index("__row__")
    asked = told.index[told["__split__"] == "test"][-5:]
    for row in asked:
        body = {"customer": rows["customer"][row], "snapshot_at": rows["snapshot_at"][row].isoformat()}
        answer = served.predict(json.dumps(body).encode())
        assert answer["probability"] == pytest.approx(told["score_1"][row], rel=1e-6)
    assert made["__split__"].value_counts().min() > 50
