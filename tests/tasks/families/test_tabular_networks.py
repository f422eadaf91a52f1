"""RealMLP and TabM through pytabkit: odd columns, early stopping, a search that stops them, and the extra missing."""

import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tasks.errors import RefitError
from tasks.families import find_family
from tasks.fitting.activations import ACTIVATIONS, ELEMENTWISE
from tasks.fitting.base import Job, Stopped
from tasks.metrics import measure
from tasks.models.formats import load_fitted
from tests.tasks.families.test_network import job

QUICK = {"realmlp": {"epochs": 12, "width": 32}, "tabm": {"epochs": 12, "k": 4, "width": 32, "embedding": 4}}


@pytest.fixture(params=sorted(QUICK))
def name(request: pytest.FixtureRequest) -> str:
    pytest.importorskip("pytabkit", reason="pytabkit is not installed (extra: networks)")
    return request.param


def fit(name: str, one: Job, **more):
    return find_family(name).fit(QUICK[name] | more, one)


def reloaded(fitted, one: Job, folder: Path):
    fitted.save(folder)
    return load_fitted(fitted.FORMAT, folder, one.kind, one.classes)


@pytest.mark.slow
@pytest.mark.parametrize("columns", ["numbers", "codes", "constant"])
def test_columns_of_one_sort_only(tmp_path: Path, name: str, columns: str):
    one = job("multiclass", 300)
    keep = {"numbers": [0, 1, 2, 3], "codes": [4], "constant": [0, 1, 4]}[columns]
    X, X_valid = one.X[:, keep].copy(), one.X_valid[:, keep].copy()
    if columns == "constant":
        X[:, 1] = 5.0
    coded = {keep.index(4): 4} if 4 in keep else {}
    one = replace(one, X=X, X_valid=X_valid, coded=coded)
    fitted = fit(name, one)
    scores = fitted.predict(X_valid)
    assert reloaded(fitted, one, tmp_path).predict(X_valid).tobytes() == scores.tobytes()
    assert [p.name for p in sorted(tmp_path.iterdir())] == [f"{name}.json", f"{name}.safetensors"]


@pytest.mark.slow
@pytest.mark.parametrize("family", ["mlp", "realmlp", "tabm"])
@pytest.mark.parametrize("kind", ["binary", "regression"])
def test_a_rows_score_has_the_same_bits_whatever_is_beside_it(family: str, kind: str):
    if family != "mlp":
        pytest.importorskip("pytabkit", reason="pytabkit is not installed (extra: networks)")
    one = job(kind, 400)
    fitted = find_family(family).fit(QUICK.get(family, {"epochs": 5}), one)
    whole = fitted.predict(one.X)
    alone = np.concatenate([fitted.predict(one.X[i : i + 1]) for i in range(90)])
    assert alone.tobytes() == whole[:90].tobytes()
    assert fitted.predict(one.X[7:60]).tobytes() == whole[7:60].tobytes()


@pytest.mark.slow
def test_nothing_to_learn_from_is_named(name: str):
    one = job("binary", 90)
    with pytest.raises(RefitError, match=f"models.{name}: every feature has one value"):
        fit(name, replace(one, X=np.ones_like(one.X)))


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["binary", "regression"])
def test_the_best_epoch_is_what_predicts(name: str, kind: str):
    one = job(kind, 300)
    fitted = fit(name, one, epochs=25, lr=0.1)
    losses = fitted.history["valid_loss"]
    assert fitted.notes["epochs"] == int(np.argmin(losses)) + 1
    scores = fitted.predict(one.X_valid)
    if kind == "binary":
        loss = -np.log(scores[np.arange(len(scores)), one.y_valid.astype(int)]).mean()
    elif name == "realmlp":
        loss = np.sqrt(np.mean((scores - one.y_valid) ** 2))
    else:
        loss = np.mean((scores - one.y_valid) ** 2) / one.y.std() ** 2
    assert loss == pytest.approx(min(losses), rel=1e-4)


@pytest.mark.slow
def test_a_search_can_stop_it_and_time_is_kept(name: str):
    one = job("binary", 600)
    seen: list[tuple[int, tuple[int, ...]]] = []

    def stop(step: int, predict) -> bool:
        seen.append((step, predict().shape))
        return step == 2

    with pytest.raises(Stopped, match=r"^$"):
        fit(name, replace(one, watch=stop))
    assert seen == [(1, (200, 2)), (2, (200, 2))]
    late = fit(name, replace(one, deadline=time.monotonic()), epochs=200)
    assert len(late.history["valid_loss"]) <= 1
    assert np.isfinite(late.predict(one.X_valid)).all()


