"""What a table is: each column's declaration with its remarks, the moment of its rows, the key, rows that are there twice."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from tasks.profile.column import About, Judged, Spec, judge, judge_target, reading_of
from tasks.profile.comments import Remark, beside
from tasks.profile.division import names_rows
from tasks.profile.kinds import coerce
from tasks.profile.moment import Moment, choose
from tasks.profile.names import alike
from tasks.profile.reading import remarks_of
from tasks.profile.settled import settled_at
from tasks.profile.written import flow, flow_list
from tasks.values.missing import USUAL
from tasks.values.reading import Reading

if TYPE_CHECKING:
    import pyarrow as pa
    from ruamel.yaml.comments import CommentedMap

TOLD = 12  # remarks on single columns that are shown


@dataclass
class Profiled:
    """A table of which it is known what its columns are.

    ``remarks`` are those beside each column, ``kind`` and ``classes`` those of the target, ``settled`` the moment at which
    that becomes known, and ``repeats`` counts rows that equal an earlier one.
    """

    table: pa.Table
    judged: dict[str, Judged]
    specs: dict[str, Spec]
    remarks: dict[str, list[str]]
    read: dict[str, pd.Series]
    moment: Moment
    target: str = ""
    kind: str = ""
    classes: list[str] = field(default_factory=list)
    settled: str | None = None
    key: str = ""
    repeats: int = 0

    @classmethod
    def of(cls, table: pa.Table, target: str = "", where: str = "") -> Profiled:
        """Look at a table. ``where`` begins the messages of a :class:`RefitError` on a ``target`` that cannot be learned."""
        about = About.of(table)
        kind, classes = "", list[str]()
        judged: dict[str, Judged] = {}
        if target:
            kind, judged[target], classes = judge_target(table[target], where, about, target)
        judged |= {name: judge(name, table[name], about) for name in table.column_names if name != target}
        specs: dict[str, Spec] = {name: found.spec for name, found in judged.items()}
        remarks = {name: ["the target"] * (name == target) + list(found.remarks) for name, found in judged.items()}
        read = {name: read_as(table[name], spec) for name, spec in specs.items() if spec != "ignore"}
        times = {name: read[name] for name, spec in specs.items() if name != target and kind_of(spec) == "datetime"}
        made = cls(table, judged, specs, remarks, read, choose(times), target, kind, classes)
        made._leave_out_later()
        made._name_rows()
        return made

    def _leave_out_later(self) -> None:
        """Ignore times later than the row's own, but for the one at which the target becomes known."""
        later = {name: self.read[name] for name in self.moment.later}
        self.settled = settled_at(self.read[self.target], later) if self.target else None
        for name, why in self.moment.later.items():
            if name != self.settled and self.target:
                self.specs[name] = "ignore"
                self.remarks[name].append(f"{why}, so perhaps not known yet by then; declare it datetime if it was")

    def _name_rows(self) -> None:
        """Find the column that names each row; it is declared, and so no longer ignored."""
        again = repeats(self.table)
        self.repeats = int(again.sum())
        for name in self.table.column_names:
            if (
                name == self.target
                or self.specs[name] not in ("ignore", "numeric", "categorical")
                or not names_rows(name)
            ):
                continue
            values = coerce(self.table[name], Reading("categorical", missing=USUAL)).values
            if values.notna().all() and values[~again].is_unique:
                numbers = coerce(self.table[name], Reading("numeric", missing=USUAL))
                whole = numbers.problems.empty and not values.str.match(r"0\d").any()
                self.name_by(name, "numeric" if whole else "categorical")
                return

    def name_by(self, column: str, kind: str) -> None:
        """Make a column the key of the rows."""
        self.key, self.specs[column] = column, kind
        self.remarks[column] = ["the row's key, so no feature"]
        self.read[column] = read_as(self.table[column], kind)

    def columns(self) -> CommentedMap:
        """The columns as ``params.yaml`` declares them, each with its remarks beside it."""
        from ruamel.yaml.comments import CommentedMap

        made = CommentedMap()
        for name in self.table.column_names:
            made[name] = flow(self.specs[name])
            if self.remarks[name]:
                beside(made, name, "; ".join(self.remarks[name]))
        return made

    def identify(self, declared: CommentedMap) -> None:
        """Write the key into the table's declaration, and which row counts where rows are there twice."""
        if not self.key:
            return
        declared.insert(1, "key", flow_list([self.key]))
        if self.repeats:
            declared.insert(2, "corrections", "later")
            beside(declared, "corrections", f"{count(self.repeats)} there twice: the later one counts")

    def told(self, name: str) -> Iterator[Remark]:
        """What was decided about how the table ``name`` is read, a remark each; the same stands in ``params.yaml``."""
        table = ("data", "tables", name)
        for remark in [*remarks_of(self.table), *alike(self.table.column_names)]:
            yield Remark("", f"{name}: {remark}", table)
        if self.repeats:
            counts = "the later one counts" if self.key else "each counts; take them out of the file if they should not"
            yield Remark("", f"{name}: {count(self.repeats)} there twice; {counts}", table)
        taken: dict[str, dict[str, int]] = {}
        for column, found in self.judged.items():
            for text, rows in (found.missing or {}).items():
                taken.setdefault(text, {})[column] = rows
        together: dict[tuple[str, ...], list[str]] = {}
        for text, where in taken.items():
            together.setdefault(tuple(where), []).append(text)
        for names, texts in together.items():
            listed = ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
            values = sum(sum(taken[text].values()) for text in texts)
            yield Remark(
                "",
                f"{', '.join(map(repr, texts))} {'counts' if len(texts) == 1 else 'count'} as missing, in {values:,} values of "
                f"{listed}; `missing` of a column, or data.missing, says otherwise",
                (*table, "columns", names[0]),
            )
        told = [
            Remark(column, f"{_short(found.spec)}, {remark}", (*table, "columns", column))
            for column, found in self.judged.items()
            if column != self.key
            for remark in found.remarks
        ]
        yield from told[:TOLD]
        if len(told) > TOLD:
            yield Remark(
                "", f"{len(told) - TOLD} more remarks stand there, each beside its column", (*table, "columns")
            )


