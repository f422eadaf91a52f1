"""One of several classes a row."""

from __future__ import annotations

from typing import ClassVar

from tasks.kinds._classes import Classes
from tasks.kinds._output import MANY, Output


class Multiclass(Classes):
    """The answer is a probability of each class, the decision the most probable one."""

    name: ClassVar[str] = "multiclass"
    output: ClassVar[Output] = MANY
    usual: ClassVar[bool] = True
    metrics: ClassVar[tuple[str, ...]] = (
        "accuracy", "balanced_accuracy", "log_loss", "brier", "ece", "roc_auc_ovr", "precision_macro", "recall_macro",
        "f1_macro", "f1_micro", "f1_weighted", "mcc",
    )  # fmt: skip
    decisive: ClassVar[tuple[str, ...]] = ("log_loss", "accuracy", "f1_macro", "roc_auc_ovr")


KIND = Multiclass()
