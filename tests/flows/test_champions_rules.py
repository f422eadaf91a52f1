"""Who is champion, and where its package is, told from files alone: each witness of a champion refuses to be forgotten.

MLflow takes seconds to open, so a shelf of packages stands for it here; ``test_lost_champions`` has the real one.
"""

from __future__ import annotations

import os
import shutil
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from flows import champions, packages, versions
from tasks.artifacts import ChampionLock
from tasks.errors import RefitError
from tasks.files import sha256, write_json
from tasks.registry.history import Action, Decision, DecisionHistory, mark
from tasks.registry.tracking import Registered, RegistryState
from tests.tasks.registry.packages import MODEL, make_package


@dataclass
class Shelf:
    """A registry as the champion's is asked: versions of packages that lie in folders."""

    said_: RegistryState
    listed: list[Registered]
    folders: dict[str, Path] = field(default_factory=dict)
    shown: str = "the shelf"

    def state(self, model: str) -> RegistryState:
        return self.said_

    def versions(self, model: str) -> list[Registered]:
        return self.listed

    def holding(self, model: str, digest: str) -> Registered | None:
        return next((one for one in self.listed if one.package_sha256 == digest), None)

    def version(self, model: str, version: str) -> Registered:
        raise RefitError(f"no version {version!r} in the registry")

    def fetch(self, one: Registered, into: Path) -> Path:
        if one.package_sha256 not in self.folders:
            raise RefitError("its files are lost")
        return Path(shutil.copytree(self.folders[one.package_sha256], into))

    def restored(self, model: str, digest: str) -> str:
        return "run"

    def register(self, model: str, folder: Path, run_id: str, above: int) -> Registered:
        digest = sha256(folder / "bundle.json")
        number = 1 + max([above, *(int(one.version) for one in self.listed)])
        self.listed.append(Registered(model, str(number), run_id, digest))
        return self.listed[-1]


def row(version: str, digest: str, action: Action = "promote", number: int = 0, **more: Any) -> Decision:
    champion = more.pop("champion", version)
    return Decision(
        MODEL, action, version, champion, digest, "why", "who", f"{version} {digest} {action}", number=number, **more
    )


def decide(root: Path, version: str, digest: str, before: str | None = None, action: Action = "promote") -> Decision:
    return DecisionHistory(root).record(row(version, digest, action), before)


def shelf(*versions: tuple[str, str], champion: str | None = None, decision: str | None = None) -> Any:
    return Shelf(RegistryState(champion, decision), [Registered(MODEL, v, f"run {v}", d) for v, d in versions])


@pytest.fixture
def made(tmp_path: Path) -> tuple[Path, str]:
    """A package outside of any project, and its hash."""
    folder = make_package(tmp_path / "made", "a package")
    return folder, sha256(folder / "bundle.json")


# Who ------------------------------------------------------------------------------------------------------------------


def test_a_project_without_any_witness_begins_with_an_empty_history(tmp_path: Path) -> None:
    assert champions.decisions(tmp_path, MODEL, None) == []
    assert champions.decisions(tmp_path, MODEL, shelf(("1", "sha-1"))) == []
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("witness", "said"),
    [
        ("alias", r"toy: the registry \(the shelf\) follows decision \? \(champion: version 3 there\), and the history here"),
        ("mark", r"toy: the registry \(the shelf\) follows decision 4 \(no champion\), and the history here .* has no decision"),
        ("champion", r"toy: data/champion holds version 2 \(package aaaaaaaaaaaa\), and .* has no decision about toy"),
        ("start", r"toy: data/start/params\.json holds a champion's parameters, and .* has no decision about toy"),
        ("renamed", r"problem\.name: this project's champion is that of 'old', and params\.yaml says 'toy'"),
        ("renamed lock", r"problem\.name: this project's champion is that of 'old', and params\.yaml says 'toy'"),
        ("lock", r"toy: champion\.lock follows decision 7 \(champion: version 2, package aaaaaaaaaaaa\), which is not in the history here"),
        ("lock of none", r"toy: champion\.lock follows decision 7 \(no champion\), which is not in the history here .*: no decisions"),
    ],
)  # fmt: skip
def test_whatever_tells_of_a_champion_refuses_an_empty_history(tmp_path: Path, witness: str, said: str) -> None:
    digest, registry = "a" * 64, shelf()
    held = {"version": "2", "package_sha256": digest}
    lock = {"model": MODEL, **held, "decision": "7:abc"}
    if witness == "alias":
        registry = shelf(champion="3")
    elif witness == "mark":
        registry = shelf(decision="4:abc")
    elif witness == "start":
        write_json(tmp_path / "data/start/params.json", {})
    elif witness.startswith("lock"):
        write_json(
            tmp_path / "champion.lock", lock if witness == "lock" else lock | {"version": None, "package_sha256": ""}
        )
    elif witness == "renamed lock":
        write_json(tmp_path / "champion.lock", lock | {"model": "old"})
    else:
        write_json(tmp_path / "data/champion/champion.json", held | {"name": "old" if witness == "renamed" else MODEL})
    with pytest.raises(RefitError, match=said):
        champions.decisions(tmp_path, MODEL, registry)


