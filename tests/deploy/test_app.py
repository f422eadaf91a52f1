"""Requests in process: what is answered, what is refused, and that nothing gives a 5xx."""

from __future__ import annotations

import asyncio
import json
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry

from deploy import app as application
from deploy.check import Asked, compare, refuse
from tasks.files import read_json
from tasks.package import golden
from tests.deploy.conftest import TestClient, in_process
from tests.samples import KINDS
from tests.tasks.package.projects import TIMED


def asker(client: TestClient) -> Any:
    def ask(path: str, body: bytes) -> Asked:
        answer = client.post(path, content=body, headers={"Content-Type": "application/json"})
        return answer.status_code, answer.json()

    return ask


@pytest.fixture(scope="module")
def row(packages: dict[str, Path]) -> dict[str, Any]:
    return dict(read_json(packages[TIMED] / "golden.json")["rows"][0]["input"])


@pytest.mark.parametrize("kind", [*KINDS, TIMED])
def test_golden_rows_to_the_last_bit(packages: dict[str, Path], kind: str) -> None:
    path = packages[kind]
    with in_process(path) as client:
        compare(read_json(path / "bundle.json"), read_json(path / "golden.json"), asker(client))
        assert refuse(read_json(path / "golden.json"), read_json(path / "schema.json"), asker(client)) > 5


def test_answer_of_a_binary_problem(client: TestClient, row: dict[str, Any]) -> None:
    answer = client.post("/predict", json=row).json()
    assert set(answer) == {"probability", "decision", "threshold", "model", "version", "warnings"}
    assert (answer["model"], answer["version"], answer["threshold"], answer["warnings"]) == (
        "orders-late",
        "7",
        0.4,
        [],
    )
    assert answer["decision"] == ("1" if answer["probability"] >= 0.4 else "0")


def test_answers_of_other_kinds(packages: dict[str, Path]) -> None:
    for kind, keys in (("multiclass", {"probabilities", "decision"}), ("regression", {"prediction"})):
        row = read_json(packages[kind] / "golden.json")["rows"][0]["input"]
        with in_process(packages[kind]) as client:
            answer = client.post("/predict", json=row).json()
        assert set(answer) == keys | {"model", "version", "warnings"}
        if kind == "multiclass":
            assert sum(answer["probabilities"].values()) == pytest.approx(1)


def test_unseen_categories_and_bounds_are_served_with_a_warning(packages: dict[str, Path], client: TestClient) -> None:
    row = read_json(packages["binary"] / "golden.json")["rows"][0]["input"]
    with in_process(packages["binary"]) as binary:
        unseen = binary.post("/predict", json={**row, "band": "middling"}).json()
        missing = binary.post("/predict", json={**row, "band": None}).json()
    assert unseen["probability"] == missing["probability"]
    assert unseen["warnings"] == ["'band': 'middling' is not one of 'high', 'low'; it counts as missing"]
    row = read_json(packages[TIMED] / "golden.json")["rows"][0]["input"]
    far = client.post("/predict", json={**row, "weight": 1e6, "shop": "new shop"})
    assert far.status_code == 200
    assert far.json()["warnings"] == ["'weight': 1e+06 is above 100, the most that training rows may have"]


def test_a_category_is_the_same_level_however_it_is_written(client: TestClient, row: dict[str, Any]) -> None:
    def answers(*values: Any) -> list[Any]:
        return client.post("/predict_batch", json=[{**row, "shop": value} for value in values]).json()

    known = row["shop"]
    for same in (answers(known, f" {known} "), answers(5, 5.0, "5", "5.0", " 5 "), answers(True, "true", "TRUE")):
        assert all(answer == same[0] for answer in same)


@pytest.mark.parametrize(
    ("change", "field", "said"),
    [
        ({"weight": "3"}, "weight", "must be a finite number or null, found '3'"),
        ({"weight": True}, "weight", "must be a finite number"),
        ({"wieght": 3}, "wieght", "Did you mean 'weight'?"),
        ({"gift": None}, "gift", "must be true or false, found null"),
        ({"gift": 1}, "gift", "must be true or false, found 1"),
        ({"shop": [5]}, "shop", "must be a string of at most 1,000 characters, or a number, or true or false"),
        ({"shop": "x" * 1001}, "shop", "at most 1,000 characters"),
        ({"placed_at": "yesterday"}, "placed_at", "must be an ISO 8601 time"),
        ({"placed_at": 1700000000}, "placed_at", "must be an ISO 8601 time"),
        ({"placed_at": "0001-01-01T00:00:00+14:00"}, "placed_at", "1900 to 2199"),
        ({"placed_at": "9999-12-31T23:59:59-14:00"}, "placed_at", "1900 to 2199"),
        ({"placed_at": "2024-02-30T00:00:00Z"}, "placed_at", "must be an ISO 8601 time"),
    ],
)
def test_malformed_field_is_named(
    client: TestClient, row: dict[str, Any], change: dict[str, Any], field: str, said: str
) -> None:
    alone = client.post("/predict", json={**row, **change})
    assert alone.status_code == 422
    (error,) = alone.json()["errors"]
    assert error["field"] == field
    assert said in error["message"]
    batch = client.post("/predict_batch", json=[row, {**row, **change}])
    assert batch.status_code == 422
    assert batch.json()["errors"][0] | {"message": ""} == {"field": field, "row": 1, "message": ""}


