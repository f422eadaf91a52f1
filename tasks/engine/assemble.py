"""All features of the rows that ask: what came from tables, and what is made of the row itself, as one frame or one row."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd

from tasks.engine.plan import Plan
from tasks.engine.recipes import FromRow
from tasks.engine.source import Source, Values


def finish(plan: Plan, source: Source, from_tables: Mapping[str, Values]) -> dict[str, Values]:
    """All features in plan order. ``found`` holds those that came from tables (lookups and aggregates)."""
    made: dict[str, Values] = {}
    for feature in plan.features:
        name, recipe = feature.name, feature.recipe
        made[name] = (
            recipe.make(source, made, plan.tables, plan.table) if isinstance(recipe, FromRow) else from_tables[name]
        )
    return made


def as_frame(
    plan: Plan, made: Mapping[str, Values], index: pd.Index, numbers: np.ndarray | None = None
) -> pd.DataFrame:
    """Features as a frame in plan order: numbers as float64, categories and texts as pandas' ``str``.

    ``numbers`` (numeric features, rows) holds the numbers where they stand in one block already, which is not copied.
    """
    numeric = [f.name for f in plan.features if f.kind == "numeric"]
    if numbers is None:
        numbers = np.empty((len(numeric), len(index)))
        for i, name in enumerate(numeric):
            numbers[i] = made[name]
    frame = pd.DataFrame(numbers.T, index=index, columns=pd.Index(numeric), copy=False)
    for i, feature in enumerate(plan.features):
        if feature.kind != "numeric":
            texts = pd.Series(made[feature.name]).astype("str")
            frame.insert(i, feature.name, texts.set_axis(index))
    return frame
