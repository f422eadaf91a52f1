"""Tables are held against what was accepted with the champion, until a person accepts others."""

from __future__ import annotations

import shutil
from pathlib import Path

import pandas as pd
import pytest

from flows import accepted
from tasks.errors import RefitError
from tasks.files import hash_tree, read_json
from tests.flows.project import copied, refit
from tests.projects import succeeds

pytestmark = [pytest.mark.flows]
MODEL = "iris-target"


def test_a_wrong_table_is_named_before_features_and_may_be_accepted(
    iris: Path, tmp_path: Path, server: dict[str, str]
) -> None:
    root = copied(iris, tmp_path / "copy")
    held, package = root / accepted.ACCEPTED, root / "data" / "package"
    assert not held.exists(), "there was nothing to hold the first rows against"
    assert not (package / "held_against").exists()
    features = hash_tree(root / "data" / "features")
    table = pd.read_csv(root / "iris.csv")
    table["sepal length (cm)"] *= 10  # millimetres
    table.to_csv(root / "iris.csv", index=False)

    said = refit(root, "run", "--plain", env=server, code=1)
    assert "tables are held against those of version 1" in said
    assert "iris, all rows: sepal length (cm), quantiles: expected" in said
    assert "in the rows of champion version 1" in said
    assert "`refit accept --reason ...`" in said
    assert hash_tree(root / "data" / "features") == features
    baseline = read_json(held / "iris.json")
    assert baseline["of"]["version"] == "1"
    assert {k: v for k, v in baseline.items() if k != "of"} == read_json(package / "accepted" / "iris.json")

    with pytest.raises(RefitError, match=r"--table: one of 'iris'; found 'irsi'\. Did you mean 'iris'"):
        accepted.accept(root, MODEL, "mm", ["irsi"])
    with pytest.raises(RefitError, match="--reason"):
        accepted.accept(root, MODEL, " ", [])
    said = refit(root, "accept", "--reason", "millimetres from now on")
    assert "accepted: iris" in said
    assert read_json(held / "iris.json")["of"]["reason"] == "millimetres from now on"
    kept = hash_tree(held)
    assert not accepted.outdated(root, _model(root)), "what a person accepted stays until there is another champion"
    succeeds(root, "python", "-m", "tasks.validate")
    assert all(one["success"] for one in read_json(root / "data" / "validated" / "summary.json")["expectations"])
    assert hash_tree(held) == kept
    shutil.rmtree(root / "data" / "quarantine" / "refused", ignore_errors=True)
    with pytest.raises(RefitError, match="no rows wait to be accepted"):
        accepted.accept(root, MODEL, "mm", [])


def _model(root: Path) -> str:
    from tasks.params import load

    return load(root / "params.yaml").problem.name
