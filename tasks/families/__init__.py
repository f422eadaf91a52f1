"""Model families: one public module each, and what fits, saves and loads them.

A family's module has ``NAME``, ``OUTPUTS`` it can give, ``NEEDS`` (the encoder's form), ``HARDWARE`` it can use,
``ALSO``, the names of parameters that no search varies,
``space(kind, rows, columns)`` and ``fit(params, job)``; what else one may have, ``_base.Family`` says.
"""

from tasks.families._base import Stopped
from tasks.families._model import (
    Model,
    Prepared,
    check_kind,
    check_models,
    find_family,
    fit_family,
    load_model,
    prepare,
    save_model,
)
from tasks.families._rows import Rows, read_rows

__all__ = [
    "Model",
    "Prepared",
    "Rows",
    "Stopped",
    "check_kind",
    "check_models",
    "find_family",
    "fit_family",
    "load_model",
    "prepare",
    "read_rows",
    "save_model",
]
