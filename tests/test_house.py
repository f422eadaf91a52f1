"""The house rules that no other tool checks: names agree, stages name the code they use, no pickle."""

import ast
from pathlib import Path

from ruamel.yaml import YAML

ROOT = Path(__file__).parents[1]
DAG = YAML(typ="safe").load((ROOT / "dvc.yaml").read_text())["stages"]


def test_each_stage_has_a_package_that_can_be_run():
    for name in DAG:
        assert (ROOT / "tasks" / name / "__main__.py").is_file(), name


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


def _packages_used(package: str, seen: set[str]) -> set[str]:
    """Packages of tasks/ that a package imports, directly or through others."""
    seen.add(package)
    for file in (ROOT / "tasks" / package).rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            names = [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            if isinstance(node, ast.ImportFrom) and node.module == "tasks":
                names = [f"tasks.{alias.name}" for alias in node.names]
            for name in names:
                parts = name.split(".")
                is_package = parts[0] == "tasks" and len(parts) > 1 and (ROOT / "tasks" / parts[1]).is_dir()
                if is_package and parts[1] not in seen:
                    _packages_used(parts[1], seen)
    return seen


def test_a_stage_depends_on_all_the_code_it_uses():
    missing = {}
    for name, stage in DAG.items():
        listed = {dep.removeprefix("tasks/") for dep in stage.get("do", stage)["deps"] if dep.startswith("tasks/")}
        lacking = _packages_used(name, set()) - listed
        if lacking:
            missing[name] = sorted(lacking)
    assert not missing
