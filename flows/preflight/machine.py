"""The machine: Python, a folder for temporary files, disk and memory."""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from flows.preflight.subject import SMALL, Subject, files, size

ROOM = 256 << 20  # bytes that any run needs: Prefect, MLflow, packages
TIMES = 3  # a table's bytes lie on the disk as raw, as validated and as features, and DVC's cache links or copies them
SURELY = 0.5  # share of a table's rows that are surely fitted on


def python(_: Subject) -> Iterator[str]:
    """Python 3.11 to 3.13."""
    if not (3, 11) <= sys.version_info[:2] <= (3, 13):
        here = ".".join(map(str, sys.version_info[:3]))
        yield f"Python {here}: Refit runs on 3.11, 3.12 and 3.13. Use one of these."


def temporary(_: Subject) -> Iterator[str]:
    """A folder for temporary files, with some room."""
    try:
        folder = tempfile.gettempdir()  # tries to write where it looks
    except FileNotFoundError:
        yield "TMPDIR: no folder for temporary files can be written to, or all are full. Make room, or name one: TMPDIR=/path."
        return
    if (named := os.environ.get("TMPDIR")) and not os.path.samefile(named if os.path.isdir(named) else folder, folder):
        yield f"TMPDIR: {named} cannot be written to. Name a folder that can, or unset it."
    elif named and not os.path.isdir(named):
        yield f"TMPDIR: {named} is no folder. Make it, or unset TMPDIR."


def disk(subject: Subject) -> Iterator[str]:
    """Room on the project's disk for what a run writes."""
    free = shutil.disk_usage(subject.root).free
    data = sum(size(paths) for paths in files(subject).values())
    if free < ROOM + TIMES * data:
        yield (
            f"{subject.root}: {free / 2**30:.1f} GiB are free on this disk, and a run on {data / 2**30:.1f} GiB of tables writes "
            f"about {(ROOM + TIMES * data) / 2**30:.1f} GiB. Make room (`dvc gc -w` drops what no stage needs any more), or move "
            "the project."
        )


def memory(subject: Subject) -> Iterator[str]:
    """Memory that ``training.memory_gb`` allows itself."""
    asked = subject.params.training.memory_gb if subject.params else None
    if asked is None or (subject.params and subject.params.orchestration.pools):
        return
    import psutil

    there = psutil.virtual_memory().total / 1e9
    if asked > there:
        yield f"training.memory_gb: {asked:g} are more than this machine has ({there:.1f}). Lower it, or leave it out."
        return
    yield from too_small(subject, asked)


def too_small(subject: Subject, gigabytes: float) -> Iterator[str]:
    """Stages, and families of models, that the problem's table surely does not leave enough of ``training.memory_gb``."""
    from tasks import memory
    from tasks.engine.derive import derive
    from tasks.fitting.imbalance import ROWS

    params = subject.params
    assert params is not None
    paths = files(subject).get(params.problem.table, [])
    rows = sum(rows_of(path) for path in paths)
    if not rows:
        return
    limit = memory.Memory(gigabytes * memory.GB - memory.LIBRARIES, f"training.memory_gb: {gigabytes:g}")
    columns = len(params.data.tables[params.problem.table].given)
    if (need := memory.checked(rows, columns)) > limit.bytes:
        yield (
            f"training.memory_gb: {params.problem.table} has about {rows:,} rows x {columns} columns, which take about "
            f"{(need + memory.LIBRARIES) / memory.GB:.1f} GB in the stage validate, and {gigabytes:g} may be used. Raise it, or "
            "ignore columns that are not needed."
        )
    if isinstance(params.features.history, str) or params.features.columns == "auto":
        return  # how many features there will be is not known
    fitted = int(rows * SURELY)  # others are test rows, or not known yet
    count, how = len(derive(params).features), params.training.imbalance
    for name in params.models:
        if memory.fit(name, fitted, count) <= limit.bytes:
            continue
        if not memory.from_disk(name, params.tuning.sampler == "pbt"):
            yield memory.said(name, fitted, count, limit)
        elif how in ROWS:
            yield memory.no_rows(how, fitted, count, limit)


def rows_of(path: Path) -> int:
    """About how many rows a CSV or Parquet file has; 0 where that is not seen at once."""
    import pyarrow.parquet as pq

    try:
        with path.open("rb") as file:
            start = file.read(SMALL)
        if start.startswith(b"PAR1"):
            return int(pq.read_metadata(path).num_rows)
        lines = start.count(b"\n")
        return 0 if b"\0" in start or not lines else path.stat().st_size * lines // len(start)
    except (OSError, ValueError):
        return 0
