"""Smaller forms of a trained network: pruned, int8, or both; measured, and one of them chosen."""

from __future__ import annotations

import copy
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn.utils import prune

from tasks.families._base import Fitted, Job
from tasks.families._compress_layers import to_int8
from tasks.families._net import Net

TUNE_EPOCHS, TUNE_RATE = 3, 0.2  # after pruning: epochs, and the share of the first learning rate


@dataclass(frozen=True)
class Variant:
    """One form of a network: its kilobytes on disk, and its value of the problem's metric on validation rows."""

    name: str
    net: Net
    size_kb: float
    metric: float


def chosen(
    fitted: Fitted,
    params: dict[str, Any],
    job: Job,
    how: Mapping[str, Any],
    scores: Callable[[Fitted], np.ndarray],
) -> tuple[Fitted, list[dict[str, Any]]]:
    """The form of a network to keep, and the table of all forms.

    ``how`` has ``prune``, ``quantise``, ``tolerance`` (see ``training.compression`` of params), ``measure``, which
    gives the metric of scores of the validation rows, and ``higher``, whether more of it is better; ``scores``
    gives a form's scores of these rows. A row of the table is ``{"variant", "size_kb", "metric", "used",
    "row_ms"}``, the last one measured here and now.
    """
    assert isinstance(fitted, Net)
    measure = how["measure"]
    found = variants(
        fitted, params, job, how["prune"], bool(how["quantise"]), lambda form: float(measure(scores(form)))
    )
    best = smallest(found, bool(how["higher"]), float(how["tolerance"]))
    table = [
        {
            "variant": form.name,
            "size_kb": form.size_kb,
            "metric": form.metric if np.isfinite(form.metric) else None,
            "used": form is best,
            "row_ms": row_ms(form.net, job.X_valid),
        }
        for form in found
    ]
    return best.net, table


def variants(
    net: Net,
    params: dict[str, Any],
    job: Job,
    share: float | None,
    int8: bool,
    score: Callable[[Net], float],
) -> list[Variant]:
    """The network as it is and its smaller forms, the largest first.

    ``params`` and ``job`` are those it was trained with; ``share`` of its weights are pruned (None: no
    pruning); ``score`` gives a form's metric.
    """
    found = {"full": net}
    if share is not None:
        found["pruned"] = pruned(net, params, job, share)
    if int8:
        found |= {"int8" if name == "full" else f"{name}+int8": quantised(form) for name, form in found.items()}
    out = [Variant(name, form, size_kb(form), score(form)) for name, form in found.items()]
    return sorted(out, key=lambda v: -v.size_kb)


def smallest(found: list[Variant], higher: bool, tolerance: float) -> Variant:
    """The smallest form whose metric (``higher``: more is better) is at most the share ``tolerance`` worse."""
    full = next(v for v in found if v.name == "full")
    sign = 1.0 if higher else -1.0
    floor = sign * full.metric - tolerance * abs(full.metric)
    return min((v for v in found if v is full or sign * v.metric >= floor), key=lambda v: v.size_kb)


def quantised(net: Net) -> Net:
    """The network with int8 hidden layers; its last layer is small, and carries the score's precision."""
    network = copy.deepcopy(net.network)
    to_int8(network.body)
    return _like(net, network)


def pruned(net: Net, params: dict[str, Any], job: Job, share: float) -> Net:
    """The network with its smallest hidden weights set to zero, and the others trained for a few epochs more.

    Magnitude pruning over all hidden layers together (Han et al., 2015).
    """
    from tasks.families._net_train import DEFAULTS, Trainer

    gentle = {"lr": params.get("lr", DEFAULTS["lr"]) * TUNE_RATE, "epochs": TUNE_EPOCHS, "schedule": "cosine"}
    plain = {"find_lr": False, "compile": False, "checkpoint": None}
    trainer = Trainer(params | gentle | plain, replace(job, watch=None))
    network = trainer.network
    network.load_state_dict(net.network.state_dict())
    layers = [layer for layer in network.body if isinstance(layer, nn.Linear)]
    # The weights stay the same parameters under another name, so the optimiser still has them.
    prune.global_unstructured([(layer, "weight") for layer in layers], prune.L1Unstructured, amount=share)
    trainer.best, trainer.best_state = trainer.valid_loss(), trainer._weights()
    trainer.run()
    with torch.no_grad():
        for layer in layers:
            prune.remove(layer, "weight")
            layer.weight += 0.0  # a pruned negative weight is -0.0, and would not come back from disk
    return _like(net, network)


def size_kb(net: Net) -> float:
    """Kilobytes (1,000 bytes) of the stored form."""
    with tempfile.TemporaryDirectory() as folder:
        net.save(Path(folder))
        return sum(p.stat().st_size for p in Path(folder).iterdir()) / 1000


def row_ms(net: Net, Z: np.ndarray, times: int = 200) -> float:
    """Median milliseconds of one row's score, over ``times`` rows of ``Z`` ``(n, p)``."""
    spent = []
    for i in range(times + 10):  # the first ten warm up
        row = Z[i % len(Z)][None]
        start = time.perf_counter()
        net.predict(row)
        spent.append(time.perf_counter() - start)
    return float(np.median(spent[10:])) * 1000


def _like(net: Net, network: Any) -> Net:
    out = Net(network, net.kind, net.center, net.spread)
    out.history, out.notes = net.history, dict(net.notes)
    return out
