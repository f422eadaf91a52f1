"""Which test executes which function: a plug-in of pytest that records it, and the reading of what it recorded.

The lock of tests has no ``coverage``, and lines are not needed: a change is judged by the tests that call the function it is
in. So functions note their calls (:mod:`tests.mutants.marking`), also in processes that a test starts: :func:`record` puts
a ``sitecustomize`` on their path. One JSON file per file of tests, under ``.refit/mutants``; it is made anew when the file of
tests has changed, and with ``--again``.

``{"digest", "tests": {id: {"seconds", "functions", "fixtures"}}, "shared": [functions], "fixtures": {name: seconds}}``;
``shared`` ran while the file was collected or a fixture set up, so all tests of the file may rest on it.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Generator
from pathlib import Path
from typing import Any

import hypothesis
import pytest

from tests.mutants import marking

FOLDER = "MUTANTS_RECORD"
EXAMPLES = 5  # of a property, while its calls are recorded
UNIT = "not slow and not flows and not service and not faults"
if FOLDER in os.environ:  # as early as pytest imports its plug-ins, before anything of this project
    marking.begin()


class Recorder:
    """The plug-in: what ran goes to the test, or, outside of a test's own call, to its file."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.files: dict[str, dict] = {}
        self.longer: dict[str, float] = {}
        self.children = folder / f"children-{os.getpid()}"
        self.children.mkdir(parents=True, exist_ok=True)
        os.environ["MUTANTS_CHILDREN"] = str(self.children)

    def taken(self) -> set[str]:
        """What ran since the last call, here and in processes that have ended."""
        found = set(marking.seen)
        marking.seen.clear()
        for file in self.children.glob("*.txt"):
            found.update(file.read_text().split("\n"))
            file.unlink()
        return found - {""}

    def file(self, path: Path, root: Path) -> dict:
        name = path.relative_to(root).as_posix()
        empty: dict[str, Any] = {"digest": digest(path), "tests": {}, "shared": set(), "fixtures": {}}
        return self.files.setdefault(name, empty)

    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        """Few examples of each property: enough to see which functions it calls."""
        for item in items:
            test = getattr(item, "obj", None)
            asked = getattr(test, "_hypothesis_internal_use_settings", None)
            if asked is not None and asked.max_examples > EXAMPLES:
                self.longer[item.nodeid] = asked.max_examples / EXAMPLES
                test._hypothesis_internal_use_settings = hypothesis.settings(asked, max_examples=EXAMPLES)

    @pytest.hookimpl(wrapper=True)
    def pytest_make_collect_report(self, collector: pytest.Collector) -> Generator[None, Any, Any]:
        if isinstance(collector, pytest.Module):
            self.taken()
            report = yield
            self.file(collector.path, collector.config.rootpath)["shared"] |= self.taken()
            return report
        return (yield)

    @pytest.hookimpl(wrapper=True)
    def pytest_fixture_setup(self, fixturedef: Any, request: Any) -> Generator[None, Any, Any]:
        start = time.perf_counter()
        try:
            return (yield)
        finally:
            if fixturedef.scope != "function":
                kept = self.file(request.node.path if request.node.path.is_file() else Path(request._pyfuncitem.path),
                                 request.config.rootpath)  # fmt: skip
                kept["fixtures"][fixturedef.argname] = time.perf_counter() - start

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_setup(self, item: pytest.Item) -> Generator[None, Any, Any]:
        self.taken()
        try:
            return (yield)
        finally:
            self.file(item.path, item.config.rootpath)["shared"] |= self.taken()

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_call(self, item: pytest.Item) -> Generator[None, Any, Any]:
        start = time.perf_counter()
        passed = False
        try:
            result = yield
            passed = True
            return result
        finally:
            found = self.taken()
            if passed:
                fixtures = list(getattr(item, "fixturenames", ()))
                seconds = (time.perf_counter() - start) * self.longer.get(item.nodeid, 1.0)
                one = {"seconds": seconds, "functions": sorted(found), "fixtures": fixtures}
                self.file(item.path, item.config.rootpath)["tests"][item.nodeid] = one

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item: pytest.Item, nextitem: pytest.Item | None) -> Generator[None, Any, Any]:
        done = yield
        if nextitem is None or nextitem.path != item.path:
            name = item.path.relative_to(item.config.rootpath).as_posix()
            kept = self.files[name]
            target = self.folder / f"{name.replace('/', '.')}.json"
            partial = target.with_suffix(f".{os.getpid()}")
            partial.write_text(json.dumps({**kept, "shared": sorted(kept["shared"])}))
            partial.replace(target)
        return done


