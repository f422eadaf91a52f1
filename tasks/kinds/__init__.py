"""What a problem is: one module here each, found by its name; nothing else names them or asks which one it is.

A module without a leading underscore is a kind, and holds its :class:`Kind` as ``KIND``. Everybody else asks the kind
for what differs (:class:`Kind`), or what a model gives for a row (:class:`Output`): two classes, many, or a number.
"""

from __future__ import annotations

from functools import cache
from typing import cast

from tasks.kinds._difference import Difference, PairedTest
from tasks.kinds._kind import USUAL_LOSSES, Decided, Kind
from tasks.kinds._metric import Measurer, Metric
from tasks.kinds._output import MANY, NUMBER, TWO, Output, or_half, score_columns, sigmoid, softmax, two_columns
from tasks.listed import find, kind_names

__all__ = [
    "MANY", "NUMBER", "TWO", "USUAL_LOSSES", "Decided", "Difference", "Kind", "Measurer", "Metric", "Output", "PairedTest",
    "find_kind", "kind_names", "kinds_of", "or_half", "score_columns", "sigmoid", "softmax", "two_columns", "usual_kind",
]  # fmt: skip


@cache
def find_kind(name: str) -> Kind:
    """The kind of this name.

    Raises
    ------
    RefitError
        For an unknown name, with the nearest valid one.

    >>> find_kind("binary").output.name
    'two classes'
    """
    return cast(Kind, find("kinds", "problem.kind", name).KIND)


def kinds_of(*outputs: Output) -> tuple[str, ...]:
    """Names of the usual kinds whose models give one of these.

    >>> kinds_of(TWO, NUMBER)
    ('binary', 'regression')
    """
    return tuple(name for name in kind_names() if (one := find_kind(name)).usual and one.output in outputs)


def usual_kind(output: Output) -> str:
    """Name of the kind that is meant where no more is known of a problem than what a model gives.

    >>> usual_kind(MANY)
    'multiclass'
    """
    return kinds_of(output)[0]
