"""Small projects of two tables on disk: orders that are predicted, and the weather of each day."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from tasks.params import Params, parse

Tree = dict[str, Any]


def order_tree() -> Tree:
    """Orders predicted a day before they are due; what became of one is known two hours after its end."""
    return {
        "problem": {
            "name": "orders",
            "kind": "binary",
            "table": "orders",
            "target": {"name": "slow", "column": "hours", "above": 10},
            "prediction_time": "due_at - 1d",
        },
        "data": {
            "as_of": "2024-02-10T12:00:00Z",
            "max_quarantined": 0.2,
            "tables": {
                "orders": {
                    "source": "orders.csv",
                    "key": ["id"],
                    "event_time": "ended_at",
                    "known_at": "ended_at + 2h",  # the file comes two hours later
                    "outcome": ["hours", "ended_at"],
                    "columns": {
                        "id": "categorical",
                        "due_at": "datetime",
                        "size": {"kind": "numeric", "min": 1, "max": 9, "nullable": False},
                        "shop": {"kind": "categorical", "allowed": ["a", "b"]},
                        "hours": {"kind": "numeric", "min": 0},
                        "ended_at": "datetime",
                    },
                },
                "weather": {
                    "source": "weather.csv",
                    "key": ["shop", "day"],
                    "event_time": "day",
                    "known_at": "told_at",
                    "columns": {
                        "shop": "categorical",
                        "day": {"kind": "datetime", "nullable": False},
                        "told_at": "datetime",
                        "rain": "numeric",
                    },
                },
            },
        },
        "models": {"logistic": {}},
    }


def utc(texts: object) -> pd.Series:
    return pd.Series(pd.to_datetime(texts, utc=True, format="ISO8601")).astype("datetime64[us, UTC]")  # type: ignore[call-overload]


def order_frame(rows: int = 60) -> pd.DataFrame:
    """An order a day from 1 January 2024 on, each ended at its due time plus ``hours``; none breaks the contract."""
    due = utc(pd.date_range("2024-01-01", periods=rows, tz="UTC"))
    hours = pd.Series([float(x % 20) for x in range(rows)])
    return pd.DataFrame(
        {
            "id": pd.Series([f"o{x}" for x in range(rows)], dtype="str"),
            "due_at": due,
            "size": [float(1 + x % 9) for x in range(rows)],
            "shop": pd.Series(["a", "b"] * (rows // 2) + ["a"] * (rows % 2), dtype="str"),
            "hours": hours,
            "ended_at": utc(due + pd.to_timedelta(hours, unit="h")),
        }
    )


def weather_frame(rows: int = 60) -> pd.DataFrame:
    day = utc(pd.date_range("2024-01-01", periods=rows, tz="UTC"))
    return pd.DataFrame(
        {
            "shop": pd.Series(["a"] * rows, dtype="str"),
            "day": day,
            "told_at": utc(day + pd.Timedelta(hours=6)),
            "rain": [float(x % 5) for x in range(rows)],
        }
    )


@pytest.fixture
def tree() -> Tree:
    return order_tree()


@pytest.fixture
def make(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Params]:
    """Write ``params.yaml`` and ``data/raw`` of a project, and make it the current folder."""
    from tasks.files import write_json, write_table

    def project(tree: Tree, problems: dict[str, pd.DataFrame] | None = None, **tables: pd.DataFrame) -> Params:
        monkeypatch.chdir(tmp_path)
        write_json("params.yaml", tree)  # JSON is YAML
        for name, frame in tables.items():
            write_table(Path("data/raw") / f"{name}.parquet", frame)
        for name, frame in (problems or {}).items():
            write_table(Path("data/raw") / f"{name}.problems.parquet", frame)
        return parse(tree)

    return project
