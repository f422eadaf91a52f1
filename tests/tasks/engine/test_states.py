"""Rows that were corrected: features see what was known at their moment, and every event once."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tasks.artifacts.columns import UNTIL
from tasks.engine import Plan, from_disk
from tasks.engine.compute import compute
from tasks.engine.derive import derive
from tasks.engine.facts import Events
from tasks.engine.online import start
from tasks.errors import RefitError
from tasks.files import write_table
from tasks.params import parse
from tasks.states import apart, last_known, path_of, read_states
from tests.tasks.engine.worlds import assert_same, moments, plan, plan_by_column, tree, world, world_by_column

KNOWN = {"orders": ("id", "happened", "known"), "prices": ("pid", "since", "told")}


def corrected(seed: int, n: int, moved: str, by_column: bool = False) -> dict[str, pd.DataFrame]:
    """A world in which about a third of the orders and prices were corrected, some of them twice.

    ``moved``: also in their event's "time", in the columns that make its "key", or in values alone ("").
    ``by_column``: some columns become known after their row.
    """
    rng = np.random.default_rng(seed)
    tables = world_by_column(seed, n) if by_column else world(seed, n)
    for name, (key, event, known) in KNOWN.items():
        first = tables[name]
        states = [first]
        for _ in range(2):
            again = states[-1][states[-1][known].notna()].sample(frac=0.35, random_state=int(rng.integers(1000)))
            other = first.sample(len(again), random_state=int(rng.integers(1000)), replace=True)
            changed = again.assign(
                **{
                    c: other[c].to_numpy()
                    for c in first.columns
                    if c
                    not in (key, event, known, "asked", "checked", "y", *(() if moved == "key" else ("who", "where")))
                }
            )
            later = again[known] + pd.to_timedelta(rng.choice([0.25, 1, 6, 40], len(again)), unit="h")
            changed[known] = later.astype(first[known].dtype)
            if moved == "time":
                by = pd.to_timedelta(rng.choice([-3, 0, 0, 0.25], len(again)), unit="h")
                changed[event] = np.minimum(changed[event] + by, changed[known]).astype(first[event].dtype)
            states.append(changed)
        tables[name] = pd.concat(states, ignore_index=True).sample(frac=1, random_state=seed % 1000, ignore_index=True)
    return tables


def told_apart(tables: dict[str, pd.DataFrame]) -> dict[str, pd.DataFrame]:
    """As validation and :func:`read_states` leave them."""
    made = dict(tables)
    for name, (key, _, known) in KNOWN.items():
        frame = tables[name]
        state, until = apart(frame, [key], frame[known], None)
        with_until = frame.assign(**{UNTIL: until})
        made[name] = pd.concat([with_until[state == 1], with_until[state == 0]], ignore_index=True)
        assert (state >= 0).all()
    return made


def as_known(tables: dict[str, pd.DataFrame], t: pd.Timestamp) -> dict[str, pd.DataFrame]:
    """What somebody would have had on file just before ``t``: each row as it was known last."""
    made = dict(tables)
    for name, (key, _, known) in KNOWN.items():
        there = tables[name][tables[name][known] < t].sort_values(known, kind="stable")
        made[name] = there.drop_duplicates(key, keep="last").reset_index(drop=True)
    return made


@pytest.mark.parametrize("by_column", [False, True])
@example(seed=55, moved="time")  # the time of a row's own event is missing in its first state
@settings(max_examples=2, deadline=None)
@given(seed=st.integers(0, 2**31), moved=st.sampled_from(["", "key", "time"]))
def test_features_are_those_of_what_was_known_then(by_column: bool, seed: int, moved: str) -> None:
    """Against the definition: every row's features from the tables as they were known just before its moment; online too."""
    asked = plan_by_column(told=True) if by_column else plan()
    raw = corrected(seed, 16, moved, by_column)
    tables = told_apart(raw)
    rows = last_known(tables["orders"])
    rows = rows[rows["asked"].notna()]
    found = compute(asked, tables, rows)
    for i in range(len(rows)):
        want = compute(asked, as_known(raw, rows["asked"].iloc[i]), rows.iloc[[i]])
        assert_same(want, found.iloc[[i]])
    state = start(asked, tables)
    online = pd.DataFrame([state.compute_row(r) for r in rows.to_dict("records")], index=rows.index)
    assert_same(found, online.astype(found.dtypes))


