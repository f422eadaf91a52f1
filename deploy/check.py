"""Boot a package as it will be served, and compare its answers with the pipeline's own, before it is promoted."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from deploy.launch import ask, running, serving
from tasks.bundle.manifest import examine
from tasks.errors import RefitError
from tasks.files import read_json
from tasks.kinds import find_kind

Asked = tuple[int, Any]
Ask = Callable[[str, bytes], Asked]
EARLY = "1900-01-01T00:00:00Z"  # no request is earlier


def check(package: str | Path, timeout: float = 60, version: str = "check") -> dict[str, Any]:
    """Start the package on a free loopback port, send its golden rows and malformed ones, and stop it.

    Parameters
    ----------
    package
        The package's folder.
    timeout
        Seconds until the service must be ready.

    Returns
    -------
    ``{"rows", "refused", "seconds_to_ready", "seconds", "package"}``: golden rows that agreed to the last
    bit, malformed requests that were refused, durations, and the package's identity.

    Raises
    ------
    RefitError
        With the reason: a damaged package, a service that does not start, an answer that differs.
    """
    package = Path(package)
    found = examine(package)
    manifest = found.about
    golden, schema = read_json(package / "golden.json"), read_json(package / "schema.json")
    began = time.perf_counter()
    try:
        with running(serving(package, version, found.identity), timeout) as address:
            up = time.perf_counter()
            compare(manifest, golden, partial(ask, address))
            refused = refuse(golden, schema, partial(ask, address))
            refused += refuse_early(manifest, golden, schema, partial(ask, address))
    except OSError as error:
        raise RefitError(f"{package}: the service stopped answering during its check ({error})") from None
    return {
        "rows": len(golden["rows"]),
        "refused": refused,
        "seconds_to_ready": round(up - began, 3),
        "seconds": round(time.perf_counter() - began, 3),
        "package": found.identity,
    }


def compare(manifest: dict[str, Any], golden: dict[str, Any], ask: Ask) -> None:
    """Send the golden rows one by one and as a batch; every answer must be the pipeline's own, to the last bit."""
    rows = golden["rows"]
    for i, row in enumerate(rows):
        status, found = ask("/predict", _json(row["input"]))
        _same(manifest, i, row, status, found)
    status, found = ask("/predict_batch", _json([row["input"] for row in rows]))
    if status != 200 or not isinstance(found, list) or len(found) != len(rows):
        raise RefitError(f"/predict_batch with {len(rows)} golden rows: {_what(status, found)}")
    for i, row in enumerate(rows):
        _same(manifest, i, {**row, "scores": row["batch_scores"], "decision": row["batch_decision"]}, 200, found[i])


def _same(manifest: dict[str, Any], i: int, row: dict[str, Any], status: int, found: Any) -> None:
    if status != 200:
        raise RefitError(f"golden row {i}: {_what(status, found)}")
    problem = find_kind(manifest["kind"])
    wanted = problem.answer(row["scores"], row["decision"], tuple(manifest["classes"]))
    wanted |= problem.fixed(manifest["threshold"])
    for name, value in wanted.items():
        if found.get(name) != value:  # floats went through repr and back, which keeps their bits
            raise RefitError(
                f"golden row {i}: the served package answers {name} {found.get(name)!r} and the pipeline {value!r}. "
                "What was evaluated is not what would be served, so it is not promoted."
            )
    silent = [text for text in row.get("warnings", []) if text not in found["warnings"]]
    if silent:
        raise RefitError(f"golden row {i}: the served package does not warn that {silent[0]}")


def refuse(golden: dict[str, Any], schema: dict[str, Any], ask: Ask) -> int:
    """Send malformed requests; each must get a 4xx that names what is wrong. Returns how many were sent."""
    row, fields = golden["rows"][0]["input"], schema["fields"]
    wrong: dict[str, tuple[bytes, str | None]] = {
        "no JSON": (b"{", None),
        "not UTF-8": (b'{"\xff": 1}', None),
        "not an object": (b"[1]", None),
        "an unknown field": (_json({**row, "no such field": 1}), "no such field"),
    }
    for field in fields:
        name = field["name"]
        if field.get("required", True):
            wrong[f"{name} missing"] = (_json({k: v for k, v in row.items() if k != name}), name)
        wrong[f"{name} a list"] = (_json({**row, name: []}), name)
    for what, (body, name) in wrong.items():
        status, found = ask("/predict", body)
        errors = found.get("errors", []) if isinstance(found, dict) else []
        named = any(e.get("field") == name for e in errors) if name else bool(errors)
        if not 400 <= status < 500 or not named:
            raise RefitError(f"malformed input ({what}) must get a 4xx that names it, and got {_what(status, found)}")
    return len(wrong)


def refuse_early(manifest: dict[str, Any], golden: dict[str, Any], schema: dict[str, Any], ask: Ask) -> int:
    """Send a row from before ``answers_from``, where the package has one: it must get a 422. Returns how many were sent."""
    if (manifest.get("answers_from") or EARLY) <= "1910":  # it answers rows of any time that a request may have
        return 0
    row, times = golden["rows"][0]["input"], [f["name"] for f in schema["fields"] if f["kind"] == "datetime"]
    early = row | {name: EARLY for name in times if row.get(name) is not None}
    status, found = ask("/predict", _json(early))
    if status != 422 or "answers_from" not in json.dumps(found):
        raise RefitError(f"a row from before answers_from must get a 422 that says so, and got {_what(status, found)}")
    return 1


def _json(value: Any) -> bytes:
    return json.dumps(value, allow_nan=False).encode()


def _what(status: int, found: Any) -> str:
    text = json.dumps(found, ensure_ascii=False)
    return f"status {status}, {text if len(text) <= 300 else text[:297] + '...'}"
