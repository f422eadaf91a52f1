"""A newcomer's messy file in eight commands, in an empty folder, with Refit from its wheel and no checkout in sight."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import subprocess
import sys
import urllib.request
import venv
from itertools import islice
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from deploy.launch import free_port
from tests.projects import ROOT, edit
from tests.shared import shared

pytestmark = [pytest.mark.flows, pytest.mark.timeout(900)]


def install(folder: Path) -> None:
    """An environment with Refit's wheel alone, above the libraries that are installed here."""
    source = folder / "source"
    source.mkdir()
    for name in ("pyproject.toml", "README.md", "LICENSE", "dvc.yaml"):
        shutil.copy(ROOT / name, source)
    for name in ("refit", "tasks", "flows", "deploy"):
        shutil.copytree(ROOT / name, source / name, symlinks=True, ignore=shutil.ignore_patterns("__pycache__"))
    pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]
    wheels = str(folder / "wheels")
    subprocess.run([*pip, "wheel", str(source), "--no-deps", "--no-build-isolation", "--wheel-dir", wheels], check=True)
    venv.create(folder / "env", with_pip=False, symlinks=True)
    python = str(folder / "env" / "bin" / "python")
    (wheel,) = (folder / "wheels").iterdir()
    subprocess.run([*pip, "--python", python, "install", "--no-deps", str(wheel)], check=True)
    (site,) = (folder / "env").glob("lib/python*/site-packages")
    libraries = Path(np.__file__).parents[
        1
    ]  # a path in a .pth file: the checkout's own .pth files there are not followed
    (site / "libraries.pth").write_text(f"{libraries}\n")


@pytest.fixture(scope="module")
def env(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """What a shell of that environment has."""
    folder = shared(tmp_path_factory, "installed", install) / "env"
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("PREFECT_", "MLFLOW_", "REFIT_", "PYTHONPATH"))}
    return {**kept, "PATH": f"{folder / 'bin'}{os.pathsep}{kept['PATH']}"}


def messy(rows: int, seed: int, since: str) -> pd.DataFrame:
    """Customers as a spreadsheet has them: European numbers, a currency, gaps in many words, dates of an office."""
    rng = np.random.default_rng(seed)
    signed = pd.Timestamp(since) + pd.to_timedelta(np.sort(rng.integers(0, 120, rows)), unit="D")
    spent, visits = rng.gamma(2.0, 900.0, rows), rng.poisson(4, rows)
    plan = rng.choice(["basic", "Basic ", "plus", "pro"], rows)
    lean = 1.2 - 0.0009 * spent - 0.25 * visits + 1.1 * (plan == "pro") + rng.normal(0, 0.6, rows)
    left = np.where(lean > 0, "Yes", "no")
    amount = [f"{x:,.2f} €".replace(",", "_").replace(".", ",").replace("_", ".") for x in spent]
    return pd.DataFrame({
        "Customer No.": [f"C-{seed}{i:05d}" for i in range(rows)],
        "signed up": signed.strftime("%d.%m.%Y"),
        "spent": np.where(rng.random(rows) < 0.05, "n/a", amount),
        "visits": np.where(rng.random(rows) < 0.04, "-", visits.astype(str)),
        "plan": plan,
        "note": np.where(rng.random(rows) < 0.5, "", "called; will call again"),
        "cancelled on": np.where(left == "Yes", (signed + pd.Timedelta("40D")).strftime("%d.%m.%Y"), ""),
        "left?": left,
    })  # fmt: skip


def write(frame: pd.DataFrame, path: Path) -> None:
    """As Excel saves it."""
    frame.to_csv(path, sep=";", index=False, encoding="utf-8-sig")


def test_eight_commands_from_a_messy_file_to_a_rollback(tmp_path: Path, env: dict[str, str], full: bool) -> None:
    spent: list[str] = []

    def refit(line: str, code: int = 0) -> str:
        spent.append(line)
        done = subprocess.run(
            ["refit", *shlex.split(line)], cwd=tmp_path, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
            timeout=600,
        )  # fmt: skip
        assert done.returncode == code, f"refit {line} exited with {done.returncode}:\n{done.stdout[-4000:]}"
        assert "Traceback" not in done.stdout
        return done.stdout

    first = messy(900, 1, "2025-01-01")
    write(first, tmp_path / "customers.csv")
    refit('init --data customers.csv --target "left?"')
    assert "cancelled on: ignore" in (tmp_path / "params.yaml").read_text(), "it gives the target away"
    port = free_port()
    quick = {} if full else {"models__auto": {"seconds": 12, "trials": 1}}
    edit(tmp_path / "params.yaml", serving__port=port, **quick)
    assert "Promote" in refit("run")
    assert (
        str(tmp_path / "data/reports/report.html") in refit("report").replace("\n", "")
        or (tmp_path / "data/reports/report.html").is_file()
    )
    answered(tmp_path, env, port, first)
    spent.append("serve")

    write(pd.concat([first, messy(500, 2, "2025-05-05")]), tmp_path / "customers.csv")
    again = refit("run")
    assert "verdict" in again
    write(messy(3, 3, "2025-09-20").drop(columns=["left?", "cancelled on"]), tmp_path / "new.csv")
    assert "spent" in refit("explain new.csv --row 2")
    refit("promote 2 --reason 'the newer one'") if "champion: version 1" in again else None
    assert "version 1" in refit("rollback --reason 'we liked the old one'")
    assert len({line.split()[0] for line in spent}) <= 8


def answered(root: Path, env: dict[str, str], port: int, frame: pd.DataFrame) -> None:
    """Serve, ask for a row as it stands in the file, and stop."""
    row = frame.drop(columns=["left?", "cancelled on"]).iloc[0].to_dict()
    address = f"http://127.0.0.1:{port}"
    with subprocess.Popen(["refit", "serve"], cwd=root, env=env, stdout=subprocess.PIPE, text=True) as server:
        try:
            assert server.stdout is not None
            assert list(islice(server.stdout, 2)) == [
                "loading left, version 1 ...\n",
                f"serving left, version 1: {address} (Ctrl-C stops it)\n",
            ]
            ask = urllib.request.Request(
                f"{address}/predict", json.dumps(row).encode(), {"content-type": "application/json"}
            )
            with urllib.request.urlopen(ask, timeout=60) as reply:
                answer = json.loads(reply.read())
        finally:
            server.terminate()
        assert server.stdout.read().startswith("stopping: ")
    assert answer["decision"] in ("Yes", "no")
    assert answer["version"] == "1"
