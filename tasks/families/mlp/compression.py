"""Smaller forms of a trained network: batch norm folded in, units removed, int8, or all of it; one of them is chosen.

What a form takes is counted and not timed (bytes in memory, multiplications), so that the choice repeats itself on
every machine. Each step is one that makes a network both smaller and quicker, or it is not taken.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn

from tasks.artifacts import NetworkForm
from tasks.families.mlp.int8 import Int8Linear, int8_layers, to_int8
from tasks.families.mlp.network import Net, Network
from tasks.fitting.base import Compress, Fitted, Job
from tasks.fitting.measured import kilobytes, milliseconds
from tasks.fitting.space import Settings, as_float

if TYPE_CHECKING:
    from tasks.families.mlp.training import Trainer

TUNE_EPOCHS, TUNE_RATE = 3, 0.2  # after pruning: epochs, and the share of the first learning rate
IDLE = (nn.Dropout, nn.AlphaDropout)  # after training
JUDGED = 20_000  # training rows, evenly spread, that say which units matter


@dataclass(frozen=True)
class Variant:
    """One form of a network.

    ``size_kb`` and ``memory_kb`` are kilobytes (1,000 bytes) on disk and of its numbers in memory, ``multiply_adds``
    what a row takes, ``metric`` the problem's metric of its scores of the validation rows.
    """

    name: str
    net: Net
    size_kb: float
    memory_kb: float
    multiply_adds: int
    metric: float


def chosen(
    fitted: Fitted,
    params: Settings,
    job: Job,
    how: Compress,
    scores: Callable[[Fitted], np.ndarray],
) -> tuple[Fitted, list[NetworkForm], dict[str, float]]:
    """As :meth:`tasks.fitting.base.Compresses.smaller`."""
    assert isinstance(fitted, Net)
    found, left_out = variants(
        fitted, params, job, how.prune, how.quantise, lambda form: as_float(how.measure(scores(form)))
    )
    best = smallest(found, how.higher, how.tolerance)
    table = [
        NetworkForm(
            variant=form.name,
            size_kb=form.size_kb,
            memory_kb=form.memory_kb,
            multiply_adds=form.multiply_adds,
            metric=form.metric if np.isfinite(form.metric) else None,
            used=form is best,
            why="",
        )
        for form in found
    ]
    nothing = dict.fromkeys(("size_kb", "memory_kb", "multiply_adds", "metric"))
    table += [NetworkForm(variant=name, **nothing, used=False, why=why) for name, why in left_out.items()]
    return best.net, table, {form.name: row_ms(form.net, job.X_valid) for form in found}


def variants(
    net: Net,
    params: Settings,
    job: Job,
    share: float | None,
    int8: bool,
    score: Callable[[Net], float],
) -> tuple[list[Variant], dict[str, str]]:
    """The network as it is and its smaller forms, the largest first; and why others were not made.

    ``params`` and ``job`` are those it was trained with; ``share`` of each hidden layer's units are removed (None:
    none); ``score`` gives a form's metric.
    """
    found, left_out = {"full": net}, {}
    plain = folded(net)
    if plain is not None:
        found["folded"] = plain
    if share is not None:
        if kept(net.network.shape["layers"], share) != net.network.shape["layers"]:
            found["pruned"] = pruned(net, params, job, share)
        else:
            left_out["pruned"] = f"{share:g} of so few units is less than one in every layer"
    if int8:
        for name, form in (("int8", plain or net), ("pruned+int8", found.get("pruned"))):
            if form is None:
                continue
            if int8_layers(form.network.body):
                found[name] = quantised(form)
            else:
                left_out[name] = "no hidden layer is large enough to be quicker with 8-bit integers"
    out = [
        Variant(name, form, kilobytes(form.save), memory_kb(form), multiply_adds(form), score(form))
        for name, form in found.items()
    ]
    return sorted(out, key=lambda v: -v.memory_kb), left_out


def smallest(found: list[Variant], higher: bool, tolerance: float) -> Variant:
    """The form that takes the least memory among those whose metric is at most the share ``tolerance`` worse.

    ``higher``: more of the metric is better.
    """
    full = next(v for v in found if v.name == "full")
    sign = 1.0 if higher else -1.0
    floor = sign * full.metric - tolerance * abs(full.metric)
    return min((v for v in found if v is full or sign * v.metric >= floor), key=lambda v: v.memory_kb)


def folded(net: Net) -> Net | None:
    """The same function without layers that only training needs; None where there are none.

    Batch norm after training multiplies each unit by a constant and adds another, so both can be put into the layer
    before it; dropout does nothing any more. Scores differ by rounding alone.
    """
    shape = net.network.shape
    if not shape["batch_norm"] and not shape["dropout"]:
        return None
    network = Network({**shape, "batch_norm": False, "dropout": 0.0})
    state, at = _outside(net.network), 0
    for layer in net.network.body:
        if isinstance(layer, nn.Linear):
            weight, bias = layer.weight.detach().double(), layer.bias.detach().double()
        elif isinstance(layer, nn.BatchNorm1d):
            assert layer.running_var is not None
            assert layer.running_mean is not None
            factor = layer.weight.detach().double() / (layer.running_var.double() + layer.eps).sqrt()
            weight = weight * factor[:, None]
            bias = (bias - layer.running_mean.double()) * factor + layer.bias.detach().double()
        elif not isinstance(layer, IDLE):  # the activation ends what belongs to one hidden layer
            state |= {f"body.{at}.weight": weight.float(), f"body.{at}.bias": bias.float()}
            state |= {f"body.{at + 1}.{key}": value.clone() for key, value in layer.state_dict().items()}
            at += 2
    network.load_state_dict(state)
    return _like(net, network)


def quantised(net: Net) -> Net:
    """The network with int8 hidden layers, where they are large enough (:func:`int8_layers`)."""
    network = copy.deepcopy(net.network)
    to_int8(network.body, int8_layers(network.body))
    return _like(net, network)


def kept(layers: list[int], share: float) -> list[int]:
    """Units that stay of each hidden layer when ``share`` of them are removed; at least one.

    >>> kept([128, 3, 1], 0.5)
    [64, 2, 1]
    """
    return [max(1, round(units * (1.0 - share))) for units in layers]


def pruned(net: Net, params: Settings, job: Job, share: float) -> Net:
    """The network without the units that matter least, trained for a few epochs more, and :func:`folded`.

    A removed unit leaves its mean output behind, as a constant of the next layer. So its importance is the mean over
    training rows of ``((h - mean h) dL/dh)^2``, which is to first order what that changes of a row's loss, squared
    (Molchanov et al., 2019, where a unit is removed without a trace, have ``h dL/dh``).
    """
    from tasks.families.mlp.training import DEFAULTS, Trainer

    rate = as_float(params.get("lr", DEFAULTS["lr"])) * TUNE_RATE
    gentle: Settings = {"lr": rate, "epochs": TUNE_EPOCHS, "schedule": "cosine", "find_lr": False, "compile": False}
    quiet = replace(job, watch=None)
    whole = Trainer(params | gentle, quiet)
    whole.network.load_state_dict(net.network.state_dict())
    matter, means = importance(whole)
    counts = kept(net.network.shape["layers"], share)
    stay = [torch.topk(m, k).indices.sort().values for m, k in zip(matter, counts, strict=True)]
    trainer = Trainer({**params, **gentle, "layers": [*counts]}, quiet)
    trainer.network.load_state_dict(_without(whole.network, stay, means))
    trainer.best, trainer.best_state = trainer.valid_loss(), trainer._weights()
    form = trainer.run()
    form = _like(net, form.network)
    return folded(form) or form


def importance(trainer: Trainer) -> tuple[list[Tensor], list[Tensor]]:
    """Importance (see :func:`pruned`) and mean output of each hidden layer's units, over training rows."""
    network = trainer.network.eval()
    outputs: list[Tensor] = []

    def keep(layer: nn.Module, given: tuple[Tensor, ...], output: Tensor) -> None:
        if output.requires_grad:
            output.retain_grad()
        outputs.append(output)

    ends = [m for m in network.body if not isinstance(m, (nn.Linear, nn.BatchNorm1d, *IDLE))]
    hooks = [layer.register_forward_hook(keep) for layer in ends]
    rows = torch.linspace(0, len(trainer.X) - 1, min(JUDGED, len(trainer.X))).round().long().to(trainer.device)
    means = [torch.zeros(units, device=trainer.device) for units in network.shape["layers"]]
    matter = [torch.zeros_like(mean) for mean in means]
    with torch.no_grad():
        for batch in rows.split(4096):
            outputs.clear()
            network(trainer.X[batch])
            for mean, output in zip(means, outputs, strict=True):
                mean += output.sum(0) / len(rows)
    for batch in rows.split(4096):
        outputs.clear()
        margin, hidden = network(trainer.X[batch])
        losses = trainer.judge(margin, hidden, trainer.y[batch])
        # A row's loss depends on its own row alone here, so one pass gives each row's own slope.
        (losses if trainer.weight is None else losses * trainer.weight[batch]).sum().backward()
        for most, mean, output in zip(matter, means, outputs, strict=True):
            assert output.grad is not None
            most += ((output.detach() - mean) * output.grad).square().sum(0)
    for hook in hooks:
        hook.remove()
    network.zero_grad(set_to_none=True)
    return matter, means


