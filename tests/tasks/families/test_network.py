"""The network: everything that can be named works, and a run can be stopped and resumed."""

import itertools
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from tasks.errors import RefitError
from tasks.families import find_family
from tasks.families.mlp.network import Net, Network
from tasks.families.mlp.parts import LOSSES, OPTIMIZERS, SCHEDULES, Schedule, activation
from tasks.families.mlp.training import Trainer
from tasks.fitting.activations import ACROSS, ACTIVATIONS
from tasks.fitting.base import Job
from tasks.fitting.space import narrowed
from tasks.kinds import kinds_of
from tasks.metrics import measure
from tasks.models import check_models
from tasks.params import parse
from tests.tasks.package.projects import plain


def job(kind: str = "binary", rows: int = 600, seed: int = 0) -> Job:
    rng = np.random.default_rng(seed)
    X = np.column_stack([rng.normal(size=(rows, 4)), rng.integers(0, 4, rows)])
    signal = X[:, 0] - X[:, 1] + (X[:, 4] == 2) * 2
    y = {
        "regression": signal * 50 + 300,
        "binary": (signal > 0).astype(float),
        "multiclass": np.digitize(signal, [-0.7, 1.0]).astype(float),
    }[kind]
    cut = rows * 2 // 3
    return Job(kind, 3 if kind == "multiclass" else 2, X[:cut], y[:cut], X[cut:], y[cut:], coded={4: 4}, seed=seed)


SMALL = {"layers": 1, "width": 16, "epochs": 6, "batch_size": 32, "lr": 0.01, "dropout": 0.0}


def quality(params: dict, kind: str = "binary") -> float:
    one = job(kind)
    scores = Trainer(SMALL | params, one).run().predict(one.X_valid)
    return measure("r2" if kind == "regression" else "accuracy", one.y_valid, scores, kind)


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_each_activation_learns_and_answers_the_same_bits_from_disk_and_row_by_row(name: str, tmp_path: Path):
    one = job()
    net = Trainer(SMALL | {"activation": name}, one).run()
    scores = net.predict(one.X_valid)
    assert measure("accuracy", one.y_valid, scores, "binary") > (0.65 if name in ACROSS else 0.75)
    net.save(tmp_path)
    loaded = Net.load(tmp_path, "binary", 2)
    assert np.array_equal(loaded.predict(one.X_valid), scores)
    assert np.array_equal(loaded.predict(one.X_valid[[5]]), scores[[5]])


def test_no_activation_of_torch_is_left_out_without_a_reason():
    left_out = {"Threshold", "GLU", "Softmax2d", "MultiheadAttention"}  # see _activations
    assert set(ACTIVATIONS.values()) | left_out == set(torch.nn.modules.activation.__all__)
    z = torch.linspace(-3, 3, 7)
    exact = {
        "gelu": z * (1 + torch.erf(z / 2**0.5)) / 2,
        "silu": z / (1 + torch.exp(-z)),
        "mish": z * torch.tanh(torch.log1p(torch.exp(z))),
        "elu": torch.where(z > 0, z, torch.exp(z) - 1),
        "hardswish": z * (z + 3).clamp(0, 6) / 6,
        "softplus": torch.log1p(torch.exp(z)),
        "softmax": torch.exp(z) / torch.exp(z).sum(),
    }
    for name, expected in exact.items():
        torch.testing.assert_close(activation(name)(z), expected)


@pytest.mark.parametrize("name", ["selu", "relu", "tanh", "gelu", "mish", "silu"])
def test_without_batch_norm_signals_keep_their_scale_through_many_layers(name: str):
    shape = {"inputs": 64, "outputs": 1, "coded": {}, "layers": [256] * 6, "activation": name, "batch_norm": False,
             "dropout": 0.0}  # fmt: skip
    torch.manual_seed(0)
    drawn, fitted = Network(shape), Network(shape)
    fitted.fit_to_activation()
    Z = torch.randn(500, 64)
    with torch.no_grad():
        by_torch, kept = (float((network.eval()(Z)[1] ** 2).mean()) for network in (drawn, fitted))
    assert by_torch < 0.05
    assert 0.2 < kept < 5


def test_weights_are_fitted_to_the_activation_only_without_batch_norm():
    for batch_norm in (True, False):
        trainer = Trainer(SMALL | {"activation": "selu", "batch_norm": batch_norm, "dropout": 0.2}, job())
        torch.manual_seed(0)
        plain = Network(trainer.network.shape)
        same = torch.equal(plain.body[0].weight, trainer.network.body[0].weight)
        assert same == batch_norm
        assert any(isinstance(layer, torch.nn.AlphaDropout) for layer in trainer.network.body)


@pytest.mark.parametrize(
    ("family", "key", "wrong", "message"),
    [
        (
            "mlp",
            "activation",
            "rely",
            r"models\.mlp\.params\.activation: 'rely' is not one of .*'mish'.* Did you mean 'relu'",
        ),
        ("tabm", "activation", "softmax", r"models\.tabm\.params\.activation: 'softmax' is not one of .*'gelu'"),
        ("realmlp", "act", "tanh", r"models\.realmlp\.params\.act: 'tanh' is not one of 'relu', 'selu'"),
    ],
)
def test_a_wrong_activation_is_told_before_anything_runs(family: str, key: str, wrong: str, message: str):
    tree, _ = plain("binary")
    check_models(parse(tree | {"models": {family: {"params": {key: "silu"}}}}))
    with pytest.raises(RefitError, match=message):
        check_models(parse(tree | {"models": {family: {"params": {key: wrong}}}}))


