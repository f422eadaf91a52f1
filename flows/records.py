"""What DVC keeps of stages that are done: ``dvc.lock``, its run cache, and the objects in its cache, sound or damaged."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Collection
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tasks.files import write_text

if TYPE_CHECKING:
    from dvc.output import Output
    from dvc.repo import Repo
    from dvc.stage import PipelineStage

TRIES = 3  # a damaged list of a folder hides what it lists


class Records:
    """The records of one project, for one thread at a time.

    A ``dvc.lock`` that is cut or in conflict is set aside; the run cache then has the stages. ``notes`` say so, a line each.
    """

    def __init__(self, repo: Repo, root: Path) -> None:
        self._repo = repo
        self._path = root / "dvc.lock"
        self.notes: list[str] = []
        lock = read_lock(self._path)
        if lock is None and self._path.exists():
            os.replace(self._path, root / ".refit" / "dvc.lock.damaged")
            self.notes.append(
                "dvc.lock was cut or in conflict, and was set aside as .refit/dvc.lock.damaged; stages come from the run cache"
            )
        elif lock is None and Path(repo.stage_cache.cache_dir).is_dir():
            self.notes.append("dvc.lock was not there; stages come from the run cache")
        self._stages: dict[str, Any] = dict((lock or {}).get("stages") or {})

    def cached(self, stage: PipelineStage) -> PipelineStage | None:
        """The stage as the lock or the run cache has it for its present dependencies; None where neither does."""
        return cached(self._repo, stage)

    def sound(self, cached: PipelineStage, name: str, log: Callable[[str], None]) -> bool:
        """Whether every object that a cached stage needs is there and is what its name says.

        DVC believes a read-only object unseen. A damaged one is removed, and taken from ``data/`` anew where that is whole.
        """
        outs = [out for out in cached.outs if out.use_cache]
        damaged, whole = 0, False
        for _ in range(TRIES):
            removed = sum(map(_remove_damaged, outs))
            damaged, whole = damaged + removed, removed == 0 and cached.outs_cached()
            if whole:
                break
            for out in outs:
                if out.exists and out.get_hash() == out.hash_info:
                    out.obj = None
                    out.commit(relink=False)
        if damaged:
            log(
                f"{damaged} damaged object{'s' if damaged > 1 else ''} of {name} in DVC's cache removed; "
                + ("its files in the project are whole" if whole else "it is made anew")
            )
        return whole

    def keep(self, stage: PipelineStage) -> None:
        """Record a stage that is saved, as ``dvc repro`` does, but ``dvc.lock`` is replaced whole instead of written in place."""
        from dvc.stage.serialize import to_lockfile
        from dvc.utils.serialize import dumps_yaml, parse_yaml_for_update

        if all(o.use_cache or o.is_metric or o.is_plot for o in stage.outs):
            self._repo.stage_cache.save(stage)
        stage.commit()
        text = self._path.read_text(encoding="utf-8") if read_lock(self._path) is not None else ""
        lock = parse_yaml_for_update(text, str(self._path)) or {"schema": "2.0", "stages": dict(self._stages)}
        self._stages |= to_lockfile(stage)
        lock.setdefault("stages", {}).update(to_lockfile(stage))
        new = dumps_yaml(lock)
        if new != text:
            write_text(self._path, new)

    def former(self, names: Collection[str]) -> list[Path]:
        """Outputs of recorded stages that are none of these any more."""
        root = self._path.parent
        return [
            root / out["path"]
            for name, stage in self._stages.items()
            if name not in names
            for out in stage.get("outs", [])
        ]

    def drop(self, name: str) -> None:
        """Take a stage out of ``dvc.lock``, so that the next walk runs it again."""
        from dvc.utils.serialize import dumps_yaml, parse_yaml_for_update

        self._stages.pop(name, None)
        if read_lock(self._path) is None:
            return
        lock = parse_yaml_for_update(self._path.read_text(encoding="utf-8"), str(self._path))
        if (lock.get("stages") or {}).pop(name, None) is not None:
            write_text(self._path, dumps_yaml(lock))


def cached(repo: Repo, stage: PipelineStage) -> PipelineStage | None:
    """The stage as the lock or the run cache has it for its present dependencies; None where neither does."""
    from dvc.stage.cache import _can_hash
    from dvc.stage.serialize import to_single_stage_lockfile

    cache = repo.stage_cache
    if not _can_hash(stage):
        return None
    if not stage.changed_stage() and stage.deps_cached() and all(o.hash_info for o in stage.outs):
        entry = to_single_stage_lockfile(stage)
    else:
        stage.save_deps()
        entry = cache._load(stage)
    made: PipelineStage | None = cache._create_stage(entry, wdir=stage.wdir) if entry else None
    return made


def read_lock(path: Path) -> dict[str, Any] | None:
    """A ``dvc.lock``, not to be changed; None where it is not there, or is not what DVC writes (cut, or in conflict)."""
    try:
        return _parsed(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError):
        return None


@lru_cache(maxsize=2)  # a run that has nothing to do would spend a tenth of its time on reading the same again
def _parsed(text: str) -> dict[str, Any] | None:
    from dvc.schema import COMPILED_LOCKFILE_SCHEMA
    from dvc.utils.serialize import ParseError, parse_yaml
    from voluptuous import Invalid

    try:
        lock: dict[str, Any] = COMPILED_LOCKFILE_SCHEMA(parse_yaml(text, "dvc.lock"))
    except (ParseError, Invalid):
        return None
    entries = [e for s in (lock.get("stages") or {}).values() for e in (*s.get("deps", []), *s.get("outs", []))]
    return lock if all(re.fullmatch(r"[0-9a-f]{32}(\.dir)?", str(e.get("md5", "0" * 32))) for e in entries) else None


def _remove_damaged(out: Output) -> int:
    """Remove the cached objects of an output whose content is not what their name says; returns how many."""
    from dvc_data.hashfile.hash import file_md5
    from dvc_data.hashfile.tree import Tree

    removed = 0

    def right(oid: str) -> bool:
        nonlocal removed
        path = out.cache.oid_to_path(oid)
        if not os.path.exists(path):
            return False
        if file_md5(path, out.cache.fs) == oid.removesuffix(".dir"):
            return True
        os.unlink(path)
        removed += 1
        return False

    out.obj = None
    if right(out.hash_info.value) and isinstance(tree := out.get_obj(), Tree):
        for _, _, part in tree:
            right(part.value)
    return removed
