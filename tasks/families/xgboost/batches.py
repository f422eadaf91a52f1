"""XGBoost fed from encoded rows on disk: quantised in memory, or with the quantised rows on disk too.

Sampling, bins and sums go by the rows' order, not by batches, so the booster has the bytes of the one fitted in memory.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from tasks.encoding import Encoder
from tasks.families.xgboost.memory import batch_rows, quantised
from tasks.fitting.base import Fitted, Job, Log
from tasks.fitting.device import choose_device
from tasks.fitting.encoded import Encoded
from tasks.fitting.setup import Setup
from tasks.fitting.space import Settings
from tasks.memory import GB, Memory
from tasks.process import threads

if TYPE_CHECKING:
    from tasks.families.xgboost import Matrices


def fit_batches(
    params: Settings,
    setup: Setup,
    encoder: Encoder,
    made: dict[str, Encoded],
    folder: Path,
    *,
    limit: Memory,
    log: Log | None = None,
) -> Fitted:
    """Fit on the encoded rows ``made["train"]``, stopped early on ``made["valid"]``; XGBoost's pages go to ``folder``.

    Rows that stay on disk are read by the CPU.
    """
    from tasks.families.xgboost import bins, fit, memo_key, types

    train, valid = made["train"], made["valid"]
    rows, gaps = train.rows + valid.rows, train.gaps or valid.gaps
    need = quantised(rows, train.width, setup.classes, gaps)
    external, device = need > limit.bytes, setup.device
    size = batch_rows(limit, train.width)
    if log is not None:
        where = "do not fit, so they stay on disk (external memory)" if external else "fit, and are built from batches"
        log(
            f"xgboost: {rows:,} quantised rows x {train.width} take {need / GB:.2f} GB of "
            f"{limit.bytes / GB:.2f} and {where}; batches of {size:,} rows"
        )
    if external and choose_device(device, "xgboost") == "cuda":
        device = "cpu"
        if log is not None:
            log(
                "xgboost: training on the CPU, since a GPU cannot read rows from disk; more memory_gb would use the GPU"
            )
    job = Job(
        kind=setup.kind,
        classes=setup.classes,
        X=np.empty((0, train.width), np.float32),  # the rows are in the matrices below
        y=train.y,
        X_valid=np.empty((0, train.width), np.float32),
        y_valid=valid.y,
        coded=encoder.coded,
        seed=setup.seed,
        threads=threads(),
        device=device,
        log=log,
    )
    kinds = types(encoder.coded, train.width, dict(params))
    how = {"nthread": job.threads, "max_bin": bins(params)}
    job.memo[memo_key(kinds, bins(params))] = matrices(train, valid, kinds, size, how, external, folder)
    return fit(params, job)


def matrices(
    train: Encoded, valid: Encoded, kinds: list[str], size: int, how: Mapping[str, int], external: bool, folder: Path
) -> Matrices:
    """The quantised matrices of training and validation rows, read ``size`` rows at a time; ``how`` goes to XGBoost."""
    import xgboost

    class Batches(xgboost.DataIter):
        def __init__(self, rows: Encoded, prefix: str | None) -> None:
            self.rows, self.at = rows, 0
            super().__init__(cache_prefix=prefix, release_data=True)

        def reset(self) -> None:
            self.at = 0

        def next(self, input_data: Callable[..., None]) -> bool:
            if self.at >= self.rows.rows:
                return False
            chosen = slice(self.at, self.at + size)
            weight = {} if self.rows.weight is None else {"weight": self.rows.weight[chosen]}
            input_data(
                data=self.rows.part(chosen.start, chosen.stop),
                label=self.rows.y[chosen],
                feature_types=kinds,
                **weight,
            )
            self.at += size
            return True

    how = {"enable_categorical": True, **how}
    made = xgboost.ExtMemQuantileDMatrix if external else xgboost.QuantileDMatrix
    found = made(Batches(train, str(folder / "train") if external else None), **how)
    return found, made(Batches(valid, str(folder / "valid") if external else None), ref=found, **how)
