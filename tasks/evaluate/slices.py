"""Groups of rows on which the model is worse than elsewhere: declared ones, and weak ones found and then confirmed.

Rows that are uncertain by nature have larger errors under the best model there is, so errors are not compared. What is
compared is what a model answers for: its *level* (in the mean of a slice, what it says is what happens) and its *skill*
(the differences that it makes between rows of a slice are there). A model that says the true chances, or the true
conditional means, has neither fault in any slice, however noisy.

Weak slices are searched for on validation rows and tested on test rows, so that the search does not
flatter itself; the tests are corrected for their number (Holm).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from tasks.artifacts import SliceResult
from tasks.bands import Bands, bands
from tasks.evaluate.chance import coin_tails, difference_tails, mean_tails
from tasks.kinds import MANY, find_kind
from tasks.metrics import measure
from tasks.paired import holm
from tasks.stored import Frame

LEAST_ROWS = 30
FOUND = 20
PROMISING = 1.5  # standard errors on validation rows that are worth a test
SHOWN = 60  # classes, most frequent first, whose probabilities are looked at
FAULTS = ("level", "skill")


@dataclass(frozen=True)
class Said:
    """One number that the model says of each row, and what came: of a class its probability and 0 or 1.

    ``spread`` (n,) is the variance that the model itself promises, p(1−p); None for regression, which promises none.
    """

    y: np.ndarray
    p: np.ndarray
    spread: np.ndarray | None
    number: int | None = None  # of the class


@dataclass(frozen=True)
class Rows:
    """Feature rows with what the model said of them: ``loss`` (n,) is the squared error of the prediction."""

    X: Frame
    y: np.ndarray
    scores: np.ndarray

    @cached_property
    def loss(self) -> np.ndarray:
        """float64 (n,): the squared error of each prediction."""
        if self.scores.ndim == 1:
            return (self.scores - self.y) ** 2
        truth = np.eye(self.scores.shape[1])[self.y.astype(np.int64)]
        return ((self.scores - truth) ** 2).sum(axis=1) / 2

    @cached_property
    def promised(self) -> np.ndarray | None:
        """The loss (n,) that right probabilities have; None for regression."""
        return None if self.scores.ndim == 1 else (self.scores * (1 - self.scores)).sum(axis=1) / 2

    @cached_property
    def said(self) -> list[Said]:
        """What is looked at: the prediction, the probability of the positive class, or that of each class."""
        if self.scores.ndim == 1:
            return [Said(self.y, self.scores, None)]
        classes = self.scores.shape[1]
        wanted = np.argsort(-self.scores.sum(axis=0), kind="stable")[:SHOWN] if classes > 2 else np.array([1])
        p = self.scores.clip(0, 1)
        return [Said((self.y == k).astype(float), p[:, k], p[:, k] * (1 - p[:, k]), int(k)) for k in np.sort(wanted)]


@dataclass(frozen=True)
class Fault:
    """What may be wrong in a slice: ``of`` which of :attr:`Rows.said`, which kind, and which way (1: truth above)."""

    of: int
    kind: str
    sign: int


# The search ------------------------------------------------------------------------------------------------------------
def _sums(said: Said) -> np.ndarray:
    """What level and skill of any group of rows are made of, (8, n)."""
    gap, p = said.y - said.p, said.p - said.p.mean()
    spread = gap * gap if said.spread is None else said.spread
    return np.stack([np.ones_like(p), gap, p, gap * p, p * p, spread, spread * p, spread * p * p])


def _level_and_skill(sums: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Of groups with these sums (8, k): mean of truth minus prediction, slope of it on the prediction, both variances."""
    n, gap, p, gap_p, p_p, spread, spread_p, spread_pp = sums
    mean = p / n
    across = p_p - p * mean
    across = np.where(across > 1e-9 * np.maximum(p_p, 1e-300), across, np.nan)
    slope = (gap_p - mean * gap) / across
    slope_variance = (spread_pp - 2 * mean * spread_p + mean**2 * spread) / across**2
    return gap / n, slope, spread / n**2, slope_variance


