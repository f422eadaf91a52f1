"""What a column's agreement with times to come must be before it is counted, and before it is told: both sides of each bound."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

from tasks.engine import foresight
from tasks.engine.ahead import LIFE, Timeline
from tasks.engine.derive import derive
from tasks.engine.foresight import ROWS_OF, ColumnPair, Match
from tasks.engine.timed_tables import timed_tables
from tasks.params import parse
from tests.tasks.engine.test_foresight import SPEC, days

NAN = np.nan
TEXT = pd.StringDtype(na_value=np.nan)


def ids(n: int) -> np.ndarray:
    """Different whole numbers in no order."""
    return np.random.default_rng(7).permutation(n) * 3.0


def orders(size: Any, **columns: Any) -> pd.DataFrame:
    """A row a day of one shop and of two people; ``size`` is what may know what comes."""
    n, rng = len(size), np.random.default_rng(1)
    given = {
        "id": ids(n), "at": days(*range(n)), "who": pd.Series(rng.choice(["a", "b"], n), dtype=TEXT),
        "shop": pd.Series(rng.choice(list("xyz"), n), dtype=TEXT), "size": np.array(size, float),
        "seen": days(*rng.permutation(n)), "late": rng.integers(0, 2, n) * 1.0,
    }  # fmt: skip
    return pd.DataFrame({**given, **columns})


def pair_of(table: pd.DataFrame) -> ColumnPair:
    plan = derive(parse(SPEC))
    (side,) = timed_tables({"orders": table}, plan, table, pd.DataFrame(index=table.index))
    pair = ColumnPair(side, side, plan, 1)
    side.hold(np.arange(len(table)), [*side.read, *pair.sources])
    return pair


def suspects(table: pd.DataFrame) -> list[tuple[float, str, str, str]]:
    """What of ``size`` a look at windows suspects: share, source, stretch, aggregate."""
    pair, found = pair_of(table), []
    sources = [*pair.sources, ROWS_OF]

    def confirmed(suspected: Any, key: Any, columns: list[str], names: list[str]) -> Any:
        assert (columns, names) == (["size"], sources)
        found.extend((share, "" if s is None else sources[s], span, how) for share, k, s, span, how in suspected)
        return iter(())

    pair._confirmed = confirmed  # type: ignore[method-assign]
    assert list(pair._windows(pair.both.draw((), pair.draws), np.array([False, True, False]))) == []
    return found


def filled(values: np.ndarray, right: int, wrong: int) -> np.ndarray:
    """The first so many values, then so many wrong ones, and nothing else."""
    out = np.full(len(values), NAN)
    out[:right] = values[:right]
    out[right : right + wrong] = 1e6 + 17 * np.arange(wrong)
    return out


@pytest.mark.parametrize(
    ("right", "wrong", "named"),
    [(8, 0, True), (7, 0, False), (9, 1, True), (8, 2, False), (18, 2, True), (17, 2, False), (39, 0, True)],
)
def test_a_window_is_suspected_from_eight_telling_rows_on_of_which_nine_in_ten_agree(
    right: int, wrong: int, named: bool
) -> None:
    size = filled(np.append(ids(40)[1:], NAN), right, wrong)
    wanted = [(-right / (right + wrong), "id", "the next row", "value")]
    assert suspects(orders(size)) == (wanted if named else [])


@pytest.mark.parametrize(("wrong", "named"), [(0, True), (1, True), (2, False)])
def test_rows_that_tell_nothing_must_agree_too(wrong: int, named: bool) -> None:
    """Ten rows know the next id; after them the same id comes again and again, and there ``size`` is another one."""
    again = ids(40)
    again[11:] = again[11]
    size = filled(np.append(again[1:], NAN), 10, 0)
    size[20 : 20 + wrong] = 1e6
    found = suspects(orders(size, id=again))
    assert found == ([(-10 / (10 + wrong), "id", "the next row", "value")] if named else [])


@pytest.mark.parametrize(("right", "wrong", "named"), [(8, 0, True), (7, 0, False), (9, 1, True), (8, 2, False)])
def test_a_time_to_come_is_suspected_by_the_same_bounds(right: int, wrong: int, named: bool) -> None:
    gaps = np.random.default_rng(3).permutation(39) + 1.0
    size = filled(np.append(gaps, NAN), right, wrong)
    wanted = [(-right / (right + wrong), "", "days until the next row", "")]
    assert suspects(orders(size, at=days(*np.append(0, np.cumsum(gaps))))) == (wanted if named else [])


@pytest.mark.parametrize(("n", "named"), [(40, True), (39, False)])
def test_a_stretch_is_looked_at_that_ten_rows_have(n: int, named: bool) -> None:
    after = ids(n)
    size = [after[i + 1 : i + 31].sum() if i + 31 <= n else NAN for i in range(n)]
    both = [(-1.0, "id", f"the next 30 {what}", "sum") for what in ("rows", "days")]  # a row a day
    assert suspects(orders(size)) == (both if named else [])


@pytest.mark.parametrize(("n", "looked"), [(20, True), (19, False)])
def test_fewer_than_twenty_rows_are_not_looked_at(n: int, looked: bool) -> None:
    pair = pair_of(orders(ids(n)[::-1]))
    list(pair._windows(pair.both.draw((), pair.draws), np.array([False, True, False])))
    assert (pair.made > 0) == looked


@pytest.mark.parametrize(("cells", "rows"), [(1e9, 512), (300 * 8, 300), (301 * 8 - 1, 300), (1.0, 128)])
def test_so_many_rows_are_asked_as_their_comparisons_allow(
    cells: float, rows: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One column against seven others and the number of rows."""
    asked: list[np.ndarray] = []
    at = Timeline.at
    monkeypatch.setattr(foresight, "CELLS", cells)
    monkeypatch.setattr(Timeline, "at", lambda line, rows: (asked.append(rows), at(line, rows))[1])
    pair = pair_of(orders(ids(600)[::-1]))
    list(pair._windows(pair.both.draw((), pair.draws), np.array([False, True, False])))
    (places,) = asked
    assert len(places) == rows
    assert (np.diff(places) > 0).all()


