"""What a network can be told to use, by name: activations, losses, optimisers and schedules."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tasks.fitting.activations import ACROSS, ACTIVATIONS
from tasks.fitting.checkpoint import or_infinite, or_none
from tasks.kinds import MANY, NUMBER, TWO, Output

UNFITTED = (*ACROSS, "tanhshrink", "softshrink")  # which no gain keeps to scale: small signals fade, large ones grow


def activation(name: str) -> nn.Module:
    """A layer of :data:`ACTIVATIONS`."""
    layer = getattr(nn, ACTIVATIONS[name])
    return layer(dim=-1) if name in ACROSS else layer()


def gain(name: str) -> float:
    """What first weights are multiplied by, so that signals neither fade nor grow from layer to layer.

    For z standard normal the mean of (gain x f(z))^2 is 1. So He et al. (2015) derive the root of 2 of ReLU; SELU's is 1, as
    Klambauer et al. (2017) have it.

    >>> round(gain("relu"), 3), round(gain("selu"), 3), round(gain("tanh"), 3)
    (1.414, 1.0, 1.593)
    """
    z = torch.linspace(-8, 8, 16_001, dtype=torch.float64)
    density = torch.exp(-z * z / 2)
    with torch.no_grad():
        square = activation(name).double().eval()(z) ** 2
    return float((density.sum() / (density * square).sum()).sqrt())


# Losses ------------------------------------------------------------------------------------------
# A loss takes margins (n, outputs), the last hidden layer (n, width) and targets (n,), and gives one
# value a row. Binary problems have one margin, that of the positive class.


def _bce(margins: Tensor, hidden: Tensor, y: Tensor) -> Tensor:
    return F.binary_cross_entropy_with_logits(margins[:, 0], y, reduction="none")


def _logits(margins: Tensor) -> Tensor:
    """Two or more logits; a single margin m stands for the pair (0, m)."""
    return torch.cat([torch.zeros_like(margins), margins], dim=1) if margins.shape[1] == 1 else margins


def _cross_entropy(margins: Tensor, hidden: Tensor, y: Tensor) -> Tensor:
    if margins.shape[1] == 1:
        return _bce(margins, hidden, y)
    return F.cross_entropy(margins, y.long(), reduction="none")


def _focal(margins: Tensor, hidden: Tensor, y: Tensor) -> Tensor:
    """(1 - p)^2 times the cross-entropy: rows already right count little (Lin et al., 2017)."""
    entropy = _cross_entropy(margins, hidden, y)
    return (1.0 - torch.exp(-entropy)) ** 2 * entropy


def _hinge(margins: Tensor, hidden: Tensor, y: Tensor) -> Tensor:
    if margins.shape[1] == 1:
        return F.relu(1.0 - (2.0 * y - 1.0) * margins[:, 0])
    return F.multi_margin_loss(margins, y.long(), reduction="none")


def _kl(margins: Tensor, hidden: Tensor, y: Tensor) -> Tensor:
    """Divergence from the label smoothed by a tenth to the prediction."""
    logits = _logits(margins)
    k = logits.shape[1]
    goal = torch.full_like(logits, 0.1 / k).scatter_(1, y.long()[:, None], 0.9 + 0.1 / k)
    return F.kl_div(F.log_softmax(logits, dim=1), goal, reduction="none").sum(dim=1)


def _contrastive(margins: Tensor, hidden: Tensor, y: Tensor) -> Tensor:
    """Pairs of neighbours in the batch: same class close, others at least 1 apart (Hadsell et al., 2006)."""
    other = hidden.roll(1, dims=0)
    distance = F.pairwise_distance(F.normalize(hidden), F.normalize(other))
    same = (y == y.roll(1)).to(distance.dtype)
    return same * distance**2 + (1.0 - same) * F.relu(1.0 - distance) ** 2


def _triplet(margins: Tensor, hidden: Tensor, y: Tensor) -> Tensor:
    """Hardest positive and negative of the batch, margin 0.2 (Hermans et al., 2017)."""
    unit = F.normalize(hidden)
    # Squared distance of unit vectors; the root's slope at zero is endless, so a floor is kept.
    distance = (2.0 - 2.0 * unit @ unit.T).clamp_min(1e-12).sqrt()
    same = y[:, None] == y[None, :]
    farthest = distance.masked_fill(~same, -1.0).max(dim=1).values
    nearest = distance.masked_fill(same, 10.0).min(dim=1).values
    valid = (nearest < 10.0).to(distance.dtype)
    return valid * F.relu(farthest - nearest + 0.2)


def _regression(one: Callable[..., Tensor]) -> Callable[[Tensor, Tensor, Tensor], Tensor]:
    def loss(margins: Tensor, hidden: Tensor, y: Tensor) -> Tensor:
        return one(margins[:, 0], y, reduction="none")

    return loss


LOSSES: dict[str, tuple[tuple[Output, ...], Callable[[Tensor, Tensor, Tensor], Tensor]]] = {
    "bce": ((TWO,), _bce),
    "cross_entropy": ((TWO, MANY), _cross_entropy),
    "focal": ((TWO, MANY), _focal),
    "hinge": ((TWO, MANY), _hinge),
    "kl": ((TWO, MANY), _kl),
    "contrastive": ((TWO, MANY), _contrastive),
    "triplet": ((TWO, MANY), _triplet),
    "mse": ((NUMBER,), _regression(F.mse_loss)),
    "mae": ((NUMBER,), _regression(F.l1_loss)),
    "huber": ((NUMBER,), _regression(F.huber_loss)),
}
AUXILIARY = ("contrastive", "triplet")  # shape the hidden layer only, so they need a head loss beside them


def weighted_sum(losses: Mapping[str, float]) -> Callable[[Tensor, Tensor, Tensor], Tensor]:
    """The sum of named losses times their weights."""

    def loss(margins: Tensor, hidden: Tensor, y: Tensor) -> Tensor:
        parts = [weight * LOSSES[name][1](margins, hidden, y) for name, weight in losses.items()]
        return torch.stack(parts).sum(dim=0)

    return loss


# Optimisers --------------------------------------------------------------------------------------
class Lamb(torch.optim.Optimizer):
    """Adam's step, rescaled a layer to the norm of its weights (You et al., 2020)."""

    def __init__(self, params: Iterable[nn.Parameter], lr: float = 1e-3, weight_decay: float = 0.0) -> None:
        super().__init__(params, {"lr": lr, "betas": (0.9, 0.999), "eps": 1e-6, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]
        for group in self.param_groups:
            low, high = group["betas"]
            for p in group["params"]:
                if p.grad is None:
                    continue
                state = self.state[p]
                if not state:
                    state["step"], state["m"], state["v"] = 0, torch.zeros_like(p), torch.zeros_like(p)
                state["step"] += 1
                state["m"].lerp_(p.grad, 1 - low)
                state["v"].mul_(high).addcmul_(p.grad, p.grad, value=1 - high)
                m = state["m"] / (1 - low ** state["step"])
                v = state["v"] / (1 - high ** state["step"])
                update = m / (v.sqrt() + group["eps"]) + group["weight_decay"] * p
                weight, length = p.norm(), update.norm()
                trust = torch.where((weight > 0) & (length > 0), weight / length, torch.ones_like(weight))
                p.sub_(group["lr"] * trust * update)


class Lookahead(torch.optim.Optimizer):
    """Every 5 steps, go half of the way from the slow weights to the fast ones (Zhang et al., 2019)."""

    def __init__(self, params: Iterable[nn.Parameter], lr: float = 1e-3, weight_decay: float = 0.0) -> None:
        self.fast = torch.optim.AdamW(params, lr=lr, weight_decay=weight_decay)
        super().__init__(self.fast.param_groups, self.fast.defaults)
        self.param_groups = self.fast.param_groups  # one list, so that a schedule moves both
        self.taken = 0

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]
        if not self.taken:
            for group in self.param_groups:
                for p in group["params"]:
                    self.state[p]["slow"] = p.detach().clone()
        self.fast.step()
        self.taken += 1
        if self.taken % 5 == 0:
            for group in self.param_groups:
                for p in group["params"]:
                    slow = self.state[p]["slow"]
                    slow.lerp_(p, 0.5)
                    p.copy_(slow)


