"""What ``init`` took each column for, as a table of at most 80 columns: plain text, so that a pipe and a terminal show the same."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from tasks.errors import shortened
from tasks.profile.comments import plain
from tasks.profile.kinds import coerce
from tasks.values.missing import USUAL
from tasks.values.reading import Reading

if TYPE_CHECKING:
    import pyarrow as pa

WIDTH = 80
NAME = 22  # characters of a column's name
MOST = 40  # columns that are shown
EXAMPLES = 6
HEAD = ("column", "taken for", "missing", "values", "such as")


def shown(table: pa.Table, kinds: Mapping[str, str], readings: Mapping[str, Reading]) -> Iterator[str]:
    """The columns of a table, a line each: what it is taken for, how much of it is missing, how many values, and examples.

    ``kinds``: what stands in ``taken for``; ``readings``: how each is read, by which missing values are told.

    >>> import pyarrow as pa
    >>> for line in shown(pa.table({"size": ["1", "NA", "3"]}), {"size": "numeric"}, {"size": Reading("numeric", missing=USUAL)}):
    ...     print(line)
    column  taken for  missing  values  such as
    size    numeric        33%       2  1, 3
    """
    rows: list[tuple[str, str, str, str, list[str]]] = [(*HEAD[:4], [HEAD[4]])]
    for name in table.column_names[:MOST]:
        how = readings[name]
        as_written = Reading("categorical", missing=how.missing or USUAL)
        known = coerce(table[name], how if how.kind == "categorical" else as_written).values.dropna()
        counts = known.value_counts()
        gone = 1 - len(known) / max(table.num_rows, 1)
        missing = "" if not gone else "<1%" if gone < 0.005 else ">99%" if 0.995 < gone < 1 else f"{100 * gone:.0f}%"
        texts = [plain(str(text)) for text in counts.index[:EXAMPLES]]
        rows.append((shortened(plain(name), NAME), kinds[name], missing, f"{len(counts):,}", texts))
    widths = [max(len(str(row[at])) for row in rows) for at in range(4)]
    for name, kind, missing, values, texts in rows:
        line = f"{name:<{widths[0]}}  {kind:<{widths[1]}}  {missing:>{widths[2]}}  {values:>{widths[3]}}  "
        line += shortened(texts[0], WIDTH - len(line)) if texts else ""
        for text in texts[1:]:
            if len(line) + 2 + len(text) > WIDTH:
                break
            line += f", {text}"
        yield line.rstrip()
    if len(table.column_names) > MOST:
        yield f"and {len(table.column_names) - MOST} more columns, which params.yaml lists"
