"""A shop's orders, week by week, with growth, a season and new shops; and twenty ways in which a week can be wrong."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any

import numpy as np
import pandas as pd

from tasks.params import Params, parse
from tasks.validate import accepted, contract, known, suite
from tasks.validate import baseline as held_against

START = pd.Timestamp("2024-01-01", tz="UTC")
WEEK = pd.Timedelta(days=7)
HISTORY = 16  # weeks that were accepted
WORDS = ("Käse", "Brot", "Öl", "milk", "rice", "apples", "Würste", "tea", "flour", "eggs")


def tree() -> dict[str, Any]:
    columns: dict[str, Any] = {
        "id": {"kind": "numeric", "nullable": False}, "at": {"kind": "datetime", "nullable": False}, "due": "datetime",
        "shop": "categorical", "product": "categorical", "amount": "numeric", "distance": "numeric", "change": "numeric",
        "discount": "numeric", "note": "text", "late": "categorical",
    }  # fmt: skip
    shops = {"shop": {"kind": "categorical", "nullable": False}, "size": "numeric", "town": "categorical"}
    return {
        "problem": {"name": "late", "kind": "binary", "table": "orders", "target": "late", "prediction_time": "at", "metric": "roc_auc"},
        "data": {
            "tables": {
                "orders": {"source": "orders.csv", "key": ["id"], "event_time": "at", "known_at": {"late": "due"}, "columns": columns},
                "shops": {"source": "shops.csv", "key": ["shop"], "columns": shops},
            }
        },
        "models": {"logistic": {}},
    }  # fmt: skip


def week(number: int, seed: int = 0, rows: int = 300) -> pd.DataFrame:
    """The orders of one week: some 300, more by 1% a week, and by a third in summer."""
    rng = np.random.default_rng([seed, number])
    season = np.sin(2 * np.pi * number / 52)
    size = rng.poisson(rows * 1.01**number * (1 + season / 3))
    at = START + number * WEEK + pd.to_timedelta(np.sort(rng.beta(2, 2, size) * 7), unit="D").floor("D")
    at = at + pd.to_timedelta(np.clip(rng.normal(13, 3, size), 6, 22), unit="h")
    shop = rng.choice(24 + number // 4, size, p=_falling(24 + number // 4))
    discount = np.where(rng.random(size) < 0.12, np.nan, rng.choice([5.0, 10.0, 15.0, 20.0], size))
    late = rng.random(size) < 0.2 + 0.05 * season
    return pd.DataFrame(
        {
            "id": np.arange(size) + 1e5 * number,
            "at": pd.Series(at).astype("datetime64[us, UTC]"),
            "due": pd.Series(at + pd.to_timedelta(rng.integers(1, 6, size), unit="D")).astype("datetime64[us, UTC]"),
            "shop": pd.Series([f"s{x}" for x in shop], dtype="str"),
            "product": pd.Series(rng.choice(["food", "drinks", "house", "other"], size, p=[0.5, 0.3, 0.15, 0.05]), dtype="str"),
            "amount": np.exp(rng.normal(3.5 + 0.1 * season, 0.8, size)).round(2),
            "distance": rng.gamma(4, 3, size).round(1),
            "change": rng.normal(2.0, 1.0, size).round(2),
            "discount": discount,
            "note": pd.Series([" ".join(rng.choice(WORDS, 6)) for _ in range(size)], dtype="str"),
            "late": pd.Series(np.where(late, "yes", "no"), dtype="str"),
        }
    )  # fmt: skip


def _falling(count: int) -> np.ndarray:
    weight = 1 / (3.0 + np.arange(count))
    return weight / weight.sum()


def shops(number: int) -> pd.DataFrame:
    """The table of shops as of a week: none is ever taken out."""
    count = 60 + number // 4
    return pd.DataFrame(
        {
            "shop": pd.Series([f"s{x}" for x in range(count)], dtype="str"),
            "size": [float(50 + 37 * x % 400) for x in range(count)],
            "town": pd.Series([f"town {x % 9}" for x in range(count)], dtype="str"),
        }
    )


def to(number: int, seed: int = 0, rows: int = 300) -> pd.DataFrame:
    """All orders up to a week (left out)."""
    return pd.concat([week(i, seed, rows) for i in range(number)], ignore_index=True)


Frames = dict[str, pd.DataFrame]
Fault = Callable[[pd.DataFrame, pd.DataFrame], pd.DataFrame]


def _each(**columns: Any) -> Fault:
    """The week with columns made anew by functions of it."""
    return lambda past, new: new.assign(**{n: make(new) if callable(make) else make for n, make in columns.items()})


def _some(share: float, column: str, value: Any) -> Fault:
    def fault(past: pd.DataFrame, new: pd.DataFrame) -> pd.DataFrame:
        hit = np.random.default_rng(1).random(len(new)) < share
        return new.assign(**{column: new[column].mask(hit, value)})

    return fault


def _mojibake(text: str) -> str:
    return text.encode().decode("latin-1")


# name: what happens to the newest week, and what the first line that names it must say
WRONG: dict[str, tuple[Fault, str]] = {
    "nine tenths of the rows gone": (lambda past, new: new.iloc[::10], "rows: expected"),
    "a column half empty": (_some(0.5, "amount", np.nan), "amount, missing values: expected"),
    "300 new shops": (_each(shop=lambda f: pd.Series([f"new{i}" for i in range(len(f))], dtype="str", index=f.index)), "shop, new categories: expected"),
    "a thousand times as large": (_each(amount=lambda f: f["amount"] * 1000), "amount, quantiles: expected"),
    "a thousand times as large, in a twentieth": (lambda past, new: new.assign(amount=new["amount"].where(np.arange(len(new)) % 20 > 0, new["amount"] * 1000)), "amount, range: expected"),
    "two columns swapped": (_each(amount=lambda f: f["change"], change=lambda f: f["amount"]), "change, quantiles: expected"),
    "two columns of categories swapped": (_each(shop=lambda f: f["product"], product=lambda f: f["shop"]), "product, new categories: expected"),
    "dates a year ahead": (_each(at=lambda f: f["at"] + pd.Timedelta(days=364), due=lambda f: f["due"] + pd.Timedelta(days=364)), "rows: expected"),
    "dates of weeks before": (_each(at=lambda f: f["at"] - 5 * WEEK, due=lambda f: f["due"] - 5 * WEEK), "rows of the past: expected"),
    "a constant": (_each(distance=12.0), "distance, spread: expected"),
    "rows twice": (lambda past, new: pd.concat([new, new], ignore_index=True), "rejected rows: expected"),
    "the sign turned": (_each(change=lambda f: -f["change"]), "change, quantiles: expected"),
    "the label turned": (_each(late=lambda f: f["late"].map({"yes": "no", "no": "yes"}).astype("str")), "target late, share of yes: expected"),
    "another encoding": (_each(note=lambda f: f["note"].map(_mojibake).astype("str")), "note, encoding: expected"),
    "texts cut off": (_each(note=lambda f: f["note"].str[:12]), "length of note, quantiles: expected"),
    "miles for kilometres": (_each(distance=lambda f: f["distance"] / 1.609), "distance, quantiles: expected"),
    "another time zone": (_each(at=lambda f: f["at"] + pd.Timedelta(hours=9), due=lambda f: f["due"] + pd.Timedelta(hours=9)), "hour of at, quantiles: expected"),
    "one category only": (_each(product="food"), "product, categories: expected"),
    "texts in a column of numbers": (_each(distance=np.nan), "distance, missing values: expected"),
    "zeros for missing": (_each(discount=lambda f: f["discount"].fillna(0.0)), "discount, stand-ins: expected"),
    "times to come": (lambda past, new: new.assign(at=new["at"].where(np.arange(len(new)) % 3 > 0, new["at"] + pd.Timedelta(days=3650))), "rows: expected"),
    "half of the shops gone": (lambda past, new: new[new["shop"].str[1:].astype(int) % 2 == 0], "shop, categories: expected"),
}  # fmt: skip

PARAMS = parse(tree())
NO_PROBLEMS = pd.DataFrame({"row": np.zeros(0, "int64"), "column": [], "value": [], "why": []})


def baseline(frame: pd.DataFrame, params: Params = PARAMS, name: str = "orders", as_of: datetime | None = None) -> Any:
    """What was accepted, as a champion's."""
    good, labelled, _ = _checked(frame, params, name)
    return {"of": {"version": "1"}} | accepted.measure(
        name, params.data.tables[name], params.problem, good, labelled, as_of
    )


def judge(
    frame: pd.DataFrame, then: Any, params: Params = PARAMS, name: str = "orders", as_of: datetime | None = None
) -> list[str]:
    """What the rules say against a table."""
    table, most = params.data.tables[name], params.data.max_quarantined
    _, labelled, rejected = _checked(frame, params, name)
    return held_against.hold(name, table, params.problem, frame, labelled, rejected, most, then, as_of).failures


def _checked(frame: pd.DataFrame, params: Params, name: str) -> tuple[pd.DataFrame, pd.DataFrame | None, np.ndarray]:
    table = params.data.tables[name]
    rules = suite.of_schema(suite.derive(name, table, params.problem, frame))
    rejected = contract.check(frame, table, rules, NO_PROBLEMS).rejected
    good = known.add_target(frame[~rejected].reset_index(drop=True), params) if name == params.problem.table else frame
    return good, good if name == params.problem.table else None, rejected
