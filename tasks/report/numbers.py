"""Numbers and names as people read them: thousands, significant digits, titles of metrics with their units."""

from __future__ import annotations

import math
from datetime import datetime

from tasks.metrics import find_metric

DASH = "–"


def title(metric: str) -> str:
    """Name of a metric for people.

    >>> title("roc_auc"), title("my_metric")
    ('ROC AUC', 'My metric')
    """
    if (found := find_metric(metric)) is not None:
        return found.title
    words = metric.replace("_", " ")
    return words[:1].upper() + words[1:]


def meaning(metric: str) -> str:
    """What a metric's values mean; empty for one that is not known."""
    found = find_metric(metric)
    return "" if found is None else found.meaning


def number(value: str | float | None, digits: int = 3) -> str:
    """A number in at most ``digits`` significant decimals; thousands apart, with a true minus sign.

    >>> number(0.71234), number(336776), number(None), number(-12.345), number(1e-7)
    ('0.712', '336\u202f776', '–', '−12.3', '1.0e−07')
    """
    if not isinstance(value, int | float):
        return DASH if value is None else str(value)
    return _digits(value, digits).replace("-", "−").replace(",", "\u202f") if math.isfinite(value) else DASH


def _digits(value: float, digits: int) -> str:
    size = abs(value)
    if isinstance(value, int) or size >= 1000:
        return f"{value:,.0f}"
    if size >= 1:
        return f"{value:.{max(digits - len(str(int(size))), 0)}f}"
    if size and size < 10 ** -(digits + 1):
        return f"{value:.1e}"
    return f"{value:.{digits}f}"


def percent(value: float | None, digits: int = 1) -> str:
    """A share in percent.

    >>> percent(0.237), percent(None), percent(1.0), percent(1e-6)
    ('23.7%', '–', '100.0%', '< 0.1%')
    """
    if value is None:
        return DASH
    least = 10**-digits
    return f"< {least:g}%" if 0 < 100 * value < least / 2 else f"{100 * value:.{digits}f}%".replace("-", "−")


def p_value(value: float | None) -> str:
    """A p-value, never shown as nought.

    >>> p_value(0.0000001), p_value(0.0312), p_value(None)
    ('< 0.0001', '0.031', '–')
    """
    if value is None:
        return DASH
    return "< 0.0001" if value < 0.0001 else f"{value:.4f}" if value < 0.001 else f"{value:.3f}"


def moment(text: str | None) -> str:
    """An ISO time as day and minute, in UTC.

    >>> moment("2013-10-31T23:59:59.999999+00:00"), moment(None)
    ('31 October 2013, 23:59 UTC', '–')
    """
    if not text:
        return DASH
    at = datetime.fromisoformat(text)
    return f"{at.day} {at:%B %Y, %H:%M} UTC"


def day(text: str | None) -> str:
    """
    >>> day("2013-10-01T04:15:00+00:00")
    '1 Oct 2013'
    """
    if not text:
        return DASH
    at = datetime.fromisoformat(text)
    return f"{at.day} {at:%b %Y}"


def plain(name: str) -> str:
    """A family's or stage's name for people.

    >>> plain("gradient_boosting"), plain("xgboost"), plain("mlp")
    ('Gradient boosting', 'XGBoost', 'MLP')
    """
    special = {"xgboost": "XGBoost", "lightgbm": "LightGBM", "mlp": "MLP", "svm": "SVM", "knn": "k-nearest neighbours"}
    special |= {"valid": "Validation", "f1": "F1"}
    if name in special:
        return special[name]
    words = name.replace("_", " ")
    return words[:1].upper() + words[1:]


def counted(n: int, what: str) -> str:
    """How many there are.

    >>> counted(1, "family"), counted(3, "family")
    ('1 family', '3 families')
    """
    many = what[:-1] + "ies" if what.endswith("y") else what + "s"
    return f"{number(n)} {what if n == 1 else many}"
