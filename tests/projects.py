"""Projects as a user has them, for the tests that run the real commands."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

ROOT = Path(__file__).parents[1]
BIN = Path(sys.executable).parent


def environment(**more: str) -> dict[str, str]:
    """This process's environment, with the interpreter's commands first and no server chosen."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("PREFECT_", "MLFLOW_", "REFIT_"))}
    return {**kept, "PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}", **more}


def prefect(env: dict[str, str]) -> dict[str, str]:
    """What an environment says of a Prefect server, for :func:`succeeds`; without it, a run starts one of its own."""
    return {k: v for k, v in env.items() if k.startswith("PREFECT_")}


def command(root: Path, *words: str, timeout: float = 570, **more: str) -> subprocess.CompletedProcess[str]:
    """Run a command in the project; its output is in ``stdout`` (errors too)."""
    return subprocess.run(
        words,
        cwd=root,
        env=environment(**more),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=timeout,
        check=False,
    )


def succeeds(root: Path, *words: str, **more: Any) -> str:
    """Run a command that must exit with 0; returns its output."""
    done = command(root, *words, **more)
    assert done.returncode == 0, f"{' '.join(words)} exited with {done.returncode}:\n{done.stdout[-4000:]}"
    return done.stdout


def edit(path: Path, **changes: Any) -> None:
    """Set keys of a YAML file, written with ``__`` for a dot: ``tuning__trials=1``."""
    yaml = YAML()
    tree = yaml.load(path.read_text())
    for dotted, value in changes.items():
        *parents, last = dotted.split("__")
        node = tree
        for parent in parents:
            node = node[parent]
        node[last] = value
    with path.open("w") as file:
        yaml.dump(tree, file)


def checkout(to: Path) -> Path:
    """A copy of this checkout's tracked files, as a git repository of its own."""
    tracked = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    for name in filter(None, tracked.split("\0")):
        if (ROOT / name).is_file():
            (to / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, to / name)
    author = ["-c", "user.name=test", "-c", "user.email=test@localhost"]
    for words in (["init", "-q"], ["add", "-A"], [*author, "commit", "-qm", "checkout"]):
        succeeds(to, "git", *words)
    return to
