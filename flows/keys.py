"""Every key of ``params.yaml``: a JSON Schema for editors (``refit schema``), and a table for people (``refit params``).

Both come from the types of :mod:`tasks.params`, which check the file: there is no second list of keys.
"""

from __future__ import annotations

import json
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from pydantic.json_schema import GenerateJsonSchema

from tasks.errors import RefitError, nearest
from tasks.kinds import find_kind, kind_names
from tasks.listed import family_names
from tasks.params import Params

FILE = "params.schema.json"  # beside params.yaml, and kept in git with it
LINE = f"# yaml-language-server: $schema={FILE}"  # from which an editor knows it
PLACES = {"tables": "TABLE", "columns": "COLUMN", "models": "FAMILY"}  # what stands for a name of the user's
NOTHING = {"type": "null"}


class _Untitled(GenerateJsonSchema):
    def field_title_should_be_set(self, schema: Any) -> bool:
        return False  # the key itself, once more


def schema() -> dict[str, Any]:
    """JSON Schema of ``params.yaml``, with the names of all families, kinds and metrics.

    What it refuses, Refit refuses. It cannot know what several keys say together, or what the tables hold.
    """
    tree: dict[str, Any] = Params.model_json_schema(schema_generator=_Untitled)
    for name, section in tree["properties"].items():
        if name not in tree["required"]:  # `tuning:` with nothing below it
            tree["properties"][name] = {
                "anyOf": [section, NOTHING],
                **{k: section[k] for k in ("description", "default") if k in section},
            }
    models = tree["properties"]["models"]
    family = {"anyOf": [models.pop("additionalProperties"), NOTHING]}
    tree["properties"]["models"] = {
        **models,
        "properties": dict.fromkeys(family_names(), family),
        "additionalProperties": False,
    }
    problem = tree["$defs"]["Problem"]
    problem["properties"]["kind"]["enum"] = list(kind_names())
    problem["allOf"] = [
        {
            "if": {"properties": {"kind": {"const": name}}, "required": ["kind"]},
            "then": {"properties": {"metric": {"enum": list(find_kind(name).decisive)}}},
        }
        for name in kind_names()
    ]
    metrics = list(dict.fromkeys(metric for name in kind_names() for metric in find_kind(name).decisive))
    problem["properties"]["metric"]["enum"] = metrics
    tree["$defs"]["Promotion"]["properties"]["metric"]["enum"] = metrics
    goals = tree["$defs"]["Goals"]["properties"]
    metric = goals["metric"]
    goals["metric"] = {"anyOf": [{"$ref": metric["$ref"]}, NOTHING], "description": metric["description"]}
    return {"$schema": "http://json-schema.org/draft-07/schema#", "title": "params.yaml of Refit", **tree}


def text() -> str:
    """The schema as its file holds it."""
    return json.dumps(schema(), indent=1, ensure_ascii=False) + "\n"


@dataclass(frozen=True)
class Key:
    """A key of ``params.yaml``: its path, what may stand there, what counts without it, and what it does."""

    path: str
    type: str
    default: str
    about: str


def every_key() -> list[Key]:
    """All keys in the order of the types; a section's own line stands before those of its keys."""
    tree = schema()
    return list(_keys(tree, tree, ""))


def _keys(node: dict[str, Any], tree: dict[str, Any], path: str) -> Iterator[Key]:
    mapping = next((one for one in _forms(node, tree) if "properties" in one), None)
    if mapping is None:
        return
    for name, entry in mapping["properties"].items():
        here = f"{path}.{name}" if path else name
        forms = list(_forms(entry, tree))
        default = "required" if name in mapping.get("required", ()) else _shown(entry.get("default"))
        yield Key(here, _types(forms, tree), default, entry.get("description", ""))
        for inner in forms:
            if "properties" in inner and name == "models":
                yield from _keys(inner["properties"][family_names()[0]], tree, f"{here}.{PLACES[name]}")
            elif "properties" in inner:
                yield from _keys(inner, tree, here)
            elif "items" in inner:
                yield from _keys(inner["items"], tree, here)
            elif any_name := _of_any_name(inner):
                yield from _keys(any_name, tree, f"{here}.{PLACES.get(name, 'NAME')}")


def _of_any_name(form: dict[str, Any]) -> dict[str, Any] | None:
    """What a mapping holds whose keys are the user's own names; None of what is no such mapping."""
    values = [form.get("additionalProperties"), *form.get("patternProperties", {}).values()]
    return next((value for value in values if isinstance(value, dict)), None)


