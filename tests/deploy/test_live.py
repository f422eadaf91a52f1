"""The service with a journal: what is kept, what is learned, and what a request may ask for."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from datetime import datetime
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry
from starlette.testclient import TestClient

from deploy import live as live_module
from deploy.app import Served, ServiceMetrics, build_app
from deploy.live import Live
from deploy.timely import Timely
from tasks.bundle import Bundle
from tasks.journal import Event, Journal, database
from tasks.journal.digest import digest
from tests.tasks.package.projects import TIMED, timed

ROW = {"order": 5000, "placed_at": "2024-03-05T10:00:00Z", "shop": "s3", "weight": 3.0, "gift": True}
EVENT = {
    "order": 6000, "placed_at": "2024-03-04T10:00:00Z", "shop": "s3", "weight": 3.0, "gift": False, "delay": 2.5,
    "arrived_at": "2024-03-04T12:30:00Z",
}  # fmt: skip
Ask = Callable[..., tuple[int, Any]]


class Process:
    """One process of a service that keeps a journal, in this one."""

    def __init__(self, package: Path, where: Path) -> None:
        self.bundle = Bundle.to_serve(package)
        self.live = Live(self.bundle, str(where), "7")
        self.live.start()
        app = build_app(ServiceMetrics(CollectorRegistry()))
        app.state.served = self.served = Served(self.bundle, "7", Timely(self.bundle), live=self.live)
        self.client = TestClient(app, raise_server_exceptions=False)

    def post(self, path: str, body: object, **headers: str) -> tuple[int, Any]:
        """Status and answer."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        answer = self.client.post(path, json=body, headers=named)
        return answer.status_code, answer.json()


@pytest.fixture
def start(packages: dict[str, Path], tmp_path: Path) -> Iterator[Callable[[], Process]]:
    """Starts processes that share a journal."""
    made: list[Process] = []

    def one() -> Process:
        made.append(Process(packages[TIMED], tmp_path / "journal.db"))
        return made[-1]

    yield one
    for process in made:
        process.live.stop()


def told(**changes: object) -> dict[str, object]:
    return {"table": "orders", "known": "given", "row": {**EVENT, **changes}}


def in_batch(bundle: Bundle, events: list[Mapping[str, object]]) -> str:
    """The digest of ROW's features by the batch engine, over the orders and these events as the files would have them."""
    _, tables = timed()
    rows = [{**e, "late": float(float(str(e["delay"])) > 30)} for e in events]
    more = pd.DataFrame(rows)
    for column in ("placed_at", "arrived_at"):
        more[column] = pd.to_datetime(more[column], utc=True).astype("datetime64[us, UTC]")
    orders = pd.concat([tables["orders"], more.astype({"order": float})], ignore_index=True)
    asked = pd.DataFrame([{**ROW, "placed_at": pd.Timestamp(str(ROW["placed_at"]))}])
    features = bundle.compute(asked.astype({"shop": "str", "order": float}), {**tables, "orders": orders})
    return digest({str(name): features[name].iloc[0] for name in features})


# What is kept -----------------------------------------------------------------------------------------------------------


def test_an_answer_is_in_the_journal_as_it_was_sent(start: Callable[[], Process]) -> None:
    process = start()
    status, answer = process.post("/predict", ROW)
    kept = process.live.journal.prediction(answer["id"])
    assert status == 200
    assert kept is not None
    assert kept.answer == answer
    assert kept.row == ROW
    assert (kept.version, kept.package, kept.threshold) == ("7", process.bundle.identity, process.bundle.threshold)
    assert kept.key == "[5000.0]"
    assert kept.scores[-1] == answer["probability"]
    plain = process.served.rows.row(ROW)
    assert kept.features == digest(process.bundle.compute_row(plain))
    assert kept.moment == process.bundle.moment(plain)


def test_a_key_that_cannot_be_read_names_no_row(start: Callable[[], Process]) -> None:
    """The model does not ask for it, so the row is answered."""
    process = start()
    ids = [
        process.post("/predict", row)[1]["id"]
        for row in ({**ROW, "order": "?"}, {k: v for k, v in ROW.items() if k != "order"})
    ]
    found = [process.live.journal.prediction(id) for id in ids]
    assert [one.key for one in found if one] == [None, None]
    answer = process.client.post("/predict", content=json.dumps({**ROW, "delay": 1}).replace(": 1}", ": 1e400}"))
    assert (answer.status_code, "beyond the largest" in answer.text) == (422, True)


