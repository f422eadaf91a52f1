"""Tables without time or relations, from the file to a champion, by the two commands a newcomer types."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from tests.projects import edit, prefect, succeeds

pytestmark = [pytest.mark.flows, pytest.mark.timeout(600)]


@pytest.mark.sweep
def test_plain_tables_get_a_champion(tmp_path: Path, server: dict[str, str], full: bool):
    for name, kind, linear in [("diabetes", "regression", "linear"), ("breast_cancer", "binary", "logistic")]:
        if full or kind == "regression":
            (tmp_path / name).mkdir()
            gets_a_champion(tmp_path / name, name, kind, linear, prefect(server))


def gets_a_champion(tmp_path: Path, name: str, kind: str, linear: str, env: dict[str, str]) -> None:
    from sklearn import datasets

    frame = getattr(datasets, f"load_{name}")(as_frame=True).frame
    if kind == "regression":  # two leaks: `init` keeps the exact one out, and the run asks about the other
        noise = np.random.default_rng(0).normal(0, 0.3 * frame["target"].std(), len(frame))
        frame = frame.assign(again=-3 * frame["target"], later=frame["target"] + noise)
    frame.to_parquet(tmp_path / "table.parquet")
    said = succeeds(tmp_path, "refit", "init", "--data", "table.parquet", "--target", "target")
    assert f"predicted as {kind}" in said
    edit(tmp_path / "params.yaml", models={linear: {"trials": 1}, "xgboost": {"trials": 1}})
    ran = succeeds(tmp_path, "refit", "run", **env)
    if kind == "regression":
        assert "again: ignored, since it gives the target away" in said
        assert "later: a leak?" in said
        held = json.loads((tmp_path / "data/verdict/verdict.json").read_text())
        assert held["verdict"] == "inconclusive"
        assert [s["column"] for s in held["suspicions"]] == ["later"]
        for words in ("Not promoted", "later repeats the target with some noise", "promotion.accept: [later]"):
            assert words in " ".join(ran.split())
        assert succeeds(tmp_path, "refit", "history", "--at", "2100-01-01").strip() == "no champion"
        edit(tmp_path / "params.yaml", promotion__accept=["later"])
        succeeds(tmp_path, "refit", "run", **env)
        assert succeeds(tmp_path, "refit", "history", "--at", "2100-01-01").startswith("version 1 (")
        accepted = json.loads((tmp_path / "data/verdict/verdict.json").read_text())["accepted"]
        assert [s["column"] for s in accepted] == ["later"]
    verdict = json.loads((tmp_path / "data/verdict/verdict.json").read_text())
    assert verdict["verdict"] == "promote"
    summary = json.loads((tmp_path / "data/features/summary.json").read_text())
    assert summary["kind"] == kind
    assert (tmp_path / "data/reports/report.html").stat().st_size > 50_000
