"""A few rows without a DataFrame are encoded as the DataFrame would be, to the last bit."""

from __future__ import annotations

from typing import cast

import numpy as np
import pandas as pd
import pytest

from tasks.bundle.few import FewRows
from tasks.encoding import Encoder
from tasks.errors import RefitError

KINDS = {"a": "numeric", "b": "numeric", "shop": "categorical", "city": "categorical", "note": "text"}


def frame(n: int, seed: int) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    words = np.array(["late", "early", "rain", "snow", "Übergröße"])
    shop = pd.Series(rng.choice([f"s{i}" for i in range(5 + seed)], n), dtype="str")  # later seeds: unseen ones
    shop[rng.random(n) < 0.1] = np.nan
    return pd.DataFrame(
        {
            "a": np.where(rng.random(n) < 0.2, np.nan, rng.normal(size=n)),
            "b": rng.gamma(2, 3, n),
            "shop": shop,
            "city": pd.Series(rng.choice(["x", "y"], n), dtype="str"),
            "note": pd.Series([" ".join(rng.choice(words, 3)) for _ in range(n)], dtype="str"),
        }
    )


@pytest.mark.parametrize("n", [1, 3, 100])
@pytest.mark.parametrize(
    ("needs", "how"),
    [
        ("trees", {}),
        ("codes", {}),
        ("dense", {}),
        ("distances", {}),
        ("dense", {"categories": "target", "scale": "quantile"}),
        ("dense", {"categories": "ordinal", "scale": "power"}),
        ("trees", {"categories": "one_hot"}),
    ],
)
def test_same_bits_as_a_frame(needs: str, how: dict[str, str], n: int) -> None:
    train = frame(400, 0)
    y = (train["b"] > 5).to_numpy(float)
    encoder = Encoder.fit(train, y, needs, "binary", kinds=KINDS, **how)
    rows = frame(n, 3)
    few = FewRows(rows.to_dict("records"))
    np.testing.assert_array_equal(encoder.transform(cast(pd.DataFrame, few)), encoder.transform(rows))


def test_a_missing_column_is_named_as_for_a_frame() -> None:
    train = frame(50, 0)
    encoder = Encoder.fit(train, np.zeros(50), "trees", "binary", kinds=KINDS)
    few = FewRows([{"a": 1.0, "b": 2.0}])
    with pytest.raises(RefitError, match="the features 'shop', 'city', 'note' are missing"):
        encoder.transform(cast(pd.DataFrame, few))
