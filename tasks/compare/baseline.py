"""No champion yet: is the challenger better than no model at all?"""

from __future__ import annotations

from typing import Any

import numpy as np

from tasks.compare.scores import losses
from tasks.metrics import measure
from tasks.paired import Table, delong, diebold_mariano, mcnemar


def against_baseline(
    y: np.ndarray, scores: np.ndarray, y_train: np.ndarray, kind: str, metric: str, threshold: float
) -> dict[str, Any]:
    """Test the challenger against what can be said without features, by the problem's metric.

    Ranking metrics: DeLong's test of the AUC against 0.5. Accuracy: McNemar against the majority class. Others:
    the mean loss of a row against that of the training rows' class shares, or their mean.

    Returns the one-sided ``p``, the name of the deciding test, all ``tests``, and both values of the metric.
    """
    if kind == "regression":
        constant = np.full(len(y), y_train.mean())
        what = "the mean of the training rows"
    else:
        shares = np.bincount(y_train.astype(np.int64), minlength=scores.shape[1]) / len(y_train)
        constant = np.tile(shares, (len(y), 1))
        what = "the majority class" if metric in ("accuracy", "f1", "f1_macro") else "the training rows' class shares"
    loss = diebold_mariano(losses(y, scores, metric), losses(y, constant, metric))
    tests: dict[str, Any] = {"loss": {"name": "Mean loss (paired t)", **loss.to_dict()}}
    p, decided_by = loss.p_better, "loss"
    if kind != "regression":
        said = scores.argmax(axis=1) if kind == "multiclass" else (scores[:, 1] >= threshold)
        majority = constant.argmax(axis=1)
        table = Table.of(said == y, majority == y)
        found = mcnemar(table)
        tests["mcnemar"] = {
            "name": "McNemar against the majority class",
            **found.to_dict(),
            "difference": table.difference,
        }
        if metric == "accuracy":
            p, decided_by = found.p_better, "mcnemar"
    if kind == "binary":
        ranked = delong(y, scores[:, 1], constant[:, 1])
        tests["delong"] = {"name": "DeLong (ROC AUC against 0.5)", "statistic": ranked.z, **ranked.to_dict()}
        if metric in ("roc_auc", "average_precision"):
            p, decided_by = ranked.p_better, "delong"
            what = "chance"
    values = [measure(metric, y, s, kind, t) for s, t in ((scores, threshold), (constant, 0.5))]
    return {
        "p": p,
        "decided_by": decided_by,
        "what": what,
        "tests": tests,
        "challenger": values[0] if np.isfinite(values[0]) else None,
        "baseline": values[1] if np.isfinite(values[1]) else None,
    }
