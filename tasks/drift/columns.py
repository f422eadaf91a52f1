"""One column's entry of ``drift.json``: what its checks found, in a sentence, with its distributions."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import pandas as pd

from tasks.artifacts import Distribution, DriftOfColumn
from tasks.artifacts.drift import State
from tasks.drift.evidently_measures import Measured, decided_by
from tasks.ordinary.cells import MISSING, ODD
from tasks.ordinary.checks import ENOUGH, LENGTHS, Found, look
from tasks.ordinary.record import Column
from tasks.values.edges import even

BINS = 20
LEVELS = 12
SEASON = pd.Timedelta(days=365.25)
ALARM = {
    "mean": "shift", "spread": "spread", "edge": "extremes", "far": "unit", "missing": "missing values", "level": "shares",
    "new": "new category", "single": "new category",
}  # fmt: skip


def entry(column: Column, reference: pd.Series, windows: list[pd.Series], columns: float, length: int | None,
          ends: float | None, season: int | None, measured: list[Measured]) -> DriftOfColumn:  # fmt: skip
    """What is said of one column.

    Parameters
    ----------
    column : its record. reference : a sample of the reference's rows, for the sentence and the picture.
    windows : the newest rows' values, by :data:`tasks.ordinary.checks.LENGTHS`; the second may be absent.
    columns : how many columns share the level of one false alarm a year. length : past windows that make one of these; None: past windows are of no use.
    ends : where the newest window ends, in past windows after the record's end. season : past windows in a year.
    measured : Evidently's measures of each of ``windows``.

    Returns
    -------
    Its ``state`` is ``drifted``, ``seasonal`` (moved as it did a year before), ``varies`` (moved as it often does) or
    ``stable``.
    """
    if length is None:
        column = Column(column.name, column.cells, column.total, column.past[:0], column.once, column.twice,
                        column.own[:0], column.largest[:0], column.watched, column.alike)  # fmt: skip
    found = []
    for count, values, told in zip(LENGTHS, windows, measured, strict=False):
        counts = column.cells.counts(values)
        size = count * (length or 1)
        at = np.array([ends]) if ends is not None else None
        found.append(look(column, counts[None], np.array([_largest(column, values)]), size, at, season, told))
    best, state, kinds = _decide(found, columns)
    i, j = best
    one, now = found[i], windows[i]
    left = reference.dropna()
    out = DriftOfColumn(
        column=column.name,
        kind=column.cells.kind,
        state=state,
        drifted=state == "drifted",
        alarms=kinds,
        test=one.kinds[j],
        measure=decided_by(one.kinds[j]),
        value=tidy(one.value[0, j]),
        statistic=tidy(_strength(one, columns)[j]),
        threshold=1.0,
        p=tidy(one.p[0, j]),
        windows=LENGTHS[i],
        past_windows=len(column.past),
        limit="past windows" if len(column.past) >= ENOUGH else "parametric",
        missing=(tidy(column.total[MISSING] / max(column.total.sum(), 1)), tidy(windows[0].isna().mean())),
        psi=psi(column, windows[0]),
        said=None if state == "stable" else said(column, one, j, reference, now),
    )
    if not len(left) or not len(windows[0].dropna()):
        return out
    return out.model_copy(update={"distribution": distribution(left, windows[0].dropna(), column.cells.kind)})


def _strength(found: Found, columns: float, moved: bool = False) -> np.ndarray:
    """How far each check is beyond its limit (1 and more: beyond); float64 (q,)."""
    p = found.moved[0] if moved else found.p[0]
    return np.log(np.maximum(p, 1e-300)) / np.log(found.limit(columns))


def _decide(found: list[Found], columns: float) -> tuple[tuple[int, int], State, list[str]]:
    """Which length and check says most, the column's state, and the alarms' kinds."""
    plain = [_strength(f, columns) for f in found]
    moved = [_strength(f, columns, True) for f in found]
    tries: list[tuple[State, list[np.ndarray], list[np.ndarray]]] = [
        ("drifted", plain, [f.alarms(columns)[0] for f in found]),
        ("seasonal", plain, [f.season[0] & (f.p[0] <= f.limit(columns)) for f in found]),
        ("seasonal", moved, [f.season[0] & (f.moved[0] <= f.limit(columns)) for f in found]),
        ("varies", moved, [f.moved[0] <= f.limit(columns) for f in found]),
    ]
    for state, value, fit in tries:
        if any(f.any() for f in fit):
            best = max(
                (float(v[j]), -i, -int(j))
                for i, (v, f) in enumerate(zip(value, fit, strict=True))
                for j in np.flatnonzero(f)
            )
            kinds = [ALARM[f.kinds[j]] for f, chosen in zip(found, fit, strict=True) for j in np.flatnonzero(chosen)]
            return (-best[1], -best[2]), state, list(dict.fromkeys(kinds)) if state == "drifted" else []
    best = max((float(v[j]), -i, -j) for i, v in enumerate(plain) for j in range(len(v)))
    return (-best[1], -best[2]), "stable", []


def _unseen(column: Column, values: pd.Series) -> pd.Series:
    """Rows by unseen level, most frequent first."""
    odd = values[column.cells.codes(values) == ODD]
    counts = odd.astype(str).value_counts()
    return counts.iloc[np.lexsort([counts.index.to_numpy(str), -counts.to_numpy()])] if len(counts) else counts


def _largest(column: Column, values: pd.Series) -> int:
    if column.cells.kind == "numeric":
        return 0
    counts = _unseen(column, values)
    return int(counts.iloc[0]) if len(counts) else 0


def said(column: Column, found: Found, j: int, reference: pd.Series, now: pd.Series) -> str:
    """The finding in words; the column's name comes before it."""
    kind, value, usual = found.kinds[j], float(found.value[0, j]), float(found.usual[j])
    left, right = reference.dropna(), now.dropna()
    if kind == "missing":
        was = column.total[MISSING] / max(column.total.sum(), 1)
        return f"{_percent(value)} of the values are missing ({_percent(was)} in the reference)"
    if kind in ("new", "single"):
        counts = _unseen(column, now)
        names = ", ".join(repr(str(level)) for level in counts.index[:3]) + (", …" if len(counts) > 3 else "")
        share = counts.sum() / max(len(right), 1)
        what = f"new category {names}" if len(counts) == 1 else f"{len(counts):,} new categories ({names})"
        expected = f", {_percent(column.once / max(column.total[1:].sum(), 1))} expected" if column.once else ""
        return f"{what} in {_percent(share)} of the rows{expected}"
    if kind == "level":
        return f"{found.levels[j]!r} is {_percent(value)} of the rows ({_percent(usual)} in the reference)"
    if kind == "far":
        low, high = column.cells.far
        outside = right[(right < low) | (right > high)].abs()
        return f"{_percent(value)} of the values lie far outside all that was seen{_times(outside, left)}"
    if kind == "edge":
        return f"{_percent(value)} of the values lie at the edges of what was seen or beyond ({_percent(usual)} in the reference)"
    if kind == "spread":
        a, b = (float(np.subtract(*np.quantile(x, [0.75, 0.25]))) for x in (left, right))
        more = "more" if value > usual else "less"
        return f"values are {more} spread out (middle half {_short(b)} wide, {_short(a)} in the reference)"
    a, b = (float(x.median()) for x in (left, right))
    if _short(a) == _short(b):
        a, b = float(left.mean()), float(right.mean())
        return f"values are {'higher' if value > usual else 'lower'} (mean {_short(b)}, {_short(a)} in the reference)"
    return f"values are {'higher' if value > usual else 'lower'} (median {_short(b)}, {_short(a)} in the reference)"


