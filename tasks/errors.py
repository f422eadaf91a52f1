"""The one exception that a user's mistake raises.

``RefitError`` is printed as its message, without a traceback, by every entry point
(``refit``, ``python -m tasks.<stage>``, the service). Any other exception is a bug in Refit.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class RefitError(Exception):
    """A mistake that the reader can mend: names the parameter, what is allowed, what came, and the remedy."""


def nearest(name: str, allowed: Iterable[str]) -> str:
    """Return ``" Did you mean 'x'?"`` for the closest allowed name, or ``""``.

    >>> nearest("famly", ["family", "trials"])
    " Did you mean 'family'?"
    >>> nearest("zzz", ["family", "trials"])
    ''
    """
    close = difflib.get_close_matches(str(name), list(allowed), n=1, cutoff=0.6)
    return f" Did you mean {close[0]!r}?" if close else ""


def some(items: Iterable[object], limit: int = 8) -> str:
    """Join at most ``limit`` items for a message, and say how many were left out.

    >>> some(["a", "b", "c"], limit=2)
    "'a', 'b' and 1 more"
    """
    listed = list(items)
    text = ", ".join(repr(item) for item in listed[:limit])
    return text if len(listed) <= limit else f"{text} and {len(listed) - limit} more"
