"""Which test rows two models may be compared on: rows that neither has seen, each counted once.

The challenger's test part holds no row that it was fitted or chosen on. Of these rows

- *unseen* are those that the champion was not fitted, tuned, calibrated or chosen on either, by its own record;
- *fresh* are the unseen ones that no look had counted when the champion took office: older ones helped to choose it,
  so comparisons on them favour it;
- *new* are those that no earlier look has counted at all.

Where enough rows are fresh, they alone decide. How many are enough is a matter of counts: no score is looked at.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from tasks.artifacts import ComparedRows
from tasks.bundle.seen import Seen
from tasks.compare.scores import Incomparable
from tasks.errors import some
from tasks.identity import Identity, Rule, identify
from tasks.stored import Frame

if TYPE_CHECKING:
    from tasks.params import Table

LEAST = 20  # unseen rows below which nothing is judged
LEAST_RARER = 5  # of them, rows that are not of the most frequent class
FRESH = 500  # fresh rows that decide alone
FRESH_RARER = 50


@dataclass(frozen=True)
class Counted:
    """The rows that one earlier look counted; ``number`` is its decision's place in the history."""

    number: int
    seen: Seen


@dataclass(frozen=True)
class DecidingRows:
    """Which rows decide, as positions in the test part, ascending (n,); ``new`` (n,) marks those never counted before.

    ``decisive``: they are fresh, so that *worse* may be said too. ``counts`` are for the verdict file.
    """

    at: np.ndarray
    new: np.ndarray
    decisive: bool
    counts: ComparedRows


def unseen(
    whole: Frame, time: pd.Series, at: np.ndarray, table: Table, seen: Seen | None, as_of: str | None
) -> tuple[np.ndarray, list[str]]:
    """Which test rows the champion has not seen, bool, and warnings.

    Parameters
    ----------
    whole : the problem's whole table. time : (n,) the test rows' prediction time. at : (n,) their positions in it.
    table : the table as it is declared today.
    seen : the champion's record; None where its package has none.
    as_of : up to when the data of a champion without a record was known, as its receipt says.

    Raises
    ------
    Incomparable
        If nothing tells which rows the champion has seen.
    """
    if seen is not None and seen.can_ask(table):
        known = seen.has(identify(whole, seen.rule))
        warnings = []
        if not known.any():
            warnings.append(
                "None of this table's rows is among those that the champion was fitted on. That is right where old rows were "
                f"dropped; if they are there in another form ({some(seen.rule.columns)} written otherwise), the champion "
                "is judged on rows that it has seen."
            )
        return ~known[at], warnings
    if seen is None:
        until, why = pd.Timestamp(as_of) if as_of else None, "does not say which rows it was fitted on"
    else:
        until, why = seen.until, f"knows rows by {some(seen.rule.columns)}, which this table does not have as they were"
    if until is None or time.isna().any():
        raise Incomparable(
            f"the champion's package {why}, and nothing else tells which rows are new to it. Promote a version by hand "
            "once (`refit promote VERSION --reason ...`); later runs are compared with that one."
        )
    return (time > until).to_numpy(), [
        f"The champion's package {why}; it is compared on rows newer than all of its own ({until:%Y-%m-%d %H:%M} UTC)."
    ]


def choose(whole: Frame, at: np.ndarray, y: np.ndarray, unseen: np.ndarray, classes: bool,
           time: pd.Series, table: Table, looks: list[Counted], since: int, until: str | None) -> DecidingRows:  # fmt: skip
    """Which of the unseen rows decide.

    Parameters
    ----------
    y : (n,) the test rows' truth. unseen : (n,) bool. looks : what earlier looks counted.
    since : number of the decision that made the champion what it is; what was counted up to it is not fresh.
    until : rows up to this moment were counted by looks of earlier versions of Refit, which kept no other record.

    Raises
    ------
    Incomparable
        If too few rows are unseen.
    """
    first = counted_by(whole, at, time, table, looks)
    if until is not None:
        first = np.where((time <= pd.Timestamp(until)).to_numpy(), 0, first)
    fresh, new = unseen & (first > since), unseen & np.isinf(first)
    if not _enough(y[unseen], classes, LEAST, LEAST_RARER):
        rarer = f" ({_rarer(y[unseen])} of them not of the most frequent class)" if classes else ""
        raise Incomparable(
            f"of {len(at):,} test rows only {int(unseen.sum()):,}{rarer} are unseen by both models, too few to judge. "
            "Bring more labelled rows, or a larger split.test."
        )
    decisive = _enough(y[fresh], classes, FRESH, FRESH_RARER)
    chosen = np.flatnonzero(fresh if decisive else unseen)
    counts = ComparedRows(
        test=len(at), unseen=int(unseen.sum()), fresh=int(fresh.sum()), new=int(new.sum()), compared=len(chosen)
    )
    return DecidingRows(chosen, new[chosen], decisive, counts)


def counted_by(whole: Frame, at: np.ndarray, time: pd.Series, table: Table, looks: list[Counted]) -> np.ndarray:
    """Number of the look that first counted each test row, float64 (n,); infinite where none did.

    A look whose rows can no longer be told apart has counted all rows up to its newest one; without time, all rows.
    """
    first = np.full(len(at), np.inf)
    named: dict[Rule, Identity] = {}
    for look in sorted(looks, key=lambda look: -look.number):
        if look.seen.can_ask(table):
            rule = look.seen.rule
            if rule not in named:
                whole_now = identify(whole, rule)
                named[rule] = Identity(whole_now.row[at], whole_now.content[at])
            inside = look.seen.has(named[rule])
        elif look.seen.until is not None:
            inside = ~(time > look.seen.until).to_numpy()
        else:
            inside = np.ones(len(at), dtype=bool)
        first[inside] = look.number
    return first


def _rarer(y: np.ndarray) -> int:
    """Rows that are not of the most frequent class."""
    return len(y) - int(np.unique(y, return_counts=True)[1].max()) if len(y) else 0


def _enough(y: np.ndarray, classes: bool, rows: int, rarer: int) -> bool:
    return len(y) >= rows and (not classes or _rarer(y) >= rarer)


def said(counts: ComparedRows) -> str:
    """The counts in words, for the steps of a verdict.

    >>> said(ComparedRows(test=600, unseen=357, fresh=12, new=12, compared=357))
    'Of 600 test rows the champion has seen 243; of the 357 unseen ones 12 are fresh (first counted after it took office).'
    """
    return (
        f"Of {counts.test:,} test rows the champion has seen {counts.test - counts.unseen:,}; of the {counts.unseen:,} unseen "
        f"ones {counts.fresh:,} are fresh (first counted after it took office)."
    )
