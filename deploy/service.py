"""The BentoML service: one package, served.

The package's folder comes from ``REFIT_PACKAGE`` and its identity from ``REFIT_SHA256``; a built Bento has both inside
it, and the version that answers carry, which otherwise comes from ``REFIT_VERSION``. Another package is not loaded.
"""

from __future__ import annotations

import tasks.stage  # isort: skip  # noqa: F401  (quiet settings, before anything heavy is imported)
import deploy.early  # isort: skip  # noqa: F401  (before prometheus_client is)

import gc
import os

import bentoml
from starlette.types import ASGIApp, Receive, Scope, Send

from deploy.app import Served, ServiceMetrics, build_app
from deploy.baked import INSIDE, VERSION
from deploy.chosen import package_to_load
from deploy.limits import limits_of
from deploy.live import Live
from deploy.shutdown import install
from deploy.timely import Timely
from tasks.bundle import Bundle
from tasks.bundle.manifest import examine

limits = limits_of()
app = build_app(ServiceMetrics(), limits)


class Direct(bentoml.Service):
    """A service whose requests are all answered by :data:`app`; start-up and shut-down are BentoML's.

    BentoML's middleware (tracing, timers) takes nine tenths of the time of a small request, and its own page asks
    another machine for a script.
    """

    def to_asgi(self, is_main: bool = True) -> ASGIApp:
        """The application that BentoML's worker serves."""
        install()
        inner: ASGIApp = super().to_asgi(is_main)

        async def front(scope: Scope, receive: Receive, send: Send) -> None:
            if scope["type"] == "lifespan":
                await inner(scope, receive, send)
                app.state.turns.stop()
                if app.state.served is not None and app.state.served.live is not None:
                    app.state.served.live.stop()
            else:
                await app(scope, receive, send)

        return front


# BentoML's supervisor imports this, too: it ends here, instead of starting workers for ever that cannot load.
if os.environ.get("REFIT_PACKAGE") or INSIDE.is_dir():
    examine(*package_to_load())


def load() -> None:
    """Load the package that this process shall serve, once."""
    if app.state.served is None:
        bundle = Bundle.to_serve(*package_to_load())
        timely = Timely.of(bundle)
        version = VERSION or os.environ.get("REFIT_VERSION") or "unregistered"
        live = None
        if where := os.environ.get("REFIT_JOURNAL"):
            live = Live(bundle, where, version)
            live.start()
        timely.tell()
        app.state.served = Served(bundle, version, timely, limits, live)
        # What is loaded lives as long as the process: kept out of later collections, which would
        # otherwise pause requests for 0.1 s and more.
        gc.collect()
        gc.freeze()


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
        load()


bentoml.asgi_app(app, path="/")(Model)  # so that BentoML's description of the service knows the paths too
