"""One column's checks: how improbable the newest rows are, given how past windows of the same length differed.

Every check is a mean over rows of a function of the cell (:mod:`tasks.ordinary.cells`): the normal score of a number
(*mean*), its distance from the middle (*spread*), whether it lies at the edge (*edge*) or far outside (*far*), whether the
value is missing, is a certain level, or an unseen one (*new*). Its difference from the reference has the variance

    v = s² (1/n + 1/N) + b (1 + 1/K)

with s² of the function in the reference's N rows, n new rows, and b between windows: of K past windows, if these are
at least :data:`ENOUGH`, what their variance exceeds s²/n by. With fewer windows the threshold is *parametric*: b is that
of windows that differ by :data:`ALLOWED` standard deviations, or that of the past windows, where a chi-square test says
that they differ by more. The skewness of a mean is taken out by Wilson and Hilferty's cube root (Pearson III; 1931); of
fewer than :data:`MANY` expected events the tail is that of a negative binomial with the same variance. Where b was
estimated, the tail is Student's with K-1 degrees of freedom, and windows that are skewed, or are so on the scale of
logarithms, are given room. Rows that carry their neighbours' value, as features of history do, are counted by the design
effect where few windows tell (:func:`tasks.ordinary.record.dependence`).

Two lengths are looked at, the newest window and the newest two together: a lasting small shift is seen by the second.
The level is shared out over everything that is looked at in a year (:func:`level`), as Bonferroni.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import special

from tasks.ordinary.cells import MISSING, ODD
from tasks.ordinary.record import Column

ENOUGH = 50  # past windows from which on their own spread is the threshold
ALLOWED = 0.05  # standard deviations by which ordinary windows differ, where too few tell
RARE = 1 / 3  # the same for the share of a rare event: a third of the share
PRETEST = 0.01
ALARMS = 1.0  # false alarms a year of the whole table, at most, that the level allows for
LOOKS = 365  # a year, also of overlapping windows
LENGTHS = (1, 2)  # windows that are looked at together
EDGE = 0.002  # share of the reference that lies at the edges, half on either side
COMMON = 0.005  # share of a level from which on it is watched by itself
SEASONAL = 1e-2  # p-value above which nobody asks whether it is the season
MANY = 25  # expected events, from which on a cube root will do for their number
PERIODS = 2  # of history, before a season is believed
CARRIED = ("mean", "spread", "edge", "level")
LEAST = 30  # rows of a window below which it tells nothing


@dataclass(frozen=True)
class Found:
    """What the checks say of T looks: ``p`` (T, q) and the same from the parametric threshold alone (``moved``).

    ``kinds`` and ``levels`` (q,): the check and the level it is about ("" for none). ``share`` (q,): of the column's part of
    the level. ``value`` (T, q) and ``usual`` (q,): means of the check's function, new and in the reference. ``season``
    (T, q): whether the same windows a year before had moved alike.
    """

    kinds: tuple[str, ...]
    levels: tuple[str, ...]
    share: np.ndarray
    p: np.ndarray
    moved: np.ndarray
    value: np.ndarray
    usual: np.ndarray
    season: np.ndarray

    def limit(self, columns: float) -> np.ndarray:
        """p-value at which each check alarms; float64 (q,)."""
        return level(columns) * self.share

    def alarms(self, columns: float) -> np.ndarray:
        """Which checks of which look alarm; bool (T, q)."""
        return (self.p <= self.limit(columns)) & ~self.season


def level(columns: float) -> float:
    """The p-value at which a column with one check would alarm, so that a year has :data:`ALARMS` by chance at most.

    >>> level(100) == ALARMS / (LOOKS * len(LENGTHS) * 100)
    True
    """
    return ALARMS / (LOOKS * len(LENGTHS) * (columns or 1))


@dataclass(frozen=True)
class Check:
    """A function of the cell (``f``, float64 (cells,)), over the rows of the cells ``of``."""

    kind: str
    f: np.ndarray
    of: np.ndarray
    level: str = ""
    weight: float = 1.0
    one_sided: bool = False


def checks_of(column: Column) -> list[Check]:
    """What is looked at in a column; the most frequent unseen category (*single*) comes on top of it."""
    cells, size = column.cells, column.cells.count
    every = np.ones(size, dtype=bool)
    present = every.copy()
    present[MISSING] = False
    total = column.total[present].sum()
    out = [Check("missing", (~present).astype(float), every)]
    if total == 0:
        return out
    at = np.arange(size)
    if cells.kind == "numeric":
        share = np.where(present, column.total, 0) / total
        below = np.cumsum(share) - share
        score = cells.scores(column.total, _independent(column, float(total), len(column.past)))
        far = (at == ODD) | (at == size - 1)
        edge = present & (far | (below + share <= EDGE) | (1 - below <= EDGE))
        out += [
            Check("mean", score, present),
            Check("spread", np.abs(score - (score * share).sum()), present),
            Check("far", far.astype(float), present, one_sided=True),
        ]
        if (edge != far).any() and share[edge].sum() <= 2 * EDGE:
            out.append(Check("edge", edge.astype(float), present, one_sided=True))
        return out
    # Not the rare levels together: of those, fewer stand in new rows than in the reference, which they are known by.
    watched = [i for i in range(2, size - 1) if column.total[i] >= COMMON * total]
    out += [Check("level", (at == i).astype(float), present, cells.levels[i - 2], 1 / len(watched)) for i in watched]
    if column.watched:
        out.append(Check("new", (at == ODD).astype(float), present, one_sided=True))
    return out


def look(column: Column, now: np.ndarray, largest: np.ndarray, windows: int = 1, ends: np.ndarray | None = None,
         period: int | None = None, measured: dict[tuple[str, str], float] | None = None) -> Found:  # fmt: skip
    """All checks of one column, at T looks.

    Parameters
    ----------
    now : (T, cells) rows by cell. largest : (T,) rows of the most frequent unseen level; ignored for numbers.
    windows : of the record's length that ``now`` spans together.
    ends : (T,) how many windows after the record's end each look ends; None: seasons are not asked for.
    period : windows in a season.
    measured : what another program measured of the one look, by check and level; None: the means of ``now``.
    """
    checks = checks_of(column)
    answers = [
        _answer(column, c, now, windows, ends, period, None if measured is None else measured[c.kind, c.level])
        for c in checks
    ]
    if any(check.kind == "new" for check in checks):
        checks.append(Check("single", np.zeros(0), np.zeros(0), one_sided=True))
        answers.append(_single(column, now, largest, windows))
    weight = np.array([check.weight for check in checks])
    p, moved, value = (np.column_stack([getattr(a, part) for a in answers]) for part in ("p", "moved", "value"))
    return Found(
        tuple(check.kind for check in checks),
        tuple(check.level for check in checks),
        weight / weight.sum(),
        p,
        moved,
        value,
        np.array([answer.usual for answer in answers]),
        np.column_stack([answer.season for answer in answers]),
    )


@dataclass(frozen=True)
class _Answer:
    p: np.ndarray
    moved: np.ndarray
    value: np.ndarray
    usual: float
    season: np.ndarray


def _answer(column: Column, check: Check, now: np.ndarray, windows: int, ends: np.ndarray | None,
            period: int | None, measured: float | None) -> _Answer:  # fmt: skip
    of, rows = check.of.astype(float), float(column.total @ check.of)
    n, old_n = now @ of, column.past @ of
    value = now @ (check.f * of) / np.maximum(n, 1) if measured is None else np.array([measured])
    old = (column.own if check.kind == "new" else column.past @ (check.f * of)) / np.maximum(old_n, 1)
    whole = bool((old_n >= LEAST).all())
    old, old_n = old[old_n >= LEAST], old_n[old_n >= LEAST]
    # With few past windows, rows that carry their neighbours' value count for less.
    alike = column.alike if len(old) < ENOUGH and check.kind in CARRIED else 0.0
    independent = _independent(column, rows, len(old)) if alike else rows
    law = _law(check, column, old, independent / max(rows, 1))
    known = 1 + 1 / max(len(old), 1) if len(old) else 1.0
    plain = law.tail(value, n, rows, law.allowed * known / windows, np.inf, check.one_sided)
    rows = independent
    n, old_n = (each / (1 + np.maximum(each - 1, 0) * alike) for each in (n, old_n))
    between, df, follow = _between(old, old_n, law)
    shrunk = known * (1 + 2 * follow * (1 - 1 / windows)) / windows
    lean = _lean(old) / np.sqrt(windows) if np.isfinite(df) else 0.0
    p = law.tail(value, n, rows, between * shrunk, df, check.one_sided, lean)
    if np.isfinite(df) and check.kind != "mean":
        count = float((old * old_n).mean()) if law.rare else np.inf
        p = np.maximum(p, _on_logarithms(value, n, old, old_n, shrunk, count, check.one_sided))
    season = np.zeros(len(now), dtype=bool)
    far = ((p <= SEASONAL) | (plain <= SEASONAL)).any()  # else nothing is asked of a season
    if ends is not None and period is not None and far and whole and check.kind not in ("far", "new"):
        season = _season(old, law.mean, value, ends, period, windows)
    return _Answer(p, plain, value, law.mean, season)


@dataclass(frozen=True)
class _Law:
    """How the check's mean over n reference rows is spread: mean, variance and third central moment of a row.

    ``more``: variance that more rows do not lessen. ``allowed``: variance between windows, where too few windows tell.
    """

    mean: float
    variance: float
    third: float
    rare: bool
    more: float = 0.0

    @property
    def allowed(self) -> float:
        share = ALLOWED**2 * self.variance
        return min(share, (RARE * min(self.mean, 1 - self.mean)) ** 2) if self.rare else share

    def tail(self, value: np.ndarray, n: np.ndarray, rows: float, between: float, df: float, one_sided: bool,
             lean: float = 0.0) -> np.ndarray:  # fmt: skip
        """p-value of means ``value`` (T,) over ``n`` (T,) rows, given the reference's ``rows``; ``lean``: the windows' skewness."""
        some = np.maximum(n, 1e-9)
        shared = self.more + between + self.variance / rows  # what more new rows would not lessen
        v = np.maximum(self.variance / some + shared, 1e-24)
        cumulant, rarer = self.third / some**2, min(self.mean, 1 - self.mean)
        if (
            self.rare
        ):  # the share itself varies, and is not known well, as a gamma variable: the negative binomial's cumulant
            cumulant = cumulant + (1 if self.mean <= 0.5 else -1) * (3 * shared / some + 2 * shared**2 / rarer)
        x, skew = (value - self.mean) / np.sqrt(v), cumulant / v**1.5
        z = wilson_hilferty(
            x, np.where(x * lean > 0, np.sign(lean) * np.maximum(np.sign(lean) * skew, abs(lean)), skew)
        )
        if self.rare:
            over, under = negative_binomial(value if self.mean <= 0.5 else 1 - value, some, rarer, shared)
            over, under = (over, under) if self.mean <= 0.5 else (under, over)
            z = np.where(some * rarer < MANY, np.where(over < under, -special.ndtri(over), special.ndtri(under)), z)
        over, under = _tail(z, df), _tail(-z, df)
        p = over if one_sided else np.minimum(2 * np.minimum(over, under), 1.0)
        return np.where(n > 0, p, 1.0)


def negative_binomial(share: np.ndarray, n: np.ndarray, mean: float, between: float) -> tuple[np.ndarray, np.ndarray]:
    """Probabilities of as many events and more, and of as many and fewer, where the expected share varies by ``between``.

    >>> [float(p.round(4)) for p in negative_binomial(np.array(0.003), np.array(1000.0), 0.001, 1e-12)]  # Poisson of mean 1
    [0.0803, 0.981]
    """
    shape = mean**2 / max(between, 1e-6 * mean**2)
    count, q = np.maximum(share * n, 0.0), n * mean / (n * mean + shape)
    more = np.where(count > 0, special.betainc(np.maximum(count, 1e-9), shape, q), 1.0)
    return np.maximum(more, 1e-300), np.maximum(special.betaincc(count + 1, shape, q), 1e-300)


def _independent(column: Column, rows: float, windows: int) -> float:
    """How many independent rows tell as much as the reference's ``rows`` in so many windows (Kish's design effect)."""
    return rows / (1 + max(rows / max(windows, 1) - 1, 0.0) * column.alike)


def _law(check: Check, column: Column, old: np.ndarray, part: float) -> _Law:
    """``part``: what of the reference's rows is independent."""
    rows = np.where(check.of, column.total, 0).astype(float)
    if check.kind in ("mean", "spread"):
        # What never happened is not impossible: half a row in each empty cell.
        weight = np.where(check.of & (rows == 0), 0.5, rows)
        mean = float(rows @ check.f / rows.sum())
        away = check.f - mean
        return _Law(mean, float(weight @ away**2 / weight.sum()), float(weight @ away**3 / weight.sum()), rare=False)
    rows = rows * part
    seen = column.once if check.kind == "new" else rows @ check.f
    p, more = float((seen + 0.5) / (rows.sum() + 1)), 0.0
    if (
        check.kind == "new"
    ):  # Good (1953): the share of unseen levels, and the second-order one, by which rows share a level
        more = 2 * column.twice / rows.sum() ** 2
        p = max(p, float(old.mean())) if len(old) >= 3 else p
    return _Law(p, p * (1 - p), p * (1 - p) * (1 - 2 * p), rare=True, more=more)


