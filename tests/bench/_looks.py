"""Looks at two models that are equally good, many at a time, in settings where a test is easily wrong."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import numpy as np

from tasks.paired import contrast
from tasks.paired.discordant import FEW

N = 200  # rows of a look
POSITIVES = 20
SIZES = (2, 2, 3, 3, 4, 4, 5, 5, 6, 7, 8, 9, 10, 12, 14, 16, 18, 20, 24, 28)  # rows of the clusters
LABELS = np.repeat(np.arange(len(SIZES)), SIZES)


def p_better(b: np.ndarray, c: np.ndarray) -> np.ndarray:
    """One-sided McNemar, exact where discordant rows are few, as :func:`tasks.paired.mcnemar` chooses."""
    from scipy.stats import binom, norm

    n = b + c
    z = np.sign(b - c) * np.maximum(np.abs(b - c) - 1, 0) / np.sqrt(n)
    return np.where(n <= FEW, binom.sf(b - 1, n, 0.5), norm.sf(z))


@dataclass(frozen=True)
class Looks:
    """``kind``; truth (looks, n) and both models' scores; ``labels`` (n,) of clusters, or None."""

    kind: str
    y: np.ndarray
    challenger: np.ndarray
    champion: np.ndarray
    labels: np.ndarray | None = None

    def said(self) -> tuple[np.ndarray, np.ndarray]:
        """Decisions: the most probable class, or above the positives' share."""
        if self.kind == "multiclass":
            return self.challenger.argmax(axis=-1).astype(float), self.champion.argmax(axis=-1).astype(float)
        cut = float(self.y.mean()) * 0.999
        return (self.challenger >= cut).astype(float), (self.champion >= cut).astype(float)

    def p(self, metric: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """The product's one-sided p-values of "no better" and "no worse", and the plain normal test's, (looks,)."""
        from scipy.stats import norm

        said = self.said() if metric in ("accuracy", "f1", "f1_macro") else None
        found = contrast(metric, self.kind, self.y, self.challenger, self.champion, decisions=said)
        se = found.se(self.labels)
        plain = norm.sf(np.divide(found.gain, se, out=np.zeros_like(se), where=se > 0))
        if metric == "accuracy" and self.labels is None and said is not None:
            right, other = (s == self.y for s in said)
            b, c = (right & ~other).sum(axis=-1), (other & ~right).sum(axis=-1)
            return p_better(b, c), p_better(c, b), plain
        test = found.test(self.labels)
        return test.p_above, test.p_below, plain


Maker = Callable[[int, np.random.Generator, float], Looks]


def _sigmoid(x: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-x))


def _own(shape: tuple[int, int], rng: np.random.Generator, clustered: bool) -> np.ndarray:
    """A model's own errors, standard normal; with clusters half of their variance is the cluster's."""
    noise = rng.standard_normal(shape, dtype=np.float32)
    if not clustered:
        return noise
    mood = rng.standard_normal((shape[0], len(SIZES)), dtype=np.float32)[:, LABELS[: shape[1]]]
    return (noise + mood) / np.sqrt(2)


def binary(positives: int, clustered: bool = False, uneven: bool = False, n: int = N) -> Maker:
    """Normal scores, half of their variance shared. ``uneven``: the challenger's positives scatter twice as much, at the
    same area under the curve. ``better``: the challenger's own errors shrink by that share."""

    def make(looks: int, rng: np.random.Generator, better: float = 0.0) -> Looks:
        y = np.zeros((looks, n))
        places = np.linspace(0, n - 1, positives).astype(int)  # spread over the clusters
        y[:, places] = 1
        shared, d = rng.standard_normal((looks, n), dtype=np.float32), 1.5
        scores = []
        for k in range(2):
            own = _own((looks, n), rng, clustered) * (1 - better if k == 0 else 1)
            x = np.sqrt(0.5) * shared + np.sqrt(0.5) * own
            if uneven and k == 0:
                x = np.where(y == 1, 2 * x + d * np.sqrt(2.5), x)
            else:
                x = x + d * y
            scores.append(_sigmoid(d * x - d * d / 2 + np.log(positives / (n - positives))))
        return Looks("binary", y, scores[0], scores[1], LABELS if clustered else None)

    return make


@cache
def _timid(metric: str, bold: float) -> float:
    """The factor below 1 that makes log-odds as bad by ``metric`` as the factor ``bold`` above 1."""
    rng = np.random.default_rng(1)
    x = rng.normal(0, 1.5, 400_000) - 2.0
    chance = _sigmoid(x)

    def loss(k: float) -> float:
        p = _sigmoid(k * x)
        if metric == "brier":
            return float((chance * (1 - p) ** 2 + (1 - chance) * p**2).mean())
        return float(-(chance * np.log(p) + (1 - chance) * np.log1p(-p)).mean())

    return _same(loss, loss(bold), 0.05, 1.0)


def _same(loss: Callable[[float], float], goal: float, low: float, high: float) -> float:
    """Where a monotone ``loss`` takes the value ``goal``."""
    rising = loss(high) > loss(low)
    for _ in range(40):
        middle = (low + high) / 2
        low, high = (low, middle) if (loss(middle) > goal) == rising else (middle, high)
    return (low + high) / 2


