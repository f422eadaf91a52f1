"""Our own network for tables: embeddings of categories, then dense layers."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np

from tasks.artifacts import NetworkForm
from tasks.fitting.activations import ACTIVATIONS, check_activation
from tasks.fitting.base import Compress, Fitted, Job, Turn
from tasks.fitting.counts import Only
from tasks.fitting.space import Number, OneOf, Settings, Space, whole
from tasks.kinds import MANY, NUMBER, TWO

NAME = "mlp"
OUTPUTS = (TWO, MANY, NUMBER)
ALSO = (  # parameters beside those of the space
    "batch_norm", "loss", "optimizer", "l1", "schedule", "epochs", "batch_size", "patience", "clip", "noise",
    "find_lr", "precision", "compile",
)  # fmt: skip
COUNTS = {"lr": Only(unless={"find_lr": (True,)})}
NEEDS = "codes"
HARDWARE = "gpu"
STEPS = True
ON_GPU = ("compile",)
CHANGEABLE = ("lr", "weight_decay")  # the shape of the network may not
TURNED = ("epochs", "schedule", "patience", "find_lr")
TURN = 2  # epochs


def space(kind: str, rows: int, columns: int) -> Space:
    return {
        "layers": whole(1, 4, 2),
        "width": whole(32, 256, 128, log=True),
        "dropout": Number(0.0, 0.5, 0.1, limits=(0.0, 0.9)),
        "lr": Number(3e-4, 1e-2, 2e-3, log=True),
        "weight_decay": Number(1e-4, 0.3, 1e-2, log=True),
        "activation": OneOf(("silu", "relu", "elu", "tanh", "leaky_relu"), "silu", tuple(ACTIVATIONS)),
    }


def check(params: Settings) -> None:
    """Refuse what can be refused before any work."""
    if "activation" in params:
        check_activation("models.mlp.params.activation", params["activation"])


def _read(folder: Path, kind: str, classes: int) -> Fitted:
    from tasks.families.mlp.network import Net

    return Net.load(folder, kind, classes)


FORMATS = {"network": _read}


def smaller(
    fitted: Fitted, params: Settings, job: Job, how: Compress, scores: Callable[[Fitted], np.ndarray]
) -> tuple[Fitted, list[NetworkForm], dict[str, float]]:
    """Without batch norm and dropout, with fewer units, with 8-bit integers, or all of it."""
    from tasks.families.mlp.compression import chosen

    return chosen(fitted, params, job, how, scores)


def fit(params: Settings, job: Job) -> Fitted:
    from tasks.families.mlp.training import Trainer

    return Trainer(params, job).run()


def go_on(params: Settings, job: Job, turn: Turn) -> Fitted:
    from tasks.families.mlp.training import Trainer

    trainer = Trainer(params | {"schedule": "constant"}, job)
    trainer.take_turn(turn, TURN, job)
    return trainer.present(TURN)