def test_a_search_may_be_told_to_choose_among_any_activations():
    found = narrowed(find_family("mlp").space("binary", 100, 5), {"activation": ["mish", "selu"]}, "models.mlp.space")
    assert found["activation"].options == ("mish", "selu")
    with pytest.raises(
        RefitError, match=r"models\.mlp\.space\.activation: 'gelo' not among the options 'relu'.*'gelu'"
    ):
        narrowed(find_family("mlp").space("binary", 100, 5), {"activation": ["gelo"]}, "models.mlp.space")


@pytest.mark.parametrize(("name", "kind"), [(n, k) for n, (outputs, _) in LOSSES.items() for k in kinds_of(*outputs)])
def test_losses(name: str, kind: str):
    assert quality({"loss": name}, kind) > (0.6 if kind == "multiclass" else 0.75)


def test_the_focal_loss_counts_rows_that_are_right_already_by_their_error_squared():
    y = torch.tensor([0.0, 1.0, 1.0])
    margins = torch.tensor([[-2.0], [0.3], [4.0]])
    p = torch.sigmoid(torch.tensor([2.0, 0.3, 4.0]))  # of the true class
    torch.testing.assert_close(LOSSES["focal"][1](margins, margins, y), (1 - p) ** 2 * -torch.log(p))
    several = torch.tensor([[2.0, 0.0, -1.0], [0.0, 0.5, 1.0], [3.0, 3.0, 3.0]])
    p = torch.softmax(several, dim=1)[torch.arange(3), torch.tensor([0, 2, 1])]
    found = LOSSES["focal"][1](several, several, torch.tensor([0.0, 2.0, 1.0]))
    torch.testing.assert_close(found, (1 - p) ** 2 * -torch.log(p))


def test_weighted_sum_of_losses():
    assert quality({"loss": {"bce": 1.0, "triplet": 0.3, "contrastive": 0.1}}) > 0.75


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_optimizers(name: str):
    rate = {"sgd": 0.3, "momentum": 0.05, "nesterov": 0.05, "adagrad": 0.05, "lamb": 0.03}.get(name, 0.01)
    assert quality({"optimizer": name, "lr": rate}) > 0.75


@pytest.mark.parametrize("name", SCHEDULES)
def test_schedules(name: str):
    parameter = torch.nn.Parameter(torch.zeros(1))
    optimizer = torch.optim.SGD([parameter], lr=1.0)
    schedule = Schedule(optimizer, name, 0.1, 70)
    rates = []
    for step in range(70):
        rates.append(optimizer.param_groups[0]["lr"])
        schedule.step()
        if step % 10 == 9:
            schedule.epoch(1.0)
    assert max(rates) <= 0.1 + 1e-12
    assert min(rates) >= 0
    expected = {"constant": 1, "step": 3, "plateau": 3}
    assert len(set(np.round(rates, 12))) == expected.get(name, len(set(np.round(rates, 12))))
    if name == "warm_restarts":
        assert sum(b > a for a, b in itertools.pairwise(rates)) == 2
    if name == "one_cycle":
        assert 15 < int(np.argmax(rates)) < 27


def test_regularisers_shrink_weights():
    def size(**how) -> float:
        net = Trainer(SMALL | how, job()).run()
        return float(sum(p.detach().abs().sum() for p in net.network.parameters()))

    free = size(weight_decay=0.0)
    assert size(weight_decay=0.0, l1=0.01) < free
    assert size(weight_decay=2.0) < free


def test_rate_finder_and_noise():
    net = Trainer(SMALL | {"find_lr": True, "noise": 0.1}, job()).run()
    assert 1e-5 <= net.notes["learning_rate"] <= 0.1


def test_best_weights_are_restored_and_patience_ends_training():
    one = job()
    trainer = Trainer(SMALL | {"epochs": 200, "patience": 3, "lr": 0.05}, one)
    net = trainer.run()
    losses = net.history["valid_loss"]
    assert len(losses) < 200
    assert net.notes["epochs"] == int(np.argmin(losses)) + 1
    assert len(losses) == net.notes["epochs"] + 3
    assert abs(trainer.valid_loss() - min(losses)) < 1e-6


@pytest.mark.parametrize("optimizer", ["adamw", "lookahead", "lamb", "momentum"])
def test_resumed_training_equals_undisturbed(tmp_path: Path, optimizer: str):
    how = SMALL | {"optimizer": optimizer, "epochs": 5, "dropout": 0.2, "noise": 0.05}
    whole = Trainer(how, job()).run()

    path = tmp_path / "state.safetensors"
    first = Trainer(how, job())
    for _ in range(3):
        first.epoch()
    first.save(path)
    second = Trainer(how, job())
    assert second.resume(path)
    second.steer()
    resumed = second.run()
    assert resumed.history == whole.history
    X = job().X_valid
    assert np.array_equal(resumed.predict(X), whole.predict(X))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU on this machine")
def test_gpu_path_compiles_and_halves():
    one = replace(job(), device="cuda")
    scores = Trainer(SMALL | {"compile": True}, one).run().predict(one.X_valid)
    assert measure("accuracy", one.y_valid, scores, "binary") > 0.75


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"optimiser": "adam"}, "models.mlp.params.optimiser: unknown.*Did you mean 'optimizer'"),
        ({"activation": "rely"}, "models.mlp.params.activation: 'rely'.*Did you mean 'relu'"),
        ({"loss": "mse"}, "'mse' serves 'regression', and the problem is binary"),
        ({"schedule": "cosinus"}, "Did you mean 'cosine'"),
        ({"precision": "half"}, "models.mlp.params.precision"),
    ],
)
def test_mistakes_are_named(params: dict, message: str):
    with pytest.raises(RefitError, match=message):
        Trainer(params, job())
