"""What newcomers are likely to do wrong: each is answered before any stage, in one line, with the remedy, and nothing is written.

``test_preflight.py`` has more of what can be wrong with a project, and ``test_reading.py`` of what with a file.
"""

from __future__ import annotations

import errno
import gzip
import io
import os
import shutil
import socket
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest
from typer.testing import CliRunner

from flows import cli
from flows.preflight import machine
from flows.preflight.subject import Subject
from tasks.extras import install
from tests.shared import shared

Spoil = Callable[[Path], object]
HEAD = "size,colour,paid,sold\n"
ROWS = "".join(
    f"{i / 7:.2f},{'abcd'[i % 4]},{'yes' if i % 3 else 'no'},2024-{1 + i // 28:02}-{1 + i % 28:02}\n" for i in range(90)
)
TABLE = HEAD + ROWS
INIT = ["init", "--data", "t.csv", "--target", "paid"]


def zipped(**files: str) -> bytes:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as archive:
        for name, text in files.items():
            archive.writestr(name.replace("__", "/"), text)
    return made.getvalue()


def column(values: list[str], name: str = "paid") -> str:
    return f"size,{name}\n" + "".join(f"{i / 7:.2f},{value}\n" for i, value in enumerate(values))


# The content of t.csv (None: there is none), the command, and what the answer says.
FILES: dict[str, tuple[str | bytes | None, list[str], list[str]]] = {
    "the file is missing": (TABLE, ["init", "--data", "tt.csv", "--target", "paid"], ["tt.csv: no such file", "Did you mean 't.csv'?"]),
    "no file is named": (TABLE, ["init", "--target", "paid"], ["--data: missing"]),
    "no target is named": (TABLE, ["init", "--data", "t.csv"], ["--target: missing", "'size', 'colour', 'paid', 'sold'"]),
    "the target is misspelt": (TABLE, [*INIT[:-1], "payed"], ["no column 'payed'", "Did you mean 'paid'?"]),
    "the target is empty": (column([""] * 50), INIT, ["'paid' is empty in all 50 rows", "Choose another column"]),
    "the target has one class": (column(["yes"] * 50), INIT, ["only the class 'yes' in all 50 rows", "bring rows of other classes"]),
    "the target is free text": (column([f"the {i}th complaint of a client" for i in range(50)]), INIT, ["50 different values in 50 rows", "Choose a column"]),
    "the target is an id": (column([str(1000 + 3 * i) for i in range(50)], "order_id"), [*INIT[:-1], "order_id"], ["is an id", "Choose another column"]),
    "the target is a date": (TABLE, [*INIT[:-1], "sold"], ["holds dates", "the days until then"]),
    "the file is empty": ("", INIT, ["the file is empty", "with a header and rows"]),
    "there are no rows": (HEAD, INIT, ["but no rows"]),
    "there is no header": (ROWS, INIT, ["The first line looks like values", "write a line of names above it"]),
    "another mark stands between values": (TABLE.replace(",", "^"), INIT, ["Between values must stand `,`, `;`, tabs or `|`"]),
    "an Excel file": (zipped(xl__workbook="", content=""), INIT, ["is an Excel workbook", "Save its sheet as CSV UTF-8"]),
    "an old Excel file": (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(600), INIT, ["is an Excel workbook"]),
    "a zip that is not called so": (zipped(a="x"), INIT, ["is a zip archive", "Call it NAME.zip"]),
    "a packed file that is not called so": (gzip.compress(TABLE.encode()), INIT, ["packed with gzip", "Call it NAME.csv.gz"]),
    "a page of a login": ("<!DOCTYPE html><html>Sign in</html>", INIT, ["a page of HTML", "Save the table as CSV or Parquet"]),
    "JSON": ('[{"size": 1, "paid": "yes"}]', INIT, ["is JSON", "to_parquet"]),
    "two encodings in a file": (TABLE.encode() + "1,Köln,yes,2024-05-01\n".encode() + "2,Jülich,no,2024-05-02\n".encode("cp1252"), INIT, ["t.csv:93: not UTF-8", "though line 92 is", "Save it as UTF-8"]),
    "few rows": (TABLE[:300], INIT, ["at least 30 are needed", "Bring more rows"]),
    "few rows of a class": (TABLE + "1,a,maybe,2024-05-01\n", INIT, ["fewer than 3 rows of class 'maybe'", "join rare classes"]),
    "nothing to learn from": ("paid\n" + "yes\nno\n" * 40, INIT, ["no column is left to predict 'paid' from"]),
    "a table that is none of those given": (TABLE, [*INIT, "--table", "u"], ["--table: 'u' is none of 't'"]),
    "an example that there is not": (None, ["init", "--example", "two-table"], ["Did you mean 'two-tables'?"]),
    "an example too short": (None, ["init", "--example", "two-tables", "--weeks", "3"], ["--weeks: from 16 to 200", "found 3"]),
    "an example over files": (None, ["init", "--example", "two-tables", "--data", "t.csv"], ["--example: has its own data"]),
    "a database without its driver or server": (None, ["init", "--data", "postgresql://me@127.0.0.1:9/x", "--query", "t", "--target", "y"], ["--data: postgresql://me@127.0.0.1:9/x"]),
    "a run outside of a project": (TABLE, ["run"], ["no dvc.yaml here", "or run `refit init`"]),
    "a rollback outside of a project": (TABLE, ["rollback", "--reason", "x"], ["Run `refit init"]),
    "a prediction outside of a project": (TABLE, ["predict", "t.csv"], ["Run `refit init"]),
}  # fmt: skip


