"""What the checks look at: a project's folder, its parameters, and the files of its tables."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tasks.errors import RefitError

if TYPE_CHECKING:
    from tasks.params import Params, Table

SMALL = 2 << 20  # bytes of a source that is read whole; of a larger CSV file this much is looked at
WAIT = 2.0  # seconds for an answer of a server, or for a database that another program has locked


@dataclass(frozen=True)
class Subject:
    """What the checks go by: the project's folder, its parameters (None: they are wrong) and the asked ``as_of``."""

    root: Path
    params: Params | None
    as_of: str | None = None


def files(subject: Subject) -> dict[str, list[Path]]:
    """The files of every table that are there."""
    if subject.params is None:
        return {}
    from tasks.ingest.files import find

    by_table: dict[str, list[Path]] = {}
    for name, table in subject.params.data.tables.items():
        try:
            every = find(name, within(table, subject.root)).files
        except RefitError:  # of which the tables tell
            every = []
        by_table[name] = [path for one in every if (path := Path(one.path)).is_file()]
    return by_table


def within(table: Table, root: Path) -> Table:
    """A table whose sources are named by whole paths."""
    from tasks.ingest.files import paths_of

    if not (paths := paths_of(table)):
        return table
    whole = tuple(str(root / path) for path in paths)
    return table.model_copy(update={"source": whole[0] if isinstance(table.at_rest, str) else whole})


def size(paths: list[Path]) -> int:
    """Bytes of files."""
    return sum(path.stat().st_size for path in paths)


Check = Callable[[Subject], Iterator[str]]  # yields a line for each thing that is wrong
