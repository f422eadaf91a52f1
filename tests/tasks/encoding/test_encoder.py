"""The encoder: what each form looks like, what new data may hold, and the same bytes on disk."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tasks.encoding import Encoder, encoder
from tasks.encoding.encoder import NEEDS
from tasks.encoding.numeric import SCALES, Numeric
from tasks.errors import RefitError
from tasks.files import hash_tree
from tasks.values.numbers import LARGEST


def frame(rows: int = 200, seed: int = 0) -> tuple[pd.DataFrame, np.ndarray]:
    rng = np.random.default_rng(seed)
    X = pd.DataFrame(
        {
            "age": rng.gamma(2.0, 10.0, rows),
            "gap": np.where(rng.random(rows) < 0.2, np.nan, rng.normal(size=rows)),
            "city": pd.Series(rng.choice(["Oslo", "Rome", "Lima"], rows), dtype="str"),
            "note": pd.Series(rng.choice(["late again", "on time", "a bit late"], rows), dtype="str"),
        }
    )
    X.loc[::9, "city"] = None
    return X, (X["age"] > 20).to_numpy(float)


KINDS = {"age": "numeric", "gap": "numeric", "city": "categorical", "note": "text"}


@pytest.mark.parametrize("needs", NEEDS)
@pytest.mark.parametrize("scale", SCALES)
def test_numbers_beyond_single_precision_count_as_its_largest(needs: str, scale: str, monkeypatch) -> None:
    """In silence they would be infinite in XGBoost, forests and networks; ``smooth`` made the middle of them."""
    assert np.finfo(np.float32).max == LARGEST
    X, y = frame()
    new = X.head(4).copy()
    new["age"] = [1e300, -1e300, LARGEST, -LARGEST]
    for cells in (10**9, 1):
        monkeypatch.setattr(encoder, "LARGE", cells)
        fitted = Encoder.fit(X, y, needs, "binary", kinds=KINDS, scale=scale)
        with np.errstate(over="raise"):
            Z = fitted.transform(new).astype(np.float32)[:, 0]
        assert np.isfinite(Z).all()
        assert np.array_equal(Z[:2], Z[2:])
        assert Z[0] > fitted.transform(X)[:, 0].max() > fitted.transform(X)[:, 0].min() >= Z[1] or scale in (
            "bins",
            "quantile",
        )
    wild = Encoder.fit(pd.concat([X, new]), np.append(y, [0, 1, 0, 1]), needs, "binary", kinds=KINDS, scale=scale)
    assert np.isfinite(wild.transform(new)[:, 0]).all()


def test_trees_keep_gaps_and_take_unseen_levels_as_missing():
    X, y = frame()
    encoder = Encoder.fit(X, y, "trees", "binary", kinds=KINDS)
    new = X.head(3).copy()
    new["city"] = ["Rome", "Atlantis", None]
    new.loc[0, "gap"] = np.nan
    Z = encoder.transform(new)
    assert np.isnan(Z[0, 1])
    assert Z[0, 2] == ["Lima", "Oslo", "Rome"].index("Rome")
    assert np.isnan(Z[1:, 2]).all()
    assert encoder.coded == {2: 3}


def test_dense_is_scaled_flags_gaps_and_has_no_nan():
    X, y = frame()
    encoder, Z = Encoder.fit_transform(X, y, "dense", "binary", kinds=KINDS)
    assert np.isfinite(Z).all()
    assert "gap is missing" in encoder.names
    assert {"city=Oslo", "city=(missing)"} <= set(encoder.names)
    flag = Z[:, encoder.names.index("gap is missing")]
    assert np.array_equal(flag, X["gap"].isna().to_numpy(float))
    assert abs(Z[:, 0].mean()) < 1e-9
    assert abs(Z[:, 0].std() - 1) < 1e-9
    new = X.head(1).assign(age=np.inf, city="Atlantis")
    assert np.isfinite(encoder.transform(new)).all()


def test_codes_put_the_unseen_at_zero():
    X, y = frame()
    encoder = Encoder.fit(X, y, "codes", "binary", kinds=KINDS)
    (column, size), *_ = encoder.coded.items()
    Z = encoder.transform(X.head(2).assign(city=["Atlantis", "Lima"]))
    assert Z[:, column].tolist() == [0.0, 1.0]
    assert size == 4


def test_rare_levels_share_a_column():
    X = pd.DataFrame({"c": ["a"] * 600 + ["b"] * 400 + [f"rare{i}" for i in range(5)]})
    encoder = Encoder.fit(X, np.zeros(len(X)), "dense", "regression")
    assert encoder.names == ["c=a", "c=b", "c=(rare)"]
    assert encoder.transform(pd.DataFrame({"c": ["rare2", "never", "a"]})).tolist() == [[0, 0, 1], [0, 0, 1], [1, 0, 0]]


def test_each_scale_is_the_one_of_its_name():
    """Against scikit-learn's transformers, on skewed positive numbers and on numbers of either sign."""
    from sklearn import preprocessing as sk

    rng = np.random.default_rng(0)
    A = np.column_stack([rng.gamma(2.0, 3.0, 400), rng.normal(-2, 5, 400)])
    z = sk.StandardScaler().fit_transform(A)
    bins = sk.KBinsDiscretizer(5, encode="ordinal", strategy="quantile", quantile_method="linear")
    want = {
        "standard": z,
        "min_max": sk.MinMaxScaler().fit_transform(A),
        "robust": sk.RobustScaler().fit_transform(A),
        "smooth": z / np.sqrt(1 + (z / 3) ** 2),  # the constant of RealMLP's paper
        "power": sk.PowerTransformer(method="yeo-johnson").fit_transform(A),
        "log": sk.StandardScaler().fit_transform(np.sign(A) * np.log1p(np.abs(A))),
        "bins": bins.fit_transform(A) / 4,
        "none": A,
    }
    for scale, expected in want.items():
        assert np.allclose(Numeric.fit(A, scale, 5).transform(A), expected, atol=1e-9), scale
    ranks = 2 * sk.QuantileTransformer(n_quantiles=400).fit_transform(A) - 1
    assert np.abs(Numeric.fit(A, "quantile").transform(A) - ranks).max() < 0.01
    assert {*want, "quantile"} == set(SCALES)


