"""Which rows are looked at."""

import numpy as np
import pandas as pd
import pytest

from tasks.drift.window import newest, thin
from tasks.errors import RefitError
from tasks.params import Duration


def features(days: int = 30) -> pd.DataFrame:
    times = pd.date_range("2024-01-01", periods=days, freq="D", tz="UTC").as_unit("us")
    split = np.where(np.arange(days) < 20, "train", np.where(np.arange(days) < 28, "test", "pending"))
    return pd.DataFrame({"__time__": times, "__split__": split, "x": np.arange(days, dtype=float)})


def test_newest_rows_by_time_labelled_or_not():
    rows, about = newest(features(), Duration("7d"))
    assert rows["x"].tolist() == list(range(23, 30))
    assert (about["rows"], about["rule"]) == (7, "newest 7d")
    assert about["to"].startswith("2024-01-30")


def test_without_times_the_test_split():
    table = features().assign(__time__=pd.Series(pd.NaT, index=range(30), dtype="datetime64[us, UTC]"))
    rows, about = newest(table, Duration("7d"))
    assert set(rows["__split__"]) == {"test"}
    assert about["from"] is None


def test_no_rows_is_refused():
    with pytest.raises(RefitError, match=r"monitoring\.window: no row to compare \(test split"):
        newest(features().query("__split__ == 'train'"), None)


def test_thinning_keeps_order_and_is_repeatable():
    taken = thin(features(1000), seed=3, limit=100)
    assert len(taken) == 100
    assert taken["x"].is_monotonic_increasing
    assert taken.equals(thin(features(1000), seed=3, limit=100))
    assert not taken.equals(thin(features(1000), seed=4, limit=100))
