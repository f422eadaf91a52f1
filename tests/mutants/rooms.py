"""The rooms that changes are drawn from, and their files."""

from __future__ import annotations

from pathlib import Path

from tests.projects import ROOT

ROOMS: dict[str, tuple[str, ...]] = {
    "verdicts": (
        "tasks/kinds",
        "tasks/compare",
        "tasks/paired",
        "tasks/metrics",
        "tasks/evaluate",
        "tasks/bundle/seen.py",
    ),
    "engine": ("tasks/engine",),
    "splits": ("tasks/features", "tasks/identity.py"),
    "package": ("tasks/package", "tasks/bundle"),
    "registry": ("tasks/registry",),
    "dag": (
        *(f"flows/{name}.py" for name in ("dag", "walk", "reads", "records", "commands", "inputs")),
        *(f"flows/{name}.py" for name in ("champions", "packages", "versions", "context", "promotion", "standing")),
    ),
    "service": ("deploy",),
    "params": ("tasks/params", "tasks/crosscheck.py", "tasks/idle.py"),
    "drift": ("tasks/drift", "tasks/ordinary"),
    "encoding": ("tasks/encoding",),
    "families": ("tasks/fitting", "tasks/families", "tasks/models"),
    "files": ("tasks/files.py", "tasks/values", "tasks/stored.py"),
}
MATTER = ("verdicts", "engine", "splits", "package", "registry", "dag", "service", "params")


def files(room: str, root: Path = ROOT) -> list[str]:
    """The files of a room, from the checkout's root; one that two rooms name belongs to the first."""
    rooms = list(ROOMS)
    earlier = {f for other in rooms[: rooms.index(room)] for f in _named(other, root)}
    return [f for f in _named(room, root) if f not in earlier]


def _named(room: str, root: Path) -> list[str]:
    found = [p for place in ROOMS[room] for p in sorted(root.glob(place))]
    every = [q for p in found for q in (sorted(p.rglob("*.py")) if p.is_dir() else [p])]
    return [q.relative_to(root).as_posix() for q in every]