def _between(old: np.ndarray, n: np.ndarray, law: _Law) -> tuple[float, float, float]:
    """Variance between windows, its degrees of freedom (infinite: assumed), and the correlation of neighbours."""
    count = len(old)
    if count < 3:
        return law.allowed, np.inf, 0.0
    sampling = float((law.variance / n).mean()) + law.more
    away = old - old.mean()
    spread = float((away**2).sum() / (count - 1))
    own = max(spread - sampling, 0.0)
    follow = max(float((away[1:] * away[:-1]).sum() / max((away**2).sum(), 1e-300)), 0.0)
    differ = (count - 1) * spread > special.chdtri(count - 1, PRETEST) * (sampling + law.allowed)
    return (own, count - 1.0, follow) if count >= ENOUGH or differ else (law.allowed, np.inf, 0.0)


def _lean(old: np.ndarray) -> float:
    """Skewness of past windows, less its standard error for normal ones, so that chance is not taken for it.

    The distance from the middle, of windows whose level wanders, is as a square: a few lie far above the others.
    """
    count, away = len(old), old - old.mean()
    skew = float((away**3).mean() / max((away**2).mean(), 1e-24) ** 1.5)
    return float(np.sign(skew) * max(abs(skew) - np.sqrt(6 / count), 0.0))


