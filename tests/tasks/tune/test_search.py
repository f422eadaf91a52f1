"""The search with real fits in a real worker process, which the tests of this module share."""

import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from optuna.trial import TrialState

from tasks.artifacts import GoalRule
from tasks.errors import RefitError
from tasks.families import find_family
from tasks.fitting.base import Fold
from tasks.fitting.setup import Setup
from tasks.fitting.space import Number, Space
from tasks.tune.auto import search_families
from tasks.tune.objective import Objective
from tasks.tune.search import Budget, Search, SearchResult, search
from tasks.tune.study import beat, open_study, turn
from tasks.tune.worker import Worker

pytestmark = pytest.mark.slow


def objective(family: str = "xgboost", rows: int = 3000) -> Objective:
    rng = np.random.default_rng(0)
    X = pd.DataFrame(rng.normal(size=(rows, 8)), columns=list("abcdefgh"))
    y = (X["a"] * X["b"] + X["c"] + rng.normal(size=rows) > 0).to_numpy(float)
    cut = rows * 2 // 3
    fold = Fold(X[:cut], y[:cut], X[cut:].reset_index(drop=True), y[cut:])
    return Objective(family, Setup("binary", 2, dict.fromkeys(X.columns, "numeric"), seed=3), "roc_auc", [fold])


@pytest.fixture(scope="module")
def crew():
    workers = [Worker(objective(), 1)]
    yield workers
    for worker in workers:
        worker.end()


def space(family: str = "xgboost") -> Space:
    return find_family(family).space("binary", 2000, 8)


SHORT = {"rounds": 40}
FREE = {"at_most": None, "weight": None}


@pytest.mark.parametrize("sampler", ["gp", "tpe", "cmaes"])
def test_an_interrupted_search_goes_on_as_if_undisturbed(crew, tmp_path: Path, sampler: str):
    one, five = replace(objective(), setup=replace(objective().setup, seed=1)), Search(space(), Budget(5, 120), sampler)
    how = {"crew": crew, "folder": tmp_path}
    whole = search(one, five, "whole", **how)

    class Killed(Exception):
        """Stands for a kill after a trial."""

    def kill(line: str) -> None:
        if line.startswith("trial 3"):
            raise Killed("now")

    with pytest.raises(Killed, match="now"):
        search(one, five, "halved", log=kill, **how)
    lines: list[str] = []
    resumed = search(one, five, "halved", log=lines.append, **how)
    assert resumed.reused == 3
    assert len(lines) == 2
    assert resumed.trials == whole.trials
    assert (resumed.params, resumed.value) == (whole.params, whole.value)
    again = search(one, five, "halved", **how)
    assert again.reused == 5
    assert again.trials == whole.trials


def test_a_grid_ends_when_it_is_used_up(crew, tmp_path: Path):
    small: Space = {"max_depth": space()["max_depth"]}
    found = search(objective(), Search(small, Budget(50, 120), sampler="grid"), "g", crew=crew, folder=tmp_path)
    assert [t.params["max_depth"] for t in found.trials] == sorted(
        (t.params["max_depth"] for t in found.trials), key=lambda d: abs(d - 6)
    )
    assert len(found.trials) == 8


@pytest.mark.parametrize("pruner", ["median", "halving", "hyperband"])
def test_pruners_stop_trials_on_real_rounds(crew, tmp_path: Path, pruner: str):
    bad: Space = {"learning_rate": Number(1e-6, 0.3, 0.3, log=True)}
    fixed = replace(objective(), fixed={"rounds": 60, "patience": 100})
    worker = Worker(fixed, 1)
    try:
        found = search(
            fixed, Search(bad, Budget(12, 120), sampler="random", pruner=pruner), "p", crew=[worker], folder=tmp_path
        )
    finally:
        worker.end()
    pruned = [t for t in found.trials if t.state == "pruned"]
    assert pruned
    assert all(max(map(int, t.intermediate)) < 60 for t in pruned)
    assert all(set(map(int, t.intermediate)) <= set(range(10, 70, 10)) for t in found.trials)
    assert found.params["learning_rate"] > 0.01


