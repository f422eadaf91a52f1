"""The web application around one package: Starlette, one parse and one prediction per request.

Nothing here knows BentoML; ``deploy/service.py`` mounts it. Every answer, errors too, is a JSON object
(but for ``/metrics``).
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import math
import time
from collections import Counter as Counts
from collections.abc import Awaitable, Callable, Iterator
from contextlib import nullcontext
from typing import NamedTuple, TypeVar

from prometheus_client import CONTENT_TYPE_LATEST, REGISTRY, CollectorRegistry, Counter, Histogram, generate_latest
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from deploy import draining
from deploy.batches import MOST_PROBLEMS, crowded, cut, in_row
from deploy.events import EventBodies
from deploy.limits import Busy, Load, mib
from deploy.live import Live
from deploy.openapi import describe
from deploy.page import POLICY, page
from deploy.rows import Mistake, Problems, Row, RowReader, parsed
from deploy.timely import HistoryAge, Timely
from deploy.turns import Steps, Turns
from tasks.bundle import Answer, Bundle, Features
from tasks.errors import RefitError
from tasks.journal import Event, Journal, Prediction
from tasks.params import Limits

T = TypeVar("T")
SLICE = 32  # rows answered at a stretch; no fewer than a package's golden rows, which are compared as one batch
UNREAD = (408, 413)  # statuses of requests whose body may not have been read
SECONDS = (0.0005, 0.001, 0.002, 0.003, 0.005, 0.0075, 0.01, 0.025, 0.05, 0.1, 0.25, 1, 5)


class BatchAnswers(NamedTuple):
    """A batch's answers as JSON, how often there was which decision, and what is to be kept of them."""

    body: bytes
    decided: Counts[str | None]
    kept: list[Prediction]


class Served:
    """A package that answers requests: the bundle with its online state, and how to read a row."""

    def __init__(
        self,
        bundle: Bundle,
        version: str,
        timely: Timely | None = None,
        limits: Limits | None = None,
        live: Live | None = None,
    ) -> None:
        self.limits = limits or Limits()
        self.live = live  # None: nothing is kept, and nothing is learned
        self.bundle = bundle.start()
        self.timely = timely or Timely(bundle)
        self.version = version
        self.rows = RowReader(bundle.schema)
        self.fixed = {"model": bundle.name, "version": version, **bundle.problem.fixed(bundle.threshold)}
        self.openapi = describe(self.rows, bundle, version, self.limits.batch_rows, live is not None)

    def answer(self, row: Row, answer: Answer) -> dict[str, object]:
        """The JSON object that one row gets."""
        bundle = self.bundle
        if not all(map(math.isfinite, answer.scores)):
            raise RefitError("the model has no finite answer for this row; its numbers are too large to calculate with")
        own = bundle.problem.answer(answer.scores, bundle.label(answer.decision), bundle.classes)
        return {**own, **self.fixed, "warnings": self.warnings(row, answer)}

    def warnings(self, row: Row, answer: Answer) -> list[str]:
        """What there is to say about a row that is answered all the same."""
        new = self.bundle.new_levels(answer.features).values()
        return [*self.rows.warnings(row), *new, *self.timely.admit(row)]

    def predict(self, body: bytes | bytearray) -> dict[str, object]:
        """Answer a request body of one row."""
        row = self._row(self._parsed(body))
        return self.answer(row, self.bundle.predict_row(row))

    async def predict_kept(
        self, live: Live, body: bytes | bytearray, name: str | None, known: str | None
    ) -> dict[str, object]:
        """The same by what is known now (up to the entry ``known`` of the journal at least), kept before it is given.

        A request whose ``name`` was there before gets the answer that it got then.
        """
        given = self._parsed(body)
        row = self._row(given)
        id = live.name(name) or live.new_name()
        if name is not None and (before := live.before([id], [given])):
            return before[0]
        await live.current(known)
        with live.follower.lock:
            answer, seen = self.bundle.predict_row(row), live.follower.seen
        sent = {**self.answer(row, answer), "id": id}
        kept = await live.keep(predictions=[live.entry(id, given, row, answer, sent, seen)])
        if kept.again:  # the same request at the same time, or one whose answer was erased
            return live.again(live.before([id], [given]))[0]
        return sent

    def predict_batch(self, body: bytes | bytearray, name: str | None = None) -> Steps[BatchAnswers]:
        """Answer a request body of several rows, in short steps.

        Every row is read before the first is answered, so that a batch is answered as a whole or not at all.
        """
        spans = []
        for span in cut(body, self.limits.batch_rows, mib(self.limits.row_mb)):
            spans.append(span)
            yield
        rows: list[Row] = []
        sent: list[object] = []
        problems: list[Mistake] = []
        status = 503
        for i, (start, end) in enumerate(spans):
            try:
                sent.append(self._parsed(body[start:end]))
                rows.append(self._row(sent[-1]))
            except Problems as found:
                problems += in_row(i, found)
                status = min(status, found.status)
            if len(problems) >= MOST_PROBLEMS:
                break
            yield
        if problems:
            raise Problems(problems[:MOST_PROBLEMS], status)
        parts, decided, kept = [], Counts[str | None](), list[Prediction]()
        for start in range(0, len(rows), SLICE):
            part, features, seen = rows[start : start + SLICE], list[Features](), list[int]()
            for row in part:
                with self.live.follower.lock if self.live else nullcontext():
                    features.append(self.bundle.compute_row(row))
                    seen.append(self.live.follower.seen if self.live else 0)
                yield
            scored = self.bundle.predict_features(features)
            yield
            for i, (row, one) in enumerate(zip(part, scored, strict=True)):
                answer = self.answer(row, one)
                if self.live is not None:
                    answer["id"] = id = self.live.new_name() if name is None else f"{name}/{start + i}"
                    kept.append(self.live.entry(id, sent[start + i], row, one, answer, seen[i]))
                parts.append(_json(answer))
                decision = answer.get("decision")
                decided[decision if isinstance(decision, str) else None] += 1
                yield
        return BatchAnswers(b"[" + b",".join(parts) + b"]", decided, kept)

    def _parsed(self, body: bytes | bytearray) -> object:
        if crowded(body, self.rows.most_names):
            raise Problems([{"message": f"a row has {self.rows.most_names:,} fields, and this one many more names"}])
        return parsed(bytes(body))

    def _row(self, given: object) -> Row:
        row = self.rows.row(given)
        self.timely.admit(row)
        return row

    def page(self) -> str:
        """The page that people see."""
        bundle = self.bundle
        about = {**self.fixed, "package": bundle.identity}
        return page(about, bundle.kind, bundle.classes, bundle.schema, self.limits.batch_rows)


