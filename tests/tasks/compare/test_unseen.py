"""Which rows a comparison uses: rows that neither model has seen, fresh ones alone where they are enough."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from tasks.artifacts import ComparedRows
from tasks.bundle.seen import Seen
from tasks.compare.scores import Incomparable
from tasks.compare.unseen import Counted, choose, counted_by, unseen
from tasks.errors import RefitError
from tasks.identity import Rule, identify
from tasks.params import Table

TABLE = Table(source="t.csv", columns={"id": "numeric", "x": "numeric", "y": "categorical"})
KEYED = Table(source="t.csv", key=("id",), columns={"id": "numeric", "x": "numeric", "y": "categorical"})
RULE = Rule("t", ("id", "x"), ("numeric", "numeric"), keyed=False)
DAYS = pd.Series(pd.date_range("2024-01-01", periods=2000, freq="D", tz="UTC").as_unit("us"))
NEVER = pd.Series(pd.NaT, index=range(2000), dtype="datetime64[us, UTC]")


def rows(n: int = 2000) -> pd.DataFrame:
    return pd.DataFrame({"id": np.arange(float(n)), "x": np.arange(float(n)) % 97})


def record(whole: pd.DataFrame, chosen: object, time: pd.Series = NEVER, rule: Rule = RULE) -> Seen:
    mask = np.zeros(len(whole), dtype=bool)
    mask[chosen] = True
    return Seen.of(identify(whole, rule), mask, time.iloc[: len(whole)], rule)


def test_a_record_knows_its_rows_in_any_later_table_and_after_storage() -> None:
    seen = record(rows(), slice(0, 1200), DAYS)
    seen = Seen.from_bytes(seen.to_bytes(), "here")
    assert seen.until == DAYS[1199]
    later = pd.concat([rows(2500).iloc[2000:], rows().iloc[::-1], rows().iloc[:1]], ignore_index=True)
    assert (seen.has(identify(later, RULE)) == (later["id"] < 1200)).all()
    assert seen.to_bytes() == record(rows().iloc[::-1].reset_index(drop=True), slice(800, 2000), DAYS[::-1]).to_bytes()
    with pytest.raises(RefitError, match="x: not a record of seen rows"):
        Seen.from_bytes(b"PAR1", "x")


def test_copies_of_a_common_content_are_told_apart_only_where_they_always_were() -> None:
    twins = pd.DataFrame({"id": [1.0] * 100 + list(range(10, 1010)), "x": 0.0})
    seen = record(twins, slice(0, 60))
    assert seen.has(identify(twins, RULE))[:100].tolist() == [True] * 60 + [False] * 40
    rare = pd.concat([twins.iloc[:8], pd.DataFrame({"id": np.arange(10.0, 5010.0), "x": 0.0})], ignore_index=True)
    assert seen.has(identify(rare, RULE))[:8].all()  # the content is no longer common, so any copy may be one of those
    assert not seen.has(identify(rare, RULE))[8:].any()


def test_rows_that_the_champion_was_fitted_on_are_left_out() -> None:
    whole, at = rows(), np.arange(0, 2000, 4)
    free, warnings = unseen(whole, NEVER.iloc[:500], at, TABLE, record(whole, slice(0, 1000)), None)
    assert (free == (at >= 1000)).all()
    assert warnings == []
    strange = whole.assign(x=whole["x"] + 0.5)
    free, warnings = unseen(strange, NEVER.iloc[:500], at, TABLE, record(whole, slice(0, 1000)), None)
    assert free.all()
    assert "None of this table's rows is among those that the champion was fitted on" in warnings[0]


def test_a_rule_that_cannot_be_asked_leaves_newer_rows_or_a_refusal() -> None:
    whole, at = rows(), np.arange(0, 2000, 4)
    seen = record(whole, slice(0, 1000), DAYS)
    for gone in (
        Table(source="t.csv", columns={"id": "numeric", "y": "categorical"}),
        Table(source="t.csv", columns={"id": "numeric", "x": "categorical", "y": "categorical"}),
    ):
        free, warnings = unseen(whole, DAYS.iloc[at], at, gone, seen, None)
        assert (free == (at >= 1000)).all()
        assert "rows newer than all of its own" in warnings[0]
        with pytest.raises(Incomparable, match=r"knows rows by 'id', 'x', which this table .*`refit promote VERSION"):
            unseen(whole, NEVER.iloc[at], at, gone, seen, None)
    with pytest.raises(Incomparable, match="does not say which rows it was fitted on"):
        unseen(whole, NEVER.iloc[at], at, TABLE, None, "2024-01-01")
    free, _ = unseen(whole, DAYS.iloc[at], at, TABLE, None, DAYS[999].isoformat())
    assert (free == (at >= 1000)).all()


def test_a_key_given_later_does_not_make_old_rows_new() -> None:
    """The champion asks by its own rule, all inputs, though today's rule is the key."""
    whole, at = rows(), np.arange(0, 2000, 4)
    free, _ = unseen(whole, NEVER.iloc[:500], at, KEYED, record(whole, slice(0, 1000)), None)
    assert (free == (at >= 1000)).all()


