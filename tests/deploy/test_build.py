"""What a Bento is built of, as far as it can be told without building one; ``test_bento`` builds."""

from __future__ import annotations

import shutil
import sys
from importlib.metadata import PackageNotFoundError
from pathlib import Path

import pytest
import yaml

from deploy import build
from deploy.needs import ALWAYS, canonical, closure, needed, pins, read_lock
from tasks.errors import RefitError
from tasks.files import sha256, write_json
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
