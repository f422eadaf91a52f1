"""What ``init`` says of columns that give the target away, before a model is made of them."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from tasks.giveaways import Giveaway, giveaways, sample
from tasks.kinds import find_kind
from tasks.params import Moment, by_column
from tasks.profile.column import reading_of
from tasks.profile.comments import Remark, beside
from tasks.profile.kinds import coerce
from tasks.profile.reading import read_columns
from tasks.values.reading import Reading

if TYPE_CHECKING:
    import pyarrow as pa
    from ruamel.yaml.comments import CommentedMap

ROWS = 4000
READ = ("numeric", "categorical", "boolean", "text", "datetime")


def remark(tree: CommentedMap, path: str | Path, given: pa.Table | None = None) -> Iterator[Remark]:
    """Mark in the tree of a ``params.yaml`` which columns of the file give the target away; yields a remark on each.

    A column that repeats the target exactly, or nearly so, is set to ``ignore``; another suspect keeps its kind, and
    ``refit run`` asks before it promotes. A key, and a column that tells the time of rows, stays as it is.
    """
    problem = tree["problem"]
    table = tree["data"]["tables"][problem["table"]]
    columns, target = table["columns"], _target(problem)
    kinds = {n: spec if isinstance(spec, str) else spec["kind"] for n, spec in columns.items() if n != target}
    known = table.get("known_at")
    later = known if by_column(known) == "columns" else {}
    moments = [problem.get("prediction_time"), table.get("event_time"), *(later.values() if later else [known])]
    named = {Moment.model_validate(when).column for when in moments if when} | set(table.get("key", ()))
    hidden = {*table.get("outcome", ()), *later, *(Moment.model_validate(when).column for when in later.values())}
    read = [n for n, kind in kinds.items() if kind in READ and n not in hidden]
    asked = {n: reading_of(columns[n]) for n in (*read, target)}
    found = suspects(read_columns(path) if given is None else given, target, problem["kind"], asked, tree["seed"])
    place = ("data", "tables", problem["table"], "columns")
    for name, given in found.items():
        left = [n for n in read if n != name and kinds[n] != "ignore"]
        if given.certain and name not in named and left:
            kinds[name] = "ignore"
            columns[name] = "ignore"
            beside(
                columns,
                name,
                f"gives the target away: {given.said}; if it is known in time, declare its kind and list it under "
                "promotion.accept",
            )
            yield Remark(name, f"ignored, since it gives the target away ({given.said})", (*place, name))
        else:
            beside(columns, name, f"a leak? {given.said}; `refit run` asks before it promotes (promotion.accept)")
            yield Remark(name, f"a leak? {given.said}; `refit run` asks before it promotes", (*place, name))


def _target(problem: CommentedMap) -> str:
    target = problem["target"]
    return str(target if isinstance(target, str) else target["column"])


def suspects(table: pa.Table, target: str, kind: str, columns: dict[str, Reading], seed: int) -> dict[str, Giveaway]:
    """Columns of the table that alone tell the target, by name; a span between two dates counts for the first of them.

    ``columns``: how each is read, the target among them.
    """
    values = coerce(table[target], columns[target]).values
    y = (
        values.to_numpy(np.float64, na_value=np.nan)
        if not find_kind(kind).output.classes
        else pd.factorize(values, sort=True)[0] * 1.0
    )
    if find_kind(kind).output.classes:
        y = np.where(y < 0, np.nan, y)
    rows = sample(np.where(np.isinf(y), np.nan, y), kind, ROWS, seed)
    X: dict[str, pd.Series | np.ndarray] = {}
    moments = {}
    for name, how in columns.items():
        if name == target:
            continue
        column = coerce(table[name].take(rows), how).values.reset_index(drop=True)
        if how.kind == "datetime":
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
