"""Activations of networks by name; without torch, so that a wrong name is told before any work."""

from __future__ import annotations

from tasks.errors import RefitError, nearest, some
from tasks.fitting.space import Setting

# Our names, and torch's. Left out of torch's are those that need more than a name (Threshold), halve the width (GLU),
# or are made for other shapes (Softmax2d, MultiheadAttention).
ACTIVATIONS = {
    "relu": "ReLU",
    "leaky_relu": "LeakyReLU",
    "prelu": "PReLU",
    "rrelu": "RReLU",
    "relu6": "ReLU6",
    "elu": "ELU",
    "selu": "SELU",
    "celu": "CELU",
    "gelu": "GELU",
    "silu": "SiLU",
    "swish": "SiLU",
    "mish": "Mish",
    "hardswish": "Hardswish",
    "sigmoid": "Sigmoid",
    "hardsigmoid": "Hardsigmoid",
    "log_sigmoid": "LogSigmoid",
    "tanh": "Tanh",
    "hardtanh": "Hardtanh",
    "tanhshrink": "Tanhshrink",
    "hardshrink": "Hardshrink",
    "softshrink": "Softshrink",
    "softplus": "Softplus",
    "softsign": "Softsign",
    "softmax": "Softmax",
    "softmin": "Softmin",
    "log_softmax": "LogSoftmax",
}
ACROSS = ("softmax", "softmin", "log_softmax")  # over the units of a layer, not of each by itself
ELEMENTWISE = tuple(name for name in ACTIVATIONS if name not in ACROSS)


def check_activation(where: str, value: Setting, allowed: tuple[str, ...] = tuple(ACTIVATIONS)) -> None:
    """Refuse a name that is not one of ``allowed``; ``where`` is the key in ``params.yaml``.

    >>> check_activation("models.mlp.params.activation", "GELU")
    Traceback (most recent call last):
        ...
    tasks.errors.RefitError: models.mlp.params.activation: 'GELU' is not one of 'relu', 'leaky_relu', 'prelu', 'rrelu', \
'relu6', 'elu', 'selu', 'celu', 'gelu', 'silu', 'swish', 'mish', 'hardswish', 'sigmoid', 'hardsigmoid', 'log_sigmoid', \
'tanh', 'hardtanh', 'tanhshrink', 'hardshrink', 'softshrink', 'softplus', 'softsign', 'softmax', 'softmin', 'log_softmax'. \
Did you mean 'gelu'?
    """
    if value not in allowed:
        raise RefitError(
            f"{where}: {value!r} is not one of {some(allowed, 30)}." + nearest(str(value).lower(), allowed)
        )
