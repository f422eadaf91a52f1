"""Mistakes in a YAML file in words: line, path of the key, what is allowed, what was found, the nearest name."""

from __future__ import annotations

import re
from typing import NamedTuple

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from tasks.errors import nearest, shortened, some

Loc = tuple[int | str, ...]  # keys and positions from the root to a value, as pydantic has them
# pydantic's types of error, in words a reader of YAML knows.
_WORDS = {
    "int_parsing": "expected a whole number",
    "int_type": "expected a whole number",
    "int_from_float": "expected a whole number",
    "float_parsing": "expected a number",
    "float_type": "expected a number",
    "finite_number": "expected a finite number",
    "string_type": "expected text",
    "bool_parsing": "expected true or false",
    "bool_type": "expected true or false",
    "tuple_type": "expected a list, as in [a, b]",
    "dict_type": "expected a mapping, as in {{name: value}}",
    "model_type": "expected a mapping, as in {{key: value}}",
    "model_attributes_type": "expected a mapping, as in {{key: value}}",
    "greater_than": "must be greater than {gt}",
    "greater_than_equal": "must be at least {ge}",
    "less_than": "must be less than {lt}",
    "less_than_equal": "must be at most {le}",
    "too_short": "needs at least {min_length}",
    "string_pattern_mismatch": "must match {pattern}",
}


def explain(error: ValidationError, tree: object, source: str, model: type[BaseModel]) -> str:
    """All mistakes of a failed validation of ``tree``, one a line, in the order of the file.

    ``tree`` was parsed by ruamel, which keeps lines; ``model`` is the root model. A check across keys raises
    ``ValueError("path: text")``, several paths on lines of their own; its paths count from the model it is in.
    """
    lines: list[tuple[int, str]] = []
    values: dict[Loc, list[_Wrong]] = {}  # the members of a union each complain of the same value
    for item in error.errors(include_url=False):
        loc = _in_tree(tuple(item["loc"]), tree, item["type"])
        if item["type"] == "value_error" and (not loc or isinstance(item.get("input"), dict)):
            for text in _message(item).split("\n"):
                inner, _, rest = text.partition(": ")
                at = loc + parts_of(inner)
                whole = rest.endswith((".", "?"))  # a sentence that says what was found
                lines.append(_told(tree, at, source, rest if whole else f"{rest}{_found(tree, at)}."))
        elif item["type"] in ("extra_forbidden", "missing"):
            own = str(item["msg"]) if "ctx" in item else "missing; add it."  # a check's own words, or pydantic's
            text = own if item["type"] == "missing" else f"unknown key.{_key_hint(loc, model)}"
            lines.append(_told(tree, loc, source, text))
        else:
            values.setdefault(loc, []).append(_value(item))
    for loc, wrongs in values.items():
        texts = " or ".join(dict.fromkeys(wrong.text for wrong in wrongs))
        hints = "".join(dict.fromkeys(wrong.hint for wrong in wrongs))
        lines.append(_told(tree, loc, source, f"{texts}{_found(tree, loc)}.{hints}"))
    lines.sort(key=lambda line: line[0])
    return "\n".join(dict.fromkeys(text for _, text in lines))


class _Wrong(NamedTuple):
    text: str
    hint: str = ""


def _message(item: ErrorDetails) -> str:
    return str(item["msg"]).removeprefix("Value error, ")


def _value(item: ErrorDetails) -> _Wrong:
    """What is wrong with a value, and the nearest allowed one."""
    kind = item["type"]
    if kind == "literal_error":
        allowed = re.findall(r"'([^']*)'", item["ctx"]["expected"])
        return _Wrong(f"must be one of {some(allowed, 20)}", nearest(str(item.get("input")), allowed))
    if kind in _WORDS:
        limits = {k: f"{v:g}" if isinstance(v, float) else v for k, v in item.get("ctx", {}).items()}
        return _Wrong(_WORDS[kind].format(**limits))
    return _Wrong(_message(item))


def _told(tree: object, loc: Loc, source: str, text: str) -> tuple[int, str]:
    """Line of the mistake (0: unknown), and the whole sentence."""
    line = _line(tree, loc)
    return line or 0, f"{source}:{line}: {path_of(loc)}: {text}" if line else f"{source}: {path_of(loc)}: {text}"


def _inside(tree: object, part: int | str) -> object:
    """What a mapping or a list of the parsed YAML has there. Raises LookupError where that is nothing."""
    if isinstance(tree, dict):
        return tree[part]
    if isinstance(tree, list) and isinstance(part, int):
        return tree[part]
    raise KeyError(part)


def _found(tree: object, loc: Loc) -> str:
    """``; found X`` for a value that is short enough to show."""
    for part in loc:
        try:
            tree = _inside(tree, part)
        except LookupError:
            return ""
    shown = re.sub(r"(://[^/@\s]*?:|password=)[^@/&\s'\"]+", r"\1***", repr(tree))  # no secret goes into a log
    if isinstance(tree, dict | list) and len(shown) > 80:
        return ""
    return f"; found {shortened(shown, 80)}"


def _key_hint(loc: Loc, model: type[BaseModel]) -> str:
    allowed = _allowed_keys(loc, model)
    return nearest(str(loc[-1]), allowed) or (f" Allowed: {some(allowed, 20)}." if allowed else "")


def _in_tree(loc: Loc, tree: object, kind: str) -> Loc:
    """The part of pydantic's location that is in the file: without the names of union members and validators."""
    kept: list[int | str] = []
    for at, part in enumerate(loc):
        try:
            tree = _inside(tree, part)
        except LookupError:
            if kind == "missing" and at == len(loc) - 1:
                kept.append(part)
            continue
        kept.append(part)
    return tuple(kept)


def parts_of(path: str) -> Loc:
    """The parts of a path, the opposite of :func:`path_of`.

    >>> parts_of("features.history[0].by")
    ('features', 'history', 0, 'by')
    """
    return tuple(int(p[1:-1]) if p.startswith("[") else p for p in re.findall(r"\[\d+\]|[^.\[\]]+", path))


def path_of(loc: Loc) -> str:
    """The path of a key as a reader writes it.

    >>> path_of(("features", "history", 0, "by"))
    'features.history[0].by'
    """
    text = ""
    for part in loc:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else str(part)
    return text


def _line(tree: object, loc: Loc) -> int | None:
    """Line of ``loc`` in the parsed YAML (counted from 1), or of its nearest parent that has one."""
    line = None
    for part in loc:
        lc = getattr(tree, "lc", None)
        try:
            line = (lc.key(part) if isinstance(tree, dict) else lc.item(part))[0] + 1  # type: ignore[union-attr]
            tree = _inside(tree, part)
        except (LookupError, TypeError, AttributeError):
            break
    return line


def _allowed_keys(loc: Loc, model: type[BaseModel] | None) -> list[str]:
    """Names of the fields allowed at the parent of ``loc``, for a suggestion."""
    for part in loc[:-1]:
        if model is None:
            return []
        field = {field.alias or name: field for name, field in model.model_fields.items()}.get(str(part))
        if field is not None:
            model = _inner(field.annotation)
    if model is None:
        return []
    return [field.alias or name for name, field in model.model_fields.items()]


def _inner(annotation: object) -> type[BaseModel] | None:
    """The model inside ``X | None``, ``dict[str, X]`` or ``tuple[X, ...]``, if there is one."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    for part in getattr(annotation, "__args__", ()):
        inner = _inner(part)
        if inner is not None:
            return inner
    return None
