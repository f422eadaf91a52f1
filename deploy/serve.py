"""``python -m deploy.serve``: serve one package, as `refit serve`, the check and the containers do.

It runs the ASGI application of the BentoML service under uvicorn, as BentoML's own worker does, but
without its supervisor: half the start-up time and half the memory.
"""

from __future__ import annotations

import tasks.stage  # isort: skip  (quiet settings, before anything heavy is imported)

import argparse
import os
import tempfile
from pathlib import Path
from typing import Any


def asgi() -> Any:
    """The application, for uvicorn's workers."""
    from deploy.service import Model

    service: Any = Model  # the decorator makes it a service, which its type does not say
    return service.to_asgi()


def serve(package: str | Path, version: str, host: str = "127.0.0.1", port: int = 3000, workers: int = 1) -> None:
    """Serve until interrupted. Raises :class:`~tasks.errors.RefitError` first if the package is damaged."""
    import uvicorn

    from tasks.bundle.manifest import read_manifest

    read_manifest(package)  # a plain message now, instead of a worker's traceback later
    os.environ.update(
        REFIT_PACKAGE=str(Path(package).resolve()),
        REFIT_VERSION=version,
        # Rows are small: threads inside the model would only fight over the cores.
        OMP_NUM_THREADS="1",
    )
    with tempfile.TemporaryDirectory(prefix="refit-metrics-") as scratch:
        if workers > 1:
            os.environ["PROMETHEUS_MULTIPROC_DIR"] = scratch
        uvicorn.run(
            "deploy.serve:asgi", factory=True, host=host, port=port, workers=workers,
            log_level="warning", access_log=False, server_header=False, timeout_graceful_shutdown=5,
        )  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description="Serve a package over HTTP.")
    parser.add_argument("--package", default=os.environ.get("REFIT_PACKAGE", "data/package"))
    parser.add_argument("--version", default=os.environ.get("REFIT_VERSION", "unregistered"))
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=3000)
    parser.add_argument("--workers", type=int, default=1)
    given = parser.parse_args()
    serve(given.package, given.version, given.host, given.port, given.workers)


if __name__ == "__main__":
    tasks.stage.run(main)
