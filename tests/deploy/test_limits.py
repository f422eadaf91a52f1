"""What the application takes on: enough at once, bodies of a bound, and every answer a problem document."""

from __future__ import annotations

import asyncio
import html
import json
import re
from pathlib import Path
from typing import Any

import pytest

from deploy import draining, limits
from tasks.errors import RefitError
from tasks.files import read_json
from tasks.params import Limits
from tests.deploy.conftest import TestClient, in_process
from tests.tasks.package.projects import TIMED


@pytest.fixture(scope="module")
def row(packages: dict[str, Path]) -> dict[str, Any]:
    return dict(read_json(packages[TIMED] / "golden.json")["rows"][0]["input"])


class Slow:
    """Requests to the application whose bodies come when they are told to."""

    def __init__(self, client: TestClient) -> None:
        self.app = client.app

    async def start(self, path: str, body: bytes, headers: dict[str, str] | None = None) -> Any:
        come, sent = asyncio.Event(), []

        async def receive() -> Any:
            await come.wait()
            come.clear()
            return {"type": "http.request", "body": body, "more_body": False}

        async def send(message: Any) -> None:
            sent.append(message)

        given = [(k.encode(), v.encode()) for k, v in (headers or {}).items()]
        scope = {"type": "http", "method": "POST", "path": path, "headers": given, "query_string": b""}
        task = asyncio.create_task(self.app(scope, receive, send))  # type: ignore[arg-type]
        await asyncio.sleep(0.01)

        async def finish() -> tuple[int, dict[str, str]]:
            come.set()
            await task
            return sent[0]["status"], {k.decode(): v.decode() for k, v in sent[0]["headers"]}

        return finish


@pytest.mark.parametrize("path", ["/predict", "/predict_batch"])
def test_enough_requests_at_once(
    packages: dict[str, Path], row: dict[str, Any], monkeypatch: pytest.MonkeyPatch, path: str
) -> None:
    monkeypatch.setitem(limits.MOST_AT_ONCE, path, 2)
    slow = Slow(in_process(packages[TIMED]))
    body = json.dumps(row if path == "/predict" else [row]).encode()

    async def several() -> None:
        taken = [await slow.start(path, body) for _ in range(2)]
        status, headers = await (await slow.start(path, body))()
        assert (status, headers["retry-after"], headers["connection"]) == (503, "1", "close")
        assert [(await finish())[0] for finish in taken] == [200, 200]
        assert (await (await slow.start(path, body))())[0] == 200  # there is room again

    asyncio.run(several())


