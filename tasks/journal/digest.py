"""A hash of a row's features, by which two computations of them are compared bit by bit."""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Mapping

MISSING = b"-"


def digest(features: Mapping[str, str | float]) -> str:
    """SHA-256 of features by name, in the order of names; all missing values are alike, and -0.0 is not 0.0.

    >>> digest({"a": 1.0, "b": "x"}) == digest({"b": "x", "a": 1.0}) != digest({"a": 1.0, "b": "y"})
    True
    """
    made = hashlib.sha256()
    for name in sorted(features):
        value = features[name]
        if isinstance(value, str):
            part = b"t" + value.encode()
        else:
            part = MISSING if value != value else b"n" + struct.pack("<d", value)
        made.update(b"%d:%b%d:%b" % (len(name.encode()), name.encode(), len(part), part))
    return made.hexdigest()
