"""McNemar's test: is one of two models right more often than the other, on the same rows?

Only discordant rows count: ``b`` where the challenger alone is right, ``c`` where the champion alone is.
If the models are equally good, each discordant row is a fair coin.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Literal

import numpy as np

from tasks.errors import RefitError, nearest, some

Variant = Literal["exact", "mid_p", "asymptotic", "corrected"]
VARIANTS = ("exact", "mid_p", "asymptotic", "corrected")
FEW = 1000  # discordant rows up to which the exact test is used: beyond, both agree to three digits


@dataclass(frozen=True)
class ContingencyTable:
    """Rows by who is right: ``both``, ``b`` challenger alone, ``c`` champion alone, ``neither``."""

    both: int
    b: int
    c: int
    neither: int

    @classmethod
    def of(cls, challenger: np.ndarray, champion: np.ndarray) -> ContingencyTable:
        """Count rows from two arrays (n,) of 0/1 or booleans: was each model right?"""
        one, two = np.asarray(challenger), np.asarray(champion)
        if one.shape != two.shape or one.ndim != 1:
            raise RefitError(f"McNemar's test needs both models on the same rows, found {one.shape} and {two.shape}")
        one, two = one.astype(bool), two.astype(bool)
        both, b, c = int((one & two).sum()), int((one & ~two).sum()), int((~one & two).sum())
        return cls(both, b, c, len(one) - both - b - c)

    @property
    def n(self) -> int:
        """All rows."""
        return self.both + self.b + self.c + self.neither

    @property
    def discordant(self) -> int:
        """Rows on which one model alone is right."""
        return self.b + self.c

    @property
    def difference(self) -> float:
        """Accuracy of the challenger minus the champion's."""
        return (self.b - self.c) / self.n if self.n else 0.0


@dataclass(frozen=True)
class McNemar:
    """A test's outcome. ``p`` is two-sided; ``p_better`` one-sided: small where the challenger is better."""

    variant: str
    why: str
    statistic: float
    p: float
    p_better: float

    def to_dict(self) -> dict[str, str | float]:
        """As JSON."""
        return asdict(self)


def mcnemar(table: ContingencyTable, variant: Variant | None = None) -> McNemar:
    """McNemar's test (1947), exact by default where discordant rows are few, else chi-square.

    Parameters
    ----------
    variant : ``exact`` binomial; ``mid_p`` (Lancaster, 1961: counts the observed outcome half, less
        conservative); ``asymptotic`` chi-square; ``corrected`` chi-square with Edwards' continuity
        correction (1948). None chooses ``exact`` up to 1,000 discordant rows, else ``corrected``.

    >>> mcnemar(ContingencyTable(both=59, b=6, c=16, neither=80), "exact").p.__round__(6)
    0.052479
    >>> mcnemar(ContingencyTable(59, 6, 16, 80), "asymptotic").statistic.__round__(6)
    4.545455
    """
    from scipy.stats import binom, chi2, norm

    b, c, n = table.b, table.c, table.discordant
    if variant is None:
        variant = "exact" if n <= FEW else "corrected"
        why = (
            f"exact, since {n:,} discordant rows are few enough (at most {FEW:,}) to count every outcome"
            if variant == "exact"
            else f"chi-square with continuity correction, since {n:,} discordant rows are many (over {FEW:,})"
        )
    elif variant in VARIANTS:
        why = "asked for by name"
    else:
        raise RefitError(f"variant {variant!r} is not one of {some(VARIANTS)}.{nearest(variant, VARIANTS)}")
    if n == 0:
        return McNemar(variant, why + "; no row tells the models apart", 0.0, 1.0, 1.0)
    if variant == "exact":
        p = min(1.0, 2 * float(binom.cdf(min(b, c), n, 0.5)))
        return McNemar(variant, why, float(min(b, c)), p, float(binom.sf(b - 1, n, 0.5)))
    if variant == "mid_p":
        observed = float(binom.pmf(b, n, 0.5))
        p = 1.0 if b == c else min(1.0, 2 * float(binom.cdf(min(b, c), n, 0.5)) - observed)
        return McNemar(variant, why, float(min(b, c)), p, float(binom.sf(b, n, 0.5)) + observed / 2)
    # Without a difference the correction must not make one.
    gap = abs(b - c) if variant == "asymptotic" else max(abs(b - c) - 1, 0)
    statistic = gap**2 / n
    z = np.sign(b - c) * np.sqrt(statistic)
    return McNemar(variant, why, float(statistic), float(chi2.sf(statistic, 1)), float(norm.sf(z)))


def difference_interval(table: ContingencyTable, level: float = 0.95) -> tuple[float, float]:
    """Confidence interval of the difference of two accuracies on the same rows.

    Agresti and Min's adjustment of the Wald interval (2005): half a row is added to each cell, which
    gives about the stated coverage from ten discordant rows on.
    """
    from scipy.stats import norm

    z = float(norm.ppf(0.5 + level / 2))
    b, c, n = table.b + 0.5, table.c + 0.5, table.n + 2
    d = (b - c) / n
    half = z * float(np.sqrt(b + c - (b - c) ** 2 / n)) / n
    return max(-1.0, d - half), min(1.0, d + half)


@dataclass(frozen=True)
class Clustered:
    """McNemar's test with rows in clusters. ``inflation``: variance relative to independent rows."""

    statistic: float
    p: float
    p_better: float
    clusters: int
    inflation: float

    def to_dict(self) -> dict[str, str | float]:
        """As JSON."""
        return asdict(self)


def clustered_mcnemar(challenger: np.ndarray, champion: np.ndarray, clusters: np.ndarray) -> Clustered:
    """McNemar's test where rows of a cluster (one plane, one day) may be right or wrong together.

    The sum of a cluster's differences is the unit, as in Durkalski et al. (2003): with
    ``d_g = b_g - c_g``, the statistic is ``(sum d_g)² / sum d_g²``, chi-square with one degree of freedom.
    With every row its own cluster it is the plain asymptotic statistic.

    Parameters
    ----------
    challenger, champion : (n,) 0/1, whether each model was right. clusters : (n,) labels.
    """
    from scipy.stats import chi2, norm

    right = np.asarray(challenger, dtype=float) - np.asarray(champion, dtype=float)
    index = np.unique(clusters, return_inverse=True)[1]
    d = np.bincount(index, weights=right)
    spread, plain = float((d**2).sum()), float((right**2).sum())
    if spread == 0:
        return Clustered(0.0, 1.0, 1.0, len(d), 1.0)
    z = float(d.sum() / np.sqrt(spread))
    return Clustered(z * z, float(chi2.sf(z * z, 1)), float(norm.sf(z)), len(d), spread / plain)
