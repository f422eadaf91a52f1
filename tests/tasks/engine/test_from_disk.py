"""Features key by key from files: what is read, how keys are dealt, and clear words about files that do not fit."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tasks.engine import from_disk
from tasks.engine.answers import in_hours
from tasks.engine.compute import compute
from tasks.engine.derive import derive
from tasks.engine.from_disk import _chunks, _nothing, event_columns, key_hash, row_columns
from tasks.errors import RefitError
from tasks.files import write_table
from tasks.params import parse
from tests.tasks.engine.worlds import assert_same, plan, tree, world


def written(folder: Path, tables: dict[str, pd.DataFrame]) -> dict[str, Path]:
    for name, table in tables.items():
        write_table(folder / f"{name}.parquet", table)
    return {name: folder / f"{name}.parquet" for name in tables}


def test_rows_that_ask_may_stand_in_a_file_of_their_own_and_other_tables_be_empty(tmp_path: Path) -> None:
    tables = world(3, 40)
    tables["prices"] = tables["prices"].iloc[:0]
    files = written(tmp_path, tables)
    asking = tables["orders"].iloc[25:].reset_index(drop=True)
    write_table(tmp_path / "asking.parquet", asking)
    (made,) = from_disk.compute_from_disk(plan(), files, asking=tmp_path / "asking.parquet")
    assert_same(compute(plan(), tables, asking), made)


def test_files_that_do_not_fit_are_named(tmp_path: Path) -> None:
    tables = world(4, 30)
    for name, change, message in (
        ("people", lambda t: t.drop(columns="age"), r"people\.parquet: lacks columns 'age'"),
        ("orders", lambda t: t.assign(id=t["id"].where(t.index != 7, t["id"][3])), r"orders: the keys \(id\) .* occur more than once"),
    ):  # fmt: skip
        files = written(tmp_path, {**tables, name: change(tables[name])})
        with pytest.raises(RefitError, match=message):
            list(from_disk.compute_from_disk(plan(), files))
    files = written(tmp_path, tables)
    with pytest.raises(RefitError, match=r"nothing\.parquet: cannot be read as Parquet"):
        list(_chunks(tmp_path / "nothing.parquet", ["a"], 5))
    assert [len(frame) for frame in _chunks(files["orders"], ["id"], 15)] == [15, 15]
    assert [len(frame) for frame in _chunks(files["orders"], ["id"], 20)] == [20, 10]


def test_a_group_reads_its_keys_times_values_and_what_settles_ties() -> None:
    by = {(g.table, g.on): g for g in plan().groups}
    prices = by["prices", (("who", "who"),)]
    assert event_columns(plan(), prices) == ["pid", "who", "since", "told", "price", "label"]
    orders = by["orders", (("who", "who"), ("where", "where"))]
    assert event_columns(plan(), orders) == ["id", "happened", "known", "who", "where", "amount", "paid", "shop"]
    assert row_columns(plan(), orders) == ["id", "asked", "who", "where"]
    empty = _nothing(plan(), prices)
    assert {c: str(t) for c, t in empty.dtypes.items()} == {
        "pid": "float64", "who": "str", "since": "datetime64[us, UTC]", "told": "datetime64[us, UTC]", "price": "float64",
        "label": "str",
    }  # fmt: skip


def test_equal_keys_have_equal_hashes_and_others_hardly_ever() -> None:
    table = plan().tables["orders"]
    n = 4000
    frame = pd.DataFrame({"who": pd.Series([f"p{i}" for i in range(n)], dtype="str"), "where": np.arange(n) % 7.0})
    both = key_hash(frame, ["who", "where"], table)
    assert len(np.unique(both)) == n
    counts = np.bincount((both % np.uint64(8)).astype(int), minlength=8)
    assert counts.min() > 0.8 * n / 8
    other = frame.iloc[::-1].reset_index(drop=True)
    assert (key_hash(other, ["who", "where"], table)[::-1] == both).all()
    zero = frame.assign(where=0.0), frame.assign(where=-0.0)
    assert (key_hash(zero[0], ["where"], table) == key_hash(zero[1], ["where"], table)).all()
    gone = frame.assign(who=pd.Series([None] * n, dtype="str"))
    assert len(np.unique(key_hash(gone, ["who"], table))) == 1
    assert len(np.unique(key_hash(gone, ["who", "where"], table))) == 7


def test_events_own_features_come_from_files_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Depth 2, with the events read eleven at a time, a table without rows, and a chunk that ends in the middle."""
    monkeypatch.setattr(from_disk, "CHUNK", 11)
    deep = derive(parse(tree(["1d", "last 2"], {"who.mean(amount, 1d)": ["max"], "amount": ["mean"]})))
    assert deep.children
    tables = world(5, 30)
    for table in (tables, {**tables, "orders": tables["orders"].iloc[:0]}):
        files = written(tmp_path, table)
        found = list(from_disk.compute_from_disk(deep, files, chunk=13))
        assert [len(part) for part in found] == ([13, 13, 4] if len(table["orders"]) else [])
        if found:
            assert_same(compute(deep, table, table["orders"]), pd.concat(found))