def test_a_named_request_is_answered_once(start: Callable[[], Process]) -> None:
    one, other = start(), start()
    first = one.post("/predict", ROW, Idempotency_Key="a")
    one.post("/events", told())
    assert other.post("/predict", ROW, Idempotency_Key="a") == first, "though more is known by now"
    status, answer = one.post("/predict", {**ROW, "weight": 4.0}, Idempotency_Key="a")
    assert status == 409
    assert "'a' was the name of a request about other rows" in answer["errors"][0]["message"]
    batch = [ROW, {**ROW, "weight": 4.0}]
    status, answers = one.post("/predict_batch", batch, Idempotency_Key="b")
    assert (status, [answer["id"] for answer in answers]) == (200, ["b/0", "b/1"])
    assert other.post("/predict_batch", batch, Idempotency_Key="b") == (200, answers)
    assert other.post("/predict_batch", batch[:1], Idempotency_Key="b")[0] == 409
    assert other.post("/predict", ROW, Idempotency_Key="x" * 201)[0] == 422
    assert [p.id for p in one.live.journal.predictions()] == ["a", "b/0", "b/1"]


def test_what_was_erased_is_not_answered_again_under_its_name(start: Callable[[], Process]) -> None:
    process = start()
    batch = [ROW, ROW]
    assert process.post("/predict", ROW, Idempotency_Key="a")[0] == 200
    assert process.post("/predict_batch", batch, Idempotency_Key="b")[0] == 200
    with Journal(process.live.journal.where, write=True) as journal:
        journal.erase("orders", "[5000.0]", "asked for", "somebody", predictions=True)
    for path, body, name in (("/predict", ROW, "a"), ("/predict_batch", batch, "b")):
        status, answer = process.post(path, body, Idempotency_Key=name)
        assert (status, "was erased" in answer["errors"][0]["message"]) == (410, True)
    assert process.post("/predict", ROW, Idempotency_Key="c")[0] == 200