def _forms(node: dict[str, Any], tree: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """What may be written in a place, a form each; that nothing is written is none."""
    if "$ref" in node:
        yield from _forms(tree["$defs"][node["$ref"].rpartition("/")[2]], tree)
    elif (alternatives := node.get("anyOf") or node.get("oneOf")) and "title" not in node:
        for one in alternatives:
            yield from _forms(one, tree)
    elif node != NOTHING:
        yield node


WORDS = {"string": "text", "number": "number", "integer": "whole number", "boolean": "true or false", "null": "null"}
BOUNDS = {"minimum": "≥", "exclusiveMinimum": ">", "maximum": "≤", "exclusiveMaximum": "<"}


def _types(forms: list[dict[str, Any]], tree: dict[str, Any]) -> str:
    return " or ".join(dict.fromkeys(_type(form, tree) for form in forms))


def _type(form: dict[str, Any], tree: dict[str, Any]) -> str:
    """What a form is, in words."""
    if "properties" in form:
        return "mapping"
    if "title" in form:
        return str(form["title"])
    if "enum" in form or "const" in form:
        return " | ".join(map(str, form.get("enum", [form.get("const")])))
    if isinstance(form["type"], list):
        return " or ".join(WORDS[one] for one in form["type"])
    if form["type"] == "array":
        if "prefixItems" in form:
            return f"[{', '.join(_type(one, tree) for one in form['prefixItems'])}]"
        return f"list of {_types(list(_forms(form['items'], tree)), tree)}"
    if form["type"] == "object":
        inner = _of_any_name(form)
        return f"name: {_types(list(_forms(inner, tree)), tree)}" if inner else "name: anything"
    bounds = ", ".join(f"{sign} {form[name]:,}" for name, sign in BOUNDS.items() if name in form)
    return f"{WORDS[form['type']]} {bounds}".strip()


def _shown(default: object) -> str:
    """A default as the file would have it; of a section nothing, since its keys have their own."""
    if default is None or default in ("", [], {}):
        return "unset"
    if isinstance(default, dict):
        return ""
    return json.dumps(default) if not isinstance(default, str) else default


# For people -----------------------------------------------------------------------------------------------------------


def listed(under: str | None, width: int | None) -> Iterator[str]:
    """The keys, or one and those below it, two lines or more each; ``width``: of the terminal, None where there is none.

    Raises :class:`RefitError` for a key that is none, with the nearest.
    """
    every = every_key()
    chosen = [key for key in every if under is None or f"{key.path}.".startswith(f"{under}.")]
    if under is not None and not chosen:
        raise RefitError(
            f"{under}: no key of params.yaml.{nearest(under, [key.path for key in every])} `refit params` lists all."
        )
    for key in chosen:
        default = {"required": ", required", "": ""}.get(key.default, f" [{key.default}]")
        yield from _wrapped(f"{key.path}  {key.type}{default}", width, "        ")
        yield from _wrapped(f"    {key.about}", width, "    ")


def _wrapped(line: str, width: int | None, indent: str) -> list[str]:
    return textwrap.wrap(line, max(width, 30), subsequent_indent=indent, break_long_words=False) if width else [line]


PAGE = """\
# Every key of `params.yaml`
<!-- test: tests/flows/test_params_table.py::test_the_page_is_what_the_command_writes -->

Made by `refit params --markdown`; do not edit it here. `TABLE`, `COLUMN`, `FAMILY` and `NAME` stand for names of your own. A *duration*
is a number and a unit (`30s`, `15m`, `3h`, `7d`, `4w`), a *moment* a column with times, plus or minus a duration (`ordered_at - 2h`).
What is left out has its default. [params.yaml](../params.yaml) of the flights shows most of them at work.

In an editor, keys are completed and checked while you type: the first line of a file that `refit init` wrote names `params.schema.json`
beside it, the JSON Schema that `refit schema` prints (`refit schema > params.schema.json` renews it; `refit doctor` says when).
"""


def page() -> str:
    """``docs/params.md``: a table for each section."""
    lines, section = [PAGE.rstrip()], None
    for key in every_key():
        first, _, rest = key.path.partition(".")
        if first != section:
            section = first
            about = f"{key.about[:1].upper()}{key.about[1:]}."
            lines += [
                "",
                f"## {first}",
                "",
                about,
                "",
                MARK,
                "| key | type | default | what it does |",
                "|---|---|---|---|",
            ]
        if rest or key.type != "mapping":
            lines.append(f"| `{key.path}` | {_cell(key.type)} | {_cell(key.default)} | {_cell(key.about)} |")
    return "\n".join(lines) + "\n"


MARK = "<!-- test: tests/test_keys.py::test_every_key_names_the_test_that_shows_what_it_does -->"


def _cell(text: str) -> str:
    return text.replace("|", "\\|")