@pytest.fixture
def ask(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., str]:
    """The command in a folder of its own: the one line that it answers."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("PREFECT_API_URL", raising=False)
    monkeypatch.setattr(cli.stops, "heed", lambda what: None)
    monkeypatch.setattr(cli.stops, "attended", lambda work, clear: work())
    monkeypatch.setitem(sys.modules, "flows.run", SimpleNamespace())  # nothing is begun

    def told(*words: str) -> str:
        done = CliRunner().invoke(cli.app, list(words))
        assert done.exit_code == 1, done.output
        assert isinstance(done.exception, SystemExit), done.exception
        said = done.stderr.strip().splitlines()  # a run's first line, what it looks at, is on standard output
        assert len(done.stdout.splitlines()) <= 1
        assert len(said) == 1, said
        assert said[0].startswith("error: ")
        assert len(said[0]) < 700
        assert said[0].isprintable()
        return said[0]

    return told


@pytest.mark.parametrize("mistake", FILES)
def test_a_mistake_with_a_file_is_answered_with_its_remedy(
    mistake: str, ask: Callable[..., str], tmp_path: Path
) -> None:
    content, command, expected = FILES[mistake]
    if content is not None:
        (tmp_path / "t.csv").write_bytes(content if isinstance(content, bytes) else content.encode())
    said = ask(*command)
    assert all(words in said for words in expected), said
    assert {path.name for path in tmp_path.iterdir()} <= {"t.csv"}, "nothing is written"


# A project before its first run ---------------------------------------------------------------------------------------


@pytest.fixture(scope="session")
def begun(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What ``refit init`` makes of a table; take a copy."""

    def make(root: Path) -> None:
        from flows.project import create

        (root / "t.csv").write_text(TABLE)
        list(create(root, [root / "t.csv"], "paid", force=False))
        params = root / "params.yaml"
        params.write_text(params.read_text().replace(str(root / "t.csv"), "t.csv"))
        dag = root / "dvc.yaml"
        dag.write_text(dag.read_text().replace(str(root / "t.csv"), "t.csv"))

    return shared(tmp_path_factory, "begun", make)


def edit(old: str, new: str, name: str = "params.yaml") -> Spoil:
    def change(root: Path) -> None:
        text = (root / name).read_text()
        assert old in text
        (root / name).write_text(text.replace(old, new, 1))

    return change


def nothing(root: Path) -> None:
    """The mistake is in the command."""


def table(text: str) -> Spoil:
    return lambda root: (root / "t.csv").write_text(text)


