"""Population-based training: who goes on from whom, the same outcome for any number of workers, and what a kill loses."""

import os
import shutil
import signal
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from tasks.errors import RefitError
from tasks.families import find_family
from tasks.files import hash_tree, read_json
from tasks.fitting.base import Fold, Stopped, Turn
from tasks.fitting.space import Number, OneOf, Space
from tasks.metrics import measure
from tasks.models import fit_family, load_model
from tasks.models.turns import one_turn, read_turn, replay
from tasks.params import load, parse
from tasks.tune.__main__ import tune
from tasks.tune.objective import Objective
from tasks.tune.pbt import PopulationResult, Ways, changed, evolve, members, next_member
from tasks.tune.search import Budget, Search
from tasks.tune.study import ENVIRONMENT, open_study
from tests.tasks.families.test_network import job
from tests.tasks.package.projects import plain
from tests.tasks.report.runs import stage
from tests.tasks.tune.test_search import objective, space
from tests.tasks.tune.test_stage import project

DEAR = [pytest.param(name, marks=pytest.mark.slow) for name in ("gradient_boosting", "tabm")]  # to import
GO_ON = ["lightgbm", "mlp", "xgboost", *DEAR]
SMALL: Space = {"a": Number(0.0, 1.0, 0.5), "n": Number(1, 9, 2, whole=True), "c": OneOf(("x", "y"), "x")}


def turns(*values: float | None) -> dict:
    """Turns that are over, with these values; None: failed."""
    params = {"a": 0.5, "n": 2, "c": "x"}
    told = [SimpleNamespace(number=i, params=params | {"a": i / 10}, user_attrs={}) for i in range(len(values))]
    for one, value in zip(told, values, strict=True):
        one.values = None if value is None else [value]
    return {t.number: t for t in told}


def ways(size: int, changing: list[str]) -> Ways:
    return Ways(size, -1.0, 0, [{"a": 0.9, "unknown": 1}], changing)


def test_the_first_turn_begins_with_the_champion_and_the_defaults():
    first = [next_member(SMALL, {}, n, ways(4, ["a"])) for n in range(4)]
    assert all(parent is None for _, parent in first)
    assert [params["a"] for params, _ in first[:2]] == [0.9, 0.5]
    assert len({params["a"] for params, _ in first}) == 4


def test_the_worst_quarter_takes_the_best_ones_state_and_changed_parameters():
    told = turns(0.9, 0.5, 0.7, 0.6)
    found = [next_member(SMALL, told, n, ways(4, ["a", "n"])) for n in range(4, 8)]
    assert [parent for _, parent in found] == [0, 0, 2, 3]
    assert found[2][0] == told[2].params
    assert found[1][0]["n"] in (1, 3)
    assert found[1][0]["c"] == "x"  # may not change


def test_failed_members_are_replaced_and_a_population_of_failures_ends():
    found = [next_member(SMALL, turns(None, 0.5, None, None), n, ways(4, ["a"])) for n in range(4, 8)]
    assert [parent for _, parent in found] == [1, 1, 1, 1]
    failed = turns(None, None)
    failed[0].user_attrs["reason"] = "too hot"
    with pytest.raises(RefitError, match="no member could be trained: too hot"):
        next_member(SMALL, failed, 2, ways(2, ["a"]))


def test_changes_stay_in_the_space_and_whole_numbers_move():
    rng = np.random.default_rng(0)
    found = [changed(SMALL, {"a": 0.9, "n": 2, "c": "x"}, ["a", "n", "c"], rng) for _ in range(40)]
    assert {round(f["a"], 3) for f in found} == {0.72, 1.0}
    assert {f["n"] for f in found} == {1, 3}
    assert {f["c"] for f in found} == {"x", "y"}
    assert [members(trials) for trials in (9, 36, 400)] == [3, 6, 8]


@pytest.mark.parametrize(
    ("sections", "message"),
    [
        ({"models": {"mlp": {}, "ridge": {}}}, "'ridge' cannot go on .* have models of .*'mlp'.* alone, or use another"),
        ({"models": {"auto": {}}}, "'auto' cannot go on"),
        ({"models": {"random_forest": {}}}, "'random_forest' cannot go on"),
        ({"models": {"realmlp": {}}}, "'realmlp' cannot go on"),
        ({"tuning": {"sampler": "pbt", "split": "kfold"}}, "tuning.split: 'kfold' has several folds"),
        ({"tuning": {"sampler": "pbt", "pruner": "median"}}, "tuning.pruner: 'pbt' replaces the members"),
        ({"tuning": {"sampler": "pbt", "trials": 3}}, "tuning.trials: 3 is too few for 'pbt'"),
        ({"models": {"mlp": {"params": {"epochs": 3}}}}, "models.mlp.params.epochs: with 'pbt' the turns decide it"),
        ({"models": {"mlp": {"params": {"lr": 0.1, "weight_decay": 0}}}}, "leaves 'pbt' nothing to change; remove one of 'lr'"),
    ],
)  # fmt: skip
def test_what_a_population_cannot_do_is_told_beforehand(sections: dict, message: str):
    tree, _ = plain("regression")
    with pytest.raises(RefitError, match=message):
        parse(tree | {"models": {"mlp": {}}, "tuning": {"sampler": "pbt"}} | sections)


