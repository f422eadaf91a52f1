"""Defaults and bounds of the keys are a promise to whoever has a params.yaml: they change here too, or not at all.

``python -m tests.tasks.test_bounds`` prints them as they are, for ``bounds.txt``.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from tasks.params import Params
from tasks.params.problem import NO_TARGET

PROMISED = Path(__file__).with_name("bounds.txt")
WORDS = {"ge": "from", "gt": "above", "le": "to", "lt": "below", "min_length": "at least", "pattern": "like"}


def sections(model: type[BaseModel], seen: set[type[BaseModel]]) -> Iterator[type[BaseModel]]:
    """The models that are reached from one, itself first, each once."""
    if model in seen:
        return
    seen.add(model)
    yield model
    for field in model.model_fields.values():
        for part in parts(field.annotation):
            if isinstance(part, type) and issubclass(part, BaseModel):
                yield from sections(part, seen)


def parts(kind: Any) -> Iterator[Any]:
    """All types within a type."""
    yield kind
    for inner in get_args(kind):
        yield from parts(inner)


def bounds(field: FieldInfo) -> str:
    """A key's default and its bounds, wherever in its type they stand."""
    default = "needed" if field.is_required() else repr(field.default)
    if field.default is NO_TARGET:
        default = "needed where the kind has one"
    elif isinstance(field.default, BaseModel):
        default = "as its keys" if field.default == type(field.default)() else default
    inner = [m for part in parts(field.annotation) for m in getattr(part, "__metadata__", ())]
    found = [m for one in [*field.metadata, *inner] for m in (getattr(one, "metadata", None) or [one])]
    said = [
        f"{word} {getattr(m, name)}"
        for m in found
        for name, word in WORDS.items()
        if getattr(m, name, None) is not None
    ]
    return ", ".join([default, *said])


def promised() -> str:
    lines = [
        f"{model.__name__}.{field.alias or name}: {bounds(field)}"
        for model in sections(Params, set())
        for name, field in model.model_fields.items()
    ]
    return "\n".join(lines) + "\n"


def test_defaults_and_bounds_are_as_they_were_promised() -> None:
    assert promised().splitlines() == PROMISED.read_text().splitlines()


if __name__ == "__main__":
    print(promised(), end="")
