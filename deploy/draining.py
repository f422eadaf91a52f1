"""Whether this process is on its way out; ``/readyz`` says so before anything else changes."""

from __future__ import annotations

_begun = False


def begin() -> None:
    """From now on ``/readyz`` is 503, and every answer closes its connection."""
    global _begun
    _begun = True


def begun() -> bool:
    """Whether it has begun."""
    return _begun
