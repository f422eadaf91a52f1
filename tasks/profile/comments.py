"""What ``init`` says: remarks on single columns, and comments beside the keys of the ``params.yaml`` that it writes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ruamel.yaml.comments import CommentedMap


@dataclass(frozen=True)
class Remark:
    """What a reader should look at: a column (none: the file, or the whole), what was decided, and the key of ``params.yaml``."""

    column: str
    text: str
    place: tuple[str, ...] = ()

    def __str__(self) -> str:
        return plain(f"{self.column}: {self.text}" if self.column else self.text)


def beside(tree: CommentedMap, key: str, text: str) -> None:
    """Add a comment at the end of a key's line, after one that stands there already.

    Names and values of any file come into comments: what would end the line, or may not stand in YAML, becomes a space.
    """
    there = tree.ca.items.get(key)
    old = there[2].value.strip().removeprefix("#").strip() if there and there[2] else ""
    tree.yaml_add_eol_comment(plain("; ".join(filter(None, (old, text)))), key)


def plain(text: str) -> str:
    """A text on one line.

    >>> plain("a\\n b\\0c")
    'a b c'
    """
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())
