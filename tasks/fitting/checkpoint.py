"""A network's training that can be put down and taken up again: its state, as torch's modules give theirs, and on disk."""

from __future__ import annotations

import json
import math
import os
from abc import ABC, abstractmethod
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tasks.fitting.base import Curves, Job, Turn

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn

    State = dict[str, Any]  # as torch's: tensors and plain values by name, nested

STATE = "state.safetensors"


class Resumable(ABC):
    """What the trainers of networks have in common: all that a training depends on, and what it has come to."""

    network: nn.Module
    optimizer: torch.optim.Optimizer
    generator: torch.Generator  # of the order of rows
    device: str
    history: Curves
    best: float  # the least loss of the validation rows so far
    best_epoch: int
    best_state: dict[str, Tensor]

    def state_dict(self) -> State:
        """All that :meth:`load_state_dict` needs to go on as if nothing had happened."""
        import torch

        return {
            "network": self.network.state_dict(),
            "optimizer": _of_optimizer(self.optimizer, self.network),
            "order": self.generator.get_state(),
            "noise": torch.get_rng_state(),
            "history": self.history,
            "best": {"loss": or_none(self.best), "epoch": self.best_epoch, "network": self.best_state},
        }

    def load_state_dict(self, state: State) -> None:
        """Put this training where another was that gave ``state``; both have the same network and optimiser."""
        import torch

        self.network.load_state_dict(state["network"])
        _to_optimizer(self.optimizer, self.network, state["optimizer"], self.device)
        self.generator.set_state(state["order"])
        torch.set_rng_state(state["noise"])
        self.history = state["history"]
        best = state["best"]
        self.best, self.best_epoch = or_infinite(best["loss"]), best["epoch"]
        self.best_state = {k: v.to(self.device) for k, v in best["network"].items()}

    @abstractmethod
    def epoch(self) -> object:
        """Go once over the training rows, and measure the validation rows."""

    @abstractmethod
    def steer(self) -> None:
        """Let this trainer's own rate and weight decay count, after a state was read."""

    def take_turn(self, turn: Turn, epochs: int, job: Job) -> None:
        """Go on from the turn before, for so many epochs or until it is late, and put the state down for the next one."""
        if turn.before is not None:
            self.resume(turn.before / STATE)
            self.steer()
        for _ in range(epochs):
            self.epoch()
            if job.late:
                break
        self.save(turn.after / STATE)

    def save(self, path: Path) -> None:
        """Write :meth:`state_dict` (safetensors), whole or not at all."""
        from safetensors.torch import save_file

        tensors: dict[str, Tensor] = {}
        plain = _plain(self.state_dict(), "", tensors)
        path.parent.mkdir(parents=True, exist_ok=True)
        beside = path.with_suffix(".part")
        save_file(
            {k: v.detach().cpu().contiguous().clone() for k, v in tensors.items()}, beside, {"state": json.dumps(plain)}
        )
        os.replace(beside, path)

    def resume(self, path: Path) -> bool:
        """Go on from what :meth:`save` wrote; False where there is no such file."""
        from safetensors import safe_open

        if not path.exists():
            return False
        with safe_open(path, framework="pt") as file:
            state: State = json.loads(file.metadata()["state"])
            for name in file.keys():  # noqa: SIM118 (not a dict)
                *folders, last = name.split("/")
                place = state
                for folder in folders:
                    place = place.setdefault(folder, {})
                place[last] = file.get_tensor(name)
        self.load_state_dict(state)
        return True


def or_none(loss: float) -> float | None:
    """A loss as JSON has it: None where there is none yet."""
    return loss if math.isfinite(loss) else None


def or_infinite(loss: float | None) -> float:
    """The same, read."""
    return math.inf if loss is None else loss


def _plain(state: State, at: str, tensors: dict[str, Tensor]) -> State:
    """The state without its tensors, which go into ``tensors`` under their path."""
    import torch

    plain: State = {}
    for name, value in state.items():
        if isinstance(value, torch.Tensor):
            tensors[at + name] = value
        else:
            plain[name] = _plain(value, f"{at}{name}/", tensors) if isinstance(value, dict) else value
    return plain


def _optimizers(optimizer: torch.optim.Optimizer) -> dict[str, torch.optim.Optimizer]:
    """The optimiser, and the one inside it where it wraps another (Lookahead)."""
    inner = getattr(optimizer, "fast", None)
    return {"own": optimizer} | ({} if inner is None else {"fast": inner})


def _of_optimizer(optimizer: torch.optim.Optimizer, network: nn.Module) -> State:
    """By parameter's name: an optimiser's groups may have them in another order each time."""
    return {"taken": getattr(optimizer, "taken", 0)} | {
        which: {name: dict(one.state[p]) for name, p in network.named_parameters() if one.state.get(p)}
        for which, one in _optimizers(optimizer).items()
    }


def _to_optimizer(optimizer: torch.optim.Optimizer, network: nn.Module, state: State, device: str) -> None:
    import torch

    parameters = dict(network.named_parameters())
    for which, one in _optimizers(optimizer).items():
        for name, values in state.get(which, {}).items():
            one.state[parameters[name]] = {
                k: v.to(device) if isinstance(v, torch.Tensor) and k != "step" else v for k, v in values.items()
            }
    if hasattr(optimizer, "taken"):
        optimizer.taken = state["taken"]
