"""docs/champion.md on a real project: what is moved, copied, cloned, renamed or lost; and every command of that page."""

from __future__ import annotations

import io
import re
import shlex
import shutil
from itertools import chain, combinations
from pathlib import Path

import pytest
from dulwich import porcelain

from flows import champions, context, inputs, packages, promotion, standing, versions
from tasks.artifacts import ChampionFile
from tasks.errors import RefitError
from tasks.files import read_json, sha256
from tasks.params import load
from tasks.registry.history import DecisionHistory
from tasks.registry.tracking import Registry
from tests.flows.project import copied, dvc, refit
from tests.projects import ROOT
from tests.tasks.bundle.changes import CHANGES, say

pytestmark = pytest.mark.flows
MODEL = "iris-target"
CHANGED = (
    "a name with a slash",
    "a member from elsewhere",
    "a format that is true",
    "a missing file",
    "one more file",
    "a file that is a link",
)
PAGE = (ROOT / "docs" / "champion.md").read_text()


def who(root: Path) -> str:
    """Hash of the package that a run finds as champion, that is served, and that history and lock name."""
    standing.check_ready(root, MODEL)
    folder, version, _ = champions.to_serve(root, MODEL)
    champion, lock = DecisionHistory(root).champion(MODEL), champions.lock_of(root)
    assert champion is not None
    assert lock is not None
    assert sha256(folder / "bundle.json") == champion.package_sha256 == lock.package_sha256
    assert version == champion.champion
    return champion.package_sha256


def carried_out(root: Path) -> None:
    """The effects of the run whose package lies there, once more."""
    context.write_champion(root, MODEL)
    found = standing.result(root, load(root / "params.yaml"))
    promotion.decide(root, promotion.register(root, found, Registry(root).track(found)))


def aliased(root: Path) -> str:
    registry = Registry(root)
    return registry.version(MODEL, str(registry.state(MODEL).champion)).package_sha256


def without(root: Path, gone: tuple[str, ...]) -> None:
    for path in (root / name for name in gone):
        shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)


# Files and folders that get lost, alone and together; `.refit` holds the two databases and copies of packages.
LOSSES = ("dvc.lock", ".refit", ".refit/mlflow.db", ".refit/history.db", "champion.lock", "data/champion")
EFFECTS = [(), (".refit/mlflow.db",), ("data/champion",), (".refit/mlflow.db", "champion.lock", "data/champion")]


@pytest.mark.sweep
def test_whatever_is_lost_it_is_the_same_champion_or_a_refusal(twice: Path, tmp_path: Path, full: bool) -> None:
    """In a copy for each set of losses (at most two of them where not in full); of some, effects are carried out, too."""
    twice = copied(twice, tmp_path / "twice")
    digest = who(twice)
    sets = list(chain.from_iterable(combinations(LOSSES, n) for n in range(len(LOSSES) + 1 if full else 3)))
    for at, gone in enumerate(dict.fromkeys([*sets, *EFFECTS])):
        root = tmp_path / str(at)
        shutil.copytree(twice, root, ignore=shutil.ignore_patterns(".dvc", "prefect"))
        without(root, gone)
        if not {".refit", ".refit/history.db"} & set(gone):
            assert who(root) == digest, gone
            if gone in EFFECTS:
                carried_out(root)
                assert who(root) == aliased(root) == digest, gone
                assert [d.action for d in DecisionHistory(root).decisions(MODEL)] == ["promote", "keep"], gone
        else:
            registry = not {".refit", ".refit/mlflow.db"} & set(gone)
            tells = registry or not {"champion.lock", "data/champion"} <= set(gone)
            said = r"REFIT_HISTORY .*`refit adopt" if tells else "there is no champion to serve yet"
            with pytest.raises(RefitError, match=said):
                who(root)
            assert not (root / ".refit" / "history.db").exists(), gone
        shutil.rmtree(root)


