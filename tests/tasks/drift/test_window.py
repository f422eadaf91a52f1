"""Which rows are looked at."""

import numpy as np
import pandas as pd

from tasks.bundle.seen import Seen
from tasks.drift.window import newest, thin
from tasks.identity import Rule, identify
from tasks.params import Table

WEEK = pd.Timedelta(days=7)
TABLE = Table.model_validate({"source": "t.csv", "columns": {"x": "numeric"}})
RULE = Rule("t", ("x",), ("numeric",), keyed=False)


def features(days: int = 30, timed: bool = True) -> pd.DataFrame:
    times = pd.Series(pd.date_range("2024-01-01", periods=days, freq="D", tz="UTC").as_unit("us"))
    split = np.where(np.arange(days) % 5 == 0, "test", "train")
    if timed:
        split = np.where(np.arange(days) < 20, "train", np.where(np.arange(days) < 28, "test", "pending"))
    else:
        times = pd.Series(pd.NaT, index=range(days), dtype="datetime64[us, UTC]")
    return pd.DataFrame(
        {"__row__": np.arange(days), "__time__": times, "__split__": split, "x": np.arange(days, dtype=float)}
    )


def seen(table: pd.DataFrame, chosen: np.ndarray) -> Seen:
    return Seen.of(identify(table[["x"]], RULE), chosen, table["__time__"], RULE)


def look(table: pd.DataFrame, before: Seen | None, there: Seen | None = None, window: pd.Timedelta = WEEK):
    return newest(table, table[["x"]], TABLE, before, there, window, least=30)


def test_newest_rows_by_time_labelled_or_not():
    table = features(800)
    new = look(table, seen(table, np.arange(800) < 200), window=pd.Timedelta(days=50))
    assert (new.rows.tolist(), new.why) == (list(range(750, 800)), None)
    assert new.both.tolist() == list(range(700, 800))
    assert (new.about.rows, new.about.rule) == (50, "newest 50d")
    assert new.about.until == table["__time__"].iloc[-1].isoformat()


def test_rows_no_newer_than_those_that_the_champion_knows_are_not_new():
    table = features(100)
    new = look(table, seen(table, np.arange(100) < 60), window=pd.Timedelta(days=50))
    assert new.rows.tolist() == list(range(60, 100))
    assert new.both is None  # the window before lies in what the champion knows
    assert look(table, seen(table, np.ones(100, dtype=bool))).why == "no new rows"


def test_a_random_split_with_times_has_new_rows_only_after_the_newest_known_one():
    table = features(100).assign(__split__=features(100, timed=False)["__split__"])
    known = (table["__split__"] == "train").to_numpy()
    assert look(table, seen(table, known)).why == "no new rows"
    more = features(200).assign(__split__="train")
    assert look(more, seen(table, known), window=pd.Timedelta(days=60)).rows.tolist() == list(range(140, 200))


def test_fewer_rows_than_asked_for_are_not_judged():
    table = features(100)
    known = seen(table, np.arange(100) < 75)
    wide = pd.Timedelta(days=50)
    assert look(table, known, window=wide).why == "25 new rows, too few to judge (30 are needed)"
    judged = newest(table, table[["x"]], TABLE, known, None, wide, least=25)
    assert (judged.why, len(judged.rows)) == (None, 25)


def test_without_times_new_rows_are_those_that_arrived_since():
    """Test rows of the champion's table are not new, though it was not fitted on them."""
    table = features(200, timed=False)
    train = (table["__split__"] == "train").to_numpy()
    before, there = seen(table, train), seen(table, ~train)
    assert look(table, before, there).why == "no new rows"
    more = features(300, timed=False)
    assert look(more, before, there).rows.tolist() == list(range(200, 300))
    assert look(more.iloc[:220], before, there).why == "20 new rows, too few to judge (30 are needed)"


def test_an_older_package_knows_its_test_rows_by_their_part():
    table, more = features(200, timed=False), features(300, timed=False)
    before = seen(table, (table["__split__"] == "train").to_numpy())
    assert look(more, before).rows.tolist() == [i for i in range(200, 300) if i % 5]


def test_a_package_that_does_not_say_what_it_has_seen_is_not_compared_without_times():
    new = look(features(200, timed=False), None)
    assert new.why == "new rows cannot be told from old ones: its package does not say which rows it was made from"
    other = Seen.of(identify(features(9)[["x"]], RULE), np.ones(9, dtype=bool), features(9, timed=False)["__time__"],
                    Rule("t", ("gone",), ("numeric",), keyed=False))  # fmt: skip
    assert "it knows rows by 'gone', which this table does not have" in look(features(200, timed=False), other).why


def test_a_package_without_a_record_is_compared_by_time():
    new = look(features(200), None, window=pd.Timedelta(days=40))
    assert (new.rows.tolist(), new.both) == (list(range(160, 200)), None)


def test_thinning_keeps_order_and_is_repeatable():
    taken = thin(features(1000), seed=3, limit=100)
    assert len(taken) == 100
    assert taken["x"].is_monotonic_increasing
    assert taken.equals(thin(features(1000), seed=3, limit=100))
    assert not taken.equals(thin(features(1000), seed=4, limit=100))
