"""A feed-forward network on encoded rows: numbers beside embeddings of categories."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar, TypedDict

import numpy as np
import torch
from torch import Tensor, nn

from tasks.families.mlp.int8 import Int8Linear, to_int8, unpacked
from tasks.families.mlp.parts import UNFITTED, activation, gain
from tasks.files import read_json, write_json
from tasks.fitting.base import Curves, Notes
from tasks.fitting.networks import by_blocks
from tasks.kinds import find_kind

PREDICT_CELLS = 20_000_000  # numbers a batch while predicting, so that any table fits memory


class NetworkShape(TypedDict):
    """All that a network's layers depend on, as ``network.json`` holds it.

    ``coded``: the columns that hold codes, as texts, with their numbers of codes; ``layers``: units of each hidden layer.
    """

    inputs: int
    outputs: int
    coded: dict[str, int]
    layers: list[int]
    activation: str
    batch_norm: bool
    dropout: float


class Network(nn.Module):
    """``(n, p)`` encoded rows to margins ``(n, outputs)`` and the last hidden layer."""

    def __init__(self, shape: NetworkShape) -> None:
        super().__init__()
        self.shape = shape
        coded = {int(k): v for k, v in shape["coded"].items()}
        numbers = [j for j in range(shape["inputs"]) if j not in coded]
        self.numbers: Tensor
        self.register_buffer("numbers", torch.tensor(numbers, dtype=torch.long), persistent=False)
        self.coded = sorted(coded)
        # A quarter of the levels, at most 16 numbers a category: the usual rule of thumb.
        sizes = [min(16, (coded[j] + 3) // 4 + 1) for j in self.coded]
        self.tables = nn.ModuleList(nn.Embedding(coded[j], size) for j, size in zip(self.coded, sizes, strict=True))
        layers: list[nn.Module] = []
        width = len(numbers) + sum(sizes)
        for units in shape["layers"]:
            layers.append(nn.Linear(width, units))
            if shape["batch_norm"]:
                layers.append(nn.BatchNorm1d(units))
            layers.append(activation(shape["activation"]))
            if shape["dropout"]:
                # Zeros would move the mean and spread that SELU keeps (Klambauer et al., 2017).
                drop = nn.AlphaDropout if shape["activation"] == "selu" else nn.Dropout
                layers.append(drop(shape["dropout"]))
            width = units
        self.body = nn.Sequential(*layers)
        self.head = nn.Linear(width, shape["outputs"])

    @torch.no_grad()
    def fit_to_activation(self) -> None:
        """Draw the hidden layers' first weights anew: normal, with spread gain / sqrt(inputs), and no bias.

        For networks without batch norm, which else brings every layer's signals to the same scale by itself.
        """
        if self.shape["activation"] in UNFITTED:
            return
        scale = gain(self.shape["activation"])
        for layer in self.body:
            if isinstance(layer, nn.Linear):
                nn.init.normal_(layer.weight, std=scale / layer.in_features**0.5)
                nn.init.zeros_(layer.bias)

    def forward(self, Z: Tensor) -> tuple[Tensor, Tensor]:
        parts = [Z.index_select(1, self.numbers)] if self.coded else [Z]
        parts += [table(Z[:, j].long()) for j, table in zip(self.coded, self.tables, strict=True)]
        hidden = self.body(torch.cat(parts, dim=1) if len(parts) > 1 else parts[0])
        return self.head(hidden), hidden


class Net:
    """A trained :class:`Network` with what turns its margins into scores."""

    FORMAT: ClassVar[str] = "network"

    def __init__(self, network: Network, kind: str, center: float = 0.0, spread: float = 1.0) -> None:
        self.network, self.kind = network.eval(), kind
        self.center, self.spread = center, spread
        self.history: Curves = {}
        self.notes: Notes = {}

    def predict(self, Z: np.ndarray) -> np.ndarray:
        def scores(block: np.ndarray) -> np.ndarray:
            return scores_of(margins(self.network, block), self.kind, self.center, self.spread)

        return by_blocks(Z, scores)

    def save(self, folder: Path) -> None:
        from safetensors.torch import save_file

        state = {k: v.contiguous().cpu() for k, v in self.network.state_dict().items()}
        save_file(state, folder / "network.safetensors")
        about = {"shape": self.network.shape, "center": self.center, "spread": self.spread}
        small = [at for at, layer in enumerate(self.network.body) if isinstance(layer, Int8Linear)]
        if small:
            about["int8"] = small
        write_json(folder / "network.json", about)

    @classmethod
    def load(cls, folder: Path, kind: str, classes: int) -> Net:
        from safetensors.torch import load_file

        state = read_json(folder / "network.json")
        network = Network(state["shape"])
        if state.get("int8"):  # positions; in older packages true, and then all of them
            to_int8(network.body, None if state["int8"] is True else state["int8"])
        network.load_state_dict(unpacked(load_file(folder / "network.safetensors"), state.get("packed", {})))
        return cls(network, kind, state["center"], state["spread"])


@torch.inference_mode()
def margins(network: nn.Module, Z: np.ndarray, device: str = "cpu") -> np.ndarray:
    """Margins ``(n, outputs)`` float64, in batches that fit memory."""
    network.eval()
    rows = max(1, PREDICT_CELLS // max(Z.shape[1], 1))
    found = []
    for start in range(0, len(Z), rows):
        batch = torch.from_numpy(np.ascontiguousarray(Z[start : start + rows], dtype=np.float32)).to(device)
        found.append(network(batch)[0].float().cpu().numpy())
    return np.concatenate(found).astype(float)


def scores_of(margin: np.ndarray, kind: str, center: float, spread: float) -> np.ndarray:
    """Scores from margins ``(n, outputs)``; of numbers, which are learnt as so many spreads from the center."""
    output = find_kind(kind).output
    return output.of_margins(margin) if output.classes else margin[:, 0] * spread + center
