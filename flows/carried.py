"""``champion.dvc``: the champion's files as DVC carries them into copies of the project, and by its remote into clones.

No stage makes ``data/champion``, so DVC would only know its hash, and `dvc exp run --temp`, its queue and a clone would not have
the files. They are listed one by one and not as the folder: its README is git's.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from tasks.artifacts import ChampionFile, Past, PolicyState
from tasks.artifacts.folders import CHAMPION
from tasks.errors import RefitError
from tasks.files import write_text

if TYPE_CHECKING:
    from dvc.repo import Repo
    from networkx import DiGraph

FILE = "champion.dvc"
ABOUT = "What data/champion holds, for copies and clones. Written by `refit run`; commit it with `dvc.lock`."
PARTS = (ChampionFile.NAME, Past.NAME, PolicyState.NAME, "counted", "package")


def carry(repo: Repo) -> None:
    """List what ``data/champion`` holds, and keep it in DVC's cache. Within the repository's lock.

    What git tracks is left out, since git carries it. An unchanged list is left as it is, and a kill leaves the old one or the new.
    """
    from dvc.stage import Stage, create_stage
    from dvc.utils.serialize import dumps_yaml

    root = Path(repo.root_dir)
    there = [root / CHAMPION / name for name in PARTS]
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
        raise RefitError(f"{FILE}: cannot be written: {error}") from error


def walked(repo: Repo) -> DiGraph:
    """DVC's graph of stages without ``champion.dvc``, which is no work."""
    graph, own = repo.index.graph, os.path.join(repo.root_dir, FILE)
    return graph.subgraph([stage for stage in graph if stage.path != own])


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
