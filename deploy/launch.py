"""Start the service as a process of its own, and know when it is ready; used by the check and by `refit serve`."""

from __future__ import annotations

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from pydantic import JsonValue

from tasks.errors import RefitError
from tasks.files import optional_sha256
from tasks.process import SETTINGS

Command = Callable[[int], list[str]]


def serving(package: Path, version: str, identity: str | None = None) -> Command:
    """The command that serves a package on a given port; the one that lies there now, where its identity is not given."""
    sha = identity or optional_sha256(package / "bundle.json") or "none"

    def command(port: int) -> list[str]:
        given = ["--package", str(package), "--sha256", sha, "--version", version, "--port", str(port)]
        return [sys.executable, "-m", "deploy.serve", *given, "--linger", "0"]

    return command


def free_port(host: str = "127.0.0.1") -> int:
    """A port that was free a moment ago."""
    with socket.socket() as it:
        it.bind((host, 0))
        return int(it.getsockname()[1])


@contextmanager
def running(
    command: Command, timeout: float = 60, env: dict[str, str] | None = None, folder: Path | None = None
) -> Iterator[str]:
    """Start a service (in ``folder``) on a free loopback port; yields its address when it is ready, and always stops it.

    Raises
    ------
    RefitError
        If the service ends or is not ready within ``timeout`` seconds; with the end of its log.
    """
    port = free_port()
    address = f"http://127.0.0.1:{port}"
    with tempfile.TemporaryDirectory(prefix="refit-service-") as scratch:
        log = Path(scratch) / "log"
        with log.open("wb") as out:
            process = subprocess.Popen(
                command(port), env={**os.environ, **SETTINGS, **(env or {})}, cwd=folder, start_new_session=True,
                stdin=subprocess.DEVNULL, stdout=out, stderr=subprocess.STDOUT,
            )  # fmt: skip
        try:
            _wait(process, address, timeout, log)
            yield address
        finally:
            stop(process)


def ask(address: str, path: str, body: bytes | None = None) -> tuple[int, JsonValue]:
    """GET, or POST a JSON body; returns the status and the parsed answer (its text where it is not JSON).

    Straight to the address, whatever proxy the environment names. Raises OSError if there is no answer.
    """
    connection = http.client.HTTPConnection(address.removeprefix("http://"), timeout=30)
    try:
        headers = {"Content-Type": "application/json"} if body is not None else {}
        connection.request("GET" if body is None else "POST", path, body, headers)
        answer = connection.getresponse()
        text = answer.read().decode("utf-8", "replace")
    except http.client.HTTPException as error:
        raise OSError(f"no HTTP answer ({error!r})") from None
    finally:
        connection.close()
    try:
        return answer.status, json.loads(text)
    except ValueError:
        return answer.status, text


def _wait(process: subprocess.Popen[bytes], address: str, timeout: float, log: Path) -> None:
    until = time.monotonic() + timeout
    while time.monotonic() < until:
        if process.poll() is not None:
            raise RefitError(f"the service ended with code {process.returncode} before it was ready. {_tail(log)}")
        try:
            if ask(address, "/readyz")[0] == 200:
                return
        except OSError:
            time.sleep(0.03)
    raise RefitError(f"the service was not ready within {timeout:g} s. {_tail(log)}")


def _tail(log: Path, lines: int = 12) -> str:
    text = log.read_text(encoding="utf-8", errors="replace").strip().splitlines()[-lines:]
    return "Its last lines:\n" + "\n".join(f"  {line[:300]}" for line in text) if text else "It wrote nothing."


def stop(process: subprocess.Popen[bytes], patience: float = 5) -> None:
    """End the process and its workers: asked first, then killed. Does nothing if it is gone."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGTERM)
    with suppress(subprocess.TimeoutExpired):
        process.wait(patience)
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)  # workers that outlived it
    process.wait()
