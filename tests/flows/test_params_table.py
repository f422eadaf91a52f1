"""The keys of ``params.yaml`` as a JSON Schema and as a table: both say what the types check, and nothing is left out."""

from __future__ import annotations

import copy
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest
from jsonschema import Draft7Validator
from ruamel.yaml import YAML

from flows import doctor, keys
from flows.project import create
from tasks.errors import RefitError
from tasks.kinds import kind_names
from tasks.listed import family_names
from tasks.params import MEASURES, parse
from tests.projects import ROOT
from tests.tasks.engine.worlds import tree as world
from tests.test_keys import TABLE, planned


@pytest.fixture(scope="module")
def validator() -> Draft7Validator:
    Draft7Validator.check_schema(keys.schema())
    return Draft7Validator(keys.schema())


def as_json(tree: Any) -> Any:
    return json.loads(json.dumps(tree, default=str))


def texts() -> Iterator[tuple[str, str]]:
    """Every ``params.yaml`` of the repository: its own, those that tests write, and whole ones in the docs."""
    yield "params.yaml", (ROOT / "params.yaml").read_text()
    for path in [*ROOT.glob("tests/**/*.py"), *ROOT.glob("docs/*.md")]:
        text = path.read_text()
        for block in re.findall(r'(?:"""\\?\n|```yaml\n)(.*?)(?:"""|```)', text, flags=re.DOTALL):
            if re.search(r"^problem:", block, re.MULTILINE) and re.search(r"^models:", block, re.MULTILINE):
                yield path.relative_to(ROOT).as_posix(), block


@pytest.mark.parametrize(("where", "text"), list(texts()), ids=lambda value: value if len(value) < 80 else "")
def test_every_params_yaml_of_the_repository_is_valid(validator: Draft7Validator, where: str, text: str) -> None:
    tree = YAML(typ="safe").load(text)
    parse(tree)
    assert [f"{error.json_path}: {error.message[:200]}" for error in validator.iter_errors(as_json(tree))] == []


def test_shorthands_and_both_ways_to_write_a_thing_are_valid(validator: Draft7Validator) -> None:
    made = {
        "problem": {
            "name": "p", "kind": "regression", "table": {"snapshots": "people", "every": "7d", "from": "2026-01-01", "active": "90d"},
            "target": {"from": "orders", "by": {"who": "person"}, "within": "30d", "sum": "amount"},
        },
        "data": {
            "as_of": "2026-03-01",
            "missing": {"amount": ["", None, -999]},
            "tables": {
                "orders": {
                    "source": ["a.csv", "b.csv"], "event_time": "at", "known_at": {"amount": "at + 1d", "*": "at"},
                    "columns": {"at": "datetime", "person": {"kind": "categorical", "allowed": [1, "b", True]}, "amount": "numeric"},
                },
                "people": {"source": {"sql": "sqlite:///x.db", "table": "people"}, "columns": {"who": "categorical"}},
            },
        },
        "features": {"history": "auto", "lookups": [{"table": "people", "on": ["who"], "columns": ["who"]}]},
        "models": {"ridge": None, "xgboost": {"params": {"rounds": 3}}},
        "tuning": {"goals": {"size_kb": None, "metric": None}},
        "training": None,
    }  # fmt: skip
    for tree in (as_json(planned()), as_json(world(["2h"], {"amount": ["mean"]})), made):
        assert [error.message for error in validator.iter_errors(tree)] == []
    assert parse(made).tuning.goals


MISTAKES: list[tuple[str, Any]] = [
    ("sead", 1),
    ("seed", "many"),
    ("seed", -1),
    ("problem.kind", "binery"),
    ("problem.metric", "rmse"),
    ("problem.target", {"col": "late"}),
    ("problem.target", {"from": "weather", "by": "origin", "within": "soon", "any": True}),
    ("data.as_of", "last week"),
    ("data.tables.planes.columns.year", "number"),
    ("data.tables.planes.colums", {}),
    ("data.tables.planes.key", 3),
    ("features.history", "automatic"),
    ("features.encode", {"scale": "standardise"}),
    ("split.test", "a month"),
    ("models", {"xgbost": {}}),
    ("models.xgboost", {"trial": 3}),
    ("tuning.trials", 0),
    ("tuning.sampler", "tpee"),
    ("training.cost", [1]),
    ("promotion.metric", "accuracyy"),
    ("promotion.guardrails", {"slice_dropp": 1}),
    ("serving.port", 70000),
    ("monitoring.alarm", "mail"),
    ("orchestration.parallel", 0),
]


