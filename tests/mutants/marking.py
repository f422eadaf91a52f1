"""Functions of this project note that they were called: one statement at their beginning, put in as they are imported.

Tracing all calls would see those of every library too, which takes several times as long.
"""

from __future__ import annotations

import ast
import builtins
import re
from importlib.machinery import SourceFileLoader
from types import CodeType

OURS = re.compile(r".*?/((?:tasks|flows|deploy)/(?:\w+/)*\w+\.py)$")
seen: set[str] = set()  # "file:qualified name"


def marked(tree: ast.Module, file: str) -> ast.Module:
    """The module with a note at the beginning of each function; compiled loops are left as they are.

    >>> print(ast.unparse(marked(ast.parse("class A:\\n    def f(self):\\n        'Words.'\\n        return 1"), "a.py")))
    class A:
    <BLANKLINE>
        def f(self):
            \"\"\"Words.\"\"\"
            _mutants_seen.add('a.py:A.f')
            return 1
    """

    def walk(node: ast.AST, prefix: str) -> None:
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef):
                name = prefix + child.name
                walk(child, f"{name}.<locals>.")
                if any("njit" in ast.unparse(d) for d in child.decorator_list):
                    continue
                at = int(ast.get_docstring(child, clean=False) is not None)
                note = ast.parse(f"_mutants_seen.add({f'{file}:{name}'!r})").body[0]
                for part in ast.walk(note):
                    ast.copy_location(part, child.body[0])
                child.body.insert(at, note)
            else:
                walk(child, f"{prefix}{child.name}." if isinstance(child, ast.ClassDef) else prefix)

    walk(tree, "")
    return tree


def begin() -> None:
    """Mark whatever of this project is imported from now on."""
    builtins._mutants_seen = seen  # type: ignore[attr-defined]
    usual = SourceFileLoader.get_code

    def get_code(self: SourceFileLoader, fullname: str) -> CodeType | None:
        path = self.get_filename(fullname)
        match = None if "site-packages" in path else OURS.match(path)
        if match is None or "/tests/" in path:
            return usual(self, fullname)
        tree = marked(ast.parse(self.get_data(path)), match[1])
        code: CodeType = compile(tree, path, "exec", dont_inherit=True)
        return code

    SourceFileLoader.get_code = get_code  # type: ignore[method-assign]
