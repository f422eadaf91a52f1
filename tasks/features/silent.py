"""Features that say nothing: no model can learn from what is empty, or the same in all training rows."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd

from tasks.errors import RefitError, some

EMPTY, CONSTANT = "is empty in all training rows", "has one value in the training rows"


def silent(train: pd.DataFrame, kinds: Mapping[str, str]) -> dict[str, str]:
    """The features that say nothing in ``train``, in order, and why.

    A feature of one value that is missing in places is not among them: where it is missing says something. A text of
    nothing but blanks counts as missing. ``kinds``: numeric, categorical or text, by feature. Raises
    :class:`RefitError` where every feature is silent.

    >>> frame = pd.DataFrame({"a": [1.0, 2.0], "b": [None] * 2, "c": ["x", "x"], "d": [1.0, None]})
    >>> silent(frame, {"a": "numeric", "b": "numeric", "c": "categorical", "d": "numeric"})
    {'b': 'is empty in all training rows', 'c': 'has one value in the training rows'}
    """
    if not len(train):
        return {}
    found = {name: why for name in train.columns if (why := _silence(train[name], kinds[name]))}
    if found and len(found) == len(train.columns):
        empty = sum(why == EMPTY for why in found.values())
        raise RefitError(
            f"features: none of the {len(found)} features says anything in the {len(train):,} training rows: {empty} are "
            f"empty and {len(found) - empty} have one value ({some(found)}); name other columns in features.columns"
        )
    return found


def _silence(values: pd.Series, kind: str) -> str:
    there = values.notna().to_numpy()
    if kind == "text":
        there = there & (values.fillna("").str.strip() != "").to_numpy()
    if not there.any():
        return EMPTY
    same = there.all() and bool((values == values.iloc[0]).all())
    return CONSTANT if same else ""