def _times(outside: pd.Series, left: pd.Series) -> str:
    usual = float(left.abs().median()) if len(left) else 0.0
    if not len(outside) or usual <= 0:
        return ""
    power = int(np.rint(np.log10(max(float(outside.median()) / usual, 1e-300))))
    return f", about {10**power:,} times the usual size (another unit?)" if 1 <= power <= 12 else ""


def _percent(share: float) -> str:
    """A share in words.

    >>> _percent(0.05), _percent(0.0012), _percent(0), _percent(0.1532)
    ('5%', '0.12%', '0%', '15%')
    """
    return f"{100 * float(share):.2g}%" if 0 < share < 0.0995 else f"{100 * float(share):.0f}%"


def _short(value: float) -> str:
    return f"{value:,.4g}" if abs(value) < 1e6 else f"{value:.3g}"


def psi(column: Column, values: pd.Series) -> float | None:
    """Population stability index over the column's cells, less what chance alone adds to it; it describes, and decides nothing.

    Empty cells count as half a row. Chance adds about (cells - 1) (1/n + 1/N).
    """
    now, then = column.cells.counts(values)[1:], column.total[1:]
    used = (now + then) > 0
    if not now.sum() or not then.sum():
        return None
    p = np.maximum(then[used], 0.5) / then.sum()
    q = np.maximum(now[used], 0.5) / now.sum()
    chance = (used.sum() - 1) * (1 / now.sum() + 1 / then.sum())
    return tidy(max(float(((q - p) * np.log(q / p)).sum()) - chance, 0.0))


