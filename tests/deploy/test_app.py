"""Requests in process: what is answered, what is refused, and that nothing gives a 5xx."""

from __future__ import annotations

import asyncio
import json
import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry

from deploy import app as application
from deploy.check import Asked, compare, refuse, refuse_early
from tasks.artifacts import Golden, Manifest, Schema
from tasks.errors import RefitError
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
        about, golden_rows, schema = Manifest.read(path), Golden.read(path).rows, Schema.read(path)
        compare(about, golden_rows, asker(client))
        assert refuse(golden_rows, schema, asker(client)) > 5
        assert refuse_early(about, golden_rows, schema, asker(client)) == (kind == TIMED)


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
        known = [binary.post("/predict", json={**row, "band": band}).json()["probability"] for band in ("high", "low")]
    assert min(known) <= unseen["probability"] <= max(known)
    assert unseen["warnings"] == [
        "'band': 'middling' is not one of 'high', 'low'",
        "'band': 'middling' was in no training row, so the model knows nothing of it",
    ]
    row = read_json(packages[TIMED] / "golden.json")["rows"][0]["input"]
    far = client.post("/predict", json={**row, "weight": 1e6, "shop": "new shop"})
    assert far.status_code == 200
    assert far.json()["warnings"] == [
        "'weight': 1e+06 is above 100, the most that training rows may have",
        "'shop': 'new shop' was in no training row, so the model knows nothing of it",
    ]


def test_a_category_is_the_same_level_however_it_is_written(client: TestClient, row: dict[str, Any]) -> None:
    def answers(*values: Any) -> list[Any]:
        return client.post("/predict_batch", json=[{**row, "shop": value} for value in values]).json()

    known = row["shop"]
    for same in (answers(known, f" {known} "), answers(5, 5.0, "5", "5.0", " 5 "), answers(True, "true", "TRUE")):
        assert all(answer == same[0] for answer in same)


@pytest.mark.parametrize(
    ("given", "usual"),
    [
        ({"weight": " 3.50 "}, {"weight": 3.5}),
        ({"weight": "NA"}, {"weight": None}),
        ({"gift": "YES"}, {"gift": True}),
        ({"gift": 0}, {"gift": False}),
        ({"placed_at": "2024-02-19"}, {"placed_at": "2024-02-19T00:00:00Z"}),
        ({"delay": "what is not known yet", "arrived_at": 7}, {}),  # of the table, and of no feature
    ],
)
def test_a_value_is_read_as_in_a_file(
    client: TestClient, row: dict[str, Any], given: dict[str, Any], usual: dict[str, Any]
) -> None:
    found, wanted = (client.post("/predict", json={**row, **change}) for change in (given, usual))
    assert found.status_code == 200
    assert found.json() == wanted.json()


def test_a_category_may_be_as_long_as_in_training(client: TestClient, row: dict[str, Any]) -> None:
    answer = client.post("/predict", json={**row, "shop": "x" * 200_000})
    assert answer.status_code == 200
    assert len(answer.text) < 1000


