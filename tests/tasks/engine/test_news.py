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
from tasks.engine.history import KeyHistory
from tasks.engine.online import DeepState, start
from tasks.engine.plan import Plan
from tasks.engine.state import State
from tasks.errors import RefitError
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
@settings(max_examples=1, deadline=None)
@given(seed=st.integers(0, 2**31), moved=st.sampled_from(["", "key", "time"]), receipts=st.booleans())
def test_what_arrives_in_any_order_gives_the_bits_of_the_batch(of: str, seed: int, moved: str, receipts: bool) -> None:
    by_column = of == "told by column"
    asked = {"told by row": plan, "told by column": lambda: plan_by_column(told=True), "a table without a key": without_price_key}[of]()  # fmt: skip
    follow(asked, told(seed, moved, by_column, receipts), seed, 5, 2)


@example(seed=3, moved="key", receipts=True)
@settings(max_examples=1, deadline=None)
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


def people_by_number() -> tuple[Plan, Tables]:
    """A table without moments that has a key of its own, and is looked up by another column."""
    spec = tree(["1d"], {"amount": ["sum"]})
    people = spec["data"]["tables"]["people"]
    people |= {"key": ["pid"], "columns": {"pid": "numeric", **people["columns"]}}
    tables = told(1, "", False, False)
    tables["people"] = pd.DataFrame(
        {"pid": [1.0, 2.0], "who": pd.Series(["ann", "bob"], dtype="str"), "age": [30.0, 40.0]}
    )
    return derive(parse(spec)), tables


@pytest.mark.parametrize(
    ("rows", "ages"),
    [
        ([(1, "ann", 31.0)], {"ann": 31.0, "bob": 40.0, "cy": None}),
        ([(1, "cy", 30.0)], {"ann": None, "bob": 40.0, "cy": 30.0}),
        ([(1, None, 30.0)], {"ann": None, "bob": 40.0, "cy": None}),
        ([(1, "bob", 31.0), (2, "ann", 41.0)], {"ann": 41.0, "bob": 31.0, "cy": None}),  # they change places
        ([(3, "cy", 5.0), (3, "cy", 6.0), (1, "ann", None)], {"ann": None, "bob": 40.0, "cy": 6.0}),
        ([(1, "bob", 31.0), (1, "cy", 31.0)], {"ann": None, "bob": 40.0, "cy": 31.0}),  # the first of them never was
    ],
)
def test_a_row_without_moments_takes_the_place_of_the_one_before(
    rows: list[tuple[float, str | None, float | None]], ages: dict[str, float | None]
) -> None:
    asked, tables = people_by_number()
    state = start(asked, settled(asked, tables))
    news = pd.DataFrame(rows, columns=["pid", "who", "age"]).astype({"pid": float, "who": "str", "age": float})
    state.update("people", news)
    row = tables["orders"].iloc[0].to_dict()
    seen = {who: state.compute_row({**row, "who": who})["people.age"] for who in ages}
    assert {who: None if age != age else age for who, age in seen.items()} == ages
    check(asked, state, {**tables, "people": pd.concat([tables["people"], news], ignore_index=True)})


@pytest.mark.parametrize("rows", [[(3, "ann", 1.0)], [(1, "bob", 1.0)], [(3, "cy", 1.0), (4, "cy", 2.0)]])
def test_a_second_row_that_a_lookup_would_have_to_choose_from_is_refused(rows: list[tuple[float, str, float]]) -> None:
    asked, tables = people_by_number()
    state = start(asked, settled(asked, tables))
    with pytest.raises(RefitError, match=r"has the key '(ann|bob|cy)', which is already there"):
        state.update("people", pd.DataFrame(rows, columns=["pid", "who", "age"]))
    check(asked, state, tables)


def test_an_equal_row_again_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    tables = settled(plan(), told(1, "", False, True))
    state = start(plan(), tables)
    changed: list[int] = []
    monkeypatch.setattr(KeyHistory, "change", lambda history, ended, added: changed.append(len(added)))
    for name in KNOWN:
        state.update(name, tables[name])
    assert changed == []
    state.update("orders", last_known(tables["orders"]).iloc[:1].assign(amount=1.5))
    assert changed == [1, 1], "one of each key that is asked by"


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"paid": np.inf}, r"orders\.paid: infinite"),  # the plan of the events' own features does not read it
        ({"asked": "soon"}, r"orders\.asked: expected a moment"),
        ({"happened": None, "who": ...}, r"the row lacks column 'who'|column 'who' is missing"),
    ],
)
def test_what_is_refused_is_refused_at_every_depth(change: dict[str, Any], said: str) -> None:
    deep = derive(parse(tree(["1d"], {"who.mean(amount, 1d)": ["max"], "paid": ["sum"]})))
    tables = settled(deep, told(2, "", False, False))
    state = start(deep, tables)
    assert isinstance(state, DeepState)
    row = {**last_known(tables["orders"]).iloc[0].to_dict(), "id": 900.0, **change}
    row = {column: value for column, value in row.items() if value is not ...}
    sizes = [each.stores["orders"].size for each in (state, state.children["orders"])]
    with pytest.raises(RefitError, match=said):
        state.update("orders", row)
    assert [each.stores["orders"].size for each in (state, state.children["orders"])] == sizes
    check(deep, state, tables)
