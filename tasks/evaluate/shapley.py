"""Shapley values of a model that can only be asked: exact where few features differ, else sampled with known errors.

The game is the usual one: of a feature that is not in a coalition the value comes from a background row, and a coalition
is worth the mean answer over all background rows (interventional SHAP; Lundberg and Lee, 2017).

*Few features* (at most :data:`EXACT` differ from the background): Shapley's formula over all coalitions.

*More*: walks from each background row to the explained one, one feature after another in random order, then in the
reverse order (Strumbelj and Kononenko, 2014; antithetic pairs as in Mitchell et al., 2022). Every background row is used
equally often, so a row's values add up to its answer less the mean answer exactly, with nothing to be shared out; a
feature that changes nothing has 0. Each background row has several independent pairs, so the scatter among these gives
the standard error of each value: SE² = Σ_b s_b² / (rounds B²), of which differences between background rows are no part.
Rows whose largest error is beyond what is stated get more rounds while the budget lasts. Seeded by row: a row's values do
not depend on which other rows are explained.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import factorial

import numpy as np

EXACT = 8  # features
ERROR = 0.02  # stated standard error of a contribution, as a share of the answers' standard deviation
BUDGET = 600_000  # predictions of a small network
ROWS = 200
FEWEST = 20  # rows, as long as background rows can be saved instead
BACKGROUND = 32
LEAST = 8  # background rows
ROUNDS = (2, 16)  # pairs of walks for each background row
CELLS = 4_000_000  # of encoded rows at once: 32 MB

Answer = Callable[[list[np.ndarray]], np.ndarray]


@dataclass(frozen=True)
class Asked:
    """Values and their standard errors ``(n, features, outputs)``, ``base`` (outputs,), walks (n,), and what it took."""

    values: np.ndarray
    errors: np.ndarray
    base: np.ndarray
    walks: np.ndarray
    spread: float
    background: int
    predictions: int
    stated: float = ERROR

    @property
    def exact(self) -> bool:
        """Whether every row's values are by the formula."""
        return not self.walks.any()


def by_asking(answer: Answer, rows: Sequence[np.ndarray], background: Sequence[np.ndarray],
              parts: Sequence[Sequence[np.ndarray]], cost: float, seed: int, budget: int = BUDGET) -> Asked:  # fmt: skip
    """Shapley values of as many of the first rows as the budget allows.

    Parameters
    ----------
    answer : from encoded rows, one array a model, to ``(n, outputs)``.
    rows, background : encoded rows, one array a model.
    parts : of each model and feature the columns that belong to it.
    cost : of a prediction, as a multiple of a small network's.
    """
    features, can = len(parts[0]), budget / cost
    walk = 2 * max(features - 1, 1)
    size = min(BACKGROUND, len(background[0]), max(LEAST, int(can / (FEWEST * ROUNDS[0] * walk))))
    said = answer(list(background))
    chosen = _spread_out(said, size)
    game = _Game(answer, [B[chosen] for B in background], said[chosen], parts, seed)
    least = 2 * ROUNDS[0] * walk * size if features > EXACT else 2**features * size
    n = min(len(rows[0]), ROWS, max(FEWEST, int(can / least)))
    rows = [Z[:n] for Z in rows]
    answers = answer(list(rows))
    spread = float(np.sqrt(np.concatenate([said, answers]).var(axis=0).mean()))
    values, errors, walks = (
        np.zeros((n, features, said.shape[1])),
        np.zeros((n, features, said.shape[1])),
        np.zeros(n),
    )
    left = int(can)
    for i in range(n):
        before = game.predictions
        share = left // (n - i)
        values[i], errors[i], walks[i] = game.row(i, [Z[i] for Z in rows], answers[i], ERROR * spread, share)
        left -= game.predictions - before
    return Asked(values, errors, game.base, walks, spread, size, game.predictions + len(said) + n)


def _spread_out(said: np.ndarray, size: int) -> np.ndarray:
    """Positions of background rows evenly spaced by their answers, in order of position."""
    order = np.lexsort(said.T)
    at = (np.arange(size) + 0.5) * len(order) / size
    return np.sort(order[at.astype(np.int64)])


