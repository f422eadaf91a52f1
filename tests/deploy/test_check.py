"""The check before a promotion notices every way in which a service could answer otherwise than the pipeline did."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest

from deploy import check
from deploy.check import Ask, compare, refuse, refuse_early
from tasks.artifacts import Golden, GoldenRow, Manifest, Schema, SchemaField
from tasks.bundle.manifest import write_manifest
from tasks.errors import RefitError
from tests.tasks.registry.packages import make_package

INPUTS = [
    {"at": "2024-05-01T00:00:00Z", "x": 1.5, "c": "a", "seen": None}, {"at": None, "x": None, "c": "b", "seen": None},
]  # fmt: skip
SCORES: dict[str, list[tuple[float, ...]]] = {
    "binary": [(0.3, 0.7), (0.9, 0.1)], "multiclass": [(0.2, 0.5, 0.3), (0.6, 0.3, 0.1)], "regression": [(2.5,), (-1.0,)],
}  # fmt: skip
DECISIONS: dict[str, list[Any]] = {"binary": ["yes", "no"], "multiclass": ["b", "a"], "regression": [2.5, -1.0]}
CLASSES = {"binary": ["no", "yes"], "multiclass": ["a", "b", "c"], "regression": []}
FIELDS = [("at", "datetime", True), ("x", "numeric", True), ("c", "categorical", False), ("seen", "datetime", False)]
SCHEMA = Schema(table="t", fields=[SchemaField(name=n, kind=k, nullable=True, required=r) for n, k, r in FIELDS])


def manifest(kind: str, start: str | None = None) -> Manifest:
    return Manifest(
        name="it", kind=kind, classes=CLASSES[kind], threshold=0.5 if kind == "binary" else None, family="f", members=["f"],
        weights=[1.0], metrics={}, answers_from=start, known_until={},
    )  # fmt: skip


def golden(kind: str) -> list[GoldenRow]:
    """Two rows; as a batch, the scores differ in the last bit."""
    return [
        GoldenRow(
            input=given, features={}, scores=list(scores), batch_scores=[s + 2**-50 for s in scores], decision=decision,
            batch_decision=decision, warnings=["late"] if i else [],
        )
        for i, (given, scores, decision) in enumerate(zip(INPUTS, SCORES[kind], DECISIONS[kind], strict=True))
    ]  # fmt: skip


def answer(kind: str, row: GoldenRow, scores: list[float], decision: Any) -> dict[str, Any]:
    out: dict[str, Any] = {"warnings": [*row.warnings, "another"]}
    if kind == "regression":
        return {"prediction": scores[0], **out}
    if kind == "binary":
        return {"probability": scores[1], "decision": decision, "threshold": 0.5, **out}
    return {"probabilities": dict(zip(CLASSES[kind], scores, strict=True)), "decision": decision, **out}


Change = Callable[[str, Any], Any]


def honest(kind: str, change: Change = lambda path, found: found) -> Ask:
    """A service that answers as the package's golden rows say, but for a change."""
    rows = golden(kind)

    def ask(path: str, body: bytes) -> tuple[int, Any]:
        given = json.loads(body)
        if path == "/predict":
            row = rows[INPUTS.index(given)]
            found: Any = answer(kind, row, row.scores, row.decision)
        else:
            assert given == INPUTS
            found = [answer(kind, row, row.batch_scores, row.batch_decision) for row in rows]
        changed = change(path, deepcopy(found))
        return changed if isinstance(changed, tuple) else (200, changed)

    return ask


@pytest.mark.parametrize("kind", SCORES)
def test_a_service_that_answers_as_the_pipeline_did_passes(kind: str) -> None:
    compare(manifest(kind), golden(kind), honest(kind))


def second(path: str, found: Any, **other: Any) -> Any:
    """The second row's answer says something else, alone or in the batch."""
    if path == "/predict":
        return {**found, **other} if "late" in found["warnings"] else found
    return [found[0], {**found[1], **other}]


@pytest.mark.parametrize("path", ["/predict", "/predict_batch"])
@pytest.mark.parametrize(
    ("kind", "other", "said"),
    [
        ("binary", {"probability": 0.1 + 2**-49}, "golden row 1: the served package answers probability 0.1.* and the pipeline"),
        ("binary", {"decision": "yes"}, "golden row 1: .* answers decision 'yes' and the pipeline 'no'"),
        ("binary", {"threshold": 0.4}, "golden row 1: .* answers threshold 0.4 and the pipeline 0.5"),
        ("binary", {"probability": None}, "golden row 1: .* answers probability None"),
        ("multiclass", {"probabilities": {"a": 0.6, "b": 0.3}}, "golden row 1: .* answers probabilities"),
        ("multiclass", {"decision": "c"}, "golden row 1: .* answers decision 'c' and the pipeline 'a'"),
        ("regression", {"prediction": -1.0000000000000018}, "golden row 1: .* answers prediction"),
        ("regression", {"warnings": ["another"]}, "golden row 1: the served package does not warn that late"),
    ],
)  # fmt: skip
def test_any_other_answer_is_noticed(path: str, kind: str, other: dict[str, Any], said: str) -> None:
    def change(asked: str, found: Any) -> Any:
        return second(asked, found, **other) if asked == path else found

    with pytest.raises(RefitError, match=said):
        compare(manifest(kind), golden(kind), honest(kind, change))