def pytest_configure(config: pytest.Config) -> None:
    if folder := os.environ.get(FOLDER):
        config.pluginmanager.register(Recorder(Path(folder)), "mutants-recorder")


CHILD = '''"""Made by tests.mutants.record: a process that a test started notes the functions that it calls."""
import atexit, os, sys

if folder := os.environ.get("MUTANTS_CHILDREN"):
    from tests.mutants import marking

    for name in ("tests", "tests.mutants", "tests.mutants.marking"):
        del sys.modules[name]

    def write():
        path = os.path.join(folder, str(os.getpid()))
        with open(path, "w") as file:
            file.write("\\n".join(sorted(marking.seen)))
        os.replace(path, path + ".txt")

    marking.begin()
    atexit.register(write)
'''


def digest(path: Path) -> str:
    """Of a file of tests, and of what records: a record that was made otherwise is made anew."""
    own = (path, Path(__file__), Path(marking.__file__))
    return hashlib.sha256(b"".join(file.read_bytes() for file in own)).hexdigest()


def record(root: Path, folder: Path, places: list[str], again: bool = False, workers: int = 2) -> None:
    """Run the unit tests under ``places`` that are not yet recorded, or whose files have changed since."""
    folder.mkdir(parents=True, exist_ok=True)
    wanted = []
    for file in sorted({q for place in places for q in test_files(root / place)}):
        name = file.relative_to(root).as_posix()
        kept = folder / f"{name.replace('/', '.')}.json"
        if again or not kept.exists() or json.loads(kept.read_text())["digest"] != digest(file):
            kept.unlink(missing_ok=True)
            wanted.append(name)
    if not wanted:
        return
    print(f"recording which functions the unit tests of {len(wanted)} files call", flush=True)
    hook = folder / "path"
    hook.mkdir(exist_ok=True)
    (hook / "sitecustomize.py").write_text(CHILD)
    env = {**os.environ, FOLDER: str(folder), "PYTHONPATH": f"{root}{os.pathsep}{hook}"}
    # Plain asserts: pytest would import modules with examples in docstrings by its own loader, which nothing marks.
    command = [sys.executable, "-m", "pytest", "-q", "--assert=plain", "-p", "no:cacheprovider", "-p", "tests.mutants.record",
               "-n", str(workers), "--dist", "loadfile", "-m", UNIT, *wanted]  # fmt: skip
    done = subprocess.run(command, cwd=root, env=env, capture_output=True, text=True, check=False)
    for children in folder.glob("children-*"):
        shutil.rmtree(children)
    if done.returncode not in (0, 1, 5):
        raise SystemExit(f"the unit tests could not be recorded:\n{done.stdout[-3000:]}{done.stderr[-3000:]}")
    if done.returncode == 1:
        print(f"these fail without any change and judge nothing:\n{done.stdout[-1500:]}", flush=True)
    for name in wanted:  # without unit tests: so that it is not looked at again
        kept = folder / f"{name.replace('/', '.')}.json"
        if not kept.exists():
            empty = {"digest": digest(root / name), "tests": {}, "shared": [], "fixtures": {}}
            kept.write_text(json.dumps(empty))


def test_files(place: Path) -> list[Path]:
    """Files of a folder that may hold tests: ``test_*.py``, and modules of the product with examples in docstrings."""
    files = sorted(place.rglob("*.py")) if place.is_dir() else [place] if place.is_file() else []
    return [f for f in files if f.name.startswith("test_") or (f.name != "__main__.py" and ">>> " in f.read_text()
                                                               and "tests/" not in f.as_posix())]  # fmt: skip