def _on_logarithms(value: np.ndarray, n: np.ndarray, old: np.ndarray, old_n: np.ndarray, shrunk: float, count: float,
                   one_sided: bool) -> np.ndarray:  # fmt: skip
    """The p-value by the spread of past windows' logarithms (Student's tail); both must alarm.

    A share, or a mean of distances, of windows whose level wanders is skewed: the largest lie far above the others.
    ``count``: of events in a past window, which tells how rough logarithms of few are (infinite: a mean).
    """
    half = 0.5 if np.isfinite(count) else 0.0
    now, then = (np.log((x * k + half) / np.maximum(k, 1e-9)) for x, k in ((value, n), (old, old_n)))
    scale = max(float(then.std(ddof=1)), 0.5 / (1 + count))
    t = (now - then.mean()) / (scale * np.sqrt(shrunk))
    over = _tail(t, len(old) - 1)
    return over if one_sided else 2 * np.minimum(over, _tail(-t, len(old) - 1))


def _single(column: Column, now: np.ndarray, largest: np.ndarray, windows: int) -> _Answer:
    n = now[:, 1:].sum(1)
    p = lone(largest, n, int(column.total[1:].sum()))
    usual = _past_largest(column.largest, largest / windows)
    return _Answer(np.maximum(p, usual), p, largest / np.maximum(n, 1), 0.0, np.zeros(len(now), dtype=bool))


