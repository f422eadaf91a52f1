"""The web application around one package: Starlette, one parse and one prediction per request.

Nothing here knows BentoML; ``deploy/service.py`` mounts it. Every answer, errors too, is a JSON object
(but for ``/metrics``).
"""

from __future__ import annotations

import asyncio
import json
import math
import time
from typing import Any

from prometheus_client import CONTENT_TYPE_LATEST, REGISTRY, CollectorRegistry, Counter, Histogram, generate_latest
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from deploy.openapi import describe
from deploy.rows import Problems, Rows
from deploy.timely import HistoryAge, Timely
from tasks.bundle import Answer, Bundle
from tasks.errors import RefitError

MOST_ROWS = 1_000  # in one batch
SLICE = 32  # rows answered at a stretch; no fewer than a package's golden rows, which are compared as one batch
MOST_BYTES = {"/predict": 1 << 20, "/predict_batch": 64 << 20}  # of a request's body
PATIENCE = 15.0  # seconds to wait for a request's body
PATHS = frozenset({*MOST_BYTES, "/healthz", "/readyz", "/schema", "/openapi.json", "/metrics"})
SECONDS = (0.0005, 0.001, 0.002, 0.003, 0.005, 0.0075, 0.01, 0.025, 0.05, 0.1, 0.25, 1, 5)


class Served:
    """A package that answers requests: the bundle with its online state, and how to read a row."""

    def __init__(self, bundle: Bundle, version: str, timely: Timely | None = None) -> None:
        self.bundle = bundle.start()
        self.timely = timely or Timely(bundle)
        self.version = version
        self.rows = Rows(bundle.schema, MOST_ROWS)
        self.fixed: dict[str, Any] = {"model": bundle.name, "version": version}
        if bundle.kind == "binary":
            self.fixed["threshold"] = bundle.threshold
        self.openapi = describe(self.rows, bundle, version, MOST_ROWS)

    def answer(self, row: dict[str, Any], answer: Answer) -> dict[str, Any]:
        """The JSON object that one row gets."""
        bundle = self.bundle
        out: dict[str, Any]
        if not all(map(math.isfinite, answer.scores)):
            raise RefitError("the model has no finite answer for this row; its numbers are too large to calculate with")
        if bundle.kind == "regression":
            out = {"prediction": answer.scores[0]}
        elif bundle.kind == "binary":
            out = {"probability": answer.scores[1], "decision": bundle.label(answer.decision)}
        else:
            out = {
                "probabilities": dict(zip(bundle.classes, answer.scores, strict=True)),
                "decision": bundle.label(answer.decision),
            }
        return {**out, **self.fixed, "warnings": [*self.rows.warnings(row), *self.timely.admit(row)]}

    def predict(self, body: bytes) -> dict[str, Any]:
        """Answer a request body of one row."""
        row = self.rows.one(body)
        self.timely.admit(row)
        return self.answer(row, self.bundle.predict_row(row))

    async def predict_batch(self, body: bytes) -> list[dict[str, Any]]:
        """Answer a request body of several rows; other requests get their turn between slices."""
        rows = self.rows.many(body)
        for position, row in enumerate(rows):
            try:
                self.timely.admit(row)
            except Problems as found:
                raise Problems(
                    [{**e, "row": position, "message": f"row {position}: {e['message']}"} for e in found.errors],
                    found.status,
                ) from None
        answers: list[dict[str, Any]] = []
        for start in range(0, len(rows), SLICE):
            part = rows[start : start + SLICE]
            answers += [self.answer(r, a) for r, a in zip(part, self.bundle.predict_rows(part), strict=True)]
            await asyncio.sleep(0)
        return answers


class Metrics:
    """What Prometheus scrapes. Made once per process, since metric names are global."""

    def __init__(self, registry: CollectorRegistry = REGISTRY) -> None:
        self.registry = registry
        self.requests = Counter("refit_requests", "Requests by path and status.", ["path", "status"], registry=registry)
        self.seconds = Histogram(
            "refit_request_seconds", "Seconds from the whole body to the answer.", ["path"],
            buckets=SECONDS, registry=registry,
        )  # fmt: skip
        self.decisions = Counter(
            "refit_decisions", "Rows answered, by decision (not for regression).", ["decision"], registry=registry
        )
        self.rows = Counter("refit_rows", "Rows answered.", registry=registry)

    def count(self, path: str, began: float, answers: list[dict[str, Any]]) -> None:
        """Take note of an answered request; ``began`` is from ``time.perf_counter()``."""
        self.seconds.labels(path).observe(time.perf_counter() - began)
        self.requests.labels(path, "200").inc()
        self.rows.inc(len(answers))
        for answer in answers:
            if "decision" in answer:
                self.decisions.labels(answer["decision"]).inc()


