"""In which forms estimators are stored, and what reads each."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path

from tasks.errors import RefitError, some
from tasks.fitting.base import Fitted

# Names in a file are looked up here and nowhere else.
FORMATS = {
    "linear": "tasks.fitting.estimators:Linear",
    "skops": "tasks.fitting.estimators:Estimator",
    "xgboost": "tasks.families.xgboost:Booster",
    "lightgbm": "tasks.families.lightgbm:Booster",
    "network": "tasks.families.mlp.network:Net",
    "tabm": "tasks.families.tabm:TabM",
    "realmlp": "tasks.families.realmlp:RealMLP",
    "additive": "tasks.families.gam:Additive",
    "mixed": "tasks.families.mixed_effects:Mixed",
    "bag": "tasks.models.bag:Bag",
    "forest": "tasks.fitting.forest:Forest",
}


def load_fitted(form: str, folder: Path, kind: str, classes: int) -> Fitted:
    """Read an estimator that was stored as ``form`` (one of :data:`FORMATS`)."""
    if form not in FORMATS:
        raise RefitError(f"{folder}: unknown format {form!r}; known: {some(FORMATS, 20)}. Train again.")
    module, _, name = FORMATS[form].partition(":")
    found: Fitted = getattr(import_module(module), name).load(folder, kind, classes)
    return found
