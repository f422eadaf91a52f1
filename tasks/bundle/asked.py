"""Rows of the project's tables, asked of a package: features by its own plan, then scores; large tables key by key, from disk."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd

from tasks import memory
from tasks.artifacts.columns import RECEIVED
from tasks.bundle import Bundle
from tasks.engine import Plan
from tasks.engine.compute import compute
from tasks.engine.from_disk import compute_from_disk
from tasks.files import write_table
from tasks.stored import Frame, Stored, by_parts, in_memory

CHUNK = 1 << 14  # rows at a time


@dataclass
class Asked:
    """``rows`` of the problem table and the tables that features are made from: in memory, or stored in files."""

    rows: pd.DataFrame
    tables: Mapping[str, Frame]
    limit: memory.Memory
    _made: dict[str, pd.DataFrame] = field(default_factory=dict, repr=False)

    def answers(self, bundle: Bundle) -> tuple[np.ndarray, pd.DataFrame]:
        """The package's scores, and its categorical features; both of all rows."""
        names = [f.name for f in bundle.plan.features if f.kind == "categorical"]
        scores, kept = [], []
        for made in self.features(bundle.plan):
            scores.append(by_parts(bundle.predict, made))
            kept.append(made[names])
        return np.concatenate(scores), pd.concat(kept, ignore_index=True)

    def features(self, plan: Plan) -> Iterator[pd.DataFrame]:
        """All at once where memory suffices, and then kept for the other package; else in blocks of the same bits."""
        tables = {name: self.tables[name] for name in plan.tables if name in self.tables}
        if self._too_large(plan, tables):
            with tempfile.TemporaryDirectory(prefix="asked-", dir=memory.scratch()) as folder:
                asking = Path(folder) / "asked.parquet"
                write_table(asking, self.rows[[c for c in self.rows if c in plan.tables[plan.table].columns]])
                files = {name: table.path for name, table in tables.items() if isinstance(table, Stored)}
                yield from compute_from_disk(plan, files, self.limit.piece_mb, asking, CHUNK, memory.scratch())
            return
        if plan.hash not in self._made:
            asked = {name: _used(table, plan, name) for name, table in tables.items()}
            self._made[plan.hash] = compute(plan, asked, self.rows).reset_index(drop=True)
        yield self._made[plan.hash]

    def _too_large(self, plan: Plan, tables: Mapping[str, Frame]) -> bool:
        asked = set(plan.tables) if plan.children else {group.table for group in plan.groups}
        if not asked <= tables.keys() or not all(isinstance(tables[name], Stored) for name in asked):
            return False  # one is not there, which is told, or has corrected rows
        events = sum(len(table) for table in tables.values())
        need = memory.features(len(self.rows), len(plan.features)) + memory.EVENT * events
        return need > self.limit.bytes


def _used(table: Frame, plan: Plan, name: str) -> pd.DataFrame:
    """The columns of a stored table that the plan knows, and when its rows were received; a data frame as it is."""
    return (
        in_memory(table[[c for c in table if c in plan.tables[name].columns or c == RECEIVED]])
        if isinstance(table, Stored)
        else table
    )