@pytest.mark.slow
def test_nothing_is_left_behind(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    import torch

    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TMPDIR", str(tmp_path / "tmp"))
    (tmp_path / "tmp").mkdir()
    monkeypatch.setattr("tempfile.tempdir", None)
    fit(name, job("binary", 120))
    assert [p.name for p in tmp_path.rglob("*")] == ["tmp"]
    assert torch.is_grad_enabled()


@pytest.mark.slow
def test_gpu_path(name: str, tmp_path: Path):
    import torch

    if not torch.cuda.is_available():
        pytest.skip("no GPU on this machine")
    one = replace(job("binary"), device="cuda")
    fitted = fit(name, one)
    assert fitted.notes["device"] == "cuda"
    scores = fitted.predict(one.X_valid)
    assert measure("accuracy", one.y_valid, scores, "binary") > 0.75
    assert reloaded(fitted, one, tmp_path).predict(one.X_valid).tobytes() == scores.tobytes()


def test_a_missing_extra_is_named(monkeypatch: pytest.MonkeyPatch):
    for module in [m for m in sys.modules if m.partition(".")[0] == "pytabkit"]:
        monkeypatch.delitem(sys.modules, module)
    monkeypatch.setitem(sys.modules, "pytabkit", None)  # what Python itself does to forbid an import
    for name in QUICK:
        with pytest.raises(RefitError, match=rf"models.{name}: needs pytabkit.*Install it \(pip install "):
            fit(name, job("binary", 60))
    assert find_family("mlp").fit({"epochs": 1}, job("binary", 60)).predict(job().X_valid).shape == (200, 2)


@pytest.mark.parametrize(
    ("family", "params", "message"),
    [
        ("tabm", {"kk": 3}, "models.tabm.params.kk: unknown.*Did you mean 'k'"),
        ("realmlp", {"widths": 3}, "models.realmlp.params.widths: unknown.*Did you mean 'width'"),
        ("realmlp", {"num_emb_type": "pbl"}, "num_emb_type: 'pbl' is not one of.*Did you mean 'pbld'"),
    ],
)
def test_mistakes_are_named(family: str, params: dict, message: str):
    with pytest.raises(RefitError, match=message):
        find_family(family).fit(params, job("binary", 60))


def test_weights_of_rows():
    with pytest.raises(RefitError, match="class_weight weighs rows, and realmlp cannot"):
        find_family("realmlp").fit({}, replace(job("binary", 60), weight=np.ones(40)))


@pytest.mark.slow
def test_activations_of_tabm_and_realmlp_reach_their_layers(tmp_path: Path):
    pytest.importorskip("pytabkit", reason="pytabkit is not installed (extra: networks)")
    import torch
    from pytabkit.models.nn_models.activations import ActivationFactory

    from tasks.families import realmlp, tabm

    one = job("binary", 200)
    for name in ELEMENTWISE:
        model = tabm._model(tabm.DEFAULTS | QUICK["tabm"] | {"activation": name}, one)
        assert type(model.network.backbone.blocks[0][1]) is getattr(torch.nn, ACTIVATIONS[name])
        assert np.isfinite(model.predict(one.X_valid[:3])).all()
    for name in realmlp.ACTIVATIONS:
        ActivationFactory(act=name)._create(None)
    with pytest.raises(ValueError, match="unknown"):
        ActivationFactory(act="tanh")._create(None)
    for family, key in (("tabm", "activation"), ("realmlp", "act")):
        said = {}
        for act in ("prelu" if family == "tabm" else "gelu", "relu"):
            fitted = fit(family, one, epochs=2, **{key: act})
            said[act] = fitted.predict(one.X_valid)
            (tmp_path / f"{family}-{act}").mkdir()
            assert (
                reloaded(fitted, one, tmp_path / f"{family}-{act}").predict(one.X_valid).tobytes()
                == said[act].tobytes()
            )
        assert len({scores.tobytes() for scores in said.values()}) == 2
        with pytest.raises(RefitError, match=rf"models\.{family}\.params\.{key}: 'softmax' is not one of"):
            fit(family, one, **{key: "softmax"})
    # A package of before has no activation in its file: it was ReLU.
    old = tabm.TabM({k: v for k, v in model.shape.items() if k != "activation"}, model.bins, "binary")
    assert isinstance(old.network.backbone.blocks[0][1], torch.nn.ReLU)
