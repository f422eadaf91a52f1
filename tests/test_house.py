"""The house rules that no other tool checks: names agree, stages name the code they use, no pickle."""

import re
from pathlib import Path

from pydantic import BaseModel
from ruamel.yaml import YAML

from tasks.code import used
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
    for folder in ("tasks", "flows", "deploy"):
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
        opened = set(re.findall(rf"""(?:"data/|DATA / ")({"|".join(known)})\b""", text)) - data_of(stage)
        if read | opened:
            missing[name] = sorted(read | opened)
    assert not missing


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
