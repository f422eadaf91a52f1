"""What ``params.yaml`` may name, listed without importing it."""

from __future__ import annotations

from functools import cache
from pathlib import Path

METRICS = {
    "binary": ("roc_auc", "average_precision", "log_loss", "brier", "accuracy", "f1"),
    "multiclass": ("log_loss", "accuracy", "f1_macro", "roc_auc_ovr"),
    "regression": ("rmse", "mae", "r2", "mape"),
}


@cache
def family_names() -> tuple[str, ...]:
    """Names of the model families: one module each in ``tasks/families/``."""
    here = Path(__file__).parent / "families"
    return tuple(sorted(p.stem for p in here.glob("*.py") if not p.stem.startswith("_")))