def test_each_form_of_categories_is_the_one_of_its_name():
    from sklearn.preprocessing import TargetEncoder

    values = ["b"] * 30 + ["a"] * 20 + [None] * 10 + ["c"] * 40
    X = pd.DataFrame({"c": pd.Series(values, dtype="str")})
    y = (np.random.default_rng(0).random(100) < 0.4).astype(float)

    def encoded(how: str, values: list, needs: str = "dense") -> list:
        encoder = Encoder.fit(X, y, needs, "binary", categories=how)
        return encoder.transform(pd.DataFrame({"c": pd.Series(values, dtype="str")})).tolist()

    asked = ["a", "b", "c", None]
    assert encoded("one_hot", asked) == np.eye(4).tolist()
    assert encoded("ordinal", asked) == [[0], [1], [2], [-1]]
    assert np.array_equal(encoded("native", asked, "trees"), [[0], [1], [2], [np.nan]], equal_nan=True)
    for needs in ("dense", "distances"):  # numbers alone: each level gets a column
        assert encoded("native", asked, needs) == encoded("one_hot", asked, needs)
    theirs = TargetEncoder(target_type="binary").fit(
        [[v or "~"] for v in values], y
    )  # "~" comes last, as what is missing
    assert np.allclose(np.ravel(encoded("target", asked)), theirs.encodings_[0])


@pytest.mark.parametrize("needs", ["trees", "dense", "distances", "codes"])
@pytest.mark.parametrize(
    "scale", ["standard", "min_max", "robust", "smooth", "power", "log", "quantile", "bins", "none"]
)
def test_round_trip_and_bytes(tmp_path: Path, needs: str, scale: str):
    X, y = frame()
    encoder = Encoder.fit(X, y, needs, "binary", kinds=KINDS, scale=scale)
    encoder.save(tmp_path / "a") if (tmp_path / "a").mkdir() is None else None
    loaded = Encoder.load(tmp_path / "a")
    new, _ = frame(seed=1)
    assert np.array_equal(encoder.transform(new), loaded.transform(new), equal_nan=True)
    # A row alone gets the same numbers as in a batch.
    assert np.allclose(encoder.transform(new.iloc[[5]]), encoder.transform(new)[[5]], equal_nan=True, atol=1e-12)
    (tmp_path / "b").mkdir()
    Encoder.fit(X, y, needs, "binary", kinds=KINDS, scale=scale).save(tmp_path / "b")
    assert hash_tree(tmp_path / "a") == hash_tree(tmp_path / "b")


@pytest.mark.parametrize("kind", ["binary", "multiclass", "regression"])
def test_target_encoding_is_cross_fitted(kind: str):
    rng = np.random.default_rng(0)
    X = pd.DataFrame({"c": rng.integers(0, 400, 2000).astype(str)})
    y = rng.normal(size=2000) if kind == "regression" else rng.integers(0, 2 if kind == "binary" else 3, 2000) * 1.0
    encoder, crossed = Encoder.fit_transform(X, y, "dense", kind, categories="target")
    leaked = encoder.transform(X)
    truth = y if kind != "multiclass" else (y == 0).astype(float)
    # Levels carry no signal: only an encoding that has seen a row's own label can predict it.
    assert abs(np.corrcoef(crossed[:, 0], truth)[0, 1]) < 0.1
    assert np.corrcoef(leaked[:, 0], truth)[0, 1] > 0.2
    assert np.allclose(encoder.transform(pd.DataFrame({"c": ["never"]}))[0, 0], truth.mean())


