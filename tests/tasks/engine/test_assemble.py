"""What is made of the row itself: date parts, expressions, powers, automatic columns."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.engine.compute import compute
from tasks.engine.dates import PARTS, date_part, part_names
from tasks.engine.derive import derive
from tasks.engine.expression import FUNCTIONS, Expression
from tasks.engine.facts import MISSING
from tasks.errors import RefitError
from tasks.params import parse


@given(st.lists(st.datetimes(), min_size=1, max_size=20))
def test_date_parts_are_those_of_pandas(moments: list) -> None:
    stamps = pd.Series(pd.to_datetime(moments)).astype("datetime64[us]")
    t = stamps.to_numpy().view(np.int64)
    week = stamps.dt.isocalendar()["week"]
    for part in ("year", "quarter", "month", "day", "day_of_year", "weekday", "hour", "minute", "second",
                 "is_month_start", "is_month_end"):  # fmt: skip
        assert date_part(t, part).tolist() == getattr(stamps.dt, part).astype(float).tolist(), part
    assert date_part(t, "week").tolist() == week.astype(float).tolist()
    assert np.isnan(date_part(np.array([MISSING]), "month")).all()
    midnight = stamps.dt.normalize()
    assert (
        date_part(t, "minute_of_day").tolist() == ((stamps - midnight) // pd.Timedelta("1min")).astype(float).tolist()
    )
    assert (
        date_part(t, "is_weekend").tolist() == stamps.dt.day_name().isin(["Saturday", "Sunday"]).astype(float).tolist()
    )
    assert np.allclose(
        date_part(t, "days"),
        (stamps - midnight) / pd.Timedelta("1D") + (midnight - pd.Timestamp(0).as_unit("us")).dt.days,
        rtol=1e-12,
    )


@pytest.mark.parametrize(
    ("part", "start", "quarter", "half", "end"),
    [
        ("hour", "2024-05-05 00:59:59", "2024-05-05 06:30", "2024-05-05 12:00", "2024-05-06 00:00"),
        ("minute_of_day", "2024-05-05 00:00:59", "2024-05-05 06:00", "2024-05-05 12:00:30", "2024-05-06 00:00"),
        ("weekday", "2024-05-06 23:59", None, None, "2024-05-13 00:00"),
        ("month", "2024-01-31", "2024-04-01", "2024-07-15", "2025-01-01"),
        ("day_of_year", "2024-01-01 23:00", None, "2024-07-02", "2025-01-01"),
    ],
)
def test_a_cycle_begins_at_the_top_and_ends_where_it_began(
    part: str, start: str, quarter: str | None, half: str | None, end: str
) -> None:
    def at(moment: str) -> tuple[float, float]:
        t = np.array([pd.Timestamp(moment).value // 1000])
        return float(date_part(t, f"{part}_sin")[0]), float(date_part(t, f"{part}_cos")[0])

    assert at(start) == at(end) == (0.0, 1.0)
    assert quarter is None or at(quarter) == pytest.approx((1.0, 0.0), abs=1e-12)
    assert half is None or at(half) == pytest.approx((0.0, -1.0), abs=1e-12)


def test_a_week_has_seven_points_on_its_circle() -> None:
    t = pd.date_range("2024-05-06", periods=7, freq="D").to_numpy().astype("M8[us]").view(np.int64)
    turn = np.arctan2(date_part(t, "weekday_sin"), date_part(t, "weekday_cos")) % (2 * np.pi)
    assert np.allclose(turn, np.arange(7) * 2 * np.pi / 7)


def test_every_part_has_a_name() -> None:
    t = np.array([1_700_000_000_000_000])
    assert set(PARTS) < set(part_names())
    assert all(np.isfinite(date_part(t, p)).all() for p in part_names())


@pytest.mark.parametrize(
    ("text", "want"),
    [
        ("a + 2 * `b c`", [21.0, np.nan]),
        ("a / 0", [np.nan, np.nan]),
        ("log(-a)", [np.nan, np.log(2)]),
        ("a ** 2 % 3", [1.0, 1.0]),
        ("clip(a, 0, 0.5) + max(a, 2) - min(a, 2)", [1.5, 4.0]),
        ("missing(`b c`)", [0.0, 1.0]),
        ("coalesce(`b c`, a)", [10.0, -2.0]),
        ("where(a > 0, 1, -1)", [1.0, -1.0]),
        ("bin(a, -1, 0, 5)", [2.0, 0.0]),
        ("round(sin(2 * pi * a))", [0.0, 0.0]),
        ("`b c` >= 10", [1.0, np.nan]),
    ],
)
def test_expressions(text: str, want: list[float]) -> None:
    values = {"a": np.array([1.0, -2.0]), "b c": np.array([10.0, np.nan])}
    assert np.allclose(Expression.parse(text).evaluate(values) + 0.0, want, equal_nan=True)


def test_each_operator_and_function_is_the_one_of_its_name() -> None:
    a, b = np.array([2.5, -1.5, 0.0, np.nan]), np.array([2.0, 2.0, -3.0, 1.0])
    by_hand = {
        "a + b": [4.5, 0.5, -3], "a - b": [0.5, -3.5, 3], "a * b": [5, -3, 0], "a / b": [1.25, -0.75, 0],
        "a ** b": [6.25, 2.25, np.nan], "a % b": [0.5, 0.5, 0], "-a": [-2.5, 1.5, 0], "+a": [2.5, -1.5, 0],
        "a < 0": [0, 1, 0], "a <= 0": [0, 1, 1], "a > 0": [1, 0, 0], "a >= 0": [1, 0, 1], "a == 0": [0, 0, 1], "a != 0": [1, 1, 0],
        "abs(a)": [2.5, 1.5, 0], "ceil(a)": [3, -1, 0], "floor(a)": [2, -2, 0], "round(a)": [2, -2, 0], "sign(a)": [1, -1, 0],
        "clip(a, -1, 1)": [1, -1, 0], "min(a, b)": [2, -1.5, -3], "max(a, b)": [2.5, 2, 0], "bin(a, -1.5, 0)": [2, 1, 2],
        "where(a, 5, 7)": [5, 5, 7], "exp(a)": np.exp(a[:3]), "log(b)": [np.log(2), np.log(2), np.nan],
        "log1p(a)": [np.log(3.5), np.nan, 0], "sqrt(b)": [np.sqrt(2), np.sqrt(2), np.nan], "sin(a)": np.sin(a[:3]),
        "cos(a)": np.cos(a[:3]), "pi * 1": [np.pi] * 3, "a + e": np.e + a[:3],
    }  # fmt: skip
    for text, want in by_hand.items():
        expression = Expression.parse(text)
        found = np.resize(expression.evaluate({"a": a, "b": b}), 4)
        assert np.allclose(found[:3], want, equal_nan=True), text
        assert np.isnan(found[3]) == ("a" in expression.names), text  # what is missing stays so
    for text, last in {"missing(a)": 1.0, "coalesce(a, b)": 1.0, "where(b, 1, a)": 1.0}.items():
        assert Expression.parse(text).evaluate({"a": a, "b": b})[3] == last, text
    used = {text.partition("(")[0] for text in by_hand if "(" in text}
    assert used | {"missing", "coalesce"} == set(FUNCTIONS)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_function_takes_its_number_of_arguments(name: str) -> None:
    _, fewest, most = FUNCTIONS[name]
    for count in (fewest, most):
        Expression.parse(f"{name}({', '.join(['a'] * count)})")
    for count in (fewest - 1, most + 1):
        more = "" if most == fewest else " or more"
        with pytest.raises(RefitError, match=rf"{name} takes {fewest}{more} arguments, not {count}"):
            Expression.parse(f"{name}({', '.join(['a'] * count)})")


def test_names_come_in_their_order_once_and_quoted_ones_as_they_are() -> None:
    assert Expression.parse("`b c` + a * `b c` - pi + max(`d`, a)").names == ("b c", "a", "d")
    with pytest.raises(RefitError, match=r"function 'mxa' is not known\. Did you mean 'max'"):
        Expression.parse("mxa(a, b)")
    with pytest.raises(RefitError, match="'a < b < c' is not allowed here"):
        Expression.parse("a < b < c")


@pytest.mark.parametrize(
    "text",
    ["__import__('os')", "a.b", "a[0]", "lambda: 1", "[a]", "a if a else a", "a and a", "a; a", "", "'x'", "f'{a}'"],
)
def test_anything_else_is_refused(text: str) -> None:
    with pytest.raises(RefitError, match="transform"):
        Expression.parse(text)


def test_one_row_gives_the_bits_of_many() -> None:
    rng = np.random.default_rng(0)
    a = rng.uniform(0.01, 9, 1001)
    for text in ("log(a)", "log1p(a)", "exp(a)", "sin(a)", "cos(a)", "sqrt(a)", "a ** 1.7", "a ** 2"):
        many = Expression.parse(text).evaluate({"a": a})
        one = np.concatenate([Expression.parse(text).evaluate({"a": a[i : i + 1].copy()}) for i in range(len(a))])
        assert many.tobytes() == one.tobytes(), text


def test_polynomials_are_those_of_scikit_learn() -> None:
    from sklearn.preprocessing import PolynomialFeatures

    frame = pd.DataFrame(np.random.default_rng(0).normal(size=(20, 3)), columns=list("abc"))
    for only in (False, True):
        spec = {
            "problem": {"name": "p", "kind": "regression", "table": "t", "target": "y"},
            "data": {"tables": {"t": {"source": "x", "columns": dict.fromkeys("abcy", "numeric")}}},
            "features": {"polynomial": {"columns": list("abc"), "degree": 3, "interaction_only": only}},
            "models": {"ridge": {}},
        }
        made = compute(derive(parse(spec)), {"t": frame.assign(y=0.0)}, frame.assign(y=0.0))
        theirs = PolynomialFeatures(3, interaction_only=only, include_bias=False).set_output(transform="pandas")
        want = theirs.fit_transform(frame)
        assert list(made.columns) == list(want.columns)
        assert np.allclose(made, want)


def test_automatic_columns_leave_out_key_outcome_and_target() -> None:
    kinds = {"id": "numeric", "x": "numeric", "c": "categorical", "b": "boolean", "t": "text", "d": "datetime",
             "no": "ignore", "late": "numeric", "e": "datetime", "y": "numeric"}  # fmt: skip
    spec = {
        "problem": {"name": "p", "kind": "regression", "table": "t", "target": "y"},
        "data": {
            "tables": {
                "t": {
                    "source": "x",
                    "key": ["id"],
                    "columns": kinds,
                    "event_time": "e",
                    "known_at": "e",
                    "outcome": ["late", "e"],
                }
            }
        },
        "models": {"ridge": {}},
    }
    names = derive(parse(spec)).names
    assert names == ("x", "c", "b", "t", "d.month", "d.day", "d.weekday", "d.hour")
