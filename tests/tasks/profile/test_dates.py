"""Dates in each usual form are found and declared; what merely looks like one stays what it is."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from tasks.profile import coerce
from tasks.profile.dates import TWO_DIGITS, form_of, says_time
from tasks.values.moments import FORMS
from tests.tasks.profile.test_inference import declared

DAYS = pd.date_range("2020-06-20", periods=60, tz="UTC")
TIMES = pd.date_range("2020-06-20T07:31:15", periods=60, freq="17h", tz="UTC")


def column(values: Any) -> pa.ChunkedArray:
    return pa.chunked_array([pa.array(list(values))])


@pytest.mark.parametrize(
    "form",
    [
        "%m/%d/%Y", "%d/%m/%Y", "%d.%m.%Y", "%m-%d-%Y", "%d-%m-%Y", "%Y%m%d", "%d-%b-%Y", "%d %b %Y", "%d %B %Y",
        "%b %d, %Y", "%B %d, %Y", "%d%b%Y", "%d/%b/%Y", "%d.%m.%y", "%m/%d/%y", "%d/%m/%y", "%d-%b-%y",
    ],
)  # fmt: skip
@pytest.mark.parametrize("shuffled", [False, True])
def test_days_are_found_in_each_form(form: str, shuffled: bool) -> None:
    days = DAYS.to_series().sample(frac=1, random_state=0).index if shuffled else DAYS
    found = form_of("sold", column([*days.strftime(form), None]))
    assert found is not None
    assert (found.form, found.remark) == (form, TWO_DIGITS if "%y" in form else "")
    kind, remark = declared("sold", column(days.strftime(form)))
    assert (kind, remark) == ({"kind": "datetime", "format": form}, found.remark)
    assert (coerce(column(days.strftime(form)), "datetime", form).values == days.to_series().to_numpy()).all()


@pytest.mark.parametrize(
    "form",
    ["%m/%d/%Y %H:%M:%S", "%d.%m.%Y %H:%M:%S", "%d/%m/%Y %I:%M:%S %p", "%d-%b-%Y %H:%M:%S", "%Y%m%d%H%M%S",
     "%d/%m/%Y %H:%M:%S%z", "%m/%d/%Y %H:%M:%S %z", "%b %d, %Y %I:%M:%S %p", "%d/%m/%YT%H:%M:%S"],
)  # fmt: skip
def test_times_are_found_in_each_form(form: str) -> None:
    found = form_of("sold", column(TIMES.strftime(form)))
    assert found is not None
    assert found.form == form
    assert (coerce(column(TIMES.strftime(form)), "datetime", form).values == TIMES.to_series().to_numpy()).all()


@pytest.mark.parametrize("form", ["%Y-%m-%d", "%Y-%m-%dT%H:%M:%SZ", "%Y-%m-%d %H:%M:%S", "%Y-%m-%d %H:%M", "%Y/%m/%d"])
def test_iso_needs_no_declaration(form: str) -> None:
    assert declared("sold", column(TIMES.strftime(form))) == ("datetime", "")


def test_months_are_dates() -> None:
    months = pd.date_range("2016-01-01", periods=60, freq="MS", tz="UTC")
    assert declared("m", column(months.strftime("%Y-%m"))) == ("datetime", "")
    assert declared("m", column(months.strftime("%m/%Y"))) == ({"kind": "datetime", "format": "%m/%Y"}, "")
    for values in (months.strftime("%Y%m"), months.strftime("%Y%m").astype(int)):
        assert declared("month", column(values)) == ({"kind": "datetime", "format": "%Y%m"}, "")
    assert (coerce(column(months.strftime("%Y-%m")), "datetime").values == months.to_series().to_numpy()).all()


@pytest.mark.parametrize("written", ["int", "float", "text", "text of float"])
@pytest.mark.parametrize(
    ("name", "form", "number"),
    [
        ("day", "%Y%m%d", DAYS.strftime("%Y%m%d").astype(int)),
        ("a", "%Y%m%d", DAYS.strftime("%Y%m%d").astype(int)),
        ("date_key", "%Y%m%d", DAYS.strftime("%Y%m%d").astype(int)),
        ("created_at", "epoch_s", TIMES.astype("int64") // 10**6),
        ("timestamp", "epoch_ms", TIMES.astype("int64") // 10**3),
        ("x", "epoch_s", DAYS.astype("int64") // 10**6),  # full minutes, whatever the name
        ("x", "epoch_ms", DAYS.astype("int64") // 10**3),
        ("OrderDate", "excel", (DAYS - pd.Timestamp("1899-12-30", tz="UTC")).days),
    ],
)
def test_numbers_that_are_dates(name: str, form: str, number: Any, written: str) -> None:
    unit = {"epoch_s": 10**6, "epoch_ms": 10**3}.get(form)
    number = pd.Index(np.asarray(number))
    if unit:
        number = pd.Index(np.asarray(number))
        moments = pd.to_datetime(np.asarray(number, dtype="int64") * unit, unit="us", utc=True)
    else:
        moments = DAYS
    given: list[Any] = [int(v) for v in number]
    given = {"int": given, "float": [float(v) for v in given], "text": [str(v) for v in given],
             "text of float": [f"{v}.0" for v in given]}[written]  # fmt: skip
    assert declared(name, column(given))[0] == {"kind": "datetime", "format": form}
    assert (coerce(column([*given, None]), "datetime", form).values[:-1] == moments.to_series().to_numpy()).all()


def test_excels_serials_may_have_hours() -> None:
    serials = (TIMES - pd.Timestamp("1899-12-30", tz="UTC")) / pd.Timedelta(days=1)
    assert form_of("sale date", column(serials)) is not None
    assert (coerce(column(serials), "datetime", "excel").values == TIMES.to_series().to_numpy()).all()


rng = np.random.default_rng(0)


@pytest.mark.parametrize(
    ("name", "values", "kind"),
    [
        ("year", [1990 + x % 30 for x in range(60)], "numeric"),
        ("yr_built", ["1999", "2004", "2020"] * 20, "numeric"),
        ("zip", [10115 + 7 * x for x in range(60)], "numeric"),
        ("zip", [str(33101 + 7 * x) for x in range(60)], "numeric"),
        ("zip", [f"0{1219 + x}" for x in range(60)], "categorical"),
        ("price", [20_000 + 130 * x for x in range(60)], "numeric"),
        ("salary", [45_000 + 10 * (x % 7) for x in range(60)], "numeric"),
        ("price", [1_500_000_000 + 1_000_000 * x for x in range(60)], "numeric"),
        ("revenue", [1_440_000_000 + 60_000 * x for x in range(60)], "numeric"),
        ("customer_id", [20_200_101 + x for x in range(60)], "ignore"),
        ("account", [20_203_141 + 97 * x for x in range(60)], "numeric"),
        ("phone", rng.integers(1_500_000_000, 1_999_999_999, 60).tolist(), "numeric"),
        ("ean", rng.integers(1_000_000_000_000, 1_390_000_000_000, 60).tolist(), "numeric"),
        ("user", rng.integers(1_000_000_000, 2_000_000_000, 60).tolist(), "numeric"),
        ("lifetime", [31_000 + 11 * x for x in range(60)], "numeric"),
        ("candidate", [31_000 + 11 * x for x in range(60)], "numeric"),
        ("month", [1 + x % 12 for x in range(60)], "numeric"),
        ("day", [1 + x % 28 for x in range(60)], "numeric"),
        ("time", [120.5 + x for x in range(60)], "numeric"),
        ("seats", [201_901 + x % 12 for x in range(60)], "numeric"),
        ("version", ["1.2.3", "1.10.0", "2.0.1"] * 20, "categorical"),
        ("version", ["1.2.12", "1.10.11", "2.3.10"] * 20, "categorical"),
        ("ratio", ["1/2", "3/4", "7/8"] * 20, "categorical"),
        ("part", ["01-02-03", "04-05-06", "07-08-09"] * 20, "categorical"),
        ("ip", ["10.0.0.1", "10.0.0.2", "10.1.2.3"] * 20, "categorical"),
        ("size", ["10 x 20", "30 x 40", "12 x 7"] * 20, "categorical"),
        ("clock", ["10:30", "11:15", "23:59"] * 20, "categorical"),
        ("word", ["now", "today", "may"] * 20, "categorical"),
        ("month", ["January", "May", "June"] * 20, "categorical"),
        ("weekday", ["Mon", "Tue", "Sat"] * 20, "categorical"),
        ("quarter", ["2020-Q1", "2020-Q2", "2021-Q1"] * 20, "categorical"),
        ("code", ["2020-13-45", "2021-40-12", "2019-99-01"] * 20, "categorical"),
        ("fiscal", ["2019/20", "2020/21", "2021/22"] * 20, "categorical"),
        ("score", ["3-1", "2-2", "0-1"] * 20, "categorical"),
    ],
)
def test_what_looks_like_a_date_stays_what_it_is(name: str, values: list[Any], kind: str) -> None:
    assert declared(name, column(values))[0] == kind


@pytest.mark.parametrize(
    ("values", "form", "said"),
    [
        ([f"{d:02d}/{m:02d}/2020" for m in (1, 2, 3) for d in range(1, 13)], "%d/%m/%Y", "the rows are in order"),
        ([f"{m:02d}/{d:02d}/2020" for m in (1, 2, 3) for d in range(1, 13)], "%m/%d/%Y", "the rows are in order"),
        ([f"{m:02d}/01/2020" for m in (7, 3, 9, 1, 12)], "%m/%d/%Y", "all are of one day of the month"),
        ([f"01/{m:02d}/2020" for m in (7, 3, 9, 1, 12)], "%d/%m/%Y", "all are of one day of the month"),
        (["05/03/2020", "02/11/2020", "09/08/2020"], "%m/%d/%Y", "change the format if this is wrong"),
        (["05.03.2020", "02.11.2020", "09.08.2020"], "%d.%m.%Y", "with dots the day comes first"),
        ([f"{d:02d}.01.2020" for d in (1, 2, 3, 5, 8)], "%d.%m.%Y", "with dots the day comes first"),
        (["05-03-2020", "02-11-2020", "09-08-2020"], "%d-%m-%Y", "change the format if this is wrong"),
    ],
)
def test_where_day_and_month_cannot_be_told_a_remark_says_so(values: list[str], form: str, said: str) -> None:
    found = form_of("sold", column(values))
    assert found is not None
    assert found.form == form
    assert said in found.remark


def test_one_value_can_decide_between_day_and_month() -> None:
    values = ["05/03/2020", "02/11/2020", "09/08/2020"] * 20
    for last, form in (("25/03/2020", "%d/%m/%Y"), ("03/25/2020", "%m/%d/%Y")):
        found = form_of("sold", column([*values, last]))
        assert found is not None
        assert (found.form, found.remark) == (form, "")


def test_a_few_faults_do_not_hide_a_form() -> None:
    kind, remark = declared("sold", column([*DAYS.strftime("%d.%m.%Y"), "soon", None]))
    assert kind == {"kind": "datetime", "format": "%d.%m.%Y"}
    assert remark == "without 1 that are no times, whose rows go to quarantine"


def test_names_that_speak_of_a_time() -> None:
    assert all(
        map(says_time, ["date", "Date", "sold_at", "orderDate", "TransactionDT", "event_time", "saledate", "ts"])
    )
    assert not any(map(says_time, ["update", "candidate", "mandate", "lifetime", "zip", "order_id", "price", "days"]))
    assert set(FORMS) == {"iso", "epoch_s", "epoch_ms", "epoch_us", "excel"}
