"""Optional parts of Refit, by the extras of its distribution: how to install one, in words that hold however Refit was."""

from __future__ import annotations

import re
from importlib.metadata import PackageNotFoundError, requires

DISTRIBUTION = "refit-retraining"  # `refit` on the package index is another project


def install(extra: str) -> str:
    """The command that installs what an extra names, as in ``pip install "pytabkit>=1.7.3"``."""
    try:
        asked = [text.partition(";") for text in requires(DISTRIBUTION) or []]
    except PackageNotFoundError:  # a checkout on the path that nobody installed
        asked = []
    named = [name.strip() for name, _, marker in asked if re.search(rf"extra *== *['\"]{extra}['\"]", marker)]
    return "pip install " + (" ".join(f'"{name}"' for name in named) or f'-e ".[{extra}]"')
