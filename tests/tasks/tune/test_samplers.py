"""Ways to choose trials, on a function whose best point is known; no model is fitted."""

from typing import get_args

import optuna
import pytest
from optuna.trial import TrialState

from tasks.fitting.space import Number, OneOf, Space, whole
from tasks.params import Tuning
from tasks.tune.samplers import OURS, gp_step, grid, optuna_sampler, suggest
from tasks.tune.study import distributions, inside, open_study, requeue

SPACE: Space = {
    "x": Number(0.001, 10.0, 1.0, log=True),
    "n": whole(1, 9, 5),
    "c": OneOf(("a", "b"), "a"),
}


def value(params: dict) -> float:
    """Least (0) at x = 0.1, n = 7, c = b."""
    import math

    return math.log10(params["x"] / 0.1) ** 2 + (params["n"] - 7) ** 2 / 16 + (params["c"] == "a")


def run(name: str, trials: int, seed: int = 0) -> list[tuple[dict, float]]:
    tried: list[tuple[dict, float]] = []
    if name in OURS:
        for number in range(trials):
            params = suggest(name, SPACE, tried, seed, number, trials)
            if params is None:
                break
            tried.append((params, value(params)))
        return tried
    study = optuna.create_study(directions=["minimize"] * (3 if name == "nsga2" else 1))
    for number in range(trials):
        study.sampler = optuna_sampler(name, seed, number, trials)
        trial = study.ask(distributions(SPACE))
        found = value(trial.params)
        study.tell(trial, [found, trial.params["n"], trial.params["x"]] if name == "nsga2" else found)
        tried.append((dict(trial.params), found))
    return tried


@pytest.mark.parametrize("name", sorted({*get_args(Tuning.model_fields["sampler"].annotation)} - {"pbt"}))
def test_every_sampler_finds_the_valley_and_repeats_itself(name: str):
    trials = 10 if name == "gp" else 40
    tried = run(name, trials)
    assert min(v for _, v in tried) < (1.5 if name == "gp" else 0.6)
    assert run(name, trials) == tried
    for params, _ in tried:
        assert 0.001 <= params["x"] <= 10
        assert params["n"] in range(1, 10)
        assert params["c"] in "ab"
    if name != "grid":
        assert run(name, trials, seed=1) != tried


def test_a_gaussian_process_learns_from_pruned_trials_too():
    study = optuna.create_study()
    study.enqueue_trial({"x": 5.0, "n": 2, "c": "a"})
    for number in range(8):
        study.sampler = optuna_sampler("random", 0, number, 20)
        trial = study.ask(distributions(SPACE))
        pruned = number % 2 == 1
        study.tell(trial, None if pruned else value(trial.params), state=TrialState.PRUNED if pruned else None)
    with_pruned = gp_step(study, distributions(SPACE), 0, 8, 20)
    assert with_pruned == gp_step(study, distributions(SPACE), 0, 8, 20)
    without = optuna.create_study()
    without.add_trials([t for t in study.trials if t.state == TrialState.COMPLETE])
    assert with_pruned != gp_step(without, distributions(SPACE), 0, 8, 20)


@pytest.mark.parametrize("name", OURS)
def test_the_next_trial_depends_on_the_finished_ones_alone(name: str):
    tried = run(name, 12)
    assert suggest(name, SPACE, tried[:7], 0, 7, 12) == tried[7][0]


def test_a_grid_is_even_complete_and_starts_near_the_defaults():
    points = grid(SPACE, 18)
    assert len(points) == 18
    assert len({tuple(p.items()) for p in points}) == 18
    assert points[0] == {"x": pytest.approx(0.1), "n": 5, "c": "a"}


def test_champion_parameters_are_fitted_into_the_space():
    assert inside(SPACE, {"x": 99.0, "n": 3.0, "c": "z", "other": 1}) == {"x": 10.0, "n": 3}


def test_interrupted_trials_keep_their_number_and_parameters(tmp_path):
    with open_study("k", ["minimize"], tmp_path) as study:
        study.sampler = optuna_sampler("random", 0, 0, 5)
        trial = study.ask(distributions(SPACE))
        params = dict(trial.params)
    with open_study("k", ["minimize"], tmp_path) as study:  # the lock is free: whoever ran it is gone
        study.sampler = optuna_sampler("random", 9, 9, 5)
        again = study.ask(distributions(SPACE))
        assert (again.number, again.params) == (0, params)
        study.tell(again, 1.0)
        requeue(study)
        assert [t.state.name for t in study.trials] == ["COMPLETE"]


def test_a_study_lies_in_a_folder_of_any_name(tmp_path):
    folder = tmp_path / "{z} #5 50%25 'q'"
    with open_study("k", ["minimize"], folder) as study:
        study.add_trial(optuna.trial.create_trial(value=1.0))
    assert (folder / "k.db").is_file()