def look(number: int, low: int, high: int, time: pd.Series = NEVER) -> Counted:
    return Counted(number, record(rows(), slice(low, high), time))


def test_each_row_belongs_to_the_look_that_counted_it_first() -> None:
    found = counted_by(rows(), np.arange(6), NEVER.iloc[:6], TABLE, [look(2, 1, 4), look(5, 2, 5)])
    assert found.tolist() == [np.inf, 2, 2, 2, 5, np.inf]
    narrow = Table(source="t.csv", columns={"id": "numeric"})  # the rule cannot be asked any longer
    found = counted_by(rows(), np.arange(6), DAYS.iloc[:6], narrow, [look(2, 1, 4, DAYS)])
    assert found.tolist() == [2, 2, 2, 2, np.inf, np.inf]
    assert counted_by(rows(), np.arange(6), NEVER.iloc[:6], narrow, [look(2, 1, 4)]).tolist() == [2] * 6


def chosen(looks: list[Counted], since: int, y: np.ndarray, free: np.ndarray | None = None, until: str | None = None):
    free = np.ones(2000, dtype=bool) if free is None else free
    return choose(rows(), np.arange(2000), y, free, len(np.unique(y)) < 10, DAYS, TABLE, looks, since, until)


HALF = np.tile([0.0, 1.0], 1000)
RARE = np.where(np.arange(2000) % 50 == 0, 1.0, 0.0)
NUMBER = np.arange(2000.0)


@pytest.mark.parametrize(
    ("y", "old", "decisive"),
    [
        (HALF, 1500, True),  # 500 fresh rows
        (HALF, 1501, False),  # 499
        (NUMBER, 1500, True),
        (RARE, 1500, False),  # 500 fresh rows with 10 of the rarer class
        (np.where(np.arange(2000) % 10 == 0, 1.0, 0.0), 1500, True),  # with 50 of it
        (np.where(np.arange(2000) % 10 == 0, 1.0, 0.0), 1501, False),
    ],
)
def test_fresh_rows_decide_alone_where_they_are_enough(y: np.ndarray, old: int, decisive: bool) -> None:
    found = chosen([look(3, 0, old)], 3, y)
    assert found.decisive == decisive
    assert found.at.tolist() == list(range(old if decisive else 0, 2000))
    new = 2000 - old
    assert found.counts == ComparedRows(test=2000, unseen=2000, fresh=new, new=new, compared=len(found.at))
    assert found.new.sum() == 2000 - old


def test_rows_counted_since_the_champion_took_office_are_fresh_but_not_new() -> None:
    found = chosen([look(3, 0, 800), look(4, 800, 1400)], 3, HALF)
    assert found.decisive
    assert found.at.tolist() == list(range(800, 2000))
    assert found.new.tolist() == [False] * 600 + [True] * 600
    again = chosen([look(3, 0, 800), look(4, 800, 1400)], 4, HALF)
    assert again.at.tolist() == list(range(1400, 2000))


def test_what_earlier_versions_counted_is_not_counted_again() -> None:
    found = chosen([], 0, HALF, until=DAYS[1199].isoformat())
    assert found.counts.new == 800
    assert found.at.tolist() == list(range(1200, 2000))


def test_too_few_unseen_rows_are_not_judged() -> None:
    free = np.arange(2000) < 19
    with pytest.raises(Incomparable, match=r"of 2,000 test rows only 19 \(9 of them not of the most frequent class\)"):
        chosen([], 0, HALF, free)
    assert len(chosen([], 0, HALF, np.arange(2000) < 20).at) == 20
    with pytest.raises(Incomparable, match=r"only 200 \(4 of them not of the most frequent class\) are unseen"):
        chosen([], 0, RARE, np.arange(2000) < 200)
    assert len(chosen([], 0, RARE, np.arange(2000) < 201).at) == 201
    with pytest.raises(Incomparable, match="of 2,000 test rows only 0"):
        chosen([], 0, NUMBER, np.zeros(2000, dtype=bool))
    with pytest.raises(Incomparable, match=r"of 2,000 test rows only 0 \(0 of them not of the most frequent class\)"):
        chosen([], 0, HALF, np.zeros(2000, dtype=bool))
