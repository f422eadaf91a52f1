"""Imbalanced classes: weights, or other rows. Only ever applied to training rows.

What is made follows the kind of column, by SMOTE-NC and SMOTE-N (Chawla et al., 2002, sections 6.1 and 6.2). The draws are
imbalanced-learn's, so that its SMOTE gives the same rows of numbers alone. Its own SMOTE-NC and SMOTE-N need an array of
made rows x neighbours x levels, or of a class's rows squared, and know no missing values; its ADASYN no categories.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

from tasks.errors import RefitError

NEAR = 5  # neighbours, as in the papers
AMONG = 20_000  # of more rows, neighbours are looked for among so many drawn at random
LEVELS = 64  # levels of a category that distances tell apart; the rarest ones beyond count as one
ROWS = ("smote", "adasyn", "under_sample", "smote_tomek")  # ways that change which rows there are


@dataclass(frozen=True)
class Balanced:
    """Rows after balancing. ``origin`` ``(m,)``: the given row that each is, or was made from; ``made`` ``(m,)``: which were."""

    X: pd.DataFrame
    y: np.ndarray
    origin: np.ndarray
    made: np.ndarray


def balanced_weight(y: np.ndarray, classes: int) -> np.ndarray:
    """A weight a row, so that every class weighs the same and the mean is 1.

    >>> balanced_weight(np.array([0.0, 0.0, 0.0, 1.0]), 2).round(2).tolist()
    [0.67, 0.67, 0.67, 2.0]
    """
    counts = np.bincount(y.astype(int), minlength=classes)
    present = counts > 0
    per_class = np.zeros(classes)
    per_class[present] = len(y) / (present.sum() * counts[present])
    return per_class[y.astype(int)]


def resample(X: pd.DataFrame, y: np.ndarray, how: str, seed: int, kinds: Mapping[str, str] | None = None) -> Balanced:
    """As many rows of every class as of the largest, or for ``under_sample`` of the smallest one.

    Real rows are left as they are, and made ones follow them. A made row starts from a real one of its class and one of
    that row's five nearest of the class:

    - a number lies between the two (a whole number where all are whole); where one of the two lacks it, it is the first
      row's, and so it is missing where, and as often as, it is in real rows;
    - a category is the most frequent one of the row and the five, of equally frequent ones the row's own. Where no row of the
      class has these categories together, they are those of one of the six, the one that agrees most with the others;
    - a text is the first row's.

    Parameters
    ----------
    X, y : training rows, and their class indexes ``(n,)``.
    how : one of :data:`ROWS`. ``adasyn`` makes more from rows with more neighbours of other classes (He et al., 2008);
        ``smote_tomek`` then drops both ends of Tomek links, pairs of two classes that are each other's nearest
        (Batista et al., 2004).
    kinds : feature name to numeric, categorical or text; by the dtypes if left out.

    Distances are Euclidean over numbers in units of their standard deviation. Two categories that differ count as the
    median of these standard deviations within the class; without numbers their distance is that of the shares of the
    classes among their rows (the value difference metric).

    Raises
    ------
    RefitError
        If a class has a single row, or there is nothing to tell a distance by.
    """
    labels = y.astype(int)
    if how == "under_sample":
        from imblearn.under_sampling import RandomUnderSampler

        sampler = RandomUnderSampler(random_state=seed)
        sampler.fit_resample(np.zeros((len(X), 1)), labels)
        return _chosen(X, y, np.sort(sampler.sample_indices_))
    kinds = kinds or {c: "numeric" if pd.api.types.is_numeric_dtype(X[c]) else "categorical" for c in X.columns}
    counts = np.bincount(labels)
    smallest = int(counts[counts > 0].min())
    if smallest < 2:
        raise RefitError(
            f"training.imbalance: {how!r} interpolates between rows of a class, and one class has {smallest}; "
            "use class_weight, or gather more rows"
        )
    space = _Space(X, labels, kinds)
    if not space.columns:
        raise RefitError(
            f"training.imbalance: {how!r} looks for rows that are alike in numbers and categories, and there are only "
            "texts; use class_weight or under_sample"
        )
    parts, origins, classes = [X], [np.arange(len(X))], [y]
    for label in np.flatnonzero((counts > 0) & (counts < counts.max())):
        base, rows = _made(space, X, labels, int(label), int(counts.max() - counts[label]), how, seed)
        parts.append(rows)
        origins.append(base)
        classes.append(np.full(len(base), float(label)))
    whole, origin, y = pd.concat(parts, ignore_index=True), np.concatenate(origins), np.concatenate(classes)
    made = np.arange(len(whole)) >= len(X)
    if how != "smote_tomek":
        return Balanced(whole, y, origin, made)
    from imblearn.under_sampling import TomekLinks

    links = TomekLinks(sampling_strategy="all")
    links.fit_resample(_Space(whole, y.astype(int), kinds, space).points(np.arange(len(whole))), y.astype(int))
    kept = links.sample_indices_
    return Balanced(whole.iloc[kept].reset_index(drop=True), y[kept], origin[kept], made[kept])


def _chosen(X: pd.DataFrame, y: np.ndarray, kept: np.ndarray) -> Balanced:
    return Balanced(X.iloc[kept].reset_index(drop=True), y[kept], kept, np.zeros(len(kept), dtype=bool))


class _Space:
    """Rows as points, by the kind of column; in the units of ``like``, or of its own rows."""

    def __init__(
        self, X: pd.DataFrame, labels: np.ndarray, kinds: Mapping[str, str], like: _Space | None = None
    ) -> None:
        self.numeric = [c for c in X.columns if kinds[c] == "numeric"]
        self.nominal = [c for c in X.columns if kinds[c] == "categorical"]
        self.columns = self.numeric + self.nominal
        self.values = X[self.numeric].to_numpy(float)
        known = np.where(np.isfinite(self.values), self.values, np.nan)
        empty = np.isnan(known).all(axis=0)
        known[:, empty] = 0.0
        self.middle: np.ndarray = like.middle if like else np.nanmedian(known, axis=0) if self.numeric else np.empty(0)
        filled = np.where(np.isnan(known), self.middle, known)
        spread = filled.std(axis=0)
        self.unit: np.ndarray = like.unit if like else np.where(spread > 0, spread, 1.0)
        self.scaled = filled / self.unit
        self.whole = (np.isnan(known) | (known == np.rint(known))).all(axis=0) & ~empty
        found = [pd.factorize(X[c], sort=True) for c in self.nominal]
        self.levels = [levels for _, levels in found]
        self.codes = np.column_stack([codes for codes, _ in found]) if found else np.empty((len(X), 0), dtype=np.int64)
        self.labels = labels

    def points(self, at: np.ndarray) -> np.ndarray:
        """``(len(at), width)``: rows so that Euclidean distances are those of :func:`resample`."""
        if not self.nominal:
            return self.scaled[at]
        if not self.numeric:
            return np.hstack([_shares(codes, self.labels)[codes[at]] for codes in self.codes.T])
        # Two levels differ in two columns, so half of the square goes to each.
        step = float(np.median(self.scaled[at].std(axis=0))) / np.sqrt(2)
        return np.hstack([self.scaled[at], *(step * _one_hot(codes)[codes[at]] for codes in self.codes.T)])

    def nearest(self, asked: np.ndarray, among: np.ndarray, rng: np.random.RandomState) -> np.ndarray:
        """The nearest :data:`NEAR` others of each row of ``asked``, ``(len(asked), k)``, out of ``among``."""
        from sklearn.neighbors import NearestNeighbors

        if len(among) > AMONG:
            among = np.sort(rng.choice(among, AMONG, replace=False))
        both = np.union1d(asked, among)
        points = self.points(both)
        search = NearestNeighbors(n_neighbors=min(NEAR + 1, len(among))).fit(points[np.searchsorted(both, among)])
        found = among[search.kneighbors(points[np.searchsorted(both, asked)], return_distance=False)]
        own = found == asked[:, None]
        own[~own.any(axis=1), -1] = True  # of several equal rows another one came first
        return np.asarray(found[~own].reshape(len(asked), -1))


def _one_hot(codes: np.ndarray) -> np.ndarray:
    """``(levels + 1, width)``, the last row for missing values (code -1), the rarest of many levels in one column."""
    counts = np.bincount(codes + 1)  # missing first
    place = np.empty(len(counts), dtype=int)
    place[np.argsort(-counts, kind="stable")] = np.arange(len(counts)).clip(max=LEVELS - 1)
    hot = np.eye(place.max() + 1)[place]
    return np.vstack([hot[1:], hot[:1]])


def _shares(codes: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """``(levels + 1, classes)``: of the rows with each level the share of each class; the last row as in :func:`_one_hot`."""
    table = np.zeros((codes.max() + 2, labels.max() + 1))
    np.add.at(table, (codes, labels), 1.0)
    return table / table.sum(axis=1, keepdims=True).clip(min=1.0)


def _made(
    space: _Space, X: pd.DataFrame, labels: np.ndarray, label: int, wanted: int, how: str, seed: int
) -> tuple[np.ndarray, pd.DataFrame]:
    """Rows made for one class, and the row that each starts from."""
    rng = np.random.RandomState(seed)  # imbalanced-learn's, for the same draws
    own = np.flatnonzero(labels == label)
    near = space.nearest(own, own, rng)
    if how == "adasyn":
        around = space.nearest(own, np.arange(len(labels)), rng)
        crowd = (labels[around] != label).mean(axis=1)
        if not crowd.any():
            raise RefitError(
                "training.imbalance: 'adasyn' makes rows where classes meet, and no row of a rarer class has a neighbour of "
                "another one; use smote"
            )
        exact = crowd / crowd.sum() * wanted
        times = np.floor(exact).astype(int)  # the rest goes to the largest remainders, by lot where they are equal
        rest = np.lexsort((rng.permutation(len(own)), times - exact))
        times[rest[: wanted - int(times.sum())]] += 1
        start = np.repeat(np.arange(len(own)), times)
        other = rng.choice(near.shape[1], size=len(start))
        step = rng.uniform(size=len(start))
    else:
        drawn = rng.randint(0, near.size, size=wanted)
        step = rng.uniform(size=wanted)
        start, other = np.divmod(drawn, near.shape[1])
    base = own[start]
    rows = X.iloc[base].reset_index(drop=True)
    one, two = space.values[base], space.values[near[start, other]]
    both = np.isfinite(one) & np.isfinite(two)
    numbers = np.where(both, one, 0.0) + step[:, None] * (np.where(both, two, 0.0) - np.where(both, one, 0.0))
    numbers = np.where(both, np.where(space.whole, np.rint(numbers), numbers), one)
    codes = _voted(space.codes, base, near[start], own)
    columns: dict[str, np.ndarray | pd.Series] = {c: numbers[:, j] for j, c in enumerate(space.numeric)}
    for c, levels, found in zip(space.nominal, space.levels, codes.T, strict=True):
        if len(levels):
            columns[c] = pd.Series(levels.take(found.clip(min=0)), dtype=X[c].dtype).mask(found < 0)
    return base, rows.assign(**columns)


def _voted(codes: np.ndarray, base: np.ndarray, near: np.ndarray, own: np.ndarray) -> np.ndarray:
    """Codes ``(m, columns)`` of made rows: the most frequent of ``base`` and ``near`` ``(m, k)``, missing where ``base``'s are.

    Of equally frequent ones ``base``'s own comes first, then the nearest. Combinations that no row of ``own`` has give way.
    """
    if not codes.shape[1] or not len(base):
        return codes[base]
    pool = codes[np.column_stack([base, near])]  # (m, 1 + k, columns), base first
    count = np.stack([((pool == pool[:, [j]]) & (pool[:, [j]] >= 0)).sum(axis=1) for j in range(pool.shape[1])], 1)
    winner = np.take_along_axis(pool, count.argmax(axis=1)[:, None], axis=1)[:, 0]
    winner = np.where(pool[:, 0] < 0, -1, winner)
    sizes = codes.max(axis=0) + 2
    there = np.unique(_numbered(codes[own], sizes))
    odd = ~np.isin(_numbered(winner, sizes), there)
    # Whoever lacks what the base row has cannot lend its categories.
    lends = ((pool >= 0) | (pool[:, [0]] < 0)).all(axis=2)
    lender = np.where(lends, count.sum(axis=2), -1).argmax(axis=1)
    lent = np.where(pool[:, 0] < 0, -1, np.take_along_axis(pool, lender[:, None, None], axis=1)[:, 0])
    return np.where(odd[:, None], lent, winner)


def _numbered(codes: np.ndarray, sizes: np.ndarray) -> np.ndarray:
    """One value a row, equal where all codes (from -1) are."""
    if np.prod(sizes.astype(float)) < 2**62:
        return np.ravel_multi_index(tuple((codes + 1).T), tuple(sizes))
    return np.array([row.tobytes() for row in np.ascontiguousarray(codes)])
