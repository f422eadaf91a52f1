"""The page over all runs: who was champion when, every decision, and drift."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from flows.ahead import ahead
from flows.all_runs import all_runs
from tasks.artifacts.folders import FEATURE_TABLE
from tasks.files import write_table
from tasks.params import parse
from tasks.registry.history import Decision
from tasks.registry.tracking import TrackedRun
from tests.tasks.report.test_page import Outline

NOW = datetime(2026, 3, 1, tzinfo=UTC)


def decided(number: int, action: Any, version: str, now: str | None, month: int, **measured: Any) -> Decision:
    return Decision(
        model="m", action=action, version=version, champion=now, package_sha256=f"sha {version}", reason=f"reason {number}",
        by="Ada" if action == "rollback" else "refit run", key=str(number), number=number,
        at=f"2026-{month:02d}-10T08:30:00+00:00", evidence={"measured": measured} if measured else {},
    )  # fmt: skip


def ran(day: int, test: float, version: str, drifted: bool | None, columns: int | None = None) -> TrackedRun:
    return TrackedRun(
        "r", f"2026-01-{day:02d}T08:00:00+00:00", f"2024-01-{day:02d}T00:00:00+00:00", "ridge", "rmse", test, (version,),
        drifted, columns, "The whole table drifted." if drifted else "",
    )  # fmt: skip


def test_champions_decisions_and_drift_are_told() -> None:
    first = {"metric": "rmse", "challenger": 3.0, "as_of": "2024-01-01T00:00:00+00:00"}
    second = {"metric": "rmse", "challenger": 2.5, "champion": 2.75, "as_of": "2024-01-08T00:00:00+00:00"}
    decisions = [
        decided(1, "promote", "1", "1", 1, **first),
        decided(2, "promote", "2", "2", 1, **second),
        decided(3, "rollback", "1", "1", 2),
    ]
    runs = [ran(1, 3.0, "1", None), ran(8, 2.5, "2", True, 4), ran(15, 2.6, "3", False, 0)]
    html = all_runs("m", decisions, runs, NOW)
    page = Outline(html)
    assert "Version 1 is the champion, since 10 Feb 2026." in page.text
    assert "It was brought back by Ada: reason 3" in page.text
    assert "2 × promoted, 1 × brought back" in page.text
    assert "in 1 of 2 runs that judged it" in page.text
    for said in (
        "version 2, promoted by refit run: 10 Jan 2026 to 10 Feb 2026",
        "version 1, brought back by Ada: 10 Feb 2026 to now",
        "8 Jan 2024: version 2, RMSE 2.50",
        "8 Jan 2024: drifted (4 columns)",
    ):
        assert said in html
    assert page.text.index("reason 3") < page.text.rindex("reason 2") < page.text.rindex("reason 1")
    assert "8 Jan 2024 2 The whole table drifted." in page.text
    assert all(link.startswith(("#", "data:")) for link in page.links)


def test_a_history_without_runs_and_runs_without_a_history() -> None:
    gone = [decided(1, "promote", "1", "1", 1), decided(2, "adopt", "", None, 2)]
    page = Outline(all_runs("m", gone, [], NOW))
    assert "There is no champion." in page.text
    assert "MLflow has no run of this model." in page.text
    page = Outline(all_runs("m", [], [ran(1, 3.0, "1", None)], NOW))
    assert "nothing was decided yet" in page.text
    assert "no run judged drift" in page.text


def test_what_errors_cost_and_what_comes_next_are_told() -> None:
    cheap = {"metric": "roc_auc", "challenger": 0.7, "challenger_cost": 0.25, "champion_cost": 1.5}
    decisions = [
        decided(1, "promote", "1", "1", 1, metric="roc_auc", challenger=0.6),
        decided(2, "promote", "2", "2", 2, **cheap),
    ]
    page = Outline(all_runs("m", decisions, [], NOW, ["Nothing is due: `refit deploy` helps."], "EUR"))
    assert "What happens next Nothing is due: refit deploy helps." in page.text
    assert "Errors cost" in page.text
    assert "0.250 EUR a row the champion’s 1.50 EUR" in page.text
    assert "Errors cost" not in Outline(all_runs("m", decisions[:1], [], NOW)).text


def test_when_a_run_is_due_and_what_it_decides(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    columns = {"x": "numeric", "y": "categorical"}
    tree = {"problem": {"name": "p", "kind": "binary", "table": "t", "target": "y"}, "models": {"logistic": {}}}
    params = parse({**tree, "data": {"tables": {"t": {"source": "t.csv", "columns": columns}}}})
    monkeypatch.delenv("PREFECT_API_URL", raising=False)
    due, following = ahead(tmp_path, params, "3")
    assert due == "No run is due by itself, as far as is known here: no Prefect server is named (PREFECT_API_URL)."
    assert "compares it with version 3" in following
    at = pd.to_datetime(["2024-05-01", "2024-06-24"], utc=True).as_unit("us")
    rows = pd.DataFrame({"__time__": at, "__known__": at + pd.Timedelta(14, "D"), "__split__": ["test", "pending"]})
    write_table(tmp_path / FEATURE_TABLE, rows.assign(__target__=[1.0, None]))
    monkeypatch.setenv("PREFECT_API_URL", "http://127.0.0.1:9/api")
    due, following, waiting = ahead(tmp_path, params, None)
    assert due.startswith(
        "When the next run is due is not known: PREFECT_API_URL: http://127.0.0.1:9/api does not answer"
    )
    assert "judges whether it is better than none" in following
    assert waiting.startswith("The labels of 1 row (24 Jun 2024) are awaited until 8 Jul 2024;")


def test_reasons_from_people_are_no_markup() -> None:
    nasty = Decision(
        "m",
        "promote",
        "1",
        "1",
        "sha",
        "<script>alert(1)</script>",
        "<b>",
        "k",
        number=1,
        at="2026-01-10T08:30:00+00:00",
    )
    html = all_runs("m", [nasty], [], NOW)
    assert html.count("<script>") == 1
    Outline(html)
