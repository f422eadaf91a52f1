"""The leakage prover: shows that no feature looks past its row's prediction time, or names what does.

Two kinds of evidence:

- *Proof by changing the future.* For several moments, everything that happened or became known from then on is made
  random (values, keys, times; some rows removed), and the features of rows up to then are computed anew: every bit must
  stay. Where one does not, the columns are changed one at a time until the guilty one is found.
- *Scans of what is declared* (:mod:`tasks.engine.leak_scans`). A column that was filled in after the fact, yet is declared
  known, passes the proof; it shows by what it knows of the target, by how it differs in rows without a label, by moments
  later than the row's own, or by rows that training and test share.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from tasks.artifacts.columns import SPLIT, TARGET
from tasks.engine import leak_scans
from tasks.engine.asof import prediction_times
from tasks.engine.compute import compute as by_batch
from tasks.engine.facts import MISSING, Events, Time
from tasks.engine.foresight import aggregates_ahead
from tasks.engine.leak_scans import Finding
from tasks.engine.plan import Plan
from tasks.engine.timed_tables import still
from tasks.states import last_known, read_states

Compute = Callable[[Plan, Mapping[str, pd.DataFrame], pd.DataFrame], pd.DataFrame]


@dataclass(frozen=True)
class Findings:
    """The leaks; ``checked`` says what was done, for the reader."""

    findings: tuple[Finding, ...]
    checked: tuple[str, ...]

    @property
    def ok(self) -> bool:
        """Whether there is no leak."""
        return not self.findings

    def __str__(self) -> str:
        lines = [str(f) for f in self.findings] or ["no leak found"]
        return "\n".join([*lines, *(f"checked: {c}" for c in self.checked)])


def prove(
    tables: Mapping[str, pd.DataFrame],
    plan: Plan,
    rows: pd.DataFrame,
    target: np.ndarray | None = None,
    split: Sequence[str] | np.ndarray | None = None,
    *,
    compute: Compute = by_batch,
    moments: int = 4,
    sample: int = 3000,
    seed: int = 0,
) -> Findings:
    """Look for leaks in the features of ``rows`` (rows of the problem table).

    ``target`` is float64 (NaN: no label yet) and ``split`` names each row's split; without them the scans that need
    them are left out. ``compute`` is what is being proved; ``moments`` how many cuts in time, ``sample`` how many rows
    are looked at for each.
    """
    rng = np.random.default_rng(seed)
    findings: list[Finding] = []
    checked: list[str] = []
    if plan.time is not None:
        cuts = change_the_future(tables, plan, rows, compute, moments, sample, rng)
        findings += cuts
        checked.append(f"the future made random after {moments} moments, up to {sample} rows each")
        findings += leak_scans.declared_times(tables, plan, rows)
        checked.append("moments inside rows against the times at which the rows are declared known")
        ahead, compared = aggregates_ahead(tables, plan, rows, by_batch(still(plan), tables, rows), seed)
        findings += ahead
        checked.append(f"columns that equal another one's aggregate over times to come, {compared:,} comparisons")
    if target is not None:
        some_rows = np.sort(rng.permutation(len(rows))[: 20 * sample])
        part = rows.iloc[some_rows]
        features = compute(plan, tables, part)
        findings += leak_scans.giveaways(features, target[some_rows], rng)
        findings += leak_scans.filled_later(features, target[some_rows])
        findings += leak_scans.encoded_targets(features, target[some_rows])
        findings += leak_scans.later_labels(plan, part, features, target[some_rows], keys_of(plan, part))
        checked.append(f"what each feature alone knows of the target, {len(part)} rows")
        if split is not None:
            findings += leak_scans.overlaps(plan, rows, np.asarray(split), target)
            checked.append("rows that training and test share")
    unique = {(f.kind, f.where): f for f in findings}
    return Findings(tuple(unique.values()), tuple(checked))


def keys_of(plan: Plan, rows: pd.DataFrame, most: int = 6) -> list[str]:
    """Columns of the problem table by which rows may belong together: those that the plan groups by, then categories."""
    own = plan.tables[plan.table]
    asked = [mine for _, recipe in plan.of_tables for mine in recipe.row]
    kinds = [c for c, kind in own.columns.items() if kind in ("categorical", "boolean")]
    named = dict.fromkeys([*asked, *own.key, *kinds])
    return [c for c in named if c in rows.columns and c not in own.outcome and 2 <= rows[c].nunique() <= len(rows) / 3][
        :most
    ]


def from_files(folder: str | Path = "data", **options: Any) -> Findings:
    """:func:`prove` for a run's own files: ``data/validated`` and ``data/features``, whose plan made the features."""
    from tasks.files import read_json, read_table

    plan = Plan.from_dict(read_json(Path(folder) / "features" / "plan.json"))
    tables = {name: read_states(Path(folder) / "validated", name) for name in plan.tables}
    made = read_table(Path(folder) / "features" / "features.parquet", columns=[SPLIT, TARGET])
    target = made[TARGET].to_numpy(np.float64) if plan.target else None
    return prove(tables, plan, last_known(tables[plan.table]), target, made[SPLIT].to_numpy(), **options)


