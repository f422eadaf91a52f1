"""The stage on real candidates of the three kinds."""

import contextlib
import json
import runpy
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from ruamel.yaml import YAML
from scipy.special import expit
from sklearn import metrics as sk
from sklearn.linear_model import LogisticRegression

from tasks.errors import RefitError
from tasks.evaluate.candidates import Contestant, Split, ensemble_of
from tasks.files import read_json, write_json, write_table
from tasks.fitting.base import Fold
from tasks.fitting.calibration import Calibration
from tasks.fitting.setup import Setup
from tasks.metrics.recalibration import recalibration
from tasks.models import fit_family, save_model
from tasks.params import parse
from tests.samples import KINDS, best, candidate, features_folder, sample_frame
from tests.tasks.package.projects import plain

FAMILIES = {
    "binary": ("logistic", "xgboost"),
    "multiclass": ("logistic", "xgboost"),
    "regression": ("ridge", "xgboost"),
}


def make(root: Path, kind: str) -> Path:
    """A project up to the train stage, with two fitted families."""
    folder = features_folder(root, kind)
    summary = read_json(folder / "summary.json")
    frame = pd.read_parquet(folder / "features.parquet")
    names = [f["name"] for f in summary["features"]]
    kinds = {f["name"]: f["kind"] for f in summary["features"]}
    X, y, split = frame[names], frame["__target__"].to_numpy(), frame["__split__"]
    for family in FAMILIES[kind]:
        train, valid = split == "train", split == "valid"
        model = fit_family(
            family,
            {},
            Fold(X[train], y[train], X[valid], y[valid]),
            Setup(kind, classes=len(summary["classes"]), columns=kinds),
        )
        out = root / "data" / "models" / family
        save_model(model, out / "model")
        part = frame.loc[split.isin(["valid", "test"]), ["__row__", "__split__"]].reset_index(drop=True)
        scores = model.predict(X[split.isin(["valid", "test"])])
        columns = ["score"] if kind == "regression" else [f"score_{k}" for k in range(scores.shape[1])]
        scores = pd.DataFrame(scores.reshape(len(part), -1), columns=columns)
        write_table(out / "predictions.parquet", pd.concat([part, scores], axis=1).sample(frac=1, random_state=0))
        candidate(family, features=names, history=model.history).write(out)
    columns, target = sample_frame(kind)
    table = {c: "categorical" if c in ("band", target) and kind != "regression" else "numeric" for c in columns}
    tree = {
        "problem": {"name": "sample", "kind": kind, "table": "t", "target": target},
        "data": {"tables": {"t": {"source": "t.csv", "columns": {**table, "band": "categorical"}}}},
        "models": {family: {} for family in FAMILIES[kind]},
        "evaluation": {"slices": ["band"]},
    }
    YAML().dump(tree, root / "params.yaml")
    return root


