"""How rows of requests are read, described and remarked on, by a schema of every kind of field."""

from __future__ import annotations

import json
from typing import Any

import pytest

from deploy import rows as module
from deploy.rows import MOST_ERRORS, VISIBLE, Problems, RowReader, expected, fields_of, remark
from tasks.artifacts import Schema, SchemaField

FIELDS: list[dict[str, Any]] = [
    {"name": "n", "kind": "numeric", "nullable": False, "min": 0.5, "max": 1000.0},
    {"name": "c", "kind": "categorical", "nullable": False, "allowed": ["5.0", "b"], "missing": ["none"]},
    {"name": "t", "kind": "text", "nullable": True},
    {"name": "b", "kind": "boolean", "nullable": False},
    {"name": "d", "kind": "datetime", "nullable": True},
    {"name": "e", "kind": "datetime", "nullable": False, "format": "%d.%m.%Y"},
    {"name": "id", "kind": "numeric", "nullable": True, "required": False},
    {"name": "m", "kind": "numeric", "nullable": True, "format": "1.234,50"},
]
SCHEMA = Schema.of_json({"table": "orders", "missing": ["NA", ""], "fields": FIELDS, "disregarded": ["late", "n"]})
ROW: dict[str, Any] = {"n": 2, "c": "b", "t": None, "b": True, "d": None, "e": "31.07.2020", "m": "1.234,50"}


@pytest.fixture
def rows() -> RowReader:
    return RowReader(SCHEMA)


def read(rows: RowReader, **changed: Any) -> dict[str, Any]:
    return rows.one(json.dumps({**ROW, **changed}).encode())


def wrong(rows: RowReader, given: dict[str, Any]) -> list[tuple[str | None, str]]:
    """Field and message of each mistake in a row."""
    with pytest.raises(Problems) as found:
        rows.row(given)
    assert found.value.status == 422
    return [(one.get("field"), one["message"]) for one in found.value.errors]


def test_a_row_is_read_field_by_field_in_the_schemas_order(rows: RowReader) -> None:
    found = read(rows)
    assert list(found) == ["n", "c", "t", "b", "d", "e", "id", "m"]
    assert (found["n"], found["c"], found["b"], found["m"], found["id"]) == (2.0, "b", 1.0, 1234.5, None)
    assert found["e"].isoformat().startswith("2020-07-31T00:00:00")
    assert read(rows, late="x")["n"] == 2.0, "a column that is disregarded may be there"
    assert read(rows, id=7)["id"] == 7.0
    assert rows.most_names == len(FIELDS) + 1


def test_quick_ways_give_what_a_careful_reading_gives(rows: RowReader) -> None:
    exact = 2**53
    assert (read(rows, n=0.25)["n"], read(rows, n=exact - 1)["n"], read(rows, n=1 - exact)["n"]) == (
        0.25,
        exact - 1.0,
        1.0 - exact,
    )
    for number in (exact, -exact, float("nan"), float("inf"), "much", []):
        with pytest.raises(Problems):
            rows.row({**ROW, "n": number})
    for truth, value in ((True, 1.0), (False, 0.0), ("yes", 1.0), (0, 0.0), (1.0, 1.0)):
        assert read(rows, b=truth)["b"] == value
        assert type(read(rows, b=truth)["b"]) is float
    for _ in range(2):  # again, from what is remembered
        assert (read(rows, c=5)["c"], read(rows, c="5.0")["c"], read(rows, c=" b ")["c"]) == ("5", "5", "b")


def test_categories_are_remembered_up_to_a_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "REMEMBERED", 2)
    monkeypatch.setattr(module, "SHORT", 3)
    asked: list[Any] = []

    class Reading:
        kind, numbers = "categorical", None

        def value(self, value: Any) -> Any:
            asked.append(value)
            return None if value == "NA" else value

    reading: Any = Reading()
    read = module._reader(reading)
    for value in ("a", "abc", "abcd", "NA", "x", "a", "abc", "abcd", "NA", "x", 5, 5):
        assert read(value) == (None if value == "NA" else value)
    assert asked == ["a", "abc", "abcd", "NA", "x", "abcd", "NA", "x", 5, 5]


