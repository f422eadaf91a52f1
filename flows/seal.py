"""What a run works on: ``params.yaml``, ``dvc.yaml`` and the code of ``tasks`` as they were when it began.

They are copied once into ``.refit/start/<digest>``, a folder that never changes and that a later run finds again. DVC reads
the two files from there, each ``python -m tasks.…`` gets the folder in its environment (:data:`tasks.params.START`)
and imports that code, so an edit in the middle of a run reaches no stage of it. What is recorded in ``dvc.lock`` are
the paths and hashes that ``dvc repro`` would record of the same content.
"""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tasks.errors import RefitError
from tasks.params import AT_START, Params, loads

if TYPE_CHECKING:
    from dvc.fs import LocalFileSystem

HOUSE = Path(__file__).resolve().parent.parent
FOLDER = Path(".refit/start")
TRIES = 20  # how often a file or folder that changes while it is read is read anew


@dataclass(frozen=True)
class Seal:
    """The folder of what a run began with; ``code`` is the folder that its ``tasks`` came from."""

    root: Path
    folder: Path
    code: Path

    def params(self) -> Params:
        """The run's parameters. Raises :class:`RefitError` as :func:`tasks.params.load` does."""
        path = self.folder / "params.yaml"
        if not path.exists():
            raise RefitError(
                f"{self.root / 'params.yaml'}: no such file. Run `refit init --data FILE --target COLUMN` to write one."
            )
        return loads(path.read_text(encoding="utf-8"), str(self.root / "params.yaml"))

    def path_of(self, path: Path) -> Path | None:
        """Where a file or folder of the project lies as it was at the start; None where it is not sealed."""
        for name, kept in AT_START.items():
            if path == self.root / name:
                return self.folder / kept
        own = self.root / "tasks"
        if self.code == own and path.is_relative_to(own):
            return self.folder / "tasks" / path.relative_to(own)
        return None

    def newer(self) -> list[str]:
        """Which of the sealed files are different by now."""
        changed = [name for name, kept in AT_START.items() if _text(self.root / name) != _text(self.folder / kept)]
        if _code_digest(self.code) != _code_digest(self.folder / "tasks"):
            own = self.code.is_relative_to(self.root)
            changed.append("tasks/" if own else "Refit's own code")
        return changed


def seal(root: Path) -> Seal:
    """Copy what a run in ``root`` shall work on. Call while holding the project's walk lock.

    Raises :class:`RefitError` where a file goes on changing while it is read.
    """
    code = root / "tasks" if (root / "tasks").is_dir() else HOUSE / "tasks"
    (root / FOLDER).mkdir(parents=True, exist_ok=True)
    fresh = Path(tempfile.mkdtemp(prefix=".", dir=root / FOLDER))
    try:
        for name, kept in AT_START.items():
            _whole(root / name, fresh / kept)
        _whole(code, fresh / "tasks")
        _whole(code.parent / "requirements.lock", fresh / "requirements.lock")  # the receipt names it with the code
        fresh.chmod(0o755)  # a worker of another user reads it
        place = root / FOLDER / _digest(fresh)
        if not place.exists():
            os.replace(fresh, place)
    finally:
        shutil.rmtree(fresh, ignore_errors=True)
    for other in (root / FOLDER).iterdir():
        if other != place:
            shutil.rmtree(other, ignore_errors=True)
    return Seal(root, place, code)


def _whole(source: Path, to: Path) -> None:
    """Copy a file or a folder of code at one moment: anew where something of it changed meanwhile; nothing if it is not there."""
    for attempt in range(TRIES):
        before = signature(source)
        try:
            if source.is_dir():
                shutil.copytree(source, to, ignore=_passed_over)
            elif source.exists():
                shutil.copy2(source, to)
        except (FileNotFoundError, shutil.Error):
            pass  # renamed meanwhile: the signatures differ
        else:
            if signature(source) == before:
                return
        shutil.rmtree(to, ignore_errors=True)
        to.unlink(missing_ok=True)
        time.sleep(0.02 * (attempt + 1))
    raise RefitError(f"{source}: goes on changing while the run reads it. Run again when nothing writes there.")


def _passed_over(folder: str, names: list[str]) -> set[str]:
    """What is not code. A compiled file names its source by whole seconds, so one of a source edited just now is left out."""
    left = {name for name in names if name.endswith(("~", ".swp", ".part")) or name.startswith(".")}
    if Path(folder).name == "__pycache__":
        recent = time.time() - 5
        for name in names:
            source = Path(folder).parent / f"{name.partition('.')[0]}.py"
            if not source.exists() or source.stat().st_mtime > recent:
                left.add(name)
    return left


def signature(path: Path) -> tuple[tuple[str, int, int, int], ...]:
    """What changes with each write: name, number, size and time of a file, or of all files below a folder."""
    files = sorted(_files(path)) if path.is_dir() else [path]
    marks = []
    for file in files:
        try:
            stat = file.stat()
        except OSError:
            continue
        marks.append((str(file), stat.st_ino, stat.st_size, stat.st_mtime_ns))
    return tuple(marks)


def _files(folder: Path) -> Iterator[Path]:
    for where, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if name != "__pycache__" and not name.startswith(".")]
        for name in names:
            if not (name.endswith((".pyc", "~", ".swp", ".part")) or name.startswith(".")):
                yield Path(where, name)


def _code_digest(folder: Path) -> str:
    digest = sha256()
    for path in sorted(_files(folder), key=lambda p: p.relative_to(folder).as_posix()):
        try:
            content = path.read_bytes()
        except OSError:  # removed or renamed just now
            content = b""
        digest.update(path.relative_to(folder).as_posix().encode() + b"\0" + sha256(content).digest())
    return digest.hexdigest()


def _digest(folder: Path) -> str:
    texts = [_text(folder / name) for name in (*AT_START.values(), "requirements.lock")]
    parts = [sha256(text or b"").hexdigest() + str(text is None) for text in texts]
    return sha256("\n".join([*parts, _code_digest(folder / "tasks")]).encode()).hexdigest()[:32]


def _text(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except OSError:
        return None


def file_system(sealed: Seal) -> LocalFileSystem:
    """DVC's file system of the project, in which ``params.yaml`` and ``dvc.yaml`` are the run's."""
    from dvc.fs import LocalFileSystem

    moved = {str(sealed.root / name): str(sealed.folder / kept) for name, kept in AT_START.items()}

    class Sealed(LocalFileSystem):
        def open(self, path: Any, mode: str = "r", **options: Any) -> Any:
            return super().open(moved.get(os.path.abspath(path), path), mode, **options)

        def exists(self, path: Any, *arguments: Any, **options: Any) -> Any:
            if isinstance(path, str | os.PathLike):
                path = moved.get(os.path.abspath(path), path)
            return super().exists(path, *arguments, **options)

        def isfile(self, path: Any) -> bool:
            return bool(super().isfile(moved.get(os.path.abspath(path), path)))

    return Sealed()
