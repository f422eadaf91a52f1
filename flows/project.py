"""``refit init``: make a folder with a table a project of its own."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flows.sources import list_sources, look
from tasks import code
from tasks.errors import RefitError
from tasks.files import write_text
from tasks.registry.history import local

if TYPE_CHECKING:
    from tasks.params import Params

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


def create(root: Path, data: str | Path, target: str, force: bool, query: str | None = None) -> Iterator[str]:
    """Write ``params.yaml`` for the table, and what else a project needs where it is not there; yields what was done.

    ``data`` is a file, a folder, a glob, or a database's URL with a ``query`` (a SELECT, or a table's name).
    Raises :class:`RefitError` before anything is written if the table or the target cannot be used, or if a
    ``params.yaml`` is there and ``force`` is not given.
    """
    from flows import keys
    from tasks.params import load, parse
    from tasks.profile import infer, to_yaml
    from tasks.profile.giveaways import remark

    local(root, "history.db")  # refuses a folder that can hold no project
    params = root / "params.yaml"
    if params.exists() and not force:
        raise RefitError(f"{params}: is there already. Use --force to replace it, or another folder.")
    source, path, given = look(root, str(data), query)
    remarks: list[str] = []
    tree = infer(path, target, lambda tree: remarks.extend(remark(tree, path, given)), given, tell=remarks.append)
    if given is not None:
        tree["data"]["tables"][tree["problem"]["table"]]["source"] = source
    yield from remarks
    text = to_yaml(tree)
    parse(tree, str(params))
    write_text(params, f"{keys.LINE}\n{text}")
    write_text(root / keys.FILE, keys.text())
    made = load(params)
    target = made.problem.target.column
    yield f"wrote params.yaml: {target!r} is predicted as {made.problem.kind}; look it over, it is the one file you edit"
    yield from _decided(made)
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
    if not (root / ".dvc").is_dir():
        git = _in_git(root)
        _make_repository(root, git)
        yield "made the folder a DVC repository with a remote in .dvc-remote (change it with `dvc remote modify`)"
        if git is None:
            yield "no git here, which DVC's experiments need: `git init` and `dvc config --unset core.no_scm` add it later"
    _lines(root / ".dvcignore", [UNFINISHED])
    yield "next: refit run"


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

    logging.getLogger("dvc").setLevel(logging.ERROR)
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
