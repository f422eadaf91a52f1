"""Categorical columns: levels seen in training to codes, one-hot columns or target means.

A level that training never saw is no missing value: whether one is missing may say a lot, and says nothing of a new
level. One-hot columns have none for it (or that of the rare levels), target means the overall one. Where levels are
codes, known levels stand in for it, :data:`STAND_INS` of them spread over the order of their target means; who predicts
takes the mean of the answers (:meth:`tasks.models.model.Model.predict`), what the model expects of a level it knows
nothing of.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from tasks.encoding.folds import together
from tasks.kinds import MANY, NUMBER, TWO, find_kind
from tasks.values.levels import level

if TYPE_CHECKING:
    from sklearn.model_selection import BaseCrossValidator

ENCODINGS = ("one_hot", "ordinal", "target", "native")
MISSING = -1  # the code of a missing or never seen value
STAND_INS = 8
PRIOR = 10.0  # rows of the overall mean that are added to each level's own, so that few rows say little
TARGETS = {TWO: "binary", MANY: "multiclass", NUMBER: "continuous"}  # scikit-learn's words


@dataclass
class Category:
    """One column's levels. ``kept`` have a code each, ``rare`` share the next one."""

    how: str
    kept: list[str]
    rare: list[str]
    saw_missing: bool
    means: np.ndarray | None = None  # (levels + rare + missing, outputs) for target encoding
    stand_ins: list[int] = field(default_factory=list)  # codes of known levels that stand in for a new one
    overall: np.ndarray | None = None  # (outputs,) target encoding: of a level that training never saw
    _index: dict[str, int] = field(default_factory=dict, repr=False)

    def __post_init__(self) -> None:
        self._index = {level: code for code, level in enumerate(self.kept)}
        self._index |= dict.fromkeys(self.rare, len(self.kept))
        for name, code in list(
            self._index.items()
        ):  # a model of an older version knows its levels as a file wrote them
            self._index.setdefault(level(name) or name, code)

    @classmethod
    def fit(cls, values: pd.Series, how: str, most: int, least: int) -> Category:
        """Keep at most ``most`` levels that occur ``least`` times or more; the others are rare."""
        counts = values.dropna().astype(str).value_counts()
        ordered = sorted(counts.index, key=lambda level: (-counts[level], level))
        kept = sorted(level for level in ordered[:most] if counts[level] >= least)
        chosen = set(kept)
        return cls(how, kept, sorted(level for level in ordered if level not in chosen), bool(values.isna().any()))

    @property
    def size(self) -> int:
        """How many codes there are, the rare one included."""
        return len(self.kept) + bool(self.rare)

    def codes(self, values: pd.Series) -> np.ndarray:
        """``(n,)`` integer codes, :data:`MISSING` where missing or unseen."""
        if len(values) < 64:  # hashing a few strings beats factorizing them
            found = [self._index.get(str(v), MISSING) if isinstance(v, str) or v == v else MISSING for v in values]
            return np.asarray(found, dtype=np.int64)
        codes, levels = pd.factorize(values)
        table = np.asarray([self._index.get(str(level), MISSING) for level in levels] + [MISSING], dtype=np.int64)
        return table[codes]

    @property
    def levels(self) -> frozenset[str]:
        """Every level that training saw."""
        return frozenset((*self.kept, *self.rare))

    def unseen(self, values: pd.Series) -> np.ndarray:
        """Which values are levels that training never saw; missing ones are none."""
        codes = self.codes(values)
        new = codes < 0
        return new & pd.notna(values).to_numpy() if new.any() else new

    def fit_stand_ins(self, values: pd.Series, y: np.ndarray, kind: str) -> None:
        """Choose the levels that stand in for a new one: spread evenly over all, in the order of their target means."""
        codes = self.codes(values)
        there = codes >= 0
        if not self.size or not there.any():
            return
        counts = np.bincount(codes[there], minlength=self.size).astype(float)
        targets = find_kind(kind).output.indicators(y)
        sums = np.stack([np.bincount(codes[there], t[there], minlength=self.size) for t in targets.T])
        overall = targets[there].mean(axis=0)[:, None]
        means = (sums + PRIOR * overall) / (counts + PRIOR)
        spread = (counts * (means - overall) ** 2).sum(
            axis=1
        )  # of several classes, the one that levels tell apart best
        order = np.argsort(means[int(np.argmax(spread))], kind="stable")
        places = ((np.arange(STAND_INS) + 0.5) / STAND_INS * len(order)).astype(int)
        self.stand_ins = [int(order[place]) for place in places]  # of fewer levels some come twice

    def transform(self, values: pd.Series) -> np.ndarray:
        """``(n, width)`` float64."""
        codes = self.codes(values)
        if self.how == "native":
            return np.where(codes < 0, np.nan, codes.astype(float))[:, None]
        if self.how == "ordinal":
            return codes.astype(float)[:, None]
        if self.how == "target":
            assert self.means is not None
            found = self.means[codes]  # -1 picks the last row, that of missing values
            if self.overall is not None and (new := self.unseen(values)).any():
                found[new] = self.overall
            return found
        return self._one_hot(codes, values)

    def _one_hot(self, codes: np.ndarray, values: pd.Series) -> np.ndarray:
        out = np.zeros((len(codes), self.size + self.saw_missing))
        known = np.flatnonzero(codes >= 0)
        out[known, codes[known]] = 1.0
        absent = codes < 0
        if absent.any():
            null = pd.isna(values).to_numpy()
            if self.saw_missing:
                out[absent & null, -1] = 1.0
            if self.rare:  # a level never seen is the rarest
                out[absent & ~null, self.size - 1] = 1.0
        return out

    def fit_target(
        self, values: pd.Series, y: np.ndarray, kind: str, seed: int, groups: np.ndarray | None = None
    ) -> np.ndarray:
        """Fit target means, and return the training rows' cross-fitted ones ``(n, outputs)``.

        Cross-fitting (scikit-learn's TargetEncoder) keeps a row's own label out of its encoding, and so, by ``groups``
        ``(n,)``, that of the row it was made from.
        """
        from sklearn.model_selection import KFold, StratifiedKFold
        from sklearn.preprocessing import TargetEncoder

        codes = self.codes(values)
        asked = find_kind(kind).output
        folds = min(5, int(np.bincount(y.astype(int)).clip(1).min())) if asked.classes else 5
        splitter: BaseCrossValidator | list[tuple[np.ndarray, np.ndarray]] = (
            StratifiedKFold if asked.classes else KFold
        )(max(2, folds), shuffle=True, random_state=seed)
        if groups is not None:
            splitter = together(y, groups, 5, seed)
        encoder = TargetEncoder(target_type=TARGETS[asked], cv=splitter)
        crossed = encoder.fit_transform(codes[:, None], asked.targets(y))
        overall = np.atleast_1d(encoder.target_mean_)
        self.overall = overall.astype(float)
        self.means = np.tile(overall, (self.size + 1, 1)).astype(float)
        seen = encoder.categories_[0]
        for output, means in enumerate(encoder.encodings_):
            self.means[seen, output] = means
        return crossed

    def names(self, column: str) -> list[str]:
        """Names of the encoded columns."""
        if self.how in ("native", "ordinal"):
            return [column]
        if self.how == "target":
            assert self.means is not None
            width = self.means.shape[1]
            return [f"{column} target mean" + (f" {i}" if width > 1 else "") for i in range(width)]
        rare = [f"{column}=(rare)"] if self.rare else []
        return [f"{column}={level}" for level in self.kept] + rare + ([f"{column}=(missing)"] * self.saw_missing)

    def state(self) -> dict[str, Any]:
        """As JSON."""
        means = None if self.means is None else self.means.tolist()
        found = {"how": self.how, "kept": self.kept, "rare": self.rare, "saw_missing": self.saw_missing, "means": means}
        if self.overall is not None:
            found["overall"] = self.overall.tolist()
        return found | ({"stand_ins": self.stand_ins} if self.stand_ins else {})

    @classmethod
    def from_state(cls, state: dict[str, Any]) -> Category:
        """From what :meth:`state` gave, or an older version's did."""
        means, overall = (None if state.get(k) is None else np.asarray(state[k], float) for k in ("means", "overall"))
        stand_ins = state.get("stand_ins", [])  # packages of older versions have none: there a new level is missing
        return cls(state["how"], state["kept"], state["rare"], state["saw_missing"], means, stand_ins, overall)
