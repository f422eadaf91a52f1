"""The only module that knows Evidently (0.7): figures of record and the HTML page for chosen columns.

Evidently's HTML carries its own scripts and font and loads nothing; only its ids are random, and are replaced by
counted ones here, so that equal inputs give equal bytes.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

import pandas as pd

from tasks.drift.columns import homogeneity, tidy

_UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
_DASHBOARD = re.compile(r"metric_[0-9a-f]{32}")


@dataclass(frozen=True)
class Asked:
    """A column to look at, by which of Evidently's tests, against which threshold."""

    column: str
    kind: str
    test: str
    threshold: float


def measure(reference: pd.DataFrame, current: pd.DataFrame, asked: list[Asked]) -> tuple[dict[str, float], str]:
    """Evidently's drift score of every asked column, and its page.

    Parameters
    ----------
    reference, current
        Rows with the asked columns; each column has at least one value on both sides.
    asked
        What to measure; the page has the columns in this order.

    Returns
    -------
    ``({column: score}, html)``
    """
    from evidently import DataDefinition, Dataset, Report
    from evidently.metrics import ValueDrift

    _register_homogeneity()
    names = [a.column for a in asked]
    definition = DataDefinition(
        numerical_columns=[a.column for a in asked if a.kind == "numeric"],
        categorical_columns=[a.column for a in asked if a.kind != "numeric"],
    )
    report = Report([ValueDrift(column=a.column, method=a.test, threshold=a.threshold) for a in asked])
    snapshot = report.run(
        Dataset.from_pandas(current[names].reset_index(drop=True), definition),
        Dataset.from_pandas(reference[names].reset_index(drop=True), definition),
    )
    found = {m["config"]["column"]: tidy(m["value"]) for m in snapshot.dict()["metrics"]}
    return {name: found[name] for name in names}, _counted_ids(snapshot.get_html_str(as_iframe=False))


def _register_homogeneity() -> None:
    """Teach Evidently our chi-square test of homogeneity.

    Its own ``chisquare`` takes the reference's shares as known exactly, which calls every second unchanged column
    drifted when the reference is as small as the current rows.
    """
    from evidently.legacy.calculations.stattests.registry import StatTest, register_stattest
    from evidently.legacy.core import ColumnType

    def run(reference: pd.Series, current: pd.Series, kind: ColumnType, threshold: float) -> tuple[float, bool]:
        value = homogeneity(reference, current)
        return value, value <= threshold

    register_stattest(
        StatTest(
            name="homogeneity",
            display_name="chi-square p-value",
            allowed_feature_types=[ColumnType.Categorical],
            default_threshold=0.05,
        ),
        run,
    )


def _counted_ids(html: str) -> str:
    """Replace every random id by the number of its first appearance.

    >>> _counted_ids("a=0190ab00-0000-7000-8000-00000000000f b=0190ab00-0000-7000-8000-00000000000f")
    'a=00000000-0000-0000-0000-000000000001 b=00000000-0000-0000-0000-000000000001'
    """
    seen: dict[str, str] = {}

    def number(found: re.Match[str]) -> str:
        return seen.setdefault(found[0], f"00000000-0000-0000-0000-{len(seen) + 1:012x}")

    return _DASHBOARD.sub("metric_" + "0" * 32, _UUID.sub(number, html))