@pytest.mark.parametrize(("path", "value"), MISTAKES, ids=[path for path, _ in MISTAKES])
def test_a_mistake_is_refused_by_the_schema_as_by_refit(validator: Draft7Validator, path: str, value: Any) -> None:
    tree = copy.deepcopy(YAML(typ="safe").load((ROOT / "params.yaml").read_text()))
    assert validator.is_valid(as_json(tree))
    *way, last = path.split(".")
    inner = tree
    for step in way:
        inner = inner.setdefault(step, {})
    inner[last] = value
    with pytest.raises(RefitError):
        parse(copy.deepcopy(tree))
    assert not validator.is_valid(as_json(tree))


def test_names_of_families_kinds_and_metrics_are_offered() -> None:
    schema = keys.schema()
    problem = schema["$defs"]["Problem"]["properties"]
    assert tuple(schema["properties"]["models"]["properties"]) == family_names()
    assert tuple(problem["kind"]["enum"]) == kind_names()
    assert {"roc_auc", "rmse"} <= set(problem["metric"]["enum"])


def test_init_names_the_schema_in_the_first_line_and_writes_it_beside(
    tmp_path: Any, validator: Draft7Validator
) -> None:
    (tmp_path / "t.csv").write_text("a,b,y\n" + "".join(f"{i / 7},{i % 3},{i % 2}\n" for i in range(60)))
    list(create(tmp_path, [tmp_path / "t.csv"], "y", force=False))
    text = (tmp_path / "params.yaml").read_text()
    assert text.splitlines()[0] == "# yaml-language-server: $schema=params.schema.json"
    assert json.loads((tmp_path / "params.schema.json").read_text()) == keys.schema()
    assert doctor.schema(tmp_path).good
    assert validator.is_valid(as_json(YAML(typ="safe").load(text)))


def test_doctor_sees_the_schema_of_another_refit(tmp_path: Any) -> None:
    assert doctor.schema(tmp_path).good
    refit = [sys.executable, "-m", "flows.cli", "schema"]
    (tmp_path / keys.FILE).write_text(subprocess.run(refit, capture_output=True, text=True, check=True).stdout)
    assert doctor.schema(tmp_path).says == "params.schema.json has every key"
    (tmp_path / keys.FILE).write_text("{}")
    assert doctor.schema(tmp_path).line().endswith("mend: refit schema > params.schema.json")


def test_no_key_is_without_a_line() -> None:
    rows = {key.path: key for key in keys.every_key()}
    assert [path for path, key in rows.items() if not key.about or not key.type] == []
    plain = {re.sub(r"\.(TABLE|COLUMN|FAMILY|NAME)\b", "", path) for path in rows}
    asked = {
        key.removesuffix(".column").removesuffix(".offset_micros") if "_time." in key or "known_at." in key else key
        for key in TABLE
    }
    asked = asked - {"problem.target.measure"} | {f"problem.target.{one}" for one in MEASURES}
    assert asked - plain == set()


def test_the_page_is_what_the_command_writes() -> None:
    assert (ROOT / "docs" / "params.md").read_text() == keys.page(), "refit params --markdown > docs/params.md"


def test_the_command_lists_one_section_and_names_the_nearest_key() -> None:
    refit = [sys.executable, "-m", "flows.cli", "params"]
    lines = subprocess.run([*refit, "tuning.goals"], capture_output=True, text=True, check=True).stdout.splitlines()
    assert lines[0] == "tuning.goals  mapping [unset]"
    assert all(line.startswith(("tuning.goals", "    ")) for line in lines)
    with pytest.raises(RefitError, match=r"tuning\.trails: no key of params\.yaml\. Did you mean 'tuning\.trials'"):
        list(keys.listed("tuning.trails", None))
    assert max(map(len, keys.listed(None, 60))) <= 60