def _suspicion(sums: np.ndarray, total: np.ndarray) -> list[tuple[str, int, np.ndarray]]:
    """By how many standard errors each group (8, k) has a fault that the other rows have less: kind, sign, value (k,)."""
    with np.errstate(divide="ignore", invalid="ignore"):
        level, skill, level_var, skill_var = _level_and_skill(sums)
        level_rest, skill_rest, level_rest_var, skill_rest_var = _level_and_skill(total[:, None] - sums)
        own, against = level / np.sqrt(level_var), (level - level_rest) / np.sqrt(level_var + level_rest_var)
        larger = np.abs(level) > abs(total[1] / total[0])
        out = [("level", s, np.where(larger, np.minimum(s * own, s * against), 0.0)) for s in (1, -1)]
        own, against = skill / np.sqrt(skill_var), (skill - skill_rest) / np.sqrt(skill_var + skill_rest_var)
        out.append(("skill", -1, np.minimum(-own, -against)))
    return [(kind, sign, np.nan_to_num(value, nan=0.0, posinf=0.0, neginf=0.0)) for kind, sign, value in out]


@dataclass(frozen=True)
class _Group:
    """A band of a column, or of two: where it is, its suspected fault, and how strong the suspicion is."""

    strength: float
    where: dict[str, str]
    fault: Fault
    valid: tuple[np.ndarray, int]
    test: tuple[np.ndarray, int]

    def rows(self, of: str) -> np.ndarray:
        codes, code = getattr(self, of)
        return np.asarray(codes == code)


def _search(valid: Rows, test: Rows, columns: list[str]) -> list[_Group]:
    """Suspects by one column, and by two of the eight columns with the strongest ones; the strongest first."""
    least = max(LEAST_ROWS, round(0.005 * len(valid.y)))
    sums = [_sums(s) for s in valid.said]
    totals = [s.sum(axis=1) for s in sums]
    found: list[_Group] = []

    def look(a: np.ndarray, b: np.ndarray, wheres: list[tuple[tuple[str, str], ...]]) -> float:
        size = len(wheres)
        count = np.bincount(a[a >= 0], minlength=size)
        able = np.flatnonzero((count >= least) & (len(a) - count >= least))
        if not len(able):
            return 0.0
        most = 0.0
        for of, (each, total) in enumerate(zip(sums, totals, strict=True)):
            inside = a >= 0
            grouped = np.stack([np.bincount(a[inside], weights=row[inside], minlength=size) for row in each])[:, able]
            for kind, sign, values in _suspicion(grouped, total):
                most = max(most, float(values.max(initial=0.0)))
                found.extend(
                    _Group(float(values[i]), dict(wheres[able[i]]), Fault(of, kind, sign), (a, able[i]), (b, able[i]))
                    for i in np.flatnonzero(values > PROMISING)
                )
        return most

    coded: dict[str, tuple[np.ndarray, np.ndarray, Bands]] = {}
    tops: list[tuple[float, str]] = []
    for column in columns:
        cut = bands(valid.X[column])
        a, b = (
            cut.codes(rows.X[column]).astype(np.int16 if len(cut.names) < 1 << 15 else np.int32)
            for rows in (valid, test)
        )
        coded[column] = a, b, cut
        tops.append((look(a, b, [((column, name),) for name in cut.names]), column))
    best = [column for _, column in sorted(tops, key=lambda item: (-item[0], item[1]))[:8]]
    for i, one in enumerate(best):
        for two in best[i + 1 :]:
            (a1, b1, n1), (a2, b2, n2) = coded[one], coded[two]
            if len(n1.names) * len(n2.names) > 400:
                continue
            a, b = (np.where((x < 0) | (y < 0), -1, x * len(n2.names) + y) for x, y in ((a1, a2), (b1, b2)))
            look(a, b, [((one, x), (two, y)) for x in n1.names for y in n2.names])
    return sorted(found, key=lambda g: (-g.strength, str(g.where), g.fault.of))