class _Game:
    def __init__(self, answer: Answer, background: list[np.ndarray], said: np.ndarray, parts: Sequence[Sequence[np.ndarray]], seed: int) -> None:  # fmt: skip
        self.answer, self.background, self.said, self.seed = answer, background, said, seed
        self.base, self.predictions = said.mean(axis=0), 0
        self.owner = []
        for columns, B in zip(parts, background, strict=True):
            owner = np.full(B.shape[1], len(columns))
            for feature, own in enumerate(columns):
                owner[own] = feature
            self.owner.append(owner)
        self.features = len(parts[0])

    def row(self, i: int, Z: list[np.ndarray], own: np.ndarray, aim: float, budget: int) -> tuple[np.ndarray, np.ndarray, int]:  # fmt: skip
        """Values and errors ``(features, outputs)`` of one row, and from how many walks."""
        differ = np.zeros(self.features + 1, bool)
        for z, B, owner in zip(Z, self.background, self.owner, strict=True):
            differ[owner[(z != B).any(axis=0)]] = True
        active = np.flatnonzero(differ[:-1])
        values, errors = (np.zeros((self.features, len(own))) for _ in range(2))
        if len(active) <= EXACT:
            values[active] = self._formula(Z, active)
            return values, errors, 0
        values[active], errors[active], walks = self._sampled(i, Z, own, active, aim, budget)
        return values, errors, walks

    def _formula(self, Z: list[np.ndarray], active: np.ndarray) -> np.ndarray:
        """Shapley's formula over all coalitions of the active features."""
        p = len(active)
        inside = (np.arange(2**p)[:, None] >> np.arange(p)) % 2 == 1  # (coalitions, p)
        worth = self._ask(Z, np.repeat(inside[:, None], len(self.said), axis=1), active).mean(axis=1)
        size = inside.sum(axis=1)
        out = np.zeros((p, worth.shape[1]))
        for j in range(p):
            without = np.flatnonzero(~inside[:, j])
            weight = np.array([factorial(k) * factorial(p - k - 1) / factorial(p) for k in size[without]])
            out[j] = weight @ (worth[without + 2**j] - worth[without])
        return out

    def _sampled(self, i: int, Z: list[np.ndarray], own: np.ndarray, active: np.ndarray, aim: float, budget: int) -> tuple[np.ndarray, np.ndarray, int]:  # fmt: skip
        rng = np.random.default_rng([self.seed, i])
        p, size = len(active), len(self.said)
        mean, scatter = np.zeros((size, p, len(own))), np.zeros((size, p, len(own)))
        rounds, each = 0, 2 * size * max(p - 1, 1)
        while True:
            for _ in range(ROUNDS[0] if not rounds else 1):
                order = rng.permuted(np.tile(np.arange(p), (size, 1)), axis=1)
                pair = (self._walk(Z, own, active, order) + self._walk(Z, own, active, order[:, ::-1])) / 2
                rounds, old = rounds + 1, mean
                mean = mean + (pair - mean) / rounds
                scatter = scatter + (pair - old) * (pair - mean)  # Welford's way, which does not cancel
            errors = np.sqrt(scatter.sum(axis=0) / (rounds - 1) / rounds) / size
            if errors.max() <= aim or rounds >= ROUNDS[1] or (rounds + 1) * each > budget:
                return mean.mean(axis=0), errors, 2 * rounds * size

    def _walk(self, Z: list[np.ndarray], own: np.ndarray, active: np.ndarray, order: np.ndarray) -> np.ndarray:
        """What each step adds ``(background rows, active features, outputs)``, in an order of features for each."""
        size, p = order.shape
        place = np.argsort(order, axis=1)
        inside = place[None] < np.arange(1, p)[:, None, None]  # (steps, background rows, p)
        said = np.concatenate(
            [self.said[None], self._ask(Z, inside, active), np.broadcast_to(own, (1, size, len(own)))]
        )
        return np.take_along_axis(np.diff(said, axis=0).transpose(1, 0, 2), place[:, :, None], axis=1)

    def _ask(self, Z: list[np.ndarray], inside: np.ndarray, active: np.ndarray) -> np.ndarray:
        """Answers ``(coalitions, background rows, outputs)``: ``inside`` says which active features are the row's own."""
        many, size, _ = inside.shape
        width = max(B.shape[1] for B in self.background)
        step, found = max(1, CELLS // (size * max(width, 1))), []
        for start in range(0, many, step):
            part = np.zeros((len(inside[start : start + step]), size, self.features + 1), bool)
            part[:, :, active] = inside[start : start + step]
            mixed = [
                np.where(part[:, :, owner], z, B).reshape(-1, B.shape[1])
                for z, B, owner in zip(Z, self.background, self.owner, strict=True)
            ]
            found.append(self.answer(mixed).reshape(len(part), size, -1))
        self.predictions += many * size
        return np.concatenate(found)