PROJECTS: dict[str, tuple[Spoil, list[str], list[str]]] = {
    "a misspelt key": (edit("  metric:", "  metrik:"), ["run"], ["params.yaml:14: problem.metrik: unknown key", "Did you mean 'metric'?"]),
    "a wrong type": (edit("trials: 6", "trials: many"), ["run"], ["trials: expected a whole number; found 'many'"]),
    "a tab": (edit("  metric:", "\tmetric:"), ["run"], ["params.yaml:14:1: not valid YAML", "Indent by spaces"]),
    "a misspelt family": (edit("logistic:", "logistik:"), ["run"], ["Did you mean 'logistic'?"]),
    "an as_of that is no moment": (nothing, ["run", "--as-of", "yesterday"], ["--as-of: a moment is a date or an ISO time", "found 'yesterday'"]),
    "an as_of in the future": (nothing, ["run", "--as-of", "2999-01-01"], ["--as-of: 2999-01-01 lies in the future", "Name a day that has passed"]),
    "an as_of before all rows": (nothing, ["run", "--as-of", "2020-01-01"], ["--as-of: 2020-01-01 23:59 is before every row of 't'"]),
    "a split that leaves nothing": (lambda root: (edit("test: 0.2", "test: 80d")(root), edit("valid: 0.2", "valid: 30d")(root)), ["run"], ["split: test (80d) and valid (30d) take all 96 days of 't'", "Make them shorter"]),
    "a table cut to a few rows": (table("".join(TABLE.splitlines(True)[:20])), ["run"], ["problem.target: 'paid' of 't' is filled in only", "Bring more rows"]),
    "a table of one class": (table(TABLE.replace(",no,", ",yes,")), ["run"], ["only the class 'yes' in all 90 rows"]),
    "a column that is renamed in the file": (table(TABLE.replace("colour", "color")), ["run"], ["has no column 'colour'"]),
    "an extra that is not installed": (edit("  logistic: {trials: 6}", "  tabm: {}"), ["run"], ["models.tabm: needs pytabkit, which is not installed", install("networks")]),
    "Spark that is not installed": (edit("  columns: auto", "  engine: spark\n  columns: auto"), ["run"], ["features.engine: spark needs PySpark", install("spark")]),
    "init over an edited params.yaml": (edit("seed: 42", "seed: 43"), INIT, ["params.yaml: is there already", "Use --force"]),
    "an example over a project": (nothing, ["init", "--example", "two-tables"], ["Use an empty folder"]),
    "a rollback without a champion": (nothing, ["rollback", "--reason", "x"], ["there is no champion yet"]),
    "a service without a champion": (nothing, ["serve"], ["there is no champion to serve yet", "Run `refit run`"]),
    "a prediction without a champion": (nothing, ["predict", "t.csv"], ["there is no champion", "Run `refit run`"]),
    "a promotion without a version": (nothing, ["promote", "--reason", "x"], ["no version to promote", "`refit run` makes one"]),
    "a report before the first run": (nothing, ["report"], ["no report yet. Run `refit run`"]),
    "a deployment without a server": (nothing, ["deploy"], ["needs a Prefect server", "PREFECT_API_URL="]),
}  # fmt: skip
PROJECTS["parts longer than the data"] = (
    lambda root: (edit("test: 0.2", "test: 400d")(root), edit("valid: 0.2", "valid: 30d")(root)), ["run"], ["split: test (400d)"],
)  # fmt: skip


@pytest.mark.parametrize("mistake", PROJECTS)
def test_a_mistake_in_a_project_is_answered_before_any_stage(
    mistake: str, ask: Callable[..., str], begun: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spoil, command, expected = PROJECTS[mistake]
    shutil.copytree(begun, tmp_path, dirs_exist_ok=True)
    spoil(tmp_path)
    if "installed" in mistake:
        monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    said = ask(*command)
    assert all(words in said for words in expected), said
    assert not (tmp_path / "data" / "raw").exists(), "no stage has run"


def test_force_keeps_what_it_replaces(begun: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from flows.project import BEFORE, create

    shutil.copytree(begun, tmp_path, dirs_exist_ok=True)
    edit("seed: 42", "seed: 43")(tmp_path)
    edited = (tmp_path / "params.yaml").read_text()
    said = list(create(tmp_path, [tmp_path / "t.csv"], "paid", force=True))
    assert f"kept the params.yaml that was there as {BEFORE}" in said
    assert (tmp_path / BEFORE).read_text() == edited
    assert "seed: 42" in (tmp_path / "params.yaml").read_text()


# The machine ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("number", "remedy"),
    [(errno.EACCES, "Change its owner or permissions"), (errno.EROFS, "work in another folder"), (errno.ENOSPC, "Make room on the disk")],
)  # fmt: skip
def test_a_folder_that_takes_no_file(
    number: int, remedy: str, ask: Callable[..., str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "t.csv").write_text(TABLE)

    def refuse(path: Path, text: str) -> None:
        raise OSError(number, os.strerror(number), str(path))

    monkeypatch.setattr("flows.project.write_text", refuse)
    said = CliRunner().invoke(cli.app, INIT)
    assert said.exit_code == 1
    (line,) = [one for one in said.output.splitlines() if one.startswith("error: ")]
    assert line.startswith(f"error: {tmp_path / 'params.yaml'}: {os.strerror(number)}. ")
    assert remedy in line


def test_a_port_that_is_taken() -> None:
    from deploy.shutdown import run
    from tasks.errors import RefitError

    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        with pytest.raises(RefitError, match=rf"port {port}: .*Name another with --port"):
            run("deploy.serve:asgi", "127.0.0.1", port, 1, 0.0, 1.0)


def test_another_python(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "sys", SimpleNamespace(version_info=(3, 10, 4)))
    (said,) = machine.python(Subject(Path(), None))
    assert said == "Python 3.10.4: Refit runs on 3.11, 3.12 and 3.13. Use one of these."
    assert sys.version_info[:2] >= (3, 11)