@pytest.mark.parametrize(
    ("path", "instead", "said"),
    [
        ("/predict", (500, {"errors": []}), "golden row 0: status 500"),
        ("/predict", (201, None), "golden row 0: status 201, null"),
        ("/predict_batch", (503, []), "/predict_batch with 2 golden rows: status 503"),
        ("/predict_batch", (200, {}), "/predict_batch with 2 golden rows: status 200, {}"),
        ("/predict_batch", (200, [{}]), "/predict_batch with 2 golden rows: status 200"),
        ("/predict", (500, "x" * 1000), r"status 500, \"x{296}\.\.\.$"),
    ],
)
def test_no_answer_is_noticed(path: str, instead: tuple[int, Any], said: str) -> None:
    with pytest.raises(RefitError, match=said):
        compare(manifest("binary"), golden("binary"), honest("binary", lambda p, f: instead if p == path else f))


def strict(path: str, body: bytes) -> tuple[int, Any]:
    """A service that names what is wrong with a row."""
    try:
        given = json.loads(body)
    except ValueError:
        return 400, {"errors": [{"message": "no JSON"}]}
    if type(given) is not dict:
        return 422, {"errors": [{"message": "no row"}]}
    wrong = [n for n in ("at", "x") if n not in given] + [n for n, v in given.items() if n not in INPUTS[0] or v == []]
    return (422, {"errors": [{"message": "wrong", "field": n} for n in wrong]}) if wrong else (200, {})


def test_malformed_requests_are_sent_for_every_field() -> None:
    sent: list[bytes] = []

    def ask(path: str, body: bytes) -> tuple[int, Any]:
        sent.append(body)
        return strict(path, body)

    # Four that are no row of the model, four with a list, two without a field that must be there.
    assert refuse(golden("binary"), SCHEMA, ask) == len(sent) == 10


@pytest.mark.parametrize(
    ("lax", "what"),
    [
        (lambda body, found: (200, {}) if body == b"{" else found, "no JSON"),
        (lambda body, found: (200, {}) if body == b"[1]" else found, "not an object"),
        (lambda body, found: (500, {"errors": [{"message": "x"}]}) if body == b"[1]" else found, "not an object"),
        (lambda body, found: (399, found[1]) if b"no such field" in body else found, "an unknown field"),
        (lambda body, found: (200, {}) if b'"x": []' in body else found, "x a list"),
        (lambda body, found: (200, {}) if b'"at"' not in body and b"[]" not in body and b"c" in body else found, "at missing"),
        (lambda body, found: (422, {"errors": [{"message": "?"}]}) if b'"c": []' in body else found, "c a list"),
        (lambda body, found: (422, {"errors": []}) if b"\xff" in body else found, "not UTF-8"),
        (lambda body, found: (422, []) if b"\xff" in body else found, "not UTF-8"),
    ],
)  # fmt: skip
def test_a_service_that_takes_what_it_should_refuse_is_noticed(lax: Any, what: str) -> None:
    with pytest.raises(RefitError, match=rf"malformed input \({what}\) must get a 4xx that names it, and got status"):
        refuse(golden("binary"), SCHEMA, lambda path, body: lax(body, strict(path, body)))


@pytest.mark.parametrize("start", [None, "1900-01-01T00:00:00Z", "1909-12-31T00:00:00Z"])
def test_a_package_for_rows_of_any_time_is_asked_for_none(start: str | None) -> None:
    assert refuse_early(manifest("binary", start), golden("binary"), SCHEMA, honest("binary")) == 0


def test_a_row_from_before_the_history_must_be_refused_and_say_why() -> None:
    about, sent = manifest("binary", "2024-04-01T00:00:00Z"), []

    def ask(path: str, body: bytes) -> tuple[int, Any]:
        sent.append(json.loads(body))
        return 422, {"errors": [{"message": "before answers_from"}]}

    assert refuse_early(about, golden("binary"), SCHEMA, ask) == 1
    assert sent == [{**INPUTS[0], "at": "1900-01-01T00:00:00Z"}]
    for found in ((200, {"message": "answers_from"}), (422, {"errors": []}), (503, {"message": "answers_from"})):
        with pytest.raises(RefitError, match="a row from before answers_from must get a 422"):
            refuse_early(about, golden("binary"), SCHEMA, lambda path, body, found=found: found)


def test_a_package_is_checked_in_its_own_service(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = make_package(tmp_path / "package", "it")
    Golden(rows=golden("binary")).write(package)
    SCHEMA.write(package)
    digest = write_manifest(package, manifest("binary"))
    asked: list[Any] = []
    answers: list[Ask] = []

    @contextmanager
    def running(command: Any, timeout: float, env: dict[str, str]) -> Iterator[str]:
        asked.append((command, timeout, env))
        yield "the address"

    def ask(address: str, path: str, body: bytes) -> tuple[int, Any]:
        assert address == "the address"
        return answers[0](path, body)

    monkeypatch.setattr(check, "running", running)
    monkeypatch.setattr(check, "serving", lambda *given: given)
    monkeypatch.setattr(check, "ask", ask)

    def refusing(path: str, body: bytes) -> tuple[int, Any]:
        try:
            return honest("binary")(path, body)
        except (ValueError, AssertionError):  # no golden row
            return strict(path, body)

    answers.append(refusing)
    found = check.check(package, version="7", timeout=33.0)
    assert asked == [((package, "7", digest), 33.0, {"REFIT_JOURNAL": ""})], "its requests are nobody's, to be kept"
    assert (found["rows"], found["package"], found["refused"]) == (2, digest, refuse(golden("binary"), SCHEMA, strict))
    assert 0 <= found["seconds_to_ready"] <= found["seconds"] < 600
    answers[0] = honest("binary", lambda path, found: (200, found) if path == "/predict" else (500, {}))
    with pytest.raises(RefitError, match="/predict_batch with 2 golden rows"):
        check.check(package, version="7")

    def gone(path: str, body: bytes) -> tuple[int, Any]:
        raise ConnectionResetError("reset by peer")

    answers[0] = gone
    with pytest.raises(RefitError, match=r"the service stopped answering during its check \(reset by peer\)"):
        check.check(package, version="7")
