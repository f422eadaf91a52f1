"""``bundle.json``: what a package says about itself, and the hashes that tell whether it is whole."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tasks.errors import RefitError, some
from tasks.files import hash_tree, read_json, sha256, write_json

FORMAT = 1
NAME = "bundle.json"
REQUIRED = ("plan.json", "schema.json", "reference.parquet", "golden.json", "receipt.json")
FIELDS = ("name", "kind", "classes", "threshold", "family", "members", "weights", "metrics", "files")


def write_manifest(folder: Path, about: dict[str, Any]) -> str:
    """Write ``bundle.json`` over the files already in ``folder``; returns its SHA-256, the identity."""
    files = {name: digest for name, digest in hash_tree(folder).items() if name != NAME}
    write_json(folder / NAME, {"format": FORMAT, **about, "files": files})
    return sha256(folder / NAME)


def read_manifest(folder: str | Path) -> dict[str, Any]:
    """Read ``bundle.json`` and check every file of the package against it.

    Raises
    ------
    RefitError
        If the folder is no package, has another format, or a file is missing, damaged or extra.
    """
    folder = Path(folder)
    remedy = "Make it again with `refit run`, or fetch it again from the registry."
    if not (folder / NAME).is_file():
        raise RefitError(f"{folder}: no package here ({NAME} is missing). {remedy}")
    manifest = read_json(folder / NAME)
    found = manifest.get("format") if isinstance(manifest, dict) else None
    if found != FORMAT:
        raise RefitError(f"{folder / NAME}: package format {FORMAT} is read here, found {found!r}. {remedy}")
    lacking = [field for field in FIELDS if field not in manifest]
    if lacking:
        raise RefitError(f"{folder / NAME}: lacks {some(lacking)}. {remedy}")
    listed: dict[str, str] = manifest["files"]
    present = {name: digest for name, digest in hash_tree(folder).items() if name != NAME}
    problems = {
        "missing": sorted({*listed, *REQUIRED} - set(present)),
        "damaged": sorted(name for name in listed if name in present and present[name] != listed[name]),
        "not part of it": sorted(set(present) - set(listed)),
    }
    if any(problems.values()):
        said = "; ".join(f"{what}: {some(names)}" for what, names in problems.items() if names)
        raise RefitError(f"{folder}: the package is not as it was made. {said}. {remedy}")
    return manifest