def test_a_champion_outlives_another_tracking_url(
    twice: Path, tmp_path: Path, server: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The kept challenger in data/package is registered as challenger, not as the champion that it is not."""
    root = copied(twice, tmp_path / "copy")
    digest, kept = who(root), sha256(root / "data" / "package" / "bundle.json")
    url = {**server, "MLFLOW_TRACKING_URI": f"sqlite:///{tmp_path / 'other.db'}"}
    said = refit(root, "run", "--plain", env=url)
    assert "stages    0 run" in said
    assert "this run: version 3; champion: version 1" in said
    monkeypatch.setenv("MLFLOW_TRACKING_URI", url["MLFLOW_TRACKING_URI"])
    assert who(root) == aliased(root) == digest
    assert {v.version: v.package_sha256 for v in Registry(root).versions(MODEL)} == {"1": digest, "3": kept}


def test_a_clone_is_refused_at_once_or_connected(
    twice: Path, tmp_path: Path, server: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    origin, root = copied(twice, tmp_path / "origin"), tmp_path / "clone"
    dvc(origin, "config", "--unset", "core.no_scm")
    porcelain.init(str(origin)).close()
    porcelain.add(str(origin), [str(origin)])
    porcelain.commit(str(origin), b"what the run left", author=b"a <a@b>", committer=b"a <a@b>")
    dvc(origin, "push", "-q")
    porcelain.clone(str(origin), str(root), errstream=io.BytesIO()).close()
    refused = refit(root, "run", "--plain", env=server, code=1)
    assert "champion.lock follows decision 2 (champion: version 1, package" in refused
    assert "REFIT_HISTORY" in refused
    assert "ingest" not in refused, "told before the first stage"
    assert "champion.lock follows decision 2" in refit(root, "doctor", code=1)
    shared = {
        "MLFLOW_TRACKING_URI": f"sqlite:///{origin / '.refit' / 'mlflow.db'}",
        "REFIT_HISTORY": f"sqlite:///{origin / '.refit' / 'history.db'}",
    }
    for name, value in shared.items():
        monkeypatch.setenv(name, value)
    assert who(root) == who(origin)
    assert not (root / ".dvc" / "cache").exists(), "git has none of the data"
    shutil.copytree(origin / ".dvc-remote", root / ".dvc-remote")
    dvc(root, "pull", "-q")
    assert dvc(root, "status") == "Data and pipelines are up to date.\n"
    held = ChampionFile.read(root / "data" / "champion")
    assert held == ChampionFile.read(origin / "data" / "champion"), "the champion of the last comparison came along"
    said = refit(root, "run", "--plain", env={**server, **shared})
    assert "stages    0 run" in said
    assert "this run: version 2; champion: version 1" in said
    assert [d.action for d in DecisionHistory(root).decisions(MODEL)] == ["promote", "keep"]
    assert dvc(root, "status") == "Data and pipelines are up to date.\n"


# Every command of the page --------------------------------------------------------------------------------------------


def test_every_command_of_the_page_does_what_it_says(twice: Path, tmp_path: Path) -> None:
    """In the order of the page, on a project whose history is lost when it comes to adoption."""
    commands = [
        line.removeprefix("$ ")
        for block in re.findall(r"```console\n(.*?)```", PAGE, flags=re.DOTALL)
        for line in block.splitlines()
    ]
    root = copied(twice, tmp_path / "project")
    digest = who(root)
    said: dict[str, str] = {}
    for command in commands:
        words = shlex.split(command)
        assert words[0] == "refit"
        if words[1] == "adopt" and "--none" not in words:
            (root / ".refit" / "history.db").unlink()
            refused = refit(root, "promote", "2", "--reason", "unseen", code=1)
            assert "champion.lock follows decision 2" in refused
        if words[1] == "verify":
            gone(root)
        said[command] = refit(root, *words[1:])
        if words[1] == "adopt" and "--none" not in words:
            assert who(root) == aliased(root) == digest
            assert "version 1 is champion here, as adopted" in said[command]
            last = DecisionHistory(root).decisions(MODEL)
            assert "adopt" in [d.action for d in last]
    assert [shlex.split(command)[1] for command in commands] == ["doctor", "history", "adopt", "adopt", "verify"]
    doctor, history, nothing, verify = (said[commands[i]] for i in (0, 1, 3, 4))
    assert "history sqlite:///./.refit/history.db; champion: version 1" in doctor
    assert "promote" in history
    assert "there is no champion in this history" in nothing
    assert DecisionHistory(root).champion(MODEL) is None
    assert "ok  inputs      3 stored with the version" in verify
    assert "every byte the same" in verify


def gone(root: Path) -> None:
    """What the cache holds of versions whose outputs are no more in the workspace, as `dvc gc` leaves it."""
    before = len(list((root / ".dvc" / "cache" / "files").rglob("*")))
    for path in (root / "data" / "raw", root / "data" / "tuning"):
        shutil.rmtree(path)
    lock = root / "dvc.lock"
    lock.unlink()
    dvc(root, "gc", "--workspace", "--force")
    assert len(list((root / ".dvc" / "cache" / "files").rglob("*"))) < before


def test_what_is_too_large_is_not_stored_and_said(twice: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = copied(twice, tmp_path / "copy")
    registry = Registry(root)
    one, two = registry.versions(MODEL)
    assert inputs.summary(inputs.kept(registry, one)).startswith("ok  inputs      3 stored with the version (")
    assert inputs.kept(registry, two) is None, "it was never champion"
    lock, cache = registry.artifact(two.run_id, "dvc.lock", tmp_path), inputs.cache_of(root)
    sizes = {out.path: inputs.size(cache, out) for out in inputs.outputs(lock, cache)}
    total, largest = sum(sizes.values()), max(sizes, key=sizes.__getitem__)
    monkeypatch.setenv("REFIT_KEEP_MB", str((total - 0.5) / 2**20))
    about = inputs.keep(root, registry, two)
    why = f"more than the {total - 1:,} bytes of REFIT_KEEP_MB"
    assert about is not None
    assert about["left_out"] == [{"path": largest, "bytes": sizes[largest], "why": why}]
    assert {out["path"]: out["bytes"] for out in about["stored"]} == {k: v for k, v in sizes.items() if k != largest}
    assert f"not stored: {largest} (0.0 MB: {why})" in inputs.summary(inputs.kept(registry, two))
    shutil.rmtree(root / ".dvc" / "cache" / "files")
    with pytest.raises(RefitError, match=rf"the DVC cache has no more .*{largest} \(0\.0 MB: {why}"):
        inputs.bring(root, registry, two, lock, tmp_path / "cache")
    inputs.bring(root, registry, one, registry.artifact(one.run_id, "dvc.lock", tmp_path), tmp_path / "cache")
    assert not any(out.lacking for out in inputs.outputs(lock, tmp_path / "cache"))
    (stored,) = [
        p for p in (root / ".refit" / "mlruns").rglob(f"{one.run_id}/artifacts/inputs/files/md5") if p.is_dir()
    ]
    damaged = max((p for p in stored.rglob("*") if p.is_file()), key=lambda p: p.stat().st_size)
    damaged.write_bytes(damaged.read_bytes()[:-1] + b"?")
    with pytest.raises(RefitError, match="is damaged"):
        inputs.bring(root, registry, one, lock, tmp_path / "again")
    monkeypatch.setenv("REFIT_KEEP_MB", "much")
    with pytest.raises(RefitError, match="REFIT_KEEP_MB: a number of megabytes, 0 for nothing; found 'much'"):
        inputs.bound()


def test_only_the_package_that_the_history_or_a_person_names_is_served(iris: Path, tmp_path: Path) -> None:
    """A threshold or classes changed in ``bundle.json`` make another package, wherever it lies."""
    root = copied(iris, tmp_path / "iris")
    champion = DecisionHistory(root).champion(MODEL)
    assert champion is not None
    digest = champion.package_sha256
    assert champions.to_serve(root, MODEL) == (root / packages.KEPT / digest[:16], "1", digest)
    package = root / "data" / "package"
    assert versions.vouched(root, package, None) == versions.vouched(root, package, digest.upper()) == ("1", digest)
    with pytest.raises(RefitError, match="64 hexadecimal digits are needed, found 'abc'"):
        versions.vouched(root, package, "abc")
    elsewhere = copied(package, tmp_path / "of-others")  # of a project that has no history of it
    assert versions.vouched(tmp_path, elsewhere, digest) == ("unregistered", digest)
    with pytest.raises(RefitError, match=f"knows no such package of {MODEL}.*--sha256 {digest}"):
        versions.vouched(tmp_path, elsewhere, None)

    classes = read_json(package / "bundle.json")["classes"]
    for what, (change, by_itself) in {
        **{k: CHANGES[k] for k in CHANGED},
        "classes": (say(classes=classes[::-1]), None),
    }.items():
        changed = copied(package, tmp_path / "changed")
        change(changed)
        other = sha256(changed / "bundle.json") != digest
        for expected, wanted in (
            (None, by_itself or "knows no such package"),
            (digest, "its identity is" if other or by_itself is None else by_itself),
        ):
            with pytest.raises(RefitError, match=wanted):
                versions.vouched(root, changed, expected)
        assert not packages.is_whole(changed, digest), what
        shutil.rmtree(changed)

    said = say(classes=classes[::-1])
    for folder in (package, root / packages.KEPT / digest[:16]):
        said(folder)
    assert "knows no such package of iris-target" in refit(root, "serve", "--package", "data/package", code=1)
    assert "its identity is" in refit(root, "serve", "--package", "data/package", "--sha256", digest, code=1)
    assert "it needs --package DIR as well" in refit(root, "serve", "--sha256", digest, code=1)
    whole, _, _ = champions.to_serve(root, MODEL)  # fetched again from the registry
    assert sha256(whole / "bundle.json") == digest