@pytest.fixture(scope="module")
def evaluated(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return {kind: evaluate(make(tmp_path_factory.mktemp(kind), kind)) for kind in KINDS}


def evaluate(root: Path) -> Path:
    with contextlib.chdir(root):
        runpy.run_module("tasks.evaluate.__main__")["main"]()
    return root


def read(root: Path, name: str):
    return read_json(root / "data" / "evaluation" / name)


@pytest.mark.parametrize("kind", KINDS)
def test_the_best_on_validation_rows_challenges(evaluated, kind):
    choice, metrics = (read(evaluated[kind], f"{name}.json") for name in ("choice", "metrics"))
    values = {f: metrics["candidates"][f]["valid"][choice["metric"]] for f in FAMILIES[kind]}
    first = (max if choice["metric"] == "roc_auc" else min)(values, key=values.get)
    assert choice["family"] == first
    assert choice["valid"] == values[first]
    assert choice["test"] == metrics["choice"]["test"][choice["metric"]]
    assert choice["reason"].startswith(first)
    low, high = metrics["choice"]["test_interval"][choice["metric"]]
    assert low <= choice["test"] <= high
    assert (choice["threshold"] is None) == (kind != "binary")


def test_test_metrics_are_those_of_the_predictions(evaluated):
    root = evaluated["binary"]
    rows = pd.read_parquet(root / "data" / "evaluation" / "predictions.parquet")
    features = pd.read_parquet(root / "data" / "features" / "features.parquet").set_index("__row__")
    assert (rows["__target__"].to_numpy() == features.loc[rows["__row__"], "__target__"].to_numpy()).all()
    test = rows[rows["__split__"] == "test"]
    auc = sk.roc_auc_score(test["__target__"], test["score_1"])
    assert read(root, "choice.json")["test"] == pytest.approx(auc, abs=1e-12)
    table = sk.confusion_matrix(test["__target__"], test["score_1"] >= read(root, "choice.json")["threshold"])
    assert read(root, "confusion.json")["counts"] == table.tolist()


def test_candidates_are_compared_all_together(evaluated):
    found = read(evaluated["multiclass"], "metrics.json")["all_together"]
    assert found["df"] == 1
    assert [(p["first"], p["second"]) for p in found["pairs"]] == [FAMILIES["multiclass"]]
    accuracy = read(evaluated["multiclass"], "metrics.json")["candidates"]["xgboost"]["test"]["accuracy"]
    assert found["accuracy"]["xgboost"] == pytest.approx(accuracy)
    assert read(evaluated["regression"], "metrics.json")["all_together"] is None


def test_curves(evaluated):
    curves = read(evaluated["binary"], "curves.json")
    rows = pd.read_parquet(evaluated["binary"] / "data" / "evaluation" / "predictions.parquet")
    rows = rows[rows["__split__"] == "test"]
    area = np.trapezoid(curves["roc"]["tpr"], curves["roc"]["fpr"])
    assert area == pytest.approx(sk.roc_auc_score(rows["__target__"], rows["score_1"]), abs=0.01)
    assert (curves["roc"]["fpr"][0], curves["roc"]["tpr"][-1]) == (0.0, 1.0)
    for name in ("roc", "precision_recall", "threshold"):
        assert all(len(v) <= 200 for v in curves[name].values() if isinstance(v, list))
    calibration = curves["calibration"]
    assert sum(calibration["rows"]) == len(rows)
    assert all(a <= b <= c for a, b, c in zip(*(calibration[k] for k in ("low", "observed", "high")), strict=True))
    assert calibration["slope"][1] < calibration["slope"][0] < calibration["slope"][2]
    assert calibration["intercept"][1] < calibration["intercept"][0] < calibration["intercept"][2]
    for one in read(evaluated["multiclass"], "curves.json")["calibration"].values():
        assert all(a <= b <= c for a, b, c in zip(*(one[k] for k in ("low", "observed", "high")), strict=True))
        assert set(one) >= {"slope", "intercept"}
    assert set(read(evaluated["multiclass"], "curves.json")["roc"]) == {"0", "1", "2"}
    residuals = read(evaluated["regression"], "curves.json")["residuals"]
    assert residuals["predicted"] == sorted(residuals["predicted"])
    assert not (evaluated["regression"] / "data" / "evaluation" / "confusion.json").exists()


@pytest.mark.parametrize("kind", KINDS)
def test_shap_values_add_up_to_the_score(evaluated, kind):
    """Base and contributions of a row give the model's own answer: log-odds for classes, the number otherwise."""
    found = read(evaluated[kind], "explain.json")
    rows = pd.read_parquet(evaluated[kind] / "data" / "evaluation" / "predictions.parquet").set_index("__row__")
    assert found["explainer"] in ("tree", "linear")
    assert len(found["rows"]) >= 5
    for one in found["rows"]:
        total = one["base"] + sum(c["shap"] for c in one["contributions"]) + one["others"]
        assert total == pytest.approx(one["total"], abs=1e-6)
        score = rows.loc[one["row"]]
        if kind == "regression":
            assert total == pytest.approx(score["score"], abs=1e-3)
        elif kind == "binary":
            assert one["answer"] == pytest.approx(score["score_1"], abs=1e-6)
            assert 1 / (1 + np.exp(-total)) == pytest.approx(score["score_1"], abs=1e-4)
        else:
            assert one["output"] == int(np.argmax([score["score_0"], score["score_1"], score["score_2"]]))


@pytest.mark.parametrize("kind", KINDS)
def test_explanations_are_complete(evaluated, kind):
    found = read(evaluated[kind], "explain.json")
    names = [f["name"] for f in read_json(evaluated[kind] / "data" / "features" / "summary.json")["features"]]
    assert set(found["importance"]) == set(names)
    values = list(found["importance"].values())
    assert values == sorted(values, reverse=True)
    assert found["error"] == {"kind": "exact", "background": None}
    assert all(0 <= error < 0.5 * max(values) for error in found["importance_error"].values())
    assert ("log-odds" in found["space"], "softmax" in found["space"]) == (kind == "binary", kind == "multiclass")
    for one in found["partial_dependence"]:
        assert all(len(mean) == len(one["values"]) for mean in one["mean"])
    for one in found["summary"]:
        assert len(one["value"]) == len(one["shap"])
    assert np.shape(found["surface"]["score"]) == (24, 24)


def test_rows_worth_a_look(evaluated):
    found = read(evaluated["binary"], "rows.json")
    rows = pd.read_parquet(evaluated["binary"] / "data" / "evaluation" / "predictions.parquet")
    test = rows[rows["__split__"] == "test"]
    wrong = np.where(test["__target__"] == 1, test["score_0"], test["score_1"])
    assert found["worst"][0]["row"] == test["__row__"].to_numpy()[np.argmax(wrong)]
    middle = np.abs(test["score_1"] - 0.5)
    assert found["least_certain"][0]["row"] == test["__row__"].to_numpy()[np.argmin(middle)]
    assert "band" in found["worst"][0]["features"]


def test_declared_slices_cover_all_rows(evaluated):
    found = read(evaluated["binary"], "slices.json")["declared"]
    assert {tuple(s["where"].items()) for s in found} == {(("band", "= high"),), (("band", "= low"),)}
    assert sum(s["share"] for s in found) == pytest.approx(1.0)
    assert all(s["p"] <= s["p_holm"] for s in found)


@pytest.mark.parametrize("kind", KINDS)
def test_learning(evaluated, kind):
    found = read(evaluated[kind], "learning.json")
    assert found["diagnosis"]["said"]
    points = found["learning_curve"]["points"]
    assert [p["rows"] for p in points] == sorted(p["rows"] for p in points)
    assert points[-1]["train"] is None
    assert found["learning_curve"]["newest"] is False, "rows of a random split are drawn at random"


def test_everything_is_measured_at_its_own_threshold_and_the_baseline_at_one_half():
    """Of ten rows seven are positive. One candidate's scores are right from 0.8 on, the other's from 0.3 on."""
    measure_all = runpy.run_module("tasks.evaluate.__main__")["measure_all"]
    y = np.array([1.0] * 7 + [0.0] * 3)
    splits = {name: Split(np.arange(10), y) for name in ("valid", "test")}

    def scored(name, positive, negative):
        p = np.where(y == 1, positive, negative)
        return Contestant(name, {split: np.column_stack([1 - p, p]) for split in splits})

    high, low = scored("high", 0.8, 0.7), scored("low", 0.3, 0.1)
    constant = {name: np.tile([0.3, 0.7], (10, 1)) for name in splits}
    params = parse(
        {
            "problem": {"name": "p", "kind": "binary", "table": "t", "target": "y", "metric": "f1"},
            "data": {"tables": {"t": {"source": "t.csv", "columns": {"a": "numeric", "y": "boolean"}}}},
            "models": {"logistic": {}},
        }
    )
    found = measure_all([high, low], high, splits, constant, params, 0.75, None)
    for name in ("high", "low"):
        one = found.candidates[name]
        assert (one.valid["accuracy"], one.test["accuracy"], one.test["f1"]) == (1.0, 1.0, 1.0)
    assert 0.7 < found.candidates["high"].threshold <= 0.8
    assert 0.1 < found.candidates["low"].threshold <= 0.3
    for split in splits:
        assert getattr(found.choice, split)["accuracy"] == 1.0
        assert getattr(found.baseline, split)["accuracy"] == pytest.approx(0.7)
        assert getattr(found.baseline, split)["brier"] == pytest.approx(0.21)
    assert (found.choice.level, found.choice.drawn) == (0.95, "rows")
    assert found.rows == {"valid": 10, "test": 10}
    assert found.baseline.name == "class shares of the training rows"
    by_day = measure_all([high, low], high, splits, constant, params, 0.75, np.arange(10) // 2)
    assert by_day.choice.drawn == "days"
    wrong = measure_all([high, low], low, splits, constant, params, 0.75, None)
    assert wrong.choice.test["accuracy"] == pytest.approx(0.3), "the choice is measured at the cut that it was given"


def test_explanations_are_left_out_where_none_are_wanted(evaluated, tmp_path):
    root = tmp_path / "it"
    shutil.copytree(evaluated["regression"], root)
    tree = YAML().load((root / "params.yaml").read_text())
    YAML().dump(tree | {"evaluation": {"explain": False}}, root / "params.yaml")
    made, without = (
        {path.name for path in (one / "data/evaluation").iterdir()} for one in (evaluated["regression"], evaluate(root))
    )
    assert made - without == {"explain.json", "learning.json"}


def test_same_inputs_give_the_same_bytes(evaluated, tmp_path):
    for kind, root in evaluated.items():
        shutil.copytree(root, tmp_path / kind)
        evaluate(tmp_path / kind)
        for file in sorted((root / "data" / "evaluation").iterdir()):
            assert file.read_bytes() == (tmp_path / kind / "data" / "evaluation" / file.name).read_bytes(), file.name


def mixed(root: Path, copy: Path) -> Path:
    """A copy of an evaluated project, with ensembles asked for, evaluated again."""
    shutil.copytree(root, copy)
    tree = YAML().load((copy / "params.yaml").read_text())
    tree["training"] = {"ensembles": ["greedy", "voting"]}
    YAML().dump(tree, copy / "params.yaml")
    return evaluate(copy)


def test_no_ensemble_is_kept_where_the_best_family_is_better_alone(evaluated, tmp_path):
    root = mixed(evaluated["regression"], tmp_path / "it")
    choice, metrics = read(root, "choice.json"), read(root, "metrics.json")
    assert set(metrics["candidates"]) == set(FAMILIES["regression"])
    assert (choice["members"], choice["weights"]) == (["ridge"], [1.0])
    assert choice["valid"] == min(one["valid"]["rmse"] for one in metrics["candidates"].values())
    assert "ensemble" not in choice["reason"]


def test_an_ensemble_that_is_better_is_kept_and_explained_as_a_whole(evaluated, tmp_path):
    root = mixed(evaluated["binary"], tmp_path / "it")
    choice, metrics = read(root, "choice.json"), read(root, "metrics.json")
    assert choice["valid"] > max(metrics["candidates"][f]["valid"]["roc_auc"] for f in FAMILIES["binary"])
    assert choice["members"] == list(FAMILIES["binary"])
    assert sum(choice["weights"]) == pytest.approx(1.0)
    assert "ensemble" in choice["reason"]
    found = read(root, "explain.json")
    assert (found["explainer"], found["error"]["kind"]) == ("permutation", "sampled")


def test_a_mix_of_calibrated_candidates_is_calibrated_as_a_whole():
    """Each candidate knows half of what counts and says the right probability of it; their mean is too near the middle."""
    rng = np.random.default_rng(0)
    n = 8_000
    known = 1.5 * rng.normal(size=(2, n))
    y = (rng.random(n) < expit(known.sum(axis=0))).astype(float)
    at = {"valid": np.arange(0, n, 2), "test": np.arange(1, n, 2)}
    splits = {name: Split(rows, y[rows]) for name, rows in at.items()}
    candidates = []
    for family, x in zip(("logistic", "xgboost"), known, strict=True):
        scores = LogisticRegression(C=1e6).fit(x[:, None], y).predict_proba(x[:, None])
        candidates.append(Contestant(family, {name: scores[rows] for name, rows in at.items()}))
    tree, _ = plain("binary")
    tree |= {"models": {"logistic": {}, "xgboost": {}}, "training": {"ensembles": ["voting"]}}
    mix = ensemble_of(candidates, splits, parse(tree))
    assert mix is not None
    assert mix.mix.calibration["curves"][0]["slope"][0] > 1.3
    slope = recalibration(splits["test"].y, mix.scores["test"][:, 1])["slope"]
    assert slope is not None
    assert slope[0] == pytest.approx(1, abs=0.1)
    tree["training"]["calibration"] = "none"
    bare = ensemble_of(candidates, splits, parse(tree))
    assert bare is not None
    assert bare.mix.calibration is None
    fixed = Calibration.of(mix.mix.calibration)
    assert fixed is not None
    assert np.array_equal(fixed.apply(bare.scores["test"]), mix.scores["test"])


@pytest.fixture
def copy(evaluated, tmp_path):
    shutil.copytree(evaluated["binary"], tmp_path / "it")
    shutil.rmtree(tmp_path / "it" / "data" / "evaluation")
    return tmp_path / "it"


def refused(root: Path, match: str) -> None:
    with pytest.raises(RefitError, match=match):
        evaluate(root)
    assert not (root / "data" / "evaluation").exists()


def change(root: Path, edit) -> None:
    path = root / "data" / "models" / "xgboost" / "predictions.parquet"
    edit(pd.read_parquet(path)).to_parquet(path)


@pytest.mark.parametrize(
    ("edit", "match"),
    [
        (lambda f: f.iloc[:-1], "predictions for the [0-9]+ rows of split"),
        (lambda f: f.assign(score_1=f["score_1"].where(f.index != f.index[0])), "1 scores are missing or infinite"),
        (lambda f: f.assign(score_1=f["score_1"] + 0.5), "rows are no probabilities"),
        (lambda f: f.assign(__row__=f["__row__"] + 1000), "are for other rows"),
        (lambda f: f.drop(columns="score_0"), "lacks the columns .'score_0'"),
    ],
)
def test_candidates_that_cannot_be_judged(copy, edit, match):
    change(copy, edit)
    refused(copy, match)


def test_splits_that_cannot_be_judged(copy):
    path = copy / "data" / "features" / "features.parquet"
    frame = pd.read_parquet(path)
    frame["__target__"] = frame["__target__"].where(frame["__split__"] != "test", 1.0)
    frame.to_parquet(path)
    refused(copy, "all [0-9]+ rows of 'test' are of class '1'")
    frame["__split__"] = frame["__split__"].where(frame["__split__"] != "test", "train")
    frame.to_parquet(path)
    refused(copy, "no labelled rows fall into 'test'")


def test_a_misspelt_slice_is_named(copy):
    tree = YAML().load((copy / "params.yaml").read_text())
    tree["evaluation"] = {"slices": ["bandd"]}
    YAML().dump(tree, copy / "params.yaml")
    refused(copy, r"evaluation\.slices: 'bandd' is not a feature; .* Did you mean 'band'")


def test_nothing_written_is_undefined(evaluated):
    for root in evaluated.values():
        for file in (root / "data" / "evaluation").glob("*.json"):
            assert file.stat().st_size > 2
            json.loads(file.read_text(), parse_constant=undefined)


def undefined(word: str) -> None:
    pytest.fail(f"{word} is no JSON")


def test_where_goals_were_declared_they_choose_between_families_too(evaluated, tmp_path):
    root = tmp_path / "copy"
    shutil.copytree(evaluated["binary"], root)
    params = root / "params.yaml"
    params.write_text(params.read_text().replace("evaluation:\n", "evaluation:\n  explain: false\n"))
    plainly = read(root, "choice.json")["family"]
    other = next(f for f in FAMILIES["binary"] if f != plainly)

    def tuned(family: str, weight: float | None) -> None:
        point = {"name": "trial 1", "value": 0.9, "size_kb": 10.0 if family == other else 500.0, "chosen": True}
        rule = {"within": None, "costs": {"size_kb": {"at_most": None, "weight": weight}}}
        goals = {"rule": rule, "front": [point], "reason": ""}
        best(family, {}, goals=goals).write(root / "data/tuning" / family)
        write_json(root / "data/tuning" / family / "trials.json", [])

    for weight, expected in ((1e-9, plainly), (1.0, other)):
        for family in FAMILIES["binary"]:
            tuned(family, weight)
        choice = read(evaluate(root), "choice.json")
        assert choice["family"] == expected
        assert f"{expected} has the best roc_auc less {weight:g} for each kB" in choice["reason"]
    assert f"By the roc_auc alone it would have been {plainly}" in choice["reason"]
