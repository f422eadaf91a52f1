"""Tables as the look for what comes later sees them (:mod:`tasks.engine.foresight`): their moments, keys and columns.

A table may be one that stays on disk: its moments alone are held, a column is read where it is asked for, and the rows
that are looked at again and again are read once (:meth:`TimedTable.hold`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import pandas as pd

from tasks.artifacts.columns import RECEIVED
from tasks.engine.ahead import FEWEST
from tasks.engine.asof import prediction_times
from tasks.engine.codes import composite
from tasks.engine.facts import MISSING, TableSchema, Time, micros
from tasks.engine.plan import Feature, Plan
from tasks.engine.recipes import FromTable, LookedUp
from tasks.states import known_from, last_known
from tasks.stored import Frame

MOST = 4  # keys of a table, and two of several columns
KINDS = {"numeric": "number", "boolean": "number", "datetime": "moment", "categorical": "level", "text": "level"}


@dataclass
class TimedTable:
    """A table's rows in time: when they happened (``t``), and when their columns are asked for; int64 µs.

    ``frame``: a data frame, or one that stays on disk. ``read``: columns under suspicion; ``looked``: a frame of the
    features that stand for some of them.
    """

    spec: TableSchema
    frame: Frame
    t: np.ndarray
    asked: np.ndarray
    read: list[str]
    keys: list[tuple[str, ...]]
    outcome: frozenset[str]
    problem: bool
    looked: Frame = field(default_factory=pd.DataFrame)
    _kinds: dict[str, str] = field(default_factory=dict)
    _places: np.ndarray = field(default_factory=lambda: np.zeros(0, np.int64))
    _held: dict[str, pd.Series] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """The table's."""
        return self.spec.name

    def column(self, name: str) -> pd.Series:
        """All its values."""
        values: pd.Series = self._of(name)[name]
        return values

    def _of(self, name: str) -> Frame:
        return self.looked if name in self.looked.columns else self.frame

    def hold(self, rows: np.ndarray, names: Sequence[str]) -> None:
        """Read those columns once that are on disk, and keep their values in these rows, in place of what was kept before."""
        self._held = {}
        self._places = np.unique(rows)
        for name in dict.fromkeys(names):
            if not isinstance(self._of(name), pd.DataFrame):
                self._held[name] = self.column(name).iloc[self._places].reset_index(drop=True)

    def at(self, name: str, rows: np.ndarray) -> pd.Series:
        """The values in some rows."""
        if name in self._held and len(self._places):
            place = np.minimum(np.searchsorted(self._places, rows), len(self._places) - 1)
            if np.array_equal(self._places[place], rows):
                return self._held[name].iloc[place]
        return self.column(name).iloc[rows]

    def kind(self, name: str) -> str:
        """Of a column: ``number``, ``moment``, ``level``, or empty where it is ignored."""
        if name in self.spec.columns and name not in self.looked.columns:
            return KINDS.get(self.spec.columns[name], "")
        if name not in self._kinds:
            self._kinds[name] = "number" if pd.api.types.is_numeric_dtype(self.column(name).dtype) else "level"
        return self._kinds[name]

    def kept(self, rows: np.ndarray, names: Sequence[str]) -> tuple[np.ndarray, list[np.ndarray]]:
        """``(rows, names)`` float64, levels as NaN; and texts of the levels."""
        out, texts = np.full((len(rows), len(names)), np.nan), []
        for j, name in enumerate(names):
            column, kind = self.at(name, rows), self.kind(name)
            if kind == "number":
                out[:, j] = column.to_numpy(dtype=np.float64, na_value=np.nan)
            elif kind == "moment":
                whole = micros(column, name, self.name)
                out[:, j] = np.where(whole == MISSING, np.nan, whole)
            else:
                texts.append(column.to_numpy(dtype=object))
        out[np.isinf(out)] = np.nan
        return out, texts


def still(plan: Plan) -> Plan:
    """The same plan with only what it looks up in tables without times: these columns stand for the rows that ask."""
    return replace(plan, features=tuple(f for f in plan.features if _is_still(plan, f)), children={})


def _is_still(plan: Plan, feature: Feature) -> bool:
    recipe = feature.recipe
    if not isinstance(recipe, LookedUp) or plan.tables[recipe.table].event_time is not None:
        return False
    return plan.tables[recipe.table].columns.get(recipe.column) != "datetime"


