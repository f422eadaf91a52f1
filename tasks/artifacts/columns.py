"""Columns that stages add beside those of a table; ``CONTRIBUTING.md`` says what each holds."""

from __future__ import annotations

ROW = "__row__"
TIME = "__time__"
KNOWN = "__known__"
SPLIT = "__split__"
TARGET = "__target__"
GROUP = "__group__"
REASON = "__reason__"
UNTIL = "__until__"
RECEIVED = "__received__"
SEQ = "__seq__"
REFUSED = "__refused__"
FOLD = "__fold_"  # what the names of fold(i) begin with


def fold(number: int) -> str:
    """The column of one cut into folds.

    >>> fold(0)
    '__fold_0__'
    """
    return f"{FOLD}{number}__"
