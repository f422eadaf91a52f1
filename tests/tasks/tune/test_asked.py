"""What ``tuning``, ``models`` and ``training`` of ``params.yaml`` say reaches the search; what it does with it is shown there."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tasks.artifacts import GoalRule
from tasks.files import write_json
from tasks.params import load
from tasks.tune.__main__ import tune
from tasks.tune.objective import Objective
from tasks.tune.search import Search
from tests.samples import features_folder

PARAMS = """
seed: {seed}
problem: {{name: t, kind: binary, table: t, target: target}}
data: {{tables: {{t: {{source: t.csv, columns: {{target: numeric, x: numeric, y: numeric}}}}}}}}
features: {{encode: {{scale: robust}}}}
models: {{xgboost: {own}}}
tuning: {tuning}
training: {training}
"""


class Asked(Exception):
    """Ends the stage where the search would begin."""


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    features_folder(tmp_path, "binary")
    write_json(tmp_path / "data/start/params.json", {"xgboost": [{"max_depth": 4}]})
    monkeypatch.chdir(tmp_path)
    return tmp_path


def asked(
    project: Path,
    monkeypatch: pytest.MonkeyPatch,
    own: str = "{}",
    tuning: str = "{}",
    training: str = "{}",
    seed: int = 1,
) -> dict[str, Any]:
    """What the search is given."""
    found: dict[str, Any] = {}

    def search(objective: Objective, how: Search, key: str, **more: Any) -> None:
        found.update(vars(how), objective=objective, seed=objective.setup.seed)
        raise Asked

    monkeypatch.setattr("tasks.tune.search.search", search)
    text = PARAMS.format(own=own, tuning=tuning, training=training, seed=seed)
    (project / "params.yaml").write_text(text)
    with pytest.raises(Asked):
        tune("xgboost", load())
    return found


def test_what_tuning_says_reaches_the_search(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usual = asked(project, monkeypatch)
    assert (usual["sampler"], usual["pruner"], usual["goals"], usual["seed"]) == ("gp", "none", None, 1)
    assert (usual["budget"].trials, usual["budget"].seconds, usual["budget"].workers) == (20, 60, 1)
    assert usual["starts"] == [{"max_depth": 4}]
    own = "sampler: random, pruner: median, trials: 7, seconds: 9, workers: 3, warm_start: false"
    found = asked(project, monkeypatch, tuning=f"{{{own}}}", seed=5)
    assert (found["sampler"], found["pruner"], found["seed"], found["starts"]) == ("random", "median", 5, [])
    assert (found["budget"].trials, found["budget"].seconds, found["budget"].workers) == (7, 9, 3)
    whole, few = len(usual["objective"].folds[0][0]), asked(project, monkeypatch, tuning="{rows: 150}")
    assert whole > len(few["objective"].folds[0][0]) == 150
    for folds in (2, 4):
        split = asked(project, monkeypatch, tuning=f"{{split: kfold, folds: {folds}}}")["objective"].folds
        assert len(split) == folds
    goals = "{metric: {within: 0.01}, latency_ms: {at_most: 5}, size_kb: {}}"
    found = asked(project, monkeypatch, tuning=f"{{goals: {goals}}}")
    free = {"at_most": None, "weight": None}
    costs = {"latency_ms": free | {"at_most": 5.0}, "size_kb": free}
    assert found["goals"] == GoalRule(within=0.01, costs=costs)
    assert (found["sampler"], found["objective"].costs) == ("nsga2", ("latency_ms", "size_kb"))
    weights = asked(project, monkeypatch, tuning="{goals: {latency_ms: {weight: 0.1}, size_kb: {weight: 2}}}")["goals"]
    assert [cost.weight for cost in weights.costs.values()] == [0.1, 2.0]


def test_what_a_family_says_goes_before_tuning(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    own = "{trials: 3, seconds: 4, params: {gamma: 2.0, max_depth: 5}, space: {subsample: [0.6, 0.7]}}"
    found = asked(project, monkeypatch, own=own, tuning="{trials: 7, seconds: 9}")
    assert (found["budget"].trials, found["budget"].seconds) == (3, 4)
    assert found["objective"].fixed == {"gamma": 2.0, "max_depth": 5}
    assert "max_depth" not in found["space"]
    assert (found["space"]["subsample"].low, found["space"]["subsample"].high) == (0.6, 0.7)


def test_what_a_fit_is_to_do_reaches_the_trials(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = asked(project, monkeypatch, training="{imbalance: smote, device: cpu}")["objective"]
    assert (found.setup.imbalance, found.setup.device, found.setup.encode, found.metric) == (
        "smote",
        "cpu",
        {"scale": "robust"},
        "roc_auc",
    )
