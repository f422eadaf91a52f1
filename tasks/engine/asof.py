"""The rule of time, once for all engines: as of when a row asks, and which events it sees.

An event that happened at ``s`` and was known from ``k`` on (until ``u``, where it was corrected) is seen by a row at ``t``
through a window of length ``w`` where ``k < t <= min(s + w, u)``. The row's own event is not seen.
"""

from __future__ import annotations

from typing import TypeVar, overload

import numpy as np

from tasks.engine.facts import FOREVER, MISSING
from tasks.engine.plan import Plan
from tasks.engine.source import FrameRows, Source
from tasks.stored import Frame
from tasks.values.durations import Span

Moment = TypeVar("Moment", int, np.ndarray)  # µs: of one row or event, or of many (int64)


def prediction_times(plan: Plan, rows: Frame) -> np.ndarray:
    """int64 µs for each row of the problem table; MISSING where the plan has no times or the row has none."""
    return asked_at(plan, FrameRows(plan.own, rows))


def asked_at(plan: Plan, source: Source) -> np.ndarray:
    """:func:`prediction_times` of rows of any source.

    What caps them is what the row's columns say, and not when it was received: the features of an event are the same
    however late it came.
    """
    if plan.time is None:
        return np.full(len(source), MISSING)
    t = plan.time.of(source.moment(plan.time.column))
    if plan.cap:
        known = plan.cap.of(source.moment(plan.cap.column))
        t = np.where((t == MISSING) | (known == MISSING), t, np.minimum(t, known))
    return t


@overload
def known_before(known: int, t: int) -> bool: ...


@overload
def known_before(known: np.ndarray, t: np.ndarray | int) -> np.ndarray: ...


def known_before(known: np.ndarray | int, t: np.ndarray | int) -> np.ndarray | bool:
    """Whether events are known at ``t``."""
    return (known != MISSING) & (known < t)


def first_in(span: Span, t: Moment) -> Moment | None:
    """The first moment that a window at ``t`` holds; None where it is not bounded in time."""
    return None if span.micros is None else t - span.micros


def last_seen(span: Span, event: np.ndarray, until: np.ndarray | None) -> np.ndarray:
    """The last moments at which events are in view through a window that time bounds, or nothing."""
    leave = np.full(len(event), FOREVER) if span.micros is None else event + span.micros
    return leave if until is None else np.minimum(leave, until)
