"""The arithmetic of aggregates over times to come, against pandas and loops over the rows."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from tasks.engine.ahead import (
    CENTRED,
    DAY,
    DAYS,
    LIFE,
    NEXT,
    SHARP,
    Lives,
    Tally,
    Timeline,
    _by_chance,
    _divergence,
    by_group,
    close,
    slack_of,
    tally,
    telling,
)
from tasks.engine.kernels import bisect

NAN = np.nan


def events(n: int = 70, keys: int = 7, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Codes, moments and two columns of values in the order of key and time; the last key has no event."""
    rng = np.random.default_rng(seed)
    codes = np.sort(rng.integers(0, keys - 1, n))
    t = rng.integers(0, 80, n) * DAY // 2
    V = np.column_stack([np.round(rng.normal(0, 3, n)), np.where(rng.random(n) < 0.4, NAN, rng.normal(size=n))])
    V[codes == 2, 1] = NAN
    return codes, t[np.lexsort((t, codes))], V


def life(values: pd.Series, how: str) -> float:
    there = values.dropna()
    if how in ("count", "nunique"):
        return float(getattr(there, how)())
    if how in ("first", "last"):
        return there.iloc[0 if how == "first" else -1] if len(there) else NAN
    return float(getattr(there, how)(**({"min_count": 1} if how == "sum" else {})))


def test_aggregates_by_key_are_those_of_pandas() -> None:
    codes, _, V = events()
    found = by_group(codes, V, 7)
    assert set(found) == {*LIFE, "once", "once_min"}
    for key in range(7):
        for j in range(2):
            own = pd.Series(V[codes == key, j])
            for how in LIFE:
                assert found[how][key, j] == pytest.approx(life(own, how), nan_ok=True, abs=1e-12), (how, key, j)
            assert found["once"][key, j] == ((own == own.max()).sum() == 1)
            assert found["once_min"][key, j] == ((own == own.min()).sum() == 1)
    assert set(by_group(codes, V, 7, ("mean", "max"))) == {"mean", "max", "once"}
    nothing = by_group(codes[:0], V[:0], 3)
    assert (nothing["count"] == 0).all()
    assert all(np.isnan(nothing[how]).all() for how in LIFE if how not in ("count", "nunique"))


def test_a_life_tells_where_neither_the_past_nor_the_first_row_says_it() -> None:
    """One key's values 1, 5, 3, 5, 2 on days 0 to 4, its first row on day 1; a column that begins on day 3."""
    codes, t = np.zeros(5, np.int64), np.arange(5) * DAY
    V = np.column_stack([[1.0, 5, 3, 5, 2], [NAN, NAN, NAN, 7, 9], [4.0, 4, 4, 4, 4]])
    lives = Lives.of(codes, t, V, np.array([DAY]))
    assert lives.whole["sum"].tolist() == [[16.0, 16.0, 20.0]]
    assert lives.upto["sum"].tolist() == [
        [6.0, 7.0, 8.0]
    ]  # the first value of a column is no secret, whenever it comes
    assert lives.past["count"].tolist() == [[1.0, 0.0, 1.0]]
    told = {how: lives.telling(how)[0].tolist() for how in LIFE}
    assert told == {
        "max": [False, True, False],  # 5 is there at once and twice; 9 comes later
        "min": [False, False, False],  # 7 is the column's first value, 1 is known
        "sum": [True, True, True], "mean": [True, True, False], "count": [True, True, True],
        "first": [False, False, False], "last": [True, True, False], "nunique": [True, True, False],
        "median": [False, True, False], "std": [True, True, False],
    }  # fmt: skip


@pytest.mark.parametrize("side", ["left", "right"])
def test_the_first_event_at_or_after_a_moment_is_found_within_bounds(side: str) -> None:
    rng = np.random.default_rng(0)
    t = np.sort(rng.integers(0, 30, 50))
    low = rng.integers(0, 50, 200)
    high = np.minimum(low + rng.integers(0, 20, 200), 50)
    moment = rng.integers(-2, 33, 200)
    expected = [a + np.searchsorted(t[a:b], m, side=side) for a, b, m in zip(low, high, moment, strict=True)]
    assert bisect(t, low, high, moment, side).tolist() == expected


