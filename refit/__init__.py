"""Refit from Python: what people's own code imports, and what stays as it is from version to version.

>>> import refit
>>> package = refit.load_package("data/package")      # doctest: +SKIP
>>> package.predict_row({"petal_length": 1.4})        # doctest: +SKIP

Everything else (:mod:`tasks`, :mod:`flows`, :mod:`deploy`) is how Refit works inside. Nothing heavy is imported until a
function needs it.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from flows.watcher import Watcher
from tasks.errors import RefitError

if TYPE_CHECKING:
    from flows.standing import Standing
    from tasks.bundle import Bundle
    from tasks.params import Params

__all__ = ["RefitError", "Watcher", "load_package", "load_params", "run"]


def run(project: str | Path = ".", as_of: str | None = None, watcher: Watcher | None = None) -> Standing | None:
    """Bring every stage of a project up to date, then track, register, check and promote, as ``refit run`` does.

    Parameters
    ----------
    project : the folder with ``params.yaml`` and ``dvc.yaml``.
    as_of : only what was known then counts: a date (its end) or an ISO time. None: as ``data.as_of`` says.
    watcher : is told the progress; by default nobody is.

    Returns
    -------
    Where the registry stands: this run's version, the champion, and the decision in a sentence. None where ``dvc.yaml``
    holds too few stages for a verdict.

    Raises
    ------
    RefitError
        For a mistake in the project, before any stage runs; or with the message of the stage that failed.
    """
    from flows import preflight

    root = Path(project).resolve()
    preflight.require(root, as_of)  # what is wrong is told at once, before Prefect starts
    from flows.run import run as flow

    return flow(root, as_of, Watcher() if watcher is None else watcher)


def load_params(project: str | Path = ".") -> Params:
    """The checked ``params.yaml`` of a project. Raises :class:`RefitError` with all mistakes, a line each."""
    from tasks.params import load

    return load(Path(project) / "params.yaml")


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
