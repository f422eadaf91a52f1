"""The one table of metrics: what each is called and means, which way it runs, what it needs, and how it is computed."""

from __future__ import annotations

from functools import cache

import numpy as np

from tasks.kinds import MANY, NUMBER, TWO, Measurer, Metric, find_kind, kind_names
from tasks.metrics import classification as c
from tasks.metrics import regression as r
from tasks.metrics.ranking import Ranking


def _each_against_rest(y: np.ndarray, scores: np.ndarray) -> Measurer:
    each = [Ranking(y == k, scores[:, k]) for k in range(scores.shape[1])]
    return lambda w: float(np.mean([one.roc_auc(w) for one in each]))


SHARES, MEAN, MAJORITY = "the training rows' class shares", "the mean of the training rows", "the majority class"
CLASSES = (TWO, MANY)
_ROWS = (
    Metric("roc_auc", (TWO,), 1, "order", lambda y, s: Ranking(y, s[:, 1]).roc_auc, "ROC AUC",
           "area under the ROC curve; 0.5 is guessing, 1 is perfect", "share", "ROC AUC", without="chance"),
    Metric("roc_auc_ovr", (MANY,), 1, "order", _each_against_rest, "ROC AUC",
           "mean of each class against the rest; 0.5 is guessing, 1 is perfect", "share",
           "ROC AUC (each class against the rest)", without="chance"),
    Metric("average_precision", (TWO,), 1, "order", lambda y, s: Ranking(y, s[:, 1]).average_precision,
           "Average precision", "area under the precision–recall curve; guessing gives the positives' share", "share",
           without="chance"),
    Metric("log_loss", CLASSES, -1, "probabilities", c.log_loss, "Log loss",
           "mean surprise of the probabilities in nats; lower is better", "nats", without=SHARES, row_loss=c.surprise),
    Metric("brier", CLASSES, -1, "probabilities", c.brier, "Brier score",
           "mean squared error of the probabilities; lower is better", "", "Brier score", SHARES,
           row_loss=c.squared_error),
    Metric("ece", CLASSES, -1, "probabilities", c.ece, "Calibration error",
           "mean gap between probability and frequency; lower is better", "share"),
    Metric("accuracy", CLASSES, 1, "decisions", c.accuracy, "Accuracy", "share of right decisions", "share",
           without=MAJORITY),
    Metric("balanced_accuracy", CLASSES, 1, "decisions", c.balanced_accuracy, "Balanced accuracy",
           "mean recall over the classes", "share"),
    Metric("precision", (TWO,), 1, "decisions", c.precision, "Precision", "share of the flagged rows that are positive",
           "share"),
    Metric("recall", (TWO,), 1, "decisions", c.recall, "Recall", "share of the positive rows that are flagged", "share"),
    Metric("specificity", (TWO,), 1, "decisions", c.specificity, "Specificity",
           "share of the negative rows that are not flagged", "share"),
    Metric("f1", (TWO,), 1, "decisions", c.f1, "F1", "harmonic mean of precision and recall", "share", "F1",
           "as many alarms raised at random"),
    Metric("precision_macro", (MANY,), 1, "decisions", c.precision_macro, "Precision, macro",
           "mean precision over the classes", "share"),
    Metric("recall_macro", (MANY,), 1, "decisions", c.recall_macro, "Recall, macro",
           "mean recall over the classes that occur, in truth or in decisions", "share"),
    Metric("f1_macro", (MANY,), 1, "decisions", c.f1_macro, "F1, macro", "mean F1 over the classes", "share",
           "F1 (mean of the classes)", "as many decisions of each class made at random"),
    Metric("f1_micro", (MANY,), 1, "decisions", c.accuracy, "F1, micro", "F1 over all decisions", "share"),
    Metric("f1_weighted", (MANY,), 1, "decisions", c.f1_weighted, "F1, weighted",
           "mean F1 over the classes, weighted by their rows", "share"),
    Metric("mcc", CLASSES, 1, "decisions", c.mcc, "Matthews correlation",
           "correlation of decisions and truth; 0 is guessing"),
    Metric("rmse", (NUMBER,), -1, "numbers", r.rmse, "RMSE",
           "root mean squared error, in units of the target; lower is better", "target", "RMSE", MEAN,
           row_loss=r.squared_error),
    Metric("mae", (NUMBER,), -1, "numbers", r.mae, "MAE", "mean absolute error, in units of the target; lower is better",
           "target", "MAE", "the median of the training rows", r.absolute_error, r.median),
    Metric("r2", (NUMBER,), 1, "numbers", r.r2, "R²", "share of the target's variance explained", "share", "R²", MEAN,
           row_loss=r.squared_error),
    Metric("mape", (NUMBER,), -1, "numbers", r.mape, "MAPE",
           "mean absolute error relative to the target; lower is better", "share", "MAPE",
           "the best constant of the training rows", r.relative_error, r.median_by_size),
    Metric("median_absolute_error", (NUMBER,), -1, "numbers", r.median_absolute_error, "Median absolute error",
           "half of the errors are smaller, in units of the target; lower is better", "target"),
    Metric("max_error", (NUMBER,), -1, "numbers", r.max_error, "Largest error",
           "largest absolute error, in units of the target; lower is better", "target"),
    Metric("bias", (NUMBER,), 0, "numbers", r.bias, "Bias",
           "mean of prediction minus truth, in units of the target; 0 is best", "target"),
)  # fmt: skip
TABLE = {metric.name: metric for metric in _ROWS}


@cache
def find_metric(name: str) -> Metric | None:
    """The metric of this name: of the table, or of a kind that brings it; None where there is none.

    >>> find_metric("rmse").sign, find_metric("rsme")
    (-1, None)
    """
    own = (metric for kind in kind_names() for metric in find_kind(kind).own_metrics)
    return TABLE.get(name) or next((metric for metric in own if metric.name == name), None)
