"""`models: auto` on folds: what it tries, keeps and stores; and through the stages to a bundle."""

import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tasks.artifacts import Member
from tasks.errors import RefitError
from tasks.files import hash_tree, read_json, read_table
from tasks.fitting.base import Fold
from tasks.fitting.forest import Forest
from tasks.fitting.rows import Dataset
from tasks.fitting.setup import Setup
from tasks.fitting.space import Number, OneOf
from tasks.metrics import measure
from tasks.models import Model, fit_family, load_model, save_model
from tasks.models.bag import Bag, BagPart, Joined
from tasks.params import load
from tasks.tune.auto import _AutoSearch, search_families
from tasks.tune.bags import Fits, cross, fold_count, holdout, make_bags
from tasks.tune.folds import make_folds
from tasks.tune.messages import FoldAttempt
from tasks.tune.objective import Objective
from tasks.tune.portfolio import near, portfolio
from tasks.tune.search import Budget
from tests.samples import sample_frame
from tests.tasks.families.test_imbalance import mixed_table
from tests.tasks.tune.test_stage import project, stage


def rows(kind: str) -> tuple[pd.DataFrame, np.ndarray]:
    frame, target = sample_frame(kind)
    return frame.drop(columns=target), frame[target].to_numpy(float)


@pytest.mark.parametrize("kind", ["binary", "multiclass", "regression"])
def test_folds_cover_each_row_once_a_repeat(kind: str):
    X, y = rows(kind)
    bags = cross(X, y, kind, 5, 2, 0)
    assert bags.repeats == 2
    for turn in range(2):
        assert sorted(np.concatenate(bags.held[5 * turn : 5 * turn + 5])) == list(range(len(y)))
    assert not np.array_equal(bags.held[0], bags.held[5])
    for (fitted, y_fitted, out, y_out), held in zip(bags.folds, bags.held, strict=True):
        assert len(fitted) + len(out) == len(y)
        assert np.array_equal(y_out, y[held])
        assert len(y_fitted) == len(fitted)
        if kind == "regression":
            assert abs(y_out.mean() - y.mean()) < 0.25 * y.std()
        else:
            assert set(np.unique(y_out)) == set(np.unique(y))


def test_a_rare_class_or_too_little_time_leaves_the_holdout():
    y = np.r_[np.zeros(500), np.ones(5)]
    assert fold_count(505, 4, "binary", y, 300, 2) == (1, 1)
    assert fold_count(2_000_000, 30, "regression", np.arange(10.0), 60, 2) == (1, 1)
    assert fold_count(400, 10, "regression", np.arange(400.0), 300, 2)[0] == 8


TIMED = """
seed: 1
problem: {name: t, kind: regression, table: t, target: target, prediction_time: at}
data: {tables: {t: {source: t.csv, event_time: at, columns: {target: numeric, at: datetime}}}}
features: {columns: auto}
split: {kind: time, test: 0.2, valid: 0.2}
models: {auto: {}}
"""


