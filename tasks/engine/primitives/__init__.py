"""The primitives of the feature engine, one subject a module; see :mod:`tasks.engine.primitives.base`."""

from tasks.engine.primitives.base import Primitive, parse_primitive, registry

__all__ = ["Primitive", "parse_primitive", "registry"]
