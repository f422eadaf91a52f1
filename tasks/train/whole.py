"""Fitting on all training rows in memory, as for single families and for the members of ``auto``."""

from __future__ import annotations

from typing import Any

import numpy as np

from tasks.fitting.rows import Rows
from tasks.models import Model, fit_family
from tasks.models.large import Trained
from tasks.params import Params
from tasks.stored import by_parts


def fit_rows(
    name: str, own: dict[str, Any], rows: Rows, params: Params, imbalance: str | None = None, **more: Any
) -> Model:
    """One family on the training rows; ``more`` goes to :func:`tasks.families.fit_family`.

    ``imbalance`` goes before ``training.imbalance``.
    """
    return fit_family(
        name,
        own,
        *rows.of("train"),
        *rows.of("valid"),
        rows.kind,
        classes=len(rows.classes),
        kinds=rows.kinds,
        encode=params.features.encoding,
        imbalance=imbalance or params.training.imbalance,
        seed=params.seed,
        device=params.training.device,
        **more,
    )


def scored(model: Model, rows: Rows) -> Trained:
    """The model with its scores of the validation and test rows."""
    chosen = np.isin(rows.split, ("valid", "test"))
    split, y, scores = rows.split[chosen], rows.y[chosen], by_parts(model.predict, rows.frame[chosen])
    valid = split == "valid"
    return Trained(model, y[valid], scores[valid], rows.row[chosen], split, scores)