def timeline(own: bool, seed: int = 1) -> tuple[Timeline, np.ndarray]:
    codes, t, V = events(seed=seed)
    start, end = (np.searchsorted(codes, np.arange(7), side=s) for s in ("left", "right"))
    if own:
        rows = np.arange(len(t))
        key, moment, here, later = codes, t, rows, rows + 1
    else:
        rng = np.random.default_rng(0)
        key, moment = rng.integers(0, 7, 40), rng.integers(-4, 84, 40) * DAY // 2
        here, later = (bisect(t, start[key], end[key], moment, side) for side in ("left", "right"))
    return Timeline(t, V, moment, start[key], end[key], here, later, np.ones(len(key), bool), int(t.max()), own), key


@pytest.mark.parametrize("own", [True, False])
@pytest.mark.parametrize("how", ["sum", "mean", "max", "min", "std", "value"])
def test_an_aggregate_of_a_stretch_stays_within_the_key(own: bool, how: str) -> None:
    line, _ = timeline(own)
    rng = np.random.default_rng(0)
    low = line.here + rng.integers(-6, 4, len(line.here))
    high = low + rng.integers(0, 12, len(low))
    found = line.over(low, high, how)
    for i in range(len(low)):
        a = min(max(low[i], line.start[i]), line.end[i])
        b = min(max(high[i], a), line.end[i])
        for j in range(2):
            part = pd.Series(line.V[a:b, j])
            expected = (part.iloc[0] if len(part) else NAN) if how == "value" else life(part, how)
            assert found[i, j] == pytest.approx(expected, nan_ok=True, abs=1e-9), (i, j)


@pytest.mark.parametrize("own", [True, False])
def test_stretches_to_come_begin_and_end_where_they_say(own: bool) -> None:
    line, key = timeline(own)
    spans = {span.name: span for span in line.spans(outcomes=False)}
    names = ["the next row", *(f"the next {n} rows" for n in NEXT), "all later rows"]
    names += [f"the next {n} days" if n > 1 else "the next day" for n in DAYS]
    names += [f"the next {n} days, the end left out" if n > 1 else "the next day, the end left out" for n in DAYS]
    if own:
        names += ["its own row and the next", *(f"its own row and the next {n - 1}" for n in NEXT if n > 2)]
        names += [f"{2 * k + 1} rows, its own in the middle" for k in CENTRED] + ["its own and all later rows"]
    assert set(spans) == set(names)
    assert all((one.low < one.high)[one.full].all() for one in spans.values()), "an empty stretch tells nothing"
    codes = events(seed=1)[0]
    for i, k in enumerate(key):
        mine = np.flatnonzero(codes == k)
        later = mine[mine > i] if own else mine[line.t[mine] > line.moment[i]]
        before = mine[mine < i] if own else mine[line.t[mine] < line.moment[i]]

        def inside(name: str, i: int = i) -> list[int]:
            return list(range(spans[name].low[i], spans[name].high[i])) if spans[name].full[i] else []

        def past(name: str, i: int = i) -> list[int]:
            low, high = (np.clip(x[i], line.start[i], line.end[i]) for x in spans[name].before)
            return list(range(low, high))

        assert inside("the next row") == later[:1].tolist()
        assert inside("the next 3 rows") == (later[:3].tolist() if len(later) >= 3 else [])
        assert past("the next 3 rows") == before[-3:].tolist()
        assert inside("all later rows") == later.tolist()
        assert past("all later rows") == before.tolist()
        ends = line.moment[i] + 7 * DAY
        week = later[line.t[later] <= ends] if ends <= line.last else later[:0]
        assert inside("the next 7 days") == week.tolist()
        assert inside("the next 7 days, the end left out") == week[line.t[week] < ends].tolist()
        assert past("the next 7 days") == before[line.t[before] >= line.moment[i] - 7 * DAY].tolist()
        if own:
            assert inside("its own row and the next 2") == ([i, *later[:2]] if len(later) >= 2 else [])
            assert past("its own row and the next 2") == [*before[-2:], i]
            wide = [*before[-2:], i, *later[:2]]
            assert inside("5 rows, its own in the middle") == (wide if len(wide) == 5 else [])
            assert past("5 rows, its own in the middle") == [*before[-4:], i]
            assert inside("its own and all later rows") == [i, *later]
            assert past("its own and all later rows") == [*before, i]


