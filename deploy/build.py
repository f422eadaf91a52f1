"""Build a package into a Bento: service, code and package in one folder, from which BentoML makes containers."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from importlib.metadata import version
from pathlib import Path

import tasks
from tasks.bundle.manifest import examine
from tasks.errors import RefitError
from tasks.files import read_json
from tasks.stage import SETTINGS, log

# What serving imports; versions are those installed here, with which the package was made and checked.
ALWAYS = (
    "bentoml", "numpy", "pandas", "prometheus-client", "pyarrow", "pydantic", "safetensors", "scikit-learn",
    "starlette", "uvicorn",
)  # fmt: skip
BY_FORMAT = {"xgboost": ("xgboost",), "lightgbm": ("lightgbm",), "network": ("torch",), "skops": ("skops",)}


def build(package: str | Path, version_name: str, store: str | Path | None = None, timeout: float = 300) -> Path:
    """Build the Bento ``refit:<version_name>`` from a package; returns its folder.

    Parameters
    ----------
    package
        The package's folder; it is checked first.
    version_name
        The Bento's version, such as the registry's version of the model.
    store
        BentoML's home; its own default if None.

    Raises
    ------
    RefitError
        If the package is damaged or BentoML refuses; with the end of its output.
    """
    package = Path(package)
    examine(package)  # before BentoML takes its time
    root = Path(tasks.__file__).parent.parent
    home = Path(store) if store is not None else Path(os.environ.get("BENTOML_HOME") or Path.home() / "bentoml")
    with tempfile.TemporaryDirectory(prefix="refit-build-") as scratch:
        context = Path(scratch)
        ignored = shutil.ignore_patterns("__pycache__")
        shutil.copytree(root / "tasks", context / "tasks", ignore=ignored)
        shutil.copytree(root / "deploy", context / "deploy", ignore=ignored)
        shutil.copytree(package, context / "package")
        identity = examine(context / "package").identity
        baked = (context / "deploy" / "baked.py").read_text(encoding="utf-8")
        (context / "deploy" / "baked.py").write_text(
            baked.replace("PACKAGE: str | None = None", f'PACKAGE: str | None = "{identity}"'), encoding="utf-8"
        )
        bentofile = (root / "deploy" / "bentofile.yaml").read_text(encoding="utf-8")
        pins = "".join(f'    - "{name}=={version(name)}"\n' for name in requirements(package))
        python = f'docker:\n  distro: debian\n  python_version: "{sys.version_info.major}.{sys.version_info.minor}"\n'
        python += f"python:\n  lock_packages: false\n  packages:\n{pins}"
        (context / "bentofile.yaml").write_text(bentofile + python, encoding="utf-8")
        command = [sys.executable, "-m", "bentoml", "build", "--version", version_name, "--output", "tag", "."]
        env = {**os.environ, **SETTINGS, "BENTOML_HOME": str(home), "REFIT_PACKAGE": ""}
        try:
            done = subprocess.run(command, cwd=context, env=env, capture_output=True, text=True, timeout=timeout)
        except subprocess.TimeoutExpired:
            raise RefitError(f"bentoml build did not end within {timeout:g} s") from None
    if done.returncode:
        said = "\n".join((done.stdout + done.stderr).strip().splitlines()[-12:])
        raise RefitError(f"bentoml build failed with code {done.returncode}:\n{said}")
    return home / "bentos" / "refit" / version_name


def requirements(package: Path) -> list[str]:
    """Names of the distributions that serving this package needs."""
    formats = {read_json(path).get("format") for path in package.glob("model/*/model.json")}
    extra = {name for key, names in BY_FORMAT.items() if key in formats for name in names}
    return sorted({*ALWAYS, *extra})


def main() -> None:
    import argparse

    parser = argparse.ArgumentParser(description="Build a package into a Bento.")
    parser.add_argument("--package", default="data/package")
    parser.add_argument("--version", default="unregistered")
    given = parser.parse_args()
    log(f"built {build(given.package, given.version)}")


if __name__ == "__main__":
    from tasks.stage import run

    run(main)
