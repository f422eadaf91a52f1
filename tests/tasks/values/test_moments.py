"""A time is read alike from a file and from a request, by the declared form, and never against the clock."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from deploy.rows import Problems, RowReader
from tasks.artifacts import Schema
from tasks.values.moments import FORMS, moment, moments

AT = datetime(2020, 7, 31, 18, 30, tzinfo=UTC)
DAY = datetime(2020, 7, 31, tzinfo=UTC)


@pytest.mark.parametrize(
    ("form", "value", "expected"),
    [
        ("iso", "2020-07-31", DAY),
        ("iso", "2020-07-31T18:30:00Z", AT),
        ("iso", "2020-07-31 20:30+02:00", AT),
        ("iso", "2020-07", datetime(2020, 7, 1, tzinfo=UTC)),
        ("%m/%d/%Y", "07/31/2020", DAY),
        ("%m/%d/%Y", "7/31/2020", DAY),
        ("%d.%m.%Y", "31.07.2020", DAY),
        ("%d.%m.%Y", " 31.07.2020 ", DAY),
        ("%d.%m.%Y", "2020-07-31T18:30:00Z", AT),  # ISO cannot mean another time
        ("%m/%d/%Y %I:%M %p", "07/31/2020 06:30 PM", AT),
        ("%d/%m/%Y %H:%M%z", "31/07/2020 20:30+0200", AT),
        ("%Y%m%d", 20200731, DAY),
        ("%Y%m%d", 20200731.0, DAY),
        ("%Y%m%d", "20200731", DAY),
        ("%Y%m%d", "20200731.0", DAY),
        ("%Y%m", 202007, datetime(2020, 7, 1, tzinfo=UTC)),
        ("epoch_s", 1596220200, AT),
        ("epoch_s", 1596220200.0, AT),
        ("epoch_s", "1596220200", AT),
        ("epoch_s", 1596220200.25, AT + timedelta(milliseconds=250)),
        ("epoch_s", "2020-07-31T18:30:00Z", AT),
        ("epoch_ms", 1596220200000, AT),
        ("epoch_ms", "1596220200000.0", AT),
        ("epoch_us", 1596220200000000, AT),
        ("excel", 44043, DAY),
        ("excel", "44043.770833333336", AT),
    ],
)
def test_files_and_requests_read_a_time_alike(form: str, value: Any, expected: datetime) -> None:
    found, bad = moments(pa.chunked_array([pa.array([value])]), form)
    assert not bad[0]
    assert found[0] == expected
    assert moment(value, form) == expected
    schema = Schema.of_json(
        {"table": "t", "fields": [{"name": "at", "kind": "datetime", "nullable": True, "format": form}]}
    )
    body = (
        pd.Series({"at": value}).to_json().encode() if not isinstance(value, str) else f'{{"at": "{value}"}}'.encode()
    )
    assert RowReader(schema).one(body) == {"at": expected}


@pytest.mark.parametrize(
    ("form", "value"),
    [
        ("iso", "now"), ("iso", "today"), ("iso", "10:30"), ("iso", "tomorrow"), ("iso", "31.07.2020"), ("iso", 20200731),
        ("iso", "2020-02-30"), ("%m/%d/%Y", "31/07/2020"), ("%m/%d/%Y", "now"), ("%m/%d/%Y", "today"), ("%d.%m.%Y", "x1"),
        ("%Y%m%d", 20201331), ("epoch_s", "soon"), ("epoch_s", 10**15), ("epoch_ms", 10**18), ("excel", 12), ("excel", -1),
        ("excel", 10**7), ("iso", True), ("epoch_s", True),
    ],
)  # fmt: skip
def test_what_is_no_time_is_refused_by_both(form: str, value: Any) -> None:
    found, bad = moments(pa.chunked_array([pa.array([value])]), form)
    assert bad[0]
    assert found.isna()[0]
    with pytest.raises(ValueError, match=r"."):
        moment(value, form)
    schema = Schema.of_json(
        {"table": "t", "fields": [{"name": "at", "kind": "datetime", "nullable": False, "format": form}]}
    )
    with pytest.raises(Problems, match="'at' must be a"):
        RowReader(schema).one(
            f'{{"at": {str(value).lower() if not isinstance(value, str) else chr(34) + value + chr(34)}}}'.encode()
        )


@given(
    st.datetimes(datetime(1970, 1, 2), datetime(2150, 1, 1)).map(
        lambda t: t.replace(second=0, microsecond=0, tzinfo=UTC)
    )
)
def test_each_form_gives_the_time_back(when: datetime) -> None:
    seconds = int(when.timestamp())
    written = {"iso": when.isoformat(), "epoch_s": seconds, "epoch_ms": seconds * 1000, "epoch_us": seconds * 10**6,
               "excel": seconds / 86400 + 25569}  # fmt: skip
    assert set(written) == set(FORMS)
    for form, value in written.items():
        assert moments(pa.chunked_array([pa.array([value])]), form)[0][0] == moment(value, form) == when
