"""Random small changes to the code of the rooms that matter: do the unit tests notice?

``python -m tests.mutants [--rooms verdicts engine …] [--count 150] [--seed 0] [--survivors] [--seconds 45]``. Each change is
one small one at a random place: a comparison, a sign, an operator, a number, a default, a condition, a filter, a minimum for
a maximum, a call, ``raise`` or assignment left out (``sites``). It is made in a copy of the checkout, and judged by the unit
tests that call the function it is in, the nearest first, as far as they take ``--seconds`` together; which these are was
recorded once (``record``), or with ``--unrecorded`` is told by what the files of tests of the same room import. A test that
fails without the change too does not count. Two run at once. The survivors are printed, to be read: those that change
nothing that can be seen are listed with their reason in ``equivalent``. The last line is one JSON object:

``changes``    how many were made
``equivalent`` how many of them change nothing
``noticed``    how many of the others made a test fail, of them ``timed_out`` by not ending
``share``      the one over the other
``rooms``      the same by room: ``[noticed, of]``
``survivors``  file, function, line and change of each of the others

``--left FILE`` judges those that survived an earlier run, whose output FILE holds. ``--part 2/3`` judges the second third of them. ``--files`` draws from these files alone. With ``--survivors`` only the survivors are printed, not each change.
``--record`` names the folders whose tests are recorded, and nothing else is done; without it the record is made of all unit
tests, which takes as long as they take.

Neither of the usual tools serves. mutmut (3.6) leaves out every function with a decorator and all numbers outside of
functions, and puts copies of the others into the file, which our tests of a code's hashes and of compiled loops see;
cosmic-ray runs one fixed command for each change, the whole suite here, and numpy and pandas are loaded each time. Here a
process with the libraries loaded is forked for each change.
"""

from __future__ import annotations

import argparse
import compileall
import json
import os
import random
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from tests.mutants.equivalent import EQUIVALENT
from tests.mutants.near import RECORD, Record
from tests.mutants.record import UNIT, digest, record
from tests.mutants.rooms import MATTER, ROOMS, files
from tests.mutants.sites import Change, changed, changes
from tests.projects import ROOT, checkout

SOUND = RECORD / "sound" / "passed.json"
LOADED = ("hypothesis", "numpy", "pandas", "pyarrow.parquet", "pydantic", "scipy.stats", "scipy.optimize", "ruamel.yaml",
          "sklearn.linear_model", "sklearn.ensemble", "sklearn.metrics", "sklearn.preprocessing", "xgboost", "lightgbm",
          "duckdb", "statsmodels.api")  # fmt: skip


def _digest_of(test: str) -> str:
    path = ROOT / test.partition("::")[0]
    return digest(path) if path.is_file() else ""


class _Failing:
    """A plug-in: writes the first test that fails, or the file that cannot be collected."""

    def __init__(self, to: Path) -> None:
        self.to = to

    def pytest_runtest_logreport(self, report) -> None:  # type: ignore[no-untyped-def]
        if report.failed and not self.to.exists():
            self.to.write_text(report.nodeid)


def _in_child(root: Path, tests: list[str], failing: Path) -> int:
    """Run tests in this process, which was forked for it, on the code of ``root``; returns pytest's exit status."""
    import pytest

    for name in [n for n in sys.modules if n.partition(".")[0] in ("tests", "tasks", "flows", "deploy")]:
        del sys.modules[name]
    sys.path[:] = [str(root), *(p for p in sys.path if Path(p or ".").resolve() != ROOT)]
    os.environ.update(PYTHONPATH=str(root), PYTHONDONTWRITEBYTECODE="1")
    sys.dont_write_bytecode = True
    os.chdir(root)
    plain = ["-x", "-q", "-p", "no:cacheprovider", "-p", "no:randomly", "--hypothesis-seed=0", "-m", UNIT]
    return int(pytest.main([*plain, "--rootdir", str(root), *tests], plugins=[_Failing(failing)]))


@dataclass
class _Run:
    """A forked process at work on one list of tests."""

    pid: int
    until: float
    failing: Path


def _fork(root: Path, tests: list[str], seconds: float, failing: Path) -> _Run:
    failing.unlink(missing_ok=True)
    sys.stdout.flush()
    if (pid := os.fork()) == 0:
        status = 3
        try:
            os.setsid()
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
            with open(os.devnull, "r+") as nothing:
                for number in (0, 1, 2):
                    os.dup2(nothing.fileno(), number)
            status = _in_child(root, tests, failing)
        finally:
            os._exit(status)
    return _Run(pid, time.monotonic() + 90 + 10 * seconds, failing)  # generous: the machine may be busy


def _ended(run: _Run) -> int | None:
    """The exit status, -1 where it took too long, None while it runs. What it started ends with it."""
    pid, status = os.waitpid(run.pid, os.WNOHANG)
    late = time.monotonic() > run.until
    if not pid and not late:
        return None
    with suppress(ProcessLookupError):
        os.killpg(run.pid, signal.SIGKILL)
    if not pid:
        os.waitpid(run.pid, 0)
        return -1
    return os.waitstatus_to_exitcode(status)


