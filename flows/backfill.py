"""``refit backfill``: the moments that are made up for, oldest first."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

from tasks.errors import RefitError

MOST = 500  # runs of one command


def moments(begin: str, end: str, every: str) -> list[datetime]:
    """The moments from ``begin`` on, ``every`` so long, up to ``end``; a date means its end, as everywhere.

    >>> [f"{at:%d %H:%M}" for at in moments("2026-10-05", "2026-10-20", "7d")]
    ['05 23:59', '12 23:59', '19 23:59']

    Raises :class:`RefitError` for what is no moment or duration, for none at all and for very many.
    """
    from flows.context import moment
    from tasks.values.durations import Duration

    try:
        step = Duration.read(every).delta
    except ValueError as error:
        raise RefitError(f"--every: {error}; found {every!r}.") from None
    first, last = moment(begin), moment(end)
    if last < first:
        raise RefitError(f"--from, --to: the first moment comes after the last; found {begin!r} and {end!r}.")
    count = (last - first) // step + 1
    if count > MOST:
        raise RefitError(
            f"--every: {every} from {begin} to {end} are {count:,} runs, and one command makes up to {MOST}. Make the steps longer, "
            "or give parts of the time."
        )
    return [first + k * step for k in range(count)]


def check(root: Path, asked: list[datetime]) -> None:
    """Tell what is wrong before the first run, also with the last moment."""
    from flows import preflight

    for at in dict.fromkeys([asked[0], asked[-1]]):
        preflight.require(root, at.isoformat())
