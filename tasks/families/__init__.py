"""Model families, found by what this folder holds: a file is one, and so is a folder with what only it needs.

A family's module has ``NAME``, ``OUTPUTS`` it can give, ``NEEDS`` (the encoder's form), ``HARDWARE`` it can use,
``ALSO``, the names of parameters that no search varies,
``space(kind, rows, columns)`` and ``fit(params, job)``; what else one may have, :class:`tasks.fitting.base.Family` says.
What several families stand on is in ``tasks.fitting``; what fits, saves and loads any of them in ``tasks.models``.
"""

from __future__ import annotations

from functools import cache
from typing import cast

from tasks.fitting.base import Family
from tasks.listed import find


@cache
def find_family(name: str) -> Family:
    """The module of a family.

    Raises
    ------
    RefitError
        For an unknown name, with the nearest valid one.
    """
    return cast(Family, find("families", "models", name))
