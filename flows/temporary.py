"""The Prefect server that a run without one has for itself: started as Prefect would start it, and ended with the process.

Prefect's own way (``SubprocessASGIServer``) imports its whole server into the process that only talks to it, over a second of
the processor, and has each new project's database migrated from its first version, four seconds more.
"""

from __future__ import annotations

import atexit
import http.client
import os
import subprocess
import sys
import threading
import time
from contextlib import closing, suppress
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import urlsplit

from deploy.launch import free_port
from flows.commands import Cancelled
from flows.stops import deaf
from tasks import blank
from tasks.errors import RefitError
from tasks.process import COLLECT

TRIES = 3  # another program may take the port just before the server does


class TemporaryServer:
    """A server that is about to be ready; it hears no Ctrl-C, which would end it before those who write to it."""

    def __init__(self) -> None:
        from prefect.settings import (
            PREFECT_API_DATABASE_CONNECTION_URL,
            PREFECT_HOME,
            PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS,
        )

        self._database = Path(PREFECT_HOME.value()) / "prefect.db"
        self._blank = f"prefect-{version('prefect')}"
        own = str(PREFECT_API_DATABASE_CONNECTION_URL.value()) == f"sqlite+aiosqlite:///{self._database}"
        self._new = own and not self._database.exists() and not blank.fill(self._database, self._blank)
        self._until = time.monotonic() + PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS.value()
        self._process: subprocess.Popen[bytes] | None = None
        self._start()
        atexit.register(self.stop)

    @property
    def url(self) -> str:
        """The URL of its API."""
        return f"http://127.0.0.1:{self._port}/api"

    def _start(self) -> None:
        from prefect.settings import get_current_settings

        self._port = free_port()
        prefect = find_spec("prefect")
        assert prefect is not None
        assert prefect.origin is not None
        env = {"PREFECT_UI_ENABLED": "0", "PREFECT__SERVER_EPHEMERAL": "1", "PREFECT__SERVER_FINAL": "1"}
        env |= get_current_settings().to_environment_variables(exclude_unset=True)
        begin = f"import gc; gc.set_threshold({COLLECT}); import uvicorn; uvicorn.main()"
        command = [sys.executable, "-c", begin, "--app-dir", str(Path(prefect.origin).parents[1]), "--factory"]
        command += ["prefect.server.api.server:create_app", "--host", "127.0.0.1", "--port", str(self._port)]
        with deaf():
            self._process = subprocess.Popen(
                [*command, "--log-level", "error", "--lifespan", "on"], env={**os.environ, **env}
            )

    def ready(self, cancelled: threading.Event | None = None) -> str:
        """Wait until it answers; returns the URL of its API, of which Prefect in this process is told.

        Raises
        ------
        RefitError
            If it ends by itself, or does not answer within ``PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS``.
        """
        tries = 1
        while not self._answers():
            assert self._process is not None
            if cancelled is not None and cancelled.is_set():
                raise Cancelled("stopped while the temporary Prefect server started")
            if (code := self._process.poll()) is not None and tries < TRIES:
                tries += 1
                self._start()
            elif code is not None or time.monotonic() > self._until:
                self.stop()
                why = f"it ended with exit code {code}" if code is not None else "it did not answer in time"
                raise RefitError(
                    f"the temporary Prefect server did not start: {why}. Run again, or start one that stays "
                    "(prefect server start) and set PREFECT_API_URL=http://127.0.0.1:4200/api."
                )
            time.sleep(0.05)
        if self._new:
            blank.keep(self._database, self._blank)
        self._tell()
        return self.url

    def _answers(self) -> bool:
        where = urlsplit(self.url)
        connection = http.client.HTTPConnection(where.hostname or "", where.port, timeout=5)
        with closing(connection), suppress(OSError, http.client.HTTPException):
            connection.request("GET", f"{where.path}/health")
            return connection.getresponse().status == 200
        return False

    def _tell(self) -> None:
        """Have every thread of Prefect know the server, also those that were not started by the flow.

        The environment stays as it was: there the variable says that the user has a server that stays.
        """
        from prefect.context import refresh_global_settings_context

        os.environ["PREFECT_API_URL"] = self.url
        try:
            refresh_global_settings_context()
        finally:
            del os.environ["PREFECT_API_URL"]

    def stop(self) -> None:
        """End it."""
        if self._process is None:
            return
        self._process.terminate()
        try:
            self._process.wait(5)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process = None