def overconfident(metric: str) -> Maker:
    """The challenger's log-odds are twice the true ones, the champion's are as much too timid: rare, large losses."""

    def make(looks: int, rng: np.random.Generator, better: float = 0.0) -> Looks:
        x = rng.normal(0, 1.5, (looks, N)) - 2.0
        y = (rng.random((looks, N)) < _sigmoid(x)).astype(float)
        return Looks("binary", y, _sigmoid(2.0 * x), _sigmoid(_timid(metric, 2.0) * x))

    return make


def multiclass(counts: tuple[int, ...], clustered: bool = False) -> Maker:
    def make(looks: int, rng: np.random.Generator, better: float = 0.0) -> Looks:
        k, n = len(counts), sum(counts)
        order = np.random.default_rng(0).permutation(n)
        y = np.broadcast_to(np.repeat(np.arange(k), counts)[order].astype(float), (looks, n))
        truth = 1.5 * (np.arange(k) == y[..., None])
        shared = rng.standard_normal((looks, n, k), dtype=np.float32)
        scores = []
        for one in range(2):
            own = np.stack([_own((looks, n), rng, clustered) for _ in range(k)], axis=-1)
            x = truth + np.sqrt(0.5) * (shared + own * (1 - better if one == 0 else 1))
            p = np.exp(1.5 * x + np.log(np.array(counts) / n))
            scores.append(p / p.sum(axis=-1, keepdims=True))
        return Looks("multiclass", y, scores[0], scores[1], LABELS if clustered else None)

    return make


def regression(noise: str, clustered: bool = False, positive: bool = False, n: int = N) -> Maker:
    """Errors of the truth normal or of Student's t with 3 degrees; ``positive``: a truth far from 0, for relative errors."""

    def make(looks: int, rng: np.random.Generator, better: float = 0.0) -> Looks:
        signal = rng.standard_normal((looks, n), dtype=np.float32)
        error = (
            rng.standard_normal((looks, n), dtype=np.float32) if noise == "normal" else rng.standard_t(3, (looks, n))
        )
        one, two = (signal + 0.7 * _own((looks, n), rng, clustered) * (1 - b) for b in (better, 0.0))
        y = signal + error
        if positive:
            y, one, two = (np.exp(v / 2) for v in (y, one, two))
        return Looks("regression", y, one, two, LABELS if clustered else None)

    return make


def skewed(metric: str) -> Maker:
    """A log-normal truth, and two constant answers that are equally good: the challenger's the lower one, which is a
    little better on most rows and far worse on a few."""

    def make(looks: int, rng: np.random.Generator, better: float = 0.0) -> Looks:
        y = np.exp(rng.standard_normal((looks, N), dtype=np.float32))
        low, high = _constants(metric)
        return Looks("regression", y, np.full_like(y, low), np.full_like(y, high))

    return make


@cache
def _constants(metric: str) -> tuple[float, float]:
    from scipy.stats import norm

    y = np.exp(norm.ppf((np.arange(200_000) + 0.5) / 200_000))
    if metric in ("rmse", "r2"):
        centre = float(np.exp(0.5))
        return centre - 0.5, centre + 0.5

    def loss(c: float) -> float:
        return float((np.abs(y - c) / (y if metric == "mape" else 1)).mean())

    best = float(np.exp(-1.0)) if metric == "mape" else 1.0
    low = best * 0.7
    return low, _same(loss, loss(low), best, best * 5)


BINARY = ("roc_auc", "average_precision", "log_loss", "brier", "accuracy", "f1")
MULTICLASS = ("log_loss", "accuracy", "f1_macro", "roc_auc_ovr")
REGRESSION = ("rmse", "mae", "r2", "mape")


def settings() -> list[tuple[str, Maker, tuple[str, ...]]]:
    """Name of each setting, what makes its looks, and the metrics that are judged on them."""
    out: list[tuple[str, Maker, tuple[str, ...]]] = [
        ("ordinary", binary(70), BINARY),
        ("20 positives", binary(POSITIVES), BINARY),
        ("20 positives, uneven", binary(POSITIVES, uneven=True), ("roc_auc",)),
        ("clusters", binary(70, clustered=True), BINARY),
        ("overconfident", overconfident("log_loss"), ("log_loss",)),
        ("overconfident", overconfident("brier"), ("brier",)),
        ("ordinary", multiclass((90, 70, 40)), MULTICLASS),
        ("a rare class", multiclass((110, 70, 20)), MULTICLASS),
        ("clusters", multiclass((90, 70, 40), clustered=True), MULTICLASS),
    ]
    for noise, name in (("normal", "ordinary"), ("t", "heavy tails")):
        out += [(name, regression(noise), ("rmse", "mae", "r2")), (name, regression(noise, positive=True), ("mape",))]
    out.append(("clusters", regression("normal", clustered=True), ("rmse", "mae", "r2")))
    out.append(("clusters", regression("normal", clustered=True, positive=True), ("mape",)))
    out += [("skewed", skewed(metric), (metric,)) for metric in REGRESSION]
    return out