def repeats(table: pa.Table) -> np.ndarray:
    """Whether each row equals an earlier one; bool (n,).

    >>> import pyarrow as pa
    >>> repeats(pa.table({"a": [1, 1, 1], "b": ["x", "y", "x"]})).tolist()
    [False, False, True]
    """
    rng = np.random.default_rng(0)
    whole = np.zeros(table.num_rows, np.uint64)
    for column in table.columns:
        try:
            codes = column.combine_chunks().dictionary_encode(null_encoding="encode").indices.to_numpy()
        except NotImplementedError:  # lists and the like
            continue
        whole += rng.integers(0, 2**63, size=int(codes.max(initial=-1)) + 1, dtype=np.uint64)[codes]
    return pd.Series(whole).duplicated().to_numpy()


def count(rows: int) -> str:
    """Rows, with their verb.

    >>> count(1), count(1200)
    ('1 row is', '1,200 rows are')
    """
    return f"{rows:,} row is" if rows == 1 else f"{rows:,} rows are"


def kind_of(spec: Spec) -> str:
    """The kind that a declaration names."""
    return spec if isinstance(spec, str) else str(spec["kind"])


def read_as(column: pa.ChunkedArray, spec: Spec) -> pd.Series:
    """A column as later stages have it; an ignored one by its levels."""
    return coerce(column, reading_of(spec)).values


def _short(spec: Spec) -> str:
    """A declaration in a few words.

    >>> _short("ignore"), _short({"kind": "numeric", "format": "1.234,50", "missing": ["usual", "?"]})
    ('ignored', 'numeric')
    """
    return {"ignore": "ignored"}.get(kind_of(spec), kind_of(spec))


def readings(columns: Mapping[str, Spec]) -> dict[str, Reading]:
    """How each column is read, an ignored one by its levels."""
    return {name: reading_of(spec) for name, spec in columns.items()}
