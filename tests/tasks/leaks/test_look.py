"""The look over a whole small table: what is suspected, by which column, and that the same input gives the same bytes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from tasks.artifacts import Suspicion
from tasks.engine import Plan, foresight
from tasks.engine.compute import compute
from tasks.engine.derive import derive
from tasks.files import read_json, write_json, write_table
from tasks.leaks.__main__ import main
from tasks.leaks.columns import columns_of
from tasks.leaks.look import look, one_each
from tasks.params import parse
from tests.bench.leaks import closed_on, honest_shops, month_to_come, next_five, static_mean
from tests.samples import summary


def seen(table: tuple[dict[str, Any], dict[str, pd.DataFrame]]) -> list[tuple[str, str]]:
    """Column and kind of each suspicion."""
    spec, tables = table
    plan = derive(parse(spec))
    return [(s.column, s.kind) for s in look(plan, tables, made_of(plan, tables), "binary", 42).suspicions]


def made_of(plan: Plan, tables: dict[str, pd.DataFrame]) -> pd.DataFrame:
    rows = tables[plan.table]
    at = rows["at"].rank(pct=True)
    part = np.select([at > 0.85, at > 0.65], ["test", "valid"], "train").astype(object)
    head = pd.DataFrame({"__row__": range(len(rows)), "__split__": part, "__target__": rows["is_late"]})
    return pd.concat([head, compute(plan, tables, rows)], axis=1)


@pytest.mark.parametrize(
    ("make", "column", "kind"),
    [
        (static_mean, "people.risk", "future aggregate"),
        (month_to_come, "months.share", "future aggregate"),
        (next_five, "coming", "future aggregate"),
        (closed_on, "closed", "copy"),
    ],
)
def test_aggregates_over_labels_to_come_are_named(make: Any, column: str, kind: str) -> None:
    assert seen(make()) == [(column, kind)]


def test_honest_histories_are_not_suspected() -> None:
    assert seen(honest_shops()) == []


def test_test_rows_take_no_part() -> None:
    spec, tables = honest_shops()
    plan = derive(parse(spec))
    made = made_of(plan, tables)
    before = look(plan, tables, made, "binary", 42)
    test = made["__split__"] == "test"
    made.loc[test, "__target__"] = 1 - made.loc[test, "__target__"]
    assert look(plan, tables, made, "binary", 42) == before


def test_the_stage_writes_the_same_bytes_and_nothing_that_depends_on_the_clock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:  # fmt: skip
    spec, tables = next_five()
    monkeypatch.chdir(tmp_path)
    write_json(tmp_path / "params.yaml", spec)  # JSON is YAML
    plan = derive(parse(spec))
    for name, frame in tables.items():
        write_table(tmp_path / "data" / "validated" / f"{name}.parquet", frame)
    write_table(tmp_path / "data" / "features" / "features.parquet", made_of(plan, tables))
    write_json(tmp_path / "data" / "features" / "plan.json", plan.to_dict())
    summary().write(tmp_path / "data" / "features")
    main()
    file = tmp_path / "data" / "leaks" / "leaks.json"
    first = file.read_bytes()
    monkeypatch.setattr(foresight, "HELD", 1)  # and however many rows are looked at together
    main()
    assert file.read_bytes() == first
    found = read_json(file)
    assert look(plan, tables, made_of(plan, tables), "binary", 42).to_dict() == found  # in memory as from disk
    assert [s["column"] for s in found["suspicions"]] == ["coming"]
    assert found["suspicions"][0]["said"].startswith(
        "was computed from what came later: it is the mean of late over the next 5 rows"
    )
    assert len(found["checked"]) >= 5
    assert any("cannot be told from an honest one" in limit for limit in found["limits"])


def test_the_column_behind_a_feature() -> None:
    spec, _ = static_mean()
    spec["features"]["transforms"] = {"ratio": "size / (mood + `people.risk`)", "twice": "ratio * 2"}
    plan = derive(parse(spec))
    asked = ("size", "people.risk", "who.mean(late, 7d)", "who.count(7d)", "ratio", "twice", "closed - at")
    assert [columns_of(name, plan) for name in asked] == [
        ["size"], ["people.risk"], ["late"], ["at"], ["size", "mood", "people.risk"], ["size", "mood", "people.risk"],
        ["closed - at"],
    ]  # fmt: skip


def test_one_suspicion_for_each_column_and_none_for_what_is_made_of_them() -> None:
    def one(column: str, strength: float | None, *columns: str) -> Suspicion:
        about = {"feature": column, "kind": "copy", "strength": strength, "certain": False, "said": ""}
        return Suspicion(column=column, columns=[column, *columns], **about)

    found = [one("a", 0.95), one("a", 0.99), one("b", None), one("c", 1.0, "a"), one("d", 0.9, "e")]
    assert one_each(found) == [one("a", 0.99), one("d", 0.9, "e"), one("b", None)]
