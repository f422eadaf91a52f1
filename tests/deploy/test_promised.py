"""The service's limits as docs/served.md, docs/pressure.md and `refit serve` promise them, and what happens exactly at them."""

from __future__ import annotations

import asyncio
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from importlib.metadata import distribution
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from deploy import batches, build, isolated, limits, predict, protocol, rows, scratch, serve, shutdown, timely, turns
from deploy.rows import Problems
from deploy.timely import Timely
from tasks.bundle.horizon import Horizon
from tasks.bundle.manifest import examine
from tasks.errors import RefitError
from tasks.files import read_json
from tasks.params import Duration, Limits
from tasks.registry.history import Decision, DecisionHistory
from tasks.registry.tracking import Registered
from tests.deploy.conftest import in_process
from tests.tasks.package.projects import TIMED
from tests.tasks.registry.packages import MODEL, make_package

MIB = 1 << 20
DAY = 86_400_000_000


def test_the_limits_are_as_they_were_promised() -> None:
    usual = limits.Load()
    assert usual.most == {"/predict": MIB, "/predict_batch": 64 * MIB, "/events": 64 * MIB, "/labels": 64 * MIB}
    assert (usual.most_held, limits.Load(Limits(batch_mb=100)).most_held) == (256 * MIB, 400 * MIB)
    assert limits.MOST_AT_ONCE == {"/predict": 256, "/predict_batch": 16, "/events": 64, "/labels": 16}
    assert (usual.limits.patience, limits.SLOWEST, limits.AGAIN) == (15.0, 256 << 10, 1)
    assert (usual.limits.batch_rows, batches.MOST_PROBLEMS, rows.MOST_ERRORS) == (1_000, 20, 20)
    assert (protocol.MOST_HEAD, protocol.MOST_HEADERS, protocol.MOST_CONNECTIONS) == (32 << 10, 100, 1_000)
    assert (protocol.PATIENCE, protocol.READER, protocol.KEEP_ALIVE) == (10.0, 30.0, 75)
    assert (shutdown.LINGER, shutdown.GRACE, shutdown.LAST, shutdown.STARTS) == (2.0, 20.0, 2.0, 60.0)
    assert (shutdown.DEATHS, shutdown.WITHIN, predict.SHOWN) == (5, 60.0, 5)
    assert scratch.ROOM == MIB


class Asked:
    """A request to a path whose body comes in parts, with so many seconds before each."""

    def __init__(self, path: str, *parts: tuple[float, bytes], **headers: str) -> None:
        self.url = SimpleNamespace(path=path)
        self.headers = {name.replace("_", "-"): value for name, value in headers.items()}
        self.parts = list(parts)

    async def receive(self) -> dict[str, Any]:
        if not self.parts:
            return {"type": "http.disconnect"}
        seconds, body = self.parts.pop(0)
        await asyncio.sleep(seconds)
        return {"type": "http.request", "body": body, "more_body": bool(self.parts)}


def body_of(load: limits.Load, *asked: Any, **headers: str) -> bytes:
    async def read() -> bytes:
        async with load.body(Asked("/predict", *asked, **headers)) as body:  # type: ignore[arg-type]
            assert load.held == len(body)
            return bytes(body)

    return asyncio.run(read())


def small() -> limits.Load:
    """A load that takes bodies of ten bytes, and ten at hand."""
    it = limits.Load()
    it.most["/predict"] = it.most_held = 10
    return it


def test_a_body_may_be_as_large_as_is_allowed_and_not_a_byte_larger() -> None:
    load = small()
    assert body_of(load, (0, b"x" * 4), (0, b"x" * 6), content_length="10") == b"x" * 10
    assert load.held == 0
    for parts, headers in (
        ([(0, b"x" * 11)], {}),
        ([(0, b"x" * 4), (0, b"x" * 7)], {}),
        ([(0, b"x")], {"content_length": "11"}),
    ):
        with pytest.raises(Problems, match="the body is larger than ") as found:
            body_of(load, *parts, **headers)
        assert (found.value.status, load.held) == (413, 0)
    load.held = 1
    with pytest.raises(limits.Busy, match=r"too much at once: .* of requests are at hand; ask again in 1 s") as busy:
        body_of(load, (0, b"x" * 10))
    assert (busy.value.status, busy.value.headers) == (503, {"Retry-After": "1", "Connection": "close"})
    assert load.held == 1


