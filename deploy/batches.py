"""A batch's body, cut into rows without parsing it: no more than one row is ever parsed at a stretch.

A JSON parser takes a body as a whole: 19 MB of it hold every other request up, and a list of millions of wrong rows
becomes millions of error messages before the first is read.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from deploy.rows import Mistake, Problems

MOST_PROBLEMS = 20  # told of in one answer
DEEPEST = 50  # lists and objects within each other, where a row has any: each of its fields is a single value
SMALL = 16 << 10  # bytes of a row that may have as many names as fit

SPACE = re.compile(rb"[ \t\n\r]*+")
TEXT = rb'"(?:[^"\\]++|\\.)*+"'
# A row whose values are texts, numbers, true, false and null; possessive, so that no text makes it look twice.
FLAT = re.compile(rb'\{(?:[^"{}\[\]]++|' + TEXT + rb")*+\}", re.DOTALL)
MARKS = re.compile(TEXT + rb'|["\[\]{},]', re.DOTALL)


def cut(body: bytes | bytearray, most: int, bytes_a_row: int) -> Iterator[tuple[int, int]]:
    """Where each row of a JSON list begins and ends; what lies between is not looked into.

    Parameters
    ----------
    body
        The list as bytes.
    most, bytes_a_row
        The greatest number of rows, and of bytes of one.

    Raises
    ------
    Problems
        413 for a row of more than ``bytes_a_row``, 400 for what is no JSON list, 422 for one row too many or none.

    Examples
    --------
    >>> body = b'[{"a": 1}, {"a": "}"}]'
    >>> [body[start:end] for start, end in cut(body, 10, 1000)]
    [b'{"a": 1}', b'{"a": "}"}']
    """
    at = _space(body, 0)
    if body[at : at + 1] != b"[":
        raise Problems([{"message": "a batch is a JSON list of rows"}], 422 if at < len(body) else 400)
    at, row = _space(body, at + 1), 0
    if body[at : at + 1] == b"]":
        _nothing_more(body, at + 1)
        raise Problems([{"message": "the batch is empty; send at least one row"}])
    while True:
        end = _end(body, at, row, bytes_a_row)
        if row == most:
            raise Problems([{"message": f"a batch has at most {most:,} rows; send several requests"}])
        yield at, end
        at = _space(body, end)
        mark = body[at : at + 1]
        if mark == b"]":
            return _nothing_more(body, at + 1)
        if mark != b",":
            raise _broken(row, "a comma or the list's end is missing after it")
        at, row = _space(body, at + 1), row + 1


def crowded(body: bytes | bytearray, fields: int) -> bool:
    """Whether a row has so many names that telling of each would take long; a row of the model's fields never has.

    Quotation marks are counted: a field has two around its name, and two around a text. Those within texts are escaped.
    """
    return len(body) > SMALL and body.count(b'"') - body.count(b'\\"') > 4 * fields + 200


def in_row(position: int, problems: Problems) -> list[Mistake]:
    """What is wrong with a row, as said of its place in the batch."""
    return [{**e, "row": position, "message": f"row {position}: {e['message']}"} for e in problems.errors]


def _space(body: bytes | bytearray, at: int) -> int:
    match = SPACE.match(body, at)
    return match.end() if match else at


def _end(body: bytes | bytearray, at: int, row: int, most: int) -> int:
    """Where the value that begins at ``at`` ends."""
    limit = min(len(body), at + most)
    if match := FLAT.match(body, at, limit):
        return match.end()
    depth = 0
    for mark in MARKS.finditer(body, at, limit):
        sign = mark[0]
        if sign in (b"[", b"{"):
            depth += 1
            if depth > DEEPEST:
                raise _broken(row, f"it is nested more than {DEEPEST} deep")
        elif sign == b'"':
            break  # a text without an end
        elif depth == 0 and sign in (b",", b"]", b"}"):
            return mark.start()
        elif sign in (b"]", b"}"):
            depth -= 1
            if depth == 0:
                return mark.end()
    if limit < len(body):
        raise Problems([{"message": f"row {row}: it is larger than {most / (1 << 20):g} MiB", "row": row}], 413)
    raise _broken(row, "it has no end")


def _nothing_more(body: bytes | bytearray, at: int) -> None:
    if _space(body, at) != len(body):
        raise Problems([{"message": "the body is not valid UTF-8 JSON: there is more after the list"}], 400)


def _broken(row: int, why: str) -> Problems:
    return Problems([{"message": f"row {row}: the body is not valid UTF-8 JSON: {why}", "row": row}], 400)
