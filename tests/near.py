"""The unit tests that are nearest to what was changed, in under a minute.

``python -m tests.near [FILE ...] [--seconds 40]``: without files, those that differ from the last commit. Tests of a file's
own name come first, then those of its folder, then others that call it, each the shorter before the longer, as far as they
take ``--seconds`` of processor time together. Which tests call a file is known where ``python -m tests.mutants --record``
was run; else it is told by what the files of tests import. The rest of pytest's options follow after ``--``.
"""

from __future__ import annotations

import argparse
import subprocess
import sys

from tests.mutants.near import RECORD, Record
from tests.mutants.record import UNIT
from tests.projects import ROOT


def changed() -> list[str]:
    """Python files that differ from the last commit, or are not known to git yet."""
    ask = ["git", "status", "--porcelain", "--untracked-files=all", "--no-renames"]
    lines = subprocess.run(ask, cwd=ROOT, capture_output=True, text=True, check=True).stdout.splitlines()
    return [line[3:] for line in lines if line.endswith(".py") and "D" not in line[:2]]


def chosen(files: list[str], record: Record, seconds: float) -> list[str]:
    """Tests, or whole files of them, nearest to any of the files first; changed files of tests are run whole."""
    whole = [file for file in files if file.startswith("tests/") and "/test_" in file]
    taken: list[str] = []
    for test in record.near([file for file in files if not file.startswith("tests/")]):
        if test.partition("::")[0] not in whole and record.cost([*taken, test]) <= seconds:
            taken.append(test)
    return whole + taken


def main() -> int:
    given, rest = sys.argv[1:], []
    if "--" in given:
        given, rest = given[: given.index("--")], given[given.index("--") + 1 :]
    parser = argparse.ArgumentParser(prog="python -m tests.near")
    parser.add_argument("files", nargs="*")
    parser.add_argument("--seconds", type=float, default=40.0)
    asked = parser.parse_args(given)
    files = asked.files or changed()
    tests = chosen(files, Record.read(RECORD, ROOT), asked.seconds)
    if not tests:
        print(
            "no Python file differs from the last commit" if not files else f"no unit test is near {', '.join(files)}"
        )
        return 0
    print(f"{len(tests)} tests or files of tests near {', '.join(files)}", flush=True)
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-m", UNIT, *rest, *tests], cwd=ROOT, check=False
    ).returncode


if __name__ == "__main__":
    sys.exit(main())
