"""The house rules that no other tool checks: names agree, stages name the code they use, no pickle."""

import ast
import re
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

from pydantic import BaseModel
from ruamel.yaml import YAML

from tasks.artifacts import folders
from tasks.code import used
from tasks.kinds import kind_names
from tasks.params import MEASURES, Params, load
from tests.conftest import LONG

ROOT = Path(__file__).parents[1]
DAG = YAML(typ="safe").load((ROOT / "dvc.yaml").read_text())["stages"]


def test_each_stage_has_a_package_that_can_be_run():
    for name in DAG:
        assert (ROOT / "tasks" / name / "__main__.py").is_file(), name


def test_files_that_are_begun_first_exist():
    assert [file for file in LONG if not (ROOT / file).is_file()] == []


def test_each_stage_depends_on_its_own_code():
    for name, stage in DAG.items():
        stage = stage.get("do", stage)
        assert f"tasks/{name}" in stage["deps"], name
        assert stage["cmd"].startswith(f"python -m tasks.{name}"), name


def test_no_pickle_in_the_product():
    words = ("import pickle", "import joblib", "import cloudpickle", "from joblib", "torch.load(", "shell=True")
    for folder in ("refit", "flows", "deploy", "tasks"):
        for file in (ROOT / folder).rglob("*.py"):
            text = file.read_text()
            for word in words:
                assert word not in text, f"{file}: {word}"


def test_a_stage_depends_on_all_the_code_it_uses():
    wrong = {}
    for name, stage in DAG.items():
        listed = {dep.removeprefix("tasks/") for dep in stage.get("do", stage)["deps"] if dep.startswith("tasks/")}
        if listed != set(used(ROOT / "tasks", name)):
            wrong[name] = sorted(listed ^ set(used(ROOT / "tasks", name)))
    assert not wrong


def test_a_stage_declares_the_parameters_and_the_data_that_it_reads():
    def data_of(stage: dict) -> set[str]:
        return {path.split("/")[1] for path in (*stage["deps"], *stage["outs"]) if path.startswith("data/")}

    stages = {name: stage.get("do", stage) for name, stage in DAG.items()}
    known = set().union(*map(data_of, stages.values()))
    missing = {}
    for name, stage in stages.items():
        text = "\n".join(file.read_text() for file in (ROOT / "tasks" / name).rglob("*.py"))
        sections = {key.partition(".")[0] for key in stage["params"]}
        read = set(re.findall(rf"\bparams\.({'|'.join(Params.model_fields)})\b", text)) - sections
        opened = set(re.findall(rf"""(?:"data/|DATA / ")({"|".join(known)})\b""", text))
        named = re.findall(r"from tasks\.artifacts\.folders import \(?([\w,\s]+?)(?:\)|\n(?!\s))", text)
        paths = [getattr(folders, one) for one in re.findall(r"\b[A-Z]\w*", " ".join(named))]
        opened = (opened | {path.parts[1] for path in paths if len(path.parts) > 1}) & known - data_of(stage)
        if read | opened:
            missing[name] = sorted(read | opened)
    assert not missing


