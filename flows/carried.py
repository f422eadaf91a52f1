"""``refit.dvc``: what runs write and no stage makes, as DVC carries it into copies of the project, and by its remote into clones.

That is the champion which was compared with, and snapshots of databases. DVC would only know hashes of them, as of every dependency,
so `dvc exp run --temp`, its queue and a clone would not have the files. They are listed one by one: `data/champion` has a
README that is git's. Tables that somebody gave to DVC (`dvc add`) have files of their own, which follow what a run reads.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from tasks.artifacts import ChampionFile, Past, PolicyState
from tasks.artifacts.folders import CHAMPION, SOURCES
from tasks.errors import RefitError, with_causes
from tasks.files import write_text

if TYPE_CHECKING:
    from dvc.repo import Repo
    from dvc.stage import Stage
    from networkx import DiGraph

FILE = "refit.dvc"
ABOUT = "What runs keep in data/champion and data/sources, for copies and clones. Commit it with `dvc.lock`."
PARTS = (ChampionFile.NAME, Past.NAME, PolicyState.NAME, "counted", "package")


def carry(repo: Repo) -> None:
    """List what is there, and keep it in DVC's cache. Within the repository's lock.

    What git tracks is left out, since git carries it. An unchanged list is left as it is, and a kill leaves the old one or the new.
    """
    from dvc.stage import Stage, create_stage
    from dvc.utils.serialize import dumps_yaml

    root = Path(repo.root_dir)
    there = [*(root / CHAMPION / name for name in PARTS), *sorted((root / SOURCES).glob("*.parquet"))]
    paths = [str(path) for path in there if _holds_something(path) and not repo.scm.is_tracked(str(path))]
    stage = create_stage(Stage, repo=repo, path=str(root / FILE), wdir=repo.root_dir, outs=paths, desc=ABOUT)
    stage.save()
    if any(out.changed_cache() for out in stage.outs):
        stage.commit(relink=False)
    text = dumps_yaml({"outs": [], **stage.dumpd()})
    if not (root / FILE).exists() or (root / FILE).read_text(encoding="utf-8") != text:
        write_text(root / FILE, text)


def carry_in(root: Path) -> None:
    """:func:`carry` where no run has opened the project."""
    from dvc.exceptions import DvcException, NotDvcRepoError
    from dvc.repo import Repo, lock_repo

    from flows.screen import silence_dvc

    silence_dvc()
    set_aside(root)
    try:
        with Repo(str(root), _wait_for_lock=True) as repo, lock_repo(repo):
            carry(repo)
    except NotDvcRepoError:
        raise RefitError(f"{root}: not a DVC repository. Run `dvc init` (without git: --no-scm).") from None
    except DvcException as error:
        raise RefitError(f"{FILE}: cannot be written: {with_causes(error)}") from error


def given(repo: Repo) -> list[Stage]:
    """Data that somebody gave to DVC (`dvc add`)."""
    own = os.path.join(repo.root_dir, FILE)
    return [stage for stage in repo.index.graph if stage.cmd is None and not stage.deps and stage.path != own]


def keep_given(repo: Repo) -> None:
    """Let the files of :func:`given` data say what lies there now, as `dvc repro` does. Within the repository's lock."""
    from dvc.stage.serialize import to_single_stage_file
    from dvc.utils.serialize import dumps_yaml

    for stage in given(repo):
        if all(out.exists for out in stage.outs) and stage.changed_outs():
            stage.save()
            stage.commit(relink=False)
            write_text(Path(stage.path), dumps_yaml(to_single_stage_file(stage)))


def walked(repo: Repo) -> DiGraph:
    """DVC's graph of the stages that have a command, and so are work."""
    graph = repo.index.graph
    return graph.subgraph([stage for stage in graph if stage.cmd is not None])


def damaged(root: Path) -> bool:
    """Whether the list is cut or in conflict, so that DVC can read nothing of the project."""
    from dvc.schema import COMPILED_SINGLE_STAGE_SCHEMA
    from dvc.utils.serialize import ParseError, parse_yaml
    from voluptuous import Invalid

    try:
        COMPILED_SINGLE_STAGE_SCHEMA(parse_yaml((root / FILE).read_text(encoding="utf-8"), FILE) or {})
    except FileNotFoundError:
        return False
    except (OSError, UnicodeDecodeError, ParseError, Invalid):
        return True
    return False


def set_aside(root: Path) -> list[str]:
    """Take a damaged list away, which is written anew from the files; gives a line that says so."""
    if not damaged(root):
        return []
    (root / ".refit").mkdir(exist_ok=True)
    os.replace(root / FILE, root / ".refit" / f"{FILE}.damaged")
    return [f"{FILE} was cut or in conflict, and was set aside as .refit/{FILE}.damaged; it is written anew"]


def _holds_something(path: Path) -> bool:
    return path.is_file() or (path.is_dir() and any(path.iterdir()))