def test_every_mistake_of_a_row_is_told_up_to_a_bound(rows: RowReader) -> None:
    assert wrong(rows, {**ROW, "n": None}) == [("n", "'n' must be a finite number, found null")]
    assert wrong(rows, {**ROW, "d": "soon"})[0][1].startswith("'d' must be an ISO 8601 time as in 2013-10-31T18:00:00Z")
    assert wrong(rows, {**ROW, "d": "soon"})[0][1].endswith("or null, found 'soon'")
    assert wrong(rows, {**ROW, "c": "none"}) == [
        ("c", "'c' must be a string, a number, or true or false, found 'none'")
    ]
    found = wrong(rows, {"c": {"a": 1}, "x" * 100: 1, "b": "x" * 100, "e": None})
    assert [name for name, _ in found] == ["n", "c", "t", "b", "d", "e", "m", "x" * 100]
    assert found[0][1].startswith("'n' is missing; every field must be there, and null says that a value is unknown")
    assert found[1][1].endswith("found a dict")
    assert found[3][1].endswith("found '" + "x" * 76 + "...")
    assert found[5][1].startswith("'e' must be a time of the form %d.%m.%Y, or an ISO 8601 time")
    assert found[-1][1] == f"{'x' * 80!r} is not a field of this model."
    assert wrong(rows, {**ROW, "tt": 1})[0][1] == "'tt' is not a field of this model. Did you mean 't'?"
    assert len(wrong(rows, {**ROW, **{f"a{i}": 1 for i in range(50)}})) == MOST_ERRORS
    assert len(wrong(rows, {f"a{i}": 1 for i in range(50)})) == MOST_ERRORS
    for other in ([], "a", None, 3):
        assert wrong(rows, other)[0][1].startswith("a row is a JSON object of fields, found ")  # type: ignore[arg-type]


def test_what_is_no_json_is_another_fault(rows: RowReader) -> None:
    for body in (b"{", b'{"n": NaN}', b"\xff", b""):
        with pytest.raises(Problems, match="the body is not valid UTF-8 JSON: ") as found:
            rows.one(body)
        assert found.value.status == 400


@pytest.mark.parametrize(
    ("field", "value", "said"),
    [
        ("n", 0.5, ""), ("n", 1000.0, ""), ("n", None, ""),
        ("n", 0.4, "'n': 0.4 is below 0.5, the least that training rows may have"),
        ("n", 1001.0, "'n': 1001 is above 1000, the most that training rows may have"),
        ("c", "b", ""), ("c", None, ""), ("c", "x" * 50, f"'c': {'x' * 40!r} is not one of '5.0', 'b'"),
        ("t", "anything", ""),
    ],
)  # fmt: skip
def test_what_the_contract_has_against_a_value(field: str, value: Any, said: str) -> None:
    assert remark(next(f for f in SCHEMA.fields if f.name == field), value) == said


def test_a_row_is_warned_of_by_its_bounds_and_levels(rows: RowReader) -> None:
    assert rows.warnings(read(rows)) == rows.warnings(read(rows, c=5)) == []
    assert rows.warnings(read(rows, n=0.1, c="z")) == [
        "'n': 0.1 is below 0.5, the least that training rows may have", "'c': 'z' is not one of '5', 'b'",
    ]  # fmt: skip


def test_allowed_values_of_older_packages_are_levels() -> None:
    old = SchemaField(name="c", kind="categorical", nullable=True, allowed=["5.0", "", " b "])
    text = SchemaField(name="t", kind="text", nullable=True, allowed=["5.0"])
    found = fields_of(Schema(table="t", fields=[old, text]))
    assert [one.allowed for one in found] == [["5", "", "b"], ["5.0"]]


def test_the_description_of_a_row_says_what_each_field_takes(rows: RowReader) -> None:
    told = rows.described()
    assert (told["type"], told["additionalProperties"], told["description"]) == (
        "object",
        False,
        "One row of 'orders'.",
    )
    assert told["required"] == ["n", "c", "t", "b", "d", "e", "m"]
    found = told["properties"]
    assert found["n"] == {"type": ["number"], "description": "a finite number, at least 0.5, at most 1000"}
    assert found["c"] == {
        "type": ["string", "number", "boolean"], "pattern": VISIBLE, "not": {"enum": ["none"]},
        "description": "a string, a number, or true or false, one of '5', 'b'",
    }  # fmt: skip
    assert found["t"] == {"type": ["string", "null"], "description": "a string"}
    assert found["b"]["type"] == ["boolean"]
    assert "pattern" not in found["b"]
    assert (found["d"]["type"], found["d"]["format"]) == (["string", "null"], "date-time")
    assert found["e"] == {"type": ["string", "number"], "description": expected(SCHEMA.fields[5])}
    assert found["late"] == {"description": "disregarded"}
    assert found["id"]["type"] == ["number", "null"]
