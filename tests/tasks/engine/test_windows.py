"""Windows over a whole table answer as windows over one key's events do: two ways to the same bits, on small tables."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from tasks.artifacts.columns import UNTIL
from tasks.engine.exact import Exact
from tasks.engine.facts import FOREVER, Events, TableSchema, Time
from tasks.engine.history import KeyHistory
from tasks.engine.local import Index
from tasks.engine.views import HistoryWindow
from tasks.engine.windows import IndexedWindow
from tasks.values.durations import Span

NAN = np.nan
SPANS = [Span("all"), Span("last 1"), Span("last 3"), Span("0.000007s"), Span("0.000025s"), Span("0.000070s")]
TABLES = ["in order", "before 1970", "late", "late, some missing", "all missing", "one key", "corrected", "nothing"]


def values(column):  # type: ignore[no-untyped-def]
    return column.x()


def moments(micros: np.ndarray) -> pd.Series:
    return pd.Series(pd.to_datetime(micros, unit="us", utc=True)).astype("datetime64[us, UTC]")


def made(name: str, seed: int) -> tuple[Events, np.ndarray, np.ndarray, np.ndarray]:
    """A table's facts and their key codes; the rows' key codes (a third key has no events, -1 is none) and moments."""
    rng = np.random.default_rng(seed)
    n, rows = (0 if name == "nothing" else 24), 30
    event = rng.integers(0, 40, n) - (60 if name == "before 1970" else 0)
    known = event + (rng.integers(0, 15, n) if name.startswith(("late", "corrected")) else 0)
    x = rng.integers(-3, 4, n).astype(float) * 0.5
    if "missing" in name:
        x[rng.random(n) < (1.0 if name == "all missing" else 0.4)] = NAN
    codes = rng.integers(-1, 1 if name == "one key" else 2, n)
    frame = pd.DataFrame({"id": np.arange(float(n)), "at": moments(event), "told": moments(known), "x": x})
    if name == "corrected":  # a third of the events have a next state, known somewhat later
        again = np.flatnonzero(rng.random(n) < 0.35)
        later = known[again] + rng.integers(1, 12, len(again))
        until = np.full(n, NAN)
        until[again] = later
        x2 = rng.integers(-3, 4, len(again)) * 0.5
        states = frame.iloc[again].assign(told=moments(later).array, x=x2, until=NAN)
        frame = pd.concat([frame.assign(until=until), states], ignore_index=True)
        frame[UNTIL] = moments(frame.pop("until").to_numpy())
        codes = np.concatenate([codes, codes[again]])
    spec = TableSchema(
        "t", {"id": "numeric", "at": "datetime", "told": "datetime", "x": "numeric"}, ("id",), Time("at"), Time("told")
    )
    if name in ("in order", "one key"):
        spec = TableSchema("t", spec.columns, ("id",), Time("at"))
    asked = rng.integers(-6 if name == "before 1970" else -2, 60, rows)
    return Events(spec, frame), codes, rng.integers(-1, 3, rows), asked


def by_key(facts: Events, codes: np.ndarray, code: int) -> KeyHistory:
    order = facts.order()
    order = order[codes[order] == code] if code >= 0 else order[:0]
    until = np.full(len(order), FOREVER) if facts.until is None else facts.until[order]
    times = np.stack([facts.event[order], facts.known[order], order, until])
    key = facts.values("id")
    return KeyHistory({"x": 0}, times, facts.values("x")[order][None, :], {}, lambda a, b: bool(key[a] < key[b]))


@pytest.mark.parametrize("seed", [0, 1, 2])
@pytest.mark.parametrize("name", TABLES)
def test_a_table_and_one_key_give_the_same_answers(name: str, seed: int) -> None:
    facts, codes, row_codes, t = made(name, seed)
    index = Index(facts, codes, row_codes, t, np.argsort(t, kind="stable"))
    assert sorted(index.rows.tolist()) == list(range(len(t)))
    rng = np.random.default_rng(seed)
    for span in SPANS:
        part = slice(3, 27)
        mine = IndexedWindow(index, index.column("x"), span, part)
        rows = index.rows[part]
        views = [by_key(facts, codes, int(row_codes[r])).view([span], int(t[r]), None) for r in rows]
        other = HistoryWindow(views, "x")

        def same(one: np.ndarray, two: np.ndarray, what: str, span: Span = span) -> None:
            assert np.array_equal(one, two, equal_nan=True), (what, span, one, two)

        def alike(one: Exact, two: Exact, what: str) -> None:
            same(one.to_float(), two.to_float(), what)

        same(mine.n, other.n, "n")
        same(mine.t, other.t, "t")
        alike(mine.sum(values), other.sum(values), "sum")
        for k in (np.zeros(24, np.int64), other.n - 1, other.n - 2, other.n // 2, rng.integers(-1, 4, 24)):
            same(mine.kth(k), other.kth(k), "kth")
            same(mine.newest(k), other.newest(k), "newest")
        same(mine.newest_time(), other.newest_time(), "newest_time")
        same(mine.distinct(), other.distinct(), "distinct")
        same(mine.mode(), other.mode(), "mode")
        square = np.square
        same(mine.spread(square), other.spread(square), "spread")
        for marked in (lambda v: v > 0, lambda v: v == 0.5, lambda v: v > 9):
            same(mine.newer(marked), other.newer(marked), "newer")
        total = lambda v, age: float((v * age).sum()) if len(v) else -1.0  # noqa: E731
        same(mine.each(total), other.each(total), "each")
        if facts.until is None and span.last is None:  # of a number of rows no such mean is asked
            for length in (5, 12):
                for one, two in zip(mine.blocks(values, length), other.blocks(values, length), strict=True):
                    alike(one, two, f"blocks of {length}")
    index.release()
