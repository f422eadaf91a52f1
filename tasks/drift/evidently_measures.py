"""The one list of measures that drift is told by, and Evidently, which takes them of every column.

The limits lie above them (:mod:`tasks.ordinary.checks`). Only this module and :mod:`tasks.drift.evidently_report` know
Evidently (0.7). Its :class:`MeanValue` is calculated without the picture that a report would draw of each: 19 of 20
milliseconds a column, and nobody sees it.
"""

from __future__ import annotations

import logging
from collections.abc import Hashable, Mapping
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from tasks.ordinary.cells import MISSING, ODD
from tasks.ordinary.checks import Check, checks_of
from tasks.ordinary.record import Column

if TYPE_CHECKING:
    from evidently.core.metric_types import Metric

# check: Evidently's metric, and of what it is taken
MEASURES = {
    "missing": ("MissingValueCount", "the values"),
    "mean": ("MeanValue", "the values' normal scores"),
    "spread": ("MeanValue", "the scores' distances from the middle"),
    "far": ("OutRangeValueCount", "the cells of what was seen"),
    "edge": ("OutRangeValueCount", "the cells between the edges"),
    "level": ("UniqueValueCount", "the cells of categories"),
    "new": ("UniqueValueCount", "the cells of categories"),
}
OWN = {"single": ("Refit", "rows of the most frequent unseen category: Evidently has no such measure")}
Measured = dict[tuple[str, str], float]


def decided_by(kind: str) -> str:
    """The measure of a check, in words.

    >>> decided_by("missing"), decided_by("single").split(":")[0]
    ("Evidently's MissingValueCount of the values", "Refit's own")
    """
    name, of = (MEASURES | OWN)[kind]
    return f"Refit's own: {of}" if kind in OWN else f"Evidently's {name} of {of}"


def measure(columns: Mapping[Hashable, tuple[Column, pd.Series]]) -> dict[Hashable, Measured]:
    """Evidently's measures of a window's columns, by check and the level that it is about ("" for none).

    ``columns``: each column's record, and its newest values (n,). Checks of :data:`OWN` are not among them.
    """
    from evidently import DataDefinition, Dataset, Report
    from evidently.metrics import MeanValue, MissingValueCount, OutRangeValueCount, UniqueValueCount

    frame: dict[str, np.ndarray | pd.Series] = {}
    kinds: dict[str, list[str]] = {"numeric": [], "categorical": []}
    counted: list[Metric] = []
    means: dict[str, tuple[Hashable, tuple[str, str]]] = {}
    places: dict[int, tuple[Hashable, tuple[str, str]]] = {}

    def add(name: str, values: np.ndarray | pd.Series, kind: str) -> str:
        frame[name] = values
        kinds[kind].append(name)
        return name

    def count(metric: Metric, column: Hashable, check: tuple[str, str]) -> None:
        places[len(counted)] = (column, check)
        counted.append(metric)

    found: dict[Hashable, Measured] = {name: {} for name in columns}
    for i, (name, (column, values)) in enumerate(columns.items()):
        codes = column.cells.codes(values)
        present = codes != MISSING
        raw = add(f"{i}", np.where(present, 1.0, np.nan), "numeric")
        count(MissingValueCount(column=raw), name, ("missing", ""))
        checks = [check for check in checks_of(column) if check.kind != "missing"]
        if not present.any():  # of nothing there is no share
            found[name] = {(check.kind, check.level): 0.0 for check in checks}
            continue
        if column.cells.kind != "numeric":
            cells = pd.Series([f"{c}" for c in codes], dtype="str").where(present)
            count(UniqueValueCount(column=add(f"{i} cells", cells, "categorical")), name, ("level", ""))
            continue
        for check in checks:
            if check.kind in ("mean", "spread"):
                part = add(f"{i} {check.kind}", np.where(present, check.f[codes], np.nan), "numeric")
                means[part] = (name, (check.kind, ""))
            else:
                left, right = _inside(check)
                part = f"{i} cells"
                if part not in frame:
                    add(part, np.where(present, codes, np.nan).astype(float), "numeric")
                count(OutRangeValueCount(column=part, left=left, right=right), name, (check.kind, ""))
    definition = DataDefinition(numerical_columns=kinds["numeric"], categorical_columns=kinds["categorical"])
    with np.errstate(all="ignore"):  # it divides by the values of a column that has none
        sides = Dataset.from_pandas(pd.DataFrame(frame), definition)
    logging.getLogger("evidently").setLevel(logging.ERROR)
    told = Report(counted).run(sides, None).dict()["metrics"]
    for at, (name, asked) in places.items():
        value = told[at]["value"]
        if asked[0] == "level":
            found[name] |= _levels(columns[name][0], value["counts"])
        else:
            found[name][asked] = float(value["share"])
    for part, (name, asked) in means.items():
        found[name][asked] = float(MeanValue(column=part).to_calculation().calculate_value(sides.column(part)))
    return found


def _inside(check: Check) -> tuple[int, int]:
    """The cells that do not count for a check of the edges: from one to another, in the order of the numbers."""
    quiet = [at for at in range(ODD, len(check.f)) if check.f[at] == 0]
    return min(quiet), max(quiet)


def _levels(column: Column, counts: Mapping[Hashable, float]) -> Measured:
    rows = {int(str(cell)): n for cell, n in counts.items() if str(cell).isdigit()}
    total = sum(rows.values())
    out: Measured = {}
    for check in checks_of(column):
        if check.kind in ("level", "new"):
            out[check.kind, check.level] = sum(rows.get(int(at), 0) for at in np.flatnonzero(check.f)) / total
    return out
