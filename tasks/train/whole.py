"""Fitting on all training rows in memory, as for single families and for the members of ``auto``."""

from __future__ import annotations

import numpy as np

from tasks.fitting.rows import Dataset
from tasks.models import Model
from tasks.models.large import Trained
from tasks.stored import by_parts


def scored(model: Model, rows: Dataset) -> Trained:
    """The model with its scores of the validation and test rows."""
    chosen = np.isin(rows.split, ("valid", "test"))
    split, y, scores = rows.split[chosen], rows.y[chosen], by_parts(model.predict, rows.frame[chosen])
    valid = split == "valid"
    return Trained(model, y[valid], scores[valid], rows.row[chosen], split, scores)
