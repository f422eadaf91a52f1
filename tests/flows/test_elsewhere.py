"""A project in a folder of any name that cannot be written to, as after a copy: what only reads works, the rest says one line."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from flows import preflight
from tasks.errors import RefitError
from tests.flows.project import REFIT, alone, copied

pytestmark = pytest.mark.flows
NAME = 'Büro Zürich/it\'s #5 "q" 50%25 {x} $HOME;(y)[z]&a=b'


def read_only(root: Path, command: str) -> subprocess.CompletedProcess[str]:
    """Run a shell's command with the folder mounted so that nobody can write to it."""
    script = f'mount --bind "$0" "$0" && mount -o remount,ro,bind "$0" && cd "$0" && {command}'
    return subprocess.run(
        ["unshare", "--mount", "sh", "-c", script, str(root)], env=alone(), capture_output=True, text=True, timeout=400
    )


def test_a_copy_that_cannot_be_written_to_is_read(twice: Path, tmp_path: Path) -> None:
    """The version that is rebuilt was made after a family was dropped."""
    root = copied(twice, tmp_path / NAME)
    assert not (root / "data" / "models" / "gradient_boosting").exists(), "what a family left is in DVC's cache alone"
    if shutil.which("unshare") is None or read_only(root, "true").returncode:
        pytest.skip("no right to mount a folder read-only")
    refit = " ".join(REFIT)
    done = read_only(root, f"{refit} history && OMP_NUM_THREADS=3 {refit} verify 2 --rebuild")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "promote   1" in done.stdout
    assert "every byte the same" in done.stdout
    assert "as it was made; here there are 3" in done.stderr, "a machine with other cores rebuilds with as many threads"
    for command in ("run", "promote 1 --reason x", "rollback --reason x", "adopt --none --reason x"):
        done = read_only(root, f"{refit} {command}")
        assert done.returncode == 1, command
        (said,) = done.stderr.splitlines()
        assert "cannot be written to (Read-only file system)" in said


def test_a_folder_that_no_database_can_have_is_refused(iris: Path, tmp_path: Path) -> None:
    root = copied(iris, tmp_path / "why?")
    with pytest.raises(RefitError, match="a folder's path with a '\\?' cannot be part of a database's URL"):
        preflight.require(root)
    assert not (tmp_path / "why").exists()