OPTIMIZERS: dict[str, Callable[..., torch.optim.Optimizer]] = {
    "sgd": torch.optim.SGD,
    "momentum": lambda p, **k: torch.optim.SGD(p, momentum=0.9, **k),
    "nesterov": lambda p, **k: torch.optim.SGD(p, momentum=0.9, nesterov=True, **k),
    "adagrad": torch.optim.Adagrad,
    "rmsprop": torch.optim.RMSprop,
    "adam": torch.optim.Adam,
    "adamw": torch.optim.AdamW,
    "radam": torch.optim.RAdam,
    "lookahead": Lookahead,
    "lamb": Lamb,
}


# Schedules ---------------------------------------------------------------------------------------
def _factor(name: str, done: float) -> float:
    """Learning rate relative to its peak when the share ``done`` of the steps is over."""
    if name == "step":
        return 0.3 ** min(int(done * 3), 2)
    if name == "exponential":
        return math.exp(-4.0 * done)
    if name == "cosine":
        return 0.5 * (1.0 + math.cos(math.pi * done))
    if name == "warm_restarts":  # three cosines, the next twice as long as the one before
        start, length = 0.0, 1 / 7
        while done >= start + length and start + length < 1.0 - 1e-9:
            start, length = start + length, length * 2
        return 0.5 * (1.0 + math.cos(math.pi * min((done - start) / length, 1.0)))
    if name == "one_cycle":
        if done < 0.3:
            return 0.04 + 0.96 * 0.5 * (1.0 - math.cos(math.pi * done / 0.3))
        return 0.5 * (1.0 + math.cos(math.pi * (done - 0.3) / 0.7))
    return 1.0


