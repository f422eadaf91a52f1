"""``refit init``: make a folder with tables a project of its own."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flows import planned
from flows.screen import silence_dvc
from flows.sources import list_sources, look
from tasks import code
from tasks.errors import RefitError, nearest, some
from tasks.files import write_text
from tasks.registry.history import local

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa
    from ruamel.yaml.comments import CommentedMap

    from tasks.params import Params
    from tasks.profile.comments import Remark

BEFORE = "params.before.yaml"  # what --force replaced
TABLES = (".csv", ".tsv", ".txt", ".parquet", ".pq")
HOUSE = Path(__file__).resolve().parent.parent
DAG = Path(__file__).with_name("dag.yaml")  # Refit's dvc.yaml: a link in a checkout, a file in a wheel
KEPT = {  # folders that stages read and no stage makes; each holds a README, so that git and DVC keep it
    "data/context": "What a run needs from outside, as files: `as_of.json`, written by `refit run --as-of`. "
    "Commit it with `dvc.lock`.",
    "data/champion": "The champion that a run compares with, fetched from the registry by `refit run`.",
    "data/start": "Where tuning begins: `params.json`, written by `refit run`. Commit it with `dvc.lock`.",
    "data/expectations": "One suite of expectations a table, kept in git (`python -m tasks.validate --write-suite`). "
    "`accepted/` is written by `refit run`.",
}
CODE = "What Refit's code was for each stage, by hashes: written by `refit run`. Commit it with `dvc.lock`."
UNFINISHED = ".*.part"  # what a killed stage left (tasks/files.py): no hash may depend on it
IGNORED = (
    "/data/*", "!/data/code", "!/data/context", "!/data/champion", "!/data/start", "!/data/expectations",
    "/data/champion/*", "!README.md", "/.refit/", "/.dvc-remote/", "/dvc_plots/", "__pycache__/",
)  # fmt: skip
OF_DVC = ("/config.local", "/tmp", "/cache")  # what `dvc init` hides from git, but not where there is no git yet


@dataclass(frozen=True)
class Given:
    """A table that ``init`` is given: its source as ``params.yaml`` has it (None: the path), what to call it, and its columns."""

    source: str | dict[str, str] | None
    path: Path
    table: pa.Table


def create(
    root: Path,
    data: Sequence[str | Path],
    target: str | None,
    force: bool,
    query: str | None = None,
    table: str | None = None,
) -> Iterator[str]:
    """Write ``params.yaml`` for tables, and what else a project needs where it is not there; yields what was done.

    Each of ``data`` is a file, a folder, a glob, or a database's URL with a ``query`` (a SELECT, or a table's name).
    ``table`` says which of several has the rows that are predicted, where more than one has the target.
    Raises :class:`RefitError` before anything is written if the tables or the target cannot be used, or if a
    ``params.yaml`` is there and ``force`` is not given.
    """
    from flows import keys
    from tasks.params import load, parse
    from tasks.profile import infer, to_yaml
    from tasks.profile.giveaways import remark

    _may_write(root, force)
    if not data:
        raise RefitError("--data: missing; name a CSV or Parquet file, a folder of them, or a database's URL.")
    tables = [_given(root, str(one), query) for one in data]
    if target is None:
        columns = list(dict.fromkeys(name for one in tables for name in one.table.column_names))
        raise RefitError(f"--target: missing; name the column to predict, one of {some(columns, 20)}.")
    own = _predicted(tables, target, table)
    remarks: list[Remark] = []
    tree = infer(
        own.path,
        target,
        lambda tree: remarks.extend(remark(tree, own.path, own.table)),
        own.table,
        remarks.append,
        {one.path: one.table for one in tables if one is not own},
    )
    declared = tree["data"]["tables"]
    called = _sources(declared, tables)
    for name, one in called.items():
        if one.source is not None:
            declared[name]["source"] = one.source
    if tree["features"].get("history") == "auto":
        _list_history(tree, {name: one.table for name, one in called.items()})
    text = f"{keys.LINE}\n{to_yaml(tree)}"
    made = parse(tree, str(root / "params.yaml"))
    if (root / "params.yaml").exists():
        write_text(root / BEFORE, (root / "params.yaml").read_text(encoding="utf-8", errors="replace"))
        yield f"kept the params.yaml that was there as {BEFORE}"
    write_text(root / "params.yaml", text)
    write_text(root / keys.FILE, keys.text())
    yield from _seen(made, called)
    yield from _to_look_over(remarks, text)
    made = load(root / "params.yaml")
    what = f"{made.problem.target.column!r} is predicted as {made.problem.kind}"
    yield f"wrote params.yaml: {what}; look it over, it is the one file you edit"
    yield from _decided(made)
    yield from furnish(root, made, planned.proposed(_moments(made, called)))
    yield "next: refit run"


def _may_write(root: Path, force: bool) -> None:
    local(root, "history.db")  # refuses a folder that can hold no project
    params = root / "params.yaml"
    if params.exists() and not force:
        raise RefitError(f"{params}: is there already. Use --force to replace it, or another folder.")


def _given(root: Path, data: str, query: str | None) -> Given:
    from tasks.profile import read_columns

    source, path, table = look(root, data, query)
    if table is None and not path.exists():
        beside = path.parent if path.parent.is_dir() else Path()
        there = sorted(one.name for one in beside.iterdir() if one.suffix.lower() in TABLES)
        listed = f" There are {some(there)}." if there else ""
        raise RefitError(f"--data: {data}: no such file or folder.{nearest(path.name, there) or listed}")
    return Given(source if table is not None else None, path, read_columns(path) if table is None else table)


def _predicted(tables: Sequence[Given], target: str, name: str | None) -> Given:
    """The table whose rows are predicted: the one that has the target, or that is named."""
    from tasks.profile.names import locate
    from tasks.profile.written import slug

    by_name = {slug(one.path.stem): one for one in tables}
    if len(by_name) < len(tables):
        raise RefitError("--data: two of the files have one name, by which their tables would be called. Rename one.")
    if name is not None:
        if name not in by_name:
            raise RefitError(f"--table: {name!r} is none of {some(by_name)}.{nearest(name, by_name)}")
        return by_name[name]
    if len(tables) == 1:
        return tables[0]
    having = [called for called, one in by_name.items() if locate(target, one.table.column_names)]
    if len(having) == 1:
        return by_name[having[0]]
    if having:
        raise RefitError(
            f"--target: {target!r} is a column of {some(having)}. Say whose rows are predicted: --table {having[0]}"
        )
    columns = [column for one in tables for column in one.table.column_names]
    raise RefitError(f"--target: none of {some(by_name)} has a column {target!r}.{nearest(target, columns)}")


def _sources(declared: CommentedMap, tables: Sequence[Given]) -> dict[str, Given]:
    """Which of the tables each section is about."""
    from tasks.profile.written import source_text

    by_source = {source_text(one.path): one for one in tables}
    return {name: by_source[table["source"]] for name, table in declared.items()}


def _list_history(tree: CommentedMap, tables: Mapping[str, pa.Table]) -> None:
    """Write out what ``history: auto`` comes to for the other tables, with windows by their rhythm.

    Earlier rows of the problem's own table come with the target, so they are listed only where it is said when that is known.
    """
    import pandas as pd

    from tasks.engine.auto import history_of
    from tasks.engine.rhythm import windows_of
    from tasks.params import parse
    from tasks.profile.comments import beside
    from tasks.profile.profiled import kind_of, read_as
    from tasks.profile.written import flow_list, flow_map

    params = parse(tree)
    own, columns = params.problem.table, tree["data"]["tables"]
    frames = {
        name: pd.DataFrame({c: read_as(table[c], spec) for c, spec in columns[name]["columns"].items() if kind_of(spec) != "ignore"})
        for name, table in tables.items()
    }  # fmt: skip
    listed = flow_list([])
    for one in history_of(params, windows_of(params, frames)):
        if one.table == own and not params.data.tables[own].later:
            continue
        by = flow_list([key[0] if len(key) == 1 else flow_list(key) for key in one.by])
        made = flow_map({"table": one.table, "by": by, "windows": flow_list(one.windows), "count": one.count})
        if one.columns:
            made["columns"] = flow_map({column: flow_list(names) for column, names in one.columns.items()})
        listed.append(made)
    if not listed:
        del tree["features"]["history"]
        return
    listed.fa.set_block_style()
    tree["features"]["history"] = listed
    beside(
        tree["features"],
        "history",
        "aggregates of earlier events of the same key that were known before the prediction time",
    )


def _seen(made: Params, tables: Mapping[str, Given]) -> Iterator[str]:
    """What each table's columns were taken for."""
    from tasks.profile.shown import shown
    from tasks.values.reading import Reading

    problem = made.problem
    for name, one in tables.items():
        declared = made.data.tables[name]
        marks = dict.fromkeys(declared.key, "key")
        if name == problem.table:
            marks[problem.target.column] = "target"
        kinds = {c: f"{marks[c]}, {spec.kind}" if c in marks else spec.kind for c, spec in declared.columns.items()}
        kinds = {c: "ignored" if kind == "ignore" else kind for c, kind in kinds.items()}
        yield f"{name}: {one.table.num_rows:,} rows, {one.table.num_columns} columns of {declared.shown}"
        yield ""
        yield from shown(one.table, kinds, {c: Reading.of(spec) for c, spec in declared.columns.items()})
        yield ""


