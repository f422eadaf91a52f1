"""Build a version into a Bento: service, code and package in one folder, from which BentoML makes containers."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import tasks
from deploy.check import compare
from deploy.isolated import isolated
from deploy.launch import ask, running
from deploy.needs import needed, pins
from tasks.artifacts import Golden, Manifest
from tasks.bundle.manifest import examine
from tasks.errors import RefitError
from tasks.files import replacing_dir
from tasks.process import SETTINGS
from tasks.stage import log

LOCK = "requirements.lock"


def build(package: str | Path, version: str, store: str | Path | None = None, timeout: float = 300) -> Path:
    """Build the Bento ``<model>:<version>`` from a package; returns its folder.

    It is handed over only after it has answered its golden rows, to the last bit, where nothing can be imported but
    what it lists. Answers of the service say ``version``.

    Parameters
    ----------
    package
        The package's folder; it is checked first.
    version
        The registry's version of the model.
    store
        BentoML's home; its own default if None.

    Raises
    ------
    RefitError
        If the package is damaged, BentoML refuses (with the end of its output), the Bento does not answer as the
        pipeline did, or the store has another package under this version.
    """
    package = Path(package)
    examined = examine(package)  # before BentoML takes its time
    name = tag(examined.about.name)
    home = Path(store) if store is not None else Path(os.environ.get("BENTOML_HOME") or Path.home() / "bentoml")
    place = home / "bentos" / name / version
    there = place / "src" / "package" / "bundle.json"
    if place.exists() and (not there.is_file() or examine(there.parent).identity != examined.identity):
        raise RefitError(f"{place}: another Bento is there; `bentoml delete {name}:{version}` removes it")
    root = Path(tasks.__file__).parent.parent
    listed = pins(needed(package), root / LOCK)
    with tempfile.TemporaryDirectory(prefix="refit-build-") as scratch:
        context = Path(scratch) / "context"
        lay_out(context, package, examined.identity, name, version, listed)
        command = [sys.executable, "-m", "bentoml", "build", "--version", version, "--output", "tag", "."]
        env = {**os.environ, **SETTINGS, "BENTOML_HOME": str(Path(scratch) / "store"), "REFIT_PACKAGE": ""}
        try:
            done = subprocess.run(command, cwd=context, env=env, capture_output=True, text=True, timeout=timeout)
        except subprocess.TimeoutExpired:
            raise RefitError(f"bentoml build did not end within {timeout:g} s") from None
        if done.returncode:
            output = "\n".join((done.stdout + done.stderr).strip().splitlines()[-12:])
            raise RefitError(f"bentoml build failed with code {done.returncode}:\n{output}")
        made = Path(scratch) / "store" / "bentos" / name / version
        prove(made / "src", [one.partition("==")[0] for one in listed])
        place.parent.mkdir(parents=True, exist_ok=True)
        with replacing_dir(place) as fresh:
            shutil.copytree(made, fresh, dirs_exist_ok=True)
        (place.parent / "latest").write_text(version, encoding="utf-8")
    return place


def tag(name: str) -> str:
    """A model's name as BentoML and container registries allow it.

    >>> tag("Flights: late?")
    'flights-late'
    """
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")[:63].strip("-") or "refit"


def lay_out(context: Path, package: Path, identity: str, name: str, version: str, listed: list[str]) -> None:
    """Write the folder that `bentoml build` takes, whose code, package and version a Bento has as they are here."""
    root = Path(tasks.__file__).parent.parent
    ignored = shutil.ignore_patterns("__pycache__")
    shutil.copytree(root / "tasks", context / "tasks", ignore=ignored)
    shutil.copytree(root / "deploy", context / "deploy", ignore=ignored)
    shutil.copytree(package, context / "package")
    examine(context / "package", identity)  # what was copied is what was checked
    baked = context / "deploy" / "baked.py"
    text = baked.read_text(encoding="utf-8")
    for key, value in (("PACKAGE", identity), ("VERSION", version)):
        text = text.replace(f"{key}: str | None = None", f"{key}: str | None = {value!r}")
    baked.write_text(text, encoding="utf-8")
    packages = "".join(f'    - "{one}"\n' for one in listed)
    made = f'name: {name}\ndocker:\n  distro: debian\n  python_version: "{sys.version_info.major}.{sys.version_info.minor}"\n'
    made += f"python:\n  lock_packages: false\n  packages:\n{packages}"
    bentofile = (root / "deploy" / "bentofile.yaml").read_text(encoding="utf-8")
    (context / "bentofile.yaml").write_text(bentofile + made, encoding="utf-8")


def prove(source: Path, names: list[str], timeout: float = 120) -> int:
    """Start a Bento's ``src`` where only these distributions are, and compare its answers to golden rows; how many.

    Raises
    ------
    RefitError
        If it does not start, or answers otherwise than the pipeline did.
    """
    package = source / "package"
    golden = Golden.read(package).rows
    outside = dict.fromkeys(("PYTHONPATH", "PYTHONHOME", "REFIT_PACKAGE", "REFIT_SHA256", "REFIT_VERSION"), "")
    with isolated(names) as python:

        def command(port: int) -> list[str]:
            return [str(python), "-m", "deploy.serve", "--port", str(port), "--linger", "0"]

        with running(command, timeout, outside, source) as address:
            compare(Manifest.read(package), golden, partial(ask, address))
    return len(golden)


@contextmanager
def registered(root: Path, version: str | None) -> Iterator[tuple[Path, str]]:
    """The package of a version in the project's registry (None: the champion), and the version's number."""
    from tasks.params import load
    from tasks.registry.history import DecisionHistory
    from tasks.registry.tracking import Registry

    model = load(root / "params.yaml").problem.name
    registry = Registry(root)
    if version is None:
        champion = DecisionHistory(root).champion(model)
        if champion is None:
            raise RefitError(
                f"{model}: there is no champion yet; `refit run` makes one, or name a version: --version N"
            )
        one = registry.holding(model, champion.package_sha256)
        if one is None:
            raise RefitError(
                f"{model}: the champion, version {champion.champion}, is not in the registry: `refit adopt`"
            )
    else:
        one = registry.version(model, version)
    with tempfile.TemporaryDirectory(prefix="refit-package-") as scratch:
        yield registry.fetch(one, Path(scratch) / "package"), one.version


def main() -> None:
    """Entry point of ``python -m deploy.build``."""
    import argparse

    parser = argparse.ArgumentParser(description="Build a version into a Bento.")
    parser.add_argument("--version", help="a version in the project's registry [the champion]")
    parser.add_argument("--package", help="a package's folder instead; its version is the start of its identity")
    given = parser.parse_args()
    if given.package and given.version:
        raise RefitError("--version names a package of the registry and --package a folder: give one of them")
    if given.package:
        place = build(given.package, examine(given.package).identity[:12])
    else:
        with registered(Path.cwd(), given.version) as (package, version):
            place = build(package, version)
    log(f"built {place.parent.name}:{place.name} in {place}; it answers its golden rows with what it lists alone")


if __name__ == "__main__":
    from tasks.stage import run

    run(main)
