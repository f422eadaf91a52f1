"""Parameters of families that count only sometimes: refused where they would do nothing, and then not searched either."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from tasks.errors import RefitError, nearest, some
from tasks.fitting.base import Family
from tasks.fitting.space import OneOf, Setting, Settings, Space
from tasks.kinds import MANY, NUMBER, TWO, Output, find_kind, kinds_of

Where = Mapping[str, tuple[Setting, ...]]  # another parameter: its values; none named: any but 0, false and null


@dataclass(frozen=True)
class Only:
    """Where a parameter counts: for models with these ``outputs``, ``beside`` one of these others, and ``unless`` one of those."""

    outputs: tuple[Output, ...] = (TWO, MANY, NUMBER)
    beside: Where = field(default_factory=dict)
    unless: Where = field(default_factory=dict)


def idle_because(family: Family, key: str, params: Settings, kind: str, space: Space) -> str:
    """Why a parameter would do nothing beside ``params``, where ``space`` is searched for the others; empty if it counts."""
    rule: Only | None = getattr(family, "COUNTS", {}).get(key)
    if rule is None:
        return ""
    if find_kind(kind).output not in rule.outputs:
        return f"counts only where problem.kind is {some(kinds_of(*rule.outputs))}, and it is {kind!r}"
    if rule.beside and not any(_may_be(name, values, params, space) for name, values in rule.beside.items()):
        return f"counts only with {_shown(rule.beside)}"
    for name, values in rule.unless.items():
        if name in params and params[name] in values:
            return f"does nothing with {_shown({name: values})}"
    return ""


def check_params(family: Family, params: Settings, kind: str, space: Space) -> None:
    """Refuse parameters that the family does not know, and those that would do nothing.

    Raises
    ------
    RefitError
        Naming the parameter, why, and what to write instead.
    """
    name, known = family.NAME, (*family.space(kind, 1000, 10), *family.ALSO)
    for key in params:
        path, same = f"models.{name}.params.{key}", getattr(family, "ALIASES", {})
        if key in same:
            raise RefitError(f"{path}: is another name of {same[key]}, and goes by that one here; write {same[key]}.")
        if key not in known:
            allowed = nearest(key, known) or f" Allowed: {some(known, 60)}."
            raise RefitError(f"{path}: {name} has no such parameter.{allowed}")
        if why := idle_because(family, key, params, kind, space):
            raise RefitError(f"{path}: {why}; remove it" + (", or set that." if "only with" in why else "."))
    if (check := getattr(family, "check", None)) is not None:
        check(dict(params))


def searched(family: Family, space: Space, params: Settings, kind: str) -> Space:
    """The part of a space that is left to search beside fixed ``params``: what they do not fix, and what still counts."""
    left = {name: dim for name, dim in space.items() if name not in params}
    return {name: dim for name, dim in left.items() if not idle_because(family, name, params, kind, left)}


def _may_be(name: str, values: tuple[Setting, ...], params: Settings, space: Space) -> bool:
    """Whether a parameter has one of the values, or a search may give it one."""
    if name in params:
        return params[name] in values if values else bool(params[name])
    dim = space.get(name)
    if isinstance(dim, OneOf):
        return not values or any(value in values for value in dim.options)
    return dim is not None


def _shown(where: Where) -> str:
    """As one writes it: ``kernel: poly or sigmoid``."""
    return " or ".join(
        f"{name}: {' or '.join(_plain(v) for v in values)}" if values else name for name, values in where.items()
    )


def _plain(value: Setting) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
