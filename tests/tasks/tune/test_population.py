"""Population-based training: who goes on from whom, the same outcome for any number of workers, and what a kill loses."""

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from optuna.trial import TrialState

from tasks.errors import RefitError
from tasks.families import fit_family, load_model
from tasks.families._space import Choice, Number, Space
from tasks.files import hash_tree, read_json
from tasks.params import parse
from tasks.tune.objective import Objective
from tasks.tune.pbt import Evolved, Ways, changed, evolve, members, next_member
from tasks.tune.search import Budget
from tasks.tune.study import open_study
from tests.tasks.package.projects import plain
from tests.tasks.tune.test_search import objective, space
from tests.tasks.tune.test_stage import project, stage

GO_ON = ("gradient_boosting", "lightgbm", "mlp", "xgboost")
SMALL: Space = {"a": Number(0.0, 1.0, 0.5), "n": Number(1, 9, 2, whole=True), "c": Choice(("x", "y"), "x")}


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
    assert members(9) == 3


@pytest.mark.parametrize(
    ("sections", "message"),
    [
        ({"models": {"mlp": {}, "ridge": {}}}, "'ridge' cannot go on .* have models of .*'mlp'.* alone, or use another"),
        ({"models": {"auto": {}}}, "'auto' cannot go on"),
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


def population(one: Objective, workers: int, key: str, folder: Path, log=lambda line: None) -> Evolved:
    return evolve(one, space(one.family), Budget(6, 120, workers), key, seed=1, folder=folder, log=log)


def stored(found: Evolved, folder: Path) -> dict[str, str]:
    folder.mkdir()
    assert found.fitted is not None
    found.fitted.save(folder)
    return hash_tree(folder)


@pytest.mark.slow
@pytest.mark.parametrize("family", GO_ON)
def test_the_winner_is_what_its_turns_make_again(tmp_path: Path, family: str):
    one = objective(family, 900)
    if family == "mlp":
        one = replace(one, fixed={"width": 16, "layers": 2})
    found = population(one, 2, family, tmp_path)
    X, y, X_valid, y_valid = one.folds[0]
    assert found.fitted is not None
    Z = one.prepared(family, 0).Z_valid
    again = fit_family(
        family, dict(one.fixed) | found.params, X, y, X_valid, y_valid, "binary", kinds=one.kinds, seed=one.seed
    )
    assert again.fitted.predict(Z).tobytes() == found.fitted.predict(Z).tobytes()
    from tasks.metrics import measure

    assert measure("roc_auc", y_valid, found.fitted.predict(Z), "binary") == found.value
    longest = max((t for t in found.trials), key=lambda t: t["number"])
    assert longest["parent"] is not None
    assert len(found.params["turns"]) in (1, 2, 3)
    assert again.history == found.fitted.history


@pytest.mark.slow
def test_two_members_side_by_side_one_of_them_killed_are_the_same_population(tmp_path: Path):
    one = replace(objective("mlp", 900), fixed={"width": 16, "layers": 1})
    whole = population(one, 1, "whole", tmp_path)

    class Killed(Exception):
        """Stands for a kill of the search after a turn."""

    def kill(line: str) -> None:
        if line.startswith("turn 2 of member 1"):
            raise Killed("now")

    with pytest.raises(Killed, match="now"):
        population(one, 2, "killed", tmp_path, kill)
    with open_study("killed-2", ["maximize"], tmp_path, shared=False) as study:
        assert [t.state for t in study.trials][:2] == [TrialState.COMPLETE] * 2
    resumed = population(one, 2, "killed", tmp_path)
    assert resumed.reused == 3
    assert resumed.trials == whole.trials
    assert resumed.params == whole.params
    assert stored(resumed, tmp_path / "a") == stored(whole, tmp_path / "b")
    assert max(t["value"] for t in whole.trials[-2:]) > max(t["value"] for t in whole.trials[:2])


class Dies(Objective):
    """An objective whose process is killed in the first turn that it takes."""

    marker = ""

    def value(self, params, watch=None, deadline=None):
        import os
        import signal

        at = Path(self.marker)
        if not at.exists():
            at.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return super().value(params, watch, deadline)


@pytest.mark.slow
def test_a_killed_member_takes_its_turn_again(tmp_path: Path):
    one = replace(objective("lightgbm", 600))
    small = {name: getattr(one, name) for name in ("family", "kind", "classes", "metric", "folds", "kinds", "seed")}
    fragile = Dies(**small)
    fragile.marker = str(tmp_path / "died")
    lines: list[str] = []
    budget = Budget(4, 120)
    found = evolve(fragile, space("lightgbm"), budget, "f", seed=1, folder=tmp_path, log=lines.append)
    assert any("its process died; the turn begins again" in line for line in lines)
    assert found.trials == evolve(one, space("lightgbm"), budget, "g", seed=1, folder=tmp_path).trials


@pytest.mark.slow
def test_training_keeps_the_winner_or_takes_its_turns_again(tmp_path: Path):
    root = project(tmp_path / "a", "binary", "xgboost", "{trials: 4}")
    file = root / "params.yaml"
    file.write_text(file.read_text().replace("seconds: 100", "seconds: 100, sampler: pbt"))
    for step in ("tune", "train"):
        done = stage(step, "xgboost", root)
        assert done.returncode == 0, done.stderr
    assert "kept as the population trained it" in done.stderr + done.stdout
    tuned, trained = root / "data/tuning/xgboost", root / "data/models/xgboost"
    best, candidate = read_json(tuned / "best.json"), read_json(trained / "candidate.json")
    assert hash_tree(tuned / "model") == hash_tree(trained / "model")
    assert candidate["params"] == best["params"]
    assert candidate["valid"]["roc_auc"] == pytest.approx(best["value"], abs=0)
    winner = load_model(trained / "model")
    assert winner.fitted.booster.num_boosted_rounds() == 25 * len(best["params"]["turns"])
    # Rows that tuning left out: the same turns, on all rows.
    file.write_text(file.read_text().replace("sampler: pbt", "sampler: pbt, rows: 200"))
    for step in ("tune", "train"):
        done = stage(step, "xgboost", root)
        assert done.returncode == 0, done.stderr
    assert "turns of its schedule again" in done.stderr + done.stdout
    assert hash_tree(tuned / "model") != hash_tree(trained / "model")
    best = read_json(tuned / "best.json")
    winner = load_model(trained / "model")
    assert winner.fitted.booster.num_boosted_rounds() == 25 * len(best["params"]["turns"])
