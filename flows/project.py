"""``refit init``: make a folder with a table a project of its own."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from tasks.errors import RefitError
from tasks.files import write_text

HOUSE = Path(__file__).resolve().parent.parent
IGNORED = (
    "/data/*", "!/data/expectations/", "/.refit/", "/.dvc-remote/", "__pycache__/",
)  # fmt: skip


def create(root: Path, data: Path, target: str, force: bool) -> Iterator[str]:
    """Write ``params.yaml`` for the table, and what else a project needs where it is not there; yields what was done.

    Raises :class:`RefitError` before anything is written if the table or the target cannot be used, or if a
    ``params.yaml`` is there and ``force`` is not given.
    """
    from tasks.params import load
    from tasks.profile import infer, to_yaml

    params = root / "params.yaml"
    if params.exists() and not force:
        raise RefitError(f"{params}: is there already. Use --force to replace it, or another folder.")
    text = to_yaml(infer(data, target))
    write_text(params, text)
    kind = load(params).problem.kind
    yield f"wrote params.yaml: {target!r} is predicted as {kind}; look it over, it is the one file you edit"
    if not (root / "dvc.yaml").exists():
        write_text(root / "dvc.yaml", dag())
        yield "wrote dvc.yaml: the stages"
    for name in ("data/context", "data/champion", "data/expectations"):
        (root / name).mkdir(parents=True, exist_ok=True)
    ignore = root / ".gitignore"
    lines = ignore.read_text(encoding="utf-8").splitlines() if ignore.exists() else []
    lacking = [line for line in IGNORED if line not in lines]
    if lacking and root != HOUSE:
        write_text(ignore, "\n".join([*lines, *lacking]) + "\n")
    if not (root / ".dvc").is_dir():
        _dvc(root, "init", "-q", *([] if (root / ".git").exists() else ["--no-scm"]))
        _dvc(root, "config", "core.analytics", "false")
        _dvc(root, "config", "core.check_update", "false")
        _dvc(root, "remote", "add", "-d", "-q", "local", str(root / ".dvc-remote"))
        yield "made the folder a DVC repository with a remote in .dvc-remote (change it with `dvc remote modify`)"
    yield "next: refit run"


def dag() -> str:
    """The DAG for a project that uses the installed Refit: Refit's own ``dvc.yaml`` without the code as dependency.

    A stage that then has no dependency left would never be cached; there is none.
    """
    from ruamel.yaml import YAML

    source = HOUSE / "dvc.yaml"
    if not source.exists():
        source = Path(__file__).with_name("dvc.yaml")
    yaml = YAML(typ="rt")
    yaml.width = 4096
    tree = yaml.load(source.read_text(encoding="utf-8"))
    for stage in tree["stages"].values():
        body = stage.get("do", stage)
        for at in reversed(range(len(body["deps"]))):
            if str(body["deps"][at]).startswith("tasks/"):
                del body["deps"][at]
        if not body["deps"]:
            body["deps"].append("params.yaml")
    from io import StringIO

    text = StringIO()
    yaml.dump(tree, text)
    return text.getvalue()


def _dvc(root: Path, *arguments: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "dvc", *arguments], cwd=root, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise RefitError(f"dvc {' '.join(arguments)} failed: {done.stderr.strip()[-400:]}")
