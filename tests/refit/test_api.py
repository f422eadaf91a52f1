"""What people's own code imports: it is there, it is typed, and it loads nothing that nobody asked for."""

from __future__ import annotations

import inspect
import subprocess
import sys
from pathlib import Path

import pytest

import refit
from refit import RefitError, load_package, load_params
from tests.projects import ROOT


def test_importing_refit_imports_nothing_heavy() -> None:
    heavy = "numpy", "pandas", "prefect", "mlflow", "bentoml", "torch", "pydantic"
    code = f"import sys, refit; print([name for name in {heavy} if name in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"


def test_what_is_public_is_there_with_types_and_words() -> None:
    for name in refit.__all__:
        one = getattr(refit, name)
        assert inspect.getdoc(one), name
        if inspect.isfunction(one):
            hints = inspect.signature(one)
            assert hints.return_annotation is not inspect.Signature.empty
            assert all(p.annotation is not inspect.Parameter.empty for p in hints.parameters.values())
    assert all((ROOT / room / "py.typed").is_file() for room in ("refit", "flows", "deploy", "tasks"))


def test_parameters_of_a_project_are_read_and_checked(tmp_path: Path) -> None:
    assert load_params(ROOT).problem.kind == "binary"
    (tmp_path / "params.yaml").write_text("problem: {name: x}\n")
    with pytest.raises(RefitError, match="problem"):
        load_params(tmp_path)
    with pytest.raises(RefitError, match="no such file"):
        load_params(tmp_path / "nowhere")


def test_a_folder_that_holds_no_package_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RefitError, match=r"bundle\.json"):
        load_package(tmp_path)
