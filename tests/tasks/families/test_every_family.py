"""Every family on every kind it claims: fitted, saved, loaded, equal; and the same bytes for the same seed."""

from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tasks.errors import RefitError
from tasks.families import find_family
from tasks.files import hash_tree
from tasks.fitting.base import Fold
from tasks.fitting.calibration import calibrate
from tasks.fitting.rows import Dataset, read_rows
from tasks.fitting.setup import Setup
from tasks.kinds import kinds_of
from tasks.listed import family_names
from tasks.metrics import measure
from tasks.models import Model, fit_family, load_model, save_model
from tasks.models.costs import size
from tasks.values.numbers import LARGEST
from tests.samples import KINDS, features_folder

EXTRA = ("realmlp", "tabm")  # of the extra `networks`; importing it takes seconds
OPTIONAL = (
    pytest.mark.skipif(find_spec("pytabkit") is None, reason="pytabkit is not installed (extra: networks)"),
    pytest.mark.slow,
)
CASES = [
    pytest.param(name, kind, marks=OPTIONAL if name in EXTRA else ())
    for name in family_names()
    if name != "auto"
    for kind in KINDS
    if kind in kinds_of(*find_family(name).OUTPUTS)
]
QUICK = {  # small enough for a test, large enough to learn
    "random_forest": {"n_estimators": 20},
    "extra_trees": {"n_estimators": 20},
    "bagging": {"n_estimators": 10},
    "adaboost": {"n_estimators": 20},
    "xgboost": {"rounds": 60},
    "lightgbm": {"rounds": 60},
    "gradient_boosting": {"rounds": 60},
    "gam": {"n_splines": 6},
    "realmlp": {"epochs": 30, "width": 48},
    "tabm": {"epochs": 25, "k": 4, "width": 48, "embedding": 4, "lr": 5e-3},
}
FLOOR = {"binary": 0.9, "multiclass": 0.85, "regression": 0.15}


@pytest.fixture(scope="module")
def problems(tmp_path_factory) -> dict[str, Dataset]:
    return {kind: read_rows(features_folder(tmp_path_factory.mktemp(kind), kind)) for kind in KINDS}


def fitted(name: str, rows: Dataset, **how) -> Model:
    return fit_family(
        name, QUICK.get(name, {}), rows.fold, Setup(rows.kind, classes=len(rows.classes), columns=rows.kinds, **how)
    )


@pytest.mark.parametrize(("name", "kind"), CASES)
def test_fit_save_load(problems: dict[str, Dataset], tmp_path: Path, name: str, kind: str):
    rows = problems[kind]
    model = fitted(name, rows)
    X, y = rows.of("test")
    scores = model.predict(X)
    assert scores.dtype == np.float64
    if kind == "regression":
        assert scores.shape == (len(X),)
    else:
        assert scores.shape == (len(X), len(rows.classes))
        assert np.allclose(scores.sum(axis=1), 1)
        assert scores.min() >= 0
    quality = measure("r2" if kind == "regression" else "accuracy", y, scores, kind)
    assert quality > (FLOOR[kind] if name != "tree" else FLOOR[kind] - 0.4)

    save_model(model, tmp_path / "a")
    loaded = load_model(tmp_path / "a")
    assert np.array_equal(loaded.predict(X), scores)

    column = next(name for name, of in rows.kinds.items() if of == "numeric")
    wild, largest = (loaded.predict(X.head(2).assign(**{column: [size, -size]})) for size in (1e300, LARGEST))
    assert np.isfinite(wild).all(), "finite numbers, finite answers"
    assert np.array_equal(wild, largest)
    save_model(fitted(name, rows), tmp_path / "b")
    save_model(loaded, tmp_path / "c")
    assert hash_tree(tmp_path / "a") == hash_tree(tmp_path / "b") == hash_tree(tmp_path / "c")

    # What serving may bring: one row, a level never seen, gaps everywhere.
    odd = X.head(1).copy()
    odd["band"] = "never seen"
    odd.iloc[0, :3] = np.nan
    assert np.isfinite(loaded.predict(odd)).all()
    assert np.allclose(loaded.predict(X.iloc[[3]]), scores[[3]], atol=1e-5)


def test_a_models_size_is_in_kilobytes_of_a_thousand_bytes(problems: dict[str, Dataset], tmp_path: Path):
    model = fitted("ridge", problems["regression"])
    save_model(model, tmp_path / "model")
    stored = sum(file.stat().st_size for file in (tmp_path / "model").rglob("*") if file.is_file())
    assert size(model) == stored / 1000


def test_every_family_tells_its_space():
    for name in family_names():
        family = find_family(name)
        assert name == family.NAME
        assert family.HARDWARE in ("cpu", "gpu")
        for kind in kinds_of(*family.OUTPUTS):
            for rows in (50, 100_000):
                for dim in family.space(kind, rows, 20).values():
                    if hasattr(dim, "low"):
                        assert dim.low <= dim.default <= dim.high
                    else:
                        assert dim.default in dim.options


