"""When a row was received: it was not known before that, for every engine alike."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tasks.artifacts.columns import RECEIVED
from tasks.engine.compute import compute
from tasks.engine.derive import derive
from tasks.engine.facts import MISSING, Events
from tasks.engine.from_disk import compute_from_disk
from tasks.engine.online import start
from tasks.engine.timed_tables import timed_tables
from tasks.errors import RefitError
from tasks.params import parse
from tests.tasks.engine.worlds import assert_same, moments, plan, plan_by_column, tree, world, world_by_column

KNOWN = {"orders": "known", "prices": "told"}
HOURS = pd.to_timedelta([0, 0.25, 1, 30, np.nan], unit="h")


def received(
    tables: dict[str, pd.DataFrame], seed: int
) -> tuple[dict[str, pd.DataFrame], dict[str, pd.DataFrame], dict[str, pd.DataFrame]]:
    """The tables with rows of which some came late or early, and the same moments told by their columns alone.

    The third are those with the moments of receipt at which nothing changes, or with none.
    """
    rng = np.random.default_rng(seed)
    late, declared, same = dict(tables), dict(tables), dict(tables)
    for name, known in KNOWN.items():
        frame = tables[name]
        came = (frame[known] + rng.choice(HOURS.to_numpy(), len(frame)) - pd.Timedelta("15min")).astype(
            frame[known].dtype
        )
        late[name] = frame.assign(**{RECEIVED: came})
        declared[name] = frame.assign(**{known: frame[known].where(~(came > frame[known]), came)})
        early = frame[known] - pd.Timedelta("1h")
        same[name] = frame.assign(**{RECEIVED: early.astype(came.dtype) if rng.random() < 0.5 else pd.NaT})
    return late, declared, same


@pytest.mark.parametrize("by_column", [False, True])
@pytest.mark.parametrize("seed", [1, 2])
def test_a_row_is_known_when_its_columns_say_and_it_was_received(by_column: bool, seed: int, tmp_path: Path) -> None:
    asked = plan_by_column(told=True) if by_column else plan()
    tables = world_by_column(seed, 40) if by_column else world(seed, 40)
    late, declared, same = received(tables, seed)
    rows = tables["orders"]
    found = compute(asked, late, rows)
    assert_same(compute(asked, declared, rows), found)
    assert_same(compute(asked, tables, rows), compute(asked, same, rows))
    assert not compute(asked, tables, rows).equals(found)
    state = start(asked, {name: frame.iloc[:15] for name, frame in late.items()})
    for name, frame in late.items():
        state.update(name, frame.iloc[15:25])
        state.update(name, frame.iloc[25:].to_dict("records"))
    online = pd.DataFrame([state.compute_row(r) for r in rows.to_dict("records")])
    assert_same(found, online.astype(found.dtypes))
    for name, frame in late.items():
        frame.to_parquet(tmp_path / f"{name}.parquet")
    assert_same(found, pd.concat(compute_from_disk(asked, {name: tmp_path / f"{name}.parquet" for name in late})))


def test_a_table_whose_rows_are_known_when_they_happen_may_say_when_they_came() -> None:
    """The plan that names the moments of receipt as known_at gives the same; tables without moments have none."""
    spec, told = tree(["1d"], {"amount": ["sum"]}), tree(["1d"], {"amount": ["sum"]})
    del spec["data"]["tables"]["prices"]["known_at"]
    for each in (spec, told):
        del each["features"]["lookups"][0]["within"]  # which asks for known_at
    tables = world(4, 30)
    prices = tables["prices"]
    late = {**tables, "prices": prices.assign(**{RECEIVED: prices["told"]}).drop(columns="told")}
    late["people"] = tables["people"].assign(**{RECEIVED: moments([900.0] * len(tables["people"]))})
    rows = tables["orders"]
    assert_same(compute(derive(parse(told)), tables, rows), compute(derive(parse(spec)), late, rows))


def test_a_missing_moment_stays_missing_and_the_declared_ones_are_checked() -> None:
    orders = world(1, 4)["orders"].assign(
        happened=moments([1, 1, np.nan, 1]), known=moments([1, np.nan, 1, 2]), **{RECEIVED: moments([5, 5, 5, np.nan])}
    )
    facts = Events(plan().tables["orders"], orders)
    hour = moments([0, 1, 2, 5]).astype("int64").tolist()
    assert facts.known.tolist() == [hour[3], MISSING, hour[3], hour[2]]
    with pytest.raises(RefitError, match=r"orders: rows 0 were known \(known\) before they happened \(happened\)"):
        Events(plan().tables["orders"], orders.assign(happened=moments([4, 1, 1, 1])))


def test_the_checks_for_leaks_go_by_it_too() -> None:
    tables = world(1, 20)
    late, declared, _ = received(tables, 1)
    rows = tables["orders"]
    features = compute(plan(), tables, rows)
    seen = [{t.spec.name: t.asked for t in timed_tables(each, plan(), rows, features)} for each in (late, declared)]
    assert np.array_equal(seen[0]["prices"], seen[1]["prices"])