def test_bytes_at_hand_have_a_bound_and_are_given_back(
    packages: dict[str, Path], row: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    body = json.dumps([row] * 10).encode()
    monkeypatch.setattr(limits, "MOST_HELD", len(body) + 10)
    monkeypatch.setattr(limits, "BATCHES_HELD", 0)
    with in_process(packages[TIMED]) as client:
        for _ in range(3):
            assert client.post("/predict_batch", content=body).status_code == 200
            refused = client.post("/predict_batch", content=body + b" " * 100)
            assert (refused.status_code, refused.headers["retry-after"]) == (503, "1")
            assert client.post("/predict_batch", content=b"[" + body).status_code == 400


def test_each_limit_is_the_users_own(packages: dict[str, Path], row: dict[str, Any]) -> None:
    """A little above each bound is refused with the bound, and a little below is answered."""
    body = json.dumps(row).encode()

    def asked(path: str, body: bytes, **own: float) -> tuple[int, str]:
        with in_process(packages[TIMED], env={"REFIT_LIMITS": json.dumps(own)}) as client:
            answer = client.post(path, content=body)
        return answer.status_code, answer.text

    def mb(size: int) -> float:
        return size / (1 << 20)

    assert asked("/predict", body, row_mb=mb(len(body)))[0] == 200
    status, said = asked("/predict", body, row_mb=mb(len(body) - 1))
    assert (status, f"larger than {mb(len(body) - 1):g} MiB" in said) == (413, True)
    status, said = asked("/predict_batch", b"[" + body + b"]", row_mb=mb(len(body) - 1))
    assert (status, "row 0: it is larger than" in said) == (413, True)
    two = b"[" + body + b"," + body + b"]"
    assert asked("/predict_batch", two, batch_mb=mb(len(two)), batch_rows=2)[0] == 200
    assert asked("/predict_batch", two, batch_mb=mb(len(two) - 1))[0] == 413
    status, said = asked("/predict_batch", two, batch_rows=1)
    assert (status, "at most 1 rows" in said) == (422, True)


def test_a_large_batch_that_is_allowed_has_room_beside_others() -> None:
    assert limits.Load().most_held == limits.MOST_HELD == 256 << 20
    assert limits.Load(Limits(batch_mb=100)).most_held == 400 << 20


@pytest.mark.parametrize("wrong", ['{"batch_row": 1}', '{"patience": 0}', "many"])
def test_limits_of_the_environment_are_checked(wrong: str) -> None:
    with pytest.raises(RefitError, match=r"^REFIT_LIMITS: .*; found"):
        limits.limits_of({"REFIT_LIMITS": wrong})
    assert limits.limits_of({}) == Limits()
    assert limits.limits_of({"REFIT_LIMITS": Limits(batch_rows=7).model_dump_json()}).batch_rows == 7


def test_an_announced_body_is_refused_before_it_comes(client: TestClient) -> None:
    """A client that waits to be asked for the body is not asked."""

    async def ask() -> int:
        headers = {"content-length": str(2 << 20), "expect": "100-continue"}
        sent: list[Any] = []

        async def receive() -> Any:
            raise AssertionError("asked for the body")

        async def send(message: Any) -> None:
            sent.append(message)

        scope = {
            "type": "http", "method": "POST", "path": "/predict", "query_string": b"",
            "headers": [(k.encode(), v.encode()) for k, v in headers.items()],
        }  # fmt: skip
        await client.app(scope, receive, send)  # type: ignore[arg-type]
        return int(sent[0]["status"])

    assert asyncio.run(ask()) == 413


def test_a_row_of_very_many_names_is_told_of_once(client: TestClient, row: dict[str, Any]) -> None:
    crowd = {f"a{i}": 1 for i in range(60_000)}
    alone = client.post("/predict", json=crowd)
    assert (alone.status_code, len(alone.json()["errors"])) == (422, 1)
    batch = client.post("/predict_batch", json=[row, crowd])
    assert (batch.status_code, [e["row"] for e in batch.json()["errors"]]) == (422, [1])


def test_a_batch_tells_of_twenty_problems_and_where(client: TestClient, row: dict[str, Any]) -> None:
    errors = client.post("/predict_batch", json=[row, *[{**row, "weight": "x"}] * 100]).json()["errors"]
    assert [e["row"] for e in errors] == list(range(1, 21))
    broken = client.post("/predict_batch", content=json.dumps([row]).encode()[:-1] + b", {]")
    assert broken.status_code == 400
    assert client.post("/predict_batch", content=b'[{"\xff": 1}]').status_code == 400


def test_an_error_inside_is_a_problem_and_counted(
    packages: dict[str, Path], row: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: Any) -> None:
        raise ZeroDivisionError("a secret")

    with in_process(packages[TIMED]) as client:
        monkeypatch.setattr(client.app.state.served.bundle, "predict_features", broken)  # type: ignore[attr-defined]
        for path, body in (("/predict", row), ("/predict_batch", [row])):
            answer = client.post(path, json=body)
            assert answer.status_code == 500
            assert answer.json() == {"errors": [{"message": "an error inside the service; its log says more"}]}
            assert f'refit_requests_total{{path="{path}",status="500"}} 1.0' in client.get("/metrics").text


def test_a_trailing_slash_is_another_path(client: TestClient) -> None:
    for path in ("/predict/", "/healthz/"):
        assert client.get(path, follow_redirects=False).status_code == 404


@pytest.mark.parametrize("kind", ["multiclass", "regression", TIMED])
def test_the_page_is_the_models_own(packages: dict[str, Path], kind: str) -> None:
    with in_process(packages[kind]) as client:
        page = client.get("/")
        ready = client.get("/readyz").json()
    assert page.status_code == 200
    assert page.headers["content-security-policy"].startswith("default-src 'none'")
    assert ready["model"] in page.text
    assert ready["package"] in page.text
    assert not re.search(r"https?:|//|<script|<link|<img", page.text)
    sample = re.search(r"<pre>(.*?)</pre>", page.text)
    assert sample
    with in_process(packages[kind]) as client:  # what it shows can be asked
        assert client.post("/predict", content=html.unescape(sample[1])).status_code == 200


def test_leaving_is_told_first(client: TestClient, row: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(draining, "_begun", True)
    assert client.get("/readyz").status_code == 503
    assert client.get("/healthz").status_code == client.post("/predict", json=row).status_code == 200
