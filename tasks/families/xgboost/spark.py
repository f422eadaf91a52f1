"""XGBoost trained by Spark: each task of a barrier stage holds its part of the rows, and they agree on every tree."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from tasks.errors import RefitError
from tasks.families.xgboost import OBJECTIVES, XGBoost
from tasks.fitting.encoded import Encoded
from tasks.fitting.setup import Setup
from tasks.fitting.space import Settings, as_int
from tasks.kinds import MANY, USUAL_LOSSES, find_kind

if TYPE_CHECKING:
    import pyarrow as pa
    from pyspark.sql import SparkSession

    Batches = Iterator[pa.RecordBatch]

SCHEMA = "values array<float>, label double, weight double, valid boolean"
SLICE = 10_000  # rows that travel from a Python worker to Spark at once


def fit_spark(
    params: Settings,
    setup: Setup,
    types: list[str],
    made: dict[str, Encoded],
    *,
    spark: SparkSession,
    workers: int | None = None,
) -> XGBoost:
    """Fit on ``made["train"]``, stopped early on ``made["valid"]``, by ``xgboost.spark`` in a session of this machine.

    The session is of :func:`tasks.engine.spark.session`.

    The rows are dealt in order, so the same rows and ``workers`` (as many as the session has cores, if left out) give
    the same booster. One worker gives the booster of :func:`tasks.families.xgboost.fit`; several sum and find bins in
    parts, and differ from it by rounding and by the choice between near-equal splits.

    Raises
    ------
    RefitError
        If the problem cannot be trained this way.
    """
    if (asked := find_kind(setup.kind)).output == MANY and setup.classes == 2:
        raise RefitError(
            f"problem.kind: {setup.kind!r} with two classes cannot be trained with features.engine: spark; set binary"
        )
    from xgboost.spark import SparkXGBClassifier, SparkXGBRegressor

    logging.getLogger("XGBoost-PySpark").setLevel(logging.WARNING)
    how, train, valid = dict(params), made["train"], made["valid"]
    rounds, patience = as_int(how.pop("rounds", 500)), as_int(how.pop("patience", 25))
    workers = min(workers or spark.sparkContext.defaultParallelism, train.rows, valid.rows)
    frame = spark.range(0, workers, 1, workers).mapInArrow(_reader(train, valid, workers), SCHEMA)
    settings: dict[str, Any] = {
        "features_col": "values",
        "label_col": "label",
        "validation_indicator_col": "valid",
        "num_workers": workers,
        "n_estimators": rounds,
        "early_stopping_rounds": patience,
        "feature_types": types,
        "verbose": False,
        "tree_method": "hist",
        "random_state": setup.seed,
        "verbosity": 0,
        **({} if train.weight is None else {"weight_col": "weight"}),
        **({} if asked.loss in USUAL_LOSSES else {"objective": OBJECTIVES[asked.output, asked.loss]}),
        **how,
    }
    estimator = SparkXGBClassifier if asked.output.classes else SparkXGBRegressor
    model = estimator(**settings).fit(frame)
    booster, history = model.get_booster(), model.training_summary.validation_objective_history
    booster = booster[: booster.best_iteration + 1]
    booster.set_attr(best_iteration=None, best_score=None)
    fitted = XGBoost(booster, setup.kind)
    fitted.history = {"valid_loss": [float(v) for v in next(iter(history.values()))]}
    fitted.notes = {"rounds": booster.num_boosted_rounds()}
    return fitted


def _reader(train: Encoded, valid: Encoded, workers: int) -> Callable[[Batches], Batches]:
    """What a Spark task reads: its contiguous part of the training and of the validation rows."""

    def read(ids: Batches) -> Batches:
        import pyarrow as pa

        for number in (i for batch in ids for i in batch.column("id").to_pylist()):
            for rows, held_out in ((train, False), (valid, True)):
                start, stop = (rows.rows * (number + k) // workers for k in (0, 1))
                for at in range(start, stop, SLICE):
                    end = min(at + SLICE, stop)
                    values = rows.part(at, end)
                    offsets = np.arange(end - at + 1, dtype=np.int32) * rows.width
                    weight = np.ones(end - at) if rows.weight is None else rows.weight[at:end]
                    yield pa.RecordBatch.from_arrays(
                        [
                            pa.ListArray.from_arrays(pa.array(offsets), pa.array(values.ravel())),
                            pa.array(rows.y[at:end]),
                            pa.array(weight),
                            pa.array(np.full(end - at, held_out)),
                        ],
                        names=["values", "label", "weight", "valid"],
                    )

    return read