def timed_tables(tables: Mapping[str, Frame], plan: Plan, rows: Frame, features: Frame) -> Iterator[TimedTable]:
    """Every table with times, and the problem's."""
    for name, spec in plan.tables.items():
        own = name == plan.table
        if name not in tables or (spec.event_time is None and not own):
            continue
        frame = (rows if own else last_known(tables[name])).reset_index(drop=True)
        moment = spec.event_time or plan.time
        assert moment is not None
        t = _moment(frame, moment, name)
        known = prediction_times(plan, frame) if own else _known(frame, spec.known_at or moment, name)
        outcome = set(spec.outcome) | set(spec.later)
        if own and plan.target:
            outcome |= {plan.target.name, plan.target.column}
        times = {w.column for w in (spec.event_time, spec.known_at, plan.time if own else None) if w}
        read = [c for c in read_by(plan, name) if c in frame.columns and c not in outcome | times | set(spec.key)]
        looked: Frame = pd.DataFrame()
        if own:
            names = [f.name for f in plan.features if _is_still(plan, f) and f.name in features.columns]
            looked = features[names].reset_index(drop=True)
        keys = _keys(plan, spec, frame, frozenset(outcome | times))
        read = list(dict.fromkeys([*read, *looked.columns]))
        yield TimedTable(spec, frame, t, np.maximum(t, known), read, keys, frozenset(outcome), own, looked)


def _moment(frame: Frame, time: Time, table: str) -> np.ndarray:
    return time.of(micros(frame[time.column], time.column, table))


def _known(frame: Frame, time: Time, table: str) -> np.ndarray:
    """As :class:`~tasks.engine.facts.Events` has it, of a frame that may lie on disk."""
    received = _moment(frame, Time(RECEIVED), table) if RECEIVED in frame.columns else None
    return known_from(_moment(frame, time, table), received)


def read_by(plan: Plan, table: str) -> list[str]:
    """Columns of a table that features read, but for those that only say whose a row is."""
    columns: list[str] = []
    for feature in plan.features:
        recipe = feature.recipe
        if not isinstance(recipe, FromTable):
            columns += plan.read_by[feature.name] if table == plan.table else ()
        elif recipe.column is not None and recipe.table == table:
            columns.append(recipe.column)
    return [c for c in dict.fromkeys(columns) if c in plan.tables[table].columns]


def _keys(plan: Plan, spec: TableSchema, frame: Frame, never: frozenset[str]) -> list[tuple[str, ...]]:
    """By what rows may belong together: as the plan groups them, by levels, by whole numbers that come again."""
    own, n = spec.name == plan.table, len(frame)
    asked: list[tuple[str, ...]] = []
    for _, recipe in plan.of_tables:
        if own or recipe.table == spec.name:
            asked.append(tuple(pair[0 if own else 1] for pair in recipe.on))
    order = ("categorical", "numeric")
    by_column = [(c,) for kind in order for c in spec.columns if spec.columns[c] == kind]
    single: list[tuple[str, ...]] = []
    several: list[tuple[str, ...]] = []
    for key in dict.fromkeys([*asked, *((c,) for k in asked for c in k), *((c,) for c in spec.key), *by_column]):
        if not key or any(c not in frame.columns or c in never for c in key):
            continue
        if len(single) >= MOST if len(key) == 1 else len(several) >= 2:
            continue
        if spec.columns[key[0]] == "numeric" and (key not in asked or len(key) > 1):
            values = frame[key[0]].to_numpy(dtype=np.float64, na_value=np.nan)
            if not np.array_equal(values, np.floor(values), equal_nan=True):
                continue
        plain = len(key) == 1 and key not in asked and spec.columns[key[0]] == "numeric"
        if (FEWEST if plain else 2) <= _different(frame, key) <= n / 2:
            (single if len(key) == 1 else several).append(key)
    return [*single, *several]


def _different(frame: Frame, key: tuple[str, ...]) -> int:
    """How many keys there are; a missing part is one as well."""
    parts = (pd.factorize(frame[column], use_na_sentinel=False) for column in key)
    (codes,) = composite((((part,), len(names)) for part, names in parts), [len(frame)])
    return len(np.unique(codes))
