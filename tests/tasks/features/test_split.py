"""A split by time leaves a gap in which labels come, and no part is empty or has one class."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

from tasks.engine.derive import derive
from tasks.errors import RefitError
from tasks.features.silent import never_in_view
from tasks.features.split import AT_ONCE, by_identity, by_time, check_parts, waiting
from tasks.params import Moment, Split, parse
from tests.tasks.engine.worlds import moments, tree

DAY = pd.Timedelta(1, "D")
START = pd.Timestamp("2024-01-01", tz="UTC")


def daily(count: int, wait: int) -> tuple[pd.Series, pd.Series]:
    time = pd.Series(pd.date_range(START, periods=count, freq="D")).astype("datetime64[us, UTC]")
    return time, time + wait * DAY - pd.Timedelta(1, "us")


@pytest.mark.parametrize(("valid", "test"), [("10d", "20d"), (0.1, 0.2)])
def test_parts_are_counted_back_from_rows_that_can_have_a_label(valid: Any, test: Any) -> None:
    time, known = daily(200, 30)
    as_of = START + 200 * DAY - pd.Timedelta(1, "us")
    labelled = (known <= as_of).to_numpy()
    assert labelled.sum() == 171
    wait = waiting(Moment.model_validate("at"), Moment(column="at", offset_micros=(30 * DAY).value // 1000 - 1))
    part, _ = by_time(time, known, labelled, Split(kind="time", valid=valid, test=test), as_of, wait)
    ends = {name: (time[part == name].min(), time[part == name].max()) for name in ("train", "valid", "test")}
    sizes = {name: int((part == name).sum()) for name in ends}
    assert sizes == (
        {"train": 81, "valid": 10, "test": 20} if valid == "10d" else {"train": 62, "valid": 17, "test": 34}
    )
    assert ends["test"][1] == time[labelled].max()
    # The gaps hold what cannot be learned from yet, and no more than a row else.
    for earlier, later in (("train", "valid"), ("valid", "test")):
        assert 30 * DAY <= ends[later][0] - ends[earlier][1] <= 31 * DAY


def test_labels_that_come_at_no_fixed_time_leave_parts_where_they_were() -> None:
    assert waiting(Moment.model_validate("asked"), Moment.model_validate("ended + 2h")) == AT_ONCE
    assert waiting(Moment.model_validate("asked"), None) == waiting(None, None) == AT_ONCE
    assert waiting(Moment.model_validate("at + 2d"), Moment.model_validate("at + 1d")) == AT_ONCE


US = pd.Timedelta(1, "us")


def test_a_moment_on_a_boundary_is_after_it() -> None:
    """Test begins on day 30 and valid on day 20: a row of that very moment is in them, a label known then came too late."""
    rows = [  # time, known, part
        (START + 20 * DAY - US, START + 20 * DAY - US, "train"),
        (START + 19 * DAY, START + 20 * DAY, "pending"),
        (START + 20 * DAY, START + 30 * DAY - US, "valid"),
        (START + 29 * DAY, START + 30 * DAY, "pending"),
        (START + 30 * DAY - US, pd.NaT, "valid"),
        (START + 30 * DAY, START + 90 * DAY, "test"),
        (START + 40 * DAY - US, pd.NaT, "test"),
        (pd.NaT, START, "pending"),
    ]
    time, known = (pd.Series([row[i] for row in rows]).astype("datetime64[us, UTC]") for i in (0, 1))
    split = Split(kind="time", valid="10d", test="10d")
    for as_of in (START + 40 * DAY - US, None):  # the newest labelled row's time is the same
        part, bounds = by_time(time, known, np.ones(8, bool), split, as_of)
        assert part.tolist() == [row[2] for row in rows]
        assert bounds == {
            name: (START + day * DAY).isoformat() for name, day in (("valid", 20), ("test", 30), ("as_of", 40))
        }
    labelled = np.array([True] * 6 + [False, True])
    part, bounds = by_time(time, known, labelled, split, None)  # an unlabelled row moves nothing
    assert part[-2] == "pending"
    assert bounds["as_of"] == (START + 30 * DAY + US).isoformat()
    with pytest.raises(RefitError, match="split: no labelled row has a prediction time"):
        by_time(time, known, np.array([False] * 7 + [True]), split, None)


def test_random_parts_without_a_row_are_named() -> None:
    rows, split = np.arange(40, dtype=np.uint64), Split(kind="random", valid=0.001, test=0.3)
    with pytest.raises(
        RefitError, match=r"no row is in 'valid'; there are 40 labelled rows and different rows\. Set another"
    ):
        by_identity(rows, np.ones(40, bool), split)
    part, told = by_identity(rows, np.arange(40) < 39, Split(kind="random", valid=0.3, test=0.3))
    assert part[39] == "pending"
    assert "pending" not in part[:39]
    assert told == {"valid": 0.3, "test": 0.3}


def check(part: list[str], y: list[float], kind: str = "time", known: pd.Series | None = None) -> None:
    spec = tree()
    spec["split"] = {"kind": kind}
    time, _ = daily(len(y), 0)
    bounds = {"valid": time[4].isoformat(), "test": time[6].isoformat()}
    classes = ["no", "yes"] if max(y) < 2 else ["a", "b", "c"] if max(y) < 3 else []
    check_parts(
        np.array(part, dtype=object), np.array(y), classes, parse(spec), time, time if known is None else known, bounds
    )


GOOD = ["train"] * 4 + ["valid"] * 2 + ["test"] * 2


def test_parts_with_both_classes_pass() -> None:
    check(GOOD, [0, 1, 0, 1, 0, 1, 0, 1])
    check(GOOD, [3.0] * 8)  # a number may be the same in a part


@pytest.mark.parametrize(
    ("part", "y", "message"),
    [
        (GOOD, [0, 1, 0, 1, 0, 1, 1, 1], r"split\.test: all 2 rows of this part have y 'yes', so nothing can be measured on it; make split\.test longer"),
        (GOOD, [0, 1, 0, 1, 0, 0, 0, 1], r"split\.valid: all 2 rows of this part have y 'no'"),
        (GOOD, [1, 1, 1, 1, 0, 1, 0, 1], r"split\.train: all 4 rows .* nothing can be learned from it; make split\.valid and split\.test smaller"),
        (["train"] * 8, [0, 1] * 4, r"split\.valid: no row is in this part: the 8 labelled rows are of 2024-01-01 00:00 to 2024-01-08 00:00, and it ends before 2024-01-07 00:00\. Make split\.valid longer"),
        (["valid"] * 6 + ["test"] * 2, [0, 1] * 4, r"split\.train: no row is in this part: the 8 .* it ends before 2024-01-05 00:00\. Make split\.valid and split\.test smaller, or bring more rows"),
        (GOOD, [0, 1, 0, 1, 0, 2, 0, 1], r"split\.train: no row of this part has y 'c', which others have; make split\.valid and split\.test smaller"),
        (["train"] * 4 + ["valid"] * 4, [0, 1] * 4, r"split\.test: no row is in this part: .* it begins at 2024-01-07 00:00\. Make split\.test longer"),
    ],
)  # fmt: skip
def test_a_part_that_is_empty_or_of_one_class_is_refused_with_the_reason(part: list[str], y: list[float], message: str) -> None:  # fmt: skip
    with pytest.raises(RefitError, match=message):
        check(part, y)


def test_a_part_of_a_random_split_has_no_moments_to_tell() -> None:
    with pytest.raises(
        RefitError, match=r"split\.test: no row is in this part: make split\.test larger, or bring more rows$"
    ):
        check(["train"] * 4 + ["valid"] * 4, [0, 1] * 4, "random")


def test_labels_that_came_late_are_counted_by_part() -> None:
    known = daily(8, 0)[1]
    known[[2, 3]] += 5 * DAY
    known[4] = START + 6 * DAY  # the very moment at which test begins
    with pytest.raises(RefitError, match=r"split\.train: .*the labels of 2 rows in it were known .* Make split\.valid and split\.test smaller, or bring older"):  # fmt: skip
        check(["pending"] * 4 + ["valid"] * 2 + ["test"] * 2, [0, 1] * 4, known=known)
    with pytest.raises(RefitError, match=r"split\.valid: .*the labels of 1 rows in it .* Make split\.valid longer, or split\.test shorter, or bring"):  # fmt: skip
        check(["train"] * 4 + ["pending"] * 2 + ["test"] * 2, [0, 1] * 4, known=known)


def test_a_part_whose_labels_all_come_too_late_is_told_so() -> None:
    known = daily(8, 9)[1]
    with pytest.raises(RefitError, match=r"split\.valid: .* the labels of 2 rows in it were known only after that"):
        check(["train"] * 4 + ["pending"] * 2 + ["test"] * 2, [0, 1] * 4, known=known)


def test_windows_in_which_no_row_ever_is_are_told_with_the_remedy() -> None:
    spec = tree(["2h", "1d", "all"], {"amount": ["mean"]})
    frame = pd.DataFrame(
        {"id": [1.0, 2.0], "happened": moments([0, 5]), "known": moments([8, 30]), "asked": moments([1, 6]), "amount": [1.0, 2.0],
         "who": pd.Series(["a", "b"], dtype="str"), "where": [1.0, 2.0]}
    )  # fmt: skip
    tables = {"orders": frame, "prices": pd.DataFrame({"since": moments([1]), "told": moments([1])}), "people": frame}
    said = list(never_in_view(derive(parse(spec)), tables))
    assert said == [
        "orders: the windows '2h' hold no row, for each is known only after them. If only some columns are known so late, "
        "write known_at: {COLUMN: known}"
    ]
    spec["data"]["tables"]["orders"]["known_at"] = "happened + 90m"
    assert list(never_in_view(derive(parse(spec)), tables)) == [
        "orders: a row counts from its happened + 1.5h on, with all it says. If only some columns are known so late, "
        "write known_at: {COLUMN: happened + 1.5h}"
    ]
    spec["data"]["tables"]["orders"]["known_at"] = {"amount": "happened + 30d"}
    assert list(never_in_view(derive(parse(spec)), tables)) == []
    spec["data"]["tables"]["orders"]["known_at"] = "happened + 1d"
    with pytest.raises(RefitError, match=r"features\.history\[0\]\.windows: 1d is always empty: known_at of 'orders' says that a row is known only 1d after it happened\. If that is so of some columns only, write known_at: \{COLUMN: happened \+ 1d\}"):  # fmt: skip
        parse(spec)


@pytest.mark.parametrize(
    ("known_at", "column", "moment"),
    [
        ("known", "y", "known"),  # with its row
        ("happened + 1h", "y", "happened + 1h"),
        ({"*": "known", "y": "happened + 1d"}, "y", "happened + 1d"),  # by itself
        ({"*": "known", "amount": "happened + 1d"}, "y", "known"),  # another column alone
        ({"amount": "happened + 1d"}, "y", "happened"),  # columns alone are named: the row is known as it happens
        ({"amount, y": "happened + 1d"}, "y", "happened + 1d"),
        ("known", "where", None),  # no outcome: known with the question
    ],
)
def test_an_outcome_is_known_as_its_column_says_else_as_its_row_does(
    known_at: Any, column: str, moment: str | None
) -> None:
    spec = tree(["2h"], {"amount": ["mean"]})
    spec["data"]["tables"]["orders"]["known_at"] = known_at
    found = parse(spec).data.tables["orders"].outcome_known(column)
    assert found == (None if moment is None else Moment.model_validate(moment))
