"""Columns that equal an aggregate over times to come are named, each by what it is; honest ones are not."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from tasks.engine import Plan
from tasks.engine.ahead import Timeline, by_group, slack_of, tally
from tasks.engine.foresight import aggregates_ahead
from tasks.engine.kernels import bisect
from tasks.params import parse
from tests.bench._ahead import HONEST, PLANTED, table


def named(made: dict, **how) -> dict[str, str]:
    """What is said of each suspected column."""
    spec, tables = table(made, **how)
    plan = Plan.derive(parse(spec))
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
    plan = Plan.derive(parse(spec))
    tables["people"] = people
    found, _ = aggregates_ahead(tables, plan, o, plan.compute(tables, o), 42)
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
    found, _ = aggregates_ahead(tables, Plan.derive(parse(spec)), o, pd.DataFrame(index=o.index), 42)
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
    assert aggregates_ahead({"t": frame}, Plan.derive(parse(spec)), frame, frame, 0) == ([], 0)


def test_tables_of_which_little_is_there_are_no_trouble() -> None:
    spec, tables = table({"town": HONEST["town"], "seen": HONEST["first_seen"]}, n=60, keys=5)
    plan, o = Plan.derive(parse(spec)), tables["orders"]
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
