"""Limits of one connection, asked over real sockets: heads without end, clients without haste, too many of them."""

from __future__ import annotations

import asyncio
import json
import resource
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from types import SimpleNamespace
from typing import Any

import pytest
import uvicorn

from deploy import draining, protocol
from deploy.limits import AGAIN
from deploy.protocol import MOST_HEAD, MOST_HEADERS, Protocol, most_connections
from deploy.shutdown import made, settings


async def echo(scope: Any, receive: Any, send: Any) -> None:
    """Answers with the path, or with as many bytes as it names."""
    size = scope["path"].removeprefix("/bytes/")
    body = b"x" * int(size) if size.isdecimal() else scope["path"].encode()
    headers = [(b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})


SERVERS: list[uvicorn.Server] = []


@pytest.fixture
def port() -> Iterator[int]:
    door = socket.create_server(("127.0.0.1", 0))
    server = made(uvicorn.Config(echo, lifespan="off", **settings(1)), 0)
    SERVERS.append(server)
    thread = threading.Thread(target=lambda: asyncio.run(server.serve([door])), daemon=True)
    thread.start()
    yield door.getsockname()[1]
    server.should_exit = True
    thread.join(10)
    draining._begun = False


def talk(port: int, sent: bytes, more: bytes = b"") -> tuple[int, Any]:
    """Status and body of the answer, read to the end of the connection."""
    with connected(port) as it:
        with suppress(OSError):
            it.sendall(sent)
            for _ in range(200 if more else 0):
                it.sendall(more)
        found = b""
        with suppress(ConnectionResetError):
            while part := it.recv(65536):
                found += part
    head, _, body = found.partition(b"\r\n\r\n")
    return int(head.split()[1]), json.loads(body) if body[:1] == b"{" else body


def connected(port: int) -> socket.socket:
    return socket.create_connection(("127.0.0.1", port), timeout=10)


def answered(it: socket.socket) -> None:
    """Read the answer to a request for ``/``."""
    found = b""
    while not found.endswith(b"\r\n\r\n/"):
        found += it.recv(1000)
    assert found.startswith(b"HTTP/1.1 200")


def test_requests_are_answered(port: int) -> None:
    assert talk(port, b"GET /a HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n") == (200, b"/a")


@pytest.mark.parametrize(
    ("sent", "more"),
    [
        (b"GET / HTTP/1.1\r\nHost: x\r\nLong: " + b"a" * (MOST_HEAD + 1), b""),
        (b"GET / HTTP/1.1\r\nHost: x\r\nLong: ", b"a" * 1000),
        (b"GET / HTTP/1.1\r\nHost: x\r\n", b"Header: value\r\n" * 10),
        (b"GET / HTTP/1.1\r\n" + b"A: b\r\n" * (MOST_HEADERS + 1) + b"\r\n", b""),
        (b"GET /" + b"a" * (MOST_HEAD + 1) + b" HTTP/1.1\r\n\r\n", b""),
    ],
    ids=["one at once", "one without end", "many without end", "many", "path"],
)  # fmt: skip
def test_heads_have_a_bound(port: int, sent: bytes, more: bytes) -> None:
    status, said = talk(port, sent, more)
    assert status == 431
    assert "at most 100 lines and 32 KiB" in said["errors"][0]["message"]


def test_the_head_of_a_later_request_has_the_same_bound(port: int) -> None:
    with connected(port) as it:
        it.sendall(b"POST / HTTP/1.1\r\nContent-Length: 1\r\n\r\nx")
        answered(it)
        it.sendall(b"GET / HTTP/1.1\r\nLong: " + b"a" * MOST_HEAD)
        assert it.recv(1000).startswith(b"HTTP/1.1 431")


def test_what_is_no_http_gets_a_problem_too(port: int) -> None:
    assert talk(port, b"hello\r\n\r\n") == (400, {"errors": [{"message": "this is no HTTP request"}]})