def _to_look_over(remarks: Iterable[Remark], text: str) -> Iterator[str]:
    """The remarks, each with the line of ``params.yaml`` that it is about."""
    from ruamel.yaml import YAML

    tree = YAML(typ="rt").load(text)
    told = sorted(((_line(tree, remark.place), str(remark)) for remark in remarks), key=lambda one: one[0])
    if not told:
        return
    yield "to look over, by the line of params.yaml:"
    for line, said in told:
        yield f"{line:>5}  {said}"
    yield ""


def _line(tree: Any, place: tuple[str, ...]) -> int:
    """The line on which a key stands, or the last of those above it that is there."""
    line = 1
    for key in place:
        if not hasattr(tree, "lc") or key not in tree:
            break
        line, tree = tree.lc.key(key)[0] + 1, tree[key]
    return line


def _moments(made: Params, tables: Mapping[str, Given]) -> pd.Series | None:
    """The moments at which the rows that are predicted are asked for; None where no column tells."""
    from tasks.profile.profiled import read_as

    problem = made.problem
    if problem.prediction_time is None or problem.table not in tables:
        return None
    column, own = problem.prediction_time.column, tables[problem.table].table
    if column not in own.column_names:
        return None
    return read_as(own[column], made.data.tables[problem.table].columns[column].model_dump())