# The same in more rows ------------------------------------------------------------------------------------------------

NEXT_ID = (-1.0, 0, 0, "the next row", "value")  # share, column, source, stretch, aggregate


def confirmed(table: pd.DataFrame, suspected: list[tuple[float, int, int | None, str, str]]) -> list[Match]:
    pair = pair_of(table)
    pair.made = 1000
    return list(pair._confirmed(suspected, (), ["size"], [*pair.sources, ROWS_OF]))


def test_what_the_sample_showed_is_told_with_its_share_and_its_first_example() -> None:
    nexts = np.append(ids(60)[1:], NAN)
    nexts[3] = 1e6
    (found,) = confirmed(orders(nexts), [NEXT_ID])
    assert (found.column, found.source, found.agree, found.units, found.order) == ("size", "id", 58 / 59, 59, 50)
    assert found.why == (
        f"it is the value of id in the next row, in 98.3% of 59 rows, and in 58 of 59 where nothing known by then is the same."
        f" For instance row 0: {nexts[0]:.6g}"
    )
    assert confirmed(orders(np.append(ids(60)[:-1], NAN)), [NEXT_ID]) == [], "it agrees nowhere"
    assert confirmed(orders(nexts), []) == []


def test_of_the_suspects_of_a_column_six_are_tried_the_likeliest_first() -> None:
    table = orders(np.append(ids(60)[1:], NAN))
    unlikely = (-0.9, 0, 0, "the next 2 rows", "max")
    assert [m.order for m in confirmed(table, [NEXT_ID] * 8)] == [50, 51, 52, 53, 54, 55]
    assert [m.order for m in confirmed(table, [unlikely] * 5 + [NEXT_ID])] == [50], "nearest to all rows comes first"
    assert [m.order for m in confirmed(table, [(-0.8, *NEXT_ID[1:])] + [unlikely] * 6)] == []
    assert [m.order for m in confirmed(table, [(-0.8, *NEXT_ID[1:])] + [unlikely] * 5)] == [55]


@pytest.mark.parametrize(("last", "told"), [(NAN, True), (5.0, False)])
def test_what_another_column_was_before_is_no_foresight(last: float, told: bool) -> None:
    """A column that is there in the last row as well has its values from elsewhere: the other one may follow it."""
    late = np.random.default_rng(2).integers(0, 2, 60) * 1.0
    table = orders(np.append(ids(60)[1:], last))
    assert bool(confirmed(table, [NEXT_ID])) is told
    outcome = orders(np.append(late[1:], last), late=late)
    pair = pair_of(outcome)
    asked: list[Any] = []
    pair._looks_back = lambda *given: asked.append(given) or True  # type: ignore[method-assign, func-returns-value]
    list(pair._confirmed([(-1.0, 0, pair.sources.index("late"), "the next row", "value")], (), ["size"], [*pair.sources, ROWS_OF]))  # fmt: skip
    assert asked == [], "an outcome is nobody's past"


