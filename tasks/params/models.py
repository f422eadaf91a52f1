"""``split``, ``models``, ``tuning``, ``training`` and ``evaluation``: how candidates come about and are looked at."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, model_validator

from tasks.artifacts import CostRule, GoalRule
from tasks.errors import some
from tasks.params.base import DurationField, StrictModel, refuse
from tasks.values.durations import Duration


class Split(StrictModel):
    """How rows are divided into training, validation and test rows."""

    kind: Literal["time", "random"] = Field(
        default="random",
        description="time: the newest rows test, those before them validate; random: by each row's own number",
    )
    valid: DurationField | float = Field(
        default=0.2, description="rows to choose by: a share, or with kind: time also a duration"
    )
    test: DurationField | float = Field(
        default=0.2, description="rows to judge by: a share, or with kind: time also a duration"
    )
    salt: str = Field(
        default="",
        description="with kind: random, another text divides the rows otherwise; never change it without need",
    )
    by: tuple[str, ...] = Field(
        default=(), description="columns of the problem table whose equal values stay in one part, and in one fold"
    )

    @model_validator(mode="after")
    def _sizes(self) -> Split:
        for name in ("valid", "test"):
            value = getattr(self, name)
            refuse(
                self.kind == "time" and not isinstance(value, Duration) and not 0 < value < 0.5,
                f"{name}: a time split needs a duration such as 30d, or a share of the rows between 0 and 0.5",
            )
            refuse(
                self.kind == "random" and (isinstance(value, Duration) or not 0 < float(value) < 0.5),
                f"{name}: a random split needs a share between 0 and 0.5",
            )
        return self


class FamilyParams(StrictModel):
    """One model family: overrides of the tuning budget, fixed parameters, and search space."""

    trials: int | None = Field(default=None, ge=1, description="trials of this family; unset: tuning.trials")
    seconds: float | None = Field(
        default=None, gt=0, description="seconds for this family's search; unset: tuning.seconds"
    )
    params: dict[str, Any] = Field(default={}, description="parameters that are fixed and not searched")
    space: dict[str, Any] = Field(
        default={}, description="where parameters are searched, in place of the family's own ranges"
    )


class Cost(StrictModel):
    """What a goal besides the metric may cost: a limit, a price, or neither (then as little as goes for a small loss)."""

    at_most: float | None = Field(default=None, gt=0, description="what is dearer is never chosen")
    weight: float | None = Field(default=None, gt=0, description="how much of the metric one unit is worth")


class MetricGoal(StrictModel):
    """How much of the metric may be given up for what costs less."""

    within: float | None = Field(
        default=None,
        ge=0,
        lt=1,
        description="how much worse, as a share of the best, the metric of what costs less may be",
    )


class Goals(StrictModel):
    """What tuning weighs against the metric, and by which rule it chooses (``tasks/goals.py``)."""

    metric: MetricGoal = Field(default=MetricGoal(), description="how much of the metric may be given up")
    latency_ms: Cost | None = Field(default=None, description="milliseconds for one row's score, without its features")
    size_kb: Cost | None = Field(default=None, description="kilobytes of the stored model")

    @model_validator(mode="before")
    @classmethod
    def _bare(cls, value: object) -> object:
        return {k: {} if v is None else v for k, v in value.items()} if isinstance(value, dict) else value

    @model_validator(mode="after")
    def _decides(self) -> Goals:
        costs = self.costs
        refuse(not costs, "name latency_ms or size_kb, with at_most or weight where you like; the metric is one anyway")
        if any(cost.weight for cost in costs.values()):
            refuse(
                self.metric.within is not None,
                "metric.within: a weight says already what a loss of the metric is worth; leave one out",
            )
            for name, cost in costs.items():
                refuse(
                    cost.weight is None and cost.at_most is None,
                    f"{name}: needs weight or at_most, since another goal has a weight",
                )
        return self

    @property
    def costs(self) -> dict[str, Cost]:
        """The goals besides the metric, by name."""
        both = {"latency_ms": self.latency_ms, "size_kb": self.size_kb}
        return {name: cost for name, cost in both.items() if cost is not None}

    @property
    def rule(self) -> GoalRule:
        """As :mod:`tasks.goals` takes it."""
        costs = {name: CostRule(at_most=cost.at_most, weight=cost.weight) for name, cost in self.costs.items()}
        return GoalRule(within=self.metric.within, costs=costs)


SEVERAL = ("nsga2", "tpe", "random", "grid")  # samplers that look for a front, or by no goal at all


class Tuning(StrictModel):
    """How parameters are searched, and within what budget."""

    sampler: Literal["grid", "random", "tpe", "gp", "nsga2", "cmaes", "hill_climbing", "pbt", "strategies"] = Field(
        default="gp", description="how the next parameters to try are chosen"
    )
    pruner: Literal["none", "median", "halving", "hyperband"] = Field(
        default="none", description="how trials that lag behind are stopped early"
    )
    trials: int = Field(
        default=20, ge=1, description="per family; trials and seconds end a search, whichever comes first"
    )
    seconds: float = Field(default=60, gt=0, description="seconds per family")
    rows: int | None = Field(default=None, ge=100, description="tune on this many of the newest training rows")
    warm_start: bool = Field(default=True, description="begin with the champion's parameters")
    workers: int = Field(default=1, ge=1, description="trials of one family at once")
    split: Literal["holdout", "kfold", "stratified", "group", "time_series"] = Field(
        default="holdout", description="what a trial is judged on: the validation rows, or folds of the training rows"
    )
    folds: int = Field(default=3, ge=2, le=20, description="how many folds, where split is not holdout")
    gap: DurationField | None = Field(
        default=None, description="with split: time_series, the time left out before each held-out part"
    )
    group: str | None = Field(default=None, description="with split: group, the feature whose values stay together")
    goals: Goals | None = Field(default=None, description="what counts besides the metric; with sampler: nsga2 always")

    @model_validator(mode="after")
    def _agree(self) -> Tuning:
        refuse((self.split == "group") != (self.group is not None), "split: group and group: FEATURE need each other")
        refuse(self.gap is not None and self.split != "time_series", "gap: only split: time_series leaves one")
        if self.goals is not None and self.sampler not in SEVERAL:
            refuse(
                "sampler" in self.model_fields_set,
                f"goals: sampler {self.sampler!r} goes by the metric alone; set one of {some(SEVERAL)}",
            )
            object.__setattr__(self, "sampler", "nsga2")
        if self.sampler == "nsga2" and self.goals is None:
            object.__setattr__(self, "goals", Goals(latency_ms=Cost(), size_kb=Cost()))
        refuse(
            self.goals is not None and self.pruner != "none",
            "pruner: with several goals (or sampler: nsga2) no pruner can judge; set pruner: none",
        )
        return self


class Compression(StrictModel):
    """Smaller forms of trained networks; kept is the one that takes the least memory among those good enough."""

    families: tuple[str, ...] = Field(
        default=(), description="those that are compressed; unset: all of models, which must all be able to"
    )
    prune: float | None = Field(
        default=None, gt=0, lt=1, description="share of each hidden layer's units that are removed, the least important"
    )
    quantise: bool = Field(
        default=False, description="hidden layers large enough to be quicker so become 8-bit integers"
    )
    tolerance: float = Field(
        default=0.005, ge=0, lt=1, description="how much worse the metric may become, as a share of its value"
    )

    @model_validator(mode="after")
    def _does_something(self) -> Compression:
        refuse(
            self.prune is None and not self.quantise,
            "name what to do: prune: 0.5, or quantise: true, or both; or remove compression",
        )
        return self


class Training(StrictModel):
    """How the chosen parameters are fitted, calibrated, mixed and made smaller."""

    imbalance: Literal["none", "class_weight", "smote", "adasyn", "under_sample", "smote_tomek"] = Field(
        default="none",
        description="what is done where a class is rare: weights, or other training rows where validation rows gain "
        "by them (docs/imbalance.md)",
    )
    calibration: Literal["auto", "none", "sigmoid", "isotonic", "temperature"] = Field(
        default="auto",
        description="how probabilities are put right, on rows that the model has not seen; auto: the less the fewer these are",
    )
    threshold: Literal["half", "best_f1", "cost", "precision"] = Field(
        default="best_f1", description="binary: how the probability is chosen from which on a row counts as positive"
    )
    cost: tuple[float, float] = Field(
        default=(1.0, 1.0), description="with threshold: cost, the cost of a false positive and of a false negative"
    )
    precision: float = Field(
        default=0.5,
        gt=0,
        lt=1,
        description="with threshold: precision, the least share of true ones among those called positive",
    )
    ensembles: tuple[Literal["voting", "blending", "stacking", "greedy", "bagged"], ...] = Field(
        default=(), description="mixes of candidates to try; kept only where they are better on validation rows"
    )
    device: Literal["auto", "cpu", "cuda"] = Field(
        default="auto", description="auto: a GPU where there is one, for families that can use it (docs/devices.md)"
    )
    memory_gb: float | None = Field(
        default=None,
        gt=0,
        description="most that a stage's process should hold; larger tables are read from disk, or refused",
    )
    compression: Compression | None = Field(
        default=None, description="smaller forms of trained networks (docs/compression.md)"
    )


class Evaluation(StrictModel):
    """What is looked at besides the metrics."""

    slices: tuple[str, ...] = Field(default=(), description="features whose values are always reported one by one")
    explain: bool = Field(
        default=True,
        description="whether SHAP values and partial dependence of the chosen model are computed (docs/explanations.md)",
    )
    cost_unit: str = Field(
        default="",
        max_length=20,
        pattern=r"^(\S(.*\S)?)?$",
        description="the unit of training.cost, such as EUR or minutes: pages say costs in it (docs/report.md)",
    )