def _without(network: Network, stay: list[Tensor], means: list[Tensor]) -> dict[str, Tensor]:
    """The weights of ``network`` with the units ``stay`` of each hidden layer alone."""
    state = _outside(network)
    before: Tensor | None = None  # units that stay of the layer before
    mean: Tensor | None = None

    def put(name: str, layer: nn.Linear, units: Tensor | slice) -> None:
        weight, bias = layer.weight.detach(), layer.bias.detach()
        if before is not None and mean is not None:
            gone = torch.ones_like(mean)
            gone[before] = 0.0
            bias = bias + weight @ (mean * gone)
            weight = weight[:, before]
        state[f"{name}.weight"], state[f"{name}.bias"] = weight[units].clone(), bias[units].clone()

    number = -1
    for at, layer in enumerate(network.body):
        if isinstance(layer, nn.Linear):
            number += 1
            put(f"body.{at}", layer, stay[number])
            before, mean = stay[number], means[number]
        elif isinstance(layer, nn.BatchNorm1d):
            for key, value in layer.state_dict().items():
                state[f"body.{at}.{key}"] = value[stay[number]].clone() if value.ndim else value.clone()
        else:  # an activation may have learnt a number for the whole layer
            state |= {f"body.{at}.{key}": value.clone() for key, value in layer.state_dict().items()}
    put("head", network.head, slice(None))
    return state


