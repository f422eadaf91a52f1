"""Refit from Python: what people's own code imports, and what stays as it is from version to version.

>>> import refit
>>> project = refit.open("flights")                   # doctest: +SKIP
>>> project.run()                                     # doctest: +SKIP
>>> project.predict(frame)                            # doctest: +SKIP
>>> package = refit.load_package("data/package")      # doctest: +SKIP
>>> package.predict_row({"petal_length": 1.4})        # doctest: +SKIP

Everything else (:mod:`tasks`, :mod:`flows`, :mod:`deploy`) is how Refit works inside. Nothing heavy is imported until a
function needs it.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from flows.watcher import Watcher
from refit.project import Explanations, Project, Verdicts
from tasks.errors import RefitError

if TYPE_CHECKING:
    from tasks.bundle import Bundle

__all__ = ["Explanations", "Project", "RefitError", "Verdicts", "Watcher", "load_package", "open"]


def open(folder: str | Path = ".") -> Project:
    """A project, by its folder with ``params.yaml`` and ``dvc.yaml``.

    Raises
    ------
    RefitError
        If the folder holds no project.
    """
    root = Path(folder).resolve()
    lacking = next((name for name in ("params.yaml", "dvc.yaml") if not (root / name).is_file()), None)
    if lacking is not None:
        raise RefitError(f"{root}: no {lacking} here. Name a project's folder, or make it one with `refit init`.")
    return Project(root)


def load_package(path: str | Path, sha256: str | None = None) -> Bundle:
    """A package, started: it answers whole tables (``compute``, ``predict``, ``decide``) and single rows (``predict_row``).

    ``sha256``: the identity that it must have, that of its ``bundle.json``.

    Raises
    ------
    RefitError
        If it is another one, or a file is missing, damaged or not listed.
    """
    from tasks.bundle import Bundle

    return Bundle.load(path, sha256).start()
