"""The server around the application: how it begins, and how it leaves without dropping an answer.

At SIGTERM, SIGINT or SIGHUP a process says so at ``/readyz`` (503) and goes on answering for ``linger`` seconds, so
that a load balancer sends no more; each answer closes its connection. Then no new connection begins, what was taken is
finished, for at most ``grace`` seconds, and the process ends with status 0.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import errno
import os
import signal
import socket
import struct
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Any

import uvicorn
from uvicorn.config import STARTUP_FAILURE
from uvicorn.supervisors.multiprocess import Process

from deploy import draining
from deploy.protocol import KEEP_ALIVE, Protocol, most_connections
from tasks.errors import RefitError

LINGER, GRACE = 2.0, 20.0  # seconds
LAST = 2.0  # seconds after ``grace`` in which a process ends
SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
STARTS = 60.0  # seconds for a new worker to be heard of
DEATHS, WITHIN = 5, 60.0  # as many workers' ends in so many seconds are too many
ATTACH_FILTER = 26  # SO_ATTACH_FILTER of Linux
# Classic BPF over the TCP header: whatever has its SYN flag is dropped, all else is let through.
NO_NEW = ((0x30, 0, 0, 13), (0x45, 0, 1, 0x02), (0x06, 0, 0, 0), (0x06, 0, 0, 0xFFFFFFFF))


def close_door(door: socket.socket) -> None:
    """Let no new connection begin on a listening socket, for all processes that share it.

    A connection that the kernel made and nobody accepted is reset when the socket closes. So the kernel is told to make
    no more, the last ones are accepted, and then the socket is closed. Where this cannot be had, nothing is changed.
    """
    if sys.platform != "linux":
        return
    program = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *step) for step in NO_NEW))
    with contextlib.suppress(OSError):
        door.setsockopt(socket.SOL_SOCKET, ATTACH_FILTER, struct.pack("HP", len(NO_NEW), ctypes.addressof(program)))


class Server(uvicorn.Server):
    """uvicorn's server of one process, which leaves as told above."""

    linger = LINGER
    ready: Callable[[], None] | None = None  # is called once requests are answered
    leaving: Callable[[], None] | None = None  # and this once it has begun to leave

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Begin to answer, and say so."""
        await super().startup(sockets)
        if self.started and not self.should_exit and self.ready is not None:
            self.ready()

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """The handler of signals: leave; at once where SIGINT comes a second time."""
        if self.should_exit and sig == signal.SIGINT:
            self.force_exit = True
        self.should_exit = True
        draining.begin()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Handle signals meanwhile. They are not sent again at the end, as uvicorn does: that would kill the process too early."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        with handled(self.handle_exit):
            yield

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Go on answering for ``linger`` seconds, let no new connection begin, and finish what was taken."""
        draining.begin()
        if self.leaving is not None:
            self.leaving()
        for connection in self.server_state.connections:
            cycle = getattr(connection, "cycle", None)
            if cycle is not None and not cycle.response_complete:
                cycle.keep_alive = False
        until = time.monotonic() + self.linger
        while time.monotonic() < until and not self.force_exit:
            await asyncio.sleep(0.05)
        for door in sockets or []:
            close_door(door)
        await asyncio.sleep(0.1)  # the last ones are accepted
        await super().shutdown(sockets)


@contextlib.contextmanager
def handled(handler: Callable[[int, FrameType | None], object]) -> Iterator[None]:
    """Handle the signals that end a process; one that was ignored (``nohup``) stays so."""
    mine = [sig for sig in SIGNALS if signal.getsignal(sig) is not signal.SIG_IGN or sig == signal.SIGTERM]
    before = {sig: signal.signal(sig, handler) for sig in mine}
    try:
        yield
    finally:
        for sig, old in before.items():
            signal.signal(sig, old)


class Says:
    """What a service says of itself on standard output: where it answers and how it is stopped, and that it leaves."""

    def __init__(self, what: str, host: str, port: int, workers: int, seconds: float) -> None:
        self._what = what + (f", {workers} workers" if workers > 1 else "")
        self._url, self._seconds = url(host, port), seconds

    def ready(self) -> None:
        """Requests are answered from now on."""
        _say(f"serving {self._what}: {self._url} (Ctrl-C stops it)")

    def leaving(self) -> None:
        """It was asked to stop."""
        _say(f"stopping: what was asked is answered, for at most {self._seconds:g} s")


def _say(line: str) -> None:
    """A line of standard output; nothing where that is closed, which must not keep a service from leaving well."""
    with contextlib.suppress(OSError):
        os.write(1, f"{line}\n".encode())


def url(host: str, port: int) -> str:
    """The address to ask; of a service that listens everywhere that on this machine.

    >>> url("0.0.0.0", 3000), url("::1", 80), url("localhost", 3000)
    ('http://127.0.0.1:3000', 'http://[::1]:80', 'http://localhost:3000')
    """
    name = {"0.0.0.0": "127.0.0.1", "": "127.0.0.1", "::": "::1"}.get(host, host)
    return f"http://[{name}]:{port}" if ":" in name else f"http://{name}:{port}"


class WorkerProcess(Process):
    """One process of several."""

    def __init__(self, config: uvicorn.Config, sockets: list[socket.socket], linger: float) -> None:
        self.linger = linger
        self.began, self.heard = time.monotonic(), False
        super().__init__(config, sockets)

    @property
    def server(self) -> uvicorn.Server:
        """This process's server, made when it is first asked for."""
        if self._server is None:
            self._server = made(self.config, self.linger)
        return self._server