def test_another_models_lock_without_a_champion_is_no_witness(tmp_path: Path) -> None:
    lock = {"model": "old", "version": None, "package_sha256": "", "decision": "7:abc"}
    write_json(tmp_path / "champion.lock", lock)
    assert champions.decisions(tmp_path, MODEL, None) == []


def test_a_history_is_the_one_that_lock_and_registry_followed_or_is_refused(tmp_path: Path) -> None:
    first = decide(tmp_path, "1", "sha-1")
    past = champions.decisions(tmp_path, MODEL, None)
    assert past == [first]
    for registry in (shelf(), shelf(decision=mark(first)), shelf(("1", "sha-1"), champion="1"), shelf(("9", "sha-9"))):
        assert champions.decisions(tmp_path, MODEL, registry) == past
    for registry in (shelf(decision="1:other"), shelf(("1", "sha-1"), ("2", "sha-2"), champion="2")):
        with pytest.raises(
            RefitError, match=r"which is not in the history here \(.*: 1 decisions\)\. Nothing was done"
        ):
            champions.decisions(tmp_path, MODEL, registry)
    champions._write_lock(tmp_path, past, first)
    lock = champions.lock_of(tmp_path)
    assert lock == ChampionLock(model=MODEL, version="1", package_sha256="sha-1", decision=mark(first))
    assert champions.decisions(tmp_path, MODEL, None) == past
    lock.model_copy(update={"decision": "1:other"}).write(tmp_path)
    with pytest.raises(RefitError, match=r"champion\.lock follows decision 1 \(champion: version 1, package sha-1\)"):
        champions.decisions(tmp_path, MODEL, None)


def test_a_lock_is_written_where_it_says_something_else_and_never_without_a_decision(tmp_path: Path) -> None:
    lock = tmp_path / "champion.lock"
    champions._write_lock(tmp_path, [], None)
    assert not lock.exists()
    none = row("none", "", "adopt", 1, champion=None)
    champions._write_lock(tmp_path, [none], None)
    written = ChampionLock(model=MODEL, version=None, package_sha256="", decision=mark(none))
    assert champions.lock_of(tmp_path) == written
    stamp = lock.stat().st_mtime_ns
    champions._write_lock(tmp_path, [none], None)
    assert lock.stat().st_mtime_ns == stamp
    for text in ("<<<<<<< HEAD", "[]", '{"model": "toy"}'):
        lock.write_text(text)
        with pytest.raises(RefitError, match=r"champion\.lock: cannot be read \(two branches merged\?\)"):
            champions.lock_of(tmp_path)
    champions._write_lock(tmp_path, [none], None)
    assert lock.stat().st_mtime_ns != stamp


# Where its package is -------------------------------------------------------------------------------------------------


def test_a_whole_copy_is_found_kept_and_served_and_a_damaged_one_is_not(tmp_path: Path, made: tuple[Path, str]) -> None:
    folder, digest = made
    root = tmp_path / "project"
    kept = root / packages.KEPT / digest[:16]
    assert packages.local_copy(root, digest) is None
    assert packages.keep_copy(root, digest) is None
    for place in ("data/package", "data/champion/package"):
        shutil.copytree(folder, root / place)
        assert packages.local_copy(root, digest) == root / place
    assert not packages.is_whole(root / "data/package", "0" * 64)
    assert packages.keep_copy(root, digest) == packages.local_copy(root, digest) == kept
    assert packages.is_whole(kept, digest)
    assert packages.keep_copy(root, digest) == kept
    (kept / "schema.json").write_text("{}")
    assert not packages.is_whole(kept, digest)
    assert packages.local_copy(root, digest) == root / "data/champion/package"
    assert packages.package_folder(root, MODEL, digest, "1", shelf()) == kept, "mended from the next whole copy"
    assert packages.is_whole(kept, digest)
    assert not packages.is_whole(tmp_path / "nowhere", digest)


