"""HTTP on one connection: uvicorn's own, with an end to what it would read for ever, and problems told as JSON."""

from __future__ import annotations

import asyncio
import json
import resource
from typing import Any

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from deploy import draining
from deploy.limits import AGAIN

MOST_HEAD = 32 << 10  # bytes of a request's first line and headers
MOST_HEADERS = 100
PATIENCE = 10.0  # seconds for a head to come
READER = 30.0  # seconds in which a client must take something of an answer
SPARE = 100  # files that a process opens beside its connections
MOST_CONNECTIONS = 1_000
# The same for the connections that a load balancer keeps (60 s is usual): it shall be the first to close one.
KEEP_ALIVE = 75


def most_connections() -> int:
    """How many connections this process may hold: as many as it may open files, and at most 1,000."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = MOST_CONNECTIONS + SPARE
    if soft != resource.RLIM_INFINITY and soft < wanted:
        soft = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    return MOST_CONNECTIONS if soft == resource.RLIM_INFINITY else max(min(MOST_CONNECTIONS, soft - SPARE), 10)


class Protocol(HttpToolsProtocol):
    """One connection."""

    most = MOST_CONNECTIONS

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._head: int | None = None  # bytes of the head that is being read; None: none is
        self._told: tuple[int, str] | None = None  # why the head is refused
        self._clock: asyncio.TimerHandle | None = None

    # A connection's life ---------------------------------------------------------------------------------
    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Take a connection on, or refuse it with 503 where too many are open; its first head has :data:`PATIENCE` to come."""
        super().connection_made(transport)
        if len(self.connections) > self.most and not self._make_room():
            self._refuse(503, f"too much at once: {self.most} connections are open; ask again in {AGAIN} s")
            return
        self._clock = self.loop.call_later(PATIENCE, self._late)

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection is closed."""
        self._stop_clock()
        super().connection_lost(exc)

    def shutdown(self) -> None:
        """Close the connection, at once where nothing is on its way; a request that has begun is still taken."""
        if self.cycle is not None and not self.cycle.response_complete:
            self.cycle.keep_alive = False
        elif self._head is not None or self.cycle is None:
            self.loop.call_later(1.0, self._close_if_idle)
        else:
            self.transport.close()

    @property
    def idle(self) -> bool:
        """Whether the last request is answered and no other has begun."""
        return self.cycle is not None and self.cycle.response_complete and self._head is None

    def _close_if_idle(self) -> None:
        if self.cycle is None or self.cycle.response_complete:
            self.transport.close()

    def _make_room(self) -> bool:
        """Close the connection that has been idle longest, where there are too many open ones."""
        open_ones = [c for c in self.connections if isinstance(c, Protocol) and not c.transport.is_closing()]
        if len(open_ones) <= self.most:
            return True
        waiting = [c for c in open_ones if c.idle and c.timeout_keep_alive_task]
        if not waiting:
            return False
        min(waiting, key=lambda c: c.timeout_keep_alive_task.when()).transport.close()  # type: ignore[union-attr]
        return True

    # Requests --------------------------------------------------------------------------------------------
    def data_received(self, data: bytes) -> None:
        """Parse what came; a head that grows beyond :data:`MOST_HEAD` bytes is refused, and a slow one is timed."""
        if self.transport.is_closing():
            return
        between = self._head is None and (self.cycle is None or not self.cycle.more_body)
        if self._head is not None:
            self._head += len(data)
        self._begins = 0
        super().data_received(data)
        if self._head is None or self.transport.is_closing():
            return
        if between and self._begins == 1:  # all of this is one head's beginning
            self._head = len(data)
        if self._head > MOST_HEAD:
            self._too_large()
            self.send_400_response("")
        elif self._clock is None:
            self._clock = self.loop.call_later(PATIENCE, self._late)

    def on_message_begin(self) -> None:
        """A request begins."""
        super().on_message_begin()
        self._begins += 1
        self._head = 0
        self._size = 0

    def on_url(self, url: bytes) -> None:
        """A part of the first line; it counts as part of the head."""
        self._count(len(url))
        super().on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        """A header; at most :data:`MOST_HEADERS` of them are taken. Raises ValueError, which becomes an answer of 431."""
        self._count(len(name) + len(value) + 4)
        if len(self.headers) >= MOST_HEADERS:
            self._too_large()
            raise ValueError
        super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """The head is there. While the process leaves, the answer closes the connection."""
        self._head = None
        self._stop_clock()
        super().on_headers_complete()
        if draining.begun() and self.cycle is not None:
            self.cycle.keep_alive = False

    def on_response_complete(self) -> None:
        """The answer is written; a client that takes nothing of it for :data:`READER` seconds is given up."""
        super().on_response_complete()
        if self.transport.get_write_buffer_size():
            self.loop.call_later(READER, self._taken, self.transport.get_write_buffer_size())

    def send_400_response(self, msg: str) -> None:
        """What uvicorn calls where a head is none, or a callback here refused it."""
        self._refuse(*(self._told or (400, "this is no HTTP request")))

    # Limits ----------------------------------------------------------------------------------------------
    def _count(self, size: int) -> None:
        self._size += size
        if self._size > MOST_HEAD:
            self._too_large()
            raise ValueError  # httptools hands it on as an error of its own

    def _too_large(self) -> None:
        message = f"a request's first line and headers have at most {MOST_HEADERS} lines and {MOST_HEAD >> 10} KiB"
        self._told = (431, message)

    def _late(self) -> None:
        self._clock = None
        if self.transport.is_closing():
            return
        if self._head is None:
            self.transport.close()
        else:
            self._refuse(408, f"the request's headers did not arrive within {PATIENCE:g} s")

    def _taken(self, before: int) -> None:
        """Give a client up that has not taken anything of its answer."""
        left = self.transport.get_write_buffer_size()
        if left and left >= before:
            self.transport.abort()
        elif left:
            self.loop.call_later(READER, self._taken, left)

    def _stop_clock(self) -> None:
        if self._clock is not None:
            self._clock.cancel()
            self._clock = None

    def _refuse(self, status: int, message: str) -> None:
        self._stop_clock()
        body = json.dumps({"errors": [{"message": message}]}).encode()
        again = b"retry-after: %d\r\n" % AGAIN if status == 503 else b""
        self.transport.write(
            STATUS_LINE[status]
            + b"content-type: application/json\r\nconnection: close\r\n"
            + again
            + b"content-length: %d\r\n\r\n" % len(body)
            + body
        )
        self.transport.close()
