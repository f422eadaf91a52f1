"""What families of networks share: how rows are served, and of those from pytabkit the package and the check of parameters."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib import import_module
from types import ModuleType

import numpy as np

from tasks.errors import RefitError, nearest, some
from tasks.extras import install
from tasks.fitting.space import Settings

BLOCK = 32  # rows that a network is served in; more are quicker for tables, fewer for a single row


def by_blocks(Z: np.ndarray, predict: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
    """``predict`` of blocks of exactly :data:`BLOCK` rows, so that a row's score has the same bits whatever is beside it.

    Matrix products round by their shape; the last block is filled up with its last row.
    """
    missing = -len(Z) % BLOCK
    filled = np.concatenate([Z, np.repeat(Z[-1:], missing, axis=0)]) if missing else Z
    parts = [predict(filled[start : start + BLOCK]) for start in range(0, len(filled), BLOCK)]
    return np.concatenate(parts)[: len(Z)] if parts else predict(Z)


def pytabkit(module: str, family: str) -> ModuleType:
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
            f"Install it ({install('networks')}), or remove the family from models (mlp needs no more)."
        ) from None


def settled(family: str, params: Settings, defaults: Settings) -> Settings:
    """``params`` over ``defaults``; an unknown key is refused with the nearest valid one."""
    for key in params:
        if key not in defaults:
            raise RefitError(
                f"models.{family}.params.{key}: unknown; allowed: {some(defaults, 30)}." + nearest(key, defaults)
            )
    return {**defaults, **params}


def fewer_epochs(rows: int, least: int, most: int) -> int:
    """Epochs that show about two million rows in all, between two bounds."""
    return max(least, min(most, 2_000_000 // max(rows, 1)))


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
