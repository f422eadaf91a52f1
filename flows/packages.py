"""Where a package is: it is taken from wherever a whole copy with its hash lies, in the project or in the registry."""

from __future__ import annotations

import shutil
import time
from pathlib import Path

from tasks.artifacts.folders import CHAMPION as CHAMPION
from tasks.artifacts.folders import PACKAGE as PACKAGE
from tasks.artifacts.folders import START as START
from tasks.errors import RefitError
from tasks.files import optional_sha256, replacing_dir, sha256
from tasks.registry.history import Decision
from tasks.registry.tracking import Registry

KEPT = ".refit/versions"  # packages by the first digits of their hash
RECENT = 8  # champions whose packages are kept


def is_whole(folder: Path, digest: str) -> bool:
    """Whether a folder is the package of this hash, with every file as it was made."""
    from tasks.bundle.manifest import read_manifest

    try:
        read_manifest(folder)
        return sha256(folder / "bundle.json") == digest
    except (RefitError, OSError):
        return False


def local_copy(root: Path, digest: str) -> Path | None:
    """A whole copy of a package in the project's own folders; None: there is none."""
    kept = root / KEPT / digest[:16]
    return next((f for f in (kept, root / CHAMPION / "package", root / PACKAGE) if is_whole(f, digest)), None)


def keep_copy(root: Path, digest: str) -> Path | None:
    """Keep a copy of a package below ``.refit/versions``, where no stage changes it; None: it is not here."""
    copy, folder = local_copy(root, digest), root / KEPT / digest[:16]
    if copy is None or copy == folder:
        return copy
    try:
        with replacing_dir(folder) as fresh:
            shutil.copytree(copy, fresh, dirs_exist_ok=True)
    except OSError:
        if not is_whole(folder, digest):  # else another process was quicker
            raise
    return folder


def prune(root: Path, past: list[Decision]) -> None:
    """Remove old copies of packages, and what a kill left of one: all but those of the last :data:`RECENT` champions.

    What was written within a day stays: another command may be at work on it.
    """
    recent = {
        digest[:16]
        for digest in list(dict.fromkeys(d.package_sha256 for d in reversed(past) if d.action != "keep"))[:RECENT]
    }
    for folder in (root / KEPT).glob("*"):
        if folder.name not in recent and time.time() - folder.stat().st_mtime > 86400:
            shutil.rmtree(folder, ignore_errors=True)


def package_folder(root: Path, model: str, digest: str, version: str | None, registry: Registry | None = None) -> Path:
    """The folder with a package, whole and of this hash: a copy here, or else the registry's.

    Raises
    ------
    RefitError
        If no place has it; says which were looked at.
    """
    copy = keep_copy(root, digest)
    if copy is not None:
        return copy
    registry = registry or Registry(root)
    registered, why = registry.holding(model, digest), "does not know it"
    if registered is not None:
        try:
            return registry.fetch(registered, root / KEPT / digest[:16])
        except RefitError as error:
            why = str(error)
    raise RefitError(
        f"{model}: the package of version {version} ({digest[:12]}) is gone: it is neither in {KEPT}, {CHAMPION} nor "
        f"{PACKAGE}, and the registry ({registry.shown}) {why if registered is None else f'says: {why}'}. Nothing was done. "
        "Set MLFLOW_TRACKING_URI to the registry that has it, or restore that; `refit rollback --to VERSION` makes "
        "another version champion, and `refit adopt --none --reason ...` begins without one."
    )


def digest_made(root: Path) -> str | None:
    """The hash of the package that the newest run made; None where there is none."""
    return optional_sha256(root / PACKAGE / "bundle.json")