def imports(tree: ast.AST) -> Iterator[str]:
    """What a module imports when it runs, in functions too, by the longest name; what is imported for types alone is not run."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            continue
        if isinstance(node, ast.Import):
            yield from (name.name for name in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield from (f"{node.module}.{name.name}" for name in node.names)
        else:
            yield from imports(node)


def circle(code: dict[str, str]) -> list[str]:
    """Modules (by name, with their text) that import one another in a circle; none where there is no circle."""
    edges = {}
    for name, text in code.items():
        found = {full if full in code else full.rpartition(".")[0] for full in imports(ast.parse(text))}
        edges[name] = found & code.keys() - {name}
    try:
        TopologicalSorter(edges).prepare()
    except CycleError as error:
        return error.args[1]
    return []


def test_no_circle_of_imports():
    code = {}
    for folder in ("refit", "flows", "deploy", "tasks"):
        for file in sorted((ROOT / folder).rglob("*.py")):
            name = ".".join(file.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
            code[name] = file.read_text()
    assert not circle(code)


def test_a_circle_through_a_function_is_found_and_one_for_types_is_not():
    late = "def f():\n    from tasks import b\n"
    types = "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from tasks.a import A\n"
    assert circle({"tasks": "", "tasks.a": late, "tasks.b": types}) == []
    assert sorted(set(circle({"tasks": "", "tasks.a": late, "tasks.b": "from tasks.a import A\n"}))) == [
        "tasks.a",
        "tasks.b",
    ]
    assert circle({"tasks": "from tasks.a import A", "tasks.a": "import tasks\n"})


def classes() -> Iterator[tuple[str, str]]:
    """Every class of the product by its name, with the module that it stands in."""
    for folder in ("refit", "flows", "deploy", "tasks"):
        for file in sorted((ROOT / folder).rglob("*.py")):
            for node in ast.walk(ast.parse(file.read_text())):
                if isinstance(node, ast.ClassDef):
                    yield node.name, file.relative_to(ROOT).as_posix()


# Names that still stand twice; whoever renames one takes it from here, and none is added.
TWICE = {
    "Asked", "Booster", "Choice", "Column", "Columns", "Decision", "Found", "Judged", "Kept", "Mixed", "Model", "Moment",
    "Part", "Rows", "Split", "Table", "Target", "Trainer", "Training", "Watch", "_Run",
}  # fmt: skip


def test_a_class_has_its_name_for_itself():
    places: dict[str, list[str]] = {}
    for name, file in classes():
        places.setdefault(name, []).append(file)
    twice = {name: files for name, files in places.items() if len(files) > 1 and name not in TWICE}
    assert not twice, "one word, one thing: see `One word, one thing` in CONTRIBUTING.md"


def test_no_package_calls_one_of_its_modules_and_something_else_by_one_name():
    wrong = []
    for file in sorted(
        file for folder in ("tasks", "flows", "deploy") for file in (ROOT / folder).rglob("__init__.py")
    ):
        package = ".".join(file.parent.relative_to(ROOT).parts)
        modules = {f"{package}.{one.stem}" for one in file.parent.iterdir()}
        wrong += [f"{package}: {name.asname or name.name}" for node in ast.walk(ast.parse(file.read_text()))
                  if isinstance(node, ast.ImportFrom) and node.module in modules
                  for name in node.names if f"{package}.{name.asname or name.name}" in modules]  # fmt: skip
    assert not wrong


# Rooms in which no result is called by the fact that somebody found, said or told it.
PLAIN = ("tasks/engine", "tasks/values", "tasks/registry", "tasks/paired", "tasks/params", "refit")


def test_a_result_is_called_by_what_it_holds():
    wrong = []
    for file in (file for room in PLAIN for file in sorted((ROOT / room).rglob("*.py"))):
        for node in ast.walk(ast.parse(file.read_text())):
            word = node.id if isinstance(node, ast.Name) else getattr(node, "arg", None)
            if word in ("found", "said", "told"):
                wrong.append(f"{file.relative_to(ROOT)}:{node.lineno}: {word}")
    assert not wrong


def test_params_yaml_documents_every_key():
    text = (ROOT / "params.yaml").read_text()

    def fields(model: type[BaseModel]) -> set[str]:
        found = set()
        for name, field in model.model_fields.items():
            found |= set(MEASURES) if name == "measure" else {field.alias or name}
            for inner in models_in(field.annotation):
                found |= fields(inner)
        return found

    def models_in(annotation: object) -> list[type[BaseModel]]:
        if isinstance(annotation, type) and issubclass(annotation, BaseModel):
            return [annotation]
        return [model for part in getattr(annotation, "__args__", ()) for model in models_in(part)]

    # A moment is written as text, `column - 2h`; positive belongs to targets that are labels.
    absent = {name for name in fields(Params) if not re.search(rf"\b{name}\b", text)}
    assert absent <= {"offset_micros", "positive", "interaction_only"}, absent
    load(ROOT / "params.yaml")


LIBRARIES_WORDS = {  # strings that libraries call their own things by, which are also kinds' names
    ("tasks/families/lightgbm.py", "OBJECTIVES"), ("tasks/encoding/category.py", "TARGETS"),
}  # fmt: skip


def test_nobody_asks_which_kind_of_problem_it_is():
    """Kinds are plug-ins: outside of tasks/kinds no code has a kind's name, compares one, or imports one."""
    found = []
    for folder in ("refit", "flows", "deploy", "tasks"):
        for path in sorted((ROOT / folder).rglob("*.py")):
            name = path.relative_to(ROOT).as_posix()
            if not name.startswith(("tasks/kinds/", "tasks/params")):
                found += [f"{name}:{line}: {what}" for line, what in asked_kinds(ast.parse(path.read_text()), name)]
    assert not found


def asked_kinds(tree: ast.Module, name: str) -> Iterator[tuple[int, str]]:
    """Where a module names a kind of problem: as a string, by import, or in a function's or constant's name."""
    names = set(kind_names())
    words = {
        id(node) for top in tree.body if isinstance(top, ast.Assign) and (name, getattr(top.targets[0], "id", "")) in LIBRARIES_WORDS
        for node in ast.walk(top)
    }  # fmt: skip
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and node.value in names and id(node) not in words:
            yield node.lineno, f"the name {node.value!r}"
        if isinstance(node, ast.ImportFrom) and node.module in [f"tasks.kinds.{one}" for one in names]:
            yield node.lineno, f"imports {node.module}"
        for word in [getattr(node, key, "") for key in ("id", "name")]:
            if isinstance(word, str) and re.fullmatch(
                rf"is_({'|'.join(names)}|classification)|CLASSIFICATION|{'|'.join(names).upper()}", word
            ):
                yield node.lineno, f"the name {word}"


def test_the_rule_about_kinds_sees_each_way_of_asking():
    for text in (
        "a = kind == 'binary'",
        "x = {'regression': 1}",
        "from tasks.kinds.binary import KIND",
        "is_binary(x)",
        "if REGRESSION: pass",
    ):
        assert list(asked_kinds(ast.parse(text), "x.py")), text
    assert not list(asked_kinds(ast.parse("from tasks.kinds import TWO\nx = find_kind(kind).output == TWO"), "x.py"))


def test_the_dag_travels_in_the_wheel_and_stands_once():
    link = ROOT / "flows" / "dag.yaml"
    assert link.is_symlink(), "a copy would be a second DAG"
    assert link.resolve() == ROOT / "dvc.yaml"
