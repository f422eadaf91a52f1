"""The main job on the real flights, through the real command, at a smaller tuning budget.

With ``--full`` at the moments of ``params.yaml``, a year's ten months; else as it was in spring, with a quarter of the rows.
"""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from tests.projects import ROOT, checkout, edit, prefect, succeeds

pytestmark = [pytest.mark.flows, pytest.mark.timeout(1200)]


def read(path: Path) -> dict:
    return json.loads(path.read_text())


@pytest.fixture(scope="module")
def months(full: bool) -> tuple[str, str]:
    """The moments of the two runs, a month or four weeks apart."""
    return ("2013-10-31", "2013-11-30") if full else ("2013-03-29", "2013-04-26")


@pytest.fixture(scope="module")
def flights(tmp_path_factory: pytest.TempPathFactory, months: tuple[str, str]) -> Path:
    """The checkout after `refit run`, with two families and one trial each."""
    root = checkout(tmp_path_factory.mktemp("flights"))
    edit(
        root / "params.yaml",
        data__as_of=months[0],
        models={"logistic": {"trials": 1}, "xgboost": {"trials": 1}},
        tuning__rows=8000,
        tuning__seconds=120,
    )
    output = succeeds(root, "refit", "run", timeout=900)
    assert "verdict" in output
    (root / ".refit" / "said.txt").write_text(output)
    return root


def test_the_run_ends_as_the_readme_shows(flights: Path):
    def labels(text: str) -> list[str]:
        return re.findall(r"^(\w+) {2,}", text[text.index("\nstages ") :], flags=re.MULTILINE)

    shown = (ROOT / "README.md").read_text().partition("It ends like this:")[2].split("```")[1]
    said = labels((flights / ".refit" / "said.txt").read_text())
    assert [label for label in said if label != "note"] == labels(shown)


def test_the_run_ends_with_a_champion_that_beats_the_majority_class(flights: Path):
    verdict = read(flights / "data/verdict/verdict.json")
    assert verdict["verdict"] == "promote"
    choice = read(flights / "data/evaluation/choice.json")
    assert choice["test"] >= 0.70, choice
    assert "refit run: Promote" in succeeds(flights, "refit", "history")


def test_no_row_is_lost(flights: Path):
    for name, table in read(flights / "data/validated/summary.json")["tables"].items():
        assert table["accepted"] + table["quarantined"] + table["not_yet_known"] == table["input"], name


def test_dvc_agrees_that_nothing_is_to_do(flights: Path):
    output = succeeds(flights, "dvc", "repro")
    assert "up to date" in output
    assert "Running stage" not in output


def test_data_travel_to_the_remote_and_back(flights: Path):
    succeeds(flights, "dvc", "push")
    before = (flights / "data/package/bundle.json").read_bytes()
    for name in (".dvc/cache", "data/package"):
        succeeds(flights, "rm", "-rf", name)
    succeeds(flights, "dvc", "pull")
    assert (flights / "data/package/bundle.json").read_bytes() == before


def test_a_month_later_the_champion_is_compared(flights: Path, months: tuple[str, str], server: dict[str, str]):
    env = prefect(server)
    output = succeeds(flights, "refit", "run", "--as-of", months[1], timeout=900, **env)
    verdict = read(flights / "data/verdict/verdict.json")
    assert verdict["champion"] is not None
    assert verdict["n"] > 20_000
    assert verdict["sentence"] in output
    # Which of two such models is better is for the data to say; which is champion then follows from the verdict alone.
    champion = 2 if verdict["verdict"] == "promote" else 1
    assert f"this run: version 2; champion: version {champion}\n" in output
    again = succeeds(flights, "refit", "run", "--as-of", months[1], timeout=300, **env)
    assert "0 run" in again
