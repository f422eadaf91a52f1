"""The small changes that can be made to a file: where each stands, what it is in words, and the text with it."""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

SWAPS: dict[type, type] = {
    ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt, ast.Eq: ast.NotEq, ast.NotEq: ast.Eq,
    ast.In: ast.NotIn, ast.NotIn: ast.In, ast.Is: ast.IsNot, ast.IsNot: ast.Is, ast.Add: ast.Sub, ast.Sub: ast.Add,
    ast.Mult: ast.Div, ast.Div: ast.Mult, ast.FloorDiv: ast.Mult, ast.Mod: ast.Mult, ast.Pow: ast.Mult,
    ast.And: ast.Or, ast.Or: ast.And, ast.BitAnd: ast.BitOr, ast.BitOr: ast.BitAnd, ast.BitXor: ast.BitOr,
}  # fmt: skip
NAMES = {"min": "max", "max": "min", "any": "all", "all": "any", "sum": "mean", "mean": "sum", "sf": "cdf", "cdf": "sf",
         "minimum": "maximum", "maximum": "minimum", "argmin": "argmax", "argmax": "argmin", "fmin": "fmax",
         "fmax": "fmin", "floor": "ceil", "ceil": "floor", "nanmin": "nanmax", "nanmax": "nanmin"}  # fmt: skip
BARE = ("min", "max", "any", "all")  # called by name; the others are methods and functions of numpy
# Progress lines are for a person who watches, and tests rightly do not hold them word for word.
UNTOUCHED = ("log(", "stage.log(", "print(")


@dataclass(frozen=True)
class Change:
    """One change: its file, the function it is in (``""``: none), the line, and the change in words."""

    file: str
    function: str
    line: int
    what: str
    number: int

    @property
    def key(self) -> tuple[str, str, str]:
        return self.file, self.function, self.what


@dataclass(frozen=True)
class _Site:
    function: str
    line: int
    what: str
    apply: Callable[[], object]


def changes(file: str, source: str) -> list[Change]:
    """Every change that could be made to a file's text, in the order of the text."""
    sites = _walk(ast.parse(source), "", "")
    return [Change(file, s.function, s.line, s.what, i) for i, s in enumerate(sites)]


def changed(source: str, number: int) -> str:
    """The text with the change of that number, without its comments."""
    tree = ast.parse(source)
    next(s for i, s in enumerate(_walk(tree, "", "")) if i == number).apply()
    return ast.unparse(ast.fix_missing_locations(tree)) + "\n"


def _walk(node: ast.AST, prefix: str, function: str) -> Iterator[_Site]:
    """The places in a node; types, words, imports, and what an error says are left alone."""
    if isinstance(node, ast.JoinedStr | ast.Import | ast.ImportFrom | ast.Raise | ast.Assert):
        return
    if isinstance(node, ast.keyword) and node.arg == "strict":
        return
    if isinstance(node, ast.Expr) and ast.unparse(node).startswith(UNTOUCHED):
        return
    if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
        return
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
        function = prefix + node.name
        prefix = f"{function}.<locals>."
    elif isinstance(node, ast.ClassDef):
        prefix, function = f"{prefix}{node.name}.", ""
    for what, apply in _here(node):
        yield _Site(function, getattr(node, "lineno", 0), what, apply)
    for name, value in ast.iter_fields(node):
        if name in ("annotation", "returns", "decorator_list"):
            continue
        for i, child in enumerate(value if isinstance(value, list) else [value]):
            if isinstance(child, ast.stmt) and not isinstance(node, ast.Module | ast.ClassDef):
                yield from (_Site(function, child.lineno, w, a) for w, a in _left_out(value, i))
            if isinstance(child, ast.AST):
                yield from _walk(child, prefix, function)


def _here(node: ast.AST) -> Iterator[tuple[str, Callable[[], object]]]:
    """The changes of one node itself: the words, and what makes the change."""
    if isinstance(node, ast.Compare):
        for i, op in enumerate(node.ops):
            if new := SWAPS.get(type(op)):
                words = f"{type(op).__name__} becomes {new.__name__} in {ast.unparse(node)}"
                yield words, partial(node.ops.__setitem__, i, new())
    path = (
        isinstance(node, ast.BinOp) and isinstance(node.op, ast.Div) and _word(node.right)
    )  # fails wherever it is called
    if isinstance(node, ast.BinOp | ast.BoolOp | ast.AugAssign) and not path and (new := SWAPS.get(type(node.op))):
        words = f"{type(node.op).__name__} becomes {new.__name__} in {ast.unparse(node)}"
        yield words, partial(setattr, node, "op", new())
    if isinstance(node, ast.UnaryOp) and not isinstance(node.operand, ast.Constant):
        twice = ast.UnaryOp(node.op, node.operand)
        yield f"{type(node.op).__name__} is left out of {ast.unparse(node)}", partial(setattr, node, "operand", twice)
    if isinstance(node, ast.If | ast.IfExp | ast.While) and not isinstance(node.test, ast.Constant | ast.Compare):
        turned = ast.UnaryOp(ast.Not(), node.test)
        yield f"the condition {ast.unparse(node.test)} is turned round", partial(setattr, node, "test", turned)
    if isinstance(node, ast.comprehension):
        for i, test in enumerate(node.ifs):
            yield f"the filter {ast.unparse(test)} is left out", partial(node.ifs.__setitem__, i, ast.Constant(True))
    if isinstance(node, ast.Constant) and isinstance(node.value, bool | int | float):
        other = not node.value if isinstance(node.value, bool) else node.value + 1
        yield f"{node.value} becomes {other}", partial(setattr, node, "value", other)
    if isinstance(node, ast.Attribute) and node.attr in NAMES:
        words = f"{node.attr} becomes {NAMES[node.attr]} in {ast.unparse(node)}"
        yield words, partial(setattr, node, "attr", NAMES[node.attr])
    if isinstance(node, ast.Name) and node.id in BARE:
        yield f"{node.id} becomes {NAMES[node.id]}", partial(setattr, node, "id", NAMES[node.id])


def _left_out(body: list[ast.stmt], i: int) -> Iterator[tuple[str, Callable[[], object]]]:
    """The statement left out: a call, a raise, a way out of a loop, an assignment to a part of something."""
    node = body[i]
    part = isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Attribute | ast.Subscript)
    call = isinstance(node, ast.Expr) and isinstance(node.value, ast.Call)
    call = call and not ast.unparse(node).startswith(UNTOUCHED)
    if part or call or isinstance(node, ast.Raise | ast.AugAssign | ast.Continue | ast.Break):
        yield f"left out: {ast.unparse(node)}", partial(body.__setitem__, i, ast.Pass())


def _word(node: ast.expr) -> bool:
    return isinstance(node, ast.JoinedStr) or (isinstance(node, ast.Constant) and isinstance(node.value, str))
