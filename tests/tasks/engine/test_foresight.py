"""Columns that equal an aggregate over times to come are named, each by what it is; honest ones are not."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from tasks.engine.ahead import CENTRED, DAYS, NEXT, UNITS, Timeline, by_group, slack_of, tally
from tasks.engine.compute import compute
from tasks.engine.derive import derive
from tasks.engine.facts import FOREVER
from tasks.engine.foresight import (
    ROWS_OF,
    ColumnPair,
    _firsts,
    _in_time,
    _joined,
    _number,
    _share,
    _worth,
    aggregates_ahead,
)
from tasks.engine.kernels import bisect
from tasks.engine.timed_tables import timed_tables
from tasks.params import parse
from tests.bench._ahead import HONEST, PLANTED, table


def named(made: dict, **how) -> dict[str, str]:
    """What is said of each suspected column."""
    spec, tables = table(made, **how)
    plan = derive(parse(spec))
    found, _ = aggregates_ahead(tables, plan, tables["orders"], pd.DataFrame(index=tables["orders"].index), 42)
    assert all(f.kind == "future aggregate" for f in found)
    return {f.where: f.why for f in found}


@pytest.fixture(scope="module")
def planted() -> dict[str, str]:
    return named({name: make for name, (make, _) in PLANTED.items()})


@pytest.mark.parametrize("name", PLANTED)
def test_a_column_that_knows_what_comes_is_named_with_aggregate_key_and_column(name: str, planted: dict[str, str]) -> None:  # fmt: skip
    assert f"it is {PLANTED[name][1]}" in planted[name]
    assert "For instance row " in planted[name]


def test_nothing_but_the_planted_columns_is_named_beside_them(planted: dict[str, str]) -> None:
    assert set(planted) == set(PLANTED)


def test_the_example_and_the_shares_are_the_tables_own(planted: dict[str, str]) -> None:
    _, tables = table({name: make for name, (make, _) in PLANTED.items()})
    o = tables["orders"]
    first = o.groupby("who").head(1)
    said = planted["largest"]
    assert f"in 100% of {len(o):,} rows" in said
    row = int(said.split("For instance row ")[1].split()[0])
    assert row in first.index
    assert f"(who {o.loc[row, 'who']}): {o.loc[row, 'largest']:.6g}, where the rows so far give {o.loc[row, 'size']:.6g}" in said  # fmt: skip


def test_honest_columns_are_not_accused() -> None:
    assert named(HONEST, n=1500, keys=70) == {}


def test_a_column_that_is_not_there_for_all_keys_is_named_and_one_of_several_values_a_key_is_not() -> None:
    def corrected(o: pd.DataFrame, rng: np.random.Generator) -> pd.Series:
        most = o.groupby("who")["size"].transform("max")
        return most.where(rng.random(len(o)) > 0.02, most + 1)

    assert named({"most": corrected}) == {}  # no longer one value a key

    def known_of_most(o: pd.DataFrame, rng: np.random.Generator) -> pd.Series:
        return (
            o["who"]
            .isin([f"w{k}" for k in range(4)])
            .map({True: np.nan})
            .fillna(o.groupby("who")["size"].transform("max"))
        )

    assert set(named({"most": known_of_most})) == {"most"}


@pytest.mark.parametrize("levels", [2, 6])
def test_small_whole_numbers_that_meet_by_chance_are_none(levels: int) -> None:
    """Attributes of people against the largest, the number, the sum … of columns as small."""

    def attribute(o: pd.DataFrame, rng: np.random.Generator) -> np.ndarray:
        return rng.integers(0, levels, 400).astype(float)[pd.factorize(o["who"])[0]]

    def event(o: pd.DataFrame, rng: np.random.Generator) -> np.ndarray:
        return rng.integers(0, levels, len(o)).astype(float)

    assert (
        named({f"{kind}{i}": make for i in range(5) for kind, make in (("a", attribute), ("e", event))}, n=1500) == {}
    )


def test_a_column_of_another_table_is_held_against_the_rows() -> None:
    spec, tables = table({})
    o = tables["orders"]
    people = pd.DataFrame({"who": sorted(o["who"].unique())})
    people["best"] = people["who"].map(o.groupby("who")["size"].max())
    people["born"] = np.random.default_rng(0).integers(1940, 2005, len(people)).astype(float)
    kinds = {"who": "categorical", "best": "numeric", "born": "numeric"}
    spec["data"]["tables"]["people"] = {"source": "p.csv", "key": ["who"], "columns": kinds}
    spec["features"]["lookups"] = [{"table": "people", "on": "who", "columns": ["best", "born"]}]
    plan = derive(parse(spec))
    tables["people"] = people
    found, _ = aggregates_ahead(tables, plan, o, compute(plan, tables, o), 42)
    assert [f.where for f in found] == ["people.best"]
    assert "the largest size over all rows of the same who over its whole life" in found[0].why


def test_visits_to_come_are_counted_in_another_table() -> None:
    spec, tables = table({})
    o, rng = tables["orders"], np.random.default_rng(3)
    at = o["at"].min() + pd.to_timedelta(rng.integers(0, 700 * 86_400, 4000), unit="s")
    visits = pd.DataFrame({"who": rng.choice(o["who"].unique(), 4000), "seen": at.astype("datetime64[us, UTC]")})
    visits = visits.sort_values("seen", ignore_index=True).astype({"who": "str"})
    visits["minutes"] = rng.lognormal(2, 1, 4000)
    t = {who: part.dt.tz_localize(None).to_numpy() for who, part in visits.groupby("who")["seen"]}

    def between(row: pd.Series, low: int, high: int) -> float:
        own, now = t[row["who"]], row["at"].tz_localize(None).to_datetime64()
        return float(((own > now + np.timedelta64(low, "D")) & (own <= now + np.timedelta64(high, "D"))).sum())

    o["coming"], o["gone"] = (o.apply(between, axis=1, args=ends) for ends in ((0, 90), (-90, 0)))
    kinds = {"who": "categorical", "seen": "datetime", "minutes": "numeric"}
    spec["data"]["tables"]["visits"] = {"source": "v.csv", "event_time": "seen", "columns": kinds}
    spec["data"]["tables"]["orders"]["columns"] |= {"coming": "numeric", "gone": "numeric"}
    spec["features"]["columns"] += ["coming", "gone"]
    spec["features"]["history"] = [{"table": "visits", "by": ["who"], "windows": ["30d"], "columns": {"minutes": ["mean"]}}]  # fmt: skip
    tables["visits"] = visits
    found, _ = aggregates_ahead(tables, derive(parse(spec)), o, pd.DataFrame(index=o.index), 42)
    assert [f.where for f in found] == ["coming"]
    assert "the number of rows of visits over the next 90 days of the same who" in found[0].why


def test_a_table_without_times_has_nothing_to_come() -> None:
    spec = {
        "problem": {"name": "t", "kind": "regression", "table": "t", "target": "y"},
        "data": {"tables": {"t": {"source": "t.csv", "columns": {"x": "numeric", "y": "numeric"}}}},
        "features": {"columns": ["x"]},
        "models": {"ridge": {}},
    }
    frame = pd.DataFrame({"x": [1.0, 2.0], "y": [1.0, 2.0]})
    assert aggregates_ahead({"t": frame}, derive(parse(spec)), frame, frame, 0) == ([], 0)


def test_tables_of_which_little_is_there_are_no_trouble() -> None:
    spec, tables = table({"town": HONEST["town"], "seen": HONEST["first_seen"]}, n=60, keys=5)
    plan, o = derive(parse(spec)), tables["orders"]
    nothing = o.assign(town=pd.Series(np.nan, index=o.index, dtype="str"), size=np.nan, seen=o["seen"].where(o["id"] < 0), who=o["who"].where(o["id"] < 0))  # fmt: skip
    for few in (o, o[:1], o[:0], o.assign(at=o["at"].where(o["id"] < 0)), nothing):
        assert aggregates_ahead({"orders": few}, plan, few, pd.DataFrame(index=few.index), 0)[0] == []


def test_aggregates_are_those_of_pandas() -> None:
    rng = np.random.default_rng(0)
    codes = np.sort(rng.integers(0, 30, 400))
    V = np.where(rng.random((400, 3)) < 0.2, np.nan, rng.integers(0, 6, (400, 3)).astype(float))
    V[codes == 7] = np.nan
    found = by_group(codes, V, 31)
    wanted = pd.DataFrame(V).groupby(codes)
    for how in ("max", "min", "mean", "count", "first", "last", "nunique", "median", "std"):
        expected = getattr(wanted, how)().reindex(range(31))
        np.testing.assert_allclose(
            found[how], expected.fillna(0) if how in ("count", "nunique") else expected, err_msg=how
        )
    np.testing.assert_allclose(found["sum"], wanted.sum(min_count=1).reindex(range(31)))


def test_stretches_are_those_of_pandas() -> None:
    rng = np.random.default_rng(1)
    code = np.sort(rng.integers(0, 12, 300))
    V = np.where(rng.random((300, 2)) < 0.1, np.nan, rng.normal(size=(300, 2)))
    start, end = np.searchsorted(code, code), np.searchsorted(code, code, "right")
    here = np.arange(300)
    line = Timeline(here * 10, V, here * 10, start, end, here, here + 1, np.ones(300, bool), 3000, True)
    low, high = np.maximum(here - 2, start), np.minimum(here + 3, end)
    for how in ("sum", "mean", "max", "min", "std"):
        expected = [getattr(pd.DataFrame(V[a:b]), how)(**({"min_count": 1} if how == "sum" else {})) for a, b in zip(low, high, strict=True)]  # fmt: skip
        np.testing.assert_allclose(line.over(low, high, how), np.array(expected), atol=1e-9, err_msg=how)
    after = bisect(line.t, start, end, line.moment + 25, "right")
    np.testing.assert_array_equal(after, np.minimum(here + 3, end))


def test_agreement_is_no_proof_where_chance_makes_it() -> None:
    rng = np.random.default_rng(2)
    every = np.ones(200, bool)
    flags = np.ones(200)
    flags[:3] = 0.0
    assert not tally(flags, np.ones(200), every, every, 0.5, False).proves(1, False)
    values = rng.integers(0, 1000, 200).astype(float)
    assert tally(values, values, every, every, 0.5, False).proves(10_000_000, False)
    assert not tally(values[:8], values[:8], every[:8], every[:8], 0.5, False).proves(1, False)
    assert [slack_of(np.array(v))[1] for v in ([1.0, 2.0], [1.25, np.nan], [1 / 3, 0.1])] == [False, False, True]


def test_the_share_of_rows_in_which_a_column_agrees_is_told() -> None:
    """Two of sixty keys have another value than their largest size."""

    def most(o: pd.DataFrame, rng: np.random.Generator) -> pd.Series:
        return o.groupby("who")["size"].transform("max").where(~o["who"].isin(["w3", "w5"]), 7.0)

    (said,) = named({"most": most}, n=900, keys=60).values()
    _, tables = table({"most": most}, n=900, keys=60)
    o = tables["orders"]
    share = np.floor(1000 * (~o["who"].isin(["w3", "w5"])).mean()) / 10
    assert 95 < share < 99
    assert f"later ones included, in {share:g}% of {len(o):,} rows; " in said
    first = o.groupby("who").head(1)
    told = int((first["most"] == o.groupby("who")["size"].max()[first["who"]].to_numpy()).sum())
    assert int(said.split("rows; ")[1].split()[0]) <= told


# By hand --------------------------------------------------------------------------------------------------------------

SPEC = {
    "problem": {"name": "p", "kind": "binary", "table": "orders", "target": "late", "prediction_time": "at"},
    "data": {
        "tables": {
            "orders": {
                "source": "o.csv", "key": ["id"], "event_time": "at", "known_at": "at", "outcome": ["late"],
                "columns": {"id": "numeric", "at": "datetime", "who": "categorical", "shop": "categorical", "size": "numeric",
                            "seen": "datetime", "late": "boolean"},
            },
            "visits": {
                "source": "v.csv", "event_time": "on", "columns": {"on": "datetime", "who": "categorical", "place": "categorical", "n": "numeric"},
            },
        }
    },
    "features": {
        "columns": ["shop", "size"],
        "dates": {"seen": ["hour"]},
        "history": [{"table": "visits", "by": ["who"], "windows": ["1d"], "columns": {"n": ["mean"]}}],
    },
    "models": {"logistic": {}},
}  # fmt: skip


def days(*numbers: float) -> pd.Series:
    return pd.Series(pd.Timestamp("2024-01-01", tz="UTC") + pd.to_timedelta(numbers, unit="D")).astype(
        "datetime64[us, UTC]"
    )


def two_tables() -> dict[str, pd.DataFrame]:
    text = pd.StringDtype(na_value=np.nan)
    orders = pd.DataFrame({
        "id": [0.0, 1, 2, 3, 4, 5], "at": days(0, 1, 2, 3, 4, 5), "who": pd.Series(list("ababab"), dtype=text),
        "shop": pd.Series(["x", "y", "x", None, "z", "y"], dtype=text), "size": [1.0, 2, np.nan, 4, 5, 6],
        "seen": days(9, 8, 7, 6, 5, 4), "late": [0.0, 1, 0, 1, 0, 1],
    })  # fmt: skip
    visits = pd.DataFrame({
        "on": days(0, 1, 2, 3), "who": pd.Series(list("aabb"), dtype=text), "place": pd.Series(list("yzxy"), dtype=text),
        "n": [7.0, 8, 9, 10],
    })  # fmt: skip
    return {"orders": orders, "visits": visits}


def pairs() -> dict[tuple[str, str], ColumnPair]:
    """Every pair of the two tables, by the names of the asked and of the told one."""
    tables, plan = two_tables(), derive(parse(SPEC))
    both = list(timed_tables(tables, plan, tables["orders"], pd.DataFrame(index=tables["orders"].index)))
    return {(a.name, b.name): ColumnPair(a, b, plan, 1) for a in both for b in both}


def test_each_column_is_held_against_aggregates_of_its_own_kind_only() -> None:
    pair = pairs()["orders", "orders"]
    assert pair.asked.read == ["shop", "size", "seen"]
    assert pair.sources == ["id", "at", "who", "shop", "size", "seen", "late"]
    assert pair.outcome.tolist() == [False] * 6 + [True, False]
    sources = [*pair.sources, "rows"]

    def allowed(pair: ColumnPair, how: str, names: list[str]) -> dict[str, list[str]]:
        return {
            c: [names[s] for s in np.flatnonzero(row)] for c, row in zip(pair.asked.read, pair._kinds[how], strict=True)
        }

    numbers = ["id", "size", "late"]
    for how in ("first", "last", "value"):
        assert allowed(pair, how, sources) == {"shop": ["who"], "size": ["id", "late"], "seen": ["at"]}, how
    for how in ("max", "min", "median"):
        assert allowed(pair, how, sources) == {"shop": [], "size": ["id", "late"], "seen": ["at"]}, how
    assert allowed(pair, "sum", sources) == {"shop": [], "size": ["id", "late", "rows"], "seen": []}
    for how in ("mean", "std"):
        assert allowed(pair, how, sources) == {"shop": [], "size": ["id", "late"], "seen": []}, how
    for how in ("count", "nunique"):
        assert allowed(pair, how, sources) == {"shop": [], "size": sources[:-1], "seen": []}, how
    # A table of another name may have a column of the same one: it is not the same column.
    other = pairs()["orders", "visits"]
    assert other.sources == ["on", "who", "place", "n"]
    names = [*other.sources, "rows"]
    assert allowed(other, "value", names) == {"shop": ["who", "place"], "size": ["n"], "seen": ["on"]}
    assert allowed(other, "sum", names) == {"shop": [], "size": ["n", "rows"], "seen": []}
    assert numbers[0] in allowed(pair, "max", sources)["size"]


def test_levels_of_two_tables_are_told_apart_by_common_numbers_and_rows_are_ones() -> None:
    both = pairs()
    C, V = both["orders", "visits"].values(
        np.array([0, 1, 3]), ["size", "shop"], np.array([3, 2, 1]), ["place", ROWS_OF, "n"][::2]
    )
    assert C[:, 0].tolist() == [1.0, 2.0, 4.0]
    x, y = C[0, 1], C[1, 1]
    assert np.isnan(C[2, 1]), "a missing level is no level"
    assert (V[0, 0], V[1, 0]) == (y, x), "places are the shops' names"
    assert V[2, 0] not in (x, y)
    assert V[:, 1].tolist() == [10.0, 9.0, 8.0]
    _, ones = both["orders", "visits"].values(np.array([0]), [], np.array([0, 1]), ["n", ROWS_OF])
    assert ones.tolist() == [[7.0, 1.0], [8.0, 1.0]]
    own = both["orders", "orders"]
    C, V = own.values(np.array([0, 2]), ["size"], np.array([0, 1, 3, 2]), ["size", "who", "shop"])
    assert (V[:, 1].tolist(), V[0, 2], V[3, 2]) == ([0.0, 1.0, 1.0, 0.0], 0.0, 0.0)
    assert np.isnan(V[2, 2])
    assert V[1, 2] == 1.0
    assert np.isnan(C[1, 0])
    C, V = own.values(np.array([0, 1, 3]), ["shop"], np.array([1, 0]), ["late"])
    assert V.tolist() == [[1.0], [0.0]]


def test_a_column_that_begins_in_the_first_rows_looks_forward() -> None:
    """Missing in nine of ten first rows, or the same in ten and more: it looks back. An outcome is what it is."""
    tables, plan = two_tables(), derive(parse(SPEC))
    n = 20
    text = tables["orders"]["who"].dtype
    orders = pd.DataFrame({
        "id": np.arange(float(n)), "at": days(*range(n)), "who": pd.Series([f"w{i}" for i in range(n)], dtype=text),
        "shop": pd.Series([None] * 18 + ["x", "y"], dtype=text), "size": 3.0, "seen": days(*range(n)), "late": 0.0,
    })  # fmt: skip
    (side,) = timed_tables({"orders": orders}, plan, orders, pd.DataFrame(index=orders.index))
    pair = ColumnPair(side, side, plan, 1)
    sources = [*pair.sources, ROWS_OF]

    def forward(rows: int) -> list[str]:
        return [s for s, f in zip(sources, pair._forward(np.arange(n)[-rows:], sources), strict=True) if f]

    assert forward(n) == ["id", "at", "who", "seen", "late", ROWS_OF]
    assert forward(19) == ["id", "at", "who", "shop", "seen", "late", ROWS_OF]
    assert forward(10) == ["id", "at", "who", "shop", "seen", "late", ROWS_OF]
    assert forward(9) == ["id", "at", "who", "shop", "size", "seen", "late", ROWS_OF], "nine alike may be chance"
    for values, looks in (([3.0] * 12 + [np.nan] * 8, False), ([3.0] * 12 + [4.0] + [np.nan] * 7, True)):
        part = orders.assign(size=values)
        (side,) = timed_tables({"orders": part}, plan, part, pd.DataFrame(index=part.index))
        pair = ColumnPair(side, side, plan, 1)
        assert ("size" in forward(n)) is looks, "what is missing is not held against the others"


def test_every_comparison_is_counted_since_chance_is_bounded_over_all_of_them() -> None:
    """Of shop, size and seen, each against what is of its kind, in each stretch to come and for each time to come."""
    tables, plan = two_tables(), derive(parse(SPEC))
    n, rng = 60, np.random.default_rng(0)
    text = tables["orders"]["who"].dtype
    orders = pd.DataFrame({
        "id": rng.permutation(n) * 1.0, "at": days(*range(n)), "who": pd.Series(rng.choice(list("abc"), n), dtype=text),
        "shop": pd.Series(rng.choice(list("xyz"), n), dtype=text), "size": rng.normal(size=n).round(3), "seen": days(*rng.permutation(n)),
        "late": rng.integers(0, 2, n) * 1.0,
    })  # fmt: skip
    (side,) = timed_tables({"orders": orders}, plan, orders, pd.DataFrame(index=orders.index))

    def made(look: list[bool]) -> int:
        pair = ColumnPair(side, side, plan, 1)
        drawn = pair.both.draw((), pair.draws)
        side.hold(np.arange(n), [*side.read, *pair.sources])
        assert list(pair._windows(drawn, np.array(look))) == []
        return pair.made

    # sum: id, late, rows; mean and std: id, late; max and min: these for size, and the moment for seen
    four, five = 3 + 2 + 3 + 3, 3 + 2 + 3 + 3 + 2
    spans = 2 * len(NEXT) * five + len(CENTRED) * five + 2 * len(DAYS) * four + 2 * four
    values = 1 + 2 + 1  # the next row's: of shop, size and seen
    outcomes, gaps = 4 + 5 * len(NEXT), 2 * len(UNITS)  # those of late up to the row, and times for size
    assert made([True, True, True]) == values + spans + outcomes + gaps
    per_row = 2 * len(NEXT) + len(CENTRED) + 2 * len(DAYS) + 2
    assert made([False, False, True]) == 1 + 2 * per_row, "seen: the next row's moment, the largest and the smallest"
    assert made([True, False, False]) == 1
    assert made([False, False, False]) == 0


@pytest.mark.parametrize(
    ("last", "back"),
    [  # a column in the last rows of three keys or more
        ([1.0, 2.0, 3.0], True), ([np.nan] * 3, False), ([5.0, 5.0, 5.0], False), ([5.0, 5.0], True),
        ([1.0] + [np.nan] * 9, False), ([1.0, 2.0] + [np.nan] * 18, False), ([1.0, 2.0] + [np.nan] * 17, True),
        ([4.0, 4.0, np.nan], False),
    ],
)  # fmt: skip
def test_a_column_looks_back_that_is_there_and_varies_in_the_last_rows(last: list[float], back: bool) -> None:
    keys = len(last)
    end = np.repeat(2 * np.arange(keys) + 2, 2)
    here = np.arange(2 * keys)
    line = Timeline(here, here[:, None] * 1.0, here, end - 2, end, here, here + 1, np.ones(2 * keys, bool), 9, True)
    c = np.column_stack([np.arange(float(keys)), last]).ravel()
    assert pairs()["orders", "orders"]._looks_back(line, c) == back


def test_a_table_is_named_where_it_is_not_the_problems_and_a_row_by_its_key() -> None:
    both = pairs()
    own, visits, back = both["orders", "orders"], both["orders", "visits"], both["visits", "orders"]
    assert (own._name("size"), back._name("n")) == ("size", "visits.n")
    assert (own._source("size"), visits._source("n")) == ("size", "visits.n")
    assert own._what("max", "size") == "the largest size"
    assert visits._what("max", "n") == "the largest visits.n"
    assert (own._what("sum", ROWS_OF), visits._what("sum", ROWS_OF)) == (
        "the number of rows",
        "the number of rows of visits",
    )
    assert (own._who(("who", "shop"), 1), own._who((), 1)) == (" (who b, shop y)", "")
    assert (own._show("size", 1), own._show("shop", 1)) == ("2", "y")
    assert own._show("seen", 1).startswith("2024-01-09")


def test_shares_are_rounded_down_and_numbers_have_six_digits() -> None:
    assert [_share(s) for s in (1.0, 0.9999, 0.951, 0.5, 0.0)] == ["100%", "99.9%", "95.1%", "50%", "0%"]
    assert [_number(v) for v in (np.nan, 1 / 3, 1234567.0, 4.0)] == ["nothing", "0.333333", "1.23457e+06", "4"]
    assert _joined(("a", "b")) == "a and b"


def test_the_first_row_of_each_key_is_found() -> None:
    codes, t = np.array([0, 0, 2, 2, 2]), np.array([5, 6, 1, 2, 3])
    first, c = _firsts(codes, t, np.arange(10.0).reshape(5, 2), 4)
    assert first.tolist() == [5, FOREVER, 1, FOREVER]
    assert np.array_equal(c, [[0, 1], [np.nan] * 2, [4, 5], [np.nan] * 2], equal_nan=True)
    first, c = _firsts(codes[:0], t[:0], np.zeros((0, 2)), 1)
    assert first.tolist() == [FOREVER]
    assert np.isnan(c).all()


def test_a_few_rows_say_what_is_worth_a_look() -> None:
    """Three of five agree, or fewer than four are there."""
    a = np.array([[1.0, np.nan], [2, np.nan], [3, 3], [4, 4], [5, 5]])
    C = np.array([[1.0, 0.0], [2, 0], [3, 9], [0, 0], [0, 0]])
    assert _worth(a, C, np.array([0.1, 0.1])).tolist() == [[True, True], [False, True]]
    C[2, 0] = 0.0
    assert _worth(a, C, np.array([0.1, 0.1])).tolist() == [[False, True], [False, True]]
    assert _worth(a, C, np.array([4.0, 0.1])).tolist() == [[True, True], [False, True]]


@pytest.mark.parametrize(
    ("slack", "wanted"),
    [(0.05, [True, False, False, False]), (0.45, [True, True, True, False]), (0.4, [True, True, False, False])],
)
def test_a_time_may_be_cut_to_whole_units_where_the_column_has_these(slack: float, wanted: list[bool]) -> None:
    a, c = np.array([3.0, 3.4, 3.9, 4.1]), np.array([3.0, 3.0, 3.0, 3.0])
    assert _in_time(a, c, slack).tolist() == wanted
