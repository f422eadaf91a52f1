"""What a champion's receipt needs: which objects of DVC's cache, how large, what is said of them."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from flows import inputs
from tasks.errors import RefitError
from tasks.registry.tracking import Registered

LOCK = """schema: '2.0'
stages:
  ingest:
    cmd: python -m tasks.ingest
    outs:
    - {path: data/raw, md5: aa11.dir}
    - {path: data/seen.json}
  validate:
    outs:
    - {path: data/validated, md5: dd44}
  tune@a:
    outs:
    - {path: data/tuning/a, md5: bb22}
  tuned:
    outs:
    - {path: data/tuned, md5: ee55}
"""


def put(cache: Path, md5: str, content: bytes) -> None:
    path = cache / inputs.OBJECTS / md5[:2] / md5[2:]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)


@pytest.fixture
def lock(tmp_path: Path) -> Path:
    (tmp_path / "dvc.lock").write_text(LOCK)
    return tmp_path / "dvc.lock"


def test_only_what_cannot_be_computed_again_is_looked_for_with_all_its_objects(lock: Path, tmp_path: Path) -> None:
    listing = json.dumps(
        [{"md5": "cc33", "relpath": "a"}, {"md5": "cc33", "relpath": "b"}, {"md5": "ff66", "relpath": "c"}]
    )
    assert [(o.path, o.objects, o.lacking) for o in inputs.outputs(lock, tmp_path)] == [
        ("data/raw", ("aa/11.dir",), True), ("data/tuning/a", ("bb/22",), True),
    ]  # fmt: skip
    put(tmp_path, "aa11.dir", listing.encode())
    put(tmp_path, "cc33", b"x" * 100)
    put(tmp_path, "bb22", b"y" * 7)
    raw, tuning = inputs.outputs(lock, tmp_path)
    assert (raw.objects, raw.lacking) == (("aa/11.dir", "cc/33", "ff/66"), True)
    assert (tuning.md5, tuning.lacking) == ("bb22", False)
    put(tmp_path, "ff66", b"z" * 10)
    raw, tuning = inputs.outputs(lock, tmp_path)
    assert not raw.lacking
    assert inputs.size(tmp_path, raw) == len(listing) + 110
    assert inputs.size(tmp_path, tuning) == 7
    lock.write_text("")
    assert inputs.outputs(lock, tmp_path) == []


@pytest.mark.parametrize(("text", "wanted"), [("0", 0), ("1.5", 3 << 19), (None, 64 << 20)])
def test_how_much_is_stored_is_said_in_megabytes(
    text: str | None, wanted: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("REFIT_KEEP_MB", raising=False)
    if text is not None:
        monkeypatch.setenv("REFIT_KEEP_MB", text)
    assert inputs.bound() == wanted


@pytest.mark.parametrize("text", ["much", "-1", "nan", "1e9", "inf"])
def test_how_much_is_no_other_word(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REFIT_KEEP_MB", text)
    with pytest.raises(RefitError, match=f"REFIT_KEEP_MB: a number of megabytes, 0 for nothing; found '{text}'"):
        inputs.bound()


def test_what_is_stored_is_told_in_a_line() -> None:
    assert inputs.summary(None).startswith("--  inputs      not stored with the version")
    stored = [{"path": "a", "bytes": 1 << 20}, {"path": "b", "bytes": 1 << 19}]
    assert inputs.summary({"stored": stored, "left_out": []}) == "ok  inputs      2 stored with the version (1.5 MB)"
    left = [{"path": "c", "bytes": None, "why": "gone"}, {"path": "d", "bytes": 3 << 30, "why": "large"}]
    assert inputs.summary({"stored": stored, "left_out": left}) == (
        "--  inputs      2 stored with the version (1.5 MB); not stored: c (size unknown: gone); d (3,072.0 MB: large)"
    )


class Folder:
    """A registry whose runs are folders."""

    def __init__(self, place: Path) -> None:
        self.place = place

    def has(self, run_id: str, name: str) -> bool:
        return (self.place / run_id / name).exists()

    def artifact(self, run_id: str, name: str, into: Path) -> Path:
        return self.place / run_id / name

    def store(self, run_id: str, path: Path, place: str) -> None:
        to = self.place / run_id / place
        if path.is_dir():
            shutil.copytree(path, to, dirs_exist_ok=True)
        else:
            to.mkdir(parents=True, exist_ok=True)
            shutil.copy(path, to)


@pytest.fixture
def registry(tmp_path: Path) -> Any:
    (tmp_path / "runs" / "r").mkdir(parents=True)
    (tmp_path / "runs" / "r" / "dvc.lock").write_text(LOCK)
    return Folder(tmp_path / "runs")


VERSION = Registered("toy", "3", "r", "sha")


def md5(content: bytes) -> str:
    return hashlib.md5(content, usedforsecurity=False).hexdigest()


def test_the_smallest_come_first_up_to_the_bound_and_come_back_where_the_cache_lost_them(
    tmp_path: Path, registry: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    root, cache = tmp_path / "project", tmp_path / "cache"
    monkeypatch.setattr(inputs, "cache_of", lambda _: cache)
    assert inputs.keep(root, registry, VERSION) is None, "there is no DVC here"
    (root / ".dvc").mkdir(parents=True)
    assert inputs.keep(root, registry, Registered("toy", "4", "no lock", "sha")) is None
    assert inputs.kept(registry, VERSION) is None
    small, large = b"small", b"l" * (1 << 20)
    text = LOCK.replace("aa11.dir", md5(large)).replace("bb22", md5(small))
    lock = tmp_path / "runs" / "r" / "dvc.lock"
    lock.write_text(text)
    put(cache, md5(small), small)
    put(cache, md5(large), large)
    monkeypatch.setenv("REFIT_KEEP_MB", "1")
    about = inputs.keep(root, registry, VERSION)
    why = "more than the 1,048,576 bytes of REFIT_KEEP_MB"
    assert about == {
        "stored": [{"path": "data/tuning/a", "bytes": 5}],
        "left_out": [{"path": "data/raw", "bytes": 1 << 20, "why": why}],
    }
    assert inputs.kept(registry, VERSION) == about

    into = tmp_path / "into"
    inputs.bring(root, registry, VERSION, lock, into)
    assert not into.exists(), "the cache has everything still"
    for content in (small, large):
        (cache / inputs.OBJECTS / md5(content)[:2] / md5(content)[2:]).unlink()
    with pytest.raises(RefitError, match=rf"no more 'data/raw' \(dvc gc\?\).*: data/raw \(1\.0 MB: {why}\)\. Fetch it"):
        inputs.bring(root, registry, VERSION, lock, into)

    put(cache, md5(large), large)
    put(cache, md5(small), small)
    monkeypatch.setenv("REFIT_KEEP_MB", "2")
    about = inputs.keep(root, registry, VERSION)
    assert about is not None
    assert ([o["path"] for o in about["stored"]], about["left_out"]) == (["data/tuning/a", "data/raw"], [])
    monkeypatch.setenv("REFIT_KEEP_MB", "0")
    assert inputs.keep(root, registry, VERSION) == about, "what is whole is stored once"
    for content in (small, large):
        (cache / inputs.OBJECTS / md5(content)[:2] / md5(content)[2:]).unlink()
    inputs.bring(root, registry, VERSION, lock, into)
    for content in (small, large):
        assert (into / inputs.OBJECTS / md5(content)[:2] / md5(content)[2:]).read_bytes() == content
    put(registry.place / "r" / inputs.PLACE, md5(small), b"other")
    with pytest.raises(RefitError, match=r"version 3: what is stored with it of data/tuning/a is damaged"):
        inputs.bring(root, registry, VERSION, lock, tmp_path / "again")


def test_what_the_cache_has_not_is_not_stored_and_told(
    tmp_path: Path, registry: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    root, cache = tmp_path / "project", tmp_path / "cache"
    (root / ".dvc").mkdir(parents=True)
    monkeypatch.setattr(inputs, "cache_of", lambda _: cache)
    put(cache, "bb22", b"small")
    about = inputs.keep(root, registry, VERSION)
    assert about is not None
    assert about["left_out"] == [{"path": "data/raw", "bytes": None, "why": "not in the DVC cache"}]
    lock = tmp_path / "runs" / "r" / "dvc.lock"
    with pytest.raises(RefitError, match=r"data/raw \(size unknown: not in the DVC cache\)"):
        inputs.bring(root, registry, VERSION, lock, tmp_path / "into")
    never = Registered("toy", "9", "never", "sha")
    with pytest.raises(RefitError, match=r"data/raw \(stored only for a version that was made champion\)"):
        inputs.bring(root, registry, never, lock, tmp_path / "into")
