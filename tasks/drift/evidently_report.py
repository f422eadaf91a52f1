"""Evidently's page (0.7), with the figures that decide.

Evidently's HTML carries its own scripts and font and loads nothing; only its ids are random, and are replaced by
counted ones here, so that equal inputs give equal bytes. It sets data into a script as they are, so a category could
end that script and begin another: here no text of the tables can, and the page lets no script run but its own.
"""

from __future__ import annotations

import re
from base64 import b64encode
from collections.abc import Mapping
from hashlib import sha256

import pandas as pd

from tasks.artifacts import DriftOfColumn

_UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
_DASHBOARD = re.compile(r"metric_[0-9a-f]{32}")
_DATA = re.compile(r"^ *var (?:additional_graphs_)?metric_[0-9a-f]{32} = .*;$", re.MULTILINE)  # JSON in one line
_SCRIPT = re.compile(r"<script>(.*?)</script>", re.DOTALL)
TEST = "ordinary"


def page(
    pairs: dict[str, tuple[pd.Series, pd.Series]], entries: Mapping[str, DriftOfColumn]
) -> tuple[dict[str, float], str]:
    """Evidently's drift score of every column, and its page.

    Parameters
    ----------
    pairs
        Reference and newest values by column, in the page's order; each has at least one value on both sides.
    entries
        By column; ``statistic`` and ``drifted`` are what Evidently takes as its score and decision.

    Returns
    -------
    ``({column: score}, html)``
    """
    from evidently import DataDefinition, Dataset, Report
    from evidently.metrics import ValueDrift

    _register(entries)
    definition = DataDefinition(
        numerical_columns=[n for n in pairs if entries[n].kind == "numeric"],
        categorical_columns=[n for n in pairs if entries[n].kind != "numeric"],
    )
    sides = [
        Dataset.from_pandas(pd.DataFrame({n: pair[i].reset_index(drop=True) for n, pair in pairs.items()}), definition)
        for i in (1, 0)
    ]
    report = Report([ValueDrift(column=n, method=TEST, threshold=1.0) for n in pairs])
    snapshot = report.run(*sides)
    found = {m["config"]["column"]: float(m["value"]) for m in snapshot.dict()["metrics"]}
    return {name: found[name] for name in pairs}, _guarded(_counted_ids(snapshot.get_html_str(as_iframe=False)))


def _register(entries: Mapping[str, DriftOfColumn]) -> None:
    """Give Evidently our finding as one of its tests: a column's series carries its name."""
    from evidently.legacy.calculations.stattests.registry import StatTest, register_stattest
    from evidently.legacy.core import ColumnType

    def run(reference: pd.Series, current: pd.Series, kind: ColumnType, threshold: float) -> tuple[float, bool]:
        entry = entries[str(current.name)]
        return entry.statistic, bool(entry.drifted)

    register_stattest(
        StatTest(
            name=TEST,
            display_name="distance beyond what is ordinary (1: the limit)",
            allowed_feature_types=[ColumnType.Numerical, ColumnType.Categorical],
            default_threshold=1.0,
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


def _guarded(html: str) -> str:
    """The page with its data unable to leave their script, and a policy under which only the page's own scripts run.

    In JSON ``<`` stands in texts alone, where its number means the same.
    """
    html = _DATA.sub(lambda found: found[0].replace("<", "\\u003c"), html)
    own = " ".join(f"'sha256-{b64encode(sha256(one.encode()).digest()).decode()}'" for one in _SCRIPT.findall(html))
    policy = f"default-src 'none'; script-src {own}; style-src 'unsafe-inline'; font-src data:; img-src data: blob:"
    head = f'<meta http-equiv="Content-Security-Policy" content="{policy}">'
    return html.replace("<head>", f"<head>\n{head}", 1)