# The tests -------------------------------------------------------------------------------------------------------------
def _value(said: Said, inside: np.ndarray, kind: str) -> tuple[float, float, int] | None:
    """Level or skill of some rows: the value, its variance, its degrees of freedom; None where it has none."""
    gap, p = (said.y - said.p)[inside], said.p[inside]
    spread = None if said.spread is None else said.spread[inside]
    n = len(gap)
    if kind == "level":
        own = float(((gap - gap.mean()) ** 2).sum()) / (n - 1)
        promised = 0.0 if spread is None else float(spread.mean())
        return float(gap.mean()), max(own, promised) / n, n - 1
    across = p - p.mean()
    total = float(across @ across)
    if total <= 1e-12 * n * max(1.0, float(np.abs(p).max())) ** 2:
        return None
    slope = float(across @ gap) / total
    rest = gap - gap.mean() - slope * across
    pull = 1 - np.minimum(1 / n + across**2 / total, 0.999)  # MacKinnon and White's HC3 (1985)
    own = float(((across * rest / pull) ** 2).sum())
    promised = 0.0 if spread is None else float((across**2) @ spread)
    return slope, max(own, promised) / total**2, n - 2


def _own_tails(said: Said, inside: np.ndarray, kind: str) -> tuple[float, float]:
    """Chance of a level or skill at most, and at least, as large as found, if what the model says is true."""
    y, p = said.y[inside], said.p[inside]
    centre = float(p.mean()) if kind == "skill" else None
    if said.spread is not None:
        return coin_tails(p, float(y.sum() if centre is None else (p - centre) @ y), centre)
    gap = y - p
    return mean_tails(gap) if centre is None else mean_tails((p - centre) * (gap - gap.mean()), lost=2)


def _tested(rows: Rows, inside: np.ndarray, of: int, kind: str) -> tuple[float, float, float, int]:
    """Chances that the slice's truth lies so far above, and below, what is said; of so large a difference to the other
    rows; and its sign: 1 where the slice is worse than they are, else −1."""
    said = rows.said[of]
    here, there = _value(said, inside, kind), _value(said, ~inside, kind)
    if here is None:
        return 1.0, 1.0, 1.0, 1
    low, high = _own_tails(said, inside, kind)
    apart = (1.0, 1.0) if there is None else difference_tails(here, there)
    if kind == "level":
        worse = abs(here[0]) >= abs(float((said.y - said.p).mean()))
    else:
        worse = there is None or here[0] < there[0]
    if not worse:
        return 1.0, 1.0, min(1.0, 2 * min(apart)), -1
    return max(high, apart[1]), max(low, apart[0]), min(1.0, 2 * min(apart)), 1


def weak(
    valid: Rows, test: Rows, columns: list[str], metric: str, kind: str, threshold: float | None
) -> list[SliceResult]:
    """Slices by one feature or two that the model describes worse than the other rows, the most certain first.

    The search looks at every band of every feature, and at pairs of bands of the eight features with the most suspicious
    bands, on validation rows; it also says what is suspected, and which way. That is tested on test rows, one-sided:
    the slice must contradict what the model says of it, and differ from the other rows. Holm-corrected, the suspect at
    place k with weight 1/k.
    """
    chosen: list[_Group] = []
    masks: list[np.ndarray] = []
    for group in _search(valid, test, columns):
        if len(chosen) == FOUND:
            break
        mask = group.rows("valid")
        if all((mask & other).sum() < 0.6 * (mask | other).sum() for other in masks):
            chosen.append(group)
            masks.append(mask)
    out, ps = list[SliceResult](), list[float]()
    for group in chosen:
        inside = group.rows("test")
        if not LEAST_ROWS <= inside.sum() <= len(inside) - LEAST_ROWS:
            continue
        fault = group.fault
        above, below, _, sign = _tested(test, inside, fault.of, fault.kind)
        p = 1.0 if sign < 0 else above if fault.sign > 0 else below
        about = describe(test, inside, metric, kind, threshold, fault.of)
        verdict = {"where": group.where, "fault": fault.kind, "direction": "worse", "p": p}
        out.append(about.model_copy(update=verdict))
        ps.append(p)
    corrected = holm(np.array(ps), 1 / np.arange(1, len(out) + 1)).tolist()
    order = sorted(range(len(out)), key=lambda i: (corrected[i], ps[i]))
    return [out[i].model_copy(update={"p_holm": corrected[i]}) for i in order]


