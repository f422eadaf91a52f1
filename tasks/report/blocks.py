"""What a section of the page is made of; the template has one piece of HTML for each kind of block."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import ClassVar

from markupsafe import Markup


@dataclass(frozen=True)
class Facts:
    """Large numbers with a name and a note: (name, value, note)."""

    items: Sequence[tuple[str, str, str]]
    block: ClassVar[str] = "facts"


@dataclass(frozen=True)
class Chart:
    """A chart with a heading and a sentence that says what to see in it."""

    title: str
    svg: Markup
    caption: str = ""
    wide: bool = False


@dataclass(frozen=True)
class Charts:
    """Charts side by side where there is room."""

    items: Sequence[Chart]
    block: ClassVar[str] = "charts"


@dataclass(frozen=True)
class Cell:
    """A table's cell: what is shown, what it sorts by, and an optional bar of 0..1 behind it."""

    text: str | Markup
    sort: str | float | None = None
    bar: float | None = None
    tone: str = ""
    note: str = ""


@dataclass(frozen=True)
class Table:
    """Rows under named columns. A column's ``kind`` is ``text``, ``number`` or ``figure``; ``marked`` rows stand out."""

    columns: Sequence[tuple[str, str, str]]
    rows: Sequence[Sequence[Cell]]
    caption: str = ""
    marked: Sequence[int] = ()
    search: str = ""
    sortable: bool = True
    block: ClassVar[str] = "table"

    @property
    def long(self) -> bool:
        """Whether the page folds it up."""
        return len(self.rows) > 14


@dataclass(frozen=True)
class Prose:
    """A paragraph, or a quieter remark."""

    text: str | Markup
    quiet: bool = False
    block: ClassVar[str] = "prose"


@dataclass(frozen=True)
class Terms:
    """Words and what they mean."""

    items: Sequence[tuple[str, str]]
    block: ClassVar[str] = "terms"


@dataclass(frozen=True)
class Steps:
    """What happens next, or what to do, a line each."""

    items: Sequence[str | Markup]
    block: ClassVar[str] = "steps"


@dataclass(frozen=True)
class Panel:
    """One part of the first screen."""

    title: str
    blocks: Sequence[Block]


@dataclass(frozen=True)
class Panels:
    """Parts of the first screen in two columns; where there is room for one, the columns' parts come in turn."""

    left: Sequence[Panel]
    right: Sequence[Panel]
    block: ClassVar[str] = "panels"


Block = Facts | Charts | Table | Prose | Terms | Steps | Panels


@dataclass(frozen=True)
class Section:
    """A chapter of the page; ``missing`` says what was not measured and why; with ``part`` a part of this name begins."""

    key: str
    title: str
    lead: str
    blocks: Sequence[Block] = field(default=())
    missing: str = ""
    part: str = ""


@dataclass(frozen=True)
class Head:
    """What was decided: in a word (``tone`` its colour), a headline and a sentence; what to know of it; the first screen."""

    word: str
    tone: str
    headline: str
    sentence: str = ""
    about: Sequence[tuple[str, str]] = ()
    blocks: Sequence[Block] = ()


@dataclass(frozen=True)
class Page:
    """A whole page: its head (called ``first`` among the contents), what it is about in a few words, and its sections."""

    title: str
    name: str
    about: Sequence[str]
    head: Head
    sections: Sequence[Section]
    first: str = "Summary"
    footer: str = "Made by Refit. This page holds everything it shows; it needs no network and no server."


def text(value: object) -> Cell:
    """A cell of words; a dash where there are none."""
    return Cell("–" if value is None else str(value))
