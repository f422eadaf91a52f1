"""What ``params.yaml`` may name, listed without importing it."""

from __future__ import annotations

from functools import cache
from pathlib import Path


@cache
def family_names() -> tuple[str, ...]:
    """Names of the model families: one module each in ``tasks/families/``."""
    here = Path(__file__).parent / "families"
    return tuple(sorted(p.stem for p in here.glob("*.py") if not p.stem.startswith("_")))