def furnish(root: Path, made: Params, timing: planned.CronLine) -> Iterator[str]:
    """What a project needs besides ``params.yaml``, where it is not there; yields what was done."""
    if not (root / "dvc.yaml").exists():
        write_text(root / "dvc.yaml", dag())
        yield "wrote dvc.yaml: the stages"
        list_sources(root, made)
    else:
        yield from list_sources(root, made)
    stages = code.asked((root / "dvc.yaml").read_text(encoding="utf-8"))
    for name, about in {**KEPT, **({"data/code": CODE} if stages else {})}.items():
        if not (root / name / "README.md").exists():
            write_text(root / name / "README.md", about + "\n")
    code.write(root, stages, HOUSE / "tasks")
    if root != HOUSE:
        _lines(root / ".gitignore", IGNORED)
        if not (root / planned.FILE).exists():
            write_text(root / planned.FILE, planned.text(made, timing))
            yield f"wrote {planned.FILE}: for a Prefect server (`refit deploy`), {timing.why}"
    if not (root / ".dvc").is_dir():
        git = _in_git(root)
        _make_repository(root, git)
        yield "made the folder a DVC repository with a remote in .dvc-remote (change it with `dvc remote modify`)"
        if git is None:
            yield "no git here, which DVC's experiments need: `git init` and `dvc config --unset core.no_scm` add it later"
    _lines(root / ".dvcignore", [UNFINISHED])
    _lines(root / ".dvc" / ".gitignore", OF_DVC)


def _lines(path: Path, wanted: Iterable[str]) -> None:
    """Add to a file of patterns the lines that it lacks."""
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    lacking = [line for line in wanted if line not in lines]
    if lacking:
        write_text(path, "\n".join([*lines, *lacking]) + "\n")


def _decided(made: Params) -> Iterator[str]:
    """What was decided for the user, in a line each; the reasons stand in ``params.yaml``."""
    positive, when, split = made.problem.target.positive, made.problem.prediction_time, made.split
    if positive is not None:
        yield f"the positive class is {positive!r} (problem.target.positive)"
    if split.kind == "time" and when:
        yield f"the newest rows by {when.column!r} are kept for the test (split)"
    else:
        together = f", rows of one {', '.join(split.by)} together" if split.by else ""
        yield f"rows are divided at random{together} (split)"


def dag() -> str:
    """The DAG for a project that uses the installed Refit: Refit's own ``dvc.yaml`` with digests of code as dependencies."""
    from io import StringIO

    yaml, tree = _own_dag()
    tree.ca.comment = None
    tree.yaml_set_start_comment(
        "Written by `refit init`: the stages. `dvc repro` runs them, `refit run` walks this file.\n"
    )
    for name, stage in tree["stages"].items():
        body = stage.get("do", stage)
        for at in reversed(range(len(body["deps"]))):
            if str(body["deps"][at]).startswith("tasks/"):
                del body["deps"][at]
        body["deps"].insert(0, f"data/code/{name}.json")
    text = StringIO()
    yaml.dump(tree, text)
    return text.getvalue()


def _own_dag() -> Any:
    from ruamel.yaml import YAML

    yaml = YAML(typ="rt")
    yaml.width = 4096
    return yaml, yaml.load(DAG.read_text(encoding="utf-8"))


def _in_git(root: Path) -> Path | None:
    """The folder of the git repository that ``root`` belongs to; None: to none."""
    here = root.resolve()
    return next((folder for folder in (here, *here.parents) if (folder / ".git").exists()), None)


def _make_repository(root: Path, git: Path | None) -> None:
    """What ``dvc init``, two ``dvc config`` and ``dvc remote add -d`` do, in one process."""
    from dvc.exceptions import DvcException
    from dvc.repo import Repo

    silence_dvc()
    try:
        with (
            Repo.init(str(root), no_scm=git is None, subdir=git not in (None, root.resolve())) as repo,
            repo.config.edit() as config,
        ):
            config["core"] |= {"analytics": "false", "check_update": "false", "remote": "local"}
            # A relative path, which DVC writes as ../.dvc-remote: a copy or a clone has its own.
            config["remote"]["local"] = {"url": os.path.relpath(root / ".dvc-remote")}
    except DvcException as error:
        raise RefitError(f"{root}: cannot be made a DVC repository: {error}") from error