def test_the_choice_is_from_the_front_by_the_rule(tmp_path: Path):
    """Sizes are exact, so a limit between the smallest and the largest that were tried decides beforehand."""
    several = replace(objective(), costs=("latency_ms", "size_kb"), fixed=SHORT)
    rule = GoalRule(**{"within": None, "costs": {"latency_ms": FREE, "size_kb": FREE}})
    found = search(several, Search(space(), Budget(6, 120), sampler="nsga2", goals=rule), "n", folder=tmp_path)
    assert all(t.latency_ms > 0 and t.size_kb > 1 for t in found.trials)
    top = max(t.value for t in found.trials)
    front = found.goals.front
    (chosen,) = [p for p in front if p.chosen]
    assert found.value == chosen.value >= top * 0.995
    near = [p for p in front if p.value >= top * 0.995]
    assert chosen.latency_ms * chosen.size_kb == min(p.latency_ms * p.size_kb for p in near)

    sized = replace(several, costs=("size_kb",))
    sizes = sorted(t.size_kb for t in found.trials)
    most = (sizes[0] + sizes[-1]) / 2
    rule = GoalRule(**{"within": None, "costs": {"size_kb": FREE | {"at_most": most}}})
    kept = search(sized, Search(space(), Budget(8, 120), sampler="nsga2", goals=rule), "s", folder=tmp_path)
    inside = [t for t in kept.trials if t.size_kb <= most]
    assert kept.value == max(t.value for t in inside)
    assert any(t.size_kb > most for t in kept.trials)
    assert kept.trials[0].latency_ms is None
    again = search(sized, Search(space(), Budget(8, 120), sampler="nsga2", goals=rule), "again", folder=tmp_path)
    assert (again.params, again.trials, again.goals) == (kept.params, kept.trials, kept.goals)  # no clock is in it
    with open_study("s", ["maximize", "minimize"], tmp_path) as study:
        told = {t.number: t.constraints for t in study.trials}  # what the sampler hears of the limit
    assert told == {t.number: {"size_kb": t.size_kb - most} for t in kept.trials}
    rule = GoalRule(**{"within": None, "costs": {"size_kb": FREE | {"at_most": 0.1}}})
    with pytest.raises(RefitError, match=r"nothing that was tried keeps size_kb at most 0.1; the nearest of 8 is"):
        search(sized, Search(space(), Budget(8, 120), sampler="nsga2", goals=rule), "s", folder=tmp_path)


@pytest.mark.parametrize("sampler", ["tpe", "random", "grid"])
def test_other_samplers_take_several_goals(tmp_path: Path, sampler: str):
    rule = GoalRule(**{"within": None, "costs": {"size_kb": FREE | {"weight": 0.0001}}})
    sized = replace(objective(), costs=("size_kb",), fixed=SHORT)
    worker = Worker(sized, 1)
    try:
        found = search(
            sized, Search(space(), Budget(5, 120), sampler=sampler, goals=rule), "m", crew=[worker], folder=tmp_path
        )
    finally:
        worker.end()
    assert len(found.trials) == 5
    gains = {t.number: t.value - 0.0001 * t.size_kb for t in found.trials}
    best = max(gains, key=gains.get)
    assert found.value == found.trials[best].value
    assert f"trial {best + 1} has the best roc_auc less 0.0001 for each kB" in found.goals.reason.lower().replace(
        "kb", "kB"
    )


def test_the_time_budget_is_kept(tmp_path: Path):
    slow = replace(objective(rows=2_000), fixed={"rounds": 1_000_000, "patience": 1_000_000})
    worker = Worker(slow, 1)
    try:
        worker.wait()
        with open_study("t", ["maximize"], tmp_path):
            pass
        begun = time.monotonic()
        found = search(slow, Search(space(), Budget(50, 4)), "t", crew=[worker], folder=tmp_path)
        spent = time.monotonic() - begun
    finally:
        worker.end()
    assert len(found.trials) == 1
    assert spent < 60  # on its own within a tenth of 4 s; the fit alone would take minutes