def test_a_body_has_some_seconds_and_more_the_more_of_it_has_come(monkeypatch: pytest.MonkeyPatch) -> None:
    hasty = Limits(patience=0.05)
    monkeypatch.setattr(limits, "SLOWEST", 10)  # ten bytes earn a second
    assert body_of(limits.Load(hasty), (0, b"x" * 100), (0.2, b"y")) == b"x" * 100 + b"y"
    monkeypatch.setattr(limits, "SLOWEST", 1 << 40)
    with pytest.raises(Problems, match=r"the body did not arrive in time \(0\.05 s, ") as found:
        body_of(limits.Load(hasty), (0, b"x" * 100), (20, b"y"))
    assert found.value.status == 408
    with pytest.raises(Problems, match="the client went away") as gone:
        body_of(limits.Load())
    assert gone.value.status == 400


@pytest.mark.parametrize(
    ("kind", "fine"),
    [("application/json", True), ("Application/JSON; charset=utf-8", True), ("application/ld+json", True), ("", True),
     ("text/plain", False), ("application/jsonx", False)],
)  # fmt: skip
def test_a_body_is_json(kind: str, fine: bool) -> None:
    if fine:
        assert body_of(limits.Load(), (0, b"{}"), content_type=kind) == b"{}"
        return
    with pytest.raises(Problems, match=f"the content type must be application/json, found '{kind}'") as found:
        body_of(limits.Load(), (0, b"{}"), content_type=kind)
    assert found.value.status == 415


def test_so_many_requests_of_a_path_are_at_work_and_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(limits.MOST_AT_ONCE, "/predict", 1)
    load = limits.Load()
    with load.taking("/predict"):
        with (
            pytest.raises(limits.Busy, match="too much at once: 1 requests to /predict are at work"),
            load.taking("/predict"),
        ):
            pytest.fail("it was taken")
        with load.taking("/predict_batch"):
            assert load.at_once == {"/predict": 1, "/predict_batch": 1, "/events": 0, "/labels": 0}
    assert not any(load.at_once.values())


# Time -----------------------------------------------------------------------------------------------------------------


def dated(**more: Any) -> Any:
    horizon = Horizon(5 * DAY, {"a": 20 * DAY, "b": 30 * DAY}, {"a": 5 * DAY, "b": None})
    plan = SimpleNamespace(time=SimpleNamespace(column="at"))
    return SimpleNamespace(horizon=horizon, plan=plan, moment=lambda row: row["at"] * DAY, **more)


def test_how_old_each_table_is_and_which_are_too_old(capsys: pytest.CaptureFixture[str]) -> None:
    it = Timely(dated())
    assert it.about(26 * 86_400.0) == {
        "answers_from": "1970-01-06T00:00:00Z", "known_until": {"a": "1970-01-21T00:00:00Z", "b": "1970-01-31T00:00:00Z"},
        "age_seconds": {"a": 6 * 86_400.0, "b": -4 * 86_400.0}, "stale": ["a"],
    }  # fmt: skip
    assert it.about(25 * 86_400.0)["stale"] == []
    it.tell()
    said = capsys.readouterr().out.splitlines()
    assert said[0] == "rows are answered from 1970-01-06T00:00:00Z on"
    assert said[1].endswith(" ago (too old for rows of now)")
    assert said[2].startswith("'b': known until 1970-01-31T00:00:00Z, ")
    assert said[2].endswith(" ago")
    open_ended = Timely(SimpleNamespace(horizon=Horizon(), plan=SimpleNamespace(time=None)))  # type: ignore[arg-type]
    assert open_ended.about(0.0) == {"answers_from": None, "known_until": {}, "age_seconds": {}, "stale": []}
    open_ended.tell()
    assert capsys.readouterr().out == ""