class Bench:
    """Two copies of the checkout, and which tests are known to pass in them without a change."""

    def __init__(self, folder: Path, record: Record, seconds: float) -> None:
        self.folder, self.record, self.seconds = folder, record, seconds
        self.roots = [checkout(folder / str(i)) for i in range(2)]
        for root in self.roots:
            compileall.compile_dir(root, quiet=2)
        self.runs: dict[Path, _Run] = {}
        self.sound: dict[str, bool] = {}
        if SOUND.exists():  # what passed without a change in an earlier run, and stands in the same file still
            kept = json.loads(SOUND.read_text())
            self.sound = {test: True for test, of in kept.items() if _digest_of(test) == of}

    def judge(self, chosen: list[Change], say: Callable[[Change, str], None]) -> dict[int, str]:
        """``noticed``, ``timed out`` or ``survived`` for each change, by its place in the list."""
        waiting = list(enumerate(chosen))[::-1]
        out: dict[int, str] = {}
        free = list(self.roots)
        busy: dict[Path, tuple[int, Change, Callable[[int | None], _Run | str]]] = {}
        runs = self.runs
        while waiting or busy:
            while free and waiting:
                root = free.pop()
                number, change = waiting.pop()
                steps = self._steps(root, change)
                first = next(steps)
                if isinstance(first, str):
                    out[number] = first
                    say(change, first)
                    free.append(root)
                    continue
                busy[root], runs[root] = (number, change, steps.send), first
            for root in list(busy):
                status = _ended(runs[root])
                if status is None:
                    continue
                number, change, send = busy[root]
                after = send(status)
                if isinstance(after, _Run):
                    runs[root] = after
                    continue
                out[number] = after
                say(change, after)
                del busy[root], runs[root]
                free.append(root)
            time.sleep(0.05)
        return out

    def end(self) -> None:
        """End what still runs: the processes are leaders of their own groups, and outlive this one."""
        for run in self.runs.values():
            with suppress(ProcessLookupError):
                os.killpg(run.pid, signal.SIGKILL)

    def _steps(self, root: Path, change: Change):  # type: ignore[no-untyped-def]
        """A generator of runs, each answered with its exit status, and at last the outcome."""
        path, failing = root / change.file, self.folder / f"failing-{root.name}"
        before, stamp = path.read_text(), path.stat()
        outcome = "survived"
        for tests in self.record.judges(change, self.seconds):
            path.write_text(changed(before, change.number))
            os.utime(path, (stamp.st_atime, stamp.st_mtime + 1000))  # no compiled file is taken for it
            status = yield _fork(root, tests, self.record.cost(tests), failing)
            path.write_text(before)
            os.utime(path, ns=(stamp.st_atime_ns, stamp.st_mtime_ns))
            if status == -1:
                outcome = "timed out"
                break
            if status != 0:
                guilty = (failing.read_text(),) if failing.exists() else tuple(tests[:1])
                if guilty[0] not in self.sound:
                    again = yield _fork(root, list(guilty), self.record.cost(g for g in guilty if g in self.record.seconds),
                                        failing)  # fmt: skip
                    self.sound[guilty[0]] = again == 0
                    passed = {test: _digest_of(test) for test, sound in self.sound.items() if sound}
                    SOUND.parent.mkdir(parents=True, exist_ok=True)
                    SOUND.write_text(json.dumps(passed))
                if self.sound[guilty[0]]:
                    outcome = "noticed"
                    break
                print(f"fails without a change too: {guilty[0]}", flush=True)
        yield outcome


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--rooms", nargs="+", default=list(MATTER), choices=list(ROOMS))
    parser.add_argument("--files", nargs="+", help="draw from these files alone, whatever their room")
    parser.add_argument("--count", type=int, default=150)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--seconds", type=float, default=45.0)
    parser.add_argument("--part", default="1/1")
    parser.add_argument("--survivors", action="store_true")
    parser.add_argument("--record", nargs="+")
    parser.add_argument("--unrecorded", action="store_true")
    parser.add_argument("--again", action="store_true")
    parser.add_argument("--left", type=Path, help="judge the survivors of an earlier run, whose output is in this file")
    given = parser.parse_args()
    if not given.unrecorded:
        record(ROOT, RECORD, given.record or ["tests", "tasks", "flows"], given.again)
    if given.record:
        return
    rooms = list(ROOMS) if given.files else given.rooms
    room_of = {file: room for room in rooms for file in files(room) if not given.files or file in given.files}
    every = [c for file in room_of for c in changes(file, (ROOT / file).read_text())]
    chosen = random.Random(given.seed).sample(every, min(given.count, len(every)))
    if given.left:
        lines = given.left.read_text().splitlines()
        left = {(c["file"], c["function"], c["what"]) for c in json.loads(lines[-1])["survivors"]}
        chosen = list({(c.file, c.function, c.what): c for c in every if (c.file, c.function, c.what) in left}.values())
    part, parts = map(int, given.part.split("/"))
    chosen = chosen[part - 1 :: parts]
    real = [c for c in chosen if c.key not in EQUIVALENT]
    for name in LOADED:
        __import__(name)

    def say(change: Change, outcome: str) -> None:
        if not given.survivors or outcome == "survived":
            place = f"{change.file}:{change.line} {change.function}"
            print(f"{'SURVIVED' if outcome == 'survived' else outcome:9} {place}: {change.what}", flush=True)

    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(Path(folder), Record.read(RECORD, ROOT), given.seconds)
        signal.signal(signal.SIGTERM, lambda *_: sys.exit("ended from outside"))
        try:
            outcomes = bench.judge(real, say)
        finally:
            bench.end()
    lost = [c for i, c in enumerate(real) if outcomes[i] == "survived"]
    made = Counter(room_of[c.file] for c in real)
    missed = Counter(room_of[c.file] for c in lost)
    print(json.dumps({
        "changes": len(chosen),
        "equivalent": len(chosen) - len(real),
        "noticed": len(real) - len(lost),
        "timed_out": sum(o == "timed out" for o in outcomes.values()),
        "share": round((len(real) - len(lost)) / max(1, len(real)), 4),
        "rooms": {room: [made[room] - missed[room], made[room]] for room in rooms if made[room]},
        "survivors": [{"file": c.file, "function": c.function, "line": c.line, "what": c.what} for c in lost],
    }))  # fmt: skip


if __name__ == "__main__":
    main()
