"""What a champion's receipt needs is stored with its version too: `dvc gc` cannot be asked to keep it.

A package is made again from the raw tables and from what tuning found (:data:`FROM_CACHE`); everything else is computed.
Both lie in the DVC cache under names that are their hashes, and so they are stored with the run in MLflow, whole outputs
at a time, the smallest first, up to :func:`bound`. ``inputs/kept.json`` is written last and says what was left out.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NotRequired, TypedDict

from tasks.errors import RefitError, some
from tasks.files import read_json, write_json

if TYPE_CHECKING:
    from tasks.registry.tracking import Registered, Registry

FROM_CACHE = ("ingest", "tune@")  # the sources may have moved on, and tuning ends by the clock
PLACE, ABOUT = "inputs", "kept.json"
OBJECTS = "files/md5"  # DVC's layout of a cache


@dataclass(frozen=True)
class StageOutput:
    """An output of a stage as ``dvc.lock`` names it, and the cache's objects that it is made of (``ab/cdef…``)."""

    path: str
    md5: str
    objects: tuple[str, ...]
    lacking: bool


class KeptInput(TypedDict):
    """An output in ``kept.json``: its bytes (None: unknown), and why it was not stored."""

    path: str
    bytes: int | None
    why: NotRequired[str]


class KeptInputs(TypedDict):
    """``kept.json``: what is stored with a version, and what is not."""

    stored: list[KeptInput]
    left_out: list[KeptInput]


def bound() -> int:
    """Bytes that are stored with a version: ``REFIT_KEEP_MB`` megabytes (default 64)."""
    text = os.environ.get("REFIT_KEEP_MB", "64")
    try:
        megabytes = float(text)
    except ValueError:
        megabytes = -1.0
    if not 0 <= megabytes < 1e9:
        raise RefitError(f"REFIT_KEEP_MB: a number of megabytes, 0 for nothing; found {text!r}.")
    return int(megabytes * 2**20)


def keep(root: Path, registry: Registry, version: Registered) -> KeptInputs | None:
    """Store with a version what its receipt needs; returns ``kept.json``, or None where there is no DVC cache to
    store from.

    Done before the version becomes champion, once: what is stored already is left as it is.
    """
    if not (root / ".dvc").is_dir() or not registry.has(version.run_id, "dvc.lock"):
        return None
    if (before := kept(registry, version)) is not None and not before["left_out"]:
        return before
    limit, cache = bound(), cache_of(root)
    with tempfile.TemporaryDirectory(prefix="refit-inputs-") as name:
        needed = outputs(registry.artifact(version.run_id, "dvc.lock", Path(name)), cache)
        folder, room = Path(name) / PLACE, limit
        stored: list[KeptInput] = []
        left: list[KeptInput] = []
        for out in sorted(needed, key=lambda out: (out.lacking, size(cache, out), out.path)):
            bytes_of = size(cache, out)
            if out.lacking:
                left.append(KeptInput(path=out.path, bytes=None, why="not in the DVC cache"))
            elif bytes_of > room:
                why = f"more than the {limit:,} bytes of REFIT_KEEP_MB"
                left.append(KeptInput(path=out.path, bytes=bytes_of, why=why))
            else:
                room -= bytes_of
                stored.append(KeptInput(path=out.path, bytes=bytes_of))
                for name_of in out.objects:
                    (folder / OBJECTS / name_of).parent.mkdir(parents=True, exist_ok=True)
                    shutil.copy(cache / OBJECTS / name_of, folder / OBJECTS / name_of)
        if stored:
            registry.store(version.run_id, folder, PLACE)
        about = KeptInputs(stored=stored, left_out=left)
        write_json(Path(name) / ABOUT, about)
        registry.store(version.run_id, Path(name) / ABOUT, PLACE)
    return about


def kept(registry: Registry, version: Registered) -> KeptInputs | None:
    """``kept.json`` of a version; None: nothing was stored, since it was never champion or is older than this."""
    if not registry.has(version.run_id, f"{PLACE}/{ABOUT}"):
        return None
    with tempfile.TemporaryDirectory(prefix="refit-inputs-") as name:
        about: KeptInputs = read_json(registry.artifact(version.run_id, f"{PLACE}/{ABOUT}", Path(name)))
        return about


