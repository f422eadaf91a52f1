"""Every command of the README is run: the two set-up commands by CI, the others here."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import time
from pathlib import Path
from typing import get_args

import pytest

from deploy.launch import free_port
from tasks import params
from tasks.engine.primitives import registry
from tasks.ensembles.mixes import METHODS
from tasks.kinds import find_kind, kind_names
from tasks.listed import family_names
from tests.projects import ROOT, command, edit, environment, succeeds

README = (ROOT / "README.md").read_text()
CONSOLE = [
    line.removeprefix("$ ").split("  #")[0].strip()
    for block in re.findall(r"```console\n(.*?)```", README, flags=re.DOTALL)
    for line in block.splitlines()
    if line.startswith("$ ")
]
# Where each command of the README is run. `make run` is `refit run` after an installation.
ELSEWHERE = {
    "make run": "tests/flows/test_main_job.py",
    "make test": ".ci/run",
    ".venv/bin/refit run --as-of 2013-11-30": "tests/flows/test_main_job.py",
}
HERE = [
    "refit init --data flowers.csv --target species",
    "refit run",
    "refit serve",
    "curl -s localhost:3000/predict -H 'content-type: application/json' -d @row.json",
]


def test_each_command_is_run_somewhere():
    assert sorted(CONSOLE) == sorted([*ELSEWHERE, *HERE])
    for file in ELSEWHERE.values():
        assert (ROOT / file).is_file()


def test_files_that_the_readme_names_exist():
    for name in re.findall(r"\]\(([^)#:]+)\)", README):
        assert (ROOT / name).exists(), name


def test_the_names_in_the_table_are_those_of_the_code():
    """Every family, sampler, metric and so on that `params.yaml` takes is in the table, and nothing else."""

    def literal(section: type, key: str) -> set[str]:
        annotation = section.model_fields[key].annotation
        return set(get_args(annotation)) or set().union(*(get_args(a) for a in get_args(annotation)))

    def listed(key: str) -> set[str]:
        row = next(line for line in README.splitlines() if line.startswith(f"| {key} |"))
        return set(re.findall(r"`(\w+)[^`]*`", row.split("|")[2]))

    tuning, training, encode = params.Tuning, params.Training, params.Encode
    assert listed("metrics") == set().union(*(find_kind(kind).decisive for kind in kind_names()))
    assert listed("history") == {*registry(), "q90"}
    assert listed("families") == set(family_names())
    assert (
        listed("ensembles") == set(METHODS) == set(get_args(get_args(training.model_fields["ensembles"].annotation)[0]))
    )
    assert listed("samplers, pruners") == literal(tuning, "sampler") | literal(tuning, "pruner") - {"none"}
    ways = literal(training, "imbalance") | literal(training, "calibration") | literal(training, "threshold")
    assert listed("imbalance, calibration, threshold") == ways - {"none"}
    categories = set(get_args(get_args(encode.model_fields["categories"].annotation)[0]))
    assert listed("scale, categories of `encode`") == literal(encode, "scale") | categories


def numbers(text: str) -> set[str]:
    """What a reader takes for figures: no names of code, no addresses, no comments."""
    return set(re.findall(r"\d+(?:[.,]\d+)*%?", re.sub(r"<!--.*?-->|`[^`]*`|\]\([^)]*\)", "", text, flags=re.DOTALL)))


def by_benchmark(text: str) -> dict[str, str]:
    """The rows and list items of a page that name a benchmark, by its name."""
    found: dict[str, str] = {}
    for block in re.split(r"\n(?=- |\||\n)", text):
        for names in re.findall(r"<!-- bench: (.*?) -->", block):
            for name in names.split(", "):
                found[name] = found.get(name, "") + block
    return found


def test_figures_of_benchmarks_stand_on_their_page():
    """What the README quotes of a benchmark stands in its row of docs/benchmarks.md."""
    there = by_benchmark((ROOT / "docs" / "benchmarks.md").read_text())
    quoted = by_benchmark(README)
    assert quoted
    assert {name: numbers(text) - numbers(there[name]) for name, text in quoted.items()} == {
        key: set() for key in quoted
    }


def test_each_benchmark_has_a_row_on_the_page():
    rows = [line.split("|")[1:-1] for line in (ROOT / "docs" / "benchmarks.md").read_text().splitlines()]
    rows = [cells for cells in rows if cells and "<!-- bench:" in cells[-1]]
    assert sorted(cells[0].strip(" `") for cells in rows) == sorted(
        p.stem for p in (ROOT / "tests/bench").glob("[a-z]*.py")
    )
    for name, user, measured, rival, values, figure in rows:
        assert f"<!-- bench: {name.strip(' `')} -->" in figure
        assert all(cell.strip() for cell in (user, measured, rival, values, figure)), name


def test_numbers_are_those_that_a_reader_sees():
    assert numbers("`p50` 0.53 ms, 27×, 336,776 rows. [a](b1.md) 99.6% <!-- bench: b2 --> 3") == {
        "0.53", "27", "336,776", "99.6%", "3",
    }  # fmt: skip


@pytest.mark.flows
@pytest.mark.timeout(600)
def test_a_newcomers_csv_is_served(tmp_path: Path):
    from sklearn.datasets import load_iris

    bunch = load_iris(as_frame=True)
    frame = bunch.frame.assign(species=bunch.frame["target"].map(dict(enumerate(bunch.target_names))))
    frame.drop(columns="target").to_csv(tmp_path / "flowers.csv", index=False)
    port = free_port()

    succeeds(tmp_path, *shlex.split(HERE[0]))
    edit(
        tmp_path / "params.yaml",
        serving__host="127.0.0.2",
        serving__port=port,
        models__auto={"seconds": 20, "trials": 1},
    )
    assert "Promote" in succeeds(tmp_path, *shlex.split(HERE[1]))

    row = bunch.frame.iloc[0].drop("target").to_dict()
    (tmp_path / "row.json").write_text(json.dumps(row))
    server = subprocess.Popen(shlex.split(HERE[2]), cwd=tmp_path, env=environment())
    try:
        ask = [word.replace("localhost:3000", f"127.0.0.2:{port}") for word in shlex.split(HERE[3])]
        deadline = time.monotonic() + 90
        while (done := command(tmp_path, *ask)).returncode != 0 and time.monotonic() < deadline:
            time.sleep(0.5)
        answer = json.loads(done.stdout)
    finally:
        server.terminate()
        server.wait(30)
    assert answer["decision"] == "setosa"
    assert answer["version"] == "1"

    for words in ("history", "doctor", "report", "verify 1", "prove-time"):
        succeeds(tmp_path, "refit", *words.split())
