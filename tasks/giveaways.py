"""Which single feature gives the target away: one measure for ``init``, the stage ``leaks`` and ``refit prove-time``.

A strong feature is not a leak, so strength alone suspects nothing. A feature is suspected where it tells the target
almost perfectly, or nearly so, *and* it looks like a copy of the target rather than like one of its causes:

- the weaker features together do not come close to it (an honest strong feature seldom stands alone), and
- given the target, what is left of it is noise that no other feature knows anything of. Measurements of one thing are
  related beyond the target, and so are two causes of one effect; the noise on a copy is related to nothing, and
- its two classes are one shape moved apart (target plus noise), not the two sides of one heap (a measure that was cut).

All is measured on rows that were held out. ``y`` is float64: class indices, or the number to be predicted.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property, partial

import numpy as np
import pandas as pd

from tasks.kinds import TWO, find_kind

FEWEST = 20  # rows of each class (five times as many for a number) below which nothing is concluded
KNOWS = 0.99  # area under the ROC curve, or R², from which a feature is taken to be the target in disguise
NEARLY = 0.93  # area under the ROC curve from which a feature is looked at closely
NEARLY_NUMBER = 0.85  # R², likewise
CERTAIN = 0.999
ROOM = 1.4  # how many times as much the weaker features have to leave untold, before a feature stands out
EXACT = 100  # rows from which values that fit the classes without exception are no accident
RELATED = 0.03  # R² of other features on what is left of a feature given the target, from which it is no mere noise
PURE = 0.995  # share of one class among the rows of a value that no row of another class should have
COVERS = 0.1  # share of its class that such a value must cover
MANY = 40  # levels above which a column of whole numbers or of texts may be an id
TOKENS = 60
FOREST = 40  # trees, and rows that they see at most
ROWS = 3000

Fold = tuple[np.ndarray, np.ndarray]  # positions to fit on, and to measure on


@dataclass(frozen=True)
class Giveaway:
    """One suspected feature. ``strength``: area under the ROC curve (regression: R²) of it alone on held-out rows."""

    feature: str
    kind: str  # copy | noisy copy | own values
    strength: float
    certain: bool
    said: str


@dataclass
class _Power:
    """What a feature alone tells: by class (regression: one R²), and the view of it that told most."""

    by_class: np.ndarray
    view: np.ndarray  # float64, the numbers that were looked at
    how: str

    @cached_property
    def best(self) -> float:
        return float(self.by_class.max(initial=0.0))

    @cached_property
    def whole(self) -> float:
        return float(self.by_class.mean()) if len(self.by_class) else 0.0


def giveaways(
    features: pd.DataFrame, y: np.ndarray, kind: str, folds: Sequence[Fold] | None = None, seed: int = 0
) -> list[Giveaway]:
    """Suspected features among the columns of ``features`` (float64, or texts and categories), strongest first.

    Without ``folds`` each half of the rows measures what the other half teaches. Rows without a target are left out.
    """
    labelled = ~np.isnan(y)
    if folds is None:
        folds = halves(labelled, seed)
    kinds = _classes(y, kind, folds)
    if not len(kinds):
        return []
    look = _Examination(features, y, kind, kinds, list(folds), seed)
    suspected = [g for name in features.columns if (g := look.judge(str(name))) is not None]
    return sorted(suspected, key=lambda g: (-g.strength, g.feature))


def halves(labelled: np.ndarray, seed: int) -> list[Fold]:
    """Two folds of the labelled rows, drawn with the seed."""
    rows = np.random.default_rng(seed).permutation(np.flatnonzero(labelled))
    one, two = np.sort(rows[: len(rows) // 2]), np.sort(rows[len(rows) // 2 :])
    return [(one, two), (two, one)]


def sample(y: np.ndarray, kind: str, most: int, seed: int) -> np.ndarray:
    """Positions of at most ``most`` labelled rows, in order; of classes no more than their equal part while others have more."""
    rng = np.random.default_rng(seed)
    known = np.flatnonzero(~np.isnan(y))
    if len(known) <= most:
        return known
    if not find_kind(kind).output.classes:
        return np.sort(rng.permutation(known)[:most])
    left, parts = most, []
    levels, counts = np.unique(y[known], return_counts=True)
    for i, at in enumerate(np.argsort(counts, kind="stable")):  # the rarest first
        members = rng.permutation(known[y[known] == levels[at]])[: max(left // (len(levels) - i), 1)]
        left -= len(members)
        parts.append(members)
    return np.sort(np.concatenate(parts))


def _classes(y: np.ndarray, kind: str, folds: Sequence[Fold]) -> np.ndarray:
    """The classes that are frequent enough to be judged (regression: a single 0); none where there are too few rows."""
    use = np.concatenate([use for _, use in folds]) if len(folds) else np.zeros(0, int)
    output = find_kind(kind).output
    if not output.classes:
        return np.zeros(1) if len(use) >= 5 * FEWEST and np.nanstd(y[use]) > 0 else np.zeros(0)
    if min((len(part) for fold in folds for part in fold), default=0) == 0:
        return np.zeros(0)
    levels = np.unique(y[use])
    frequent = [v for v in levels if all((y[part] == v).sum() >= FEWEST // 2 for fold in folds for part in fold)]
    frequent = [v for v in frequent if (y[use] == v).sum() >= FEWEST]
    if output == TWO:
        return np.asarray(levels[-1:]) if len(levels) == 2 and len(frequent) == 2 else np.zeros(0)
    return np.asarray(frequent) if len(frequent) >= 2 else np.zeros(0)


class _Examination:
    """One table under examination; what several features need is computed once."""

    def __init__(self, features: pd.DataFrame, y: np.ndarray, kind: str, kinds: np.ndarray, folds: list[Fold], seed: int):  # fmt: skip
        self.features, self.y, self.kinds, self.folds, self.seed = features, y, kinds, folds, seed
        self.output = find_kind(kind).output
        self.two, self.many = self.output == TWO, self.output.classes and self.output != TWO
        self.nearly = NEARLY if self.output.classes else NEARLY_NUMBER
        self.use = np.concatenate([use for _, use in folds])
        self.powers = {str(name): self.power(features[name]) for name in features.columns}
        self._rest: dict[tuple[str, ...], np.ndarray] = {}
        self._kept: dict[str, float] = {}

    # What a feature alone tells -------------------------------------------------------------------------------

    def power(self, column: pd.Series) -> _Power:
        """The most that any view of the column tells: its numbers or levels, and the parts of an id or a text."""
        best: _Power | None = None
        for how, view in views(column):
            by_class = self._alone(view, how == "level")
            if best is None or by_class.mean() > best.by_class.mean() + 1e-9:
                best = _Power(by_class, view, how)
        return best if best is not None else _Power(np.zeros(len(self.kinds)), np.zeros(len(column)), "")

    def _alone(self, view: np.ndarray, levels: bool) -> np.ndarray:
        scores = [self.measure(self._by_bins(view, levels))]
        if not levels and not self.many:
            scores.append(self._by_rank(view))
        if not levels and np.max(scores) >= self.nearly - 0.15:  # below, no four leaves reach what is looked at
            scores.append(self.measure(self._by_tree(view)))
        return np.max(scores, axis=0)

    def measure(self, guess: np.ndarray) -> np.ndarray:
        """AUC by class, or R², of held-out guesses ``(rows of all folds, classes)``."""
        y = self.y[self.use]
        if not self.output.classes:
            return np.array([1 - np.mean((y - guess[:, 0]) ** 2) / max(float(np.var(y)), 1e-300)])
        return np.array([auc(guess[:, k], y == value) for k, value in enumerate(self.kinds)])

    def _targets(self, rows: np.ndarray) -> np.ndarray:
        y = self.y[rows]
        return (y[:, None] == self.kinds[None, :]).astype(float) if self.output.classes else y[:, None]

    def _by_bins(self, view: np.ndarray, levels: bool) -> np.ndarray:
        """Mean target of each bin (missing is one) as the rows of the fit have it."""
        parts = []
        for fit, use in self.folds:
            edges = bin_edges(view[fit], levels)
            codes = np.where(np.isnan(view), 0, np.searchsorted(edges, view, side="right") + 1)
            if levels:  # a level that the fit has not seen tells nothing
                codes[~np.isin(view, view[fit])] = len(edges) + 1
            y, size = self._targets(fit), len(edges) + 2
            count = np.bincount(codes[fit], minlength=size)[:, None]
            total = np.stack([np.bincount(codes[fit], t, size) for t in y.T], axis=1)
            weight = 1.0 if levels else 0.1
            parts.append(((total + weight * y.mean(axis=0)) / (count + weight))[codes[use]])
        return np.concatenate(parts)

    def _by_tree(self, view: np.ndarray) -> np.ndarray:
        """A tree of depth two."""
        from sklearn.tree import DecisionTreeRegressor

        parts = []
        for fit, use in self.folds:
            tree = DecisionTreeRegressor(max_depth=2, min_samples_leaf=5, random_state=0)
            tree.fit(view[fit, None], self._targets(fit))
            parts.append(tree.predict(view[use, None]).reshape(len(use), -1))
        return np.concatenate(parts)

    def _by_rank(self, view: np.ndarray) -> np.ndarray:
        """The order of the values alone, for what a curve without steps would tell; missing values take no part."""
        z, y = view[self.use], self.y[self.use]
        there = ~np.isnan(z)
        if there.mean() < 0.98 or np.ptp(z[there]) == 0:
            return np.zeros(1)
        z, y = z[there], y[there]
        if self.two:
            area = auc(z, y == self.kinds[0])
            return np.array([max(area, 1 - area)])
        rank = pd.Series(z).rank().corr(pd.Series(y).rank())
        return np.array([max(float(rank) ** 2, float(np.corrcoef(z, y)[0, 1]) ** 2)])

    # What the others know -------------------------------------------------------------------------------------

    def weaker(self, name: str) -> tuple[str, ...]:
        """The features that tell clearly less than this one."""
        mine = self.powers[name].best
        room = max(0.02, (1 - mine) / 2)
        return tuple(n for n, p in self.powers.items() if n != name and p.best < mine - room)

    def related(self, name: str) -> tuple[str, ...]:
        """The features that are no copies of this one."""
        return tuple(n for n in self.powers if n != name and abs(_corr(self.ranks[name], self.ranks[n])) < 0.98)

    @cached_property
    def ranks(self) -> dict[str, np.ndarray]:
        return {name: _ranks(power.view) for name, power in self.powers.items()}

    def rest(self, names: tuple[str, ...]) -> np.ndarray:
        """Held-out power of some features together, by class; a forest or a linear model, whichever is better."""
        if names not in self._rest:
            none = np.full(len(self.kinds), 0.5) if self.output.classes else np.zeros(1)
            self._rest[names] = self._together(names, none)
        return self._rest[names]

    def _together(self, names: tuple[str, ...], none: np.ndarray) -> np.ndarray:
        if not names:
            return none
        X = self.table(names)
        scores = [self.measure(g) for g in _guesses(X, self._targets, self.folds, self.seed)]
        return np.max([none, *scores], axis=0)

    def table(self, names: Iterable[str]) -> np.ndarray:
        return np.column_stack([self.powers[n].view for n in names])

    def kept(self, name: str) -> float:
        """R² of all other features on what is left of this one where the target is held fixed; 0.3 stands for more."""
        if name not in self._kept:
            z = self.ranks[name]
            left = z - self._given_target(z)
            names, spread, best = self.related(name), float(np.var(left[self.use])), 0.0
            if names and spread > 1e-12:
                for guess in _guesses(self.table(names), lambda rows: left[rows, None], self.folds, self.seed):
                    best = max(best, float(1 - np.mean((left[self.use] - guess[:, 0]) ** 2) / spread))
                    if best >= 0.3:
                        break
            self._kept[name] = best
        return self._kept[name]

    def _given_target(self, z: np.ndarray) -> np.ndarray:
        """Mean of ``z`` among rows of the same class, or of about the same number."""
        y = self.y
        if not self.output.classes:
            cuts = np.unique(np.nanquantile(y, np.linspace(0, 1, 1 + min(50, max(5, len(self.use) // 30)))[1:-1]))
            groups = np.searchsorted(cuts, np.nan_to_num(y))
        else:
            groups = np.nan_to_num(y).astype(int)
        known = ~np.isnan(y)
        size = int(groups.max()) + 1
        count = np.maximum(np.bincount(groups[known], minlength=size), 1)
        mean = (np.bincount(groups[known], z[known], size) / count)[groups]
        if not self.output.classes:  # within a group, along the line
            centre = y - (np.bincount(groups[known], y[known], size) / count)[groups]
            both, own = np.nansum(centre * (z - mean)), np.nansum(centre**2)
            return mean + np.nan_to_num(centre) * (both / own if own > 0 else 0.0)
        return mean

    # The verdict ----------------------------------------------------------------------------------------------

    def judge(self, name: str) -> Giveaway | None:
        return self._copy(name) or self._noisy_copy(name) or self._coarse(name) or self._own_values(name)

    def _copy(self, name: str) -> Giveaway | None:
        """A feature that tells one class, or the number, almost perfectly."""
        power = self.powers[name]
        if power.best < KNOWS:
            return None
        score, k = self._score, int(power.by_class.argmax())
        mine = float(power.by_class[k])
        why = f"alone it tells the target ({score} {mine:.3f}{_how(power.how)})"
        if self._same_rows(power.view) and (len(np.unique(self.y[self.use])) == 2 or not self._described):
            return Giveaway(name, "copy", round(mine, 4), True, f"{why}: its values and the classes are the same rows")
        theirs = float(self.rest(self.weaker(name))[k])
        if 1 - theirs > max(3 * (1 - mine), 1 - KNOWS):
            sure = mine >= CERTAIN and theirs < 0.98 and (not self.many or power.whole >= CERTAIN)
            return Giveaway(name, "copy", round(mine, 4), sure, f"{why}; all weaker features together {theirs:.3f}")
        return None

    def _noisy_copy(self, name: str) -> Giveaway | None:
        """A feature that tells nearly all of the target, and of which nothing else is left but noise."""
        mine = self.powers[name]
        limit = max(RELATED, 10 / len(self.use))
        if mine.whole < self.nearly or not self.related(name):  # alone in its table, nothing tells what it is
            return None
        if self.kept(name) >= limit or self._cut(name):
            return None
        why = f"alone it tells nearly all of the target ({self._score} {mine.whole:.3f}{_how(mine.how)})"
        noise = "what is left of it is noise that no other feature knows anything of"
        noisy = partial(Giveaway, name, "noisy copy", round(mine.whole, 4), False)
        theirs = float(self.rest(self.weaker(name)).mean())
        if 1 - theirs >= ROOM * (1 - mine.whole) and 1 - theirs > 1 - KNOWS:
            return noisy(f"{why}, all weaker features together {theirs:.3f}, and {noise}")
        strongest = sorted((n for n in self.powers if n != name), key=lambda n: -self.powers[n].whole)[:3]
        if strongest and np.median([self.kept(n) for n in strongest]) >= 4 * limit:
            return noisy(f"{why}, and {noise}, while the other strong features are related to each other")
        return None

    @property
    def _score(self) -> str:
        return "AUC" if self.output.classes else "R²"

    def _cut(self, name: str) -> bool:
        return self.two and cut_from_one(self.powers[name].view[self.use], self.y[self.use] == self.kinds[0])  # fmt: skip

    @cached_property
    def _described(self) -> bool:
        """Whether several columns are functions of many classes: then they describe the classes, as traits do species."""
        if not self.many:
            return False
        y = self.y[self.use].astype(int)
        given = 0
        for power in self.powers.values():
            z = power.view[self.use]
            codes = np.unique(np.where(np.isnan(z), -np.inf, z), return_inverse=True)[1]
            table = np.zeros((y.max() + 1, codes.max() + 1), int)
            np.add.at(table, (y, codes), 1)
            several = (table.sum(axis=0) > 0).sum() >= 2 and power.whole < CERTAIN  # a whole copy is no trait
            given += bool(several and (table.max(axis=1) == table.sum(axis=1)).all())
        return given > 2

    def _same_rows(self, view: np.ndarray) -> bool:
        """Whether one class is exactly the rows with some value, or with none, without an exception among many rows."""
        z, y = view[self.use], self.y[self.use]
        if not self.output.classes or len(y) < EXACT:
            return False
        missing = np.isnan(z)
        values, counts = np.unique(z[~missing], return_counts=True)
        own = [missing, *(z == v for v in values[np.argsort(-counts, kind="stable")[:MANY]])]
        classes = [y == v for v in np.unique(y)]
        return any(min(c.sum(), (~c).sum()) >= FEWEST and np.array_equal(o, c) for o in own for c in classes)

    def _coarse(self, name: str) -> Giveaway | None:
        """A column whose values are the target in coarser steps: a function of the target, and of nothing else."""
        view = self.powers[name].view
        there = ~np.isnan(view)
        z, y = np.where(there, view, -np.inf)[self.use], self.y[self.use]
        levels, codes = np.unique(z, return_inverse=True)
        if not 2 <= len(levels) <= MANY or np.bincount(codes).max() > 0.95 * len(z):
            return None
        if not self.output.classes:
            order = np.argsort(y, kind="stable")
            odd = int((np.diff(codes[order]) != 0).sum()) - len(levels) + 1
        elif self.many:
            odd = len(z) - sum(int(np.bincount(codes[y == v]).max()) for v in np.unique(y))
        else:
            return None
        if odd > 0.005 * len(z):
            return None
        exact = odd == 0 and len(z) >= EXACT and not self._described
        other = self._tells(name, codes == np.bincount(codes).argmax())
        if other >= 0.98 and not exact:
            return None
        strength = round(self.powers[name].whole, 4)
        why = f"its {len(levels)} values are the target in coarser steps"
        return Giveaway(name, "coarse copy", strength, exact, why)

    def _own_values(self, name: str) -> Giveaway | None:
        """A value (or being filled, or missing) that rows of one class have, many of them, and no others."""
        if not self.output.classes:
            return None
        column = self.features[name]
        y = self.y[self.use]
        for what, inside in _values(column.iloc[self.use]):
            n = int(inside.sum())
            if n < FEWEST or n > 0.95 * len(y):
                continue
            for value in np.unique(y[inside]) if len(np.unique(y[inside])) <= 2 else ():
                own = y == value
                base, hits = float(own.mean()), int((inside & own).sum())
                chance = n * np.log(base) if base > 0 else 0.0
                if hits < PURE * n or hits < COVERS * own.sum() or chance > np.log(1e-9):
                    continue
                share = hits / own.sum()
                other = self._tells(name, inside)
                within = self._tells(name, inside, own) if other >= 0.9 and share < 0.9 else 1.0
                if other < 0.9 or within < 0.7:
                    why = (
                        f"{what} in {share:.0%} of the rows of one class and in almost none of the others, and no other "
                        "features tell these rows: was it filled in after the fact?"
                    )
                    return Giveaway(name, "own values", round(self.powers[name].best, 4), False, why)
        return None

    def _tells(self, name: str, inside: np.ndarray, among: np.ndarray | None = None) -> float:
        """How well features that are not suspected themselves tell where this one has certain values (AUC)."""
        names = tuple(n for n in self.related(name) if self.powers[n].best < KNOWS)
        flag, kept = np.zeros(len(self.y)), np.zeros(len(self.y), bool)
        flag[self.use] = inside
        kept[self.use] = True if among is None else among
        folds = halves(kept, self.seed)
        where = np.concatenate([use for _, use in folds])
        if not names or min(flag[where].sum(), (1 - flag[where]).sum()) < FEWEST // 2:
            return 0.5
        guesses = _guesses(self.table(names), lambda rows: flag[rows, None], folds, self.seed)
        return max(auc(g[:, 0], flag[where] > 0) for g in guesses)


def _how(how: str) -> str:
    return "" if how in ("", "number", "level") else f", by its {how}"


def views(column: pd.Series) -> list[tuple[str, np.ndarray]]:
    """The column as numbers, in each way in which it could carry a label: ``[(name, float64)]``."""
    if pd.api.types.is_numeric_dtype(column.dtype):
        z = column.to_numpy(dtype=np.float64, na_value=np.nan)
        z = np.where(np.isinf(z), np.nan, z)
        out = [("number", z)]
        there = z[~np.isnan(z)]
        whole = len(there) and (np.abs(there) < 2**53).all() and (there == np.floor(there)).all()
        if whole and len(np.unique(there)) > MANY:
            out += [("last digit", np.mod(z, 10))]
        return out
    codes, levels = pd.factorize(column)
    level = np.where(codes < 0, np.nan, codes.astype(float))
    out = [("level", level)]
    if len(levels) > MANY:
        texts = pd.Series([str(v) for v in levels], dtype="str")

        def of(values: pd.Series) -> np.ndarray:
            numbers = values.to_numpy(dtype=np.float64, na_value=np.nan)
            return np.where(codes < 0, np.nan, numbers[codes])

        def code(values: pd.Series) -> pd.Series:
            return pd.Series(pd.factorize(values)[0].astype(float))

        digits = pd.to_numeric(texts.str.extract(r"(\d{1,15})(?!.*\d)", expand=False), errors="coerce")
        out += [("length", of(texts.str.len())), ("number inside", of(digits)), ("last digit", of(digits % 10))]
        out += [("beginning", of(code(texts.str[:n]))) for n in (1, 3)] + [("end", of(code(texts.str[-1:])))]
        words = texts.str.lower().str.findall(r"\w{2,}")
        if np.mean([len(w) for w in words]) >= 2:
            out += [(f"word {w!r}", of(has)) for w, has in _words(words, codes)]
    return out


def _words(words: pd.Series, codes: np.ndarray) -> list[tuple[str, pd.Series]]:
    """The most frequent words that not every row has, each as 0 and 1 by text."""
    weight = np.bincount(codes[codes >= 0], minlength=len(words))
    sets = [set(w) for w in words]
    count: dict[str, int] = {}
    for members, times in zip(sets, weight, strict=True):
        for word in members:
            count[word] = count.get(word, 0) + int(times)
    total = int(weight.sum())
    common = sorted((w for w, n in count.items() if 0.02 * total <= n <= 0.98 * total), key=lambda w: (-count[w], w))
    return [(w, pd.Series([float(w in s) for s in sets])) for w in common[:TOKENS]]


def _values(column: pd.Series) -> list[tuple[str, np.ndarray]]:
    """Sets of rows by what the column holds: filled or not, its most frequent values, and all but the first of these."""
    missing = column.isna().to_numpy()
    out = []
    if 0 < missing.sum() < len(missing):
        out += [("it is filled", ~missing), ("it is missing", missing)]
    counts = column.value_counts()
    common = [v for v, n in counts.head(12).items() if n >= max(FEWEST, 0.02 * len(column))]
    if pd.api.types.is_numeric_dtype(column.dtype):
        common = common[:1] if common and counts.iloc[0] >= 0.3 * len(column) else []
    for i, value in enumerate(common):
        inside = (column == value).fillna(False).to_numpy(bool)
        text = f"{value:g}" if isinstance(value, float) else repr(str(value)[:40])
        out.append((f"it is {text}", inside))
        if i == 0:
            out.append((f"it is not {text}", ~inside & ~missing))
    return out


def bin_edges(values: np.ndarray, levels: bool) -> np.ndarray:
    """Where bins begin: each value where there are few (or they are levels), else equal numbers of rows."""
    there = values[~np.isnan(values)]
    known = np.unique(there)
    if levels or len(known) <= min(80, len(there) // 10):
        return known
    return np.unique(np.quantile(there, np.linspace(0, 1, 1 + int(np.clip(len(there) // 20, 4, 100)))[:-1]))


def auc(score: np.ndarray, positive: np.ndarray) -> float:
    """Area under the ROC curve; ties count half."""
    rank = pd.Series(score).rank().to_numpy()
    n = int(positive.sum())
    return float((rank[positive].sum() - n * (n + 1) / 2) / max(n * (len(score) - n), 1))


def cut_from_one(z: np.ndarray, positive: np.ndarray) -> bool:
    """Whether a number's two classes are the two sides of one heap, as where a measure decides the class by a limit.

    A copy with noise is one shape twice, moved apart: equal skewness. The sides of a heap lean away from each other (by
    more than chance); those of a plateau lean towards each other without a valley.
    """
    there = ~np.isnan(z)
    z, positive = z[there], positive[there]
    one, two = z[positive], z[~positive]
    if min(len(one), len(two)) < FEWEST or len(np.unique(z)) < 20:
        return False
    if np.median(one) < np.median(two):
        one, two = -one, -two
    (lean, doubt), (other, other_doubt) = _skewness(one), _skewness(two)
    apart, limit = lean - other, max(0.25, 2.5 * float(np.hypot(doubt, other_doubt)))
    if apart > limit:
        return True
    if apart < -limit:
        middle = (np.median(one) + np.median(two)) / 2
        width = (np.median(one) - np.median(two)) / 8

        def density(at: float) -> float:
            return sum(float(np.mean(np.abs(side - at) < width)) for side in (one, two))

        return density(middle) > 0.8 * max(density(float(np.median(one))), density(float(np.median(two))))
    return False


def _skewness(z: np.ndarray) -> tuple[float, float]:
    """Skewness with the outer 2% on either side drawn in, and its standard error by the influence of each value."""
    z = np.clip(z, *np.quantile(z, [0.02, 0.98]))
    z = (z - z.mean()) / max(float(z.std()), 1e-300)
    lean = float((z**3).mean())
    influence = z**3 - lean - 3 * z - 1.5 * lean * (z**2 - 1)
    return lean, float(influence.std() / np.sqrt(len(z)))


def _ranks(z: np.ndarray) -> np.ndarray:
    """Ranks as normal scores; a missing value in the middle."""
    from scipy.special import ndtri

    there = ~np.isnan(z)
    out = np.zeros(len(z))
    if there.any():
        out[there] = ndtri((pd.Series(z[there]).rank().to_numpy() - 0.5) / there.sum())
    return out


def _corr(a: np.ndarray, b: np.ndarray) -> float:
    if a.std() == 0 or b.std() == 0:
        return 0.0
    return float(np.corrcoef(a, b)[0, 1])


def _guesses(
    X: np.ndarray, targets: Callable[[np.ndarray], np.ndarray], folds: Sequence[Fold], seed: int
) -> Iterator[np.ndarray]:
    """Held-out guesses of a ridge regression on ranks, then of a small forest: ``(rows of all folds, targets)`` each."""
    from sklearn.ensemble import ExtraTreesRegressor
    from sklearn.linear_model import Ridge

    rng = np.random.default_rng(seed)
    some = [np.sort(rng.permutation(fit)[:ROWS]) for fit, _ in folds]
    flat, plain = np.column_stack([_ranks(column) for column in X.T]), np.nan_to_num(X, nan=-1e9)
    line = Ridge(alpha=1.0)
    trees = ExtraTreesRegressor(
        FOREST, min_samples_leaf=3, max_features=min(1.0, 12 / X.shape[1] + 0.1), random_state=seed, n_jobs=1
    )
    for model, Z in ((line, flat), (trees, plain)):
        parts = []
        for fit, (_, use) in zip(some, folds, strict=True):
            t = targets(fit)
            parts.append(model.fit(Z[fit], t if t.shape[1] > 1 else t[:, 0]).predict(Z[use]).reshape(len(use), -1))
        yield np.concatenate(parts)
