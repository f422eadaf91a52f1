"""Random changes to the code that verdicts rest on: do unit tests notice?

``python -m tests.bench.mutants [--quick] [--count 60] [--seed 0]``. Each change is one small one at a random place of
``tasks/compare``, ``tasks/paired``, ``tasks/identity.py``, ``tasks/bundle/seen.py`` or the split: a comparison, a sign, an
operator, a number, a condition, a minimum for a maximum, a statement left out. The unit tests of these rooms run on a copy
of the checkout. The survivors are printed, to be read: some change no behaviour. The last line is one JSON object:

``changes``   how many were made
``noticed``   how many of them made a test fail
``share``     the one over the other
``survivors`` file, line and change of each of the others
"""

from __future__ import annotations

import argparse
import ast
import copy
import json
import os
import random
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from queue import Queue

from tests.projects import ROOT, checkout

PLACES = ("tasks/compare", "tasks/paired", "tasks/identity.py", "tasks/bundle/seen.py", "tasks/features/split.py")
TESTS = {  # the tests that look at a room, the nearest first
    "tasks/paired": ("tests/tasks/paired", "tasks/paired", "tests/tasks/compare"),
    "tasks/compare": ("tests/tasks/compare", "tasks/compare"),
    "tasks/identity.py": ("tests/tasks/test_identity.py", "tasks/identity.py", "tests/tasks/features"),
    "tasks/bundle/seen.py": ("tests/tasks/compare/test_unseen.py", "tests/tasks/bundle", "tests/tasks/package"),
    "tasks/features/split.py": ("tests/tasks/features",),
}
SWAPS: dict[type, type] = {
    ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt, ast.Eq: ast.NotEq, ast.NotEq: ast.Eq,
    ast.In: ast.NotIn, ast.NotIn: ast.In, ast.Is: ast.IsNot, ast.IsNot: ast.Is, ast.Add: ast.Sub, ast.Sub: ast.Add,
    ast.Mult: ast.Div, ast.Div: ast.Mult, ast.Pow: ast.Mult, ast.And: ast.Or, ast.Or: ast.And,
    ast.BitAnd: ast.BitOr, ast.BitOr: ast.BitAnd,
}  # fmt: skip
NAMES = {"min": "max", "max": "min", "any": "all", "all": "any", "sum": "mean", "mean": "sum", "sf": "cdf", "cdf": "sf"}
TIMEOUT = 600


@dataclass(frozen=True)
class Change:
    """One change: the file's text with it, where, and what in words."""

    file: str
    line: int
    what: str
    text: str


def changes(file: str, source: str) -> list[Change]:
    """Every change that could be made to a file's text."""
    tree = ast.parse(source)
    out = []
    for number, (_, what, line) in enumerate(_sites(tree)):
        other = copy.deepcopy(tree)
        apply, _, _ = _sites(other)[number]
        apply()
        out.append(Change(file, line, what, ast.unparse(ast.fix_missing_locations(other))))
    return out