class Supervisor:
    """Keeps several workers alive, and leaves with them."""

    def __init__(
        self, config: uvicorn.Config, door: socket.socket, linger: float, grace: float, says: Says | None = None
    ) -> None:
        self.config, self.door, self.linger, self.grace = config, door, linger, grace
        self.says, self.ready = says, False
        self.asked = threading.Event()
        self.deaths: deque[float] = deque(maxlen=DEATHS)

    def run(self) -> None:
        """Raises :class:`RefitError` where workers end again and again."""
        with handled(lambda sig, frame: self.asked.set()):
            workers = [self._start() for _ in range(self.config.workers)]
            try:
                while not self.asked.wait(0.25):
                    workers = [self._kept(worker) for worker in workers]
                    self._tell(workers)
            finally:
                self._leave(workers)

    def _tell(self, workers: list[WorkerProcess]) -> None:
        """Say once that requests are answered: by one worker at least."""
        if self.says is None or self.ready or not any(worker.heard and worker.is_ready() for worker in workers):
            return
        self.ready = True
        self.says.ready()

    def _start(self) -> WorkerProcess:
        worker = WorkerProcess(self.config, [self.door], self.linger)
        worker.start()
        return worker

    def _kept(self, worker: WorkerProcess) -> WorkerProcess:
        """The worker, or another in its place."""
        hung = worker.process.is_alive()
        if hung and worker.ping(self.config.timeout_worker_healthcheck):
            worker.heard = True
            return worker
        if self.asked.is_set() or (hung and not worker.heard and time.monotonic() < worker.began + STARTS):
            return worker
        worker.kill()
        worker.join()
        code = worker.exitcode
        if hung:
            how = f"did not answer for {self.config.timeout_worker_healthcheck} s and was killed"
        else:
            how = f"was killed by {_signal(-code)}" if code is not None and code < 0 else f"ended with code {code}"
        self.deaths.append(time.monotonic())
        if code == STARTUP_FAILURE:
            raise RefitError(f"a worker {how} before it was ready; what it said is above")
        if len(self.deaths) == DEATHS and self.deaths[-1] - self.deaths[0] < WITHIN:
            raise RefitError(f"{DEATHS} workers ended within {WITHIN:g} s, the last one {how}; what they said is above")
        print(f"a worker {how}; another is started", file=sys.stderr, flush=True)
        return self._start()

    def _leave(self, workers: list[WorkerProcess]) -> None:
        if self.says is not None:
            self.says.leaving()
        for worker in workers:
            worker.terminate()
        time.sleep(self.linger)
        close_door(self.door)
        time.sleep(0.1)
        self.door.close()
        until = time.monotonic() + self.grace + LAST
        for worker in workers:
            worker.process.join(max(until - time.monotonic(), 0.01))
            if worker.process.is_alive():
                print("a worker did not end in time and was killed", file=sys.stderr, flush=True)
                worker.process.kill()
                worker.process.join()


def _signal(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def made(config: uvicorn.Config, linger: float) -> Server:
    """The server of one process."""
    Protocol.most = most_connections()
    server = Server(config)
    server.linger = linger
    return server


def settings(grace: float) -> dict[str, Any]:
    """What every server of ours says to ``uvicorn.Config``."""
    return {
        "http": Protocol, "ws": "none", "log_level": "error", "access_log": False, "server_header": False,
        "timeout_keep_alive": KEEP_ALIVE, "timeout_graceful_shutdown": max(1, round(grace)),
    }  # fmt: skip


def run(
    app: str, host: str, port: int, workers: int, linger: float = LINGER, grace: float = GRACE, what: str | None = None
) -> None:
    """Serve the application that the function ``app`` (``module:name``) makes, until a signal.

    ``what`` is served, says a line of standard output when it is; None: nothing is said. Port 0: one that is free.

    Raises
    ------
    RefitError
        If the address cannot be had, or workers end again and again.
    """
    config = uvicorn.Config(app, factory=True, host=host, port=port, workers=workers, **settings(grace))
    with listening(host, port) as door:
        says = None if what is None else Says(what, host, door.getsockname()[1], workers, linger + grace)
        if workers == 1:
            server = made(config, linger)
            if says is not None:
                server.ready, server.leaving = says.ready, says.leaving
            server.run(sockets=[door])
            if not server.started:
                raise SystemExit(STARTUP_FAILURE)
        else:
            Supervisor(config, door, linger, grace, says).run()


def listening(host: str, port: int) -> socket.socket:
    """The door: a socket that listens there. Raises :class:`RefitError` where the address cannot be had."""
    try:
        if not 0 <= port <= 65535:
            raise OSError("a port is a number from 0 to 65535")
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0][0]
        door = socket.create_server((host, port), family=family, backlog=2048)
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            why = "another program listens there, perhaps a `refit serve` that still runs"
        else:
            why = getattr(error, "strerror", None) or str(error)
        raise RefitError(
            f"cannot listen on {host} port {port}: {why}. Name another with --port (0 takes a free one; serving.port), or "
            "serving.host."
        ) from None
    door.set_inheritable(True)
    return door


def install(grace: float = GRACE) -> None:
    """Give BentoML's worker this server: it makes its own from the module ``uvicorn``, after it asked for the app."""
    config = uvicorn.Config

    def ours(*args: Any, **kwargs: Any) -> uvicorn.Config:
        asked = kwargs.get("timeout_graceful_shutdown")
        return config(*args, **{**kwargs, **settings(grace if asked is None else asked)})

    uvicorn.Config = ours  # type: ignore[assignment, misc]
    uvicorn.Server = lambda config: made(config, float(os.environ.get("REFIT_LINGER", LINGER)))  # type: ignore[assignment, misc]
