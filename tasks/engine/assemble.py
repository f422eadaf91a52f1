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


def as_frame(plan: Plan, made: Mapping[str, Values], index: pd.Index) -> pd.DataFrame:
    """Features as a frame in plan order: numbers as float64, categories and texts as pandas' ``str``."""
    columns = {
        f.name: np.asarray(made[f.name], dtype=np.float64) if f.kind == "numeric" else as_text(made[f.name])
        for f in plan.features
    }
    return pd.DataFrame(columns, index=index, copy=False)


def as_text(values: Values) -> pd.api.extensions.ExtensionArray:
    """Categories or texts as a column of pandas' ``str``, missing as NaN."""
    return (values if isinstance(values, pd.Series) else pd.Series(values)).astype("str").array
