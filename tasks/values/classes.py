"""Which of two classes is the positive one: by its name, else the rarer; and which class a word of ``params.yaml`` names."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from tasks.values.levels import level

# What one looks for: the whole name, or a word of it. Where both classes have one, or neither, the names say nothing.
WHOLE = frozenset({"y", "t", "on"})
_EVENTS = """
    yes true positive pos event
    churn churned attrition attrited exited unsubscribed
    default defaulted delinquent bankrupt overdue unpaid late delayed
    fraud fraudulent scam spam phishing attack malicious malware anomaly anomalous outlier abnormal suspicious
    sick ill disease diseased malignant infected cancer stroke died dead deceased death readmitted survived
    failed failure fail faulty defect defective broken bad error
    cancelled canceled returned refunded complaint toxic
    clicked converted conversion bought purchased subscribed responded
"""
EVENTS = frozenset(_EVENTS.split())
PAIRS = {"off": "on", "absent": "present", "control": "case", "stayed": "left", "stay": "left", "lost": "won"}
NEGATIONS = ("not ", "no ", "non ", "non-", "never ", "without ", "un", "in", "dis")


def choose(counts: Mapping[str, int]) -> tuple[str, str]:
    """The positive one of two classes, given how many rows each has, and why (``by its name`` or ``as the rarer one``).

    >>> choose({"active": 20, "churned": 80}), choose({"a": 80, "b": 20}), choose({"no": 5, "yes": 95})
    (('churned', 'by its name'), ('b', 'as the rarer one'), ('yes', 'by its name'))
    """
    named = by_name(list(counts))
    if named is not None:
        return named, "by its name"
    first, second = sorted(counts)
    if counts[first] == counts[second]:
        return second, "as the later in the alphabet, since both are equally frequent"
    return (first if counts[first] < counts[second] else second), "as the rarer one"


def by_name(classes: Sequence[str]) -> str | None:
    """The class whose name says that it is the positive one; None where the names of the two do not say.

    >>> by_name(["0", "1"]), by_name(["1", "2"]), by_name(["not late", "late"]), by_name(["good", "bad"])
    ('1', None, 'late', 'bad')
    """
    a, b = classes
    telling = [name for name in (a, b) if (_plain(name) in WHOLE or _words(name) & EVENTS) and not _is_negated(name)]
    if len(telling) == 1:
        return telling[0]
    for one, other in ((a, b), (b, a)):
        if _negates(other, one) or PAIRS.get(_plain(other)) == _plain(one):
            return one
    number_a, number_b = _number(a), _number(b)
    if number_a is None or number_b is None:
        return None
    low, high = sorted((number_a, number_b))  # 0/1, -1/1 and the like; 1/2 says nothing
    return (a if number_a == high else b) if high > 0 and low in (0, -high) else None


def named(written: object, classes: Sequence[str]) -> str | None:
    """The class that a value of ``params.yaml`` names, as text or as truth: true names ``1``, and 1 names ``True``.

    >>> named("1", ["0", "1"]), named(True, ["0", "1"]), named(1, ["False", "True"]), named("ye", ["no", "yes"])
    ('1', '1', 'True', None)
    """
    text = level(written)
    if text is None or text in classes:
        return text
    other = {"True": "1", "False": "0", "1": "True", "0": "False"}.get(text)
    return other if other in classes else None


def _words(name: str) -> set[str]:
    return set(re.findall(r"[^\W_]+", name.lower()))


def _plain(name: str) -> str:
    return re.sub(r"[\W_]+", " ", name.lower()).strip()


def _negates(name: str, of: str) -> bool:
    """Whether one name is the other's negation: ``not late`` and ``late``, ``inactive`` and ``active``."""
    name, of = _plain(name), _plain(of)
    return any(name == (start.replace("-", " ") + of).strip() for start in NEGATIONS) if of else False


def _is_negated(name: str) -> bool:
    return re.match(r"(not|no|non|never|without)\b", _plain(name)) is not None


def _number(name: str) -> float | None:
    try:
        return float(name)
    except ValueError:
        return None
