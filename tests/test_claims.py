"""Each claim of README and docs/ names, in a comment that does not print, the test that shows it.

The form, in README.md and in each page of docs/:

    - A list item, as long as it likes.
      <!-- test: tests/flows/test_run.py::test_an_unchanged_run_does_nothing -->

    | a row | of a table <!-- test: tests/tasks/test_params.py::test_a, tests/tasks/test_params.py::test_b --> |

    <!-- bench: drift -->
    | a table of figures | is marked as a whole, on the line before it |

``test:`` takes one test or several, ``bench:`` benchmarks of tests/bench. A section without list and table has one mark
anywhere. What is marked must exist and may not be skipped; whether it shows the claim is for its author to say.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from tests.projects import ROOT

PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
MARK = re.compile(r"<!-- (test|bench): (.*?) -->")


def unmarked(text: str) -> Iterator[str]:
    """The list items, table rows and sections of a page that name neither a test nor a benchmark."""
    text = re.sub(r"^```.*?^```$", "", text, flags=re.DOTALL | re.MULTILINE)
    for section in re.split(r"^(?=#{1,6} )", text, flags=re.MULTILINE):
        title, _, body = section.strip().partition("\n")
        found = list(_unmarked_blocks(body))
        yield from found
        if body.strip() and not found and not MARK.search(body):
            yield title


def _unmarked_blocks(body: str) -> Iterator[str]:
    """A list item goes to the next item, to an empty line or to the end; a table to its last row."""
    lines = [*body.splitlines(), ""]
    item: list[str] = []
    whole = False  # the table in which the line stands is marked as a whole
    for at, line in enumerate(lines):
        starts = re.match(r"\s*([-*]|\d+\.) ", line)
        if item and (starts or not line.strip() or line.startswith("|")):
            if not MARK.search("\n".join(item)):
                yield item[0].strip()
            item = []
        if starts or item:
            item.append(line)
        if line.startswith("|"):
            before = lines[at - 1] if at else ""
            heads = not before.startswith("|")
            whole = bool(MARK.search(before)) if heads else whole
            rule = set(line) <= set("|-: ")
            if not (heads or rule or whole or MARK.search(line)):
                yield line


@cache
def written(file: Path) -> dict[str, ast.FunctionDef]:
    """The tests of a file by their names, read and not run."""
    tree = ast.parse(file.read_text(encoding="utf-8"))
    return {
        node.name: node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef) and node.name[:5] == "test_"
    }


def wrong(kind: str, name: str) -> str | None:
    """Why a mark shows nothing; ``None`` if it is right."""
    if kind == "bench":
        return None if (ROOT / "tests" / "bench" / f"{name}.py").is_file() else f"tests/bench/{name}.py is not there"
    path, _, test = name.partition("::")
    if not (path.startswith("tests/") and (ROOT / path).is_file()):
        return f"{path} is not there"
    if test not in written(ROOT / path):
        return f"{path} has no test {test!r}"
    decorators = {ast.unparse(d).split("(")[0] for d in written(ROOT / path)[test].decorator_list}
    if decorators & {"pytest.mark.skip", "pytest.mark.xfail"}:
        return f"{name} does not run"
    return None


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_each_claim_names_its_test(page: Path) -> None:
    assert list(unmarked(page.read_text(encoding="utf-8"))) == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_named_tests_exist_and_run(page: Path) -> None:
    marks = MARK.findall(page.read_text(encoding="utf-8"))
    found = [wrong(kind, name.strip()) for kind, names in marks for name in names.split(",")]
    assert [why for why in found if why] == []


def test_a_claim_without_a_mark_is_found() -> None:
    mark = "<!-- test: tests/test_claims.py::test_a_claim_without_a_mark_is_found -->"
    page = "\n".join(
        [
            "# Page", "", f"Prose {mark}", "", "## List", "", "- marked", f"  {mark}", "- bare", "  goes on", "", "prose", "",
            "| a | b |", "|---|---|", f"| marked | {mark} |", "| bare | row |", "", mark, "| a | b |", "|---|---|", "| x | y |",
            "", "```", "- code", "```", "", "### Bare section", "", "Prose.", "", "## Empty", "",
        ]
    )  # fmt: skip
    assert list(unmarked(page)) == ["- bare", "| bare | row |", "### Bare section"]


def test_a_mark_of_nothing_is_found() -> None:
    assert wrong("test", "tests/test_claims.py::test_a_mark_of_nothing_is_found") is None
    assert wrong("bench", "drift") is None
    assert wrong("bench", "nothing") == "tests/bench/nothing.py is not there"
    assert wrong("test", "tests/test_nothing.py::test_x") == "tests/test_nothing.py is not there"
    assert wrong("test", "tests/test_claims.py::test_x") == "tests/test_claims.py has no test 'test_x'"
