"""What a problem is: one module here each, found by its name; nothing else names them or asks which one it is.

A module without a leading underscore is a kind, and holds its :class:`Kind` as ``KIND``. Everybody else asks the kind
for what differs (:class:`Kind`), or what a model gives for a row (:class:`Output`): two classes, many, or a number.
"""

from __future__ import annotations

from functools import cache
from importlib import import_module
from pkgutil import iter_modules
from typing import cast

from tasks.errors import RefitError, nearest, some
from tasks.kinds._kind import USUAL_LOSSES, Decided, Kind
from tasks.kinds._metric import Measurer, Metric
from tasks.kinds._output import MANY, NUMBER, TWO, Output, score_columns, sigmoid, softmax, two_columns

__all__ = [
    "MANY", "NUMBER", "TWO", "USUAL_LOSSES", "Decided", "Kind", "Measurer", "Metric", "Output", "find_kind", "kind_names",
    "kinds_of", "score_columns", "sigmoid", "softmax", "two_columns", "usual_kind",
]  # fmt: skip


def kind_names() -> tuple[str, ...]:
    """Names of the kinds, sorted: listed, not imported."""
    return tuple(sorted(m.name for m in iter_modules(__path__) if not m.name.startswith("_")))


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
    names = kind_names()
    if name not in names:
        raise RefitError(f"problem.kind: {name!r} is not one of {some(names, 20)}." + nearest(name, names))
    return cast(Kind, import_module(f"{__name__}.{name}").KIND)


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
