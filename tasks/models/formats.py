"""In which forms estimators are stored, and what reads each: a family says its own, some are of several families."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from tasks.errors import RefitError, some
from tasks.families import find_family
from tasks.fitting.base import Fitted, Reader
from tasks.fitting.estimators import Estimator, Linear
from tasks.fitting.forest import Forest
from tasks.listed import family_names


@cache
def readers() -> dict[str, Reader]:
    """What reads each form, by its name; names in a file are looked up here and nowhere else."""
    found: dict[str, Reader] = {one.FORMAT: one.load for one in (Linear, Estimator, Forest)}
    for name in family_names():
        found |= getattr(find_family(name), "FORMATS", {})
    return found


def load_fitted(form: str, folder: Path, kind: str, classes: int) -> Fitted:
    """Read an estimator that was stored as ``form``.

    Raises
    ------
    RefitError
        If no family stores any in this form.
    """
    if form not in readers():
        raise RefitError(f"{folder}: unknown format {form!r}; known: {some(readers(), 20)}. Train again.")
    return readers()[form](folder, kind, classes)
