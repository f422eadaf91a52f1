"""What the families that come through pytabkit share: the optional package itself, and the check of parameters."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import Any

import numpy as np

from tasks.errors import RefitError, nearest, some


def pytabkit(module: str, family: str) -> Any:
    """A module of pytabkit.

    Raises
    ------
    RefitError
        If the extra is not installed.
    """
    try:
        return import_module(f"pytabkit.{module}")
    except ImportError as error:
        raise RefitError(
            f"models.{family}: needs pytabkit, which is not installed ({error}). "
            'Install the extra, pip install "refit[networks]", or remove the family from models (mlp needs no extra).'
        ) from None


def settled(family: str, params: Mapping[str, Any], defaults: Mapping[str, Any]) -> dict[str, Any]:
    """``params`` over ``defaults``; an unknown key is refused with the nearest valid one."""
    for key in params:
        if key not in defaults:
            raise RefitError(
                f"models.{family}.params.{key}: unknown; allowed: {some(defaults, 30)}." + nearest(key, defaults)
            )
    return {**defaults, **params}


def fewer_epochs(rows: int, steps: int, least: int, most: int) -> int:
    """Epochs that show about ``steps`` rows in all, between two bounds."""
    return max(least, min(most, steps // max(rows, 1)))


def varied(X: np.ndarray, coded: Mapping[int, int], family: str) -> tuple[list[int], list[int]]:
    """Columns of ``X`` ``(n, p)`` that hold numbers and codes, without those that have one value only.

    Raises
    ------
    RefitError
        If no column is left.
    """
    kept = [j for j in range(X.shape[1]) if len(X) and np.ptp(X[:, j].astype(np.float32)) > 0]
    numbers, codes = [j for j in kept if j not in coded], [j for j in kept if j in coded]
    if not kept:
        raise RefitError(f"models.{family}: every feature has one value in all training rows; give it others")
    return numbers, codes
