"""A hash of a row's features, by which two computations of them are compared bit by bit."""

from __future__ import annotations

import hashlib
import json
import struct
from collections.abc import Mapping
from functools import lru_cache

NAN = float("nan")


def digest(features: Mapping[str, str | float]) -> str:
    """SHA-256 of features by name, in the order of names; all missing values are alike, and -0.0 is not 0.0.

    >>> digest({"a": 1.0, "b": "x"}) == digest({"b": "x", "a": 1.0}) != digest({"a": 1.0, "b": "y"})
    True
    """
    names, head, form = _order(tuple(features))
    numbers, texts = [], []
    for place, name in enumerate(names):
        value = features[name]
        if isinstance(value, str):
            texts.append([place, value])
            value = NAN
        numbers.append(value if value == value else NAN)
    made = hashlib.sha256(head)
    made.update(form.pack(*numbers))
    made.update(json.dumps(texts).encode())
    return made.hexdigest()


@lru_cache(maxsize=64)
def _order(names: tuple[str, ...]) -> tuple[list[str], bytes, struct.Struct]:
    """Names in order, the bytes that say so, and how as many numbers are written."""
    ordered = sorted(names)
    return ordered, json.dumps(ordered).encode(), struct.Struct(f"<{len(ordered)}d")
