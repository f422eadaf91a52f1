"""XGBoost on tables that do not fit in memory, and on Spark: from features.parquet to a model and its scores."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from tasks import memory
from tasks.artifacts import Balance
from tasks.artifacts.folders import FEATURES
from tasks.errors import RefitError
from tasks.families.xgboost.batches import fit_batches
from tasks.families.xgboost.memory import batch_rows, check
from tasks.files import read_table
from tasks.fitting.base import Fitted, Log
from tasks.fitting.calibration import calibrate
from tasks.fitting.encoded import SPLITS, Encoded, Outline, encode_to, outline
from tasks.fitting.space import Settings
from tasks.models.model import Model, resolved
from tasks.params import Params

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

CACHE = Path(".refit")  # encoded rows lie here while they are needed: a disk, where /tmp may be memory
DISK = 10  # bytes a cell: float32 of the encoded rows, and XGBoost's pages


@dataclass
class Trained:
    """A fitted model and what is said about it. ``scores`` are of the valid and test rows, in the table's order."""

    model: Model
    y_valid: np.ndarray
    valid: np.ndarray  # scores of the validation rows
    row: np.ndarray
    split: np.ndarray
    scores: np.ndarray
    balance: Balance | None = None  # what was done about rare classes, for candidate.json


def fit_large(
    name: str,
    own: Settings,
    features: list[str],
    params: Params,
    log: Log,
    session: Callable[[], SparkSession],
    folder: str | Path = FEATURES,
) -> Trained | None:
    """Train on disk or on Spark where that is called for; None where the ordinary way in memory is.

    Spark trains where it makes the features; batches are read where the whole table takes more than
    ``training.memory_gb``. Both are XGBoost's: another family gets None. ``session`` starts Spark.

    Raises
    ------
    RefitError
        If the rows fit in no way, ``training.imbalance`` would have to resample them, or Spark is missing.
    """
    name, own = resolved(name, own)
    if name != "xgboost" or "turns" in own:  # a population's turns go on in memory
        return None
    import xgboost  # noqa: F401  (what the libraries hold is not for the rows)

    limit = memory.allowed(params.training.memory_gb)
    spark = params.features.engine == "spark"
    if not spark:
        count = _count(Path(folder) / "features.parquet")
        need = memory.fit(name, count, len(features))
        if need <= limit.bytes:
            return None
        log(
            f"xgboost: {count:,} rows x {len(features)} features in memory take about {need / memory.GB:.2f} GB, and "
            f"{max(0.0, limit.bytes / memory.GB):.2f} may be used ({limit.source}): training from batches"
        )
    rows = outline(folder)
    classes, training = len(rows.classes), params.training
    if training.imbalance not in ("none", "class_weight"):
        raise RefitError(
            f"training.imbalance: {training.imbalance!r} makes rows, and these "
            + ("are trained by Spark" if spark else "do not fit in memory")
            + "; set class_weight, which weighs them"
        )
    if not spark:
        check(len(rows.y), len(features), classes, limit)
        return _fit(own, features, rows, params, limit, None, log)
    started = session()  # before the encoding: what is missing is told at once
    try:
        return _fit(own, features, rows, params, limit, started, log)
    finally:
        started.stop()


def _fit(
    own: Settings,
    features: list[str],
    rows: Outline,
    params: Params,
    limit: memory.Memory,
    spark: SparkSession | None,
    log: Log,
) -> Trained:
    """Encode into files, fit from them, and score."""
    CACHE.mkdir(exist_ok=True)
    _check_disk(len(rows.y) * len(features))
    with tempfile.TemporaryDirectory(prefix="xgboost-", dir=CACHE) as folder:
        cache = Path(folder).absolute()
        setup = rows.setup(params)
        encoder, made = encode_to(cache, rows, features, setup)
        train, valid = made["train"], made["valid"]
        if setup.imbalance == "class_weight":
            from tasks.fitting.imbalance import balanced_weight

            train.weight = balanced_weight(train.y, setup.classes)
        fitted: Fitted
        if spark is not None:
            from tasks.families.xgboost import types
            from tasks.families.xgboost.spark import fit_spark

            log(f"xgboost: {train.rows:,} rows are trained by Spark, which made the features, on the CPU")
            how = dict(own)
            kinds = types(encoder.coded, train.width, how)
            fitted = fit_spark(how, setup, kinds, made, spark=spark)
        else:
            fitted = fit_batches(own, setup, encoder, made, cache, limit=limit, log=log)
        model = Model("xgboost", rows.kind, setup.classes, encoder, fitted, params=own)
        size = batch_rows(limit, train.width)

        def scored(split: str) -> np.ndarray:
            scores = np.concatenate([model.score(part) for part in made[split].parts(size)])
            return _with_new_levels(model, rows, features, rows.of(split), scores)

        if setup.calibration != "none":
            model.calibration = calibrate(setup.calibration, scored("valid"), valid.y, rows.kind)
        return _with_scores(model, rows, made, scored)


def _with_new_levels(
    model: Model, rows: Outline, features: list[str], chosen: np.ndarray, scores: np.ndarray
) -> np.ndarray:
    """The scores, those of rows with levels that training never saw made anew: encoded, they look like missing ones."""
    import pyarrow.parquet as pq

    new = np.zeros(len(chosen), bool)
    for name, levels in model.encoder.levels.items():
        values = read_table(rows.path, [name])[name]
        new |= (values.notna() & ~values.isin(levels)).to_numpy()
    new &= chosen
    if not new.any():
        return scores
    start, parts = 0, []
    with pq.ParquetFile(rows.path) as file:
        for batch in file.iter_batches(columns=features):
            at = np.flatnonzero(new[start : start + len(batch)])
            start += len(batch)
            if len(at):
                parts.append(model.predict(batch.take(at).to_pandas()))
    scores[new[chosen]] = np.concatenate(parts)
    return scores


def _with_scores(model: Model, rows: Outline, made: dict[str, Encoded], scored: Callable[[str], np.ndarray]) -> Trained:
    """Score the valid and test rows, and put them in the table's order."""
    chosen = rows.of("valid") | rows.of("test")
    valid = scored("valid")
    scores = np.empty((int(chosen.sum()), *valid.shape[1:]))
    scores[rows.of("valid")[chosen]] = valid
    if made["test"].rows:
        scores[rows.of("test")[chosen]] = scored("test")
    split = np.array(SPLITS, dtype=object)[rows.split[chosen]]
    return Trained(model, made["valid"].y, valid, rows.row[chosen], split, scores)


def _count(path: Path) -> int:
    """Rows of a Parquet file, from its footer."""
    import pyarrow.parquet as pq

    try:
        return int(pq.ParquetFile(path).metadata.num_rows)
    except FileNotFoundError:
        raise RefitError(f"{path}: no such file. Run `refit run` (or `dvc repro`) to make it.") from None


def _check_disk(cells: int) -> None:
    free = shutil.disk_usage(CACHE).free
    if free < DISK * cells:
        raise RefitError(
            f"{CACHE}: training from disk takes about {DISK * cells / memory.GB:.1f} GB there, and "
            f"{free / memory.GB:.1f} GB are free. Free some, or raise training.memory_gb"
        )
