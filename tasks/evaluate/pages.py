"""What the report shows and nothing is decided by: where it cannot be made, the run goes on without it and says so."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import TypeVar

from tasks.artifacts import Artifact, LeftOut
from tasks.errors import in_a_line

Page = TypeVar("Page", bound=Artifact)


class Pages:
    """Values for the report, and why others were left out.

    >>> from tasks.artifacts import Confusion
    >>> pages = Pages(lambda line: print(line.partition(":")[0]))
    >>> pages.add(Confusion, lambda: 1 // 0)
    confusion was left out
    >>> pages.made, list(pages.left_out.to_dict())
    ([], ['confusion'])
    """

    def __init__(self, log: Callable[[str], None]) -> None:
        self._log = log
        self.made: list[Artifact] = []
        self.left_out = LeftOut()

    def add(self, page: type[Page], make: Callable[[], Page]) -> Page | None:
        """What ``make`` returns, noted; None where it fails, or holds a number that is none."""
        try:
            value = make()
            json.dumps(value.to_dict(), allow_nan=False)
        except Exception as error:
            self.leave_out(page, in_a_line(error))
            return None
        self.made.append(value)
        return value

    def leave_out(self, page: type[Artifact], why: str) -> None:
        """Note that it is not made, and why."""
        name = page.NAME.removesuffix(".json")
        self.left_out = self.left_out.model_copy(update={name: why})
        self._log(f"{name} was left out: {why}")
