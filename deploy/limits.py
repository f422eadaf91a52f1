"""How much a process takes on at once; what is beyond is refused at once, and told when to come again."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Iterator

from starlette.requests import Request

from deploy.rows import Problems

MOST_BYTES = {"/predict": 1 << 20, "/predict_batch": 64 << 20}  # of a request's body
MOST_HELD = 256 << 20  # bytes of all bodies at hand
MOST_AT_ONCE = {"/predict": 256, "/predict_batch": 16}  # requests taken and not yet answered
PATIENCE = 15.0  # seconds for a request's body to come, and one more for each SLOWEST bytes
SLOWEST = 256 << 10
AGAIN = 1  # seconds, in Retry-After


class Load:
    """What is taken and not yet answered, by path, and the bytes of its bodies."""

    def __init__(self) -> None:
        self.held = 0
        self.at_once = dict.fromkeys(MOST_AT_ONCE, 0)

    @contextlib.contextmanager
    def taking(self, path: str) -> Iterator[None]:
        """Around one request. Raises :class:`Busy` where there are enough of its path."""
        if self.at_once[path] >= MOST_AT_ONCE[path]:
            raise Busy(f"too much at once: {MOST_AT_ONCE[path]} requests to {path} are at work")
        self.at_once[path] += 1
        try:
            yield
        finally:
            self.at_once[path] -= 1

    @contextlib.asynccontextmanager
    async def body(self, request: Request) -> AsyncIterator[bytearray]:
        """The request's body, no longer than allowed and no slower than patience; counted until the block ends.

        Raises
        ------
        Problems
            400, 408, 413, 415 and 503.
        """
        most = MOST_BYTES[request.url.path]
        _check_type(request)
        announced = request.headers.get("content-length", "")
        if announced.isdecimal() and int(announced) > most:
            await _discard(request)
            raise _too_large(most)
        body = bytearray()
        try:
            await self._read(request, most, body)
            yield body
        finally:
            self.held -= len(body)

    async def _read(self, request: Request, most: int, body: bytearray) -> None:
        began = asyncio.get_running_loop().time()
        more = True
        try:
            async with asyncio.timeout_at(began + PATIENCE) as patience:
                while more:
                    message = await request.receive()
                    if message["type"] == "http.disconnect":
                        raise Problems([{"message": "the client went away"}], 400)
                    chunk, more = message.get("body", b""), message.get("more_body", False)
                    refused = self._refused(len(body), len(chunk), most)
                    if refused is not None:
                        if more:
                            await _discard(request)
                        raise refused
                    body += chunk
                    self.held += len(chunk)
                    patience.reschedule(began + PATIENCE + len(body) / SLOWEST)
        except TimeoutError:
            said = f"the body did not arrive in time ({PATIENCE:g} s, and 1 s for each {SLOWEST >> 10} KiB)"
            raise Problems([{"message": said}], 408) from None

    def _refused(self, so_far: int, size: int, most: int) -> Problems | None:
        if so_far + size > most:
            return _too_large(most)
        if self.held + size > MOST_HELD:
            return Busy(f"too much at once: {MOST_HELD >> 20} MiB of requests are at hand")
        return None


class Busy(Problems):
    """Refused for now, before the body was read: status 503, with Retry-After."""

    def __init__(self, why: str) -> None:
        super().__init__([{"message": f"{why}; ask again in {AGAIN} s"}], 503)
        self.headers = {"Retry-After": str(AGAIN), "Connection": "close"}


def _too_large(most: int) -> Problems:
    return Problems([{"message": f"the body is larger than {most >> 20} MiB; send smaller requests"}], 413)


def _check_type(request: Request) -> None:
    kind = request.headers.get("content-type", "application/json").split(";")[0].strip().lower()
    if not (kind in ("application/json", "") or kind.endswith("+json")):
        raise Problems([{"message": f"the content type must be application/json, found {kind[:80]!r}"}], 415)


async def _discard(request: Request, seconds: float = 2.0) -> None:
    """Read on for a moment and keep nothing: a client that is still writing would not read the answer."""
    if "expect" in request.headers:  # it waits to be asked for the body
        return
    until = time.monotonic() + seconds
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            while time.monotonic() < until:
                message = await request.receive()
                if message["type"] == "http.disconnect" or not message.get("more_body", False):
                    return
