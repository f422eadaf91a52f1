"""XGBoost from disk: the encoder, the booster and every stored byte are those of the fit in memory."""

from __future__ import annotations

import shutil
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tasks import memory
from tasks.engine.spark import session
from tasks.errors import RefitError
from tasks.families.xgboost import types
from tasks.families.xgboost.batches import fit_batches
from tasks.families.xgboost.memory import quantised
from tasks.files import hash_tree, read_json, read_table, write_json, write_table
from tasks.fitting.encoded import encode_to, outline
from tasks.fitting.rows import read_rows
from tasks.fitting.setup import Setup
from tasks.metrics import measure
from tasks.models import fit_family, load_model, prepare, save_model
from tasks.models.large import fit_large
from tasks.models.model import Model
from tasks.params import Params, load
from tests.samples import KINDS, features_folder

PARAMS = """
seed: 3
problem: {{name: t, kind: {kind}, table: t, target: target}}
data: {{tables: {{t: {{source: t.csv, columns: {{target: numeric, x: numeric}}}}}}}}
features: {{engine: {engine}}}
models: {{xgboost: {{}}}}
training: {training}
"""


def problem(root: Path, kind: str, times: int = 1) -> Path:
    """A sample problem with a column that training never has, and a text; ``times`` as many rows."""
    folder = features_folder(root, kind)
    table, summary = read_table(folder / "features.parquet"), read_json(folder / "summary.json")
    table = pd.concat([table] * times, ignore_index=True)
    table["__row__"] = np.arange(len(table))
    table["late"] = np.where(table["__split__"] == "train", np.nan, 1.0)
    table["said"] = pd.Series(np.where(np.arange(len(table)) % 3, "so it goes", "and so on"), dtype="str")
    kinds = [{"name": "said", "kind": "text"}, {"name": "late", "kind": "numeric"}]
    write_table(folder / "features.parquet", table)
    write_json(folder / "summary.json", summary | {"features": kinds + summary["features"]})
    return folder


def params(root: Path, kind: str, training: str = "{}", engine: str = "local") -> Params:
    (root / "params.yaml").write_text(PARAMS.format(kind=kind, training=training, engine=engine))
    return load(root / "params.yaml")


@pytest.mark.parametrize("categories", [None, "one_hot", "target"])
@pytest.mark.parametrize("kind", KINDS)
def test_rows_are_encoded_as_in_memory(tmp_path: Path, kind: str, categories: str | None):
    folder = problem(tmp_path, kind)
    rows, how = read_rows(folder), {} if categories is None else {"categories": categories}
    setup = Setup(kind, len(rows.classes), columns=rows.kinds, encode=how, seed=5)
    whole = prepare("xgboost", rows.fold, setup)
    encoder, made = encode_to(tmp_path, outline(folder), list(rows.kinds), setup)
    for name, fitted in (("whole", whole.encoder), ("disk", encoder)):
        (tmp_path / name).mkdir()
        fitted.save(tmp_path / name)
    assert hash_tree(tmp_path / "whole") == hash_tree(tmp_path / "disk")
    for split, Z in (("train", whole.Z), ("valid", whole.Z_valid)):
        assert np.array_equal(made[split].part(0, len(Z)), Z.astype(np.float32), equal_nan=True)
        assert np.array_equal(np.concatenate(list(made[split].parts(7))), Z.astype(np.float32), equal_nan=True)
        assert made[split].gaps == np.isnan(Z).any()
    assert np.array_equal(made["test"].y, rows.of("test")[1])


@pytest.mark.parametrize("kind", KINDS)
def test_from_disk_the_same_bytes_are_stored(tmp_path: Path, kind: str):
    folder = problem(tmp_path, kind, times=20)
    rows = read_rows(folder)
    own = {"rounds": 25, "subsample": 0.7, "colsample_bytree": 0.6, "learning_rate": 0.3}
    setup = Setup(kind, len(rows.classes), rows.kinds, seed=3)
    whole = fit_family("xgboost", own, rows.fold, setup)
    save_model(whole, tmp_path / "whole")
    encoder, made = encode_to(tmp_path, outline(folder), list(rows.kinds), setup)
    assert made["train"].rows > 1500
    need = quantised(made["train"].rows + made["valid"].rows, made["train"].width, len(rows.classes), True)
    # 0.8 MB give batches of 4,096 rows and less than the quantised rows take.
    for name, limit, said in (
        ("quantised", need * 1.01, "built from batches"),
        ("external", need * 0.5, "external memory"),
    ):
        lines: list[str] = []
        (tmp_path / f"{name}-pages").mkdir()
        fitted = fit_batches(
            own,
            setup,
            encoder,
            made,
            tmp_path / f"{name}-pages",
            limit=memory.Memory(limit, "a test"),
            log=lines.append,
        )
        assert said in lines[0]
        model = Model("xgboost", kind, len(rows.classes), encoder, fitted, params=own)
        save_model(model, tmp_path / name)
        assert hash_tree(tmp_path / name) == hash_tree(tmp_path / "whole")
        assert fitted.history == whole.history
        assert fitted.notes == whole.notes