def _tail(x: np.ndarray, df: float) -> np.ndarray:
    """The upper tail of Student's distribution; of the normal one where ``df`` is infinite."""
    return np.asarray(special.stdtr(df, -x) if np.isfinite(df) else special.ndtr(-x))


def wilson_hilferty(x: np.ndarray, skew: np.ndarray) -> np.ndarray:
    """A standardised Pearson III variable of this skewness as a standard normal one (Wilson and Hilferty, 1931).

    >>> float(wilson_hilferty(np.array(5.06), np.array(0.316)).round(2))  # 26 events of a Poisson of mean 10
    4.16
    """
    g = np.where(np.abs(skew) < 1e-6, 1e-6, skew)
    return np.asarray(6 / g * (np.cbrt(np.maximum(g * x / 2 + 1, 0.0)) - 1) + g / 6)


def lone(rows: np.ndarray, new: np.ndarray, reference: int) -> np.ndarray:
    """A bound for the probability that any level has ``rows`` rows among ``new`` ones, and none in the reference.

    Of a level with c rows in all, every one falls among the new rows with probability (new / all)^c at most, and there are
    at most all / c such levels.

    >>> bool(lone(np.array([2]), np.array([1000]), 20_000)[0] > 0.5), bool(lone(np.array([50]), np.array([1000]), 1000)[0] < 1e-12)
    (True, True)
    """
    c, n = np.maximum(rows, 1), np.asarray(new, dtype=float)
    whole = n + reference
    log = np.log(whole / c) + c * np.log(np.maximum(n, 1e-300) / np.maximum(whole, 1))
    return np.where(rows > 0, np.exp(np.minimum(log, 0.0)), 1.0)


