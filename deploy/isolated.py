"""An environment that holds exactly the listed distributions: what a container installs, without a download."""

from __future__ import annotations

import tempfile
import venv
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from importlib.metadata import distribution
from pathlib import Path, PurePosixPath


@contextmanager
def isolated(names: Iterable[str]) -> Iterator[Path]:
    """Yields the Python of a virtual environment in which only these installed distributions can be imported.

    Their files are links to those of the running environment.
    """
    with tempfile.TemporaryDirectory(prefix="refit-room-") as scratch:
        root = Path(scratch)
        venv.EnvBuilder(symlinks=True, with_pip=False).create(root)
        (site,) = root.glob("lib/python*/site-packages")
        for name in names:
            _link(name, site)
        yield root / "bin" / "python"


def _link(name: str, site: Path) -> None:
    """Folders that are packages as a whole, all else file by file: other distributions may share the folder."""
    installed = distribution(name)
    files = [PurePosixPath(file) for file in installed.files or []]
    whole = {f.parts[0] for f in files if len(f.parts) == 2 and f.name == "__init__.py"}
    whole |= {f.parts[0] for f in files if f.parts[0].endswith((".dist-info", ".libs"))}
    for file in files:
        if file.parts[0] == ".." or "__pycache__" in file.parts:
            continue
        place = PurePosixPath(file.parts[0]) if file.parts[0] in whole else file
        target = site / place
        if not target.is_symlink():
            target.parent.mkdir(parents=True, exist_ok=True)
            target.symlink_to(Path(str(installed.locate_file(place))).absolute())