@pytest.mark.parametrize("moved", ["key", "time"])
def test_parts_of_a_table_by_key_give_the_features_of_the_whole(moved: str) -> None:
    """As Spark deals them: the next state of a row may be in another part. A state that was rejected leaves a gap too."""
    tables = told_apart(corrected(1, 60, moved))
    orders = tables["orders"]
    gone = orders[UNTIL].notna() & (np.arange(len(orders)) % 3 == 0)
    tables["orders"] = orders[~gone].reset_index(drop=True)
    rows = last_known(tables["orders"])
    found = compute(plan(), tables, rows)
    state = start(plan(), tables)
    some = rows[rows["asked"].notna()].iloc[::2]
    online = pd.DataFrame([state.compute_row(r) for r in some.to_dict("records")], index=some.index)
    assert_same(found.loc[some.index], online.astype(found.dtypes))
    for who in ("ann", "bob", "cy"):
        here = {**tables, "orders": tables["orders"][tables["orders"]["who"] == who].reset_index(drop=True)}
        asking = rows[rows["who"] == who]
        assert_same(found.loc[asking.index], compute(plan(), here, asking))


@pytest.mark.parametrize("moved", ["key", "time"])
def test_pieces_from_files_see_the_same_states(moved: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(from_disk, "COPIES", 12_000)  # as if each part took more memory, so that there are many
    tables = told_apart(corrected(2, 30, moved))
    rows = last_known(tables["orders"]).reset_index(drop=True)
    files = {name: tmp_path / f"{name}.parquet" for name in tables}
    for name, table in tables.items():
        table.to_parquet(files[name])
    rows.to_parquet(tmp_path / "asking.parquet")
    made = pd.concat(from_disk.compute_from_disk(plan(), files, 1, tmp_path / "asking.parquet"))
    assert_same(compute(plan(), tables, rows), made)
    twice = pd.concat([tables["orders"], rows.iloc[:1]], ignore_index=True)
    twice.to_parquet(files["orders"])
    with pytest.raises(RefitError, match="occur more than once"):
        next(from_disk.compute_from_disk(plan(), files, 1, tmp_path / "asking.parquet"))


def test_a_state_that_comes_after_another_event_of_its_moment_is_the_last_one() -> None:
    """Of events of one moment the one known later is newer: a correction may put an event behind another."""
    tables = told_apart(corrected(114, 16, ""))
    rows = last_known(tables["orders"])
    asked = derive(parse(tree(["last 1"], {})))
    found = compute(asked, tables, rows)
    assert found["who.count(last 1)"].max() == 1
    state = start(asked, tables)
    online = pd.DataFrame([state.compute_row(r) for r in rows.to_dict("records")], index=rows.index)
    assert_same(found, online.astype(found.dtypes))


def test_the_latest_states_alone_are_not_enough() -> None:
    """The property above can fail: without the earlier states, rows between two of them see nothing."""
    tables = told_apart(corrected(5, 30, ""))
    rows = last_known(tables["orders"])
    alone = {name: last_known(frame) for name, frame in tables.items()}
    both = [compute(plan(), each, rows) for each in (tables, alone)]
    assert not both[0].equals(both[1])


def apart_of(
    ids: list[float | None], hours: list[float | None], as_of: float | None = None
) -> tuple[list[int], list[float | None]]:
    frame = pd.DataFrame({"id": ids})
    known = moments([np.nan if h is None else h for h in hours])
    start = moments([0.0]).iloc[0]
    limit = None if as_of is None else moments([as_of]).iloc[0]
    state, until = apart(frame, ["id"], known, limit)
    spans = [None if pd.isna(u) else (u - start) / pd.Timedelta("1h") for u in until]
    return state.tolist(), spans


@pytest.mark.parametrize(
    ("ids", "hours", "as_of", "state", "until"),
    [
        ([1, 2, 1], [5, 1, 9], None, [0, 1, 1], [9, None, None]),
        ([1, 1, 1], [9, 5, 7], None, [1, 0, 0], [None, 7, 9]),
        ([1, 1, 1], [9, 5, 7], 8, [-1, 0, 1], [None, 7, None]),
        ([1, 1, 1], [9, 5, 7], 5, [-1, 1, -1], [None, None, None]),
        (
            [1, 1, 2],
            [9, 5, 3],
            4,
            [-1, 1, 1],
            [None, None, None],
        ),  # of row 1 nothing is known yet: its first state stands for it
        ([1, 1], [None, 5], None, [-1, 1], [None, None]),  # a label that was missing at first
        ([1, 1], [None, 5], 4, [1, -1], [None, None]),
        ([1, 1, 1], [5, 5, 6], None, [1, 1, 1], [None, None, None]),  # no states of each other: validation rejects them
        ([None, None], [5, 6], None, [1, 1], [None, None]),
        ([], [], None, [], []),
    ],
)
def test_states_by_hand(
    ids: list[float | None], hours: list[float | None], as_of: float | None, state: list[int], until: list[float | None]
) -> None:
    assert apart_of(ids, hours, as_of) == (state, until)


def test_only_the_last_state_is_held_against_a_key(tmp_path: Path) -> None:
    tables = told_apart(corrected(3, 20, ""))
    table = Plan.from_dict(plan().to_dict()).tables["orders"]
    Events(table, tables["orders"]).check_key()
    twice = pd.concat([tables["orders"], tables["orders"][tables["orders"][UNTIL].isna()].iloc[:1]], ignore_index=True)
    with pytest.raises(RefitError, match="share their key"):
        Events(table, twice).check_key()


def test_earlier_states_lie_below_the_rows_whose_positions_stay(tmp_path: Path) -> None:
    whole = told_apart(corrected(3, 20, ""))["orders"]
    now, old = last_known(whole).drop(columns=UNTIL), whole[whole[UNTIL].notna()]
    write_table(tmp_path / "orders.parquet", now)
    assert read_states(tmp_path, "orders").equals(now.reset_index(drop=True))
    write_table(path_of(tmp_path, "orders"), old)
    again = read_states(tmp_path, "orders")
    assert again.drop(columns=UNTIL).iloc[: len(now)].equals(now.reset_index(drop=True))
    assert len(last_known(again)) == len(now)
    assert len(again) == len(whole)


@pytest.mark.parametrize(
    ("hour", "mean", "count"),
    [(0.5, 100.0, 1.0), (1.5, 55.0, 2.0), (5.0, 60.0, 2.0), (9.5, 11.0, 2.0), (11.0, 16.0, 2.0)],
)
def test_a_corrected_event_is_one_of_the_last_two_and_not_both_of_them(hour: float, mean: float, count: float) -> None:
    """Values 100 at 0, 10 at 1 (from 2 on it is 20), and 2 at 9 (from 10 on it is 12)."""
    spec = {
        "problem": {"name": "p", "kind": "regression", "table": "asks", "target": "y", "prediction_time": "asked"},
        "data": {
            "tables": {
                "asks": {"source": "a", "key": ["n"], "columns": {"n": "numeric", "asked": "datetime", "who": "categorical", "y": "numeric"}},
                "facts": {"source": "f", "key": ["id"], "event_time": "at", "known_at": "told", "corrections": "states",
                          "columns": {"id": "numeric", "at": "datetime", "told": "datetime", "who": "categorical", "x": "numeric"}},
            }
        },
        "features": {"columns": [], "history": [{"table": "facts", "by": ["who"], "windows": ["last 2"], "columns": {"x": ["mean"]}, "count": True}]},
        "models": {"ridge": {}},
    }  # fmt: skip
    who = {"who": pd.Series(["ann"] * 5, dtype="str")}
    facts = pd.DataFrame({"id": [0.0, 1, 1, 2, 2], "at": moments([0.0, 1, 1, 9, 9]), "told": moments([0.0, 1, 2, 9, 10]), **who,
                          "x": [100.0, 10, 20, 2, 12], UNTIL: moments([np.nan, 2, np.nan, 10, np.nan])})  # fmt: skip
    asks = pd.DataFrame({"n": [1.0], "asked": moments([hour]), "who": pd.Series(["ann"], dtype="str"), "y": [0.0]})
    small, tables = derive(parse(spec)), {"asks": asks, "facts": facts}
    found = compute(small, tables, asks)
    assert found.iloc[0].tolist() == ([mean, count] if "mean" in found.columns[0] else [count, mean])
    one = start(small, tables).compute_row(asks.to_dict("records")[0])
    assert [one[name] for name in found.columns] == found.iloc[0].tolist()
