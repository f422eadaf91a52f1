"""A trainer's whole state on disk: weights, optimiser, schedule, random numbers and curves; no pickle."""

from __future__ import annotations

import json
import math
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

if TYPE_CHECKING:
    from typing import TypeAlias

    from tasks.families.mlp.training import Trainer as Ours
    from tasks.families.tabm import Trainer as TabM

    Trainer: TypeAlias = Ours | TabM


def write(trainer: Trainer, path: Path) -> None:
    """Write ``path`` (safetensors), whole or not at all."""
    from safetensors.torch import save_file

    tensors: dict[str, torch.Tensor] = {f"now.{k}": v for k, v in trainer.network.state_dict().items()}
    tensors |= {f"best.{k}": v for k, v in trainer.best_state.items()}
    tensors["order"] = trainer.generator.get_state()
    tensors["noise"] = torch.get_rng_state()
    plain: dict[str, dict[str, float]] = {}
    for number, state in _optimizer_state(trainer).items():
        for key, value in state.items():
            if isinstance(value, torch.Tensor):
                tensors[f"optimizer.{number}.{key}"] = value
            else:
                plain.setdefault(number, {})[key] = value
    schedule = getattr(trainer, "schedule", None)
    state = {
        "history": trainer.history,
        "best": trainer.best if math.isfinite(trainer.best) else None,
        "best_epoch": trainer.best_epoch,
        "schedule": None if schedule is None else [
            schedule.taken, schedule.scale, schedule.best if math.isfinite(schedule.best) else None, schedule.waited,
            schedule.peak,
        ],
        "optimizer": plain,
        "taken": getattr(trainer.optimizer, "taken", 0),
    }  # fmt: skip
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_suffix(".part")
    save_file(
        {k: v.detach().cpu().contiguous().clone() for k, v in tensors.items()}, beside, {"state": json.dumps(state)}
    )
    os.replace(beside, path)


def read(trainer: Trainer, path: Path) -> bool:
    """Put ``trainer`` where it was when ``path`` was written; False where there is no such file."""
    from safetensors import safe_open

    if not path.exists():
        return False
    with safe_open(path, framework="pt") as file:
        state = json.loads(file.metadata()["state"])
        tensors = {k: file.get_tensor(k) for k in file.keys()}  # noqa: SIM118 (not a dict)
    trainer.network.load_state_dict(_below(tensors, "now."))
    trainer.best_state = {k: v.to(trainer.device) for k, v in _below(tensors, "best.").items()}
    trainer.generator.set_state(tensors["order"])
    torch.set_rng_state(tensors["noise"])
    trainer.history = state["history"]
    trainer.best = math.inf if state["best"] is None else state["best"]
    trainer.best_epoch = state["best_epoch"]
    if state["schedule"] is not None:
        schedule: Any = getattr(trainer, "schedule")  # noqa: B009 (not every trainer has one)
        schedule.taken, schedule.scale, best, schedule.waited, schedule.peak = state["schedule"]
        schedule.best = math.inf if best is None else best
    moments: dict[str, dict[str, Any]] = {n: dict(values) for n, values in state["optimizer"].items()}
    for key, tensor in _below(tensors, "optimizer.").items():
        number, _, name = key.partition(".")
        moments.setdefault(number, {})[name] = tensor
    _restore_optimizer(trainer, moments, state["taken"])
    return True


def _below(tensors: dict[str, torch.Tensor], prefix: str) -> dict[str, torch.Tensor]:
    return {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}


def _parameters(trainer: Trainer) -> list[torch.nn.Parameter]:
    return list(trainer.network.parameters())  # an optimiser's groups may have them in another order each time


def _optimizers(trainer: Trainer) -> dict[str, torch.optim.Optimizer]:
    """The optimiser, and the one inside it where it wraps another (Lookahead)."""
    inner = getattr(trainer.optimizer, "fast", None)
    return {"": trainer.optimizer} | ({"fast-": inner} if inner is not None else {})


def _optimizer_state(trainer: Trainer) -> dict[str, dict[str, Any]]:
    out = {}
    for prefix, optimizer in _optimizers(trainer).items():
        for number, parameter in enumerate(_parameters(trainer)):
            if optimizer.state.get(parameter):
                out[f"{prefix}{number}"] = dict(optimizer.state[parameter])
    return out


def _restore_optimizer(trainer: Trainer, moments: dict[str, dict[str, Any]], taken: int) -> None:
    parameters = _parameters(trainer)
    optimizers = _optimizers(trainer)
    for key, state in moments.items():
        prefix, _, number = key.rpartition("-")
        optimizer = optimizers[f"{prefix}-" if prefix else ""]
        parameter = parameters[int(number)]
        placed = {
            k: v.to(trainer.device) if isinstance(v, torch.Tensor) and k != "step" else v for k, v in state.items()
        }
        optimizer.state[parameter] = placed
    if hasattr(trainer.optimizer, "taken"):
        trainer.optimizer.taken = taken
