"""Compressed networks: smaller on disk, equal after loading, and the rule that picks one of them."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from tasks.errors import RefitError
from tasks.families import fit_family, load_model, read_rows, save_model
from tasks.families._compress import Variant, pruned, quantised, size_kb, smallest, variants
from tasks.families._compress_layers import Int8Linear, packed, unpacked
from tasks.families._net import Net
from tasks.families._net_train import Trainer
from tasks.files import hash_tree
from tasks.metrics import measure
from tests.samples import features_folder
from tests.tasks.families.test_network import job

METRIC = {"binary": "roc_auc", "multiclass": "log_loss", "regression": "r2"}
HOW = {"layers": 2, "width": 96, "epochs": 5, "batch_size": 32, "lr": 0.01}


@pytest.mark.parametrize("kind", METRIC)
def test_forms_are_smaller_and_nearly_as_good(tmp_path: Path, kind: str):
    one = job(kind, 1200)
    net = Trainer(HOW, one).run()

    def score(form: Net) -> float:
        return measure(METRIC[kind], one.y_valid, form.predict(one.X_valid), kind)

    found = {v.name: v for v in variants(net, HOW, one, 0.5, True, score)}
    assert list(found) == ["full", "pruned", "int8", "pruned+int8"]
    full = found["full"].size_kb
    # Half of the values and a bit for each; a quarter of the bytes; both.
    assert found["pruned"].size_kb < 0.62 * full
    assert found["int8"].size_kb < 0.4 * full
    assert found["pruned+int8"].size_kb < 0.85 * found["int8"].size_kb
    assert all(abs(v.metric - found["full"].metric) < 0.1 for v in found.values())
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


def test_pruning_takes_the_share_and_leaves_the_network_as_it_was():
    one = job("binary")
    net = Trainer(HOW, one).run()
    before = net.predict(one.X_valid)
    form = pruned(net, HOW, one, 0.7)
    weights = torch.cat([layer.weight.flatten() for layer in form.network.body if isinstance(layer, nn.Linear)])
    assert abs(float((weights == 0).float().mean()) - 0.7) < 0.001
    assert np.array_equal(net.predict(one.X_valid), before)
    again = pruned(net, HOW, one, 0.7)
    assert np.array_equal(again.predict(one.X_valid), form.predict(one.X_valid))


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


def test_packing_is_exact_and_damage_is_named(tmp_path: Path):
    rng = np.random.default_rng(0)
    for dtype in (torch.float32, torch.int8):
        state = {
            "half": torch.from_numpy(rng.integers(-5, 6, (13, 11)) * (rng.random((13, 11)) < 0.5)).to(dtype),
            "zero": torch.zeros(3, 5, dtype=dtype),
            "full": torch.ones(4, 4, dtype=dtype),
            "flat": torch.zeros(9, dtype=dtype),
        }
        tensors, shapes = packed(state)
        assert set(shapes) == {"half", "zero"}
        back = unpacked(tensors, shapes)
        assert set(back) == set(state)
        assert all(torch.equal(back[k], v) and back[k].dtype == v.dtype for k, v in state.items())
    tensors["half.values"] = tensors["half.values"][:-1]
    with pytest.raises(ValueError, match=r"half: \d+ values for \d+ bits"):
        unpacked(tensors, shapes)


def test_the_smallest_within_the_tolerance_is_kept():
    net = Trainer(HOW | {"epochs": 1}, job()).run()
    sizes = {"full": (100.0, 0.800), "pruned": (60.0, 0.797), "int8": (30.0, 0.790)}
    found = [Variant(name, net, size, value) for name, (size, value) in sizes.items()]
    assert smallest(found, True, 0.0).name == "full"
    assert smallest(found, True, 0.005).name == "pruned"
    assert smallest(found, True, 0.02).name == "int8"
    assert smallest(found, False, 0.0).name == "int8"  # lower is better: both are


def test_a_family_is_compressed_in_training_and_stored_so(tmp_path: Path):
    rows = read_rows(features_folder(tmp_path, "binary"))
    X, y = rows.of("valid")
    how = {"prune": 0.5, "quantise": True, "tolerance": 0.5, "higher": True}
    how["measure"] = lambda scores: measure("roc_auc", y, scores, "binary")

    def fit(family: str, compression: dict | None):
        params = {"epochs": 2, "batch_size": 64} if family == "mlp" else {}
        return fit_family(
            family, params, *rows.of("train"), *rows.of("valid"), "binary", kinds=rows.kinds,
            compression=compression, calibration="sigmoid",
        )  # fmt: skip

    whole, small = fit("mlp", None), fit("mlp", how)
    assert [f["variant"] for f in small.forms if f["used"]] == ["pruned+int8"]
    assert all(f["row_ms"] > 0 for f in small.forms)
    kept = next(f for f in small.forms if f["used"])
    assert kept["metric"] == measure("roc_auc", y, small.predict(X), "binary")
    save_model(whole, tmp_path / "whole")
    save_model(small, tmp_path / "small")
    assert size(tmp_path / "small") < 0.5 * size(tmp_path / "whole")
    loaded = load_model(tmp_path / "small")
    assert loaded.predict(X).tobytes() == small.predict(X).tobytes()
    assert size_kb(loaded.fitted) == kept["size_kb"]
    save_model(fit("mlp", how), tmp_path / "again")
    assert hash_tree(tmp_path / "again") == hash_tree(tmp_path / "small")
    assert fit("logistic", how).forms == []
    (tmp_path / "small/network.safetensors").write_bytes(b"{}")
    with pytest.raises(RefitError, match="damaged"):
        load_model(tmp_path / "small")


def size(folder: Path) -> int:
    return (folder / "network.safetensors").stat().st_size


def test_quantising_twice_changes_nothing():
    net = quantised(Trainer(HOW | {"epochs": 1}, job()).run())
    X = job().X_valid
    assert np.array_equal(quantised(net).predict(X), net.predict(X))