@pytest.mark.parametrize("how", ["class_weight", "smote", "adasyn", "under_sample", "smote_tomek"])
def test_imbalance_raises_recall(tmp_path: Path, how: str):
    rng = np.random.default_rng(0)
    X = pd.DataFrame({"a": rng.normal(size=3000), "b": rng.choice(["x", "y"], 3000), "c": rng.normal(size=3000)})
    X.loc[::7, "c"] = np.nan
    y = (X["a"] + rng.normal(0, 1, 3000) > 2.5).to_numpy(float)
    kinds = {"a": "numeric", "b": "categorical", "c": "numeric"}
    half = slice(0, 1500), slice(1500, None)
    plain, balanced = (
        fit_family(
            "logistic",
            {},
            Fold(X[half[0]], y[half[0]], X[half[1]], y[half[1]]),
            Setup("binary", columns=kinds, imbalance=i),
        )
        for i in ("none", how)
    )
    recall = [measure("recall", y[half[1]], m.predict(X[half[1]]), "binary") for m in (plain, balanced)]
    assert recall[1] > recall[0] + 0.2


CLASSIFIERS = [n for n in family_names() if n not in ("auto", *EXTRA) and "binary" in kinds_of(*find_family(n).OUTPUTS)]
LEAVES = {"min_samples_leaf": 20}  # a leaf of one row has nothing to weigh
WEIGHED = {"gam": {"lam": 100.0}, "mlp": {"epochs": 2}, "tree": LEAVES, "extra_trees": LEAVES, "random_forest": LEAVES}


@pytest.mark.parametrize("name", CLASSIFIERS)
def test_class_weight_reaches_every_family_or_is_refused(name: str):
    """A rare class gets more; equal models with and without it would mean that the key was passed over."""
    rng = np.random.default_rng(0)
    X = pd.DataFrame({"a": rng.normal(size=400), "b": pd.Series(rng.choice(list("xy"), 400), dtype="str")})
    y = (X["a"] + rng.normal(0, 1, 400) > 2).to_numpy(float)

    def scores(imbalance: str) -> np.ndarray:
        how = {**QUICK.get(name, {}), **WEIGHED.get(name, {})}
        return fit_family(name, how, Fold(X, y, X, y), Setup("binary", imbalance=imbalance)).predict(X)[:, 1]

    if name in ("knn", "mixed_effects"):
        with pytest.raises(RefitError, match=f"class_weight weighs rows, and {name} cannot"):
            scores("class_weight")
    else:
        assert scores("class_weight")[y == 1].mean() > scores("none")[y == 1].mean() + 0.01


@pytest.mark.parametrize("how", ["sigmoid", "isotonic", "temperature"])
@pytest.mark.parametrize("kind", ["binary", "multiclass"])
def test_calibration_lowers_the_log_loss(problems: dict[str, Dataset], tmp_path: Path, how: str, kind: str):
    rows = problems[kind]
    X, y = rows.of("valid")
    plain, calibrated = fitted("naive_bayes", rows), fitted("naive_bayes", rows, calibration=how)
    losses = [measure("log_loss", y, m.predict(X), kind) for m in (plain, calibrated)]
    assert losses[1] < 0.97 * losses[0]
    fixed = calibrate(how, plain.predict(X), y, kind)
    new, _ = rows.of("test")
    assert fixed is not None
    assert np.array_equal(calibrated.predict(new), fixed.apply(plain.predict(new)))
    assert np.array_equal(calibrated.score(calibrated.encoder.transform(new)), calibrated.predict(new))
    assert np.array_equal(calibrated.raw(new), plain.predict(new))
    save_model(calibrated, tmp_path)
    assert np.array_equal(load_model(tmp_path).predict(X), calibrated.predict(X))


def test_mistakes_come_before_any_work(problems: dict[str, Dataset]):
    with pytest.raises(RefitError, match=r"'xgbost' is not one of .* Did you mean 'xgboost'"):
        fitted("xgbost", problems["binary"])
    with pytest.raises(RefitError, match=r"models.ridge: serves 'regression', and problem.kind is 'binary'"):
        fitted("ridge", problems["binary"])
    with pytest.raises(RefitError, match="class_weight weighs rows, and knn cannot"):
        fitted("knn", problems["binary"], imbalance="class_weight")
    with pytest.raises(RefitError, match=r"training.imbalance: 'smote' needs classes"):
        fitted("ridge", problems["regression"], imbalance="smote")
    with pytest.raises(RefitError, match=r"training.calibration: 'isotonic' needs classes"):
        fitted("ridge", problems["regression"], calibration="isotonic")