@pytest.mark.parametrize(
    ("change", "field", "said"),
    [
        ({"weight": "much"}, "weight", "must be a finite number or null, found 'much'"),
        ({"weight": "true"}, "weight", "must be a finite number"),
        ({"weight": 2**53 + 1}, "weight", "must be a finite number"),
        ({"wieght": 3}, "wieght", "Did you mean 'weight'?"),
        ({"gift": None}, "gift", "must be true or false (or yes/no, 1/0), found null"),
        ({"gift": "NA"}, "gift", "must be true or false (or yes/no, 1/0), found 'NA'"),
        ({"gift": 2}, "gift", "must be true or false (or yes/no, 1/0), found 2"),
        ({"shop": [5]}, "shop", "must be a string, a number, or true or false"),
        ({"shop": "  "}, "shop", "must be a string"),
        ({"placed_at": "yesterday"}, "placed_at", "must be an ISO 8601 time"),
        ({"placed_at": 1700000000}, "placed_at", "must be an ISO 8601 time"),
        ({"placed_at": "2013"}, "placed_at", "must be an ISO 8601 time"),
        ({"placed_at": "1357000000"}, "placed_at", "must be an ISO 8601 time"),
        ({"placed_at": "0001-01-01T00:00:00+14:00"}, "placed_at", "the years 1 to 9999"),
        ({"placed_at": "9999-12-31T23:59:59-14:00"}, "placed_at", "the years 1 to 9999"),
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


@pytest.mark.parametrize(
    ("number", "status", "said"),
    [(name, 400, "not valid UTF-8 JSON") for name in (b"NaN", b"Infinity", b"-Infinity")]
    + [(name, 422, "'weight' must be a finite number or null") for name in (b"1e999", b"1" * 4000)],
)
def test_numbers_that_are_none(client: TestClient, row: dict[str, Any], number: bytes, status: int, said: str) -> None:
    body = json.dumps({**row, "weight": 0.125}).encode().replace(b"0.125", number)
    answer = client.post("/predict", content=body)
    assert (answer.status_code, said in answer.text) == (status, True), answer.text


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


def test_a_body_that_does_not_come(packages: dict[str, Path]) -> None:
    client = in_process(packages["binary"], env={"REFIT_LIMITS": '{"patience": 0.05}'})
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
    app = application.build_app(application.ServiceMetrics(CollectorRegistry()))
    with TestClient(app) as empty:
        assert empty.get("/readyz").status_code == 503
        assert empty.get("/healthz").status_code == 200


def moved(row: dict[str, Any], moment: str) -> dict[str, Any]:
    return {**row, "placed_at": moment}


def test_a_row_before_answers_from_is_refused_and_says_why(client: TestClient, row: dict[str, Any]) -> None:
    early = client.post("/predict", json=moved(row, "2024-02-18T19:06:31Z"))
    (error,) = early.json()["errors"]
    assert (early.status_code, error["field"]) == (422, "placed_at")
    assert "the row's time 2024-02-18T18:06:31Z is before answers_from, 2024-02-18T18:06:32Z" in error["message"]
    first = client.post("/predict", json=moved(row, "2024-02-18T19:06:32Z"))
    assert (first.status_code, first.json()["warnings"]) == (200, [])
    batch = client.post("/predict_batch", json=[row, moved(row, "2024-01-05T00:00:00Z")])
    assert (batch.status_code, batch.json()["errors"][0]["row"]) == (422, 1)


def test_a_row_after_known_until_is_answered_with_a_warning_that_names_table_and_age(
    client: TestClient, row: dict[str, Any]
) -> None:
    (warning,) = client.post("/predict", json=moved(row, "2024-03-01T01:00:00Z")).json()["warnings"]
    assert warning == "'orders': known until 2024-02-29T22:48:41Z, 1h 11m before this row"
    late = [moved(row, "2024-03-20T01:00:00Z"), row, moved(row, "2024-03-03T23:48:41Z")]
    found = [answer["warnings"] for answer in client.post("/predict_batch", json=late).json()]
    assert found[0] == [
        "'orders': known until 2024-02-29T22:48:41Z, 19d 1h before this row; too old to rely on (at most 3d)"
    ]
    assert found[1:] == [[], ["'orders': known until 2024-02-29T22:48:41Z, 3d before this row"]]


def test_rows_for_which_a_table_is_too_old_can_be_refused(packages: dict[str, Path], row: dict[str, Any]) -> None:
    with in_process(packages[TIMED], env={"REFIT_STALE": "refuse"}) as client:
        assert client.post("/predict", json=moved(row, "2024-03-03T23:48:41Z")).status_code == 200
        refused = client.post("/predict", json=moved(row, "2024-03-03T23:48:42Z"))
        batch = client.post("/predict_batch", json=[row, moved(row, "2024-04-01T00:00:00Z")])
        assert client.get("/readyz").status_code == 200
    assert refused.status_code == batch.status_code == 503
    assert "too old to rely on (at most 3d) (serving.stale: refuse)" in refused.json()["errors"][0]["message"]
    assert batch.json()["errors"][0]["row"] == 1
    with in_process(packages[TIMED], env={"REFIT_STALE": "refuse", "REFIT_STALE_AFTER": "90d"}) as client:
        assert client.post("/predict", json=moved(row, "2024-04-01T00:00:00Z")).status_code == 200
        assert client.post("/predict", json=moved(row, "2024-06-01T00:00:00Z")).status_code == 503


@pytest.mark.parametrize(
    ("env", "said"),
    [({"REFIT_STALE": "no"}, "'no' is not one of 'warn', 'refuse'"), ({"REFIT_STALE_AFTER": "soon"}, "found 'soon'")],
)
def test_what_the_environment_says_is_checked(packages: dict[str, Path], env: dict[str, str], said: str) -> None:
    with pytest.raises(RefitError, match=said):
        in_process(packages[TIMED], env=env)


def test_readyz_and_metrics_tell_how_old_each_table_is(client: TestClient, packages: dict[str, Path]) -> None:
    history = client.get("/readyz").json()["history"]
    age = (datetime.now(UTC) - datetime(2024, 2, 29, 22, 48, 41, tzinfo=UTC)).total_seconds()
    assert 0 <= age - history.pop("age_seconds")["orders"] < 600
    assert history == {
        "answers_from": "2024-02-18T18:06:32Z",
        "known_until": {"orders": "2024-02-29T22:48:41Z"},
        "stale": ["orders"],
    }
    found = re.search(r'^refit_history_age_seconds\{table="orders"\} (\S+)$', client.get("/metrics").text, re.M)
    assert found is not None
    assert 0 <= float(found[1]) - age < 600
    with in_process(packages["binary"]) as timeless:
        assert timeless.get("/readyz").json()["history"] == {
            "answers_from": None, "known_until": {}, "age_seconds": {}, "stale": []
        }  # fmt: skip


def test_the_log_tells_what_is_known_and_once_of_the_first_later_row(
    packages: dict[str, Path], row: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    with in_process(packages[TIMED]) as client:
        client.app.state.served.timely.tell()  # type: ignore[attr-defined]
        for moment in ("2024-02-20T00:00:00Z", "2024-03-20T00:00:00Z", "2024-03-21T00:00:00Z"):
            client.post("/predict", json=moved(row, moment))
    first, second, third = capsys.readouterr().out.splitlines()
    assert first == "rows are answered from 2024-02-18T18:06:32Z on"
    assert re.fullmatch(
        r"'orders': known until 2024-02-29T22:48:41Z, \d+d( \d+h)? ago \(too old for rows of now\)", second
    )
    assert "a row is later than what is known of 'orders' (until 2024-02-29T22:48:41Z)" in third


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
        said = answer.json()
        if answer.status_code != 200:
            assert said["errors"], "a refusal says why"
            assert all(error["message"] for error in said["errors"])
        else:
            rows = said if path == "/predict_batch" else [said]
            assert all(0 <= one["probability"] <= 1 for one in rows)
            assert [one["decision"] for one in rows] == ["1" if one["probability"] >= 0.4 else "0" for one in rows]


def test_its_own_openapi_holds(packages: dict[str, Path]) -> None:
    """schemathesis sends what the description allows and forbids: answers conform, and none is a 5xx."""
    client = in_process(packages[TIMED])
    # The description says in words from when to when rows are answered; JSON Schema's date-time has no bounds.
    assert "2024-02-18T18:06:32Z or later are answered" in client.get("/openapi.json").json()["info"]["description"]
    years = st.datetimes(datetime(2024, 2, 19), datetime(9999, 12, 31))
    schemathesis.openapi.format("date-time", years.map(lambda moment: moment.isoformat() + "Z"))
    schema = schemathesis.openapi.from_asgi("/openapi.json", client.app)

    for result in schema.get_all_operations():

        @settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck), database=None)
        @given(case=result.ok().as_strategy())
        def holds(case: Any) -> None:
            case.call_and_validate()

        holds()