async def _body(request: Request) -> bytes:
    """The request's body, no longer than allowed and no slower than patience. Raises :class:`Problems`."""
    kind = request.headers.get("content-type", "application/json").split(";")[0].strip().lower()
    if not (kind in ("application/json", "") or kind.endswith("+json")):
        raise Problems([{"message": f"the content type must be application/json, found {kind[:80]!r}"}], 415)
    most = MOST_BYTES[request.url.path]
    chunks, size = [], 0
    try:
        async with asyncio.timeout(PATIENCE):
            async for chunk in request.stream():
                size += len(chunk)
                if size > most:
                    message = f"the body is larger than {most >> 20} MiB; send smaller requests"
                    raise Problems([{"message": message}], 413)
                chunks.append(chunk)
    except TimeoutError:
        raise Problems([{"message": f"the body did not arrive within {PATIENCE:g} s"}], 408) from None
    except ClientDisconnect:
        raise Problems([{"message": "the client went away"}], 400) from None
    return b"".join(chunks)


class JSON(JSONResponse):
    """JSON whose floats read back as the same bits."""

    def render(self, content: Any) -> bytes:
        return json.dumps(content, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode()


def build_app(metrics: Metrics) -> Starlette:
    """The application; it answers 503 until ``app.state.served`` is a :class:`Served`."""
    app = Starlette()
    app.state.served = None
    ages = HistoryAge(lambda: app.state.served)
    metrics.registry.register(ages)

    def served() -> Served:
        found: Served | None = app.state.served
        if found is None:
            raise Problems([{"message": "the model is still loading"}], 503)
        return found

    async def predict(request: Request) -> Response:
        body = await _body(request)
        began = time.perf_counter()
        answer = served().predict(body)
        metrics.count("/predict", began, [answer])
        return JSON(answer)

    async def predict_batch(request: Request) -> Response:
        body = await _body(request)
        began = time.perf_counter()
        answers = await served().predict_batch(body)
        metrics.count("/predict_batch", began, answers)
        return JSON(answers)

    async def health(request: Request) -> Response:
        return JSON({"status": "ok"})

    async def ready(request: Request) -> Response:
        it = served()
        return JSON({"status": "ready", **it.fixed, "package": it.bundle.identity, "history": it.timely.about()})

    async def schema(request: Request) -> Response:
        return JSON(served().bundle.schema)

    async def openapi(request: Request) -> Response:
        return JSON(served().openapi)

    async def scrape(request: Request) -> Response:
        return Response(_scrape(metrics.registry, ages), media_type=CONTENT_TYPE_LATEST)

    def failed(request: Request, error: Exception) -> Response:
        if isinstance(error, Problems):
            status, errors = error.status, error.errors
        elif isinstance(error, HTTPException):
            status, errors = error.status_code, [{"message": str(error.detail)}]
        else:  # a row that passed the schema, and that the plan cannot take
            status, errors = 422, [{"message": str(error)}]
        path = request.url.path if request.url.path in MOST_BYTES else "other"
        metrics.requests.labels(path, str(status)).inc()
        headers = getattr(error, "headers", None)
        return JSON({"errors": errors}, status_code=status, headers=headers)

    for exception in (Problems, HTTPException, RefitError):
        app.add_exception_handler(exception, failed)
    for path, handler, method in [
        ("/predict", predict, "POST"),
        ("/predict_batch", predict_batch, "POST"),
        ("/healthz", health, "GET"),
        ("/readyz", ready, "GET"),
        ("/schema", schema, "GET"),
        ("/openapi.json", openapi, "GET"),
        ("/metrics", scrape, "GET"),
    ]:
        app.router.routes.append(Route(path, handler, methods=[method]))
    return app


def _scrape(registry: CollectorRegistry, ages: HistoryAge) -> bytes:
    """Metrics of this process, or of all workers where there are several."""
    import os

    if "PROMETHEUS_MULTIPROC_DIR" in os.environ:
        from prometheus_client import multiprocess

        registry = CollectorRegistry()
        multiprocess.MultiProcessCollector(registry)
        registry.register(ages)
    return generate_latest(registry)