def test_text_becomes_terms():
    X, y = frame()
    encoder = Encoder.fit(X[["note"]], y, "dense", "binary", kinds={"note": "text"})
    assert "note: late" in encoder.names
    lengths = np.linalg.norm(encoder.transform(X[["note"]]), axis=1)
    assert np.allclose(lengths, 1.0)
    assert not encoder.transform(pd.DataFrame({"note": ["zebra", None]})).any()


def test_mistakes_are_named():
    X, y = frame()
    encoder = Encoder.fit(X, y, "dense", "binary", kinds=KINDS)
    with pytest.raises(RefitError, match=r"'gap'.*missing"):
        encoder.transform(X.drop(columns="gap"))
    with pytest.raises(RefitError, match=r"features.encode.scale.*'standart'.*Did you mean 'standard'"):
        Encoder.fit(X, y, "dense", "binary", kinds=KINDS, scale="standart")
    with pytest.raises(RefitError, match=r"unknown key 'catgories'.*Did you mean 'categories'"):
        Encoder.fit(X, y, "dense", "binary", kinds=KINDS, catgories="target")


def rising(rows: int = 600, gaps: float = 0.05, seed: int = 0) -> tuple[pd.DataFrame, np.ndarray]:
    """A rising series by its own earlier values, some of which are missing."""
    rng = np.random.default_rng(seed)
    level = 300 + 0.2 * np.arange(rows + 12) + 3 * np.sin(np.arange(rows + 12) / 2) + rng.normal(0, 0.3, rows + 12)
    X = pd.DataFrame({"last": level[11:-1], "before": level[10:-2], "year_ago": level[:-12]})
    return X.mask(rng.random(X.shape) < gaps), level[12:]


def test_a_gap_is_filled_from_the_column_that_tells_most_of_those_that_are_there(tmp_path: Path):
    X, y = rising()
    encoder = Encoder.fit(X.head(400), y[:400], "dense", "regression", scale="none")
    filled = pd.DataFrame(encoder.transform(X)[:, :3], columns=X.columns)
    whole = rising(gaps=0.0)[0]
    missing = X.isna().to_numpy()
    assert missing.any(axis=0).all()
    assert np.array_equal(filled.to_numpy()[~missing], whole.to_numpy()[~missing])
    off = np.abs(filled - whole).to_numpy()[400:][missing[400:]]
    assert np.median(off) < 3  # the median of the training rows would be 60 to 120 away
    assert off.max() < 8
    nothing = encoder.transform(X.head(1) * np.nan)
    assert np.array_equal(nothing[0, :3], X.head(400).median())
    one_by_one = np.vstack([encoder.transform(X.iloc[[i]]) for i in np.flatnonzero(missing.any(axis=1))])
    assert np.array_equal(one_by_one, encoder.transform(X)[missing.any(axis=1)])
    encoder.save(tmp_path)
    assert np.array_equal(Encoder.load(tmp_path).transform(X), encoder.transform(X))


def test_few_gaps_do_not_bend_a_linear_model_of_a_rising_series():
    X, y = rising()
    Z = Encoder.fit(X.head(400), y[:400], "dense", "regression").transform(X)
    coef = np.linalg.lstsq(np.column_stack([Z, np.ones(len(Z))])[:400], y[:400], rcond=None)[0]
    off = (np.column_stack([Z, np.ones(len(Z))]) @ coef - y)[400:]
    assert np.sqrt(np.mean(off**2)) < 1.5
    assert abs(off.mean()) < 0.5


def test_columns_that_tell_little_or_only_by_a_few_far_values_fill_no_gap():
    rng = np.random.default_rng(0)
    X = pd.DataFrame(rng.normal(size=(500, 3)), columns=list("abc"))
    X["b"] += 0.5 * X["a"]
    X.loc[:4, ["a", "c"]] = [[50.0, 50.0]] * 5  # a correlation of 0.98 by five rows
    X.loc[400:, ["b", "c"]] = np.nan
    Z = Encoder.fit(X, X["a"].to_numpy(), "dense", "regression", scale="none").transform(X)
    assert np.array_equal(Z[400:, 1:3], np.tile(X[["b", "c"]].median(), (100, 1)))