def test_a_moment_is_told_as_hours_before_the_row_a_span_as_hours_and_a_number_as_it_is() -> None:
    value, t = np.array([7_200_000_000.0, np.nan]), np.array([10_800_000_000, 5])
    for kind, wanted in (("moment", 1.0), ("span", 2.0), (None, 7_200_000_000.0)):
        found = in_hours(value, kind, t)
        assert found[0] == wanted
        assert np.isnan(found[1])


@pytest.mark.parametrize(
    ("copies", "memory", "part", "parts"),
    [  # a group of 8 columns of 120 events and 4 of 120 rows: 8 · 120 · (8 + 4 + 2 · copies + 2 · features) bytes
        (12, 1, 400_000, 1), (500, 1, 400_000, 2), (5000, 1, 400_000, 10), (5000, 10, 400_000, 1), (12, 1, 120, 1), (12, 1, 119, 2),
        (12, 1, 40, 3), (12, 1, 39, 4), (5000, 1, 39, 10),
    ],
)  # fmt: skip
def test_a_table_is_dealt_into_as_many_parts_as_memory_and_cache_ask(
    copies: int, memory: int, part: int, parts: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tables = world(6, 120)
    files = written(tmp_path, tables)
    (group,) = (g for g in plan().groups if g.on == (("who", "who"), ("where", "where")))
    features = len(group.features)
    assert (len(event_columns(plan(), group)), len(row_columns(plan(), group))) == (8, 4)
    assert max(1, -(-8 * 120 * (12 + 2 * copies + 2 * features) // (memory * 10**6)), -(-120 // part)) == parts
    monkeypatch.setattr(from_disk, "COPIES", copies)
    monkeypatch.setattr(from_disk, "PART", part)
    dealt: list[tuple[str, int]] = []
    deal = from_disk._deal
    monkeypatch.setattr(from_disk, "_deal", lambda *given: (dealt.append(given[-2:]), deal(*given))[1])
    blocks: list[int] = []
    monkeypatch.setattr(
        from_disk, "compute", lambda plan, tables, rows: (blocks.append(len(rows)), compute(plan, tables, rows))[1]
    )
    from_disk._compute_group(plan(), group, files, files["orders"], tmp_path / "group", memory, 50)
    assert dealt == [("event", parts), ("row", parts)]
    assert sum(blocks) == 120
    assert max(blocks) <= part
    assert sorted(p.name for p in (tmp_path / "group").iterdir()) == [f"chunk{c}.arrow" for c in range(3)]
    whole = compute(plan(), tables, tables["orders"])
    for c, count in enumerate((50, 50, 20)):
        found = from_disk._gather(tmp_path / "group" / f"chunk{c}.arrow", 50 * c, count)
        assert set(found) == {f.name for f in group.features}
        expected = whole[list(found)].iloc[50 * c : 50 * c + count].reset_index(drop=True)
        assert_same(expected, pd.DataFrame(found).astype(expected.dtypes))
    assert list((tmp_path / "group").iterdir()) == [], "what was gathered is gone"
