"""With a limit of memory, tuning takes as many of the newest rows as fit, and what cannot be fitted is refused first."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tasks import memory
from tasks.errors import RefitError
from tasks.fitting.rows import Dataset
from tasks.params import Params, load
from tasks.tune.__main__ import within_memory
from tasks.tune.folds import make_folds

PARAMS = """
problem: {{name: p, kind: binary, table: t, target: y}}
data: {{tables: {{t: {{source: t.csv, columns: {{a: numeric, y: numeric}}}}}}}}
models: {{xgboost: {{}}, logistic: {{}}}}
tuning: {{rows: {rows}}}
training: {{memory_gb: {limit}}}
"""
TRAIN, VALID = 20_000, 6_000


def given(folder: Path, limit: object = 1, rows: object = "null") -> tuple[Dataset, Params]:
    (folder / "params.yaml").write_text(PARAMS.format(limit=limit, rows=rows))
    n = TRAIN + VALID
    frame = pd.DataFrame({"a": np.arange(n) * 1.0, "b": 0.5})
    split = np.array(["train"] * TRAIN + ["valid"] * VALID)
    time = pd.Series(pd.date_range("2020-01-01", periods=n, freq="h"))
    rows_ = Dataset(
        "binary", ("0", "1"), {"a": "numeric", "b": "numeric"}, frame, np.arange(n) % 2 * 1.0, split, np.arange(n), time
    )
    return rows_, load(folder / "params.yaml")


def leave(monkeypatch: pytest.MonkeyPatch, rows: int) -> None:
    """Let memory suffice for a fit of so many rows of two features."""
    free = memory.Memory(memory.fit("xgboost", rows, 2), "a test")
    monkeypatch.setattr(memory, "allowed", lambda gigabytes: free)


def test_tuning_takes_the_newest_rows_that_fit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    leave(monkeypatch, 8_000)
    rows, params = given(tmp_path)
    tuning = within_memory("xgboost", rows, params)
    assert tuning.rows == 4_000
    assert "tuned on the newest 4,000 of 20,000 training rows" in capsys.readouterr().out
    ((X, _, X_valid, _),) = make_folds(rows, tuning, 0)
    assert (len(X), len(X_valid)) == (4_000, 4_000)
    assert X["a"].min() == TRAIN - 4_000
    asked = given(tmp_path, rows=3_000)
    assert within_memory("xgboost", *asked) == asked[1].tuning  # so many fit
    unlimited = given(tmp_path, limit="null")
    assert within_memory("xgboost", *unlimited) == unlimited[1].tuning


def test_a_family_whose_last_fit_will_not_have_its_memory_is_refused_before_the_first_trial(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    leave(monkeypatch, 8_000)
    with pytest.raises(RefitError, match=r"logistic holds its rows in memory, and 26,000 rows x 2 features"):
        within_memory("logistic", *given(tmp_path, rows=1_000))
    leave(monkeypatch, 60_000)
    rows, params = given(tmp_path)
    assert within_memory("logistic", rows, params) == params.tuning


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (
            ("tuning", "sampler: pbt"),
            r"xgboost holds its rows in memory, and 26,000 rows x 2 .* than 'pbt', whose turns go on",
        ),
        (
            ("training", "imbalance: smote"),
            r"imbalance: 'smote' makes rows, and 26,000 rows x 2 features.* read from disk",
        ),
    ],
)
def test_what_would_not_go_from_disk_is_refused_before_the_first_trial(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, more: tuple[str, str], said: str
) -> None:
    rows, params = given(tmp_path)
    section, own = more
    text = PARAMS.format(limit=1, rows="null").replace(", logistic: {}", "")
    (tmp_path / "params.yaml").write_text(text.replace(f"{section}: {{", f"{section}: {{{own}, "))
    changed = load(tmp_path / "params.yaml")
    leave(monkeypatch, 8_000)
    assert within_memory("xgboost", rows, params).rows == 4_000
    with pytest.raises(RefitError, match=said):
        within_memory("xgboost", rows, changed)
    leave(monkeypatch, 60_000)
    assert within_memory("xgboost", rows, changed) == changed.tuning