@pytest.mark.parametrize(("different", "told"), [(20, True), (19, False)])
def test_times_to_come_of_few_different_lengths_are_a_rhythm(different: int, told: bool) -> None:
    gaps = np.random.default_rng(5).permutation(np.arange(80) % different) + 1.0
    table = orders(np.append(gaps, NAN), at=days(*np.append(0, np.cumsum(gaps))))
    found = confirmed(table, [(-1.0, 0, None, "days until the next row", "")])
    assert bool(found) is told
    if told:
        assert found[0].why.startswith("it is the days until the next row, in 100% of 80 rows, and in ")
    assert confirmed(table, [(-1.0, 0, None, "days until the day after", "")]) == []


# Whole lives ----------------------------------------------------------------------------------------------------------


def lives(keys: int, each: int = 5, unsteady: int = 0, alike: bool = False) -> pd.DataFrame:
    """People with so many rows each, whose size is the sum of their ids."""
    n = keys * each
    who = np.tile(np.arange(keys), each)
    whole = np.bincount(who, ids(n))[who] if not alike else np.full(n, 4.0)
    whole[:unsteady] += 1.0
    return orders(whole, who=pd.Series([f"w{k}" for k in who], dtype=TEXT))


def looked_at(table: pd.DataFrame, period: str = "", never: bool = False) -> tuple[list[Any], bool, int]:
    """What agrees with a life in the sample; whether ``size`` is steady; and how many comparisons that were."""
    pair, found = pair_of(table), list[Any]()

    def counted(sampled: Any, key: Any, of: str) -> list[Match]:
        assert (key, of) == (("who",), period)
        found.extend(sampled)
        return []

    pair._counted = counted  # type: ignore[method-assign]
    drawn = pair.both.draw(("who",), pair.draws)
    matches, steady = pair._lives(drawn, period, np.array([False, never, False]))
    assert matches == []
    assert not steady[[0, 2]].any()
    return [one[1:] for one in found], bool(steady[1]), pair.made


# max, min, median, first, last, mean and std: id and late; the sum of rows too; count and nunique: seven columns
COMPARED = 7 * 2 + 3 + 2 * 7
SUM = [("size", "id", "sum", False)]


@pytest.mark.parametrize(
    ("table", "wanted"),
    [
        (lives(20), (SUM, True, COMPARED)),
        (lives(4), ([], True, COMPARED)),  # four can be steady, and prove nothing
        (lives(3), ([], False, 0)),
        (lives(50, unsteady=1), (SUM, True, COMPARED)),
        (lives(50, unsteady=2), ([], False, 0)),
        (lives(20, alike=True), ([], True, 0)),  # the same for everybody
        (lives(20, each=1), ([], False, 0)),  # of one row a key nothing is steady
    ],
    ids=["twenty", "four", "three", "one in fifty varies", "two in fifty vary", "all alike", "one row each"],
)
def test_a_column_that_is_steady_for_a_key_is_held_against_its_life(table: pd.DataFrame, wanted: Any) -> None:
    assert looked_at(table) == wanted


def test_what_is_steady_over_lives_is_not_looked_at_by_periods() -> None:
    assert looked_at(lives(20), "year") == (SUM, True, COMPARED)
    assert looked_at(lives(20), "year", never=True) == ([], True, 0)


def test_of_what_agrees_four_are_counted_in_all_rows_and_periods_come_after_lives() -> None:
    pair = pair_of(lives(20))
    pair.made = 1000
    one = (-30.0, "size", "id", "sum", False)
    found = pair._counted([one] * 6, ("who",), "")
    assert [m.order for m in found] == [LIFE.index("sum")] * 4
    assert (found[0].column, found[0].source, found[0].agree, found[0].units) == ("size", "id", 1.0, 20)
    total, so_far = pair.asked.frame["size"].iloc[0], ids(100)[0]
    assert found[0].why == (
        "it is the sum of id over all rows of the same who over its whole life, later ones included, in 100% of 100 rows; 20 of 20 "
        f"keys have it in their first row already, when it cannot be known. For instance row 0 (who w0): {total:.6g}, where the "
        f"rows so far give {so_far:.6g}"
    )
    (first, *_) = pair._counted([one], ("who",), "year")
    assert first.order > max(range(len(LIFE)))
    assert "of the same who in the same year, later ones included" in first.why
    assert pair._counted([(-30.0, "size", "late", "sum", False)], ("who",), "") == []
    assert pair._counted([], ("who",), "") == []
