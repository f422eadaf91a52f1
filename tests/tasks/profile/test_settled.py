"""`refit init` sees when a target became known, where the table shows it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from tasks.params import Moment, loads
from tasks.profile.giveaways import remark
from tasks.profile.inference import infer, to_yaml


def claims(folder: Path, waiting: int) -> Path:
    """Claims of 300 days, each decided some days later; of the newest the outcome is not known yet."""
    rng = np.random.default_rng(0)
    opened = pd.Series(pd.date_range("2024-01-01", periods=300, freq="D"))
    decided = opened + pd.to_timedelta(rng.integers(1, 30, 300), unit="D")
    frame = pd.DataFrame({"opened_at": opened, "amount": rng.normal(100, 9, 300), "decided_at": decided})
    frame["paid"] = rng.choice(["yes", "no"], 300)
    frame.loc[300 - waiting :, ["decided_at", "paid"]] = None
    frame.to_csv(folder / "claims.csv", index=False)
    return folder / "claims.csv"


def test_a_moment_that_comes_with_the_target_says_when_it_is_known(tmp_path: Path) -> None:
    tree = infer(claims(tmp_path, 25), "paid")
    assert not list(remark(tree, tmp_path / "claims.csv"))  # an outcome gives nothing away
    text = to_yaml(tree)
    table = loads(text, "params.yaml").data.tables["claims"]
    assert "known_at: {paid: decided_at}" in text
    assert "decided_at is there in exactly the rows that have paid" in text
    assert table.event_time == Moment(column="opened_at")
    assert set(table.outcome) == {"paid", "decided_at"}  # no feature either


def test_without_rows_that_wait_there_is_nothing_to_see(tmp_path: Path) -> None:
    text = to_yaml(infer(claims(tmp_path, 0), "paid"))
    assert loads(text, "params.yaml").data.tables["claims"].known is None
    assert "is paid known only later? then also known_at: {paid: decided_at}" in text
    assert "decided_at: ignore" in text
