"""What people call things: classes by the target's name instead of 0 and 1, and rows by their key."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from tasks.artifacts import NotableRow, NotableRows
from tasks.report.found import RowNames, RunFiles

if TYPE_CHECKING:
    import pandas as pd

YES, NO = ("1", "1.0", "true"), ("0", "0.0", "false")


def class_names(target: str, classes: list[str]) -> list[str]:
    """Two classes that are no words are called by the target.

    >>> class_names("is_late", ["0", "1"]), class_names("late", ["1", "0"]), class_names("kind", ["a", "b"])
    (['not late', 'late'], ['late', 'not late'], ['a', 'b'])
    """
    said = [name.lower() for name in classes]
    if len(said) != 2 or not any(one in YES and other in NO for one, other in (said, said[::-1])):
        return classes
    what = target.replace("_", " ").removeprefix("is ")
    return [what if name in YES else f"not {what}" for name in said]


def with_class_names(found: RunFiles) -> RunFiles:
    """The same files, in which classes have the names of :func:`class_names`."""
    if found.features is None:
        return found
    old = found.features.classes
    names = class_names(found.features.target, old)
    if names == old:
        return found
    called = dict(zip(old, names, strict=True))

    def renamed(classes: list[str]) -> dict[str, list[str]]:
        return {"classes": [called.get(name, name) for name in classes]}

    def by_truth(rows: list[NotableRow]) -> list[NotableRow]:
        return [row.model_copy(update={"truth": called.get(str(row.truth), row.truth)}) for row in rows]

    confusion, slices, rows = found.confusion, found.slices, found.rows
    return replace(
        found,
        features=found.features.model_copy(update={"classes": names}),
        confusion=confusion and confusion.model_copy(update=renamed(confusion.classes)),
        slices=slices and slices.model_copy(update=renamed(slices.classes)),
        rows=rows and NotableRows(worst=by_truth(rows.worst), least_certain=by_truth(rows.least_certain)),
    )


def row_names(keys: pd.DataFrame, at: list[int]) -> RowNames:
    """The keys (a column each, of the whole table) of the rows at these places.

    >>> import pandas as pd
    >>> row_names(pd.DataFrame({"shop": ["a", "b"], "order": [1.0, 7.0]}), [1]).by_row
    {1: 'b, 7'}
    """

    def said(value: object) -> str:
        if isinstance(value, float) and value.is_integer():
            return f"{value:.0f}"
        return str(value)

    by_row = {row: ", ".join(map(said, keys.iloc[row])) for row in at}
    return RowNames([str(c) for c in keys.columns], by_row)
