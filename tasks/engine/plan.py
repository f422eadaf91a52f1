"""The plan: the serialised definition of the features, derived from ``params.yaml``.

A plan says what each feature is, in a form that JSON holds and a stable hash identifies; computing it is left to the
engines (:mod:`tasks.engine.local`, :mod:`tasks.engine.online`, :mod:`tasks.engine.pieces`, :mod:`tasks.engine.spark`),
which all give the same bits.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

import pandas as pd

from tasks.engine.facts import Table, Time

if TYPE_CHECKING:
    from tasks.engine.auto import Windows
    from tasks.engine.online import State
    from tasks.params import Params

FORMAT = 1


@dataclass(frozen=True)
class Feature:
    """One feature: its name, ``kind`` (numeric, categorical or text), a sentence, and what it is made of.

    ``make`` is ``{"op": ...}`` with the operation's parameters: ``column``, ``date``, ``lookup``, ``aggregate``,
    ``expression`` or ``power`` (see :mod:`tasks.engine.derive`).
    """

    name: str
    kind: str
    description: str
    make: dict[str, Any]


@dataclass(frozen=True)
class Plan:
    """What to compute for the rows of ``table`` as of ``time`` (and not after ``cap``, where that is set).

    ``children`` are plans over other rows' own events: their features serve as columns of those tables (depth 2).
    """

    table: str
    tables: dict[str, Table]
    features: tuple[Feature, ...]
    time: Time | None = None
    cap: Time | None = None
    target: dict[str, Any] = field(default_factory=dict)
    children: dict[str, Plan] = field(default_factory=dict)

    @classmethod
    def derive(cls, params: Params, windows: Windows | None = None) -> Plan:
        """The plan that ``params.yaml`` asks for. Raises :class:`~tasks.errors.RefitError` for what cannot be.

        ``windows``: of each key where ``history`` is ``auto`` (:func:`tasks.engine.rhythm.windows_of`); the stage
        ``features`` finds them, and whoever comes later reads its ``plan.json``.
        """
        from tasks.engine.derive import derive

        return derive(params, windows)

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready; :meth:`from_dict` gives back an equal plan."""
        return {"format": FORMAT, **_plain(json.loads(json.dumps(asdict(self))))}

    @classmethod
    def from_dict(cls, value: Mapping[str, Any]) -> Plan:
        from tasks.errors import RefitError

        if value.get("format", FORMAT) != FORMAT:
            raise RefitError(
                f"plan: format {value.get('format')!r} is not {FORMAT}; make the package anew with this Refit"
            )
        time = {k: Time(**value[k]) if value.get(k) else None for k in ("time", "cap")}
        return cls(
            table=value["table"],
            tables={name: _table(t) for name, t in value["tables"].items()},
            features=tuple(Feature(**f) for f in value["features"]),
            target=dict(value.get("target") or {}),
            children={name: cls.from_dict(child) for name, child in value.get("children", {}).items()},
            **time,
        )

    @cached_property
    def hash(self) -> str:
        """SHA-256 of the plan's canonical JSON."""
        text = json.dumps(self.to_dict(), sort_keys=True, separators=(",", ":"), ensure_ascii=True)
        return hashlib.sha256(text.encode()).hexdigest()

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(f.name for f in self.features)

    def compute(self, tables: Mapping[str, pd.DataFrame], rows: pd.DataFrame) -> pd.DataFrame:
        """Features of ``rows`` (of the problem table), in plan order, with the rows' index.

        ``tables`` holds every table that the plan names, as validated. Raises :class:`~tasks.errors.RefitError` with
        table, column and row numbers for input that has no right answer.
        """
        from tasks.engine.compute import compute

        return compute(self, tables, rows)

    def start(self, tables: Mapping[str, pd.DataFrame]) -> State:
        """Per-key history in memory, for :meth:`compute_row`."""
        from tasks.engine.online import State

        return State(self, tables)

    def compute_row(self, row: Mapping[Any, Any], state: State) -> dict[str, Any]:
        """Features of one row, by name; the same bits as :meth:`compute` over the same facts."""
        return state.compute_row(row)


def _plain(plan: dict[str, Any]) -> dict[str, Any]:
    """A plan as JSON without what says nothing, so that plans of earlier versions keep their hash."""
    for table in plan["tables"].values():
        if not table["later"]:
            del table["later"]
    for child in plan["children"].values():
        _plain(child)
    return plan


def _table(value: Mapping[str, Any]) -> Table:
    times = {k: Time(**value[k]) if value[k] else None for k in ("event_time", "known_at")}
    return Table(
        value["name"],
        dict(value["columns"]),
        tuple(value["key"]),
        **times,
        outcome=tuple(value["outcome"]),
        later={column: Time(**when) for column, when in value.get("later", {}).items()},
    )
