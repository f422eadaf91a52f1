"""What counts as drift of one column: planted shifts are found, chance and carried values are not."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from tasks.ordinary.checks import ENOUGH, Found, level, lone, look, wilson_hilferty
from tasks.ordinary.record import PARTS, Column, column

NONE = -np.ones(0, dtype=int)


def reference(values: object, kind: str = "numeric", windows: int = 0) -> Column:
    """A record of values in time order, in so many past windows of equal size (0: rows have no moment)."""
    values = pd.Series(values)
    at = np.arange(len(values)) * windows * PARTS // len(values) if windows else np.full(len(values), -1)
    return column("x", kind, values, at, windows)


def seen(record: Column, now: object, columns: int = 20, **more: object) -> set[str]:
    """Kinds of checks that alarm."""
    now = pd.Series(now)
    codes = record.cells.codes(now)
    largest = (
        0
        if record.cells.kind == "numeric"
        else int(now[codes == 1].value_counts().max() or 0)
        if (codes == 1).any()
        else 0
    )
    found = look(record, record.cells.counts(now)[None], np.array([largest]), **more)
    return {found.kinds[j] for j in np.flatnonzero(found.alarms(columns)[0])}


def weeks(rng: np.random.Generator, count: int, rows: int = 1000, spread: float = 0.05) -> np.ndarray:
    """Normal values of ``count`` windows whose means differ by ``spread``."""
    return (rng.normal(size=(count, rows)) + rng.normal(0, spread, (count, 1))).ravel()


@pytest.mark.parametrize("windows", [0, 20, 60])
def test_planted_shifts_are_found_and_ordinary_rows_are_not(windows):
    rng = np.random.default_rng(windows)
    record = reference(weeks(rng, 60), windows=windows)
    x = weeks(rng, 2)
    assert seen(record, x, windows=2) == set()
    assert "mean" in seen(record, x + 0.3, windows=2)
    assert "spread" in seen(record, x * 1.5, windows=2)
    assert seen(record, np.where(rng.random(2000) < 0.09, np.nan, x), windows=2) == {"missing"}
    assert seen(record, np.where(rng.random(2000) < 0.02, 1000 * x, x), windows=2) >= {"far"}


def test_fifty_columns_of_a_thousand_rows_on_both_sides_do_not_drift_by_chance():
    rng = np.random.default_rng(2)
    for _ in range(4):
        for _ in range(50):
            assert seen(reference(rng.normal(size=1000)), rng.normal(size=1000), columns=50) == set()


@pytest.mark.parametrize("levels", [2, 300, 5000])
def test_the_number_of_levels_alone_is_no_drift(levels):
    rng = np.random.default_rng(levels)
    for rows in (1000, 5000):
        record = reference(rng.integers(0, levels, 5000).astype(str), "categorical")
        assert seen(record, rng.integers(0, levels, rows).astype(str)) == set()


@pytest.mark.parametrize("share", [0.01, 0.05])
@pytest.mark.parametrize("levels", [3, 5000])
def test_a_new_category_is_found(share, levels):
    """Also among 5,000 levels, of which a window of a thousand rows has some that the reference lacks by chance."""
    rng = np.random.default_rng(3)
    record = reference(rng.integers(0, levels, 20_000).astype(str), "categorical")
    now = np.where(np.arange(1000) < 1000 * share, "new", rng.integers(0, levels, 1000).astype(str))
    assert seen(record, now) & {"new", "single"}


def test_unseen_levels_are_held_against_good_and_turing():
    """A tenth of the rows has names that stand once: as many new names are no news, five times as many are."""
    rng = np.random.default_rng(4)

    def names(share: float, rows: int, start: int) -> np.ndarray:
        fresh = np.char.add("id", np.arange(start, start + rows).astype(str))
        return np.where(rng.random(rows) < share, fresh, "usual")

    record = reference(names(0.1, 10_000, 0), "categorical")
    assert record.once == pytest.approx(1000, abs=100)
    assert seen(record, names(0.1, 1000, 10_000)) == set()
    assert "new" in seen(record, names(0.5, 1000, 20_000))


def test_new_names_of_many_rows_are_ordinary_where_every_week_has_some():
    """Each week a new shop opens, with ten to thirty rows."""
    rng = np.random.default_rng(5)

    def week(i: int) -> list[str]:
        return [f"shop {i}"] * int(rng.integers(10, 30)) + ["old"] * 970

    rows = [week(i) for i in range(60)]
    at = np.concatenate([np.full(len(w), i * PARTS) for i, w in enumerate(rows)])
    record = column("x", "categorical", pd.Series(np.concatenate(rows)), at, 60)
    assert seen(record, week(99)) == set()
    assert "single" in seen(record, ["shop 100"] * 300 + ["old"] * 700)


def test_a_column_whose_weeks_differ_is_given_room():
    """Weeks that differ by half a standard deviation: 0.8 is ordinary for it, 4 is not; with few windows and with many."""
    for windows in (20, 60):
        rng = np.random.default_rng(windows)
        record = reference(weeks(rng, windows, spread=0.5), windows=windows)
        assert seen(record, rng.normal(0.8, 1, 1000)) == set()
        assert "mean" in seen(record, rng.normal(4, 1, 1000))
        found = look(record, record.cells.counts(rng.normal(0.8, 1, 1000))[None], np.zeros(1))
        assert (found.moved[0] <= found.limit(20)).any()  # it moved, and this is told


def test_a_season_is_believed_after_two_years_only():
    """A wave that no past window reached: alike a year before it is a season, a jump against last year is not."""
    rng = np.random.default_rng(6)
    t = np.arange(130)
    peak = np.where((t % 52 > 20) & (t % 52 < 24), 1.0, 0.0)  # three odd weeks a year
    rows = rng.normal(size=(130, 1000)) + (peak + rng.normal(0, 0.02, 130))[:, None]
    record = reference(rows.ravel(), windows=130)
    now = rng.normal(2.5, 1, 1000), rng.normal(1.0, 1, 1000)
    last = {"ends": np.array([178.0 - 129]), "period": 52}  # the next peak
    alike = look(record, record.cells.counts(now[1])[None], np.zeros(1), **last)
    jump = look(record, record.cells.counts(now[0])[None], np.zeros(1), **last)
    at = alike.kinds.index("mean")
    assert alike.season[0, at]
    assert not jump.season[0, at]
    young = reference(rows[:100].ravel(), windows=100)
    assert not look(
        young, young.cells.counts(now[1])[None], np.zeros(1), ends=np.array([178.0 - 99]), period=52
    ).season.any()


def test_the_lowest_of_few_reference_rows_is_not_known_well():
    """Far more new rows lie below the least of 300 rows than one in 300, now and then; no alarm in 200 tries."""
    rng = np.random.default_rng(8)
    for _ in range(200):
        assert seen(reference(rng.normal(size=300)), rng.normal(size=3000), columns=3) == set()


def test_the_cube_root_is_right_in_the_tails_of_counts():
    for mean in (0.5, 2, 10, 40):
        k = np.arange(0, int(mean + 8 * np.sqrt(mean) + 8))
        mid = stats.poisson.sf(k, mean) + 0.5 * stats.poisson.pmf(k, mean)
        far = (mid < 0.05) & (mid > 1e-9)
        z = wilson_hilferty((k[far] - mean) / np.sqrt(mean), np.full(far.sum(), mean**-0.5))
        exact = stats.norm.isf(mid[far])
        assert (z - exact).max() < 0.1  # not more improbable than it is
        assert np.abs(z - exact).max() < (1 if mean < 2 else 0.5)


def test_the_bound_of_one_new_level_holds():
    """No more often than said has a level k rows among the new ones and none in the reference (1,000 tries)."""
    rng = np.random.default_rng(7)
    p = 1 / np.arange(1, 301)
    hits = 0
    for _ in range(1000):
        then, now = rng.multinomial(1000, p / p.sum()), rng.multinomial(1000, p / p.sum())
        hits += lone(np.array([now[then == 0].max(initial=0)]), np.array([1000]), 1000)[0] <= 0.05
    assert hits <= stats.binom.ppf(0.999, 1000, 0.05)


def test_an_empty_or_constant_column_can_be_asked():
    assert seen(reference([np.nan] * 500), [np.nan] * 100) == set()
    assert seen(reference([np.nan] * 500), [1.0] * 100) == {"missing"}
    assert seen(reference([3.0] * 500), [3.0] * 100) == set()
    assert seen(reference([3.0] * 500), [3.1] * 100) != set()


def test_the_level_is_shared_by_all_columns():
    assert level(100) == level(1) / 100
    found: Found = look(reference([1.0, 2.0] * 500, windows=0), np.zeros((1, 6), dtype=int) + 1, np.zeros(1))
    assert found.share.sum() == pytest.approx(1)
    assert ENOUGH == 50


def test_rows_that_follow_the_calendar_are_no_events_at_the_edges():
    """The month of the row: all rows of a window share it, so a new one is one observation, and an absent one is none."""
    rng = np.random.default_rng(9)
    month = np.repeat(np.arange(1, 9), 4000)
    record = reference(month, windows=32)
    assert seen(record, np.full(1000, 8)) == set()
    assert seen(record, np.full(1000, 9)) == set()
    weekday = reference(np.tile(np.repeat(np.arange(7), 140), 32), windows=32)
    assert seen(weekday, np.repeat(np.arange(7), 140)) == set()
    late = np.where(rng.random(32_000) < 0.3, rng.choice([0.25, 0.5, 1.0], 32_000), 0.0)
    assert seen(reference(late, windows=32), rng.permutation(late)[:1000]) == set()
