"""Training a network: one loop with early stopping, clipping, schedules, mixed precision and states to go on from."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, TypedDict, cast

import numpy as np
import torch
from torch import Tensor, nn

from tasks.errors import RefitError, nearest, some
from tasks.families.mlp.network import Net, Network, NetworkShape, margins, scores_of
from tasks.families.mlp.parts import AUXILIARY, LOSSES, OPTIMIZERS, SCHEDULES, Schedule, weighted_sum
from tasks.fitting.activations import check_activation
from tasks.fitting.base import Job
from tasks.fitting.checkpoint import Resumable
from tasks.fitting.device import choose_device
from tasks.fitting.space import Settings, as_float, as_int
from tasks.kinds import MANY, NUMBER, TWO, find_kind, kinds_of

if TYPE_CHECKING:
    from tasks.fitting.checkpoint import State

DEFAULTS: Settings = {
    "layers": 2,
    "width": 128,
    "activation": "silu",
    "dropout": 0.1,
    "batch_norm": True,
    "loss": None,
    "optimizer": "adamw",
    "lr": 2e-3,
    "weight_decay": 1e-2,
    "l1": 0.0,
    "schedule": "one_cycle",
    "epochs": 12,
    "batch_size": None,
    "patience": 4,
    "clip": 1.0,
    "noise": 0.0,
    "find_lr": False,
    "precision": "auto",
    "compile": False,
}


class How(TypedDict):
    """Settled parameters: ``layers`` are units of each hidden layer, ``loss`` weights by name."""

    layers: list[int]
    width: int
    activation: str
    dropout: float
    batch_norm: bool
    loss: dict[str, float]
    optimizer: str
    lr: float
    weight_decay: float
    l1: float
    schedule: str
    epochs: int
    batch_size: int
    patience: int
    clip: float
    noise: float
    find_lr: bool
    precision: str
    compile: bool


HEADS = {TWO: "bce", MANY: "cross_entropy", NUMBER: "mse"}


def settled(params: Settings, kind: str, rows: int) -> How:
    """Fill in defaults and check every name and value, before any work.

    Raises
    ------
    RefitError
        For an unknown key or name, or a loss that does not serve ``kind``.
    """
    where = "models.mlp.params"
    for key in params:
        if key not in DEFAULTS:
            raise RefitError(f"{where}.{key}: unknown; allowed: {some(DEFAULTS, 30)}." + nearest(key, DEFAULTS))
    how = DEFAULTS | params
    check_activation(f"{where}.activation", how["activation"])
    for key, allowed in (("optimizer", OPTIMIZERS), ("schedule", SCHEDULES)):
        if how[key] not in allowed:
            raise RefitError(
                f"{where}.{key}: {how[key]!r} is not one of {some(allowed, 20)}." + nearest(str(how[key]), allowed)
            )
    if how["precision"] not in ("auto", "float32", "bfloat16"):
        raise RefitError(f"{where}.precision: {how['precision']!r} is not one of 'auto', 'float32', 'bfloat16'")
    output = find_kind(kind).output
    loss = how["loss"] or HEADS[output]
    if not isinstance(loss, str | dict):
        raise RefitError(f"{where}.loss: expected a name, or weights by name, found {loss!r}")
    losses = {loss: 1.0} if isinstance(loss, str) else {name: as_float(weight) for name, weight in loss.items()}
    for name in losses:
        if name not in LOSSES:
            raise RefitError(f"{where}.loss: {name!r} is not one of {some(LOSSES, 20)}." + nearest(name, LOSSES))
        if output not in LOSSES[name][0]:
            raise RefitError(
                f"{where}.loss: {name!r} serves {some(kinds_of(*LOSSES[name][0]))}, and the problem is {kind}"
            )
    if set(losses) <= set(AUXILIARY):
        losses[HEADS[output]] = 1.0
    layers = how["layers"]
    if not isinstance(layers, int | list):
        raise RefitError(f"{where}.layers: expected how many, or the units of each, found {layers!r}")
    units = [as_int(how["width"])] * layers if isinstance(layers, int) else [as_int(u) for u in layers]
    if how["batch_size"] is None:
        how["batch_size"] = int(min(1024, max(16, 2 ** round(math.log2(max(rows, 32) / 40)))))
    return cast(How, {**how, "loss": losses, "layers": units})


class Trainer(Resumable):
    """Trains one network; :meth:`epoch` by epoch, so that one can go on from another's state with other parameters."""

    network: Network

    def __init__(self, params: Settings, job: Job) -> None:
        self.job = job
        self.how = how = settled(params, job.kind, len(job.X))
        torch.set_num_threads(job.threads)
        torch.manual_seed(job.seed)
        self.device = choose_device(job.device, "torch", job.log)
        self.center, self.spread = 0.0, 1.0
        if not job.output.classes:
            self.center, self.spread = float(job.y.mean()), float(job.y.std()) or 1.0
        shape: NetworkShape = {
            "inputs": job.X.shape[1],
            "outputs": job.output.heads(job.classes),
            "coded": {str(k): v for k, v in sorted(job.coded.items())},
            "layers": how["layers"],
            "activation": how["activation"],
            "batch_norm": how["batch_norm"],
            "dropout": how["dropout"],
        }
        network = Network(shape)
        if not how["batch_norm"]:
            network.fit_to_activation()
        self.network = network.to(self.device)
        self.X, self.y = self._tensor(job.X), self._tensor((job.y - self.center) / self.spread)
        self.weight = None if job.weight is None else self._tensor(job.weight)
        self.y_valid = self._tensor((job.y_valid - self.center) / self.spread)
        self.X_valid = self._tensor(job.X_valid)
        self.loss = weighted_sum(how["loss"])
        # The head's own loss is what early stopping watches: auxiliary losses depend on the batch.
        self.judge = weighted_sum({k: v for k, v in how["loss"].items() if k not in AUXILIARY})
        self.generator = torch.Generator().manual_seed(job.seed)
        self.forward: Callable[[Tensor], tuple[Tensor, Tensor]] = self.network
        if how["compile"] and self.device == "cuda":
            self.forward = torch.compile(self.network)
        half = how["precision"] == "bfloat16" or (how["precision"] == "auto" and self.device == "cuda")
        self.half = half and (self.device == "cpu" or torch.cuda.is_bf16_supported())
        self.optimizer = OPTIMIZERS[how["optimizer"]](
            self.network.parameters(), lr=how["lr"], weight_decay=how["weight_decay"]
        )
        self.steps_an_epoch = math.ceil(len(self.X) / how["batch_size"])
        rate = self.find_lr() if how["find_lr"] else how["lr"]
        self.schedule = Schedule(self.optimizer, how["schedule"], rate, how["epochs"] * self.steps_an_epoch)
        self.history: dict[str, list[float]] = {"train_loss": [], "valid_loss": []}
        self.best, self.best_epoch, self.best_state = math.inf, 0, self._weights()

    def _tensor(self, array: np.ndarray) -> Tensor:
        return torch.from_numpy(np.ascontiguousarray(array, dtype=np.float32)).to(self.device)

    def _weights(self) -> dict[str, Tensor]:
        return {k: v.detach().clone() for k, v in self.network.state_dict().items()}

    def _batches(self) -> Iterator[Tensor]:
        order = torch.randperm(len(self.X), generator=self.generator).to(self.device)
        for batch in order.split(self.how["batch_size"]):
            if len(batch) > 1 or not self.how["batch_norm"]:  # batch norm needs two rows
                yield batch

    def _step(self, batch: Tensor) -> Tensor:
        Z = self.X[batch]
        if self.how["noise"]:
            # Augmentation: jitter on the numbers, none on the codes.
            jitter = torch.randn(Z.shape, generator=self.generator).to(self.device) * self.how["noise"]
            if self.network.coded:
                jitter[:, self.network.coded] = 0.0
            Z = Z + jitter
        with torch.autocast(self.device, dtype=torch.bfloat16, enabled=self.half):
            margin, hidden = self.forward(Z)
        rows = self.loss(margin.float(), hidden.float(), self.y[batch])
        loss = rows.mean() if self.weight is None else (rows * self.weight[batch]).sum() / self.weight[batch].sum()
        total = loss
        if self.how["l1"]:
            total = loss + self.how["l1"] * torch.stack([p.abs().sum() for p in self.network.parameters()]).sum()
        self.optimizer.zero_grad(set_to_none=True)
        total.backward()
        if self.how["clip"]:
            nn.utils.clip_grad_norm_(self.network.parameters(), self.how["clip"])
        self.optimizer.step()
        return loss.detach()

    def find_lr(self, steps: int = 60) -> float:
        """Raise the rate from 1e-5 to 1 over ``steps`` batches; a tenth of where the loss bursts (Smith, 2017)."""
        before, kept = self._weights(), copy.deepcopy(self.optimizer.state_dict())
        order, rates, losses = self.generator.get_state(), [], []
        smooth, i = 0.0, 0
        while i < steps:
            for batch in self._batches():
                rate = 10 ** (-5 + 5 * i / steps)
                for group in self.optimizer.param_groups:
                    group["lr"] = rate
                smooth = 0.8 * smooth + 0.2 * float(self._step(batch))
                rates.append(rate)
                losses.append(smooth / (1 - 0.8 ** (i + 1)))
                i += 1
                if i >= steps or not losses[-1] <= 4 * min(losses):
                    i = steps
                    break
        self.network.load_state_dict(before)
        self.optimizer.load_state_dict(kept)
        self.generator.set_state(order)
        return float(np.clip(rates[int(np.nanargmin(losses))] / 10, 1e-5, 0.1))

    def epoch(self) -> float:
        """One pass over the training rows; returns the validation loss. Remembers the best weights."""
        self.network.train()
        total, count = torch.zeros((), device=self.device), 0
        for batch in self._batches():
            total += self._step(batch) * len(batch)
            count += len(batch)
            self.schedule.step()
            if self.job.late:
                break
        valid = self.valid_loss()
        self.history["train_loss"].append(float(total) / max(count, 1))
        self.history["valid_loss"].append(valid)
        self.schedule.epoch(valid)
        if valid < self.best:
            self.best, self.best_epoch, self.best_state = valid, len(self.history["valid_loss"]), self._weights()
        return valid

    @torch.inference_mode()
    def valid_loss(self) -> float:
        self.network.eval()
        total = 0.0
        for start in range(0, len(self.X_valid), 65536):
            margin, hidden = self.network(self.X_valid[start : start + 65536])
            total += float(self.judge(margin, hidden, self.y_valid[start : start + 65536]).sum())
        return total / max(len(self.X_valid), 1)

    def scores(self) -> np.ndarray:
        """Scores of the validation rows with the present weights."""
        return scores_of(margins(self.network, self.job.X_valid, self.device), self.job.kind, self.center, self.spread)

    # Stopping and going on -----------------------------------------------------------------------
    def state_dict(self) -> State:
        """With the schedule's."""
        return super().state_dict() | {"schedule": self.schedule.state_dict()}

    def load_state_dict(self, state: State) -> None:
        """With the schedule's."""
        super().load_state_dict(state)
        self.schedule.load_state_dict(state["schedule"])

    def steer(self) -> None:
        """After :meth:`resume`, let this trainer's own rate and weight decay count."""
        self.schedule.peak = self.how["lr"] if not self.how["find_lr"] else self.schedule.peak
        self.schedule.move()
        for group in self.optimizer.param_groups:
            group["weight_decay"] = self.how["weight_decay"]

    def run(self) -> Net:
        """Train until the epochs, the patience or the time is over; the best weights are restored."""
        for number in range(len(self.history["valid_loss"]) + 1, self.how["epochs"] + 1):
            valid = self.epoch()
            if not math.isfinite(valid):
                break
            self.job.step(number, self.scores)
            if self.job.late or number - self.best_epoch >= self.how["patience"]:
                break
        return self.result()

    def present(self, epochs: int) -> Net:
        """The network with its present weights, and the curves of the last ``epochs``."""
        net = Net(self.network.cpu(), self.job.kind, self.center, self.spread)
        net.history = {name: curve[-epochs:] for name, curve in self.history.items()}
        done = len(self.history["valid_loss"])
        net.notes = {"epochs": done, "learning_rate": self.schedule.peak, "device": self.device}
        return net

    def result(self) -> Net:
        self.network.load_state_dict(self.best_state)
        net = Net(self.network.cpu(), self.job.kind, self.center, self.spread)
        net.history = self.history
        net.notes = {"epochs": self.best_epoch, "learning_rate": self.schedule.peak, "device": self.device}
        return net
