"""CONTRIBUTING's table of files and the types are the same: each file has its type, and each field stands in its row."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import get_args

import pytest

from tasks import artifacts
from tasks.artifacts import Artifact, Part, folders
from tests.projects import ROOT

TYPES: dict[str, list[type[Artifact]]] = {
    "data/raw/": [artifacts.RawManifest],
    "data/context/": [artifacts.AsOf],
    "data/validated/": [artifacts.Validation],
    "data/features/": [artifacts.Summary],
    "data/leaks/": [artifacts.Leaks],
    "data/tuning/<family>/": [artifacts.Selection, artifacts.Best, artifacts.Trials, artifacts.Failed],
    "data/models/<family>/": [artifacts.Candidate, artifacts.Timing],  # and Failed, as above
    "data/start/": [artifacts.Starts],
    "data/evaluation/": [artifacts.Choice, artifacts.Metrics],
    "data/package/": [
        artifacts.Manifest,
        artifacts.Schema,
        artifacts.EventTables,
        artifacts.Golden,
        artifacts.Receipt,
    ],
    "data/champion/": [artifacts.ChampionFile, artifacts.PolicyState, artifacts.Past],
    "champion.lock": [artifacts.ChampionLock],
    "data/verdict/": [artifacts.Verdict, artifacts.RowTimes],
    "data/drift/": [artifacts.Drift],
    "data/reports/": [artifacts.RunMetrics],
}
PAGES: list[type[Artifact]] = [  # for the report, and for drift alone: their fields are said by their types
    artifacts.Curves, artifacts.Confusion, artifacts.Slices, artifacts.NotableRows, artifacts.Explanation, artifacts.Learning,
    artifacts.LeftOut, artifacts.OrdinaryParts,
]  # fmt: skip
NESTED = (artifacts.Suspicion, artifacts.PolicyState, artifacts.Failed)  # said in the row of their own file
UNTYPED = {  # and why
    "data/code/": "hashes of what is listed nowhere else",
    "data/expectations/": "suites are Great Expectations' own form, and what was accepted are figures that one module reads",
    "data/quarantine/": "what was refused has the form of what was accepted",
    "data/features/ plan.json": "a plan reads and writes itself (tasks/engine/plan.py)",
    "data/package/ plan.json": "a plan reads and writes itself (tasks/engine/plan.py)",
    "data/verdict/ promotion.json": "of data/champion",
    "data/reports/ plots/<name>.json": "points that DVC draws, in columns that dvc.yaml names",
    "data/verdict/ leaks.json": "of data/leaks",
    "data/validated/ accepted/<table>.json": "figures that one module reads (tasks/validate/accepted.py)",
}


def rows() -> dict[str, str]:
    """The table's rows by folder; what is said of a folder below the table belongs to its row."""
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    found = dict(re.findall(r"^\| `([^`]+)` \| [^|]+ \| (.*) \|$", text, re.MULTILINE))
    found["data/package/"] += text.partition("### The bundle")[2].partition("## ")[0]
    found["champion.lock"] += " `champion.lock`"
    found["data/features/"] += text.partition("### `features.parquet`")[2].partition("###")[0]
    return found


def fields(kind: type[Part]) -> Iterator[str]:
    """Names of a type's fields as they stand in the file, and of the objects in it."""
    for name, field in kind.model_fields.items():
        yield field.serialization_alias or name
        todo = [field.annotation]
        while todo:
            one = todo.pop()
            todo += get_args(one)
            if isinstance(one, type) and issubclass(one, Part) and not issubclass(one, NESTED):
                yield from fields(one)


@pytest.mark.parametrize("folder", TYPES)
def test_each_field_of_a_type_stands_in_the_row_of_its_file(folder: str) -> None:
    code = " ".join(re.findall(r"`[^`]+`", rows()[folder]))
    for kind in TYPES[folder]:
        names = set(fields(kind)) - (set(kind.model_fields) if issubclass(kind, artifacts.Bare) else set())
        assert kind.NAME in code
        assert not {name for name in names if not re.search(rf"\b{name}\b", code)}, kind


def test_each_json_file_of_the_table_has_its_type_or_a_reason_why_not() -> None:
    known = {one for one in vars(artifacts).values() if isinstance(one, type) and hasattr(one, "NAME")}
    assert known == {*PAGES, *(kind for kinds in TYPES.values() for kind in kinds)}
    for folder, text in rows().items():
        there = [kind.NAME for kind in [*TYPES.get(folder, []), *PAGES]]
        for name in re.findall(r"`([\w/<>]+\.json)`", text) if folder in TYPES else ():
            assert name in (*there, "failed.json") or f"{folder} {name}" in UNTYPED, f"{folder}{name}"


def test_each_folder_has_its_name_in_the_code() -> None:
    named = {str(path) for path in vars(folders).values() if isinstance(path, type(folders.DATA))}
    assert {
        folder.removesuffix("/").removesuffix("/<family>") for folder in rows() if folder.startswith("data/")
    } <= named