class ServiceMetrics:
    """What Prometheus scrapes. Made once per process, since metric names are global."""

    def __init__(self, registry: CollectorRegistry = REGISTRY) -> None:
        self.registry = registry
        self.requests = Counter("refit_requests", "Requests by path and status.", ["path", "status"], registry=registry)
        self.seconds = Histogram(
            "refit_request_seconds", "Seconds from the whole body to the answer.", ["path"],
            buckets=SECONDS, registry=registry,
        )  # fmt: skip
        self.decisions = Counter(
            "refit_decisions",
            "Rows answered, by decision, where answers are decisions.",
            ["decision"],
            registry=registry,
        )
        self.rows = Counter("refit_rows", "Rows answered.", registry=registry)
        self.events = Counter("refit_events", "Events taken.", ["table", "outcome"], registry=registry)

    def count(self, path: str, began: float, decided: Counts[str | None]) -> None:
        """Take note of an answered request: rows by decision (None: it has none). ``began`` is a ``perf_counter()``."""
        self.seconds.labels(path).observe(time.perf_counter() - began)
        self.requests.labels(path, "200").inc()
        self.rows.inc(decided.total())
        for decision, rows in decided.items():
            if decision is not None:
                self.decisions.labels(decision).inc(rows)


def _json(content: object) -> bytes:
    """JSON whose floats read back as the same bits."""
    return json.dumps(content, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode()


class JSON(JSONResponse):
    """An answer, or what was wrong."""

    def render(self, content: object) -> bytes:
        """The body's bytes, which may be given as they are."""
        return content if isinstance(content, bytes) else _json(content)


class Front:
    """Every request comes through here: all but batches go first, and one cut short by the end is told so."""

    def __init__(self, app: ASGIApp, turns: Turns) -> None:
        self.app = app
        self.turns = turns

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on in its turn."""
        if scope["type"] != "http":
            return await self.app(scope, receive, send)
        first = scope["path"] != "/predict_batch"
        if first:
            self.turns.begin()
        try:
            await self.app(scope, receive, send)
        except asyncio.CancelledError:
            message = "the service is leaving, and this took too long to be finished"
            with contextlib.suppress(RuntimeError):  # the answer may have begun
                await JSON({"errors": [{"message": message}]}, 503)(scope, receive, send)
        finally:
            if first:
                self.turns.end()


def build_app(metrics: ServiceMetrics, limits: Limits | None = None) -> Starlette:
    """The application, which takes on what ``limits`` allow; it answers 503 until ``app.state.served`` is a :class:`Served`.

    Its ``state`` also holds ``metrics``, ``ages``, ``load`` and ``turns``, which all requests share.
    """
    turns = Turns()
    app = Starlette(
        routes=ROUTES,
        middleware=[Middleware(Front, turns=turns)],
        exception_handlers=dict.fromkeys((Problems, HTTPException, RefitError, Exception), failed),
    )
    app.router.redirect_slashes = False
    ages = HistoryAge(lambda: app.state.served)
    metrics.registry.register(ages)
    app.state.served, app.state.metrics, app.state.ages = None, metrics, ages
    app.state.load, app.state.turns = Load(limits), turns
    return app


# What each path answers -------------------------------------------------------------------------------------


def served(request: Request) -> Served:
    """The package that answers. Raises :class:`deploy.limits.Busy` while it is still loading."""
    package: Served | None = request.app.state.served
    if package is None:
        raise Busy("the model is still loading")
    return package


async def predict(request: Request) -> Response:
    """``POST /predict``: the answer to one row."""
    load: Load = request.app.state.load
    with load.taking("/predict"):
        async with load.body(request) as body:
            began = time.perf_counter()
            package = served(request)
            if package.live is None:
                answer = package.predict(body)
            else:
                answer = await package.predict_kept(package.live, body, *_wishes(request))
    decision = answer.get("decision")
    request.app.state.metrics.count("/predict", began, Counts([decision if isinstance(decision, str) else None]))
    return JSON(answer)


async def predict_batch(request: Request) -> Response:
    """``POST /predict_batch``: the answers to several rows, or what is wrong with any of them."""
    load: Load = request.app.state.load
    turns: Turns = request.app.state.turns
    with load.taking("/predict_batch"):
        async with load.body(request) as body:
            began = time.perf_counter()
            package, (name, known) = served(request), _wishes(request)
            live = package.live
            if live is not None:
                name = live.name(name)
                if name is not None and (before := live.batch_before(name, body)) is not None:
                    return JSON(before)
                await live.current(known)
            answered = await _unless_gone(request, turns.run(package.predict_batch(body, name)))
            if live is not None:
                kept = await live.keep(predictions=answered.kept)
                if kept.again and name is not None:
                    return JSON(live.again(live.batch_before(name, body)))
    request.app.state.metrics.count("/predict_batch", began, answered.decided)
    return JSON(answered.body)


async def take_events(request: Request) -> Response:
    """``POST /events``: rows of tables that became known; all are kept, or none."""
    return await _tell(request, lambda bodies, given, name, _: bodies.events(given, name))


async def take_labels(request: Request) -> Response:
    """``POST /labels``: what became of rows that were answered; all are kept, or none."""
    return await _tell(request, lambda bodies, given, name, journal: bodies.labels(given, name, journal))


Reads = Callable[[EventBodies, list[object], str | None, Journal], Iterator[Event]]


async def _tell(request: Request, read: Reads) -> Response:
    load: Load = request.app.state.load
    turns: Turns = request.app.state.turns
    with load.taking(request.url.path):
        async with load.body(request) as body:
            live = served(request).live
            if live is None:
                raise Problems(
                    [{"message": "this service keeps no journal, so it takes no events (serving.journal)"}], 404
                )
            if not live.bodies.readers:
                raise Problems([{"message": "this package was made before packages knew what events look like; "
                                 "make another with `refit run`"}], 409)  # fmt: skip
            name = live.name(request.headers.get("idempotency-key"))
            events = await turns.run(
                _listed(body, load.limits, lambda given: read(live.bodies, given, name, live.asking))
            )
            kept = await live.keep(events=events)
    metrics: ServiceMetrics = request.app.state.metrics
    for event in events:
        metrics.events.labels(event.table, "quarantined" if event.refused else "kept").inc()
    refused = [{"row": i, "message": event.refused} for i, event in enumerate(events) if event.refused]
    again = sum(event.id in kept.again for event in events)
    return JSON({"seq": kept.seq, "stored": len(events) - again, "again": again, "quarantined": refused})


def _listed(
    body: bytes | bytearray, limits: Limits, read: Callable[[list[object]], Iterator[Event]]
) -> Steps[list[Event]]:
    """The events of a body, one or a list of them, in short steps: no more than one is parsed at a stretch."""
    given: list[object] = []
    if not body.lstrip().startswith(b"["):
        given.append(parsed(bytes(body)))
    else:
        for start, end in cut(body, limits.batch_rows, mib(limits.row_mb)):
            given.append(parsed(bytes(body[start:end])))
            yield
    events = []
    for event in read(given):
        events.append(event)
        yield
    return events


def _wishes(request: Request) -> tuple[str | None, str | None]:
    """A request's own name, and the entry of the journal that its answer is to know."""
    return request.headers.get("idempotency-key"), request.headers.get("if-known")


async def health(request: Request) -> Response:
    """``GET /healthz``: the process is alive."""
    return JSON({"status": "ok"})


async def ready(request: Request) -> Response:
    """``GET /readyz``: which package answers, and what it knows until when; 503 while none does or the process leaves."""
    package = served(request)
    if draining.begun():
        raise Busy("the service is leaving")
    about: dict[str, object] = {"package": package.bundle.identity, "history": package.timely.about()}
    if package.live is not None:
        about["journal"] = package.live.about()
    return JSON({"status": "ready", **package.fixed, **about})


async def schema(request: Request) -> Response:
    """``GET /schema``: the package's ``schema.json``."""
    return JSON(served(request).bundle.schema.to_dict())


async def openapi(request: Request) -> Response:
    """``GET /openapi.json``: the service as OpenAPI describes it."""
    return JSON(served(request).openapi)


async def start_page(request: Request) -> Response:
    """``GET /``: the page that people see."""
    return HTMLResponse(served(request).page(), headers={"Content-Security-Policy": POLICY})


async def scrape(request: Request) -> Response:
    """``GET /metrics``: what Prometheus reads."""
    state = request.app.state
    return Response(_scrape(state.metrics.registry, state.ages), media_type=CONTENT_TYPE_LATEST)


async def failed(request: Request, error: Exception) -> Response:
    """What a request gets that raised ``error``: ``{"errors": [{"message", ...}]}``, with the status that fits."""
    if isinstance(error, Problems):
        status, errors = error.status, error.errors
    elif isinstance(error, HTTPException):
        status, errors = error.status_code, [{"message": str(error.detail)}]
    elif isinstance(error, RefitError):  # a row that passed the schema, and that the plan cannot take
        status, errors = 422, [{"message": str(error)}]
    else:  # Starlette raises it again after the answer, so that the log has it
        status, errors = 500, [{"message": "an error inside the service; its log says more"}]
    state = request.app.state
    path = request.url.path if request.url.path in state.load.most else "other"
    state.metrics.requests.labels(path, str(status)).inc()
    headers = dict(getattr(error, "headers", None) or {})
    if status in UNREAD:
        headers["Connection"] = "close"
    return JSON({"errors": errors}, status_code=status, headers=headers)


ROUTES = [
    Route("/", start_page, methods=["GET"]),
    Route("/predict", predict, methods=["POST"]),
    Route("/predict_batch", predict_batch, methods=["POST"]),
    Route("/events", take_events, methods=["POST"]),
    Route("/labels", take_labels, methods=["POST"]),
    Route("/healthz", health, methods=["GET"]),
    Route("/livez", health, methods=["GET"]),  # as BentoML calls it
    Route("/readyz", ready, methods=["GET"]),
    Route("/schema", schema, methods=["GET"]),
    Route("/openapi.json", openapi, methods=["GET"]),
    Route("/metrics", scrape, methods=["GET"]),
]


async def _unless_gone(request: Request, work: Awaitable[T]) -> T:
    """What the work gives; where the client goes away first, it is given up."""

    async def gone() -> None:
        while (await request.receive())["type"] != "http.disconnect":
            pass

    doing, waiting = asyncio.ensure_future(work), asyncio.ensure_future(gone())
    try:
        await asyncio.wait({doing, waiting}, return_when=asyncio.FIRST_COMPLETED)
        if not doing.done():
            raise Problems([{"message": "the client went away"}], 400)
        return doing.result()
    finally:
        doing.cancel()
        waiting.cancel()


def _scrape(registry: CollectorRegistry, ages: HistoryAge) -> bytes:
    """Metrics of this process, or of all workers where there are several."""
    import os

    if "PROMETHEUS_MULTIPROC_DIR" in os.environ:
        from prometheus_client import multiprocess

        registry = CollectorRegistry()
        multiprocess.MultiProcessCollector(registry)
        registry.register(ages)
    return generate_latest(registry)
