"""The application's own rules: who goes first, what a batch does step by step, what is counted, and how an error ends."""

from __future__ import annotations

import asyncio
import json
import math
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from prometheus_client import CollectorRegistry
from starlette.exceptions import HTTPException
from starlette.requests import Request

from deploy import app as application
from deploy.app import Front, Served, ServiceMetrics, _scrape, _unless_gone, build_app
from deploy.openapi import describe
from deploy.rows import Problems
from deploy.timely import HistoryAge, Timely
from deploy.turns import Turns
from tasks.bundle import Answer, Bundle
from tasks.errors import RefitError
from tasks.files import read_json
from tasks.kinds import find_kind
from tests.deploy.conftest import TestClient, in_process
from tests.tasks.package.projects import TIMED


@pytest.fixture(scope="module")
def served(packages: dict[str, Path]) -> Served:
    """The package with time; a row for which a table is too old is refused with 503."""
    bundle = Bundle.to_serve(packages[TIMED])
    return Served(bundle, "7", Timely(bundle, refuse=True))


@pytest.fixture(scope="module")
def row(packages: dict[str, Path]) -> dict[str, Any]:
    return dict(read_json(packages[TIMED] / "golden.json")["rows"][0]["input"])


def ended(steps: Iterator[None]) -> tuple[int, Any]:
    """How many steps it took, and what came out."""
    number = 0
    while True:
        try:
            next(steps)
        except StopIteration as done:
            return number, done.value
        number += 1


