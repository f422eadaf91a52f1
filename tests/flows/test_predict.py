"""`refit predict` in a project that has run: by the champion, by a version, and by a package's folder alone."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tasks.files import read_table, sha256
from tests.flows.project import refit

pytestmark = pytest.mark.flows


def test_a_file_is_answered_by_champion_version_and_package(iris: Path, tmp_path: Path) -> None:
    lines = (iris / "iris.csv").read_text().splitlines()
    (tmp_path / "new.csv.gz").write_bytes(gzip.compress("\n".join(lines).encode()))
    new = str(tmp_path / "new.csv.gz")
    said = refit(iris, "predict", new, "--out", str(tmp_path / "a.parquet"))
    assert "150 of 150 rows answered" in said
    answers = read_table(tmp_path / "a.parquet")
    pipeline = read_table(iris / "data" / "evaluation" / "predictions.parquet")
    columns = [c for c in answers if c.startswith("probabilities.")]
    assert len(columns) == 3
    scores = pipeline[[f"score_{i}" for i in range(3)]].to_numpy()
    assert np.allclose(answers[columns].to_numpy()[pipeline["__row__"]], scores, rtol=1e-12, atol=0)
    assert set(answers["version"]) == {"1"}

    lines_of_one = refit(iris, "explain", new, "--row", "17").splitlines()
    label = answers["decision"].iloc[16]
    assert lines_of_one[0].startswith(f"row 17: version 1 answers {label!r}; the probability of {label!r} is ")
    assert any("petal length (cm)" in line for line in lines_of_one)

    refit(iris, "predict", new, "--version", "1", "--out", str(tmp_path / "b.csv"))
    package = iris / "data" / "package"
    refit(iris, "predict", new, "--package", str(package), "--out", str(tmp_path / "c.csv"))
    assert (tmp_path / "b.csv").read_bytes() == (tmp_path / "c.csv").read_bytes()
    both = pd.read_csv(tmp_path / "b.csv", float_precision="round_trip")
    assert np.array_equal(both[columns].to_numpy(), answers[columns].to_numpy())

    # Somewhere else only who names the package's identity gets answers; a row that cannot be read ends with status 4.
    (tmp_path / "odd.csv").write_text("\n".join([lines[0], lines[1], "wide," + lines[2].split(",", 1)[1]]))
    asked = ["predict", "odd.csv", "--package", str(package)]
    assert "knows no such package" in refit(tmp_path, *asked, code=1)
    said = refit(tmp_path, *asked, "--sha256", sha256(package / "bundle.json"), "--out", "d.csv", code=4)
    assert said.splitlines()[-2].startswith("1 of 2 rows answered")
    assert said.splitlines()[-1].startswith("row 2: ")
    assert said.splitlines()[-1].endswith("'wide' is not a number")
    assert "Leave one out" in refit(iris, *asked, "--version", "1", code=1)