def _sites(tree: ast.Module) -> list:
    """``(apply, what, line)`` for every place; types, words and docstrings are left alone."""
    found: list = []

    def add(node: ast.AST, what: str, apply) -> None:
        found.append((apply, what, getattr(node, "lineno", 0)))

    def walk(node: ast.AST) -> None:
        if isinstance(node, ast.JoinedStr | ast.Import | ast.ImportFrom | ast.Raise):
            return
        if isinstance(node, ast.keyword) and node.arg == "strict":
            return
        for name, value in ast.iter_fields(node):
            if name in ("annotation", "returns", "decorator_list"):
                continue
            for child in value if isinstance(value, list) else [value]:
                if isinstance(child, ast.AST):
                    walk(child)
        if isinstance(node, ast.Compare):
            for i, op in enumerate(node.ops):
                new = SWAPS.get(type(op))
                if new:
                    words = f"{type(op).__name__} becomes {new.__name__} in {ast.unparse(node)}"
                    add(node, words, lambda node=node, i=i, new=new: node.ops.__setitem__(i, new()))
        if isinstance(node, ast.BinOp | ast.BoolOp | ast.AugAssign) and type(node.op) in SWAPS:
            new = SWAPS[type(node.op)]
            add(node, f"{type(node.op).__name__} becomes {new.__name__} in {ast.unparse(node)}",
                lambda node=node, new=new: setattr(node, "op", new()))  # fmt: skip
        if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub | ast.Not | ast.Invert):
            add(node, f"{type(node.op).__name__} is left out of {ast.unparse(node)}",
                lambda node=node: setattr(node, "op", ast.UAdd()) if isinstance(node.op, ast.USub)
                else node.__dict__.update(op=ast.Not(), operand=ast.UnaryOp(ast.Not(), node.operand))
                if isinstance(node.op, ast.Not)
                else node.__dict__.update(op=ast.Invert(), operand=ast.UnaryOp(ast.Invert(), node.operand)))  # fmt: skip
        if isinstance(node, ast.If | ast.IfExp) and "TYPE_CHECKING" not in ast.unparse(node.test):
            add(node, f"the condition {ast.unparse(node.test)} is turned round",
                lambda node=node: setattr(node, "test", ast.UnaryOp(ast.Not(), node.test)))  # fmt: skip
        if isinstance(node, ast.Constant) and isinstance(node.value, bool | int | float):
            new = not node.value if isinstance(node.value, bool) else node.value + 1
            add(node, f"{node.value} becomes {new}", lambda node=node, new=new: setattr(node, "value", new))
        if isinstance(node, ast.Attribute) and node.attr in NAMES:
            new = NAMES[node.attr]
            add(node, f"{node.attr} becomes {new}", lambda node=node, new=new: setattr(node, "attr", new))
        if isinstance(node, ast.Name) and node.id in ("min", "max", "any", "all"):
            new = NAMES[node.id]
            add(node, f"{node.id} becomes {new}", lambda node=node, new=new: setattr(node, "id", new))
        for body in (getattr(node, name, None) for name in ("body", "orelse")):
            if not isinstance(body, list) or isinstance(node, ast.Module | ast.ClassDef):
                continue
            for i, statement in enumerate(body):
                call = isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Call)
                if call or isinstance(statement, ast.AugAssign):
                    add(statement, f"left out: {ast.unparse(statement)}",
                        lambda body=body, i=i: body.__setitem__(i, ast.Pass()))  # fmt: skip

    walk(tree)
    return found


def noticed(root: Path, change: Change) -> bool:
    """Whether a unit test fails on a checkout with this change; a module that can no longer be imported is noticed too."""
    path = root / change.file
    before = path.read_text()
    path.write_text(change.text)
    try:
        return any(tested(root, tests) in (1, 2) for tests in looking_at(change.file))
    except subprocess.TimeoutExpired:
        return True
    finally:
        path.write_text(before)


def looking_at(file: str) -> list[tuple[str, ...]]:
    """Which tests look at a file: first those of its own name, which take a few seconds, then all of its room."""
    own = Path("tests") / Path(file).parent / f"test_{Path(file).name}"
    first = [(own.as_posix(), file)] if (ROOT / own).exists() else []
    return [*first, next(tests for place, tests in TESTS.items() if file.startswith(place))]


def tested(root: Path, tests: tuple[str, ...]) -> int:
    """The exit status of unit tests: 0 none failed, 1 one did, 2 one could not be collected."""
    command = [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", "-p", "no:randomly",
               "-m", "not slow and not flows and not service and not faults", *tests]  # fmt: skip
    env = {**os.environ, "PYTHONPATH": str(root)}
    return subprocess.run(command, cwd=root, env=env, capture_output=True, timeout=TIMEOUT, check=False).returncode


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--count", type=int, default=60)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    files = [
        p
        for place in PLACES
        for p in ([ROOT / place] if place.endswith(".py") else sorted((ROOT / place).rglob("*.py")))
    ]
    every = [c for p in files for c in changes(p.relative_to(ROOT).as_posix(), p.read_text())]
    chosen = random.Random(given.seed).sample(every, 6 if given.quick else given.count)
    survivors = []
    with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor(2) as pool:
        roots: Queue[Path] = Queue()
        for i in range(2):
            roots.put(checkout(Path(folder) / str(i)))
        for tests in {looking_at(c.file)[-1] for c in chosen}:
            assert tested(roots.queue[0], tests) == 0, f"{tests} fail without a change"

        def run(change: Change) -> bool:
            root = roots.get()
            try:
                return noticed(root, change)
            finally:
                roots.put(root)

        for change, found in zip(chosen, pool.map(run, chosen), strict=True):
            print("noticed " if found else "SURVIVED", f"{change.file}:{change.line}", change.what, flush=True)
            if not found:
                survivors.append({"file": change.file, "line": change.line, "what": change.what})
    count = len(chosen) - len(survivors)
    print(json.dumps({"changes": len(chosen), "noticed": count, "share": count / len(chosen), "survivors": survivors}))


if __name__ == "__main__":
    main()
