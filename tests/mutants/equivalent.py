"""Changes that survive because they change nothing that can be seen; each with its reason. The score leaves them out.

A change that is seen only in speed or memory belongs here; one that no test notices yet does not. ``key`` is the file, the
function and the change in words, as the run prints them.
"""

from __future__ import annotations

EQUIVALENT: dict[tuple[str, str, str], str] = {}
