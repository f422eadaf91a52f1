"""What the report shows and nothing is decided by: where it cannot be made, the run goes on without it and says so."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from tasks.errors import in_a_line


class Pages:
    """Values for the report by name, and why others were left out (``left_out.json``).

    >>> pages = Pages(lambda line: print(line.partition(":")[0]))
    >>> pages.add("curves", lambda: {"x": [1.0]}), pages.add("rows", lambda: 1 // 0), pages.add("why", lambda: float("nan"))
    rows was left out
    why was left out
    ({'x': [1.0]}, None, None)
    >>> pages.made, list(pages.left_out)
    ({'curves': {'x': [1.0]}}, ['rows', 'why'])
    """

    def __init__(self, log: Callable[[str], None]) -> None:
        self._log = log
        self.made: dict[str, Any] = {}
        self.left_out: dict[str, str] = {}

    def add(self, name: str, make: Callable[[], Any]) -> Any:
        """What ``make`` returns, noted under the name; None where it fails, or holds a number that is none."""
        try:
            value = make()
            json.dumps(value, allow_nan=False)
        except Exception as error:
            self.left_out[name] = in_a_line(error)
            self._log(f"{name} was left out: {self.left_out[name]}")
            return None
        self.made[name] = value
        return value
