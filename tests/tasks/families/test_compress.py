"""Compressed networks: smaller on disk, equal after loading, and the rule that picks one of them."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from tasks.errors import RefitError
from tasks.families.mlp.compression import Variant, folded, pruned, quantised, smallest, variants
from tasks.families.mlp.int8 import Int8Linear
from tasks.families.mlp.network import Net
from tasks.families.mlp.training import Trainer
from tasks.files import hash_tree, read_json, write_json
from tasks.fitting.base import Compress
from tasks.fitting.measured import kilobytes
from tasks.fitting.rows import read_rows
from tasks.fitting.setup import Setup
from tasks.metrics import measure
from tasks.models import fit_family, load_model, save_model
from tests.samples import features_folder
from tests.tasks.families.test_network import job

METRIC = {"binary": "roc_auc", "multiclass": "log_loss", "regression": "r2"}
HOW = {"layers": 2, "width": 96, "epochs": 5, "batch_size": 32, "lr": 0.01}


@pytest.mark.parametrize("kind", METRIC)
def test_forms_are_smaller_and_take_less_work_and_are_nearly_as_good(tmp_path: Path, kind: str, small_layers: None):
    one = job(kind, 1200)
    net = Trainer(HOW, one).run()

    def score(form: Net) -> float:
        return measure(METRIC[kind], one.y_valid, form.predict(one.X_valid), kind)

    forms, left_out = variants(net, HOW, one, 0.5, True, score)
    found = {v.name: v for v in forms}
    assert not left_out
    assert sorted(found) == ["folded", "full", "int8", "pruned", "pruned+int8"]
    full, half = found["full"], found["pruned"]
    assert found["folded"].multiply_adds == full.multiply_adds - 2 * 96  # a batch norm's, two layers
    # Half of the units: a quarter of the weights between hidden layers, half of the others.
    assert half.net.network.shape["layers"] == [48, 48]
    assert half.multiply_adds < 0.4 * full.multiply_adds
    assert half.memory_kb < 0.4 * full.memory_kb
    assert found["int8"].memory_kb < 0.4 * full.memory_kb
    assert found["pruned+int8"].memory_kb < 0.5 * found["int8"].memory_kb
    assert all(abs(v.metric - full.metric) < 0.1 for v in found.values())
    for name, form in found.items():
        folder = tmp_path / name
        folder.mkdir()
        form.net.save(folder)
        loaded = Net.load(folder, kind, one.classes)
        assert loaded.predict(one.X_valid).tobytes() == form.net.predict(one.X_valid).tobytes()
        again = tmp_path / f"{name} again"
        again.mkdir()
        loaded.save(again)
        assert hash_tree(folder) == hash_tree(again)


@pytest.fixture
def small_layers(monkeypatch):
    """Layers of tests count as large enough for 8-bit integers."""
    monkeypatch.setattr("tasks.families.mlp.int8.LEAST", 200)


@pytest.mark.parametrize(("activation", "layer"), [("tanh", "Tanh"), ("prelu", "PReLU"), ("selu", "SELU")])
def test_folding_changes_no_score_but_by_rounding(activation: str, layer: str):
    one = job("multiclass", 600)
    how = HOW | {"dropout": 0.2, "activation": activation, "epochs": 2}
    net = Trainer(how, one).run()
    form = folded(net)
    assert [type(layer).__name__ for layer in form.network.body] == ["Linear", layer] * 2
    assert pruned(net, how, one, 0.5).network.shape["layers"] == [48, 48]
    assert np.abs(form.predict(one.X_valid) - net.predict(one.X_valid)).max() < 1e-5
    assert folded(form) is None
    assert folded(Trainer(HOW | {"batch_norm": False, "dropout": 0.0, "epochs": 1}, one).run()) is None


def test_what_is_not_made_says_why():
    one = job("binary")
    how = {"layers": 1, "width": 2, "epochs": 1, "batch_size": 32}
    forms, left_out = variants(Trainer(how, one).run(), how, one, 0.1, True, lambda form: 0.5)
    assert [form.name for form in forms] == ["full", "folded"]
    assert left_out == {
        "pruned": "0.1 of so few units is less than one in every layer",
        "int8": "no hidden layer is large enough to be quicker with 8-bit integers",
    }


def test_pruning_takes_units_and_leaves_the_network_as_it_was():
    one = job("binary")
    how = HOW | {"layers": [40, 10]}
    net = Trainer(how, one).run()
    before = net.predict(one.X_valid)
    form = pruned(net, how, one, 0.7)
    assert [tuple(m.weight.shape) for m in form.network.body if isinstance(m, nn.Linear)] == [(12, 6), (3, 12)]
    assert np.array_equal(net.predict(one.X_valid), before)
    again = pruned(net, how, one, 0.7)
    assert np.array_equal(again.predict(one.X_valid), form.predict(one.X_valid))


def test_units_that_say_nothing_are_the_ones_that_go():
    one = replace(job("binary"), deadline=0.0)  # no time for training: what is left is what was removed
    how = {"layers": 2, "width": 8, "batch_norm": False, "dropout": 0.0, "epochs": 1, "lr": 1e-9, "weight_decay": 0.0}
    net = Trainer(how, one).run()
    with torch.no_grad():
        first, second = (layer for layer in net.network.body if isinstance(layer, nn.Linear))
        first.weight[::2] = 0.0  # constants, whose constant must go into the next layer
        second.weight[1::2] = 0.0
        second.bias[1::2] = -3.0
        net.network.head.weight[:, 1::2] = 0.0  # heard by nobody
    form = pruned(net, how, one, 0.5)
    assert form.network.shape["layers"] == [4, 4]
    assert np.abs(form.predict(one.X_valid) - net.predict(one.X_valid)).max() < 1e-4


def test_training_on_mends_what_pruning_broke():
    one = job("binary", 1200)
    net = Trainer(HOW, one).run()

    def loss(form: Net) -> float:
        return measure("log_loss", one.y_valid, form.predict(one.X_valid), "binary")

    cut = pruned(net, HOW, replace(one, deadline=0.0), 0.95)  # no time left: a step, and out
    assert loss(pruned(net, HOW, one, 0.95)) < loss(cut)


def test_int8_layer_is_near_and_does_not_look_at_other_rows():
    torch.manual_seed(0)
    linear = nn.Linear(37, 5)
    layer = Int8Linear.of(linear)
    x = torch.randn(64, 37) * torch.logspace(-2, 2, 64)[:, None]
    with torch.inference_mode():
        near, exact = layer(x), linear(x)
        # Two roundings of at most half a step each, over 37 products.
        bound = 37 * (x.abs().amax(1, keepdim=True) * linear.weight.abs().amax(1)) / 127 + 1e-6
        assert ((near - exact).abs() <= bound).all()
        assert torch.equal(near[[7]], layer(x[[7]]))
        assert torch.equal(layer(torch.zeros(2, 37)), linear.bias.expand(2, 5))


def test_networks_of_older_packages_are_read(tmp_path: Path, small_layers: None):
    """They may hold a bitmap and the values that are not zero, and int8 in every layer."""
    from safetensors.torch import load_file, save_file

    net = quantised(folded(Trainer(HOW | {"epochs": 1}, job()).run()))
    net.save(tmp_path)
    state, about = load_file(tmp_path / "network.safetensors"), read_json(tmp_path / "network.json")
    weight = state["body.2.weight"]
    weight[:, ::3] = 0
    net.network.body[2].weight.copy_(weight)
    bits = np.packbits((weight != 0).flatten().numpy(), bitorder="little")
    state |= {"body.2.weight.bits": torch.from_numpy(bits), "body.2.weight.values": weight[weight != 0]}
    del state["body.2.weight"]
    save_file(state, tmp_path / "network.safetensors")
    write_json(tmp_path / "network.json", about | {"int8": True, "packed": {"body.2.weight": list(weight.shape)}})
    X = job().X_valid
    assert Net.load(tmp_path, "binary", 2).predict(X).tobytes() == net.predict(X).tobytes()
    state["body.2.weight.values"] = state["body.2.weight.values"][:-1]
    save_file(state, tmp_path / "network.safetensors")
    with pytest.raises(ValueError, match=r"body.2.weight: \d+ values for \d+ bits"):
        Net.load(tmp_path, "binary", 2)


def test_the_smallest_within_the_tolerance_is_kept():
    net = Trainer(HOW | {"epochs": 1}, job()).run()
    sizes = {"full": (100.0, 0.800), "pruned": (60.0, 0.797), "int8": (30.0, 0.790)}
    found = [Variant(name, net, 1.0, size, 1, value) for name, (size, value) in sizes.items()]
    assert smallest(found, True, 0.0).name == "full"
    assert smallest(found, True, 0.005).name == "pruned"
    assert smallest(found, True, 0.02).name == "int8"
    assert smallest(found, False, 0.0).name == "int8"  # lower is better: both are


def test_a_family_is_compressed_in_training_and_stored_so(tmp_path: Path, small_layers: None):
    rows = read_rows(features_folder(tmp_path, "binary"))
    X, y = rows.of("valid")
    how = Compress(0.5, True, 0.5, measure=lambda scores: measure("roc_auc", y, scores, "binary"), higher=True)

    def fit(family: str, compression: Compress | None):
        params = {"epochs": 2, "batch_size": 64} if family == "mlp" else {}
        return fit_family(family, params, rows.fold, Setup("binary", columns=rows.kinds, calibration="sigmoid"), compression=compression)  # fmt: skip

    whole, small = fit("mlp", None), fit("mlp", how)
    assert [f.variant for f in small.forms if f.used] == ["pruned+int8"]
    X_row = small.encoder.transform(X.iloc[:1])
    assert small.fitted.predict(X_row).tobytes() == small.fitted.predict(small.encoder.transform(X))[:1].tobytes()
    assert all(ms > 0 for ms in small.row_ms.values())
    kept = next(f for f in small.forms if f.used)
    assert kept.metric == measure("roc_auc", y, small.predict(X), "binary")
    save_model(whole, tmp_path / "whole")
    save_model(small, tmp_path / "small")
    assert size(tmp_path / "small") < 0.5 * size(tmp_path / "whole")
    loaded = load_model(tmp_path / "small")
    assert loaded.predict(X).tobytes() == small.predict(X).tobytes()
    assert kilobytes(loaded.fitted.save) == kept.size_kb
    save_model(fit("mlp", how), tmp_path / "again")
    assert hash_tree(tmp_path / "again") == hash_tree(tmp_path / "small")
    with pytest.raises(RefitError, match=r"training\.compression: logistic has no smaller form"):
        fit("logistic", how)
    (tmp_path / "small/network.safetensors").write_bytes(b"{}")
    with pytest.raises(RefitError, match="damaged"):
        load_model(tmp_path / "small")


def size(folder: Path) -> int:
    return (folder / "network.safetensors").stat().st_size


def test_quantising_twice_changes_nothing(small_layers: None):
    net = quantised(Trainer(HOW | {"epochs": 1}, job()).run())
    assert any(isinstance(layer, Int8Linear) for layer in net.network.body)
    X = job().X_valid
    assert np.array_equal(quantised(net).predict(X), net.predict(X))