def memory_kb(net: Net) -> float:
    """Kilobytes (1,000 bytes) of the network's numbers in memory."""
    tensors = [*net.network.parameters(), *net.network.buffers()]
    return sum(t.numel() * t.element_size() for t in tensors) / 1000


def multiply_adds(net: Net) -> int:
    """Multiplications (each with its addition) that one row takes in the layers; activations are not counted."""
    total = 0
    for layer in net.network.modules():
        if isinstance(layer, (nn.Linear, Int8Linear)):
            total += layer.weight.numel()
        elif isinstance(layer, nn.BatchNorm1d):
            total += layer.num_features
    return total


def row_ms(net: Net, Z: np.ndarray, times: int = 200) -> float:
    """Median milliseconds of one row's score, over ``times`` rows of ``Z`` ``(n, p)``."""
    rows = (Z[i % len(Z)][None] for i in range(times + 10))
    return float(np.median(milliseconds(net.predict, rows, warm_up=10)))


def _outside(network: Network) -> dict[str, Tensor]:
    """The weights outside the hidden layers: embeddings and the last layer."""
    return {k: v.clone() for k, v in network.state_dict().items() if not k.startswith("body.")}


def _like(net: Net, network: Network) -> Net:
    out = Net(network, net.kind, net.center, net.spread)
    out.history, out.notes = net.history, dict(net.notes)
    return out
