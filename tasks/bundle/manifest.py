"""``bundle.json``: what a package says about itself, and the hashes that tell whether it is whole.

The SHA-256 of this file is the package's identity, since it holds the hashes of all others. It is read once: what is
parsed, and what is hashed, are the same bytes.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from pydantic import JsonValue

from tasks.artifacts import Manifest
from tasks.bundle.horizon import parse
from tasks.errors import RefitError, shortened, some
from tasks.files import hash_tree, sha256
from tasks.kinds import find_kind, kind_names

FORMAT = 1
NAME = Manifest.NAME
REQUIRED = ("plan.json", "schema.json", "reference.parquet", "golden.json", "receipt.json")
KINDS = kind_names()
FIELDS = ("name", "kind", "classes", "threshold", "family", "members", "weights", "metrics", "files")
REMEDY = "Make it again with `refit run`, or fetch it again from the registry."
LINKS = (
    "links, and a package holds its files itself (DVC made them? `dvc config cache.type copy`, `dvc checkout --relink`)"
)
DIGEST = re.compile(r"[0-9a-f]{64}")


Json = dict[str, JsonValue]


@dataclass(frozen=True)
class Examined:
    """What ``bundle.json`` holds, and the SHA-256 of its bytes."""

    about: Manifest
    identity: str


def write_manifest(folder: Path, about: Manifest) -> str:
    """Write ``bundle.json`` over the files already in ``folder``; returns its SHA-256, the identity."""
    files = {name: digest for name, digest in hash_tree(folder).items() if name != NAME}
    about.model_copy(update={"format": FORMAT, "files": files}).write(folder)
    return sha256(folder / NAME)


def read_manifest(folder: str | Path) -> Manifest:
    """What ``bundle.json`` holds, after every check of :func:`examine`."""
    return examine(folder).about


def examine(folder: str | Path, expected: str | None = None) -> Examined:
    """Read ``bundle.json``, and check its types and every file of the package against it.

    ``expected``: the identity that the package must have.

    Raises
    ------
    RefitError
        If the folder is no package or another one than expected, has another format, says something of a wrong type, or
        a file is missing, damaged, extra or a link.
    """
    folder = Path(folder)
    try:
        text = (folder / NAME).read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        raise RefitError(f"{folder}: no package here ({NAME} is missing). {REMEDY}") from None
    identity = hashlib.sha256(text).hexdigest()
    if expected is not None and identity != expected:
        raise RefitError(
            f"{folder}: its identity is {identity[:12]}, and the package to be used is {expected[:12]}: {NAME} was changed, "
            "or another package was put there. Put the right one back; "
            "`refit run` makes it again, and the registry and .refit/versions keep what was registered."
        )
    try:
        about = json.loads(text, parse_constant=_no_number, object_pairs_hook=_once)
    except (ValueError, RecursionError) as error:
        raise RefitError(f"{folder / NAME}: not valid JSON ({error}). {REMEDY}") from None
    manifest = _checked(folder, about)
    _check_files(folder, manifest.files)
    return Examined(manifest, identity)


def _no_number(word: str) -> None:
    raise ValueError(f"{word} is no number")


def _once(pairs: list[tuple[str, JsonValue]]) -> Json:
    """A JSON object none of whose names stands twice, so that no two readers can take it for different ones."""
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a name stands twice in one object")
    return found


def _check_files(folder: Path, listed: dict[str, str]) -> None:
    links = [path.relative_to(folder).as_posix() for path in sorted(folder.rglob("*")) if path.is_symlink()]
    present = {} if links else {name: digest for name, digest in hash_tree(folder).items() if name != NAME}
    problems = {
        LINKS: links,
        "missing": [] if links else sorted({*listed, *REQUIRED} - set(present)),
        "damaged": sorted(name for name in listed if name in present and present[name] != listed[name]),
        "not part of it": sorted(set(present) - set(listed)),
    }
    if any(problems.values()):
        said = "; ".join(f"{what}: {some(names)}" for what, names in problems.items() if names)
        raise RefitError(f"{folder}: the package is not as it was made. {said}. {REMEDY}")


def _checked(folder: Path, about: JsonValue) -> Manifest:
    """The manifest; refused where it says something of a wrong type, or something that cannot be."""
    found = about.get("format") if isinstance(about, dict) else None
    if not isinstance(about, dict) or type(found) is not int or found != FORMAT:
        raise RefitError(f"{folder / NAME}: package format {FORMAT} is read here, found {found!r}. {REMEDY}")
    lacking = [field for field in FIELDS if field not in about]
    if lacking:
        raise RefitError(f"{folder / NAME}: lacks {some(lacking)}. {REMEDY}")
    for field, (right, wanted) in _RULES.items():
        if field in about and not right(about):
            raise RefitError(
                f"{folder / NAME}: {field} must be {wanted}, found {shortened(repr(about[field]), 80)}. {REMEDY}"
            )
    return Manifest.model_validate(about)


def _name(value: JsonValue) -> bool:
    """A name that is one part of a path: no separator, no dots alone, no control character."""
    return isinstance(value, str) and re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.-]*", value) is not None


def _inner(value: JsonValue) -> bool:
    """A path inside the package, in the one form that it can have."""
    return isinstance(value, str) and all(
        part not in ("", ".", "..") and "\\" not in part and part.isprintable() for part in value.split("/")
    )


def _number(value: JsonValue) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _classes(about: Json) -> bool:
    names = about["classes"]
    if not isinstance(names, list) or not all(isinstance(n, str) for n in names) or len(set(names)) != len(names):
        return False
    return find_kind(str(about["kind"])).output.fits(len(names))


def _threshold(about: Json) -> bool:
    value = about["threshold"]
    highest = math.nextafter(1, 2)  # where no row shall be decided positive
    if value is None:
        return True
    has_one = find_kind(str(about["kind"])).positive is not None
    return has_one and _number(value) and isinstance(value, int | float) and 0 <= value <= highest


def _members(about: Json) -> bool:
    names = about["members"]
    return isinstance(names, list) and len(names) > 0 and all(map(_name, names)) and len(set(names)) == len(names)


def _weights(about: Json) -> bool:
    values, members = about["weights"], about["members"]
    if not isinstance(values, list) or not isinstance(members, list) or len(values) != len(members):
        return False
    return all(map(_number, values)) and sum(v for v in values if isinstance(v, int | float)) > 0


def _files(about: Json) -> bool:
    files = about["files"]
    return isinstance(files, dict) and all(
        _inner(name) and name != NAME and isinstance(digest, str) and DIGEST.fullmatch(digest) is not None
        for name, digest in files.items()
    )


def _moment(value: JsonValue) -> bool:
    try:
        return isinstance(value, str) and parse(value) is not None
    except ValueError:
        return False


def _from(about: Json) -> bool:
    return "known_until" in about and (about["answers_from"] is None or _moment(about["answers_from"]))


def _until(about: Json) -> bool:
    until = about["known_until"]
    return "answers_from" in about and isinstance(until, dict) and all(map(_moment, until.values()))


def _covered(about: Json) -> bool:
    found = about["journal"]
    if not isinstance(found, dict) or not isinstance(found.get("id"), str):
        return False
    tables = found.get("tables")
    numbers = [found.get("seq"), *tables.values()] if isinstance(tables, dict) else [None]
    return all(type(n) is int and n >= 0 for n in numbers)


Rule = tuple[Callable[[Json], bool], str]
_RULES: dict[str, Rule] = {  # in this order: later ones rely on the types of earlier ones
    "name": (lambda it: _name(it["name"]), "a name of letters, digits, '.', '_' and '-'"),
    "kind": (lambda it: it["kind"] in KINDS, " or ".join([", ".join(KINDS[:-1]), KINDS[-1]])),
    "family": (lambda it: _name(it["family"]), "a family's name"),
    "classes": (_classes, "a list of different texts: as many as the kind of problem has"),
    "threshold": (_threshold, "a number from 0 to 1 where the kind of problem has one, or null"),
    "members": (_members, "a list of different names of families"),
    "weights": (_weights, "a list of numbers, one a member"),
    "calibration": (lambda it: it["calibration"] is None or isinstance(it["calibration"], dict), "an object or null"),
    "metrics": (lambda it: isinstance(it["metrics"], dict), "an object"),
    "files": (_files, "an object of paths inside the package, each with its SHA-256"),
    "answers_from": (_from, "a moment or null, beside known_until"),
    "known_until": (_until, "an object of moments, by table, beside answers_from"),
    "journal": (_covered, "an object of id, seq and tables, each with the number of an event"),
}