@pytest.mark.parametrize(
    ("body", "status", "said"),
    [
        (b"", 400, "not valid UTF-8 JSON"),
        (b'{"shop": "\xff"}', 400, "not valid UTF-8 JSON"),
        (b'{"shop": "\\ud800"}', 400, "not valid UTF-8 JSON"),
        (b"[" * 100_000, 400, "not valid UTF-8 JSON"),
        (b"null", 422, "a row is a JSON object"),
        (b"[]", 422, "a row is a JSON object"),
        (b"3", 422, "a row is a JSON object"),
        (b" " * (1 << 20) + b"{}", 413, "larger than 1 MiB"),
    ],
)
def test_malformed_body(client: TestClient, body: bytes, status: int, said: str) -> None:
    answer = client.post("/predict", content=body)
    assert (answer.status_code, said in answer.text) == (status, True), answer.text


@pytest.mark.parametrize("number", [b"NaN", b"Infinity", b"-Infinity", b"1e999", b"1" * 4000])
def test_numbers_that_are_none(client: TestClient, row: dict[str, Any], number: bytes) -> None:
    body = json.dumps({**row, "weight": 0.125}).encode().replace(b"0.125", number)
    answer = client.post("/predict", content=body)
    assert answer.status_code in (400, 422)
    assert "weight" in answer.text or "JSON" in answer.text


def test_golden_rows_are_answered_at_one_stretch() -> None:
    """Their scores as a batch are compared to the last bit, so they must go through the model together."""
    assert application.SLICE >= golden.ROWS


def test_batches(client: TestClient, row: dict[str, Any]) -> None:
    alone = client.post("/predict", json=row).json()
    many = client.post("/predict_batch", json=[row] * 100).json()
    assert len(many) == 100
    assert all(answer == alone for answer in many)
    assert "the batch is empty" in client.post("/predict_batch", json=[]).text
    assert "at most 1,000 rows" in client.post("/predict_batch", json=[row] * 1001).text
    assert "a JSON list of rows" in client.post("/predict_batch", json=row).text
    assert client.post("/predict_batch", json=[row, 3]).json()["errors"][0]["row"] == 1


def test_content_type_and_method(client: TestClient, row: dict[str, Any]) -> None:
    assert client.post("/predict", data=row).status_code == 415
    assert client.post("/predict", content=json.dumps(row)).status_code == 200
    assert client.get("/predict").status_code == 405
    assert client.get("/nowhere").json() == {"errors": [{"message": "Not Found"}]}


def test_a_body_that_does_not_come(packages: dict[str, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(application, "PATIENCE", 0.05)
    client = in_process(packages["binary"])
    sent: list[Any] = []

    async def receive() -> Any:
        await asyncio.sleep(10)

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {"type": "http", "method": "POST", "path": "/predict", "headers": [], "query_string": b""}
    asyncio.run(client.app(scope, receive, send))  # type: ignore[arg-type]
    assert sent[0]["status"] == 408


def test_health_schema_and_metrics(client: TestClient, row: dict[str, Any], packages: dict[str, Path]) -> None:
    assert client.get("/healthz").json() == {"status": "ok"}
    ready = client.get("/readyz").json()
    assert (ready["model"], ready["version"], len(ready["package"])) == ("orders-late", "7", 64)
    assert client.get("/schema").json() == read_json(packages[TIMED] / "schema.json")
    client.post("/predict", json=row)
    client.post("/predict", json={})
    text = client.get("/metrics").text
    assert 'refit_requests_total{path="/predict",status="200"}' in text
    assert 'refit_requests_total{path="/predict",status="422"}' in text
    assert 'refit_request_seconds_bucket{le="0.001",path="/predict"}' in text
    assert "refit_decisions_total{decision=" in text


def test_not_ready_before_the_model_is_loaded() -> None:
    app = application.build_app(application.Metrics(CollectorRegistry()))
    with TestClient(app) as empty:
        assert empty.get("/readyz").status_code == 503
        assert empty.get("/healthz").status_code == 200


anything = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text() | st.datetimes().map(str),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_nothing_gives_a_5xx(client: TestClient, row: dict[str, Any], data: st.DataObject) -> None:
    """Rows with fields replaced, dropped and added, whole documents, and bytes; on both endpoints."""
    changed = {
        **{k: v for k, v in row.items() if data.draw(st.integers(0, 9)) > 0},
        **data.draw(st.dictionaries(st.sampled_from(list(row)) | st.text(), anything, max_size=3)),
    }
    document = data.draw(st.sampled_from([changed, [changed], [row, changed]]) | anything)
    body = data.draw(st.just(json.dumps(document).encode("utf-8")) | st.binary(max_size=60))
    for path in ("/predict", "/predict_batch"):
        answer = client.post(path, content=body)
        assert answer.status_code in (200, 400, 413, 422), answer.text
        if answer.status_code != 200:
            assert all(error["message"] for error in answer.json()["errors"])


def test_its_own_openapi_holds(packages: dict[str, Path]) -> None:
    """schemathesis sends what the description allows and forbids: answers conform, and none is a 5xx."""
    client = in_process(packages[TIMED])
    # The description says in words which years are served; JSON Schema's date-time has no bounds.
    years = st.datetimes(datetime(1900, 1, 1), datetime(2199, 12, 31))
    schemathesis.openapi.format("date-time", years.map(lambda moment: moment.isoformat() + "Z"))
    schema = schemathesis.openapi.from_asgi("/openapi.json", client.app)

    for result in schema.get_all_operations():

        @settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck), database=None)
        @given(case=result.ok().as_strategy())
        def holds(case: Any) -> None:
            case.call_and_validate()

        holds()
