"""XGBoost with its own early stopping, categories and missing values."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from tasks.fitting.base import Curves, Fitted, Job, Notes, Turn, as_sets
from tasks.fitting.counts import Only
from tasks.fitting.device import choose_device
from tasks.fitting.space import Number, Settings, Space, as_int, whole
from tasks.kinds import MANY, NUMBER, TWO, find_kind

if TYPE_CHECKING:
    import xgboost
    from xgboost.callback import TrainingCallback

    Matrices = tuple[xgboost.DMatrix, xgboost.DMatrix]  # of training and validation rows

NAME = "xgboost"
OUTPUTS = (TWO, MANY, NUMBER)
ALSO = (  # parameters beside those of the space
    "rounds", "patience", "native_levels", "objective", "gamma", "max_delta_step", "sampling_method", "colsample_bylevel",
    "colsample_bynode", "reg_alpha", "scale_pos_weight", "grow_policy", "max_leaves", "max_bin", "num_parallel_tree",
    "monotone_constraints", "interaction_constraints", "multi_strategy", "max_cat_to_onehot", "max_cat_threshold",
    "base_score", "eval_metric", "tweedie_variance_power", "huber_slope", "quantile_alpha",
)  # fmt: skip
ALIASES = {  # XGBoost takes them too; of two names it heeds one
    "eta": "learning_rate", "min_split_loss": "gamma", "lambda": "reg_lambda", "alpha": "reg_alpha",
}  # fmt: skip
COUNTS = {
    "grow_policy": Only(beside={"max_leaves": ()}),
    "multi_strategy": Only((MANY,)),
    "scale_pos_weight": Only((TWO,)),
    "tweedie_variance_power": Only((NUMBER,), beside={"objective": ("reg:tweedie",)}),
    "huber_slope": Only((NUMBER,), beside={"objective": ("reg:pseudohubererror",)}),
    "quantile_alpha": Only((NUMBER,), beside={"objective": ("reg:quantileerror",)}),
}
NEEDS = "trees"
HARDWARE = "gpu"
STEPS = True
ON_GPU = ("sampling_method",)
EVERY = 10  # rounds between looks at the validation rows
CHANGEABLE = ()  # all: each tree is grown by itself
TURNED = ("rounds", "patience")
TURN = 25  # rounds
BINS = 256  # XGBoost's own
LOSSES = ("log", "squared", "poisson")
OBJECTIVES = {
    (TWO, "log"): "binary:logistic", (MANY, "log"): "multi:softprob", (NUMBER, "squared"): "reg:squarederror",
    (NUMBER, "poisson"): "count:poisson",
}  # fmt: skip


def space(kind: str, rows: int, columns: int) -> Space:
    return {
        "learning_rate": Number(0.05 if rows > 20_000 else 0.02, 0.3, 0.1, log=True),
        "max_depth": whole(3, 10, 6),
        "min_child_weight": Number(0.5, max(2.0, min(100.0, rows / 200)), 10 if rows > 5000 else 1, log=True),
        "subsample": Number(0.5, 1.0, 0.8, limits=(0.05, 1.0)),
        "colsample_bytree": Number(0.3, 1.0, 0.6, limits=(0.05, 1.0)),
        "reg_lambda": Number(0.1, 30, 1.0, log=True),
    }


class XGBoost:
    """A fitted booster, cut at its best round."""

    FORMAT: ClassVar[str] = "xgboost"

    def __init__(self, booster: xgboost.Booster, kind: str) -> None:
        self.booster, self.kind = booster, kind
        self.history: Curves = {}
        self.notes: Notes = {}
        self._threads = 0

    def predict(self, Z: np.ndarray) -> np.ndarray:
        threads = 1 if len(Z) < 1000 else 2  # waking threads costs more than a few rows
        if threads != self._threads:
            self.booster.set_param({"nthread": threads})
            self._threads = threads
        found = np.asarray(self.booster.inplace_predict(Z.astype(np.float32)), dtype=float)
        return find_kind(self.kind).output.of_positive(found)

    def save(self, folder: Path) -> None:
        (folder / "booster.ubj").write_bytes(bytes(self.booster.save_raw("ubj")))

    @classmethod
    def load(cls, folder: Path, kind: str, classes: int) -> XGBoost:
        import xgboost

        booster = xgboost.Booster()
        booster.load_model(bytearray((folder / "booster.ubj").read_bytes()))
        return cls(booster, kind)


FORMATS = {XGBoost.FORMAT: XGBoost.load}


def fit(params: Settings, job: Job) -> Fitted:
    import xgboost

    class Watch(xgboost.callback.TrainingCallback):
        def after_iteration(self, model: xgboost.Booster, epoch: int, evals_log: TrainingCallback.EvalsLog) -> bool:
            if (epoch + 1) % EVERY == 0:
                job.step(epoch + 1, lambda: job.output.of_positive(model.predict(valid)))
            return job.late

    how = dict(params)
    rounds, patience = as_int(how.pop("rounds", 500)), as_int(how.pop("patience", 25))
    train, valid = _matrices(job, types(job.coded, job.X.shape[1], how), bins(how))
    log: dict[str, Curves] = {}
    booster = _trained(
        _settings(how, job),
        job,
        train,
        num_boost_round=rounds,
        evals=[(valid, "valid")],
        evals_result=log,
        # EarlyStopping first: it would not see a round that Watch ends, and then there is no best one.
        callbacks=lambda: [xgboost.callback.EarlyStopping(rounds=patience, save_best=True), Watch()],
    )
    return _fitted(booster, job, log)


def go_on(params: Settings, job: Job, turn: Turn) -> Fitted:
    """More trees on top of those there are."""
    import xgboost

    class Clock(xgboost.callback.TrainingCallback):
        def after_iteration(self, model: xgboost.Booster, epoch: int, evals_log: TrainingCallback.EvalsLog) -> bool:
            return job.late

    how = dict(params)
    train, valid = _matrices(job, types(job.coded, job.X.shape[1], how), bins(how))
    log: dict[str, Curves] = {}
    booster = _trained(
        _settings(how, job) | {"seed": job.seed + turn.number},  # else each turn would draw the same rows and columns
        job,
        train,
        num_boost_round=TURN,
        evals=[(valid, "valid")],
        evals_result=log,
        xgb_model=None if turn.before is None else XGBoost.load(turn.before, job.kind, job.classes).booster,
        callbacks=lambda: [Clock()],
    )
    return _fitted(booster, job, log)


def _trained(
    settings: Settings, job: Job, train: xgboost.DMatrix, callbacks: Callable[[], list[TrainingCallback]], **more: Any
) -> xgboost.Booster:
    """A booster, trained on the device of the settings, or by the CPU where a GPU has too little memory."""
    import xgboost

    try:
        return xgboost.train(settings, train, verbose_eval=False, callbacks=callbacks(), **more)
    except xgboost.core.XGBoostError as error:
        if settings["device"] == "cpu" or "memory" not in str(error).lower():
            raise
        if job.log:
            job.log("the rows do not fit in the GPU's memory: training xgboost on the CPU")
        return xgboost.train(settings | {"device": "cpu"}, train, verbose_eval=False, callbacks=callbacks(), **more)


def _settings(how: Settings, job: Job) -> Settings:
    return {
        "tree_method": "hist",
        "objective": OBJECTIVES[job.output, job.loss],
        "seed": job.seed,
        "nthread": job.threads,
        "verbosity": 0,
        "device": choose_device(job.device, "xgboost", job.log),
        **({"num_class": job.classes} if job.output == MANY else {}),
        **how,
    }


def _fitted(booster: xgboost.Booster, job: Job, log: dict[str, Curves]) -> XGBoost:
    # Training state (device, seeds, threads) is not the model; without it the bytes are the trees' alone.
    booster = booster[: booster.num_boosted_rounds()]
    booster.set_param({"device": "cpu"})  # as it will be loaded to serve
    fitted = XGBoost(booster, job.kind)
    fitted.history = {"valid_loss": [float(v) for v in next(iter(log["valid"].values()))]}
    fitted.notes = {"rounds": booster.num_boosted_rounds()}
    return fitted


def types(coded: Mapping[int, int], width: int, how: Settings) -> list[str]:
    """XGBoost's word for each column: ``c`` for categories that are split as sets, else ``q``; see :func:`as_sets`."""
    sets = as_sets(coded, how)
    return ["c" if j in sets else "q" for j in range(width)]


def bins(how: Settings) -> int:
    """Most bins of a number: the matrices are cut by it before the booster hears of it."""
    return as_int(how.get("max_bin", BINS))


def memo_key(kinds: list[str], max_bin: int) -> str:
    """Where matrices of columns of these kinds, cut into so many bins, are kept in a job's memo."""
    return f"xgboost {''.join(kinds)} {max_bin}"


def _matrices(job: Job, kinds: list[str], max_bin: int) -> Matrices:
    """The quantised matrices; kept for the next trial on the same rows."""
    import xgboost

    key = memo_key(kinds, max_bin)
    if key not in job.memo:
        made = partial(
            xgboost.QuantileDMatrix, feature_types=kinds, enable_categorical=True, nthread=job.threads, max_bin=max_bin
        )
        train = made(job.X, job.y, weight=job.weight)
        job.memo[key] = train, made(job.X_valid, job.y_valid, ref=train)
    found: Matrices = job.memo[key]
    return found