# One row, and several ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("rows", [1, 32, 33, 70])
def test_a_batch_is_read_computed_and_scored_in_steps_of_one_row_and_of_32(
    served: Served, row: dict[str, Any], rows: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    scored: list[int] = []
    predict = served.bundle.predict_features

    def counted(features: list[Any]) -> Any:
        scored.append(len(features))
        return predict(features)

    monkeypatch.setattr(served.bundle, "predict_features", counted)
    steps, (body, decided, _) = ended(served.predict_batch(json.dumps([row] * rows).encode()))
    assert scored == [32] * (rows // 32) + [rows % 32] * (rows % 32 > 0)
    assert steps == 4 * rows + len(scored), "to cut, read, compute and answer each row, and to score each slice"
    assert json.loads(body) == [served.predict(json.dumps(row).encode())] * rows
    assert decided == Counter({json.loads(body)[0]["decision"]: rows})


@pytest.mark.parametrize(
    ("wrong", "status", "places"),
    [  # what is wrong with each row ("": nothing; w: its weight; l: it is too late, and would be 503)
        ("-w", 422, [1]), ("l-", 503, [0]), ("ll", 503, [0, 1]), ("lw", 422, [0, 1]), ("wl", 422, [0, 1]),
        ("-" + "w" * 19, 422, list(range(1, 20))), ("w" * 30, 422, list(range(20))), ("w" * 20 + "l", 422, list(range(20))),
    ],
)  # fmt: skip
def test_a_batch_is_refused_as_a_whole_with_twenty_reasons_at_most_and_the_mildest_status(
    served: Served, row: dict[str, Any], wrong: str, status: int, places: list[int]
) -> None:
    other = {"-": {}, "w": {"weight": "x"}, "l": {"placed_at": "2024-04-01T00:00:00Z"}}
    with pytest.raises(Problems) as found:
        ended(served.predict_batch(json.dumps([{**row, **other[sign]} for sign in wrong]).encode()))
    assert found.value.status == status
    assert [error["row"] for error in found.value.errors] == places


@pytest.mark.parametrize("score", [math.nan, math.inf, -math.inf])
def test_an_answer_that_is_no_number_is_none(served: Served, row: dict[str, Any], score: float) -> None:
    with pytest.raises(RefitError, match="the model has no finite answer for this row"):
        served.answer(row, Answer({}, [1.0, score], 1))


# What is counted ---------------------------------------------------------------------------------------------------


def test_requests_rows_decisions_and_seconds_are_counted() -> None:
    registry = CollectorRegistry()
    metrics = ServiceMetrics(registry)
    metrics.count("/predict_batch", time.perf_counter(), Counter({"yes": 3, "no": 1}))
    metrics.count("/predict", time.perf_counter(), Counter({None: 1}))
    value = registry.get_sample_value
    assert [value("refit_decisions_total", {"decision": d}) for d in ("yes", "no", "None")] == [3.0, 1.0, None]
    assert value("refit_rows_total") == 5.0
    for path in ("/predict_batch", "/predict"):
        assert value("refit_requests_total", {"path": path, "status": "200"}) == 1.0
        assert value("refit_request_seconds_count", {"path": path}) == 1.0
        assert 0 <= value("refit_request_seconds_sum", {"path": path}) < 60  # type: ignore[operator]
    bounds = [s.labels["le"] for m in registry.collect() for s in m.samples
              if s.name.endswith("_bucket") and s.labels["path"] == "/predict"]  # fmt: skip
    assert bounds == ["0.0005", "0.001", "0.002", "0.003", "0.005", "0.0075", "0.01", "0.025", "0.05", "0.1", "0.25",
                      "1.0", "5.0", "+Inf"]  # fmt: skip


def test_metrics_of_several_workers_are_read_from_their_files(
    served: Served, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own, ages = CollectorRegistry(), HistoryAge(lambda: served)
    ServiceMetrics(own).rows.inc(2)
    assert b"refit_rows_total 2.0" in _scrape(own, ages)
    monkeypatch.setenv("PROMETHEUS_MULTIPROC_DIR", str(tmp_path))
    several = _scrape(own, ages)
    assert b"refit_rows_total" not in several
    assert several.count(b'refit_history_age_seconds{table="orders"}') == 1


def test_answers_and_refusals_are_counted_by_path_and_status(packages: dict[str, Path], row: dict[str, Any]) -> None:
    with in_process(packages[TIMED]) as client:
        for path in ("/predict", "/nowhere", "/predict_batch", "/else", "/schema"):
            client.post(path, json=[row, row, row] if path == "/predict_batch" else row)
        text = client.get("/metrics").text
    lines = [line for line in text.splitlines() if line.startswith(("refit_requests_total{", "refit_rows_total"))]
    assert sorted(lines) == [
        'refit_requests_total{path="/predict",status="200"} 1.0',
        'refit_requests_total{path="/predict_batch",status="200"} 1.0',
        'refit_requests_total{path="other",status="404"} 2.0',
        'refit_requests_total{path="other",status="405"} 1.0',
        "refit_rows_total 4.0",
    ]


# Who goes first ------------------------------------------------------------------------------------------------


class Counted(Turns):
    """Turns that say who began and ended."""

    def __init__(self) -> None:
        super().__init__()
        self.said: list[str] = []

    def begin(self) -> None:
        self.said.append("begin")
        super().begin()

    def end(self) -> None:
        self.said.append("end")
        super().end()


def through(inner: Any, path: str = "/predict", kind: str = "http") -> tuple[list[str], list[Any]]:
    """What the turns were told, and what was sent, for a request that comes through the front."""
    turns, sent = Counted(), []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        turns.said.append("app")
        await inner(send)

    async def send(message: Any) -> None:
        if sent and message["type"] == sent[-1]["type"] == "http.response.start":
            raise RuntimeError("the answer has begun")
        sent.append(message)

    async def ask() -> None:
        await Front(app, turns)({"type": kind, "path": path}, None, send)  # type: ignore[arg-type]

    asyncio.run(ask())
    return turns.said, sent


async def nothing(send: Any) -> None:
    pass


@pytest.mark.parametrize(
    ("path", "kind", "said"),
    [
        ("/predict", "http", ["begin", "app", "end"]),
        ("/healthz", "http", ["begin", "app", "end"]),
        ("/predict_batch", "http", ["app"]),
        ("/predict", "lifespan", ["app"]),
    ],
)
def test_all_but_batches_go_first(path: str, kind: str, said: list[str]) -> None:
    assert through(nothing, path, kind) == (said, [])


def test_a_request_that_the_end_cuts_short_is_told_so_unless_its_answer_has_begun() -> None:
    async def cut(send: Any) -> None:
        raise asyncio.CancelledError

    async def cut_late(send: Any) -> None:
        await send({"type": "http.response.start", "status": 200})
        raise asyncio.CancelledError

    said, (start, body) = through(cut)
    assert said == ["begin", "app", "end"]
    assert start["status"] == 503
    assert json.loads(body["body"]) == {
        "errors": [{"message": "the service is leaving, and this took too long to be finished"}]
    }
    assert through(cut_late)[1] == [{"type": "http.response.start", "status": 200}]


def test_who_goes_first_has_ended_after_an_error_too() -> None:
    turns = Counted()

    async def broken(scope: Any, receive: Any, send: Any) -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        asyncio.run(Front(broken, turns)({"type": "http", "path": "/predict"}, None, None))  # type: ignore[arg-type]
    assert turns.said == ["begin", "end"]


# A client that goes away, and errors -------------------------------------------------------------------------


def watched(messages: list[str], work: Any) -> Any:
    """The result of work for a client that sends these messages and then waits; and what became of the work."""
    became: list[str] = []

    async def receive() -> Any:
        if messages:
            return {"type": messages.pop(0)}
        await asyncio.Event().wait()

    async def working() -> Any:
        try:
            return await work()
        except asyncio.CancelledError:
            became.append("given up")
            raise

    async def ask() -> Any:
        try:
            return await _unless_gone(Request({"type": "http"}, receive), working())
        except Problems as found:
            await asyncio.sleep(0)
            return found, became

    return asyncio.run(ask())


def test_work_is_given_up_where_the_client_goes_away_first() -> None:
    async def quick() -> int:
        return 5

    async def slow() -> None:
        await asyncio.Event().wait()

    async def broken() -> None:
        raise ValueError("as it is")

    assert watched([], quick) == 5
    assert watched(["http.request"], quick) == 5
    found, became = watched(["http.request", "http.disconnect"], slow)
    assert (found.status, found.errors, became) == (400, [{"message": "the client went away"}], ["given up"])
    with pytest.raises(ValueError, match="as it is"):
        watched([], broken)


@pytest.mark.parametrize(
    ("error", "status", "said", "closed"),
    [
        (Problems([{"message": "wrong"}]), 422, "wrong", False),
        (Problems([{"message": "too long"}], 413), 413, "too long", True),
        (Problems([{"message": "too slow"}], 408), 408, "too slow", True),
        (HTTPException(418, "a teapot"), 418, "a teapot", False),
        (RefitError("no moment"), 422, "no moment", False),
        (KeyError("a secret"), 500, "an error inside the service; its log says more", False),
    ],
)
def test_every_error_is_a_document_and_a_body_that_may_not_be_read_ends_the_connection(
    error: Exception, status: int, said: str, closed: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    app = build_app(ServiceMetrics(CollectorRegistry()))

    class Broken:
        def page(self) -> str:
            raise error

    app.state.served = Broken()
    with TestClient(app, raise_server_exceptions=False) as client:
        answer = client.get("/")
        assert (answer.status_code, answer.json()) == (status, {"errors": [{"message": said}]})
        assert (answer.headers.get("connection") == "close") == closed
        assert client.get("/livez").json() == {"status": "ok"}


def test_until_the_model_is_there_the_service_asks_for_patience() -> None:
    with TestClient(build_app(ServiceMetrics(CollectorRegistry()))) as client:
        for path in ("/", "/readyz", "/schema", "/openapi.json"):
            answer = client.get(path)
            assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")
            assert answer.json()["errors"][0]["message"] == "the model is still loading; ask again in 1 s"
        assert "refit_history_age_seconds{" not in client.get("/metrics").text
    assert application.SLICE == 32


@pytest.mark.parametrize(
    ("kind", "classes", "wanted"),
    [
        ("regression", (), {"prediction": {"type": "number"}}),
        ("binary", ("no", "yes"), {
            "probability": {"type": "number", "minimum": 0, "maximum": 1, "description": "of class 'yes'"},
            "decision": {"type": "string", "enum": ["no", "yes"]}, "threshold": {"type": "number", "minimum": 0, "maximum": 1}}),
        ("multiclass", ("a", "b"), {
            "probabilities": {"type": "object", "required": ["a", "b"],
                              "additionalProperties": {"type": "number", "minimum": 0, "maximum": 1}},
            "decision": {"type": "string", "enum": ["a", "b"]}}),
    ],
)  # fmt: skip
def test_an_answer_is_described_as_it_is_given(
    served: Served, kind: str, classes: tuple[str, ...], wanted: dict[str, Any]
) -> None:
    bundle: Any = SimpleNamespace(
        kind=kind, problem=find_kind(kind), classes=classes, name="m", horizon=served.bundle.horizon
    )
    told = describe(served.rows, bundle, "7", 1234)
    answer = told["components"]["schemas"]["Answer"]
    assert {name: answer["properties"][name] for name in wanted} == wanted
    assert set(answer["properties"]) == {*wanted, "model", "version", "warnings"}
    assert (answer["required"], answer["additionalProperties"]) == (list(answer["properties"]), False)
    batch = told["paths"]["/predict_batch"]["post"]
    body = batch["requestBody"]["content"]["application/json"]["schema"]
    assert (body["minItems"], body["maxItems"], batch["summary"]) == (1, 1234, "Predict up to 1,234 rows")
    assert all(
        told["paths"][path]["post"]["requestBody"]["required"] is True for path in ("/predict", "/predict_batch")
    )
    assert set(batch["responses"]) == {"200", "400", "408", "413", "415", "422", "503"}
    said = (
        f"Predictions of the model 'm' ({kind}), one row or a batch. Rows whose time is 2024-02-18T18:06:32Z or later"
    )
    assert told["info"]["description"].startswith(said)