def test_a_head_that_does_not_come(port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(protocol, "PATIENCE", 0.05)
    status, said = talk(port, b"GET / HTTP/1.1\r\nHost:")
    assert (status, "did not arrive" in said["errors"][0]["message"]) == (408, True)
    with connected(port) as silent:
        assert silent.recv(10) == b""
    with connected(port) as second:  # on a connection that was used before
        second.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        answered(second)
        second.sendall(b"GET / HT")
        assert second.recv(1000).startswith(b"HTTP/1.1 408")


def test_a_client_that_takes_nothing_is_given_up(port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(protocol, "READER", 0.05)
    with connected(port) as it:
        it.sendall(b"GET /bytes/30000000 HTTP/1.1\r\nHost: x\r\n\r\n")
        it.recv(1)
        until = time.monotonic() + 20
        while SERVERS[-1].server_state.connections and time.monotonic() < until:
            time.sleep(0.01)
        found = 1
        with suppress(ConnectionResetError):
            while part := it.recv(1 << 20):
                found += len(part)
    assert found < 30_000_000


def test_idle_connections_make_room_and_busy_ones_do_not(port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Protocol, "most", 3)
    ask = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"
    idle = [connected(port) for _ in range(3)]
    for it in idle:
        it.sendall(ask)
        answered(it)
    assert talk(port, b"GET /new HTTP/1.1\r\nConnection: close\r\n\r\n") == (200, b"/new")
    assert idle[0].recv(10) == b""  # the one that was idle longest
    busy = [connected(port) for _ in range(3)]
    for it in busy:
        it.sendall(b"GET / HTTP")
    until = time.monotonic() + 20
    while len(SERVERS[-1].server_state.connections) != 3 and time.monotonic() < until:
        time.sleep(0.01)
    status, said = talk(port, ask)
    assert (status, "too much at once: 3 connections" in said["errors"][0]["message"]) == (503, True)
    for it in (*idle, *busy):
        it.close()


@pytest.mark.parametrize(
    ("status", "reason", "again"),
    [(400, b"Bad Request", b""), (408, b"Request Timeout", b""), (431, b"Request Header Fields Too Large", b""),
     (503, b"Service Unavailable", b"retry-after: %d\r\n" % AGAIN)],
)  # fmt: skip
def test_a_refusal_is_one_whole_answer_and_tells_when_to_ask_again_where_that_helps(
    status: int, reason: bytes, again: bytes
) -> None:
    said: list[bytes] = []
    clock = SimpleNamespace(cancel=lambda: said.append(b"stopped"))
    it = object.__new__(Protocol)
    it._clock = clock  # type: ignore[assignment]
    it.transport = SimpleNamespace(write=said.append, close=lambda: said.append(b"closed"))  # type: ignore[assignment]
    it._refuse(status, "too much")
    body = b'{"errors": [{"message": "too much"}]}'
    head = b"HTTP/1.1 %d %s\r\ncontent-type: application/json\r\nconnection: close\r\n" % (status, reason)
    assert said == [b"stopped", head + again + b"content-length: 37\r\n\r\n" + body, b"closed"]
    assert it._clock is None


@pytest.mark.parametrize(
    ("left", "before", "done"),
    [  # bytes of an answer that are still to be taken, and how many they were
        (0, 10, None), (10, 10, "abort"), (11, 10, "abort"), (9, 10, 9),
    ],
)  # fmt: skip
def test_a_client_is_given_up_that_took_nothing_meanwhile(left: int, before: int, done: str | int | None) -> None:
    said: list[Any] = []
    it = object.__new__(Protocol)
    it.transport = SimpleNamespace(get_write_buffer_size=lambda: left, abort=lambda: said.append("abort"))  # type: ignore[assignment]
    it.loop = SimpleNamespace(call_later=lambda *what: said.append(what))  # type: ignore[assignment]
    it._taken(before)
    assert said == ([] if done is None else ["abort"] if done == "abort" else [(protocol.READER, it._taken, done)])


@pytest.mark.parametrize(
    ("head", "closing", "done"),
    [(None, False, "close"), (0, False, 408), (5, False, 408), (None, True, None), (5, True, None)],
)
def test_a_head_that_is_late_is_refused_and_a_silent_connection_closed(
    head: int | None, closing: bool, done: str | int | None
) -> None:
    said: list[Any] = []
    it = object.__new__(Protocol)
    it._head, it._clock = head, SimpleNamespace(cancel=lambda: said.append("stopped"))  # type: ignore[assignment]
    it.transport = SimpleNamespace(  # type: ignore[assignment]
        is_closing=lambda: closing, close=lambda: said.append("close"), write=lambda data: said.append(int(data[9:12]))
    )
    it._late()
    assert said == ([] if done is None else ["close"] if done == "close" else [408, "close"])
    assert it._clock is None, "it has struck, and there is nothing to stop"


def test_a_head_may_have_as_many_bytes_as_are_told_and_no_more() -> None:
    it = object.__new__(Protocol)
    it._size, it._told = 0, None
    it._count(MOST_HEAD - 1)
    it._count(1)
    assert it._told is None
    with pytest.raises(ValueError, match=r"^$"):
        it._count(1)
    assert it._told == (431, "a request's first line and headers have at most 100 lines and 32 KiB")


@pytest.mark.parametrize(
    ("open_ones", "closed", "room"),
    [  # connections: closing already, busy, or idle and until when they are kept
        (["busy"] * 3, [], True), (["busy"] * 4, [], False), (["busy"] * 3 + [7], [3], True), ([9, "busy", 5, 7], [2], True),
        (["closing"] + ["busy"] * 3, [], True), ([9, "closing", 5, 7, "busy"], [2], True), ([9, 5, 7], [], True), ([None] * 4, [], False),
    ],
)  # fmt: skip
def test_room_is_made_by_closing_what_was_idle_longest(open_ones: list[Any], closed: list[int], room: bool) -> None:
    said: list[int] = []

    def connection(at: int, state: Any) -> Protocol:
        it = object.__new__(Protocol)
        it.most, it._head = 3, None  # type: ignore[misc]
        it.cycle = SimpleNamespace(response_complete=state not in ("busy", "closing"))  # type: ignore[assignment]
        it.timeout_keep_alive_task = SimpleNamespace(when=lambda: state) if isinstance(state, int) else None  # type: ignore[assignment]
        it.transport = SimpleNamespace(is_closing=lambda: state == "closing", close=lambda: said.append(at))  # type: ignore[assignment]
        return it

    every = [connection(at, state) for at, state in enumerate(open_ones)]
    every[-1].connections = {*every, object()}  # type: ignore[assignment]
    assert every[-1]._make_room() is room
    assert said == closed


@pytest.mark.parametrize(
    ("limits", "raised", "wanted"),
    [
        ((256, resource.RLIM_INFINITY), (1_100, resource.RLIM_INFINITY), 1_000),
        ((256, 4_096), (1_100, 4_096), 1_000),
        ((256, 512), (512, 512), 412),
        ((1_100, 4_096), None, 1_000),
        ((1_099, 1_099), (1_099, 1_099), 999),
        ((50, 50), (50, 50), 10),
        ((resource.RLIM_INFINITY, resource.RLIM_INFINITY), None, 1_000),
    ],
)
def test_connections_fit_the_files_that_a_process_may_open(
    limits: tuple[int, int], raised: tuple[int, int] | None, wanted: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[int, int]] = []
    monkeypatch.setattr(resource, "getrlimit", lambda what: limits)
    monkeypatch.setattr(resource, "setrlimit", lambda what, both: asked.append(both))
    assert most_connections() == wanted
    assert asked == ([raised] if raised else [])


@pytest.mark.parametrize(
    ("complete", "head", "done"),
    [  # whether the last answer is complete (None: there was no request), and bytes of a head on its way
        (False, None, "keep no longer"), (False, 10, "keep no longer"), (True, None, "close"), (True, 0, "wait"),
        (True, 10, "wait"), (None, None, "wait"), (None, 5, "wait"),
    ],
)  # fmt: skip
def test_at_the_end_idle_connections_close_at_once_and_what_has_begun_is_taken(
    complete: bool | None, head: int | None, done: str
) -> None:
    said: list[Any] = []
    it = object.__new__(Protocol)
    it._head = head
    cycle = None if complete is None else SimpleNamespace(response_complete=complete, keep_alive=True)
    it.cycle = cycle  # type: ignore[assignment]
    it.transport = SimpleNamespace(close=lambda: said.append("close"))  # type: ignore[assignment]
    it.loop = SimpleNamespace(call_later=lambda seconds, what: said.append((seconds, what)))  # type: ignore[assignment]
    assert it.idle == (complete is True and head is None)
    it.shutdown()
    if done == "wait":
        assert said == [(1.0, it._close_if_idle)]
        it._close_if_idle()
        assert said[1:] == ["close"]
        it.cycle = SimpleNamespace(response_complete=False)  # type: ignore[assignment]
        it._close_if_idle()
        assert said[1:] == ["close"], "a request has come meanwhile"
    else:
        assert said == (["close"] if done == "close" else [])
        assert cycle is not None
        assert cycle.keep_alive == (done == "close")