SCHEDULES = ("constant", "step", "exponential", "cosine", "warm_restarts", "one_cycle", "plateau")


class Schedule:
    """Sets the learning rate after each step; ``plateau`` halves it when validation stands still for 2 epochs."""

    def __init__(self, optimizer: torch.optim.Optimizer, name: str, peak: float, steps: int) -> None:
        self.optimizer, self.name, self.peak, self.steps = optimizer, name, peak, max(steps, 1)
        self.taken, self.scale, self.best, self.waited = 0, 1.0, math.inf, 0
        self.move()

    def move(self) -> None:
        """Set the optimiser's rate to where the schedule stands."""
        rate = self.peak * self.scale * _factor(self.name, min(self.taken / self.steps, 1.0))
        for group in self.optimizer.param_groups:
            group["lr"] = rate

    def step(self) -> None:
        """A batch was taken."""
        self.taken += 1
        self.move()

    def state_dict(self) -> dict[str, float | None]:
        """Where it stands."""
        return {
            "taken": self.taken,
            "scale": self.scale,
            "best": or_none(self.best),
            "waited": self.waited,
            "peak": self.peak,
        }

    def load_state_dict(self, state: dict[str, float | None]) -> None:
        """Stand where another stood."""
        now = {name: or_infinite(value) for name, value in state.items()}
        self.taken, self.waited = int(now["taken"]), int(now["waited"])
        self.scale, self.best, self.peak = now["scale"], now["best"], now["peak"]

    def epoch(self, loss: float) -> None:
        if self.name != "plateau":
            return
        self.waited = 0 if loss < self.best else self.waited + 1
        self.best = min(self.best, loss)
        if self.waited >= 2:
            self.scale, self.waited = self.scale / 2, 0
            self.move()