def summary(about: KeptInputs | None) -> str:
    """What is stored with a version and what is not, in one line."""
    if about is None:
        return "--  inputs      not stored with the version (that is done when one is made champion)"
    total = sum(out["bytes"] or 0 for out in about["stored"])
    line = f"{len(about['stored'])} stored with the version ({megabytes(total)})"
    if not about["left_out"]:
        return f"ok  inputs      {line}"
    return f"--  inputs      {line}; not stored: " + "; ".join(
        f"{out['path']} ({megabytes(out['bytes'])}: {out['why']})" for out in about["left_out"]
    )


def bring(root: Path, registry: Registry, version: Registered, lock: Path, into: Path) -> None:
    """Put into the cache ``into`` what the project's DVC cache has no more, from what is stored with the version.

    Raises
    ------
    RefitError
        If something is in neither place; says what, of what size, and why it was not stored.
    """
    cache = cache_of(root)
    lacking = [out for out in outputs(lock, cache) if out.lacking]
    if not lacking:
        return
    with tempfile.TemporaryDirectory(prefix="refit-inputs-") as name:
        folder, about = Path(name), kept(registry, version) or KeptInputs(stored=[], left_out=[])
        if about["stored"]:
            folder = registry.artifact(version.run_id, PLACE, folder)
        again = {out.path: out for out in outputs(lock, folder)}
        gone = [out.path for out in lacking if again[out.path].lacking]
        if gone:
            why = {x["path"]: f"{x['path']} ({megabytes(x['bytes'])}: {x['why']})" for x in about["left_out"]}
            reasons = [why.get(path, f"{path} (stored only for a version that was made champion)") for path in gone]
            raise RefitError(
                f"version {version.version}: the DVC cache has no more {some(gone)} (dvc gc?), and it is not stored with the "
                f"version: {'; '.join(reasons)}. Fetch it from a DVC remote that has it (`dvc fetch`), or verify without --rebuild."
            )
        for out in lacking:
            for one in again[out.path].objects:
                path = folder / OBJECTS / one
                if hashlib.md5(path.read_bytes(), usedforsecurity=False).hexdigest() != one.replace(
                    "/", ""
                ).removesuffix(".dir"):
                    raise RefitError(
                        f"version {version.version}: what is stored with it of {out.path} is damaged ({one})."
                    )
                (into / OBJECTS / one).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(path, into / OBJECTS / one)


def outputs(lock: Path, cache: Path) -> list[StageOutput]:
    """Outputs of the stages :data:`FROM_CACHE` of a ``dvc.lock``, by what a cache has of them."""
    from ruamel.yaml import YAML

    stages = (YAML(typ="safe", pure=True).load(lock.read_text(encoding="utf-8")) or {}).get("stages", {})
    listed = []
    for name, stage in stages.items():
        if not name.startswith(FROM_CACHE):
            continue
        for out in stage.get("outs", []):
            if "md5" not in out:
                continue
            whole = [_place(out["md5"])]
            listing = cache / OBJECTS / whole[0]
            if out["md5"].endswith(".dir") and listing.exists():
                whole += [_place(entry["md5"]) for entry in json.loads(listing.read_text(encoding="utf-8"))]
            objects = tuple(dict.fromkeys(whole))
            lacking = not all((cache / OBJECTS / one).exists() for one in objects)
            listed.append(StageOutput(str(out["path"]), out["md5"], objects, lacking))
    return listed


def size(cache: Path, out: StageOutput) -> int:
    """Bytes of an output's objects in a cache."""
    return sum(path.stat().st_size for one in out.objects if (path := cache / OBJECTS / one).exists())


def cache_of(root: Path) -> Path:
    """The folder of the project's DVC cache, wherever ``cache.dir`` puts it."""
    from dvc.repo import Repo

    with Repo(str(root)) as repo:
        return Path(str(repo.cache.local_cache_dir))


def _place(md5: str) -> str:
    return f"{md5[:2]}/{md5[2:]}"


def megabytes(size: int | None) -> str:
    """Bytes as people read them.

    >>> megabytes(3 * 2**19)
    '1.5 MB'
    """
    return "size unknown" if size is None else f"{size / 2**20:,.1f} MB"
