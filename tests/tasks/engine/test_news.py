"""Events and corrections as they arrive: at every moment the state gives the bits of the batch over what arrived so far."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tasks.artifacts.columns import RECEIVED, UNTIL
from tasks.engine.compute import compute
from tasks.engine.derive import derive
from tasks.engine.online import start
from tasks.engine.plan import Plan
from tasks.engine.state import State
from tasks.params import parse
from tasks.states import apart, last_known
from tests.tasks.engine.test_states import KNOWN, corrected
from tests.tasks.engine.worlds import assert_same, moments, plan, plan_by_column, tree

Tables = dict[str, pd.DataFrame]
DEEP: dict[str, list[str]] = {"who.mean(amount, 1d)": ["max", "last"], "prices.price": ["max"], "people.age": ["mean"], "amount": ["mean"]}  # fmt: skip


def told(seed: int, moved: str, by_column: bool, receipts: bool) -> Tables:
    """Rows in the order of their arrival: states of rows in any order, also of one moment, again, and not yet known."""
    rng = np.random.default_rng(seed)
    tables = corrected(seed, 14, moved, by_column)
    people = tables["people"]
    tables["people"] = pd.concat([people, people.assign(age=[1.0, 2.0, np.nan]).iloc[[2, 0]]], ignore_index=True)
    for name, (_, event, known) in KNOWN.items():
        frame = tables[name]
        parts = [frame]
        again = frame.sample(4, random_state=seed % 1000)
        changed = "amount" if name == "orders" else "price"
        parts += [again.iloc[:2], again.assign(**{changed: again[changed] + 1.0}).iloc[2:]]
        unknown = frame.sample(2, random_state=seed % 999)
        parts.append(unknown.assign(**{c: moments([np.nan] * 2).array for c in (known, event)}))
        frame = pd.concat(parts, ignore_index=True).iloc[rng.permutation(sum(map(len, parts)))]
        if receipts:
            late = pd.to_timedelta(rng.choice([np.nan, -1, 0, 0.5, 8], len(frame)), unit="h")
            frame = frame.assign(**{RECEIVED: (frame[known] + late).astype(frame[known].dtype)})
        tables[name] = frame.reset_index(drop=True)
    return tables


def settled(plan: Plan, tables: Tables) -> Tables:
    """The same as a table of files would have it: each state once, with the moment of the next one."""
    made = dict(tables)
    for name, table in plan.tables.items():
        frame, key = tables[name], list(table.key)
        if not key:
            continue
        if table.event_time is None:
            made[name] = frame.drop_duplicates(key, keep="last", ignore_index=True)
            continue
        column = KNOWN[name][2]
        known = frame[column].astype("datetime64[us, UTC]")
        if RECEIVED in frame:
            known = known.where(known.isna() | ~(frame[RECEIVED] > known), frame[RECEIVED])
        last = ~frame.assign(known=known).duplicated([*key, "known"], keep="last")
        frame, known = frame[last].reset_index(drop=True), known[last].reset_index(drop=True)
        state, until = apart(frame, key, known, None)
        frame = frame.assign(**{UNTIL: until})
        made[name] = pd.concat([frame[state == 1], frame[state == 0]], ignore_index=True)
    return made


def check(plan: Plan, state: State, tables: Tables) -> None:
    settled_tables = settled(plan, tables)
    rows = last_known(settled_tables["orders"])
    found = compute(plan, settled_tables, rows)
    online = pd.DataFrame(
        [state.compute_row(r) for r in rows.to_dict("records")], index=rows.index, columns=found.columns
    )
    assert_same(found, online.astype(found.dtypes))


def follow(plan: Plan, tables: Tables, seed: int, parts: int, checks: int) -> None:
    """Tell a state that began with a few rows of the rest, part by part, in every form; and ask it now and then."""
    rng = np.random.default_rng(seed)
    there = {name: frame.iloc[: len(frame) // 4] for name, frame in tables.items()}
    state = start(plan, settled(plan, there))
    news = [(name, part) for name, frame in tables.items() for part in np.array_split(np.arange(len(there[name]), len(frame)), parts)]  # fmt: skip
    for number, at in enumerate(rng.permutation(len(news)).tolist()):
        name, part = news[at]
        part = np.arange(len(there[name]), len(there[name]) + len(part))  # in their order
        frame = tables[name].iloc[part]
        form = rng.integers(3)
        given: Any = frame if form == 0 else frame.to_dict("records")
        for one in given if form == 2 else [given]:
            state.update(name, one)
        there[name] = tables[name].iloc[: len(there[name]) + len(part)]
        if number % max(1, len(news) // checks) == 0:
            check(plan, state, there)
    check(plan, state, tables)


def without_price_key() -> Plan:
    spec = tree()
    del spec["data"]["tables"]["prices"]["key"]
    return derive(parse(spec))


@pytest.mark.parametrize("of", ["told by row", "told by column", "a table without a key"])
@example(seed=55, moved="time", receipts=True)
@settings(max_examples=3, deadline=None)
@given(seed=st.integers(0, 2**31), moved=st.sampled_from(["", "key", "time"]), receipts=st.booleans())
def test_what_arrives_in_any_order_gives_the_bits_of_the_batch(of: str, seed: int, moved: str, receipts: bool) -> None:
    by_column = of == "told by column"
    asked = {"told by row": plan, "told by column": lambda: plan_by_column(told=True), "a table without a key": without_price_key}[of]()  # fmt: skip
    follow(asked, told(seed, moved, by_column, receipts), seed, 5, 3)


@example(seed=3, moved="key", receipts=True)
@settings(max_examples=2, deadline=None)
@given(seed=st.integers(0, 2**31), moved=st.sampled_from(["", "key", "time"]), receipts=st.booleans())
def test_the_events_own_features_follow_corrections_too(seed: int, moved: str, receipts: bool) -> None:
    deep = derive(parse(tree(["1d", "last 2"], DEEP)))
    assert set(deep.children) == {"orders"}
    follow(deep, told(seed, moved, False, receipts), seed, 3, 2)


def test_the_states_in_their_order_need_nothing_made_anew() -> None:
    """Depth 2: a correction that is known after all that was computed leaves it as it is."""
    deep = derive(parse(tree(["1d", "last 2"], DEEP)))
    tables = settled(deep, told(1, "", False, False))
    state = start(deep, tables)
    made: list[int] = []
    build = state._build
    state._build = lambda given: (made.append(1), build(given))[1]  # type: ignore[method-assign]
    rows = last_known(tables["orders"]).iloc[:3].drop(columns=UNTIL)
    later = rows.assign(amount=7.0, known=moments([400.0, 401.0, 402.0]))
    state.update("orders", later)
    check(
        deep, state, {**tables, "orders": pd.concat([tables["orders"].drop(columns=UNTIL), later], ignore_index=True)}
    )
    assert made == []