def by_time(x: np.ndarray, y: np.ndarray) -> Dataset:
    """Daily rows: the oldest six tenths train, the next two validate."""
    n = len(y)
    names = np.array(["train", "train", "train", "valid", "test"])[5 * np.arange(n) // n]
    time = pd.Series(pd.date_range("2024-01-01", periods=n, tz="UTC"))
    frame = pd.DataFrame({"x": x, "noise": np.random.default_rng(0).normal(size=n)})
    return Dataset("regression", (), dict.fromkeys(frame, "numeric"), frame, y, names.astype(str), np.arange(n), time)


def test_where_features_leave_their_range_members_are_chosen_as_far_ahead_as_the_test_rows_are(tmp_path: Path):
    (tmp_path / "params.yaml").write_text(TIMED)
    params = load(tmp_path / "params.yaml")
    rising = np.arange(500.0)
    rows = by_time(rising, rising)
    bags, at = make_bags(rows, params, 60, 2)
    assert (bags.beyond, bags.size, bags.crossed) == (("x",), 2, False)
    near, far = bags.folds
    assert len(near[1]) == 300
    assert far[0]["x"].tolist() == list(range(200))  # 101 days before the validation rows, as day 299 is before day 400
    assert np.array_equal(near[3], far[3])
    assert np.array_equal(rows.y[at], near[3])
    still = np.random.default_rng(1).normal(size=500)
    for series in (still, np.sin(rising / 9), np.where(rising < 50, 1000.0, still)):
        bags, _ = make_bags(by_time(series, rising), params, 60, 2)
        assert (bags.beyond, bags.size) == ((), 1)
    short = by_time(rising, rising)
    short.split[200:400] = "valid"  # nothing would be left to fit on
    assert make_bags(short, params, 60, 2)[0].beyond == ()


def test_members_chosen_further_ahead_leave_the_time_that_labels_wait(tmp_path: Path):
    """A label that is known after 30 days parts training from validation rows, and these from the test rows."""
    (tmp_path / "params.yaml").write_text(TIMED)
    rows = by_time(np.arange(500.0), np.arange(500.0))
    rows.split[:] = "pending"
    rows.split[:270], rows.split[300:370], rows.split[400:] = "train", "valid", "test"
    kept = rows.split != "pending"
    rows = replace(
        rows, frame=rows.frame[kept].reset_index(drop=True), y=rows.y[kept], split=rows.split[kept], row=rows.row[kept],
        time=rows.time[kept].reset_index(drop=True),
    )  # fmt: skip
    bags, _ = make_bags(rows, load(tmp_path / "params.yaml"), 60, 2)
    near, far = bags.folds
    gap = 300 - near[0]["x"].max()
    assert gap == 31
    assert 300 - far[0]["x"].max() == 400 - near[0]["x"].max() == 131


@pytest.mark.parametrize("split", ["kfold", "stratified", "group", "time_series"])
def test_a_declared_split_is_kept_to(split: str, tmp_path: Path):
    more = {"group": ", group: noise", "time_series": ", gap: 3d"}.get(split, "")
    text = TIMED.replace("columns: {target", "columns: {noise: numeric, target")
    (tmp_path / "params.yaml").write_text(text + f"tuning: {{split: {split}, folds: 3{more}}}\n")
    params = load(tmp_path / "params.yaml")
    rows = by_time(np.arange(500.0), np.arange(500.0) % 7)
    rows = replace(rows, frame=rows.frame.assign(noise=np.arange(500) // 25 * 1.0))
    bags, at = make_bags(rows, params, 60, 2)
    assert (bags.size, bags.repeats, bags.declared, bags.beyond) == (3, 1, split, ())
    for (X, y, X_held, y_held), own, held in zip(
        bags.folds, make_folds(rows, params.tuning, 1), bags.held, strict=True
    ):
        assert X.equals(own[0])
        assert X_held.equals(own[2])
        assert np.array_equal(y, own[1])
        assert np.array_equal(y_held, rows.y[at][held])
    assert set(rows.split[at]) == {"train"}
    assert len(at) == (300 if split != "time_series" else 225)


def test_an_undeclared_split_is_autos_own_and_holdout_is_the_validation_rows(tmp_path: Path):
    text = TIMED.replace("{kind: time, test: 0.2, valid: 0.2}", "{kind: random}")
    rows = by_time(np.arange(500.0), np.arange(500.0) % 7)
    for more, size, judged in (
        ("", 8, 400),
        ("tuning: {split: holdout}\n", 1, 100),
        ("tuning: {split: kfold}\n", 3, 300),
    ):
        (tmp_path / "params.yaml").write_text(text + more)
        bags, at = make_bags(rows, load(tmp_path / "params.yaml"), 60, 2)
        assert (bags.size, len(at)) == (size, judged)


def test_what_was_fitted_on_other_folds_is_not_taken_up():
    X, y = rows("binary")
    marks = [cross(X, y, "binary", size, 1, seed).mark for size, seed in ((5, 0), (5, 0), (8, 0), (5, 1))]
    assert marks[0] == marks[1]
    assert len(set(marks)) == 3


@pytest.mark.slow
@pytest.mark.parametrize("walk", [False, True])
def test_of_a_rising_series_what_goes_on_along_a_line_is_served(walk: bool, tmp_path: Path):
    """A trend, and a random walk with drift, by last month's value: trees cannot follow either."""
    (tmp_path / "params.yaml").write_text(TIMED)
    rng = np.random.default_rng(3)
    steps = rng.normal(0.2, 0.5 if walk else 0.0, 700)
    level = steps.cumsum() + (0.0 if walk else 1.0) * rng.normal(0, 0.5, 700)
    rows = by_time(level[:-1], level[1:])
    bags, at = make_bags(rows, load(tmp_path / "params.yaml"), 60, 2)
    assert bags.beyond == ("x",)
    one = Objective("auto", Setup("regression", 0, rows.kinds), "rmse", bags.folds)
    found = search_families(one, Budget(1, 25, 1, 2), "auto", folder=tmp_path, bags=bags)
    weights = {m["family"]: m["weight"] for m in found.params["members"]}
    assert weights["ridge"] > 0.5
    assert {"lightgbm", "xgboost", "extra_trees", "random_forest"}.isdisjoint(weights)
    assert found.beyond == ("x",)
    assert found.folds is None
    assert np.allclose(found.scores, found.model.predict(rows.frame.iloc[at]))  # of what is served, which had them not
    test = rows.split == "test"
    off = found.model.predict(rows.frame[test]) - rows.y[test]
    assert np.sqrt(np.mean(off**2)) < 1.0


def test_portfolio_goes_round_the_families_and_neighbours_stay_in_bounds():
    found = portfolio("regression", 1000, 8, counts=True)
    assert found[0][0] == "ridge"
    assert len({json_like(s) for s in found}) == len(found)
    first = [name for name, _ in found[: len({n for n, _ in found})]]
    assert len(set(first)) == len(first)
    assert any(p.get("objective") == "count:poisson" for _, p in found)
    space = {"a": Number(0.1, 10.0, 1.0, log=True), "b": Number(1, 5, 3, whole=True), "c": OneOf(("x", "y"), "x")}
    rng = np.random.default_rng(0)
    moved = [near(("f", {"a": 9.0, "b": 5, "c": "x", "rounds": 7}), space, rng)[1] for _ in range(100)]
    assert all(0.1 <= m["a"] <= 10 and m["b"] in (1, 2, 3, 4, 5) and m["c"] in "xy" and m["rounds"] == 7 for m in moved)
    assert len({m["a"] for m in moved}) > 20


def json_like(setting: tuple[str, dict]) -> str:
    return repr((setting[0], sorted(setting[1].items())))


@pytest.mark.parametrize("kind", ["binary", "regression"])
def test_bag_is_the_weighted_mean_and_survives_the_disk(kind: str, tmp_path: Path):
    X, y = rows(kind)
    half = np.arange(len(y)) % 2 == 0
    classes = 0 if kind == "regression" else 2
    sides = [(X[a], y[a], X[~a], y[~a]) for a in (half, ~half)]
    models = [fit_family(f, {}, Fold(*s), Setup(kind, classes=classes)) for f in ("xgboost", "tree") for s in sides]
    encoders = [m.encoder for m in models]
    starts = np.cumsum([0, *(len(e.names) for e in encoders)])
    parts = [
        BagPart(i // 2, m.fitted, int(starts[i]), int(starts[i + 1]), m.encoder.dtype, (0.4, 0.4, 0.1, 0.1)[i])
        for i, m in enumerate(models)
    ]
    members = [Member(family=f, params={}, weight=w, value=0.0) for f, w in (("xgboost", 0.8), ("tree", 0.2))]
    whole = models[0].__class__(
        "auto", kind, classes, Joined(encoders), Bag(parts, members, 4), params={"family": "xgboost"}
    )
    expected = sum(p.weight * m.predict(X) for p, m in zip(parts, models, strict=True))
    assert np.array_equal(whole.predict(X), expected)
    save_model(whole, tmp_path / "a")
    loaded = load_model(tmp_path / "a")
    assert np.array_equal(loaded.predict(X), expected)
    save_model(loaded, tmp_path / "b")
    assert hash_tree(tmp_path / "a") == hash_tree(tmp_path / "b")
    (tmp_path / "a" / "parts" / "3" / "estimator.skops").unlink()
    with pytest.raises(RefitError, match="train again"):
        load_model(tmp_path / "a")


@pytest.mark.parametrize("family", ["random_forest", "extra_trees"])
@pytest.mark.parametrize("kind", ["binary", "multiclass", "regression"])
def test_forest_as_arrays_says_the_same(family: str, kind: str, tmp_path: Path):
    X, y = rows(kind)
    classes = 0 if kind == "regression" else int(y.max()) + 1
    model = fit_family(family, {"n_estimators": 10}, Fold(X, y, X, y), Setup(kind, classes=classes))
    light = Forest.of(model.fitted.estimator, kind, classes)
    Z = model.encoder.transform(X)
    assert np.allclose(light.predict(Z), model.fitted.predict(Z), rtol=1e-6, atol=1e-6)
    light.save(tmp_path)
    again = Forest.load(tmp_path, kind, classes)
    assert np.array_equal(again.predict(Z), light.predict(Z))
    assert np.array_equal(again.predict(Z[:1]), light.predict(Z)[:1])


@pytest.mark.slow
def test_killed_search_goes_on_and_a_champions_members_come_first(tmp_path: Path):
    X, y = rows("binary")
    bags = cross(X, y, "binary", 3, 1, 0)
    one = Objective(
        "auto", Setup("binary", 2, {c: "numeric" if c != "band" else "categorical" for c in X}), "roc_auc", bags.folds
    )
    found = search_families(one, Budget(1, 20, 1, 2), "auto", folder=tmp_path, bags=bags)
    assert found.reused == 0
    done = [t for t in found.trials if t.state == "complete"]
    assert len({t.family for t in done}) == len(done) >= 2
    single = max(t.value for t in done)
    assert found.value >= single - 0.01
    again = search_families(one, Budget(1, 20, 1, 2), "auto", folder=tmp_path, bags=bags, starts=[found.params])
    known = [(t.family, t.params) for t in done]  # as many of them come again as the seconds allow
    repeated = [t for t in again.trials if t.state == "complete" and (t.family, t.params) in known]
    assert repeated
    assert again.reused >= 3 * len(repeated)
    first = found.params["members"][0]
    assert (again.trials[0].family, again.trials[0].params) == (first["family"], first["params"])
    with pytest.raises(RefitError, match="did not suffice for one fit"):
        search_families(
            one, Budget(1, 0.02, 1, 1), "auto", folder=tmp_path / "n",
            bags=holdout(*bags.folds[0]),
        )  # fmt: skip


def test_each_family_is_tried_with_made_rows_and_on_real_ones_and_the_better_is_served(tmp_path: Path):
    X, y, kinds = mixed_table("fair")
    bags = cross(X, y, "binary", 3, 1, 0)
    fits = Fits(
        "auto", Setup("binary", 2, kinds, imbalance="smote"), "roc_auc", bags.folds, encoders=str(tmp_path / "encoders")
    )
    run = _AutoSearch(fits, bags, Budget(2, 600, 1, 1), tmp_path, [], lambda line: None)
    run.end = time.monotonic() + 600
    for _ in range(2):  # what its workers do, here in turn
        setting = run._queued()
        assert setting is not None
        tried = run._new(setting, 600)
        assert tried is not None
        for fold in range(3):
            asked = FoldAttempt(tried.params, tried.family, fold=fold, folder=tried.folder / str(fold))
            run._note(tried, fold, fits.value(asked)[0], 0.01)
    first, second = run.tried
    assert first.family == second.family == "logistic"
    assert second.params == first.params | {"imbalance": "none"}
    found = run.mixed(time.monotonic())
    assert found.scores is not None
    assert found.model is not None
    assert found.scores.shape == (len(y), 2)
    best = max(run.tried, key=lambda t: np.mean(list(t.values.values())))
    assert best.params in [m["params"] for m in found.params["members"]]
    for member in found.params["members"]:
        bare = member["params"].get("imbalance") == "none"
        assert ("counts" in member) != bare
        if not bare:
            before, after = member["counts"]["before"], member["counts"]["after"]
            assert before == np.bincount(bags.folds[0][1].astype(int)).tolist()
            assert after == [before[0]] * 2
    # What is served says of a held-out row, by the parts that had not seen it, what was judged.
    if isinstance(found.model.fitted, Bag):
        Z = found.model.encoder.transform(X)
        for fold in range(3):
            parts = found.model.fitted.parts[fold::3]
            at = bags.held[fold]
            said = sum(3 * p.weight * p.fitted.predict(np.ascontiguousarray(Z[at, p.start : p.stop])) for p in parts)
            assert np.allclose(said, found.scores[at], atol=1e-6)
    save_model(found.model, tmp_path / "model")
    assert np.array_equal(load_model(tmp_path / "model").predict(X), found.model.predict(X))


@pytest.mark.slow
@pytest.mark.sweep
def test_auto_through_the_stages(tmp_path: Path, full: bool):
    for kind in ("binary", "regression") if full else ("binary",):
        goes_through_the_stages(kind, tmp_path / kind)


def goes_through_the_stages(kind: str, folder: Path):
    folder.mkdir()
    root = project(folder, kind, "auto", "{seconds: 20, trials: 1}", "auto")
    for step in ("tune", "train"):
        done = stage(step, "auto", root)
        assert done.returncode == 0, done.stderr
    out = root / "data"
    best, candidate = read_json(out / "tuning/auto/best.json"), read_json(out / "models/auto/candidate.json")
    assert sum(m["weight"] for m in best["params"]["members"]) == pytest.approx(1)
    assert candidate["params"] == best["params"]
    model = load_model(out / "models/auto/model")
    features = read_table(out / "features/features.parquet")
    found = read_table(out / "models/auto/predictions.parquet")
    whole = model.predict(features.set_index("__row__").loc[found["__row__"]].reset_index())
    told = found[[c for c in found if c.startswith("score")]].to_numpy(float).reshape(whole.shape)
    test = (found["__split__"] == "test").to_numpy()
    assert np.array_equal(told[test], whole[test])
    # Validation rows are told by parts that had not seen them; of a bag of folds the whole has, of a holdout it has not.
    held = read_table(out / "tuning/auto/held_out.parquet")
    crossed = "__fold_0__" in held
    assert crossed == (len(held) > (~test).sum())
    assert np.allclose(told[~test], whole[~test]) != crossed
    if kind == "regression":
        assert model.calibration is None
    elif crossed:  # both are calibrated, each in its own way: one threshold does for both
        assert model.calibration is not None
        assert model.calibration.method == "auto"
        plain = Model("auto", kind, 2, model.encoder, model.fitted).predict(features)
        at = features["__row__"].isin(found["__row__"][test]).to_numpy()
        y, auc = features["__target__"][at].to_numpy(float), lambda s: measure("roc_auc", y, s, kind)
        assert auc(plain[at]) == pytest.approx(auc(model.predict(features)[at]), abs=1e-12)


@pytest.mark.slow
@pytest.mark.sweep
def test_members_are_fitted_again_on_rows_that_tuning_did_not_get(tmp_path: Path, full: bool):
    for kind in ("regression", "binary") if full else ("regression",):
        gets_members_fitted_again(kind, tmp_path / kind)


def gets_members_fitted_again(kind: str, folder: Path):
    folder.mkdir()
    root = project(folder, kind, "auto", "{seconds: 20, trials: 1}", "sigmoid" if kind == "binary" else "none")
    params = root / "params.yaml"
    own = "split: kfold, folds: 4, " if kind == "regression" else ""
    params.write_text(params.read_text().replace("tuning: {", "tuning: {rows: 100, " + own))
    for step in ("tune", "train"):
        done = stage(step, "auto", root)
        assert done.returncode == 0, done.stderr
    out = root / "data"
    features = read_table(out / "features/features.parquet")
    count = int((features["__split__"] == "train").sum())
    assert read_json(out / "tuning/auto/best.json")["left_out"] == count - 100
    best, judged = (read_json(out / "tuning/auto/best.json")[key] for key in ("params", "judged"))
    if own:
        assert judged["declared"] == "kfold"
        assert judged["rows"] == (25 if judged["cut_short"] else 100)  # of the training rows alone
    assert f"again on {count:,} rows" in done.stderr + done.stdout
    model = load_model(out / "models/auto/model")
    assert len(model.fitted.parts) == len(best["members"])
    found = read_table(out / "models/auto/predictions.parquet")
    whole = model.predict(features.set_index("__row__").loc[found["__row__"]].reset_index())
    told = found[[c for c in found if c.startswith("score")]].to_numpy(float).reshape(whole.shape)
    assert np.array_equal(told, whole)
    assert stage("evaluate", None, root).returncode == 0
    curve = read_json(out / "evaluation/learning.json")["learning_curve"]
    assert curve["fitted"] == best["family"]
    assert (
        curve["points"][-1]["train"] is not None
    )  # a refit of the leading member: auto itself is no point of its curve