def test_one_that_cannot_be_stopped_is_ended(tmp_path: Path):
    slow = replace(objective("svm", rows=20_000), fixed={"rows": 20_000, "kernel": "rbf"})
    worker = Worker(slow, 1)
    try:
        with pytest.raises(
            RefitError, match=r"models.svm.seconds: 0.2 s did not suffice for one fit of svm on 13,333 rows"
        ):
            search(slow, Search(space("svm"), Budget(3, 0.2)), "s", crew=[worker], folder=tmp_path)
    finally:
        worker.end()


def test_a_budget_too_small_for_one_fit_is_refused_before_it_is_spent(tmp_path: Path):
    slow = replace(objective("svm", rows=20_000), fixed={"rows": 20_000, "kernel": "rbf"})
    with pytest.raises(
        RefitError, match=r"models.svm.seconds: 0.2 s would not suffice for one fit of svm .*, which takes (about|far)"
    ):
        search(slow, Search(space("svm"), Budget(3, 0.2)), "s", folder=tmp_path)
    with open_study("s", ["maximize"], tmp_path) as study:
        assert {t.state for t in study.trials} <= {TrialState.WAITING}  # nothing was fitted
    stoppable = objective("lightgbm", rows=20_000)
    assert stoppable.least_seconds({"rounds": 100_000, "patience": 100_000}) < 60  # a single round, not all
    assert objective("svm").least_seconds({"rows": 1000}) == 0


def test_a_worker_that_dies_costs_its_trial_only(tmp_path: Path):
    worker = Worker(objective(), 1)
    killed: list[int] = []

    def kill(line: str) -> None:
        if not killed:
            killed.append(worker.process.pid)
            worker.process.kill()
            worker.process.join()

    try:
        found = search(objective(), Search(space(), Budget(3, 120)), "d", crew=[worker], folder=tmp_path, log=kill)
    finally:
        worker.end()
    assert [t.state for t in found.trials].count("complete") == 3


def test_mistakes_of_the_user_end_the_search(crew, tmp_path: Path):
    wrong = {"layers": Number(1, 3, 2, whole=True), "optimizer_": Number(0, 1, 0.5)}
    with pytest.raises(RefitError, match=r"models.mlp.params.optimizer_: unknown.*Did you mean 'optimizer'"):
        search(objective("mlp"), Search(wrong, Budget(3, 60)), "w", crew=crew, folder=tmp_path)


def test_auto_races_families(tmp_path: Path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    lines: list[str] = []
    found = search_families(objective("auto"), Budget(4, 25), "auto", log=lines.append)
    assert found.params["family"] in {t.family for t in found.trials}
    assert len({t.family for t in found.trials}) >= 3
    assert any("settings" in line for line in lines)
    assert found.model is not None
    assert found.value >= max(t.value for t in found.trials if t.state == "complete") - 1e-9


def test_running_trials_of_others_are_left_alone(tmp_path: Path):
    with open_study("k", ["maximize"], tmp_path) as first:
        with turn(first, tmp_path):
            beat(first, [first.ask()])
            first.ask()  # killed before its first sign of life
        with open_study("k", ["maximize"], tmp_path) as second:
            assert [t.state for t in second.trials] == [TrialState.RUNNING, TrialState.WAITING]
    with open_study("k", ["maximize"], tmp_path) as alone:
        assert [t.state for t in alone.trials] == [TrialState.WAITING, TrialState.WAITING]


def test_workers_share_a_study_without_repeating_points(tmp_path: Path):
    small: Space = {"max_depth": space()["max_depth"]}
    one = replace(objective(), fixed=SHORT)

    def part(_: int) -> SearchResult:
        return search(one, Search(small, Budget(8, 120), sampler="grid"), "s", folder=tmp_path)

    with ThreadPoolExecutor(2) as pool:
        first, second = pool.map(part, range(2))
    assert first.trials == second.trials
    assert sorted(t.params["max_depth"] for t in first.trials) == list(range(3, 11))
    assert (first.params, first.value) == (second.params, second.value)
