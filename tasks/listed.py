"""What ``params.yaml`` may name: modules that are found by their file, listed without being imported."""

from __future__ import annotations

from functools import cache
from importlib import import_module
from pathlib import Path
from types import ModuleType

from tasks.errors import RefitError, nearest, some


@cache
def _modules(package: str) -> tuple[str, ...]:
    """Names of the modules of a package of ``tasks``, a file or a folder each, sorted; not those with a leading underscore."""
    here = Path(__file__).parent / package
    names = [p.stem for p in here.glob("*.py")] + [p.parent.name for p in here.glob("*/__init__.py")]
    return tuple(sorted(name for name in names if not name.startswith("_")))


def family_names() -> tuple[str, ...]:
    """Names of the model families: one file or folder each in ``tasks/families/``."""
    return _modules("families")


def kind_names() -> tuple[str, ...]:
    """Names of the kinds of problems: one module each in ``tasks/kinds/``."""
    return _modules("kinds")


def find(package: str, parameter: str, name: str) -> ModuleType:
    """The module of this name; ``parameter`` is where ``params.yaml`` names it.

    Raises
    ------
    RefitError
        For an unknown name, with the nearest valid one.
    """
    names = _modules(package)
    if name not in names:
        raise RefitError(f"{parameter}: {name!r} is not one of {some(names, 40)}." + nearest(name, names))
    return import_module(f"tasks.{package}.{name}")
