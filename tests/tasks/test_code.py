"""What `data/code` says of a stage's code: all that it uses, nothing else, and the same wherever Refit lies."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tasks import code
from tasks.errors import RefitError
from tasks.files import read_json


def test_a_digest_changes_with_the_code_that_a_stage_uses_and_with_nothing_else(tmp_path: Path) -> None:
    folder = tmp_path / "anywhere" / "tasks"
    shutil.copytree(code.__file__.rsplit("/", 1)[0], folder, ignore=shutil.ignore_patterns("__pycache__"))

    def digests() -> dict[str, object]:
        return {name: code.digest(folder, name, ["seed", "problem"]) for name in ("ingest", "tune", "drift", "package")}

    def changed(path: str) -> set[str]:
        before, text = digests(), (folder / path).read_text()
        (folder / path).write_text(text + "\n# another line\n")
        after = digests()
        (folder / path).write_text(text)
        assert digests() == before
        return {name for name in after if after[name] != before[name]}

    here = code.digest(Path(code.__file__).parent, "tune", ["seed", "problem"])
    assert digests()["tune"] == here, "neither the folder nor compiled files count"
    assert changed("tune/study.py") == {"tune", "package"}
    assert changed("profile/kinds.py") == {"ingest", "package"}
    assert changed("drift/table.py") == {"drift"}
    assert changed("families/ridge.py") == {"tune", "drift", "package"}
    assert changed("errors.py") == set()


def test_defaults_of_parameters_count_where_a_stage_names_them(monkeypatch: pytest.MonkeyPatch) -> None:
    from tasks.params import Tuning

    folder = Path(code.__file__).parent
    before = code.digest(folder, "tune", ["tuning", "seed"])["defaults"]
    monkeypatch.setattr(Tuning.model_fields["trials"], "default", 77)
    after = code.digest(folder, "tune", ["tuning", "seed"])["defaults"]
    assert {name for name in after if after[name] != before[name]} == {"tuning"}


def test_a_stage_refuses_a_digest_of_other_code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    folder = Path(code.__file__).parent
    code.check("tune")  # a checkout has no such file
    code.write(tmp_path, {"tune": ["seed", "tuning"]}, folder)
    code.check("tune")
    path = tmp_path / "data" / "code" / "tune.json"
    path.write_text(path.read_text().replace('tasks/metrics": "', 'tasks/metrics": "0'))
    with pytest.raises(
        RefitError, match=r"another than this file says \('tasks/metrics'\)\. Begin again with `refit run`"
    ):
        code.check("tune")
    path.write_text("<<<<<<< HEAD\n")
    with pytest.raises(RefitError, match=r"`python -m tasks\.code`"):
        code.check("tune")
    code.write(tmp_path, {"tune": ["seed", "tuning"]}, folder)
    code.check("tune")


def test_the_files_are_written_by_hand_for_the_stages_that_ask_for_them(tmp_path: Path) -> None:
    root = Path(code.__file__).parents[1]
    command = [sys.executable, "-m", "tasks.code"]

    def run() -> subprocess.CompletedProcess[str]:
        env = {**os.environ, "PYTHONPATH": str(root)}
        return subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True)

    assert "error: dvc.yaml: no such file" in run().stderr
    (tmp_path / "dvc.yaml").write_text(
        "stages:\n  tune: {cmd: x, deps: [data/code/tune.json, data/features], params: [seed, models.a]}\n"
        "  own: {cmd: y, deps: [own.py]}\n"
    )
    done = run()
    assert done.returncode == 0, done.stderr
    (file,) = (tmp_path / "data" / "code").iterdir()
    assert read_json(file) == code.digest(root / "tasks", "tune", ["seed", "models"])
    (tmp_path / "dvc.yaml").write_text("stages:\n  own: {cmd: y, deps: [data/code/own.json]}\n")
    assert "error: dvc.yaml: stage 'own' depends on data/code/own.json, but Refit has no such stage" in run().stderr


def test_stages_that_name_no_code_are_found() -> None:
    dag = (
        "stages:\n  a: {cmd: python -m tasks.a, deps: [tasks/a]}\n  b: {cmd: python -m tasks.b, deps: [data/code/b.json]}\n"
        "  c: {foreach: [1], do: {cmd: 'python -m tasks.c 1', deps: [data/x]}}\n  own: {cmd: python own.py}\n"
    )
    assert code.unnamed(dag) == ["c"]
    assert code.unnamed((Path(code.__file__).parents[1] / "dvc.yaml").read_text()) == []
