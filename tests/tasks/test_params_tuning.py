"""What `tuning` allows together: goals, samplers, pruners, splits, and what `auto` cannot follow."""

import pytest

from tasks.errors import RefitError
from tasks.params import Params, Tuning, loads

TEXT = """
problem: {{name: t, kind: regression, table: t, target: y}}
data: {{tables: {{t: {{source: t.csv, columns: {{y: numeric, x: numeric}}}}}}}}
models: {models}
tuning: {tuning}
training: {training}
"""


def made(tuning: str, models: str = "{ridge: {}}", training: str = "{}") -> Params:
    return loads(TEXT.format(tuning=tuning, models=models, training=training), "params.yaml")


@pytest.mark.parametrize(
    ("tuning", "models", "said"),
    [
        ("{sampler: tpe}", "{auto: {}}", "tuning.sampler: auto tries a portfolio of settings, then their neighbours; remove the key"),
        ("{pruner: halving}", "{auto: {}}", "tuning.pruner: auto stops a setting whose first fold is among the worst third"),
        ("{goals: {size_kb: {at_most: 9}}}", "{auto: {}, ridge: {}}", "tuning.goals: auto mixes models by the metric alone"),
        ("{sampler: nsga2}", "{auto: {}, ridge: {}}", "tuning.goals: auto mixes models by the metric alone"),
        ("{split: time_series}", "{ridge: {}}", "tuning.split: 'time_series' needs problem.prediction_time"),
        ("{split: holdout, folds: 5}", "{ridge: {}}", "tuning.folds: split: holdout has none; name another split"),
        ("{folds: 5}", "{ridge: {}}", "tuning.folds: split: holdout has none"),
        ("{goals: {}}", "{ridge: {}}", "name latency_ms or size_kb"),
        ("{goals: {metric: {within: 0.1}}}", "{ridge: {}}", "name latency_ms or size_kb"),
        ("{goals: {latency_ms: {at_most: 0}}}", "{ridge: {}}", "tuning.goals.latency_ms.at_most: must be greater than 0; found 0."),
        ("{goals: {latency: {at_most: 5}}}", "{ridge: {}}", "tuning.goals.latency: unknown key. Did you mean 'latency_ms'?"),
        ("{goals: {latency_ms: {weight: 1}, size_kb: }}", "{ridge: {}}", "size_kb: needs weight or at_most, since another goal has a weight"),
        ("{goals: {metric: {within: 0.1}, size_kb: {weight: 1}}}", "{ridge: {}}", "metric.within: a weight says already what a loss of the metric is worth"),
        ("{goals: {size_kb: }, sampler: gp}", "{ridge: {}}", "goals: sampler 'gp' goes by the metric alone; set one of 'nsga2', 'tpe', 'random', 'grid'"),
        ("{goals: {size_kb: }, sampler: pbt}", "{mlp: {}}", "goals: sampler 'pbt' goes by the metric alone"),
        ("{goals: {size_kb: }, pruner: median}", "{ridge: {}}", "pruner: with several goals (or sampler: nsga2) no pruner can judge; set pruner: none"),
        ("{sampler: nsga2, pruner: median}", "{ridge: {}}", "pruner: with several goals"),
    ],
)  # fmt: skip
def test_what_would_be_ignored_is_refused(tuning: str, models: str, said: str):
    with pytest.raises(RefitError) as caught:
        made(tuning, models)
    assert said in str(caught.value)


def test_an_ensemble_would_pass_over_the_goals():
    with pytest.raises(
        RefitError, match=r"tuning.goals: training.ensembles are chosen by the metric alone and cost what all"
    ):
        made("{goals: {size_kb: }}", "{ridge: {}, xgboost: {}}", "{ensembles: [greedy]}")


def test_beside_named_families_sampler_and_pruner_are_theirs():
    assert made("{sampler: tpe, pruner: halving}", "{auto: {}, ridge: {}}").tuning.pruner == "halving"
    assert made("{split: kfold, folds: 5}", "{auto: {}}").tuning.folds == 5


def test_goals_bring_their_sampler_and_nsga2_its_goals():
    free = {"at_most": None, "weight": None}
    assert made("{goals: {metric, latency_ms: {at_most: 5}, size_kb}}").tuning.sampler == "nsga2"
    assert made("{goals: {size_kb: }, sampler: tpe}").tuning.sampler == "tpe"
    assert Tuning(sampler="nsga2").goals.rule.to_dict() == {
        "within": None,
        "costs": {"latency_ms": free, "size_kb": free},
    }
    assert Tuning().goals is None
    rule = Tuning(goals={"metric": {"within": 0.01}, "size_kb": {"at_most": 90}}).goals.rule
    assert rule.to_dict() == {"within": 0.01, "costs": {"size_kb": {"at_most": 90.0, "weight": None}}}
