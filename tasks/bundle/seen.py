"""Which rows somebody has seen: a package those it was fitted, tuned, calibrated or chosen on; a look those it counted.

One Parquet file: the rows' numbers (:mod:`tasks.identity`), and beside them, in the file's metadata, the rule by which
they were numbered and the newest moment among them. The rule goes along, so that the same question can be asked of
another week's table, whose own rule may have changed.
"""

from __future__ import annotations

import io
import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import pyarrow as pa

from tasks.errors import RefitError
from tasks.files import replacing
from tasks.identity import FORMAT, Identity, Rule

if TYPE_CHECKING:
    from tasks.params import Table

FILE = "rows.parquet"
THERE = "there.parquet"
_ABOUT = b"refit"


@dataclass(frozen=True)
class Seen:
    """Numbers of rows, uint64 (n,), by ``rule``; ``until`` is the newest prediction time among them, if they have one."""

    rule: Rule
    row: np.ndarray
    content: np.ndarray
    until: pd.Timestamp | None

    @classmethod
    def of(cls, found: Identity, chosen: np.ndarray, time: pd.Series, rule: Rule) -> Seen:
        """The rows marked by ``chosen`` (n,) of the whole table that ``found`` and ``time`` (n,) are about."""
        pairs = np.unique(np.column_stack([found.row[chosen], found.content[chosen]]), axis=0)
        until = time[chosen].max() if chosen.any() else pd.NaT
        return cls(rule, pairs[:, 0], pairs[:, 1], None if pd.isna(until) else until)

    def can_ask(self, table: Table) -> bool:
        """Whether a table with these declared columns can be asked by this rule: all its columns, of the same kinds."""
        kinds = [table.columns[c].kind if c in table.columns else None for c in self.rule.columns]
        return kinds == list(self.rule.kinds)

    def has(self, now: Identity) -> np.ndarray:
        """Which rows of a whole table are among these; bool (n,). ``now`` is the table's :func:`identify` by this rule.

        A content that was common then or is common now (:data:`tasks.identity.COMMON`) but not both times counts as seen
        as a whole: its occurrences cannot be told apart.
        """
        common = np.isin(now.content, self.content[self.row != self.content])
        return np.isin(now.row, self.row) | (np.isin(now.content, self.content) & ~(common & (now.row != now.content)))

    def to_bytes(self) -> bytes:
        """The Parquet file's bytes; they depend on the value alone."""
        import pyarrow.parquet as pq

        about = {"rule": self.rule.to_dict(), "until": None if self.until is None else self.until.isoformat()}
        columns = {"row": self.row} if self.rule.keyed else {"row": self.row, "content": self.content}
        table = pa.table(columns).replace_schema_metadata({_ABOUT: json.dumps(about, sort_keys=True)})
        out = io.BytesIO()
        pq.write_table(table, out, compression="zstd")
        return out.getvalue()

    @classmethod
    def from_bytes(cls, stored: bytes, where: str) -> Seen:
        """Inverse of :meth:`to_bytes`; ``where`` is named in the error of a file that is not one of these."""
        import pyarrow.parquet as pq

        try:
            table = pq.read_table(io.BytesIO(stored))
            about = json.loads(table.schema.metadata[_ABOUT])
            found = about["rule"]["format"]
        except (pa.ArrowInvalid, KeyError, TypeError, ValueError) as error:
            raise RefitError(
                f"{where}: not a record of seen rows ({error}). Run `refit run` to make it again."
            ) from None
        if found != FORMAT:
            raise RefitError(f"{where}: rows are numbered by format {FORMAT} here, found {found!r}.")
        row = table["row"].to_numpy()
        content = table["content"].to_numpy() if "content" in table.column_names else row
        until = None if about["until"] is None else pd.Timestamp(about["until"])
        return cls(Rule.from_dict(about["rule"]), row, content, until)

    def write(self, path: Path) -> None:
        """As Parquet, with the rule that numbers the rows."""
        with replacing(path) as beside:
            beside.write_bytes(self.to_bytes())

    @classmethod
    def read(cls, path: Path) -> Seen:
        """From what :meth:`write` wrote."""
        return cls.from_bytes(path.read_bytes(), str(path))
