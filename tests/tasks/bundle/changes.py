"""Ways to change a package, most of them so that its hashes agree again: none of the results must be served."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from tasks.artifacts import Manifest
from tasks.bundle.manifest import write_manifest
from tasks.files import read_json, read_table, write_json, write_table

Change = Callable[[Path], object]


def says(folder: Path, **changed: Any) -> None:
    """``bundle.json`` says something else of the same files."""
    write_json(folder / "bundle.json", read_json(folder / "bundle.json") | changed)


def hashed(folder: Path) -> None:
    """``bundle.json`` lists the files as they are now."""
    write_manifest(folder, Manifest.of_json(read_json(folder / "bundle.json")))


def inner(folder: Path, name: str, change: Callable[[Any], object]) -> None:
    """A JSON file says something else, and its hash agrees."""
    found = read_json(folder / name)
    change(found)
    write_json(folder / name, found)
    hashed(folder)


def model(folder: Path, rehash: bool) -> None:
    path = next(folder.glob("model/*/booster.ubj"))
    path.write_bytes(path.read_bytes()[:-1] + b"x")
    if rehash:
        hashed(folder)


def shorter_history(folder: Path) -> None:
    path = folder / "history" / "orders.parquet"
    write_table(path, read_table(path).tail(50))
    hashed(folder)


def gone(folder: Path, rehash: bool) -> None:
    (folder / "receipt.json").unlink()
    if rehash:
        hashed(folder)


def more(folder: Path, rehash: bool) -> None:
    (folder / "history" / "more.parquet").write_bytes((folder / "reference.parquet").read_bytes())
    if rehash:
        hashed(folder)


def linked(folder: Path, name: str) -> None:
    """A file or folder of the same content, elsewhere."""
    (folder / name).rename(folder.with_name("elsewhere"))
    (folder / name).symlink_to(folder.with_name("elsewhere"))


def listed(folder: Path, name: str) -> None:
    manifest = read_json(folder / "bundle.json")
    says(folder, files=manifest["files"] | {name: "0" * 64})


def twice(folder: Path) -> None:
    text = (folder / "bundle.json").read_text()
    (folder / "bundle.json").write_text(text.replace('"threshold": 0.4', '"threshold": 0.9, "threshold": 0.4', 1))


def say(**changed: Any) -> Change:
    return partial(says, **changed)


# What is changed, how, and what is said of it by the package alone; None: only who knows its identity can tell.
CHANGES: dict[str, tuple[Change, str | None]] = {
    "a lower threshold": (say(threshold=0.1), None),
    "no threshold": (say(threshold=None), None),
    "a threshold as text": (say(threshold="0.4"), "threshold must be a number from 0 to 1"),
    "a threshold that is true": (say(threshold=True), "threshold must be a number from 0 to 1"),
    "a threshold beyond all scores": (say(threshold=7), "threshold must be a number from 0 to 1"),
    "classes the other way round": (say(classes=["1", "0"]), None),
    "other names of classes": (say(classes=["yes", "no"]), None),
    "one class more": (say(classes=["0", "1", "2"]), "classes must be"),
    "one class twice": (say(classes=["1", "1"]), "classes must be"),
    "classes that are numbers": (say(classes=[0, 1]), "classes must be"),
    "another kind": (say(kind="multiclass", threshold=None), None),
    "an unknown kind": (say(kind="ranking"), "kind must be"),
    "another name": (say(name="orders-early"), None),
    "a name with a slash": (say(name="../orders"), "name must be"),
    "a format that is true": (say(format=True), "format 1 is read here, found True"),
    "a member from elsewhere": (say(members=["../../elsewhere"]), "members must be"),
    "a member with a slash": (say(members=["xgboost/"]), "members must be"),
    "members as text": (say(members="xgboost"), "members must be"),
    "another weight": (say(weights=[2.0]), None),
    "a weight too many": (say(weights=[1.0, 1.0]), "weights must be"),
    "a calibration": (say(calibration={"slope": 0.1, "shift": 0}), None),
    "an earlier start": (say(answers_from="2024-01-01T00:00:00Z"), None),
    "a start without a zone": (say(answers_from="2024-02-18T18:06:32"), "answers_from must be"),
    "a start without an end": (
        lambda folder: write_json(
            folder / "bundle.json", {k: v for k, v in read_json(folder / "bundle.json").items() if k != "known_until"}
        ),
        "answers_from must be a moment or null, beside known_until",
    ),
    "a later end": (say(known_until={"orders": "2034-01-01T00:00:00Z"}), None),
    "a damaged model": (partial(model, rehash=False), "damaged: 'model/xgboost/booster.ubj'"),
    "another model": (partial(model, rehash=True), None),
    "another plan": (
        lambda folder: inner(folder, "plan.json", lambda plan: plan["time"].update(offset=0)),
        None,
    ),
    "another schema": (
        lambda folder: inner(folder, "schema.json", lambda schema: schema["fields"][0].update(nullable=True)),
        None,
    ),
    "other golden rows": (
        lambda folder: inner(folder, "golden.json", lambda golden: golden.update(rows=golden["rows"][:1])),
        None,
    ),
    "a shorter history": (shorter_history, None),
    "a missing file": (partial(gone, rehash=False), "missing: 'receipt.json'"),
    "a missing file that is not listed": (partial(gone, rehash=True), "missing: 'receipt.json'"),
    "one more file": (partial(more, rehash=False), "not part of it: 'history/more.parquet'"),
    "one more file that is listed": (partial(more, rehash=True), None),
    "a file that is a link": (partial(linked, name="plan.json"), "links, and a package holds its files itself .*: 'plan.json'"),
    "a folder that is a link": (partial(linked, name="history"), "links, .*: 'history'"),
    "its manifest a link": (partial(linked, name="bundle.json"), "links, .*: 'bundle.json'"),
    "a file outside of it": (partial(listed, name="../secret"), "files must be"),
    "a file by its whole path": (partial(listed, name="/etc/hostname"), "files must be"),
    "files as a list": (say(files=[]), "files must be"),
    "a threshold that stands twice": (twice, "a name stands twice"),
    "no JSON": (lambda folder: (folder / "bundle.json").write_text("{"), "not valid JSON"),
    "no number": (
        lambda folder: (folder / "bundle.json").write_text(
            json.dumps(read_json(folder / "bundle.json") | {"threshold": float("nan")})
        ),
        "NaN is no number",
    ),
}  # fmt: skip
