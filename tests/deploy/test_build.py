"""What a Bento is built of, as far as it can be told without building one; ``test_bento`` builds."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import PackageNotFoundError
from pathlib import Path
from typing import Any

import pytest
import yaml

from deploy import build
from deploy.needs import ALWAYS, canonical, closure, needed, pins, read_lock
from tasks.artifacts import Golden, GoldenRow, Manifest
from tasks.errors import RefitError
from tasks.files import hash_tree, sha256, write_json
from tests.tasks.registry.packages import make_package


@pytest.mark.parametrize(
    ("name", "wanted"),
    [
        ("Flights: late?", "flights-late"),
        ("a_B.c", "a-b-c"),
        ("?!", "refit"),
        ("x" * 62 + "_y", "x" * 62),
        ("-a-", "a"),
    ],
)
def test_a_models_name_becomes_one_that_registries_allow(name: str, wanted: str) -> None:
    assert build.tag(name) == wanted


def test_code_package_and_version_are_laid_out_as_they_are(tmp_path: Path) -> None:
    package = make_package(tmp_path / "package", "it")
    identity, context = sha256(package / "bundle.json"), tmp_path / "context"
    build.lay_out(context, package, identity, "toy", "7", ["numpy==1", "uvloop==2"])
    assert sha256(context / "package" / "bundle.json") == identity
    assert (context / "tasks" / "bundle" / "manifest.py").is_file()
    assert (context / "deploy" / "serve.py").is_file()
    assert not list(context.rglob("__pycache__"))
    baked: dict[str, object] = {"__file__": str(context / "deploy" / "baked.py")}
    exec((context / "deploy" / "baked.py").read_text(), baked)
    assert (baked["PACKAGE"], baked["VERSION"], baked["INSIDE"]) == (identity, "7", context / "package")
    about = yaml.safe_load((context / "bentofile.yaml").read_text())
    assert (about["name"], about["service"]) == ("toy", "deploy.service:Model")
    assert about["python"]["packages"] == ["numpy==1", "uvloop==2"]
    assert about["python"]["lock_packages"] is False
    assert about["docker"]["python_version"] == f"{sys.version_info.major}.{sys.version_info.minor}"
    with pytest.raises(RefitError, match="its identity is"):
        build.lay_out(tmp_path / "other", package, "0" * 64, "toy", "7", [])


def test_another_bento_of_the_same_version_is_not_replaced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package, place = make_package(tmp_path / "package", "it"), tmp_path / "home" / "bentos" / "toy" / "1"
    place.mkdir(parents=True)
    said = r"bentos/toy/1: another Bento is there; `bentoml delete toy:1` removes it"
    with pytest.raises(RefitError, match=said):
        build.build(package, "1", tmp_path / "home")
    shutil.copytree(make_package(tmp_path / "other", "other"), place / "src" / "package")
    monkeypatch.setenv("BENTOML_HOME", str(tmp_path / "home"))
    with pytest.raises(RefitError, match=said):
        build.build(package, "1")

    class Reached(Exception):
        pass

    def reached(*_: object) -> None:
        raise Reached

    monkeypatch.setattr(build, "pins", reached)
    shutil.rmtree(place / "src" / "package")
    shutil.copytree(package, place / "src" / "package")
    for version in ("1", "2"):
        with pytest.raises(Reached):  # the same package again, or a version that is free
            build.build(package, version)
    (package / "schema.json").unlink()
    with pytest.raises(RefitError, match=r"missing: 'schema\.json'"):
        build.build(package, "2")


def test_a_version_or_a_folder_is_built_and_not_both(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.argv", ["build", "--version", "1", "--package", "data/package"])
    with pytest.raises(RefitError, match="give one of them"):
        build.main()


# What it lists --------------------------------------------------------------------------------------------------------


def test_a_lock_says_versions_of_lines_that_hold_here(tmp_path: Path) -> None:
    lock = tmp_path / "requirements.lock"
    lock.write_text(
        "# a remark\n-e .\n\nFoo_Bar.baz==1.2\n  spaced==3\nnew==4 ; python_version >= '3.8'\nold==5 ; python_version < '3'\n"
    )
    assert read_lock(lock) == {"foo-bar-baz": "1.2", "spaced": "3", "new": "4"}
    assert canonical("A__b.-C") == "a-b-c"


def test_a_build_of_ones_own_machine_is_the_locks_version(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    installed = {"torch": "2.1.0+cpu", "numpy": "2.0", "extra": "3"}
    monkeypatch.setattr("deploy.needs.closure", lambda names: installed)
    lock = tmp_path / "requirements.lock"
    lock.write_text("torch==2.1.0\nnumpy==2.0\nunused==9\n")
    assert pins(["torch"], lock) == ["torch==2.1.0", "numpy==2.0", "extra==3"]
    lock.write_text("torch==2.1.1\nnumpy==2.0\n")
    with pytest.raises(RefitError, match=r"installed is 'torch 2\.1\.0\+cpu \(requirements\.lock: 2\.1\.1\)': a Bento"):
        pins(["torch"], lock)


def test_what_a_distribution_needs_comes_along_with_its_extras_and_for_this_machine(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    wants = {
        "a": ["B_b[more]>=1", "c; python_version < '3'", "d; extra == 'x'", "not-here"],
        "b-b": ["e; extra == 'more'", "f; extra == 'other'", "a"],
        "e": None,
    }

    def version(name: str) -> str:
        if name not in wants:
            raise PackageNotFoundError(name)
        return f"{name} 1"

    monkeypatch.setattr("deploy.needs.version", version)
    monkeypatch.setattr("deploy.needs.requires", lambda name: wants[name])
    assert closure(["a"]) == {"a": "a 1", "b-b": "b-b 1", "e": "e 1"}
    with pytest.raises(RefitError, match="c is needed to serve this package and is not installed"):
        closure(["a", "c"])


def test_each_format_of_a_model_needs_its_library(tmp_path: Path) -> None:
    assert needed(tmp_path) == sorted(ALWAYS)
    write_json(tmp_path / "model" / "m" / "model.json", {"format": "skops"})
    write_json(tmp_path / "model" / "m" / "other.json", {"format": "lightgbm"})
    assert needed(tmp_path) == sorted([*ALWAYS, "skops"])


# The build itself, without BentoML -----------------------------------------------------------------------------------


def test_what_bentoml_made_is_proven_and_put_in_place_or_nothing_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package, home = make_package(tmp_path / "package", "it"), tmp_path / "home"
    said: list[Any] = []
    ends: list[Any] = [0]

    def bentoml(command: list[str], cwd: Path, env: dict[str, str], **how: Any) -> Any:
        assert command[1:] == ["-m", "bentoml", "build", "--version", "3", "--output", "tag", "."]
        assert hash_tree(cwd / "package") == hash_tree(package)
        assert (env["REFIT_PACKAGE"], how["timeout"], how["text"]) == ("", 600, True)
        if isinstance(ends[0], Exception):
            raise ends[0]
        made = Path(env["BENTOML_HOME"]) / "bentos" / "toy" / "3"
        shutil.copytree(package, made / "src" / "package")
        lines = "".join(f"line {i}\n" for i in range(20))
        return subprocess.CompletedProcess(command, ends[0], lines, "the last\n")

    def proven(source: Path, names: list[str]) -> int:
        assert hash_tree(source / "package") == hash_tree(package)
        said.append(names)
        if "refused" in said:
            raise RefitError("it answers otherwise")
        return 1

    monkeypatch.setattr(subprocess, "run", bentoml)
    monkeypatch.setattr(build, "prove", proven)
    monkeypatch.setattr(build, "lay_out", lambda context, package, *_: shutil.copytree(package, context / "package"))
    monkeypatch.setattr(build, "pins", lambda names, lock: ["numpy==2.0", "torch==2.1"])
    place = build.build(package, "3", home, timeout=600)
    assert place == home / "bentos" / "toy" / "3"
    assert hash_tree(place / "src" / "package") == hash_tree(package)
    assert (place.parent / "latest").read_text() == "3"
    assert said == [["numpy", "torch"]]
    shutil.rmtree(home)
    last = "\n".join([*(f"line {i}" for i in range(9, 20)), "the last"])
    for end, words in (
        (7, f"bentoml build failed with code 7:\n{last}"),
        (subprocess.TimeoutExpired("bentoml", 600), "bentoml build did not end within 600 s"),
    ):
        ends[0] = end
        with pytest.raises(RefitError) as told:
            build.build(package, "3", home, timeout=600)
        assert str(told.value) == words
    ends[0] = 0
    said.append("refused")
    with pytest.raises(RefitError, match="it answers otherwise"):
        build.build(package, "3", home, timeout=600)
    assert not home.exists(), "nothing is put in place that was not proven"


@pytest.mark.parametrize("honest", [True, False])
def test_a_bento_is_asked_for_its_golden_rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, honest: bool) -> None:
    """The room and the server are others' (test_launch, test_bento); here is what is asked and compared."""
    row = GoldenRow(
        input={"x": 1.0}, features={}, scores=[2.5], batch_scores=[2.5], decision=2.5, batch_decision=2.5, warnings=[]
    )
    Golden(rows=[row]).write(tmp_path / "package")
    Manifest(
        name="it", kind="regression", classes=[], threshold=None, family="f", members=["f"], weights=[1.0], metrics={}
    ).write(tmp_path / "package")
    asked: list[Any] = []

    @contextmanager
    def room(names: list[str]) -> Iterator[Path]:
        asked.append(names)
        yield Path("python-of-the-room")

    @contextmanager
    def running(command: Any, timeout: float, env: dict[str, str], folder: Path) -> Iterator[str]:
        asked.append((command(4000), timeout, folder))
        assert set(env.values()) == {""}
        yield "the address"

    def ask(address: str, path: str, body: bytes) -> tuple[int, Any]:
        asked.append((address, path))
        one = {"prediction": 2.5 if honest else 2.25, "warnings": []}
        return 200, one if path == "/predict" else [one]

    for name, instead in (("isolated", room), ("running", running), ("ask", ask)):
        monkeypatch.setattr(build, name, instead)
    if honest:
        assert build.prove(tmp_path, ["numpy"]) == 1
        assert asked[-2:] == [("the address", "/predict"), ("the address", "/predict_batch")]
    else:
        with pytest.raises(RefitError):
            build.prove(tmp_path, ["numpy"])
    command = ["python-of-the-room", "-m", "deploy.serve", "--port", "4000", "--linger", "0"]
    assert asked[:2] == [["numpy"], (command, 120, tmp_path)]
