"""A batch is cut into the rows that a JSON parser finds, and what is no batch is refused after little work."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deploy.batches import DEEPEST, crowded, cut
from deploy.rows import Problems

values = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text()
rows = st.dictionaries(st.text(), values | st.lists(values, max_size=3), max_size=5)
anything = st.recursive(
    rows | values, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3)
)
blank = st.text(alphabet=" \t\n\r", max_size=3)

MOST_ROW = 1 << 20  # bytes of one


@given(
    batch=st.lists(anything, min_size=1, max_size=6),
    ascii=st.booleans(),
    indent=st.none() | st.integers(0, 2),
    ends=st.tuples(blank, blank),
)
def test_pieces_are_the_rows(batch: list[Any], ascii: bool, indent: int | None, ends: tuple[str, str]) -> None:
    text = json.dumps(batch, ensure_ascii=ascii, indent=indent)
    body = (ends[0] + text + ends[1]).encode("utf-8", "surrogatepass")
    assert [json.loads(body[start:end]) for start, end in cut(body, 6, MOST_ROW)] == batch


@given(st.binary(max_size=40) | st.text(alphabet='[]{}",:\\ 1a', max_size=40).map(str.encode))
def test_what_is_no_list_is_refused_or_a_piece_of_it_is_no_json(body: bytes) -> None:
    """Never another error, and never rows of what a parser refuses."""
    try:
        found = [json.loads(body[start:end]) for start, end in cut(body, 100, MOST_ROW)]
    except (Problems, ValueError):
        return  # refused, at once or when the piece is read
    assert json.loads(body) == found


@pytest.mark.parametrize(
    ("body", "status", "said"),
    [
        (b"", 400, "a JSON list of rows"),
        (b'{"a": 1}', 422, "a JSON list of rows"),
        (b"[]", 422, "the batch is empty"),
        (b"[{}] 1", 400, "more after the list"),
        (b"[{} {}]", 400, "row 0: .* comma"),
        (b'[{}, {"a": "', 400, "row 1: .* no end"),
        (b"[{},]", 400, None),
        (b"[" + b"{}," * 1000 + b"{}]", 422, "at most 1,000 rows"),
        (b"[" * (DEEPEST + 2), 400, f"more than {DEEPEST} deep"),
        (b'[{"a": "' + b"x" * MOST_ROW + b'"}]', 413, "row 0: it is larger than 1 MiB"),
        (b'[{}, {"a": 1' + b" " * MOST_ROW + b"}]", 413, "row 1: it is larger than 1 MiB"),
    ],
    ids=lambda value: str(value)[:20],
)  # fmt: skip
def test_bodies_that_are_refused(body: bytes, status: int, said: str | None) -> None:
    if said is None:  # an empty piece, which is refused when it is read
        assert [body[start:end] for start, end in cut(body, 9, MOST_ROW)] == [b"{}", b""]
        return
    with pytest.raises(Problems, match=said) as found:
        list(cut(body, 1000, MOST_ROW))
    assert found.value.status == status


def test_a_row_of_a_hundred_thousand_names_is_not_read() -> None:
    """Each would be an error of its own. A row of the model's fields is read however long its texts are."""
    assert crowded(json.dumps({f"a{i}": 1 for i in range(100_000)}).encode(), 10)
    assert not crowded(json.dumps({f"field {i}": '"' * 20_000 for i in range(10)}).encode(), 10)