def _past_largest(past: np.ndarray, now: np.ndarray) -> np.ndarray:
    """How improbable ``now`` (T,) is beside the most frequent unseen levels of past windows (logarithms, Student's tail)."""
    if len(past) < 8:
        return np.zeros(len(now))
    log = np.log(past + 1.0)
    scale = max(float(log.std(ddof=1)), 0.2) * np.sqrt(1 + 1 / len(past))
    return _tail((np.log(now + 1.0) - log.mean()) / scale, len(past) - 1)


def _season(old: np.ndarray, mean: float, value: np.ndarray, ends: np.ndarray, period: int, windows: int) -> np.ndarray:
    """Whether the windows of a year before had moved alike, and the difference from them is ordinary; bool (T,).

    Asked only with :data:`PERIODS` periods of history. What is ordinary for a difference from the year before is told by
    the same difference at past windows (Student's tail, at one in ten thousand).
    """
    count = len(old)
    alike = np.zeros(len(value), dtype=bool)
    if count < PERIODS * period:
        return alike
    smooth = np.convolve(old, np.ones(3) / 3, mode="same")
    smooth[[0, -1]] = old[[0, -1]]
    away = old[period:] - smooth[:-period]
    limit = -special.stdtrit(len(away) - 1, 1e-4) * away.std(ddof=1) * np.sqrt(1 + 1 / len(away))
    at = np.rint(count - 1 + ends - (windows - 1) / 2 - period).astype(int)
    known = (at >= 0) & (at < count)
    before = smooth[np.clip(at, 0, count - 1)]
    moved, then = value - mean, before - mean
    return (
        known
        & (np.abs(value - before - away.mean()) <= limit)
        & (then * moved > 0)
        & (np.abs(then) >= np.abs(moved) / 2)
    )
