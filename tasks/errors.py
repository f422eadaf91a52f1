"""The one exception that a user's mistake raises.

``RefitError`` is printed as its message, without a traceback, by every entry point
(``refit``, ``python -m tasks.<stage>``, the service). Any other exception is a bug in Refit.
"""

from __future__ import annotations

import difflib
import re
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


# C0 and C1 (but tab and line feed), and what turns the order of writing round.
_CONTROLS = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")


def in_a_line(error: BaseException) -> str:
    """An unforeseen error in a line of bounded length.

    >>> in_a_line(ValueError("too many bins\\nfor these values")), in_a_line(MemoryError())
    ('ValueError: too many bins', 'MemoryError')
    """
    name, first = type(error).__name__, first_line(error)
    return name if first == name else shortened(f"{name}: {first}", 300)


def first_line(error: BaseException, most: int = 300) -> str:
    """The first line of an error's text, of a database's own error where SQLAlchemy wraps one; without a text its type.

    >>> first_line(ValueError("too many bins\\nfor these values")), first_line(MemoryError())
    ('too many bins', 'MemoryError')
    """
    own = getattr(error, "orig", None) or error
    return shortened(next(iter(str(own).strip().splitlines()), type(own).__name__), most)


def shortened(text: str, most: int) -> str:
    """The text, cut to ``most`` characters with dots at its end where it is longer.

    >>> shortened("a long value", 12), shortened("a long value", 9)
    ('a long value', 'a long...')
    """
    return text if len(text) <= most else text[: most - 3] + "..."


def with_causes(error: BaseException) -> str:
    """An error's text and its causes', in one line of bounded length.

    >>> try:
    ...     raise ValueError("no table") from OSError("no disk")
    ... except ValueError as error:
    ...     with_causes(error)
    'no table — no disk'
    """
    parts: list[str] = []
    cause: BaseException | None = error
    while cause is not None:
        if str(cause) and str(cause) not in parts:
            parts.append(str(cause))
        cause = cause.__cause__
    return shortened(" — ".join(parts), 600)


def visible(text: str) -> str:
    r"""The text with control characters written out, so that a name in a table cannot command the terminal.

    >>> visible("Oslo\x1b[2J" + chr(0x202E) + "x") == r"Oslo\x1b[2J\u202ex"
    True
    """
    return _CONTROLS.sub(lambda match: match[0].encode("unicode_escape").decode("ascii"), text)
