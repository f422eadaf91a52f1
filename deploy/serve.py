"""``python -m deploy.serve``: serve one package, as `refit serve`, the check and the containers do.

It runs the ASGI application of the BentoML service under uvicorn (``deploy/shutdown.py``), as BentoML's own worker does,
but without its supervisor: half the start-up time and half the memory.
"""

from __future__ import annotations

import tasks.stage  # isort: skip  (quiet settings, before anything heavy is imported)

import argparse
import os
import shutil
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, cast

from deploy import baked
from deploy.limits import limits_of
from tasks.artifacts import Manifest
from tasks.bundle.manifest import examine
from tasks.errors import RefitError
from tasks.journal import Journal
from tasks.params import WHEN_STALE, Limits

if TYPE_CHECKING:
    import bentoml
    from starlette.types import ASGIApp


def asgi() -> ASGIApp:
    """The application, for uvicorn's workers."""
    from deploy.service import Model

    # The decorator makes it a service, which its type does not say.
    return cast("bentoml.Service[object]", Model).to_asgi()


def serve(
    package: str | Path,
    version: str,
    host: str = "127.0.0.1",
    port: int = 3000,
    workers: int = 1,
    *,
    sha256: str,
    stale: str = "warn",
    stale_after: str | None = None,
    linger: float = 2.0,
    grace: float = 20.0,
    limits: Limits | None = None,
    journal: str | None = None,
) -> None:
    """Serve until a signal. Lines of standard output say where it answers, and that it leaves.

    Parameters
    ----------
    sha256
        The identity that the package must have; every worker refuses another.
    stale, stale_after
        As ``serving.stale`` and ``serving.stale_after`` of ``params.yaml``.
    linger, grace
        Seconds after the signal for which requests are still taken, and then for which those taken are finished.
    limits
        As ``serving.limits``; None: as ``REFIT_LIMITS`` says, or the usual ones.
    journal
        Where answers and events are kept (:func:`tasks.journal.journal_url`); None: nowhere.

    Raises
    ------
    RefitError
        First, if the package is damaged or another one.
    """
    from deploy.scratch import folder
    from deploy.shutdown import listening, run

    listening(host, port).close()  # before the package is loaded, which takes seconds
    package = Path(package).resolve()
    if journal is not None:
        Journal(journal, write=True).close()  # one that cannot be used is told now
    os.environ.update(
        REFIT_SHA256=sha256,
        REFIT_VERSION=version,
        REFIT_STALE=stale,
        REFIT_STALE_AFTER=stale_after or os.environ.get("REFIT_STALE_AFTER", ""),
        REFIT_LIMITS=(limits or limits_of()).model_dump_json(),
        REFIT_JOURNAL=journal or "",
        # Rows are small: threads inside the model would only fight over the cores.
        OMP_NUM_THREADS="1",
    )
    with folder(workers) if workers > 1 else nullcontext() as scratch:
        if scratch is not None:
            os.environ["PROMETHEUS_MULTIPROC_DIR"] = str(scratch)
            package = pinned(package, sha256, scratch / "package")
        os.environ["REFIT_PACKAGE"] = str(package)
        if workers == 1:  # here, so that a fault is told in plain words
            from deploy.service import load

            load()
        what = f"{Manifest.read(package).name}, version {version}"
        run("deploy.serve:asgi", host, port, workers, linger, grace, what)


def pinned(package: Path, sha256: str, to: Path) -> Path:
    """A copy of the package for workers that are started again one day, when its folder may hold another.

    Where there is no room for it, the folder itself: a worker then refuses what is not the package it was told.
    """
    try:
        shutil.copytree(package, to, symlinks=True)
    except OSError as error:
        shutil.rmtree(to, ignore_errors=True)
        to = package
        examine(to, sha256)
        tasks.stage.log(f"{to}: no copy could be kept for workers that start later ({error}); they load it from here")
    else:
        examine(to, sha256)
    return to


def main() -> None:
    """Entry point of ``python -m deploy.serve``: options, or else what the Bento and the environment say."""
    parser = argparse.ArgumentParser(description="Serve a package over HTTP.")
    here = baked.INSIDE if baked.PACKAGE else "data/package"
    parser.add_argument("--package", default=os.environ.get("REFIT_PACKAGE") or here)
    sha256 = os.environ.get("REFIT_SHA256") or baked.PACKAGE
    parser.add_argument("--sha256", default=sha256, help="the identity that it must have")
    parser.add_argument("--version", default=baked.VERSION or os.environ.get("REFIT_VERSION") or "unregistered")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=3000)
    parser.add_argument("--workers", type=int, default=1)
    way = os.environ.get("REFIT_STALE") or "warn"
    parser.add_argument("--stale", default=way, choices=WHEN_STALE, help="rows that are later than what is known")
    parser.add_argument("--stale-after", help="how old is too old, such as 6h")
    parser.add_argument("--linger", type=float, default=2.0, help="seconds for which requests are taken after a signal")
    parser.add_argument("--grace", type=float, default=20.0, help="seconds for which those taken are finished")
    given = parser.parse_args()
    if not given.sha256:
        raise RefitError(
            f"--sha256: needed, to say which package {given.package} should be: the SHA-256 of its bundle.json as it was made."
        )
    serve(
        given.package, given.version, given.host, given.port, given.workers,
        sha256=given.sha256, stale=given.stale, stale_after=given.stale_after, linger=given.linger, grace=given.grace,
        journal=os.environ.get("REFIT_JOURNAL") or None,
    )  # fmt: skip


if __name__ == "__main__":
    tasks.stage.run(main)