def test_what_cannot_be_kept_is_not_answered(start: Callable[[], Process], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(database, "WAIT", 0.05)
    process = start()
    path = process.live.journal.where
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        answer = process.client.post("/predict", json=ROW)
        assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")
        assert "cannot be used: database is locked" in answer.json()["errors"][0]["message"]
        assert process.post("/events", told())[0] == 503
        assert process.post("/predict_batch", [ROW])[0] == 503
        other.execute("ROLLBACK")
    assert process.live.journal.seq == 0
    assert process.post("/predict", ROW)[0] == 200


# What is learned --------------------------------------------------------------------------------------------------------


def test_an_event_is_known_to_the_next_answer_of_every_process(start: Callable[[], Process]) -> None:
    one, other = start(), start()
    before = one.post("/predict", ROW)[1]
    status, kept = one.post("/events", told())
    assert (status, kept) == (200, {"seq": 2, "stored": 1, "again": 0, "quarantined": []})
    wanted = in_batch(one.bundle, [EVENT])
    for process in (other, one, start()):  # the last one begins after it
        answer = process.post("/predict", ROW)[1]
        found = process.live.journal.prediction(answer["id"])
        assert found is not None
        assert (found.features, found.seen >= 2) == (wanted, True)
        assert answer["probability"] != before["probability"]
    assert one.client.get("/readyz").json()["history"]["known_until"] == {"orders": "2024-03-04T12:30:00Z"}


def test_a_live_event_counts_from_its_receipt_and_an_imported_one_from_its_own_moment(
    start: Callable[[], Process],
) -> None:
    process = start()
    before = process.post("/predict", ROW)[1]
    process.post("/events", {**told(), "known": "receipt"})
    later = process.post("/predict", ROW)[1]
    assert later["probability"] == before["probability"], "the row's moment lies before the event was received"
    now = {**ROW, "placed_at": (pd.Timestamp.now("UTC") + pd.Timedelta("2h")).isoformat()}
    process.post("/predict", now)
    found = list(process.live.journal.predictions())[-1]
    seen = process.bundle.compute_row(process.served.rows.row(now))
    assert found.features == digest(seen)


def test_each_row_of_a_batch_says_what_it_had_seen(start: Callable[[], Process]) -> None:
    process = start()
    steps = process.served.predict_batch(json.dumps([ROW] * 3).encode())
    journal, follower = process.live.journal, process.live.follower
    features = process.bundle.compute_row
    computed: list[str] = []

    def noting(row: Any) -> Any:
        made = features(row)
        computed.append(digest(made))
        return made

    process.bundle.compute_row = noting  # type: ignore[method-assign]
    try:
        while True:
            next(steps)
            if len(computed) == 2 and journal.seq == 0:  # an event comes between two rows
                process.live.commits.append([Event("orders", EVENT, "[6000.0]", known="given")]).result()
                follower.catch_up()
    except StopIteration as done:
        kept = done.value.kept
    assert [p.seen for p in kept] == [0, 0, 1]
    assert [p.features for p in kept] == computed
    assert kept[0].features == kept[1].features != kept[2].features == in_batch(process.bundle, [EVENT])
    assert journal.seq == 1


def test_events_are_kept_all_or_none_and_each_mistake_is_named(start: Callable[[], Process]) -> None:
    process = start()
    wrong: list[object] = [
        told(), {"table": "order", "row": {}}, {"table": "orders", "row": {**EVENT, "weight": "heavy"}}, 7,
        {"table": "orders"}, told(arrived_at="2024-03-01T00:00:00Z"), {**told(), "know": 1}, {**told(), "known": "now"},
        {**told(), "id": ""}, {"table": "shops", "row": {"shop": None, "size": 1}},
    ]  # fmt: skip
    status, answer = process.post("/events", wrong)
    assert status == 422
    assert [(e["row"], e.get("field")) for e in answer["errors"]] == [
        (1, "table"), (2, "weight"), (3, None), (4, "row"), (5, "arrived_at"), (6, "know"), (7, "known"), (8, "id"), (9, "shop"),
    ]  # fmt: skip
    assert "Did you mean 'orders'?" in answer["errors"][0]["message"]
    assert process.live.journal.seq == 0
    for body, says in (
        ([], "is empty"),
        ([told()] * 1001, "at most 1,000"),
        ("x", "JSON object"),
        ([[told()]], "JSON object"),
    ):
        status, answer = process.post("/events", body)
        assert (status, says in answer["errors"][0]["message"]) == (422, True)
    assert process.client.post("/events", content=b'[{"table": "orders"').status_code == 400


def test_an_event_with_an_id_is_stored_once(start: Callable[[], Process]) -> None:
    process = start()
    assert process.post("/events", [{**told(), "id": "a"}, {**told(order=6001), "id": "b"}])[1]["stored"] == 2
    again = process.post("/events", [{**told(), "id": "a"}, {**told(order=6002), "id": "c"}])[1]
    assert (again["stored"], again["again"]) == (1, 1)
    named = [process.post("/events", told(order=7000), Idempotency_Key="mine")[1]["stored"] for _ in range(2)]
    assert named == [1, 0]
    assert [e.id for e in process.live.journal.events()] == ["a", "b", "c", "mine/0"]


def test_what_the_contract_does_not_allow_is_kept_and_not_learned(start: Callable[[], Process]) -> None:
    process = start()
    before = process.post("/predict", ROW)[1]
    kept = process.post("/events", [told(weight=101)])[1]
    assert kept["quarantined"] == [
        {"row": 0, "message": "'weight': 101 is above 100, the most that training rows may have"}
    ]
    assert [e.refused for e in process.live.journal.events()] == [kept["quarantined"][0]["message"]]
    assert process.post("/predict", ROW)[1]["probability"] == before["probability"]
    assert 'outcome="quarantined",table="orders"} 1.0' in process.client.get("/metrics").text


def test_one_event_that_the_engine_refuses_stops_nothing(start: Callable[[], Process]) -> None:
    process = start()
    early = {**EVENT, "arrived_at": "2024-03-01T00:00:00Z"}  # known before it happened; the service would not take it
    with Journal(process.live.journal.where, write=True) as journal:
        journal.append(
            [Event("orders", early, "[1.0]", known="given"), Event("orders", {**EVENT}, "[6000.0]", known="given")]
        )
        journal.append([Event("gone", {"a": 1}), Event("orders", {}, "[2.0]")])  # a table of before; an erased body
        other_kinds = ({**EVENT, "order": 6001, "weight": "heavy"}, {**EVENT, "order": 6002, "placed_at": "noon"})
        journal.append(
            [Event("orders", body, known="given") for body in other_kinds]
        )  # as another params.yaml declared
    answer = process.post("/predict", ROW)[1]
    found = process.live.journal.prediction(answer["id"])
    assert found is not None
    assert found.features == in_batch(process.bundle, [EVENT])
    assert process.client.get("/readyz").json()["journal"] == {"seen": 6, "skipped": 3}


# Labels -----------------------------------------------------------------------------------------------------------------


def test_a_label_completes_the_row_that_was_answered(start: Callable[[], Process]) -> None:
    process = start()
    id = process.post("/predict", ROW)[1]["id"]
    values = {"delay": 50, "arrived_at": "2024-03-07T12:00:00Z"}
    assert process.post("/labels", [{"id": id, "values": values, "known": "given"}])[1]["stored"] == 1
    assert process.post("/labels", {"key": {"order": "5000"}, "values": values}, Idempotency_Key="k")[1]["stored"] == 1
    by_id, by_key = process.live.journal.events()
    assert by_id.body == {
        "order": 5000.0, "placed_at": "2024-03-05T10:00:00Z", "shop": "s3", "weight": 3.0, "gift": True, "delay": 50.0,
        "arrived_at": "2024-03-07T12:00:00Z",
    }  # fmt: skip
    assert (by_id.known, by_key.known, by_key.id, by_key.body) == ("given", "receipt", "k/0", by_id.body)


@pytest.mark.parametrize(
    ("label", "field", "says"),
    [
        ({"id": "no", "values": {"delay": 1}}, "id", "no prediction 'no' in the journal"),
        ({"key": {"order": 9}, "values": {"delay": 1}}, "key", "no prediction of a row with it"),
        ({"key": {"shop": "s1"}, "values": {"delay": 1}}, "key", "'order' name"),
        ({"values": {"delay": 1}}, None, "names its prediction by 'id', or its row by 'key'"),
        ({"id": "no"}, "values", "columns of 'orders' that are known now, as of 'delay', 'arrived_at'"),
        ({"id": "no", "value": 1}, "value", "Did you mean 'values'?"),
    ],
)
def test_a_label_of_nothing_is_refused(
    start: Callable[[], Process], label: dict[str, object], field: str | None, says: str
) -> None:
    status, answer = start().post("/labels", [label])
    assert status == 422
    assert answer["errors"][0].get("field") == field
    assert says in answer["errors"][0]["message"]


# What a request may ask for ---------------------------------------------------------------------------------------------


def test_a_request_may_ask_for_what_is_to_be_known(
    start: Callable[[], Process], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live_module, "WAITS", 0.05)
    process = start()
    seq = process.post("/events", told())[1]["seq"]
    assert process.post("/predict", ROW, If_Known=str(seq))[0] == 200
    status, answer = process.post("/predict", ROW, If_Known="99")
    assert status == 503
    assert "entry 99 of the journal is not known here" in answer["errors"][0]["message"]
    assert process.post("/predict", ROW, If_Known="soon")[0] == 400


def test_without_a_journal_nothing_is_taken_and_a_package_of_before_takes_no_events(
    start: Callable[[], Process], client: TestClient
) -> None:
    answer = client.post("/events", json=told())
    assert (answer.status_code, "serving.journal" in answer.text) == (404, True)
    process = start()
    process.live.bodies.readers.clear()
    assert process.post("/events", told())[0] == 409
    assert process.post("/predict", ROW)[0] == 200


def test_the_description_names_what_the_service_takes(start: Callable[[], Process], client: TestClient) -> None:
    described = start().client.get("/openapi.json").json()
    assert "/events" not in client.get("/openapi.json").json()["paths"]
    event = described["paths"]["/events"]["post"]["requestBody"]["content"]["application/json"]["schema"]["anyOf"][0]
    assert event["properties"]["table"] == {"enum": ["orders", "shops"]}
    assert [one["description"] for one in event["properties"]["row"]["oneOf"]] == [
        "One row of 'orders'.",
        "One row of 'shops'.",
    ]
    assert "id" in described["components"]["schemas"]["Answer"]["required"]


@pytest.mark.sweep
def test_what_its_description_allows_and_forbids_gives_no_5xx(start: Callable[[], Process], full: bool) -> None:
    """schemathesis over all paths; events that are taken stay in the state for what follows."""
    app = start().client.app
    years = st.datetimes(datetime(2024, 2, 19), datetime(9999, 12, 31))
    schemathesis.openapi.format("date-time", years.map(lambda moment: moment.isoformat() + "Z"))
    schema = schemathesis.openapi.from_asgi("/openapi.json", app)
    for result in schema.get_all_operations():
        operation = result.ok()

        @settings(max_examples=600 if full else 15, deadline=None, suppress_health_check=list(HealthCheck))
        @given(case=operation.as_strategy())
        def holds(case: Any) -> None:
            if case.path in ("/events", "/labels"):  # what is known before it happened, or of no prediction, is refused
                answer = case.call()
                assert answer.status_code in (200, 400, 422), answer.text
                assert answer.json()
            else:
                case.call_and_validate()

        holds()