def test_stretches_that_end_with_the_rows_own_outcome() -> None:
    line, _ = timeline(True)
    spans = {span.name: span for span in line.spans(outcomes=True)}
    assert list(spans) == [
        "all rows up to its own, that one included", *(f"the last {n} rows, its own included" for n in NEXT)
    ]  # fmt: skip
    everything, last = spans["all rows up to its own, that one included"], spans["the last 3 rows, its own included"]
    rows = np.arange(len(line.t))
    assert (everything.low.tolist(), everything.high.tolist()) == (line.start.tolist(), (rows + 1).tolist())
    assert (last.low.tolist(), last.full.tolist()) == ((rows - 2).tolist(), (rows - 2 >= line.start).tolist())
    assert [b.tolist() for b in everything.before] == [line.start.tolist(), rows.tolist()]
    assert [b.tolist() for b in last.before] == [(rows - 3).tolist(), rows.tolist()]


@pytest.mark.parametrize("own", [True, False])
def test_times_to_come_and_what_they_were_before(own: bool) -> None:
    line, key = timeline(own)
    codes = events(seed=1)[0]
    found = {said: (ahead, back) for said, ahead, back in line.gaps()}
    assert len(found) == 8
    for i, k in enumerate(key):
        mine = np.flatnonzero(codes == k)
        later = line.t[mine[mine > i]] if own else line.t[mine][line.t[mine] > line.moment[i]]
        before = line.t[mine[mine < i]] if own else line.t[mine][line.t[mine] < line.moment[i]]
        for name, ahead, back in (("next", later[:1], before[-1:]), ("last", later[-1:], before[:1])):
            for unit, size in (("hours", DAY / 24), ("days", DAY)):
                a, b = (x[i] for x in found[f"{unit} until the {name} row"])
                assert a == pytest.approx((ahead[0] - line.moment[i]) / size if len(ahead) else NAN, nan_ok=True)
                assert b == pytest.approx((line.moment[i] - back[0]) / size if len(back) else NAN, nan_ok=True)


def test_what_a_column_could_be_instead() -> None:
    line, _ = timeline(True)
    spans = {span.name: span for span in line.spans(outcomes=False)}
    rows, before = np.arange(len(line.t)), lambda how: line.over(line.start, line.here, how)
    last, now, after = (line.over(rows + k, rows + k + 1, "value") for k in (-1, 0, 1))
    outcome = np.array([True, False])
    span = spans["the next 3 rows"]
    known = line.known(span, "mean", outcome)
    expected = [
        line.over(*span.before, "mean"),
        last,
        now,
        before("mean"),
        after,
        line.over(line.start, line.later, "mean"),
    ]
    assert len(known) == len(expected)
    for one, other in zip(known[:4], expected[:4], strict=True):
        assert np.array_equal(one, other, equal_nan=True)
    for one, other in zip(known[4:], expected[4:], strict=True):  # an outcome's next value is not known
        assert np.isnan(one[:, 0]).all()
        assert np.array_equal(one[:, 1], other[:, 1], equal_nan=True)
    alone = line.known(spans["the next row"], "value", outcome)
    assert len(alone) == 3
    assert np.array_equal(alone[0], line.over(*spans["the next row"].before, "mean"), equal_nan=True)
    part = line.at(np.array([5, 3]))
    assert np.array_equal(part.over(part.here, part.later, "value"), now[[5, 3]], equal_nan=True)


