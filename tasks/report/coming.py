"""What comes after a run: whose labels are awaited until when, how often runs come, and what the next one decides."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import pairwise
from typing import TYPE_CHECKING

from tasks.artifacts import Past
from tasks.artifacts.columns import KNOWN, SPLIT, TARGET, TIME
from tasks.report.numbers import day, number

if TYPE_CHECKING:
    import pandas as pd

USUAL = 0.95  # of the labels came so soon that who waits longer is not counted on
UNEVEN = 1.5  # runs come evenly where the longest time between two is at most so many times the shortest


@dataclass(frozen=True)
class Awaited:
    """Rows whose label is not known yet: how many, of which moments (``first`` to ``last``), and until when they wait (ISO).

    ``guessed``: nothing says when they come, so ``until`` goes by how long labels took so far.
    """

    rows: int
    first: str
    last: str
    until: str
    guessed: bool = False

    def sentence(self) -> str:
        """
        >>> Awaited(480, "2024-06-17", "2024-06-24", "2024-07-08").sentence()
        'The labels of 480 rows (17 Jun 2024 to 24 Jun 2024) are awaited until 8 Jul 2024; a run judges by those that are known by then.'
        """
        first, last = day(self.first), day(self.last)
        of = f"{number(self.rows)} {'row' if self.rows == 1 else 'rows'} ({first if first == last else f'{first} to {last}'})"
        about = "about " if self.guessed else ""
        return f"The labels of {of} are awaited until {about}{day(self.until)}; a run judges by those that are known by then."


def awaited(rows: pd.DataFrame, as_of: str | None) -> Awaited | None:
    """Which rows of the features' table wait for their label; None where none does, or labels have no moments.

    ``as_of`` None: what counts is known up to the newest row. A row that waits longer than nearly all did waits for nothing.
    """
    import pandas as pd

    cut, took = pd.Timestamp(as_of) if as_of else rows[TIME].max(), (rows[KNOWN] - rows[TIME]).quantile(USUAL)
    if pd.isna(cut) or pd.isna(took):
        return None
    due = rows[KNOWN].fillna(rows[TIME] + took)
    waits = (rows[SPLIT] == "pending") & rows[TARGET].isna() & (due > cut)
    if not waits.any():
        return None
    times, due = rows.loc[waits, TIME], due[waits]
    first, last, until = (str(one.isoformat()) for one in (times.min(), times.max(), due.max()))
    return Awaited(int(waits.sum()), first, last, until, bool(rows.loc[waits, KNOWN].isna().any()))


def rhythm(past: Past | None, as_of: str | None) -> str:
    """How often runs came, and up to when the next would see data; empty where they came unevenly, or too few did.

    >>> from tasks.artifacts import Measured, PastDecision
    >>> days = ["2024-06-10", "2024-06-17"]
    >>> made = [PastDecision(number=1, action="keep", version="1", champion=None, by="", measured=Measured(as_of=d)) for d in days]
    >>> rhythm(Past(decisions=made), "2024-06-24")
    'Runs came every 7 days so far. If that goes on, the next sees data up to 1 Jul 2024.'
    """
    moments = {d.measured.as_of for d in past.decisions if d.measured.as_of} if past else set()
    at = sorted(datetime.fromisoformat(one) for one in moments | ({as_of} if as_of else set()))
    gaps = [later - earlier for earlier, later in pairwise(at)]
    if as_of is None or len(gaps) < 2 or max(gaps) > UNEVEN * min(gaps) or min(gaps) < timedelta(hours=12):
        return ""
    usual = sorted(gaps)[len(gaps) // 2]
    often = "every day" if round(usual / timedelta(days=1)) == 1 else f"every {round(usual / timedelta(days=1))} days"
    following = (datetime.fromisoformat(as_of) + usual).isoformat()
    return f"Runs came {often} so far. If that goes on, the next sees data up to {day(following)}."


def decides(champion: str | None, approval: bool) -> str:
    """What the next run is for, ``champion`` being the version that is in service then.

    >>> decides("3", False)
    'The next run makes a model of what is known by then, and compares it with version 3 on rows that neither has seen.'
    """
    asked = " A person approves before anything changes." if approval else ""
    if champion is None:
        return f"The next run makes a model of what is known by then, and judges whether it is better than none.{asked}"
    return (
        f"The next run makes a model of what is known by then, and compares it with version {champion} on rows that "
        f"neither has seen.{asked}"
    )
