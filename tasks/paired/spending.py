"""How much of the error is spent on each of many looks.

Familywise: the levels sum to ``alpha``, so the chance ever to promote wrongly is at most ``alpha``,
whatever the looks have in common (union bound). False discovery rate: of all promotions, an expected share
of at most ``alpha`` is wrong; a promotion earns the right to spend more, so a team with many retrains does
not run dry.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

import numpy as np

POWER = 1.2
ZETA = 5.591582441177751  # Riemann's zeta(1.2), the sum of k**-1.2 over all looks


def familywise(alpha: float, look: int | np.ndarray) -> float | np.ndarray:
    """Level of look ``look`` (1, 2, ...): ``alpha k^-1.2 / zeta(1.2)``, which sum to ``alpha``.

    A slow decline: the tenth look gets 6% of the first one's level, the 52nd 0.9%.

    >>> round(float(familywise(0.05, 1)), 6), round(float(familywise(0.05, 52)), 8)
    (0.008942, 7.802e-05)
    """
    return alpha * np.asarray(look, dtype=float) ** -POWER / ZETA


def over_champions(alpha: float, champion: int | np.ndarray) -> float | np.ndarray:
    """Level for the challengers of champion number ``champion`` as one line: ``alpha / (r (r + 1))``, summing to ``alpha``.

    >>> float(over_champions(0.05, 1))
    0.025
    """
    r = np.asarray(champion, dtype=float)
    return alpha / (r * (r + 1))


@cache
def _lord_gamma(length: int) -> np.ndarray:
    """Weights of Javanmard and Montanari (2018) as used for LORD++, first entry for lag 1."""
    j = np.arange(1, length + 1, dtype=float)
    return 0.07720838 * np.log(np.maximum(j, 2)) / (j * np.exp(np.sqrt(np.log(j))))


def lord(alpha: float, look: int, rejections: Sequence[int]) -> float:
    """Level of look ``look`` by LORD++ (Ramdas, Yang, Wainwright and Jordan, 2017).

    ``rejections`` are the numbers of earlier looks that promoted. The p-values must be valid given the
    past, as they are when each look brings new rows.

    >>> bool(lord(0.05, 5, [4]) > lord(0.05, 5, []))
    True
    """
    start = alpha / 2
    gamma = _lord_gamma(max(look, 1))
    level = start * gamma[look - 1]
    for number, at in enumerate(sorted(rejections)):
        level += (alpha - start if number == 0 else alpha) * gamma[look - at - 1]
    return float(level)


CANDIDATE = 0.5  # SAFFRON: p-values up to here are candidates, and cost nothing


@cache
def _saffron_gamma(length: int) -> np.ndarray:
    j = np.arange(1, length + 1, dtype=float)
    return j**-1.6 / 2.2857656  # zeta(1.6)


def saffron(alpha: float, look: int, rejections: Sequence[int], candidates: Sequence[int]) -> float:
    """Level of look ``look`` by SAFFRON (Ramdas, Zrnic, Wainwright and Jordan, 2018).

    Like LORD++, but looks whose p-value was at most 0.5 (``candidates``, by number) cost nothing: better
    where many challengers are truly better.
    """
    wealth = (1 - CANDIDATE) * alpha
    start = wealth / 2
    gamma = _saffron_gamma(max(look, 1))

    def lag(since: int) -> int:
        return look - since - sum(1 for k in candidates if since < k < look)

    level = start * gamma[lag(0) - 1]
    for number, at in enumerate(sorted(rejections)):
        level += (wealth - start if number == 0 else wealth) * gamma[lag(at) - 1]
    return float(min(CANDIDATE, level))
