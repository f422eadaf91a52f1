"""What ``init`` says of columns that give the target away, before a model is made of them."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from tasks.giveaways import Giveaway, giveaways, sample
from tasks.profile.kinds import coerce
from tasks.profile.reading import read_columns

if TYPE_CHECKING:
    import pyarrow as pa
    from ruamel.yaml.comments import CommentedMap

ROWS = 4000
READ = ("numeric", "categorical", "boolean", "text", "datetime")


def remark(tree: CommentedMap, path: str | Path, given: pa.Table | None = None) -> Iterator[str]:
    """Mark in the tree of a ``params.yaml`` which columns of the file give the target away; yields a line for each.

    A column that repeats the target exactly, or nearly so, is set to ``ignore``; another suspect keeps its kind, and
    ``refit run`` asks before it promotes. A key, and a column that tells the time of rows, stays as it is.
    """
    problem = tree["problem"]
    table = tree["data"]["tables"][problem["table"]]
    columns, target = table["columns"], _target(problem)
    kinds = {n: spec if isinstance(spec, str) else spec["kind"] for n, spec in columns.items() if n != target}
    named = {str(problem.get("prediction_time", "")).split(" ")[0]}
    named |= {str(table.get(k, "")).split(" ")[0] for k in ("event_time", "known_at")} | set(table.get("key", ()))
    read = [n for n, kind in kinds.items() if kind in READ and n not in table.get("outcome", ())]
    forms = {n: spec.get("format", "iso") for n, spec in columns.items() if not isinstance(spec, str)}
    asked = {n: (kinds[n], forms.get(n, "iso")) for n in read}
    found = suspects(read_columns(path) if given is None else given, target, problem["kind"], asked, tree["seed"])
    for name, given in found.items():
        left = [n for n in read if n != name and kinds[n] != "ignore"]
        if given.certain and name not in named and left:
            kinds[name] = "ignore"
            columns[name] = "ignore"
            columns.yaml_add_eol_comment(
                f"gives the target away: {given.said}; if it is known in time, declare its kind and list it under "
                "promotion.accept",
                name,
            )
            yield f"{name}: ignored, since it gives the target away ({given.said})"
        else:
            columns.yaml_add_eol_comment(
                f"a leak? {given.said}; `refit run` asks before it promotes (promotion.accept)", name
            )
            yield f"{name}: a leak? {given.said}; `refit run` asks before it promotes"


def _target(problem: Any) -> str:
    target = problem["target"]
    return target if isinstance(target, str) else target["column"]


def suspects(table: pa.Table, target: str, kind: str, columns: dict[str, tuple[str, str]], seed: int) -> dict[str, Giveaway]:  # fmt: skip
    """Columns of the table that alone tell the target, by name; a span between two dates counts for the first of them.

    ``columns``: the kind of each, and the form that its dates are written in.
    """
    values = coerce(table[target], "numeric" if kind == "regression" else "categorical").values
    y = (
        values.to_numpy(np.float64, na_value=np.nan)
        if kind == "regression"
        else pd.factorize(values, sort=True)[0] * 1.0
    )
    if kind != "regression":
        y = np.where(y < 0, np.nan, y)
    rows = sample(np.where(np.isinf(y), np.nan, y), kind, ROWS, seed)
    X: dict[str, Any] = {}
    moments = {}
    for name, (how, form) in columns.items():
        column = coerce(table[name].take(rows), how, form).values.reset_index(drop=True)
        if how == "datetime":
            moments[name] = column.astype("int64").where(column.notna()).to_numpy(np.float64, na_value=np.nan) / 3.6e9
            X[name] = moments[name]
        else:
            X[name] = column
    for a, b in list(combinations(moments, 2))[:15]:
        X[f"{b} - {a}"] = moments[b] - moments[a]
    out: dict[str, Giveaway] = {}
    for g in giveaways(pd.DataFrame(X), y[rows], kind, seed=seed):
        out.setdefault(g.feature if g.feature in columns else g.feature.partition(" - ")[0], g)
    return out