def declared(
    valid: Rows, test: Rows, columns: list[str], metric: str, kind: str, threshold: float | None
) -> list[SliceResult]:
    """Every band of the declared features, with the stronger of its two faults (or merits), two-sided, Holm-corrected.

    A slice of fewer than 30 rows, or with fewer than 30 other rows, is described and not tested: ``p`` is None.
    """
    out: list[SliceResult] = []
    for column in columns:
        cut = bands(valid.X[column])
        codes = cut.codes(test.X[column])
        for k in np.flatnonzero(np.bincount(codes[codes >= 0], minlength=len(cut.names))):
            inside = codes == k
            p, fault, direction, of = None, None, None, 0
            if LEAST_ROWS <= inside.sum() <= len(inside) - LEAST_ROWS:
                tried = list(_both_ways(test, inside))
                least, fault, direction, of = min(tried)
                p = min(1.0, least * len(tried))
            found = {"where": {column: cut.names[k]}, "fault": fault, "direction": direction, "p": p}
            out.append(describe(test, inside, metric, kind, threshold, of).model_copy(update=found))
    corrected = iter(holm(np.array([item.p for item in out if item.p is not None])).tolist())
    return [item.model_copy(update={"p_holm": None if item.p is None else next(corrected)}) for item in out]


def _both_ways(rows: Rows, inside: np.ndarray) -> Iterator[tuple[float, str, str, int]]:
    """Each fault of a slice with its two-sided p: worse, or better, than the other rows."""
    for of in range(len(rows.said)):
        for kind in FAULTS:
            above, below, apart, sign = _tested(rows, inside, of, kind)
            if sign < 0:
                yield apart, kind, "better", of
            elif kind == "level":
                yield min(1.0, 2 * min(above, below)), kind, "worse", of
            else:  # only a lack of skill is a fault
                yield min(1.0, 2 * below), kind, "worse", of


# In words --------------------------------------------------------------------------------------------------------------
def describe(
    rows: Rows, inside: np.ndarray, metric: str, kind: str, threshold: float | None, of: int = 0
) -> SliceResult:
    """A slice in numbers: its size, the metric, its errors against what its probabilities promise, level and skill.

    ``predicted`` and ``observed`` are means, for several classes of class ``number``. ``skill`` is the share of
    the differences between predictions that the truth bears out, 1 for a model that is right (the slope of the truth on
    the prediction), ``r2`` the share of the slice's own variance that a regression explains.
    """
    y, scores, loss, promised = rows.y[inside], rows.scores[inside], rows.loss, rows.promised
    value = measure(metric, y, scores, kind, threshold) if len(y) else float("nan")
    said = rows.said[of]
    of_slice = float(loss[inside].mean())
    more: dict[str, float | int | None] = {}
    if promised is not None:
        more |= {"promised": float(promised[inside].mean()), "promised_elsewhere": _mean(promised[~inside])}
    if find_kind(kind).output == MANY:
        more |= {"number": said.number, "accuracy": float((scores.argmax(axis=1) == y).mean())}
    if promised is None:
        spread = float(((y - y.mean()) ** 2).mean())
        more["r2"] = 1 - of_slice / spread if spread > 0 else None
    return SliceResult(
        rows=int(inside.sum()),
        share=float(inside.mean()),
        metric=float(value) if np.isfinite(value) else None,
        predicted=float(said.p[inside].mean()),
        observed=float(said.y[inside].mean()),
        loss=of_slice,
        loss_elsewhere=_mean(loss[~inside]),
        skill=_skill(said, inside),
        skill_elsewhere=_skill(said, ~inside),
    ).model_copy(update=more)


def _mean(values: np.ndarray) -> float | None:
    return float(values.mean()) if len(values) else None


def _skill(said: Said, inside: np.ndarray) -> float | None:
    if inside.sum() < 3:
        return None
    found = _value(said, inside, "skill")
    return 1 + found[0] if found is not None and found[1] < 1 else None  # too uncertain to be worth a look