def distribution(reference: pd.Series, current: pd.Series, kind: str) -> Distribution:
    """Shares per bin of both samples, for a picture.

    Numeric: at most :data:`BINS` equal bins between the 0.5% and 99.5% quantiles of both (the rest counts in the
    outer bins): ``edges`` has one number more than ``reference`` and ``current``. Categorical: ``levels``, the
    :data:`LEVELS` most frequent of the reference and current together, then "other".
    """
    if kind == "numeric":
        both = np.concatenate([reference.to_numpy(float), current.to_numpy(float)])
        with np.errstate(over="ignore", invalid="ignore"):
            low, high = np.quantile(both, [0.005, 0.995])
        if low == high or not np.isfinite([low, high]).all():
            low, high = both.min(), both.max()
        # Values in another unit would squeeze all others into one bin.
        first, last = np.quantile(reference, [0, 1])
        with np.errstate(over="ignore"):  # a distance beyond all numbers limits nothing
            low, high = max(low, first - (last - first)), min(high, last + (last - first))
        if low > high:
            low, high = min(first, float(both.min())), max(last, float(both.max()))
        edges = even(float(low), float(high), BINS)
        sides = [np.histogram(x.clip(low, high), edges)[0] / len(x) for x in (reference, current)]
        return Distribution(edges=_tidy(edges), reference=_tidy(sides[0]), current=_tidy(sides[1]))
    left, right = reference.value_counts(), current.value_counts()
    levels = sorted({*left.index, *right.index}, key=str)
    shares = [x.reindex(levels, fill_value=0).to_numpy(float) for x in (left, right)]
    shares = [x / x.sum() for x in shares]
    order = np.argsort(-(shares[0] + shares[1]), kind="stable")
    top, rest = order[:LEVELS], order[LEVELS:]
    names = [str(levels[i]) for i in top]
    told = [x[top].tolist() for x in shares]
    if len(rest):
        names.append("other")
        told = [[*s, x[rest].sum()] for s, x in zip(told, shares, strict=True)]
    return Distribution(levels=names, reference=_tidy(told[0]), current=_tidy(told[1]))


def tidy(value: float) -> float:
    """Ten significant digits: what is left after them depends on the order of summation, not on the data."""
    return float(f"{float(value):.10g}")


def _tidy(values: Iterable[float]) -> list[float]:
    return [tidy(v) for v in values]
