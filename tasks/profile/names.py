"""Names of columns as a project uses them: never empty, never twice, none of those that stages use themselves."""

from __future__ import annotations

import re
from collections.abc import Iterable

from tasks.values.levels import tidied

RESERVED = re.compile(r"__(row|time|known|split|target|group|reason|fold_\d+)__")
SHOWN = 5


def renamed(names: Iterable[str]) -> tuple[list[str], list[str]]:
    """Names to use for the columns of a source, in order, and a remark for each kind of change.

    >>> renamed(["", "price", " price", "__row__"])
    (['column_1', 'price', 'price_2', 'row'], ["column 1 has no name and is called 'column_1'", \
"'price' is there 2 times; the later is called 'price_2'", "'__row__' is a name that stages use, and is called 'row'"])
    """
    given = [tidied(name) for name in names]
    wanted = [name if not RESERVED.fullmatch(name) else name.strip("_") for name in given]
    taken = {name for name in wanted if name}
    found: list[str] = []
    unnamed: list[tuple[int, str]] = []
    twice: dict[str, list[str]] = {}
    reserved: list[tuple[str, str]] = []
    for at, name in enumerate(wanted, 1):
        called = name
        if not name or name in found:
            base, count = (f"column_{at}", 1) if not name else (name, 2)
            called = base if not name else f"{base}_{count}"
            while called in taken or called in found:
                count += 1
                called = f"{base}_{count}"
        found.append(called)
        if not name:
            unnamed.append((at, called))
        elif called != name:
            twice.setdefault(name, []).append(called)
        elif name != given[at - 1]:
            reserved.append((given[at - 1], called))
    said = [f"column {at} has no name and is called {called!r}" for at, called in unnamed[:SHOWN]]
    said += [
        f"{name!r} is there {1 + len(later)} times; the later {'is' if len(later) == 1 else 'are'} called {', '.join(map(repr, later[:SHOWN]))}"
        for name, later in list(twice.items())[:SHOWN]
    ]
    said += [f"{name!r} is a name that stages use, and is called {called!r}" for name, called in reserved[:SHOWN]]
    return found, said


def alike(names: Iterable[str]) -> list[str]:
    """A remark for each name that another one differs from by capital letters or blanks alone.

    >>> alike(["Price", "price", "day"])
    ["'price' and 'Price' are two columns, though their names differ by capital letters or blanks alone"]
    """
    seen: dict[str, str] = {}
    said = []
    for name in names:
        plain = bare(name)
        if plain in seen:
            said.append(
                f"{name!r} and {seen[plain]!r} are two columns, though their names differ by capital letters or blanks alone"
            )
        seen.setdefault(plain, name)
    return said


def bare(name: str) -> str:
    """A name without capital letters, blanks and the like.

    >>> bare("Customer_ID")
    'customerid'
    """
    return re.sub(r"[\s_]+", "", name.casefold())


def locate(name: str, names: Iterable[str]) -> str | None:
    """The column that a declared name means: the one of that name, or of it without blanks around; None: there is none.

    >>> locate(" price", ["price"]), locate("prize", ["price"])
    ('price', None)
    """
    names = list(names)
    plain = tidied(name)
    return name if name in names else plain if plain in names else None