def test_a_package_that_is_not_here_comes_from_the_registry_or_it_is_said_where_was_looked(
    tmp_path: Path, made: tuple[Path, str]
) -> None:
    folder, digest = made
    root, registry = tmp_path / "project", shelf(("4", digest))
    gone = (
        rf"toy: the package of version 4 \({digest[:12]}\) is gone: it is neither in .refit/versions, data/champion nor"
    )
    with pytest.raises(
        RefitError, match=rf"{gone} data/package, and the registry \(the shelf\) says: its files are lost"
    ):
        packages.package_folder(root, MODEL, digest, "4", registry)
    with pytest.raises(RefitError, match=rf"{gone} data/package, and the registry \(the shelf\) does not know it"):
        packages.package_folder(root, MODEL, digest, "4", shelf(("4", "0" * 64)))
    registry.folders[digest] = folder
    found = packages.package_folder(root, MODEL, digest, "4", registry)
    assert found == root / packages.KEPT / digest[:16]
    assert packages.is_whole(found, digest)


def test_old_copies_go_but_not_those_of_the_last_champions_or_of_today(tmp_path: Path) -> None:
    kept, old = tmp_path / packages.KEPT, time.time() - 86_400 - 60
    digests = {i: f"{i:02x}" * 32 for i in range(1, packages.RECENT + 4)}
    past = [row(str(i), digest, number=i) for i, digest in digests.items()]
    past.insert(5, row("99", "f" * 64, "keep", 99))
    past.append(row("2", digests[2], "rollback", 100))
    ages = {digest[:16]: old for digest in digests.values()} | {"f" * 16: old, "being made": time.time() - 80_000}
    for name, age in ages.items():
        (kept / name).mkdir(parents=True)
        os.utime(kept / name, (age, age))
    packages.prune(tmp_path, past)
    recent = [2, *range(5, packages.RECENT + 4)]
    assert len(recent) == packages.RECENT == 8
    assert {p.name for p in kept.iterdir()} == {digests[i][:16] for i in recent} | {"being made"}


def test_the_champion_is_served_by_the_historys_word(tmp_path: Path, made: tuple[Path, str]) -> None:
    folder, digest = made
    root = tmp_path / "project"
    root.mkdir()
    with pytest.raises(RefitError, match="toy: there is no champion to serve yet"):
        champions.to_serve(root, MODEL)
    shutil.copytree(folder, root / "data/package")
    decide(root, "3", digest)
    kept = root / packages.KEPT / digest[:16]
    assert champions.to_serve(root, MODEL) == (kept, "3", digest)


def test_a_folder_is_vouched_for_by_a_person_or_by_the_history(tmp_path: Path, made: tuple[Path, str]) -> None:
    folder, digest = made
    root = tmp_path / "project"
    root.mkdir()
    assert versions.vouched(root, folder, digest.upper()) == ("unregistered", digest)
    with pytest.raises(
        RefitError, match=rf"knows no such package of toy\. If it is the one that you mean: --sha256 {digest}"
    ):
        versions.vouched(root, folder, None)
    for wrong in ("abc", digest + "0", "g" * 64):
        with pytest.raises(RefitError, match="--sha256: 64 hexadecimal digits are needed, found"):
            versions.vouched(root, folder, wrong)
    with pytest.raises(RefitError, match="its identity is"):
        versions.vouched(root, folder, "0" * 64)
    decide(root, "3", digest)
    assert versions.vouched(root, folder, None) == versions.vouched(root, folder, digest) == ("3", digest)
    (root / ".refit" / "history.db").write_bytes(b"no database")
    assert versions.vouched(root, folder, digest) == ("unregistered", digest)
    with pytest.raises(RefitError, match="cannot be used"):
        versions.vouched(root, folder, None)