@pytest.mark.parametrize(
    ("values", "slack", "sharp"),
    [
        ([1.0, 2, NAN, -30], 0.5, False), ([1.0, 2.5], 0.05, False), ([0.25, 3], 0.005, False), ([0.125], 0.0005, False),
        ([0.0625, 1], 0.00005, False), ([0.03125, 2], 2e-9, True), ([1e9 + 0.3, 0.1], 0.5, False), ([NAN], 0.5, False),
    ],
)  # fmt: skip
def test_the_slack_is_half_of_the_last_decimal(values: list[float], slack: float, sharp: bool) -> None:
    found = slack_of(np.array(values))
    assert (found[0], found[1]) == (pytest.approx(slack, rel=1e-6), sharp)
    assert found[0] < slack or sharp


def test_numbers_agree_but_for_float32_and_their_decimals() -> None:
    a, c = np.array([1.0, 1.0, 1e6, 1e6, NAN]), np.array([1.04, 1.06, 1e6 + 1.9, 1e6 + 2.2, 1.0])
    assert close(a, c, 0.05).tolist() == [True, False, True, False, False]
    known = [np.array([[1.0], [NAN], [3.0]]), np.array([[NAN], [2.0], [NAN]])]
    assert telling(np.array([[1.0], [2.5], [NAN]]), known).tolist() == [[False], [True], [False]]


def test_agreement_is_counted_and_bounded_by_chernoff() -> None:
    a = np.array([1.0, 2, 3, 4, 5, 6, NAN, 8])
    c = np.array([1.0, 2, 3, 4, 9, 6, 7, NAN])
    use = np.array([True] * 5 + [False, True, True])
    found = tally(a, c, use, np.ones(8, bool), 0.1, False)
    assert (found.rows, found.agree, found.units, found.hits) == (6, 5, 5, 4)
    p = 4 / 25  # of all pairs of the five, four agree
    assert _by_chance(a[:5], c[:5], 0.1) == pytest.approx(p)
    assert found.chance == pytest.approx(-5 * (0.8 * np.log(0.8 / p) + 0.2 * np.log(0.2 / (1 - p))))
    assert tally(a, c, use, np.arange(8) < 2, 0.1, False).units == 2
    sharp = tally(a, c, use, np.ones(8, bool), 0.1, True)
    assert sharp.chance == pytest.approx(-5 * (0.8 * np.log(0.8 / SHARP) + 0.2 * np.log(0.2 / (1 - SHARP))))
    none = tally(a, c, np.zeros(8, bool), np.ones(8, bool), 0.1, False)
    assert (none.units, none.chance) == (0, 0.0)
    assert _divergence(0.3, 0.3) == _divergence(0.2, 0.3) == _divergence(1.0, 1.0) == 0.0
    assert _divergence(1.0, 0.5) == pytest.approx(np.log(2))
    for n, h, p in ((20, 20, 0.3), (40, 30, 0.2)):  # a bound of the binomial's tail
        assert stats.binom.sf(h - 1, n, p) <= np.exp(-n * _divergence(h / n, p)) * (1 + 1e-9)


@pytest.mark.parametrize(
    ("found", "comparisons", "sharp", "proven"),
    [
        (Tally(100, 100, 10, 10, -30.0), 1, False, True),
        (Tally(100, 100, 9, 9, -30.0), 1, False, False),  # too few units
        (Tally(100, 100, 4, 4, -30.0), 1, True, True),
        (Tally(100, 100, 3, 3, -30.0), 1, True, False),
        (Tally(100, 95, 20, 19, -30.0), 1, False, True),
        (Tally(100, 94, 20, 19, -30.0), 1, False, False),
        (Tally(100, 95, 20, 18, -30.0), 1, False, False),
        (Tally(100, 100, 10, 10, -29.93), 10_000_000, False, False),  # log(1e-6) less log(1e7) is -29.934
        (Tally(100, 100, 10, 10, -29.94), 1, False, True),
        (Tally(100, 100, 10, 10, -29.94), 20_000_000, False, False),
    ],
)
def test_chance_is_ruled_out_at_one_in_a_million_over_all_comparisons(
    found: Tally, comparisons: int, sharp: bool, proven: bool
) -> None:
    assert found.proves(comparisons, sharp) == proven