def test_a_row_is_warned_of_or_refused_for_the_tables_that_are_too_old_alone(
    capsys: pytest.CaptureFixture[str],
) -> None:
    patient, strict = Timely(dated()), Timely(dated(), refuse=True)
    assert patient.admit({"at": 10}) == strict.admit({"at": 10}) == []
    with pytest.raises(Problems, match="is before answers_from") as early:
        patient.admit({"at": 4})
    assert (early.value.status, early.value.errors[0]["field"]) == (422, "at")
    assert len(strict.admit({"at": 25})) == 1, "late, and not too late"
    assert len(patient.admit({"at": 31})) == 2
    assert len(patient.admit({"at": 32})) == 2
    with pytest.raises(Problems) as late:
        strict.admit({"at": 31})
    assert late.value.status == 503
    assert [
        e["message"].endswith("too old to rely on (at most 5d) (serving.stale: refuse)") for e in late.value.errors
    ] == [True]
    assert capsys.readouterr().out.count("this line comes once") == 4, "once for each table and process"
    within = Timely(dated(), refuse=True, after=Duration("40d"))
    assert len(within.admit({"at": 31})) == 2
    nowhere = SimpleNamespace(horizon=Horizon(5 * DAY), plan=SimpleNamespace(time=None), moment=lambda row: 0)
    with pytest.raises(Problems) as found:
        Timely(nowhere).admit({})  # type: ignore[arg-type]
    assert list(found.value.errors[0]) == ["message"]