def test_weights_reach_the_booster(tmp_path: Path):
    folder = problem(tmp_path, "binary", times=5)
    rows = read_rows(folder)
    setup = Setup("binary", 2, rows.kinds, imbalance="class_weight", seed=3)
    whole = fit_family("xgboost", {"rounds": 10}, rows.fold, setup)
    from tasks.fitting.imbalance import balanced_weight

    encoder, made = encode_to(tmp_path, outline(folder), list(rows.kinds), setup)
    made["train"].weight = balanced_weight(made["train"].y, 2)
    fitted = fit_batches({"rounds": 10}, setup, encoder, made, tmp_path, limit=memory.Memory(1e5, "a test"))
    assert np.array_equal(fitted.predict(made["test"].part(0, 50)), whole.predict(rows.of("test")[0].head(50)))


def test_a_table_that_fits_is_left_to_the_ordinary_way(tmp_path: Path):
    folder = problem(tmp_path, "binary")
    own = params(tmp_path, "binary")
    features = list(read_rows(folder).kinds)
    assert fit_large("xgboost", {}, features, own, print, session, folder) is None
    assert (
        fit_large("logistic", {}, features, params(tmp_path, "binary", "{memory_gb: 0.001}"), print, session, folder)
        is None
    )


def test_rows_that_fit_in_no_way_are_refused_at_once(tmp_path: Path):
    folder = problem(tmp_path, "binary")
    own = params(tmp_path, "binary", "{memory_gb: 0.001}")  # less than the interpreter holds
    with pytest.raises(
        RefitError, match=r"training\.memory_gb: 569 rows x 33 features take about .* Raise training\.memory_gb"
    ):
        fit_large("xgboost", {}, list(read_rows(folder).kinds), own, print, session, folder)


def test_rows_are_not_resampled_from_disk(tmp_path: Path):
    folder = problem(tmp_path, "binary")
    own = params(tmp_path, "binary", "{memory_gb: 0.001, imbalance: smote}")
    with pytest.raises(RefitError, match=r"training\.imbalance: 'smote' makes rows, and these do not fit in memory"):
        fit_large("xgboost", {}, list(read_rows(folder).kinds), own, print, session, folder)


def test_the_limit_counts_what_the_process_holds():
    assert memory.allowed(1000.0).bytes < 1000 * memory.GB
    assert "60% of the" in memory.allowed(None).source


def test_without_java_spark_training_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    pytest.importorskip("pyspark")
    folder = problem(tmp_path, "binary")
    own = params(tmp_path, "binary", engine="spark")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", "")
    monkeypatch.delenv("JAVA_HOME", raising=False)
    with pytest.raises(RefitError, match=r"features\.engine: spark needs Java 17 or newer"):
        fit_large("xgboost", {}, list(read_rows(folder).kinds), own, print, session, folder)
    assert not (tmp_path / ".refit").exists()  # told before any work


@pytest.fixture
def spark(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    pytest.importorskip("pyspark")
    if shutil.which("java") is None:
        pytest.skip("no Java on this machine")
    monkeypatch.chdir(tmp_path)
    started = session()
    yield started
    started.stop()


@pytest.mark.slow
def test_spark_trains_what_memory_trains(tmp_path: Path, spark):
    """One worker gives the same trees; two give the same booster each time, near the one of memory."""
    from tasks.families.xgboost.spark import fit_spark

    own = {"rounds": 8, "patience": 4, "max_depth": 3, "learning_rate": 0.4, "colsample_bytree": 0.7}
    for kind in ("binary", "regression"):
        folder = problem(tmp_path / kind, kind, times=8)
        rows = read_rows(folder)
        classes = len(rows.classes)
        setup = Setup(kind, classes, rows.kinds, seed=3)
        whole = fit_family("xgboost", own, rows.fold, setup)
        encoder, made = encode_to(tmp_path / kind, outline(folder), list(rows.kinds), setup)
        coded, test = types(encoder.coded, made["train"].width, {}), made["test"].part(0, made["test"].rows)
        expected = whole.fitted.predict(test)

        fitted = partial(fit_spark, own, setup, coded, made, spark=spark)
        two = fitted(workers=2)
        scale = float(np.std(expected)) if kind == "regression" else 1.0
        assert np.abs(two.predict(test) - expected).mean() < 0.02 * scale
        if kind == "binary":
            assert bytes(two.booster.save_raw("ubj")) == bytes(fitted(workers=2).booster.save_raw("ubj"))
            alone = fitted(workers=1)
            assert np.array_equal(alone.predict(test), expected)
            assert alone.history["valid_loss"] == pytest.approx(whole.history["valid_loss"], rel=1e-6)
        save_model(Model("xgboost", kind, classes, encoder, two, params=own), tmp_path / kind / "model")
        assert np.array_equal(load_model(tmp_path / kind / "model").predict(rows.of("test")[0]), two.predict(test))


@pytest.mark.slow
def test_where_spark_makes_the_features_it_trains(tmp_path: Path, spark):
    folder = problem(tmp_path, "multiclass", times=4)
    rows = read_rows(folder)
    own = params(tmp_path, "multiclass", "{calibration: sigmoid, imbalance: class_weight}", engine="spark")
    lines: list[str] = []
    found = fit_large("xgboost", {"rounds": 10}, list(rows.kinds), own, lines.append, session, folder)
    assert found is not None
    assert "are trained by Spark" in lines[0]
    chosen = np.isin(rows.split, ("valid", "test"))
    assert np.array_equal(found.row, rows.row[chosen])
    assert np.array_equal(found.scores, found.model.predict(rows.frame[chosen]))
    assert measure("accuracy", rows.of("test")[1], found.scores[found.split == "test"], "multiclass") > 0.9
    assert not list((tmp_path / ".refit").iterdir())
