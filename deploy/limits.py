"""How much a process takes on at once; what is beyond is refused at once, and told when to come again."""

from __future__ import annotations

import asyncio
import contextlib
import os
import time
from collections.abc import AsyncIterator, Iterator, Mapping

from pydantic import ValidationError
from starlette.requests import Request

from deploy.rows import Problems
from tasks.errors import RefitError
from tasks.params import Limits

LIMITS = "REFIT_LIMITS"  # serving.limits as JSON, for the workers
MOST_HELD = 256 << 20  # bytes of all bodies at hand, or those of so many of the largest batches
BATCHES_HELD = 4
MOST_AT_ONCE = {
    "/predict": 256,
    "/predict_batch": 16,
    "/events": 64,
    "/labels": 16,
}  # requests taken and not yet answered
SLOWEST = 256 << 10  # bytes of a body for each of which patience grows by a second
AGAIN = 1  # seconds, in Retry-After


def limits_of(env: Mapping[str, str] = os.environ) -> Limits:
    """As the environment says, which `refit serve` fills from ``serving.limits``. Raises :class:`RefitError`."""
    try:
        return Limits.model_validate_json(env.get(LIMITS) or "{}")
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise RefitError(f"{LIMITS}: {where}{': ' if where else ''}{first['msg']}; found {env[LIMITS]!r}") from None


def most_bytes(limits: Limits) -> dict[str, int]:
    """The most bytes of a request's body, by path."""
    batches = dict.fromkeys(("/predict_batch", "/events", "/labels"), mib(limits.batch_mb))
    return {"/predict": mib(limits.row_mb), **batches}


def mib(size: float) -> int:
    """So many MiB in bytes."""
    return int(size * (1 << 20))


class Load:
    """What is taken and not yet answered, by path, and the bytes of its bodies."""

    def __init__(self, limits: Limits | None = None) -> None:
        self.limits = limits or Limits()
        self.most = most_bytes(self.limits)
        self.most_held = max(MOST_HELD, BATCHES_HELD * self.most["/predict_batch"])
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
        most = self.most[request.url.path]
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
        began, seconds = asyncio.get_running_loop().time(), self.limits.patience
        more = True
        try:
            async with asyncio.timeout_at(began + seconds) as patience:
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
                    patience.reschedule(began + seconds + len(body) / SLOWEST)
        except TimeoutError:
            late = f"the body did not arrive in time ({seconds:g} s, and 1 s for each {SLOWEST >> 10} KiB)"
            raise Problems([{"message": late}], 408) from None

    def _refused(self, so_far: int, size: int, most: int) -> Problems | None:
        if so_far + size > most:
            return _too_large(most)
        if self.held + size > self.most_held:
            return Busy(f"too much at once: {self.most_held >> 20} MiB of requests are at hand")
        return None


class Busy(Problems):
    """Refused for now, before the body was read: status 503, with Retry-After."""

    def __init__(self, why: str) -> None:
        super().__init__([{"message": f"{why}; ask again in {AGAIN} s"}], 503)
        self.headers = {"Retry-After": str(AGAIN), "Connection": "close"}


def _too_large(most: int) -> Problems:
    return Problems([{"message": f"the body is larger than {most / (1 << 20):g} MiB; send smaller requests"}], 413)


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