def change_the_future(
    tables: Mapping[str, pd.DataFrame],
    plan: Plan,
    rows: pd.DataFrame,
    compute: Compute,
    moments: int,
    sample: int,
    rng: np.random.Generator,
) -> list[Finding]:
    """Features that change when only facts from their rows' prediction time on are changed."""
    t = prediction_times(plan, rows)
    timed = np.flatnonzero(t != MISSING)
    if not len(timed):
        return []
    order = timed[np.argsort(t[timed], kind="stable")]
    findings: dict[str, Finding] = {}
    for share in np.linspace(0.3, 0.95, moments):
        cut = int(t[order[min(int(share * len(order)), len(order) - 1)]])
        before = order[t[order] <= cut]
        near = before[-sample // 2 :]  # leaks are most visible just before the cut
        rest = before[: -sample // 2] if len(before) > sample // 2 else before[:0]
        chosen = np.sort(np.concatenate([near, rng.permutation(rest)[: sample - len(near)]]))
        base = compute(plan, tables, rows.iloc[chosen])
        future = Future(plan, tables, rows, cut, int(rng.integers(2**31)))
        changed = _changed(base, compute(plan, future.tables(), future.rows(chosen)))
        new = [name for name in changed if name not in findings]
        if not new:
            continue
        blamed = _blame(future, plan, compute, base, chosen, new)
        for name in new:
            row = int(chosen[changed[name]])
            why = (
                f"changes when only facts from {pd.Timestamp(cut, unit='us', tz='UTC').isoformat()} on are changed, "
                f"for instance in row {row}, whose prediction time is not later"
            )
            columns = blamed.get(name)
            findings[name] = Finding("future", name, why + (f"; it reads {', '.join(columns)}" if columns else ""))
    return list(findings.values())


def _changed(a: pd.DataFrame, b: pd.DataFrame) -> dict[str, int]:
    """First place at which each changed feature differs, bit by bit."""
    places = {}
    for name in a.columns:
        if name not in b.columns:
            places[name] = 0
            continue
        x, y = a[name].to_numpy(), b[name].to_numpy()
        if x.dtype == np.float64 and y.dtype == np.float64:
            differ = (x != y) & ~(np.isnan(x) & np.isnan(y))
        else:
            differ = a[name].astype(object).fillna("\0").to_numpy() != b[name].astype(object).fillna("\0").to_numpy()
        if np.any(differ):
            places[str(name)] = int(np.flatnonzero(differ)[0])
    return places


def _blame(
    future: Future, plan: Plan, compute: Compute, base: pd.DataFrame, chosen: np.ndarray, names: list[str]
) -> dict[str, list[str]]:
    """Which columns' future values, changed alone, change which features."""
    blamed: dict[str, list[str]] = {}
    for table, column in future.columns():
        changed = _changed(base, compute(plan, future.tables((table, column)), future.rows(chosen, (table, column))))
        for name in names:
            if name in changed:
                blamed.setdefault(name, []).append(f"{table}.{column}")
    return blamed


class Future:
    """The tables with all facts from a moment on made random.

    A fact of a table belongs to the future where its event or known-at time is at or after the cut, or missing; a column
    that becomes known after its row, where its own moment is. In the problem table only the outcomes of such rows are
    changed, and for rows that ask after the cut all but the key.
    """

    def __init__(self, plan: Plan, tables: Mapping[str, pd.DataFrame], rows: pd.DataFrame, cut: int, seed: int):
        self.plan, self.given, self.given_rows, self.cut, self.seed = plan, dict(tables), rows, cut, seed
        self._later = {name: self._unknown(name, frame) for name, frame in self.given.items() if name in plan.tables}
        self._later_rows = self._unknown(plan.table, rows)

    def _unknown(self, name: str, frame: pd.DataFrame) -> dict[Time | None, np.ndarray]:
        """Which rows' facts belong to the future: of the row itself (None), and of columns with a moment of their own."""
        row, unknown = Events(self.plan.tables[name], frame), {}
        for time in (None, *row.table.later.values()):
            if row.table.event_time is None:
                unknown[time] = np.zeros(len(frame), bool)
                continue
            facts = row.later(time)
            late = (facts.event >= self.cut) | (facts.known >= self.cut)
            unknown[time] = late | (facts.event == MISSING) | (facts.known == MISSING)
        return unknown

    def columns(self) -> list[tuple[str, str]]:
        """All columns that may be changed."""
        return [
            (n, c)
            for n, later in self._later.items()
            for c in self._open(n, self.given[n])
            if later[self.plan.tables[n].later.get(c)].any()
        ]

    def _open(self, name: str, frame: pd.DataFrame) -> list[str]:
        spec = self.plan.tables[name]
        return [c for c in frame.columns if c in spec.columns and c not in spec.key and spec.columns[c] != "ignore"]

    def tables(self, only: tuple[str, str] | None = None) -> dict[str, pd.DataFrame]:
        """The tables with the future made random, or one column of it (``only``: table and column)."""
        changed = {n: self._change(n, f, self._later[n], only, 1) for n, f in self.given.items() if n in self._later}
        return {**self.given, **changed}

    def rows(self, chosen: np.ndarray, only: tuple[str, str] | None = None) -> pd.DataFrame:
        """Some of the asking rows, changed alike."""
        later = {time: rows[chosen] for time, rows in self._later_rows.items()}
        return self._change(self.plan.table, self.given_rows.iloc[chosen], later, only, 2)

    def _change(
        self,
        name: str,
        frame: pd.DataFrame,
        unknown: dict[Time | None, np.ndarray],
        only: tuple[str, str] | None,
        salt: int,
    ) -> pd.DataFrame:
        spec = self.plan.tables[name]
        rng = np.random.default_rng([self.seed, salt, *name.encode()])
        frame = frame.copy()
        columns = self._open(name, frame)
        times, later = [t for t in (spec.event_time, spec.known_at) if t], unknown[None]
        if only and only[0] == name and only[1] in {t.column for t in times}:
            wanted = {t.column for t in times}  # they move together, or events would be known before they happened
        else:
            wanted = set(columns) if only is None else {only[1]} if only[0] == name else set()
        if name == self.plan.table:
            asks = prediction_times(self.plan, frame)
            after = later & (asks > self.cut) if salt == 1 else np.zeros(len(frame), bool)
        # Nothing moves to before the event, whose own time may be one that stays.
        since = np.maximum(Events(spec, frame).event, self.cut) if times else np.full(len(frame), self.cut)
        push = (rng.integers(1, 10**9, len(frame)) * 1000).astype("timedelta64[us]")
        for column in columns:
            if column not in wanted:
                continue
            own_table = name == self.plan.table
            where = unknown[spec.later.get(column)] if not own_table or column in spec.outcome else after
            if not where.any():
                continue
            if any(t.column == column for t in times):
                if column in spec.outcome or not own_table:
                    moved = pd.Series(pd.to_datetime(since, unit="us", utc=True), index=frame.index) + push
                    offset = max((t.offset for t in times if t.column == column), default=0)
                    moved = (moved + pd.Timedelta(abs(offset), "us")).astype(frame[column].dtype)
                    frame[column] = frame[column].where(~where, moved)
            else:
                frame[column] = _randomised(frame[column], where, rng)
        if name != self.plan.table and only is None and spec.event_time:
            frame = frame[~(later & (rng.random(len(frame)) < 0.3))]
        return frame


def _randomised(values: pd.Series, where: np.ndarray, rng: np.random.Generator) -> pd.Series:
    """Other values of the column's kind in the places ``where``."""
    n = int(where.sum())
    result = values.copy()
    if isinstance(values.dtype, pd.DatetimeTZDtype) or values.dtype.kind == "M":
        result[where] = values[where] + pd.to_timedelta(rng.integers(1, 10**9, n), unit="ms").as_unit("us")
    elif pd.api.types.is_numeric_dtype(values.dtype):
        number = values.to_numpy(dtype=np.float64, na_value=np.nan)
        known = number[~np.isnan(number)]
        levels = np.unique(known)
        if len(levels) <= 2:
            fresh = np.where(number[where] == levels[0], levels[-1], levels[0]) if len(levels) else rng.random(n)
        else:
            fresh = np.round(rng.normal(known.mean(), 3 * known.std() + 1, n), 3)
        number = number.copy()
        number[where] = fresh
        result = pd.Series(number, index=values.index)
    else:
        names = values.dropna().unique()
        if len(names):
            result[where] = rng.choice(np.asarray(names, dtype=object), n)
    return result
