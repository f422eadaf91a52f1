"""Which package a service loads, and who says so: the Bento that it lies in, or whoever starts it."""

from __future__ import annotations

import os
from pathlib import Path

from deploy.baked import INSIDE, PACKAGE
from tasks.errors import RefitError


def package_to_load() -> tuple[Path, str]:
    """Which package to load: its folder, and the identity that it must have."""
    named, expected = os.environ.get("REFIT_PACKAGE"), os.environ.get("REFIT_SHA256")
    folder = Path(named) if named else INSIDE if INSIDE.is_dir() else Path("data/package")
    if folder == INSIDE:
        if PACKAGE is None or expected not in (None, "", PACKAGE):
            raise RefitError(
                f"{folder}: this Bento was built with package {PACKAGE}, and REFIT_SHA256 asks for {expected}"
            )
        return folder, PACKAGE
    if not expected:
        raise RefitError(
            f"REFIT_SHA256: not set, so that nobody says which package {folder} should be. Set it to the SHA-256 of its "
            "bundle.json as it was made, or let `refit serve` or `python -m deploy.build` do so."
        )
    return folder, expected