def test_what_the_environment_says_of_time() -> None:
    assert not Timely.of(dated(), {}).refuse
    assert Timely.of(dated(), {timely.STALE: "refuse"}).refuse
    assert Timely.of(dated(), {timely.STALE_AFTER: "6h"}).horizon.patience == {"a": DAY // 4, "b": DAY // 4}


# Scratch, copies and rooms --------------------------------------------------------------------------------------------


def test_workers_take_their_room_before_they_count(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scratch, "ROOM", 1000)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    taken: list[int] = []
    monkeypatch.setattr(scratch, "_take", lambda file, size: taken.append(size))
    with scratch.folder(3) as made:
        assert made is not None
        assert [p.name for p in made.iterdir()] == [scratch.LOCK]
    assert taken == [2 * 3 * 2 * 1000]
    monkeypatch.undo()
    monkeypatch.setattr(scratch, "ROOM", 1000)
    monkeypatch.setenv("PROMETHEUS_MULTIPROC_DIR", str(tmp_path))
    scratch.reserve()
    assert sorted(p.stat().st_size for p in tmp_path.glob("*.db")) == [1000, 1000]
    monkeypatch.delenv("PROMETHEUS_MULTIPROC_DIR")
    scratch.reserve()


def test_a_copy_that_was_cut_off_is_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = make_package(tmp_path / "package", "it")

    def full(source: Path, to: Path, **how: Any) -> None:
        to.mkdir()
        (to / "half").write_text("half")
        raise OSError("no space left")

    monkeypatch.setattr("shutil.copytree", full)
    assert serve.pinned(package, examine(package).identity, tmp_path / "copy") == package
    assert not (tmp_path / "copy").exists()


def test_a_room_has_all_files_of_a_distribution_and_none_of_another(tmp_path: Path) -> None:
    for name in ("pluggy", "ruamel.yaml", "typing-extensions"):
        isolated._link(name, tmp_path)
        files = [f for f in distribution(name).files or [] if f.parts[0] != ".." and "__pycache__" not in f.parts]
        assert files
        assert all((tmp_path / f).read_bytes() == Path(str(f.locate())).read_bytes() for f in files)
    assert (tmp_path / "pluggy").is_symlink(), "a package is linked as a whole"
    assert not (tmp_path / "ruamel").is_symlink(), "a folder that others share is not"
    assert (tmp_path / "typing_extensions.py").is_symlink()
    top = {p.name for p in tmp_path.iterdir() if not p.name.endswith(".dist-info")}
    assert top == {"pluggy", "ruamel", "typing_extensions.py"}


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project whose registry has one version, which is a folder."""
    package = make_package(tmp_path / "made", "it")
    one = Registered(MODEL, "4", "run", examine(package).identity)

    class Shelf:
        def __init__(self, root: Path) -> None:
            pass

        def holding(self, model: str, digest: str) -> Registered | None:
            return one if digest == one.package_sha256 else None

        def version(self, model: str, version: str) -> Registered:
            return one

        def fetch(self, found: Registered, into: Path) -> Path:
            into.mkdir()
            return into

    monkeypatch.setattr("tasks.registry.tracking.Registry", Shelf)
    monkeypatch.setattr("tasks.params.load", lambda path: SimpleNamespace(problem=SimpleNamespace(name=MODEL)))
    return tmp_path


def test_a_bento_is_of_the_champion_or_of_a_version_that_is_named(project: Path) -> None:
    with build.registered(project, "4") as (folder, version):
        assert (folder.is_dir(), version) == (True, "4")
    assert not folder.exists()
    with pytest.raises(RefitError, match="toy: there is no champion yet"), build.registered(project, None):
        pytest.fail("there is one")
    DecisionHistory(project).record(
        Decision(MODEL, "promote", "4", "4", examine(project / "made").identity, "", "", "a"), None
    )
    with build.registered(project, None) as (folder, version):
        assert version == "4"
    DecisionHistory(project).record(
        Decision(MODEL, "promote", "5", "5", "f" * 64, "", "", "b"), examine(project / "made").identity
    )
    with (
        pytest.raises(RefitError, match="the champion, version 5, is not in the registry"),
        build.registered(project, None),
    ):
        pytest.fail("it is")


# Turns ----------------------------------------------------------------------------------------------------------------


@contextmanager
def working() -> Iterator[turns.Turns]:
    it = turns.Turns()
    try:
        yield it
    finally:
        it.stop()
        assert it._thread is None


def test_a_thread_of_batches_ends_when_it_is_told_to_and_begins_anew() -> None:
    def one() -> turns.Steps[int]:
        yield
        return 7

    others = set(threading.enumerate())
    with working() as it:
        for _ in range(2):
            assert asyncio.run(it.run(one())) == 7
            (thread,) = [t for t in threading.enumerate() if t.name == "refit-batches" and t not in others]
            it.stop()
            assert not thread.is_alive()


def test_batches_are_free_only_when_no_request_that_goes_first_is_left() -> None:
    it = turns.Turns()
    assert it._free.is_set()
    it.begin()
    it.begin()
    it.end()
    assert not it._free.is_set()
    it.end()
    assert it._free.is_set()
    it.stop()


# What is counted ------------------------------------------------------------------------------------------------------


def test_rows_decisions_and_requests_are_counted_by_path(
    packages: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    row = read_json(packages[TIMED] / "golden.json")["rows"][0]["input"]
    with in_process(packages[TIMED]) as client:

        def counted(name: str) -> float:
            found = re.findall(rf"^{re.escape(name)} (\S+)$", client.get("/metrics").text, re.M)
            return float(found[0]) if found else 0.0

        decision = client.post("/predict", json=row).json()["decision"]
        assert client.post("/predict_batch", json=[row] * 3).status_code == 200
        assert client.post("/predict_batch", json=[row, {}]).status_code == 422
        assert client.get("/nowhere").status_code == 404
        assert counted("refit_rows_total") == 4
        assert counted(f'refit_decisions_total{{decision="{decision}"}}') == 4
        for path, status, times in (
            ("/predict", 200, 1), ("/predict_batch", 200, 1), ("/predict_batch", 422, 1), ("other", 404, 1), ("/predict", 404, 0),
        ):  # fmt: skip
            assert counted(f'refit_requests_total{{path="{path}",status="{status}"}}') == times
        for path in ("/predict", "/predict_batch"):
            assert counted(f'refit_request_seconds_count{{path="{path}"}}') == 1
        served = client.app.state.served  # type: ignore[attr-defined]
        answer = served.bundle.predict_row(served.rows.row(row))
        infinite = replace(answer, scores=(float("nan"), float("inf")))
        monkeypatch.setattr(served.bundle, "predict_features", lambda features: [infinite] * len(features))
        for path, body in (("/predict", row), ("/predict_batch", [row])):
            said = client.post(path, json=body)
            assert said.status_code == 422
            assert "the model has no finite answer for this row" in said.text
        assert counted("refit_rows_total") == 4
