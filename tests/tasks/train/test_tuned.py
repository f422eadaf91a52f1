"""What training makes of the model that `auto`'s tuning kept."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tasks.files import write_table
from tasks.fitting.base import Fold
from tasks.fitting.rows import read_rows, with_scores
from tasks.fitting.setup import Setup
from tasks.models import fit_family, save_model
from tasks.params import parse
from tasks.train.tuned import take_tuned
from tests.samples import best, features_folder
from tests.tasks.package.projects import plain


@pytest.mark.parametrize("known", ["all", "one fold"])
def test_parts_that_saw_validation_rows_are_fitted_again(known: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Time for one fold only: its model knows the validation rows of the others, and cannot be judged on them."""
    features_folder(tmp_path, "binary")
    monkeypatch.chdir(tmp_path)
    rows = read_rows()
    pooled = np.flatnonzero(np.isin(rows.split, ("train", "valid")))
    out = pooled[::5] if known == "one fold" else np.flatnonzero(rows.split == "valid")
    rest = np.setdiff1d(pooled, out)
    model = fit_family("logistic", {}, Fold(rows.frame.iloc[rest], rows.y[rest], rows.frame.iloc[out], rows.y[out]), Setup("binary", columns=rows.kinds))  # fmt: skip
    folder = tmp_path / "data/tuning/auto"
    save_model(model, folder / "model")
    leading = pd.DataFrame({"__row__": rows.row[out], "__target__": rows.y[out]})
    held = with_scores(leading, model.predict(rows.frame.iloc[out]))
    write_table(folder / "held_out.parquet", held)
    members = [{"family": "logistic", "params": {}, "weight": 1.0, "value": 0.0}]
    best("auto", {"family": "logistic", "members": members}).write(folder)
    tree, _ = plain("binary")
    said: list[str] = []
    found = take_tuned(folder, list(rows.kinds), parse(tree | {"models": {"auto": {}}}), said.append)
    assert found is not None
    assert ("again" in said[0]) == (known == "one fold")
    test = found.split == "test"
    assert np.array_equal(found.scores[test], found.model.predict(rows.frame[rows.split == "test"]))
    valid = found.model.predict(rows.frame[rows.split == "valid"])
    assert np.allclose(found.scores[~test], valid)
