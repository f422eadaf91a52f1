"""Which column says when a row happened, so that later rows can be kept for the test; and which times come after it.

A time split is proposed wherever there is such a column: rows of a random split learn from rows that came later, and the
estimate is too good. No moment of its row is a birthday and the like (by its name, or dates over more than
:data:`LIFETIME` in no order), a plan (a due date), a column that is often empty, or one with too few different dates.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import pandas as pd

from tasks.values.moments import start_of_newest

GIVEN = 0.98  # rows without a moment cannot be predicted, so nearly all must have one
LIFETIME = pd.Timedelta(days=365.25 * 40)
LEAST, MOST = 0.05, 0.4  # what may become of a fifth of the rows where moments are not parted
LATER = 0.05  # a time later than the row's own in more rows than this was perhaps not known then
PARTS = (("test", 0.2), ("valid", 0.2))
OF_A_LIFE = re.compile(
    r"birth|born|\bdob\b|death|died|hire|\bjoin|\bsince\b|sign ?up|member|enrol|found|establish|manufactur|\bbuilt\b|"
    r"\brelease|\blaunch|\bopened account|\bseit\b|geburt|geboren|naissance|nacimiento"
)
AHEAD = re.compile(r"\bdue\b|deadline|expir|valid|promis|target|renew|until")  # of what shall be, and never of a row
PLANNED = re.compile(rf"{AHEAD.pattern}|sched|plan|expect|estimat")  # known beforehand, though later
FIRST = re.compile(
    r"order|transaction|sale|sold|purchase|creat|event|issue|place|pick ?up|request|start|observ|measur|open|admi"
)
LAST = re.compile(
    r"deliver|ship|arriv|return|clos|\bend|paid|payment|resol|complet|updat|modif|drop ?off|last|next|prev|first|discharg"
)
PLAIN = re.compile(r"date|time|timestamp|datetime|day|month|ts|at|when|period|moment|quarter|week")


@dataclass(frozen=True)
class Moment:
    """The chosen column (None: no moment of the rows) and why; columns later than it; and why others were not taken."""

    column: str | None
    why: str
    later: dict[str, str] = field(default_factory=dict)
    not_taken: dict[str, str] = field(default_factory=dict)


def calendar(names: Iterable[str]) -> list[str]:
    """Columns that tell a row's time in pieces, or too coarsely to divide by: year, month and day as numbers.

    >>> calendar(["origin", "year", "Month", "temp"])
    ['year', 'Month']
    """
    found = [
        name
        for name in names
        if re.fullmatch(r"(year|yr|month|mon|day|dayofmonth|week|quarter)s?", _spaced(name).replace(" ", ""))
    ]
    return found if any(_spaced(name).startswith("y") for name in found) else []


def choose(times: Mapping[str, pd.Series]) -> Moment:
    """Choose among the columns with times, each a ``datetime64`` series in the rows' order.

    >>> days = pd.Series(pd.date_range("2020-01-01", periods=100))
    >>> found = choose({"sold": days, "delivered": days + pd.Timedelta(days=3), "birth_date": days - pd.Timedelta("9000D")})
    >>> found.column, found.later, found.not_taken
    ('sold', {'delivered': 'later than sold in 100% of rows'}, {'birth_date': 'by its name no moment of the row'})
    """
    not_taken = {name: why for name, values in times.items() if (why := _unfit(name, values))}
    fit = [name for name in times if name not in not_taken]
    if not fit:
        whys = "; ".join(f"{name}: {why}" for name, why in not_taken.items())
        return Moment(None, whys or "no column says when a row happened", not_taken=not_taken)
    scores = {name: _score(name, times[name]) for name in fit}
    for name in fit:  # what often comes after another one is rather how a row ended
        scores[name] -= sum(_share_later(times[name], times[other]) > 0.5 for other in fit if other != name)
    chosen = max(fit, key=lambda name: scores[name])
    later = {}
    for name, values in times.items():
        share = _share_later(values, times[chosen]) if name != chosen else 0.0
        if share > LATER and not PLANNED.search(_spaced(name)):
            later[name] = f"later than {chosen} in {100 * share:.0f}% of rows"
    return Moment(chosen, f"{chosen} says when each row happened", later, not_taken)


def _unfit(name: str, values: pd.Series) -> str:
    """Why a column cannot be the moment of its row; empty if it can."""
    spaced = _spaced(name)
    if OF_A_LIFE.search(spaced):
        return "by its name no moment of the row"
    if AHEAD.search(spaced):
        return "by its name a plan"
    known = values.dropna()
    if len(known) < GIVEN * len(values):
        return f"empty in {100 * (1 - len(known) / len(values)):.0f}% of rows"
    left, size = known, len(known)
    for _, share in PARTS:
        start = start_of_newest(left, share * size)
        newest = 0.0 if start is None else float((left >= start).sum()) / size
        if start is None or not LEAST <= newest <= MOST:
            return f"only {known.nunique()} different dates, too few to part the newest rows"
        left = left[left < start]
    low, high = (pd.Timestamp(moment) for moment in known.quantile([0.005, 0.995]))
    if high - low > LIFETIME and not _in_order(known):
        return f"its dates span {(high - low).days / 365.25:.0f} years in no order, as birthdays do"
    return ""


def _score(name: str, values: pd.Series) -> float:
    spaced = _spaced(name)
    score = 3.0 * _in_order(values.dropna())
    score += 1.0 * bool(FIRST.search(spaced)) - 2.0 * bool(LAST.search(spaced))
    return score + 1.0 * bool(PLAIN.fullmatch(spaced))


def _share_later(values: pd.Series, than: pd.Series) -> float:
    """The share of rows in which a time is later; of days alone, on a later day."""
    both = values.notna() & than.notna()
    if not both.any():
        return 0.0
    a, b = values[both], than[both]
    if bool((b.dt.floor("D") == b).all()):
        a = a.dt.floor("D")
    return float((a > b).mean())


def _in_order(known: pd.Series) -> bool:
    return known.nunique() > 2 and bool(known.is_monotonic_increasing or known.is_monotonic_decreasing)


def _spaced(name: str) -> str:
    """A name's words, small and with spaces between.

    >>> _spaced("orderDate"), _spaced("sold_at")
    ('order date', 'sold at')
    """
    return " ".join(re.findall(r"[a-z]+", re.sub(r"(?<=[a-z0-9])(?=[A-Z])", " ", name).lower()))
