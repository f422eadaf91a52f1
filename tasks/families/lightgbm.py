"""LightGBM with its own early stopping, categories and missing values."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np

from tasks.errors import RefitError
from tasks.fitting.base import Curves, Fitted, Job, Notes, Turn, as_sets
from tasks.fitting.counts import Only
from tasks.fitting.space import Number, Settings, Space, as_int, whole
from tasks.kinds import MANY, NUMBER, TWO, find_kind

if TYPE_CHECKING:
    import lightgbm

NAME = "lightgbm"
OUTPUTS = (TWO, MANY, NUMBER)
ALSO = (  # parameters beside those of the space
    "rounds", "patience", "native_levels", "objective", "metric", "max_depth", "min_child_weight", "bagging_fraction",
    "bagging_freq", "bagging_seed", "pos_bagging_fraction", "neg_bagging_fraction", "feature_fraction_bynode",
    "extra_trees", "lambda_l1", "min_gain_to_split", "max_delta_step", "path_smooth", "linear_tree", "linear_lambda",
    "max_bin", "min_data_in_bin", "max_cat_threshold", "max_cat_to_onehot", "min_data_per_group", "cat_l2", "cat_smooth",
    "monotone_constraints", "interaction_constraints", "scale_pos_weight", "is_unbalance", "boost_from_average", "alpha",
    "poisson_max_delta_step", "tweedie_variance_power",
)  # fmt: skip
ALIASES = {  # LightGBM takes them too; of two names it heeds one
    "min_data_in_leaf": "min_child_samples", "min_sum_hessian_in_leaf": "min_child_weight", "subsample": "bagging_fraction",
    "subsample_freq": "bagging_freq", "colsample_bytree": "feature_fraction", "reg_alpha": "lambda_l1",
    "reg_lambda": "lambda_l2", "min_split_gain": "min_gain_to_split",
}  # fmt: skip
SHARES = {"bagging_fraction": (), "pos_bagging_fraction": (), "neg_bagging_fraction": ()}
COUNTS = {
    "bagging_fraction": Only(beside={"bagging_freq": ()}),
    "pos_bagging_fraction": Only((TWO,), beside={"bagging_freq": ()}),
    "neg_bagging_fraction": Only((TWO,), beside={"bagging_freq": ()}),
    "bagging_freq": Only(beside=SHARES),
    "bagging_seed": Only(beside={"bagging_freq": ()}),
    "linear_lambda": Only(beside={"linear_tree": ()}),
    "scale_pos_weight": Only((TWO,)),
    "is_unbalance": Only((TWO,)),
    "alpha": Only((NUMBER,), beside={"objective": ("huber", "quantile")}),
    "poisson_max_delta_step": Only((NUMBER,), beside={"objective": ("poisson",)}),
    "tweedie_variance_power": Only((NUMBER,), beside={"objective": ("tweedie",)}),
}
NEEDS = "trees"
HARDWARE = "cpu"
STEPS = True
EVERY = 10  # rounds between looks at the validation rows
CHANGEABLE = ()  # all: each tree is grown by itself
TURNED = ("rounds", "patience")
TURN = 25  # rounds
LOSSES = ("log", "squared", "poisson")
OBJECTIVES = {
    (TWO, "log"): "binary", (MANY, "log"): "multiclass", (NUMBER, "squared"): "regression", (NUMBER, "poisson"): "poisson",
}  # fmt: skip


def space(kind: str, rows: int, columns: int) -> Space:
    return {
        "learning_rate": Number(0.05 if rows > 20_000 else 0.02, 0.3, 0.1, log=True),
        "num_leaves": whole(7, 255, 31, log=True, limits=(2, 131072)),
        "min_child_samples": whole(2, max(10, min(300, rows // 20)), 50 if rows > 5000 else 10, log=True),
        "feature_fraction": Number(0.3, 1.0, 0.6, limits=(0.01, 1.0)),
        "lambda_l2": Number(0.01, 30.0, 1.0, log=True),
    }


class LightGBM:
    """A fitted LightGBM booster, cut at its best round."""

    FORMAT: ClassVar[str] = "lightgbm"

    def __init__(self, booster: lightgbm.Booster, kind: str) -> None:
        self.booster, self.kind = booster, kind
        self.history: Curves = {}
        self.notes: Notes = {}

    def predict(self, Z: np.ndarray) -> np.ndarray:
        found = np.asarray(self.booster.predict(Z, num_threads=1 if len(Z) < 1000 else 2), dtype=float)
        return find_kind(self.kind).output.of_positive(found)

    def save(self, folder: Path) -> None:
        text = self.booster.model_to_string()
        # The parameters at the end hold threads and the like, which are not part of the model.
        for tail in ("\nparameters:", "\npandas_categorical:"):
            text = text.partition(tail)[0].rstrip()
        (folder / "booster.txt").write_text(text + "\n\n", encoding="utf-8")

    @classmethod
    def load(cls, folder: Path, kind: str, classes: int) -> LightGBM:
        import lightgbm

        try:
            text = (folder / "booster.txt").read_text(encoding="utf-8")
            return cls(lightgbm.Booster(model_str=text), kind)
        except lightgbm.basic.LightGBMError as error:
            raise RefitError(f"{folder}: booster.txt is damaged ({error}); train again.") from None


FORMATS = {LightGBM.FORMAT: LightGBM.load}


def fit(params: Settings, job: Job) -> Fitted:
    import lightgbm

    def watch(env: Any) -> None:
        if (env.iteration + 1) % EVERY == 0:
            job.step(env.iteration + 1, lambda: _scores(env.model, job))
        if job.late:
            raise lightgbm.callback.EarlyStopException(env.iteration, env.evaluation_result_list)

    how = dict(params)
    rounds, patience = as_int(how.pop("rounds", 500)), as_int(how.pop("patience", 25))
    train, valid = _sets(how, job)
    log: dict[str, Curves] = {}
    booster = lightgbm.train(
        _settings(how, job),
        train,
        num_boost_round=rounds,
        valid_sets=[valid],
        valid_names=["valid"],
        callbacks=[
            watch,
            lightgbm.early_stopping(patience, verbose=False),
            lightgbm.record_evaluation(log),
        ],
    )
    return _fitted(booster, booster.best_iteration or booster.current_iteration(), job, log)


def go_on(params: Settings, job: Job, turn: Turn) -> Fitted:
    """More trees on top of those there are."""
    import lightgbm

    def clock(env: Any) -> None:
        if job.late:
            raise lightgbm.callback.EarlyStopException(env.iteration, env.evaluation_result_list)

    how = dict(params)
    train, valid = _sets(how, job)
    log: dict[str, Curves] = {}
    booster = lightgbm.train(
        _settings(how, job) | {"seed": job.seed + turn.number},  # else each turn would draw the same columns
        train,
        num_boost_round=TURN,
        valid_sets=[valid],
        valid_names=["valid"],
        init_model=None if turn.before is None else LightGBM.load(turn.before, job.kind, job.classes).booster,
        callbacks=[clock, lightgbm.record_evaluation(log)],
    )
    return _fitted(booster, booster.current_iteration(), job, log)


def _sets(how: Settings, job: Job) -> tuple[lightgbm.Dataset, lightgbm.Dataset]:
    """Training and validation rows."""
    import lightgbm

    categories: list[int] | Literal["auto"] = as_sets(job.coded, how) or "auto"
    train = lightgbm.Dataset(job.X, job.y, weight=job.weight, categorical_feature=categories, free_raw_data=False)
    return train, lightgbm.Dataset(job.X_valid, job.y_valid, reference=train, free_raw_data=False)


def _settings(how: Settings, job: Job) -> Settings:
    return {
        "objective": OBJECTIVES[job.output, job.loss],
        **({"num_class": job.classes} if job.output == MANY else {}),
        "seed": job.seed,
        "num_threads": job.threads,
        "deterministic": True,
        "force_row_wise": True,
        "verbosity": -1,
        **how,
    }


def _fitted(booster: lightgbm.Booster, best: int, job: Job, log: dict[str, Curves]) -> LightGBM:
    import lightgbm

    booster = lightgbm.Booster(model_str=booster.model_to_string(num_iteration=best))
    fitted = LightGBM(booster, job.kind)
    fitted.history = {"valid_loss": [float(v) for v in next(iter(log["valid"].values()))]} if log else {}
    fitted.notes = {"rounds": best}
    return fitted


def _scores(model: Any, job: Job) -> np.ndarray:
    """Scores of the validation rows from the margins that training keeps anyway."""
    raw = np.asarray(model._Booster__inner_predict(1), dtype=float)
    return raw.reshape(job.classes, -1).T if job.output == MANY else job.output.of_positive(raw)
