"""The BentoML service: one package, served.

The package's folder comes from ``REFIT_PACKAGE`` (in a built Bento, the one inside it), its version from
``REFIT_VERSION``.
"""

from __future__ import annotations

import tasks.stage  # isort: skip  # noqa: F401  (quiet settings, before anything heavy is imported)

import gc
import os
from pathlib import Path
from typing import Any

import bentoml

from deploy.app import PATHS, Metrics, Served, build_app
from tasks.bundle import Bundle

app = build_app(Metrics())


class Direct(bentoml.Service):
    """A service whose own paths skip BentoML's middleware (tracing, timers), which takes nine tenths of the time
    of a small request. Start-up, shut-down and every other path are BentoML's."""

    def to_asgi(self, is_main: bool = True) -> Any:
        inner = super().to_asgi(is_main)

        async def front(scope: Any, receive: Any, send: Any) -> None:
            ours = scope["type"] == "http" and scope["path"] in PATHS
            await (app if ours else inner)(scope, receive, send)

        return front


def package_folder() -> Path:
    """Where the package is: ``REFIT_PACKAGE``, or ``package`` beside this code, as in a built Bento."""
    inside = Path(__file__).resolve().parent.parent / "package"
    return Path(os.environ.get("REFIT_PACKAGE") or (inside if inside.is_dir() else "data/package"))


@bentoml.service(
    name="refit",
    service_class=Direct,
    http={"host": "127.0.0.1"},
    metrics={"enabled": False},  # deploy.app has its own
    logging={"access": {"enabled": False}},
)
class Model:
    """Loads the package when a worker starts; requests are answered by :data:`app`."""

    def __init__(self) -> None:
        app.state.served = Served(Bundle.load(package_folder()), os.environ.get("REFIT_VERSION", "unregistered"))
        # What is loaded lives as long as the process: kept out of later collections, which would
        # otherwise pause requests for 0.1 s and more.
        gc.collect()
        gc.freeze()


bentoml.asgi_app(app, path="/")(Model)  # so that BentoML's description of the service knows the paths too
