"""The primitives of the feature engine, one subject a module; see :mod:`tasks.engine.primitives.base`."""

from tasks.engine.primitives.base import Primitive, Window, parse_primitive, register, registry

__all__ = ["Primitive", "Window", "parse_primitive", "register", "registry"]
