"""What a compressed network is made of: int8 layers that compute with integers.

torch's own ``quantize_dynamic`` is deprecated together with its int8 tensors, stores packed objects that only a
pickle holds, and scales the inputs by the largest of the whole batch, so that a row's score would depend on
the rows beside it. Here a row has its own scale.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

LARGEST = 127  # of a signed byte; -128 is left out, so that the range is symmetric
# Weights of a layer from which int8 is quicker, for the rows of a block, where the processor multiplies bytes (AVX-512
# VNNI): below it, rounding the inputs takes longer than the product saves. tests.bench.compression measures it.
LEAST = 512 * 512


class Int8Linear(nn.Module):
    """``x @ W.T + b`` with int8 weights, one scale a unit, and inputs rounded to int8, one scale a row.

    The product is one of whole numbers and therefore exact: the same on every machine and for every batch.
    """

    def __init__(self, inputs: int, units: int) -> None:
        super().__init__()
        self.weight: Tensor
        self.scale: Tensor
        self.bias: Tensor
        self.register_buffer("weight", torch.zeros(units, inputs, dtype=torch.int8))
        self.register_buffer("scale", torch.ones(units))
        self.register_buffer("bias", torch.zeros(units))

    @classmethod
    @torch.no_grad()
    def of(cls, linear: nn.Linear) -> Int8Linear:
        """The int8 form of a layer; a weight is off by at most half of its unit's scale."""
        out = cls(linear.in_features, linear.out_features)
        weight, out.scale = _rounded(linear.weight)
        out.weight, out.scale = weight, out.scale[:, 0]
        if linear.bias is not None:
            out.bias = linear.bias.detach().clone()
        return out

    def forward(self, x: Tensor) -> Tensor:
        whole, step = _rounded(x)
        return torch._int_mm(whole, self.weight.T).to(x.dtype) * (step * self.scale) + self.bias


def _rounded(x: Tensor) -> tuple[Tensor, Tensor]:
    """``(n, p)`` as int8 and the scale ``(n, 1)`` of each row."""
    step = x.abs().amax(dim=1, keepdim=True).clamp_min(1e-12) / LARGEST
    return torch.round(x / step).to(torch.int8), step


def int8_layers(body: nn.Sequential) -> list[int]:
    """Positions of the linear layers that are quicker with 8-bit integers: of at least :data:`LEAST` weights."""
    return [at for at, layer in enumerate(body) if isinstance(layer, nn.Linear) and layer.weight.numel() >= LEAST]


def to_int8(body: nn.Sequential, at: list[int] | None = None) -> None:
    """Replace the linear layers at these positions of ``body`` (all, where none are named), in place."""
    for number, layer in enumerate(body):
        if isinstance(layer, nn.Linear) and (at is None or number in at):
            body[number] = Int8Linear.of(layer)


def unpacked(tensors: dict[str, Tensor], shapes: dict[str, list[int]]) -> dict[str, Tensor]:
    """Matrices that older packages store as a bitmap and the values that are not zero, as they were.

    ``shapes`` are those of the stored matrices, by name.

    Raises
    ------
    ValueError
        If the number of values is not that of the bitmap.
    """
    state = {k: v for k, v in tensors.items() if k.rpartition(".")[0] not in shapes}
    for name, shape in shapes.items():
        bits, values = tensors[f"{name}.bits"], tensors[f"{name}.values"]
        there = ((bits[:, None] >> torch.arange(8, dtype=torch.uint8)) & 1).flatten()[: shape[0] * shape[1]].bool()
        if int(there.sum()) != len(values):
            raise ValueError(f"{name}: {len(values)} values for {int(there.sum())} bits")
        whole = torch.zeros(len(there), dtype=values.dtype)
        whole[there] = values
        state[name] = whole.view(shape)
    return state
