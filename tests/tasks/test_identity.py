"""Numbers of rows: what they depend on, and what not."""

import numpy as np
import pandas as pd
import pytest

from tasks.identity import Rule, identify, numbers, position, together

FRAME = pd.DataFrame(
    {
        "n": [1.0, -0.0, np.nan, 2.5],
        "c": pd.Series(["a", "b", None, "a"], dtype="str"),
        "at": pd.to_datetime(
            ["2024-01-01", "2024-01-02", None, "2024-01-01T00:00:00.000001"], utc=True, format="ISO8601"
        ).as_unit("us"),
    }
)


def test_the_order_of_columns_and_the_unit_of_moments_do_not_matter() -> None:
    found = numbers(FRAME, ("n", "c", "at"))
    assert (found == numbers(FRAME[["at", "n", "c"]], ("at", "c", "n"))).all()
    assert len(set(found.tolist())) == 4
    other = FRAME.assign(at=FRAME["at"].dt.as_unit("ns"), n=[1, 0.0, None, 2.5])
    assert (found == numbers(other, ("n", "c", "at"))).all()


def test_which_column_holds_a_value_matters() -> None:
    swapped = pd.DataFrame({"a": [1.0], "b": [2.0]}), pd.DataFrame({"a": [2.0], "b": [1.0]})
    assert numbers(swapped[0], ("a", "b")) != numbers(swapped[1], ("a", "b"))


def test_numbers_are_the_same_on_every_machine_and_day() -> None:
    """A package keeps them for years: another value here would make every seen row look unseen."""
    assert numbers(FRAME, ("n", "c", "at")).tolist() == [
        8253524577730430416,
        1140164984744437015,
        7321570081551804952,
        14771453502817888311,
    ]
    assert position(numbers(FRAME, ("c",)), "7").round(6).tolist() == [0.607201, 0.213617, 0.107686, 0.607201]


def test_occurrences_of_a_common_content_are_counted_in_order() -> None:
    rows = pd.DataFrame({"x": [1.0] * 50 + [2.0] * 3 + list(range(10, 110))})
    rule = Rule("t", ("x",), ("numeric",), keyed=False)
    found = identify(rows, rule)
    assert len(set(found.row[:50].tolist())) == 50
    assert len(set(found.content[:50].tolist())) == 1
    assert found.row[:2].tolist() == [3840430983473392667, 14183813095191381369]  # kept in packages, as all numbers are
    assert len(set(found.row[50:53].tolist())) == 1
    more = identify(pd.concat([rows, rows.iloc[:1]], ignore_index=True), rule)
    assert (more.row[:-1] == found.row).all()
    keyed = identify(rows, Rule("t", ("x",), ("numeric",), keyed=True))
    assert len(set(keyed.row[:50].tolist())) == 1


@pytest.mark.parametrize("salt", ["", "a", "63"])
def test_positions_are_evenly_spread(salt: str) -> None:
    at = position(numbers(pd.DataFrame({"x": np.arange(20_000.0)}), ("x",)), salt)
    counts = np.histogram(at, 20, (0, 1))[0]
    assert ((counts - 1000) ** 2 / 1000).sum() < 43.8  # chi-square with 19 degrees of freedom, 99.9%


@pytest.mark.parametrize(
    ("copies", "rows", "apart"),
    [(5, 10, False), (6, 10, True), (6, 599, True), (6, 600, False), (10, 1000, False), (11, 1000, True)],
)
def test_a_content_is_common_above_five_copies_and_one_row_in_a_hundred(copies: int, rows: int, apart: bool) -> None:
    table = pd.DataFrame({"x": [0.5] * copies + list(range(10, 10 + rows - copies))})
    found = identify(table, Rule("t", ("x",), ("numeric",), keyed=False))
    assert len(set(found.row[:copies].tolist())) == (copies if apart else 1)
    assert (found.row[copies:] == found.content[copies:]).all()


def test_what_an_unsplit_row_belongs_to() -> None:
    """``split.by``: equal values stay together, a row with a missing one stands alone."""
    rows = pd.DataFrame({"a": [1.0, 1.0, np.nan, 2.0], "b": ["x", "x", "x", None]})
    own = np.array([11, 12, 13, 14], dtype=np.uint64)
    found = together(rows, own, ("a", "b"))
    assert found[0] == found[1] == numbers(rows, ("b", "a"))[0]
    assert found[2:].tolist() == [13, 14]
    assert together(rows, own, ()) is own
    assert identify(rows[:0], Rule("t", ("a",), ("numeric",), keyed=False)).row.tolist() == []
