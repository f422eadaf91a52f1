"""Tables without time or relations, from the file to a champion, by the two commands a newcomer types."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.projects import edit, succeeds

pytestmark = [pytest.mark.flows, pytest.mark.timeout(600)]


@pytest.mark.parametrize(
    ("name", "kind", "linear"), [("breast_cancer", "binary", "logistic"), ("diabetes", "regression", "linear")]
)
def test_a_plain_table_gets_a_champion(tmp_path: Path, name: str, kind: str, linear: str):
    from sklearn import datasets

    getattr(datasets, f"load_{name}")(as_frame=True).frame.to_parquet(tmp_path / "table.parquet")
    said = succeeds(tmp_path, "refit", "init", "--data", "table.parquet", "--target", "target")
    assert f"predicted as {kind}" in said
    edit(tmp_path / "params.yaml", models={linear: {"trials": 1}, "xgboost": {"trials": 1}})
    succeeds(tmp_path, "refit", "run")
    verdict = json.loads((tmp_path / "data/verdict/verdict.json").read_text())
    assert verdict["verdict"] == "promote"
    summary = json.loads((tmp_path / "data/features/summary.json").read_text())
    assert summary["kind"] == kind
    assert (tmp_path / "data/reports/report.html").stat().st_size > 50_000
