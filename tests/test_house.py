"""The house rules that no other tool checks: names agree, and nothing heavy loads at start."""

import subprocess
import sys
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


def test_help_loads_nothing_heavy():
    heavy = ["prefect", "mlflow", "torch", "pandas", "sklearn", "dvc", "evidently", "great_expectations", "bentoml"]
    code = (
        "import sys, flows.cli\n"
        "from typer.testing import CliRunner\n"
        "result = CliRunner().invoke(flows.cli.app, ['--help'])\n"
        "assert result.exit_code == 0, result.output\n"
        f"print([m for m in {heavy} if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout.strip() == "[]"


def test_no_pickle_in_the_product():
    words = ("import pickle", "import joblib", "import cloudpickle", "from joblib", "torch.load(", "shell=True")
    for folder in ("tasks", "flows", "deploy"):
        for file in (ROOT / folder).rglob("*.py"):
            text = file.read_text()
            for word in words:
                assert word not in text, f"{file}: {word}"