def test_a_population_stays_on_its_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv(ENVIRONMENT, "postgresql://nobody@127.0.0.1:1/nothing")
    with open_study("alone", ["maximize"], tmp_path, shared=False) as study:
        assert study.trials == []
    assert (tmp_path / "alone.db").is_file()


CHANGES = {"networks": ("lr", 0.01, 0.03), "trees": ("learning_rate", 0.1, 0.3)}


@pytest.mark.parametrize("family", GO_ON)
def test_turns_go_on_and_a_fit_takes_them_again(tmp_path: Path, family: str):
    small = {"width": 16, "layers": 2} if family == "mlp" else {"k": 4, "width": 16} if family == "tabm" else {}
    name, *rates = CHANGES["networks" if small else "trees"]
    one = job("binary", 300)
    module, fitted = find_family(family), []
    turn = module.TURN  # epochs or trees
    assert turn == (2 if small else 25)
    for number, rate in enumerate(rates):
        before = tmp_path / str(number - 1) if number else None
        fitted.append(one_turn(module, small | {name: rate}, one, Turn(number, before, tmp_path / str(number))))
    first, last = fitted
    scores = last.predict(one.X_valid)
    assert not np.array_equal(first.predict(one.X_valid), scores)
    stored = read_turn(tmp_path / "1", "binary", 2)
    assert stored.predict(one.X_valid).tobytes() == scores.tobytes()
    assert stored.history == last.history
    assert {len(curve) for curve in last.history.values()} <= {2 * module.TURN}
    schedule = {"turns": [{name: rate} for rate in rates]}
    again = replay(module, small | schedule, replace(one, threads=2))
    assert again.predict(one.X_valid).tobytes() == scores.tobytes()
    with pytest.raises(Stopped):
        one_turn(module, small, replace(one, deadline=0.0), Turn(0, None, tmp_path / "late"))
    assert not (tmp_path / "late").exists()


class Dies(Objective):
    """An objective whose process is killed in the first turn that any takes."""

    marker = ""

    def value(self, attempt, watch=None, deadline=None):
        at = Path(self.marker)
        if not at.exists():
            at.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return super().value(attempt, watch, deadline)


@pytest.mark.slow
def test_killed_members_a_killed_search_and_more_workers_change_nothing(tmp_path: Path):
    one = objective("lightgbm", 600)

    def population(what: Objective, workers: int, key: str, log=lambda line: None) -> PopulationResult:
        return evolve(what, Search(space("lightgbm"), Budget(6, 300, workers)), key, folder=tmp_path, log=log)

    whole = population(one, 1, "whole")
    fragile = Dies(one.family, one.setup, one.metric, one.folds)
    fragile.marker = str(tmp_path / "died")
    lines: list[str] = []

    class Killed(Exception):
        """Stands for a kill of the search after a turn."""

    def kill(line: str) -> None:
        lines.append(line)
        if line.startswith("turn 2 of member 1: roc_auc"):
            raise Killed("now")

    with pytest.raises(Killed, match="now"):
        population(fragile, 2, "killed", kill)
    assert sum("its process died; the turn begins again" in line for line in lines) >= 1
    resumed = population(one, 2, "killed")
    assert resumed.reused in (3, 4)
    assert resumed.trials == whole.trials
    assert (resumed.params, resumed.value) == (whole.params, whole.value)
    hashes = []
    for number, found in enumerate((whole, resumed)):
        folder = tmp_path / f"model {number}"
        folder.mkdir()
        assert found.fitted is not None
        found.fitted.save(folder)
        hashes.append(hash_tree(folder))
    assert hashes[0] == hashes[1]
    X, y, X_valid, y_valid = one.folds[0]
    again = fit_family("lightgbm", whole.params, Fold(X, y, X_valid, y_valid), one.setup)
    assert whole.fitted is not None
    scores = whole.fitted.predict(one.prepared("lightgbm", 0).Z_valid)
    assert again.predict(X_valid).tobytes() == scores.tobytes()
    assert measure("roc_auc", y_valid, scores, "binary") == whole.value
    shutil.rmtree(tmp_path / "whole-2-states")  # what is gone is made again from the turns
    assert population(one, 1, "whole").fitted.predict(again.encoder.transform(X_valid)).tobytes() == scores.tobytes()


@pytest.mark.slow
def test_training_keeps_the_winner_or_takes_its_turns_again(tmp_path: Path, monkeypatch, capsys):
    monkeypatch.chdir(project(tmp_path, "binary", "xgboost", "{trials: 4}"))
    file, trained = tmp_path / "params.yaml", tmp_path / "data/models/xgboost"
    text, tuned = file.read_text(), tmp_path / "data/tuning/xgboost"
    for more, kept in (("sampler: pbt", True), ("sampler: pbt, rows: 200", False)):
        file.write_text(text.replace("seconds: 100", f"seconds: 300, {more}"))
        tune("xgboost", load())
        stage(tmp_path, "train", "xgboost")
        told = capsys.readouterr()
        said = "kept as the population trained it" if kept else "turns of its schedule again"
        assert said in told.out + told.err
        best, candidate = read_json(tuned / "best.json"), read_json(trained / "candidate.json")
        assert (hash_tree(tuned / "model") == hash_tree(trained / "model")) is kept
        assert (candidate["valid"]["roc_auc"] == best["value"]) is kept
        assert candidate["params"] == best["params"]
        model = load_model(trained / "model")
        assert model.fitted.booster.num_boosted_rounds() == 25 * len(best["params"]["turns"])
