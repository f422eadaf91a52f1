"""Codes of columns: equal values of several tables have one code, in sorted order, and what is missing has none."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from tasks.artifacts.columns import UNTIL
from tasks.engine.facts import FOREVER, HOUR, MISSING, Events, TableSchema, Time, factorize, never_sees_itself, zoned
from tasks.errors import RefitError

MOMENTS = pd.to_datetime(["2024-01-02", None, "2024-01-01"], utc=True)


@pytest.mark.parametrize(
    ("kind", "one", "other", "codes", "categories"),
    [
        ("numeric", [3.0, np.nan, -1.5], [-1.5, 7.0], ([1, -1, 0], [0, 2]), [-1.5, 3.0, 7.0]),
        ("boolean", [1.0, np.nan, 0.0], [1.0], ([1, -1, 0], [1]), [0.0, 1.0]),
        ("categorical", ["b", None, "a"], ["c", "a"], ([1, -1, 0], [2, 0]), ["a", "b", "c"]),
        ("datetime", MOMENTS, MOMENTS[:1], ([1, -1, 0], [1]), [m.value / 1000 for m in MOMENTS[[2, 0]]]),
    ],
)
def test_values_of_several_tables_share_their_codes(kind: str, one: list, other: list, codes: tuple, categories: list) -> None:  # fmt: skip
    parts = [pd.Series(p, dtype="str") if kind == "categorical" else pd.Series(p) for p in (one, other)]
    found, names = factorize(parts, kind, "c", "t")
    assert [part.tolist() for part in found] == [list(part) for part in codes]
    assert all(part.dtype == np.int64 for part in found)
    assert names.tolist() == categories
    assert names.dtype == (np.float64 if kind == "numeric" else object)


def test_a_column_tells_whether_it_names_its_zone() -> None:
    assert zoned(pd.Series(MOMENTS)) is True
    assert zoned(pd.Series(MOMENTS.tz_localize(None))) is False
    assert zoned(pd.Series([1.0])) is None


# A table's rows as events -------------------------------------------------------------------------------------------

DAY = 24 * HOUR
EVENTS = TableSchema(
    "t", {"id": "numeric", "at": "datetime", "told": "datetime", "paid": "datetime", "x": "numeric", "c": "categorical"},
    ("id",), Time("at"), Time("told", HOUR), ("x",), {"x": Time("paid")},
)  # fmt: skip


def moments(*days: float | None) -> pd.Series:
    return pd.Series(pd.to_datetime([None if d is None else int(d * DAY) for d in days], unit="us", utc=True)).astype(
        "datetime64[us, UTC]"
    )


def events(**columns: object) -> pd.DataFrame:
    made = {"id": [4.0, 3, 2, 1], "at": moments(1, 0, None, 2), "told": moments(2, 0, 5, None), "paid": moments(1, 3, 4, 5),
            "x": [1.0, np.nan, 3, 4], "c": pd.Series(["b", "a", None, "b"], dtype="str")}  # fmt: skip
    return pd.DataFrame({**made, **columns})


def test_an_event_is_known_when_its_row_is_and_a_later_column_when_both_moments_have_come() -> None:
    facts = Events(EVENTS, events())
    assert facts.event.tolist() == [DAY, 0, MISSING, 2 * DAY]
    assert facts.known.tolist() == [2 * DAY + HOUR, HOUR, 5 * DAY + HOUR, MISSING]
    later = facts.later(Time("paid"))
    assert later.known.tolist() == [2 * DAY + HOUR, 3 * DAY, 5 * DAY + HOUR, MISSING]
    assert later.event is facts.event
    assert facts.later(Time("paid")) is later, "made once"
    assert facts.known.tolist() == [2 * DAY + HOUR, HOUR, 5 * DAY + HOUR, MISSING]
    assert facts.later(None) is facts
    assert facts.later(Time("paid", HOUR)).known.tolist()[1] == 3 * DAY + HOUR
    still = Events(TableSchema("t", EVENTS.columns), events())
    assert (still.event.tolist(), still.known.tolist()) == ([0] * 4, [0] * 4)
    assert still.later(Time("paid")) is still
    for known in (None, Time("at")):
        own = Events(TableSchema("t", EVENTS.columns, (), Time("at"), known), events())
        assert own.known is own.event


def test_what_is_known_before_it_happens_is_refused_by_its_rows() -> None:
    with pytest.raises(
        RefitError, match=r"^t: rows 1, 2 were known \(told\) before they happened \(at\); mend or remove"
    ):
        Events(EVENTS, events(at=moments(2, 1, 9, 9)))
    Events(EVENTS, events(at=moments(2, 1 / 24, None, 9)))  # at the same moment is not before


@pytest.mark.parametrize(
    ("time", "event", "wanted"),
    [
        (Time("at"), Time("at"), True), (Time("at", -1), Time("at"), True), (Time("at", 1), Time("at"), False),
        (Time("at"), Time("told"), False), (None, Time("at"), False), (Time("at"), None, False),
    ],
)  # fmt: skip
def test_a_row_that_is_asked_when_it_happens_or_before_never_sees_itself(
    time: Time | None, event: Time | None, wanted: bool
) -> None:
    assert never_sees_itself(time, event) is wanted


def test_events_stand_by_when_they_happened_were_known_and_by_their_key() -> None:
    facts = Events(EVENTS, events(at=moments(1, 1, 1, 0), told=moments(3, 2, 3, 9)))
    assert facts.order().tolist() == [3, 1, 2, 0], "of the two that are alike the smaller key comes first"
    assert Events(EVENTS, events()).order().tolist() == [1, 0], "what has no moment does not count"
    keyless = TableSchema("t", {"x": "numeric", "c": "categorical", "z": "ignore", "at": "datetime"}, (), Time("at"))
    tied = pd.DataFrame({"at": moments(1, 1, 1, 0), "x": [2.0, 1, 1, 5], "c": pd.Series(list("aabz"), dtype="str"), "z": list("zyxw")})  # fmt: skip
    assert Events(keyless, tied).order().tolist() == [3, 1, 0, 2], "by all columns, in the order of their names"
    assert Events(keyless, tied[:1]).order().tolist() == [0]
    assert Events(keyless, tied[:0]).order().tolist() == []


def test_values_are_numbers_moments_and_codes() -> None:
    facts = Events(EVENTS, events())
    for column, wanted in (("x", [1, np.nan, 3, 4]), ("at", [DAY, 0, np.nan, 2 * DAY]), ("c", [1, 0, np.nan, 1])):
        assert np.array_equal(facts.values(column), wanted, equal_nan=True)
    codes, names = facts.categories("c")
    assert (codes.tolist(), names.tolist()) == ([1, 0, -1, 1], ["a", "b"])
    with pytest.raises(RefitError, match=r"t\.x: infinite values in rows 1, 3; make them missing"):
        Events(EVENTS, events(x=[1.0, np.inf, 2, -np.inf])).values("x")
    with pytest.raises(RefitError, match=r"t\.x: expected numbers, found 'much'"):
        Events(EVENTS, events(x=["much", None, "much", None])).values("x")
    mixed = [pd.Timestamp("2024-01-01", tz="UTC"), pd.Timestamp("2024-01-01"), None, None]
    with pytest.raises(RefitError, match=r"t\.at: mixed time zones \('UTC', 'no zone'\); convert the column"):
        Events(EVENTS, events(at=pd.Series(mixed, dtype=object)))
    with pytest.raises(RefitError, match=r"t\.at: expected moments, found float64 \(1\.0, 2\.0\)"):
        Events(EVENTS, events(at=[1.0, 2, 3, 4]))
    with pytest.raises(RefitError, match=r"table 't' lacks column 'told'\."):
        Events(EVENTS, events().drop(columns="told"))


def test_a_key_is_unique_among_the_rows_that_are_known_now() -> None:
    Events(EVENTS, events()).check_key()
    Events(EVENTS, events(id=[1.0, 2, 3, 4])).check_key()
    with pytest.raises(
        RefitError, match=r"^t: rows 0, 3 share their key \(id\) with another row; keys must be unique$"
    ):
        Events(EVENTS, events(id=[4.0, 3, 2, 4])).check_key()
    with pytest.raises(RefitError, match="rows 0, 1 share their key"):
        Events(EVENTS, events(id=[1.0, 1, 2, 3])).check_key()
    Events(TableSchema("t", EVENTS.columns, (), Time("at")), events(id=[4.0, 4, 4, 4])).check_key()
    corrected = Events(EVENTS, events(id=[4.0, 4, 2, 2], **{UNTIL: moments(1, None, None, 3)}))
    assert corrected.until is not None
    assert corrected.until.tolist() == [DAY, FOREVER, FOREVER, 3 * DAY]
    corrected.check_key()
    assert corrected.chains.tolist() == [0, 0, 1, 1]
    with pytest.raises(RefitError, match="rows 1, 2 share their key"):
        Events(EVENTS, events(id=[4.0, 2, 2, 2], **{UNTIL: moments(1, None, None, 3)})).check_key()
    never = Events(EVENTS, events(id=[4.0, 3, 3, np.nan], **{UNTIL: moments(None, None, None, None)}))
    assert never.until is None
    assert never.chains.tolist() == [-1, 0, 0, -1]
    half = Events(
        EVENTS, events(**{UNTIL: moments(None, 2, None, None)})
    )  # its next state is in another part of the table
    assert half.chains.tolist() == [-1, 0, -1, -1]


def test_a_column_that_is_not_there_is_named_with_its_nearest() -> None:
    assert EVENTS.kind("x", "features.columns") == "numeric"
    with pytest.raises(RefitError, match=r"features\.columns: table 't' has no column 'tol'\..*'told'"):
        EVENTS.kind("tol", "features.columns")
