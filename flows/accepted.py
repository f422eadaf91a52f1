"""What tables are held against: what was accepted with the champion, in ``data/expectations/accepted``.

Its package says what that was; a person may say otherwise (``refit accept``), until there is another champion.
"""

from __future__ import annotations

import shutil
from pathlib import Path

from flows import champions, packages
from flows.hand import person
from tasks.artifacts.folders import ACCEPTED as ACCEPTED
from tasks.artifacts.folders import REFUSED as REFUSED
from tasks.errors import RefitError, nearest, some
from tasks.files import read_json, write_json
from tasks.registry.history import Decision, current_champion


def outdated(root: Path, model: str) -> bool:
    """Whether :func:`write` would change anything: the files are of another champion, or of none."""
    champion = current_champion(champions.decisions(root, model, None))
    digest = champion.package_sha256 if champion else None
    held = _held(root)
    if digest is None and not held:
        return False
    return not held or any(of.get("package") != digest for of in held.values())


def write(root: Path, model: str) -> str | None:
    """Write what was accepted with the champion; returns its version, or None where there is nothing to hold against.

    Call only where the tables are validated anyway: the files are a dependency of that stage. What a person accepted since
    that champion took office stays.
    """
    champion, folder = current_champion(champions.decisions(root, model, None)), root / ACCEPTED
    if champion is None:
        shutil.rmtree(folder, ignore_errors=True)
        return None
    package = packages.package_folder(root, model, champion.package_sha256, champion.champion)
    accepted = {path.stem: read_json(path) for path in sorted((package / "accepted").glob("*.json"))}
    for path in folder.glob("*.json"):
        if path.stem not in accepted:
            path.unlink()
    for name, figures in accepted.items():
        write_json(folder / f"{name}.json", {"of": _of(champion), **figures})
    return champion.champion if accepted else None


def accept(root: Path, model: str, reason: str, tables: list[str]) -> list[str]:
    """Make the rows that the latest run refused the baseline of their tables; returns the tables' names.

    Raises
    ------
    RefitError
        If no run refused anything, or not of such a table.
    """
    if not reason.strip():
        raise RefitError("--reason: says why these rows are right as they are; found nothing.")
    refused = {path.stem: path for path in sorted((root / REFUSED).glob("*.json"))}
    if not refused:
        raise RefitError(
            "no rows wait to be accepted: the latest run did not refuse any table for what was accepted before."
        )
    unknown = [name for name in tables if name not in refused]
    if unknown:
        raise RefitError(f"--table: one of {some(refused)}; found {unknown[0]!r}.{nearest(unknown[0], refused)}")
    of = _of(current_champion(champions.decisions(root, model, None))) | {"by": person(), "reason": reason.strip()}
    for name in tables or refused:
        write_json(root / ACCEPTED / f"{name}.json", {"of": of, **read_json(refused[name])})
    return list(tables or refused)


def _of(champion: Decision | None) -> dict[str, str | None]:
    return {"version": champion.champion, "package": champion.package_sha256} if champion else {}


def _held(root: Path) -> dict[str, dict[str, str | None]]:
    return {path.stem: read_json(path).get("of", {}) for path in sorted((root / ACCEPTED).glob("*.json"))}
