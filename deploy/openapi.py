"""The service's OpenAPI 3.1 description, made from the package's schema."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from deploy.rows import RowReader
from tasks.bundle import Bundle

SCHEMAS = "#/components/schemas/"


def describe(rows: RowReader, bundle: Bundle, version: str, most: int, live: bool = False) -> dict[str, object]:
    """OpenAPI of one served package; rows are described field by field. ``live``: it keeps a journal and takes events."""
    problem = {
        "type": "object",
        "required": ["errors"],
        "properties": {
            "errors": {
                "type": "array",
                "items": {
                    "type": "object",
                    "required": ["message"],
                    "properties": {
                        "message": {"type": "string"},
                        "field": {"type": "string", "description": "the field that is wrong"},
                        "row": {"type": "integer", "description": "its position in the batch, from 0"},
                    },
                },
            }
        },
    }
    row = rows.described()
    refused = {
        "400": "not UTF-8 JSON",
        "408": "the body did not arrive",
        "413": "the body is too large",
        "415": "not JSON by its content type",
        "422": "a field is missing, unknown, or of a wrong type, or the row's time is before answers_from; named",
        "503": "what is known is too old for the row's time, where such rows are refused; or too much at once, still loading, or "
        "leaving (Retry-After says when to come again)",
    }

    def path(what: str, body: dict[str, object], answer: dict[str, object]) -> dict[str, object]:
        return {
            "post": {
                "summary": what,
                "requestBody": {"required": True, "content": {"application/json": {"schema": body}}},
                "responses": {
                    "200": {"description": "answered", "content": {"application/json": {"schema": answer}}},
                    **{status: _problem(why) for status, why in refused.items()},
                },
            }
        }

    def read(what: str, content: Mapping[str, object]) -> dict[str, object]:
        return {"get": {"summary": what, "responses": {"200": {"description": what, "content": content}}}}

    start = bundle.horizon.start
    since = "" if start is None else f" Rows whose time is {start} or later are answered."
    anything = {"application/json": {"schema": {"type": "object"}}}
    return {
        "openapi": "3.1.0",
        "info": {
            "title": bundle.name,
            "version": version,
            "description": f"Predictions of the model {bundle.name!r} ({bundle.kind}), one row or a batch.{since}",
        },
        "paths": {
            "/predict": path("Predict one row", {"$ref": SCHEMAS + "Row"}, {"$ref": SCHEMAS + "Answer"}),
            "/predict_batch": path(
                f"Predict up to {most:,} rows",
                {"type": "array", "items": {"$ref": SCHEMAS + "Row"}, "minItems": 1, "maxItems": most},
                {"type": "array", "items": {"$ref": SCHEMAS + "Answer"}},
            ),
            **(_told(bundle, most, path) if live else {}),
            "/healthz": read("The process is alive", anything),
            "/readyz": read("The model is loaded; which one, from when it answers, until when it knows", anything),
            "/schema": read("The fields of a row", anything),
            "/metrics": read("Prometheus metrics", {"text/plain": {"schema": {"type": "string"}}}),
        },
        "components": {"schemas": {"Row": row, "Answer": _answer(bundle, live), "Problem": problem}},
    }


def _problem(why: str) -> dict[str, object]:
    return {"description": why, "content": {"application/json": {"schema": {"$ref": SCHEMAS + "Problem"}}}}


def _told(
    bundle: Bundle, most: int, path: Callable[[str, dict[str, object], dict[str, object]], dict[str, object]]
) -> dict[str, object]:
    """``/events`` and ``/labels``: one object, or a list of them."""

    def one_or_more(properties: Mapping[str, object], required: list[str]) -> dict[str, object]:
        own = {"known": {"enum": ["receipt", "given"], "default": "receipt",
               "description": "given: known when its own columns say; receipt: not before it is received"}}  # fmt: skip
        one = {
            "type": "object",
            "properties": {**properties, **own},
            "required": required,
            "additionalProperties": False,
        }
        return {"anyOf": [one, {"type": "array", "items": one, "minItems": 1, "maxItems": most}]}

    tables = bundle.events or {}
    whole, text = {"type": "integer"}, {"type": "string"}
    fields: dict[str, object] = {"type": "object"}
    kept: dict[str, object] = {
        "type": "object",
        "required": ["seq", "stored", "again", "quarantined"],
        "properties": {
            "seq": {**whole, "description": "the journal's entry that an answer has to know (If-Known)"},
            "stored": whole,
            "again": {**whole, "description": "those whose id was there already"},
            "quarantined": {
                "type": "array",
                "items": {"type": "object", "properties": {"row": whole, "message": text}},
            },
        },
    }
    rows = {"oneOf": [RowReader(about.row).described() for about in tables.values()]} if tables else fields
    event = {"table": {"enum": sorted(tables)}, "row": rows, "id": {**text, "minLength": 1, "maxLength": 200}}
    label = {"id": text, "key": fields, "values": fields}
    return {
        "/events": path("Tell rows of tables that became known", one_or_more(event, ["table", "row"]), kept),
        "/labels": path("Tell what became of rows that were answered", one_or_more(label, ["values"]), kept),
    }


def _answer(bundle: Bundle, live: bool) -> dict[str, object]:
    properties = bundle.problem.answer_schema(bundle.classes) | {
        "model": {"type": "string"},
        "version": {"type": "string"},
        "warnings": {"type": "array", "items": {"type": "string"}},
    }
    if live:
        properties["id"] = {"type": "string", "description": "what names the answer in the journal"}
    return {"type": "object", "required": list(properties), "properties": properties, "additionalProperties": False}
