"""Libraries that others import at their start, and that nothing here uses: hidden, or put off, while those are imported.

Great Expectations and MLflow import what they could work with, if it is installed: half a second to a second of the processor for
each process that meets them.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any


class _Later(ModuleType):
    """Stands for a module, and imports it when something of it is asked for."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.__spec__ = ModuleSpec(name, None)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        if sys.modules.get(self.__name__) is self:
            del sys.modules[self.__name__]
        return getattr(import_module(self.__name__), name)


@contextmanager
def hidden(*names: str, later: tuple[str, ...] = ()) -> Iterator[None]:
    """Let the modules ``names`` look as if they were not installed, and those of ``later`` be imported at their first use.

    What is imported already stays as it is.
    """
    stand_ins: dict[str, ModuleType | None] = dict.fromkeys(names) | {name: _Later(name) for name in later}
    put = {name: it for name, it in stand_ins.items() if name not in sys.modules}
    sys.modules.update(put)  # type: ignore[arg-type]
    try:
        yield
    finally:
        for name, it in put.items():
            if name in sys.modules and sys.modules[name] is it:
                del sys.modules[name]