# Numbers --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("version", "past", "wanted"),
    [
        ("4", [("4", "sha-a")], 3),  # its own number, where that is free
        ("4", [], 3),
        ("4", [("4", "sha-b"), ("7", "sha-c")], 7),  # another package's number is never given again
        ("4", [("4", "sha-a"), ("4", "sha-b"), ("7", "sha-c")], 7),
        ("none", [("2", "sha-b")], 2),
        ("0", [("2", "sha-b")], 2),
        ("4", [("9", "sha-b")], 3),
    ],
)
def test_a_version_keeps_its_number_where_no_other_package_has_it(
    version: str, past: list[tuple[str, str]], wanted: int
) -> None:
    assert versions.above_which([row(v, d) for v, d in past], "sha-a", version) == wanted


def test_a_registry_that_does_not_know_a_package_gets_it_once(tmp_path: Path, made: tuple[Path, str]) -> None:
    folder, digest = made
    root, registry = tmp_path / "project", shelf()
    shutil.copytree(folder, root / "data/package")
    found = versions.registered(root, registry, MODEL, digest, "6", [row("6", digest)])
    assert (found.version, found.package_sha256) == ("6", digest)
    assert versions.registered(root, registry, MODEL, digest, "6", []) == found
    assert len(registry.listed) == 1


def test_what_a_person_means_by_a_version(tmp_path: Path) -> None:
    a, b, c = ("a" * 64, "abcdef12" + "b" * 56, "abcdef34" + "c" * 56)
    registry, past = shelf(("1", a), ("2", b)), [row("1", a), row("3", c)]

    def meant(text: str, of: list[Decision] = past) -> str:
        return versions.meant(registry, MODEL, text, of)

    assert (meant("1"), meant("2"), meant("3")) == (a, b, c)
    assert (meant("aaaaaaaa"), meant("ABCDEF12"), meant("abcdef34")) == (a, b, c)
    with pytest.raises(RefitError, match="no version '9' in the registry"):
        meant("9")
    with pytest.raises(RefitError, match="no version 'ffffffff' in the registry"):
        meant("ffffffff")
    with pytest.raises(RefitError, match=r"version '2' means several packages.*'cccccccccccc', 'abcdef12bbbb'"):
        meant("2", [*past, row("2", "c" * 64)])
    same = "abcdef12" + "0" * 56
    with pytest.raises(RefitError, match=r"'abcdef12' means several packages"):
        meant("abcdef12", [*past, row("5", same)])
    assert versions.known(registry, MODEL, "2", past).package_sha256 == b
    with pytest.raises(
        RefitError, match=r"version 3 \(package abcdef34cccc\) is in the history, and the registry \(the shelf\)"
    ):
        versions.known(registry, MODEL, "3", past)
    assert versions.resolve(tmp_path, registry, MODEL, "abcdef12", past).version == "2"


def test_a_package_is_called_as_it_was_decided_on_last() -> None:
    past = [row("1", "sha-a"), row("5", "sha-a"), row("2", "sha-b")]
    assert versions.number_of(past, "sha-a", "?") == "5"
    assert versions.number_of(past, "sha-c", "?") == "?"


# Beforehand -----------------------------------------------------------------------------------------------------------


def test_a_run_begins_with_the_champions_package_at_hand_and_its_lock(
    tmp_path: Path, made: tuple[Path, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, digest = made
    root = tmp_path / "project"
    root.mkdir()
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    champions.check_ready(root, MODEL, False)
    assert list(root.iterdir()) == [], "nothing to look for, and no registry is made"
    decide(root, "1", digest)
    shutil.copytree(folder, root / "data/package")
    champions.check_ready(root, MODEL, True)
    lock = champions.lock_of(root)
    assert lock is not None
    assert (lock.version, lock.package_sha256) == ("1", digest)
    assert packages.is_whole(root / packages.KEPT / digest[:16], digest)


def test_what_tells_one_state_from_another(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.delenv("REFIT_HISTORY", raising=False)
    first = row("1", "sha", number=1)
    here = champions.registry_state(tmp_path, first)
    assert here == [f"sqlite:///{tmp_path}/.refit/mlflow.db", f"sqlite:///{tmp_path}/.refit/history.db", mark(first)]
    assert champions.registry_state(tmp_path, None) == [*here[:2], None]
    assert not champions.reachable(tmp_path)
    (tmp_path / ".refit").mkdir()
    (tmp_path / ".refit" / "mlflow.db").touch()
    assert champions.reachable(tmp_path)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:1")
    assert champions.reachable(tmp_path / "nowhere"), "a server is asked, and says so itself"
