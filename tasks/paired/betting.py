"""Evidence that may be looked at any number of times: capital won by betting against "no better".

Each row offers a bet that is fair, or unfavourable, if the challenger is no better than the champion. Capital
of 1 then reaches ``1/alpha`` with a chance of at most ``alpha``, whenever one looks and however often
(Ville, 1939). See Waudby-Smith and Ramdas (2024), "Estimating means of bounded random variables by betting",
and Ramdas, Grünwald, Vovk and Shafer (2023), "Game-theoretic statistics and safe anytime-valid inference".
"""

from __future__ import annotations

import numpy as np

# Stakes as a share of the capital; the capital is spread evenly over them. From small gains among many
# discordant rows (0.5% more wins than losses) to one model being right nearly always.
STAKES = np.geomspace(0.005, 0.9, 32)


def log_capital(
    b: np.ndarray | int, c: np.ndarray | int, same: np.ndarray | int = 0, margin: float = 0.0
) -> np.ndarray:
    """Log of the capital after ``b`` wins, ``c`` losses and ``same`` draws, in any order; natural logarithm.

    A row is worth ``x`` = +1 where the challenger alone is right, -1 where the champion alone is, else 0.
    The bet with stake s multiplies the capital by ``1 + s (x + margin) / (1 + margin)``, whose expectation
    is at most 1 if the challenger's accuracy is lower by ``margin`` or more. Without a margin only
    discordant rows count, as in McNemar's test. Arguments broadcast.

    >>> bool(log_capital(60, 40) < np.log(20) < log_capital(75, 25))
    True
    >>> float(log_capital(0, 0))
    0.0
    """
    b, c, same = (np.asarray(v, dtype=float)[..., None] for v in (b, c, same))
    s = STAKES / (1 + margin)
    logs = b * np.log1p(s * (1 + margin)) + c * np.log1p(-s * (1 - margin)) + same * np.log1p(s * margin)
    return _mix(logs)


# Stakes on normal scores, of which a look brings one: from gains that take months to show to those of a single look.
SCORE_STAKES = np.geomspace(0.05, 5.0, 32)


def log_capital_of_scores(total: np.ndarray | float, squares: np.ndarray | float) -> np.ndarray:
    """Log of the capital after looks with normal scores ``z`` and weights ``w``: ``total`` = sum w z, ``squares`` = sum w².

    Each look brings rows of its own, and one valid p-value of them; ``z`` is its normal score, ``norm.isf(p)``. If the
    challenger is no better, z is at most standard normal given the looks before, so ``exp(s w z - (s w)²/2)`` is a
    fair bet or worse: exactly so where the p-values are valid, whatever the metric, however skewed its rows, and
    with clusters or a margin. No symmetry is needed. ``w`` must not depend on the scores: the root of the rows.

    >>> bool(log_capital_of_scores(4.0, 1.0) > np.log(100)), float(log_capital_of_scores(0.0, 0.0))
    (True, 0.0)
    """
    total, squares = (np.asarray(v, dtype=float)[..., None] for v in (total, squares))
    return _mix(total * SCORE_STAKES - squares * SCORE_STAKES**2 / 2)


def normal_score(p: np.ndarray | float) -> np.ndarray:
    """``norm.isf(p)``, kept finite: a p of 0 or 1 must not end the bets."""
    from scipy.stats import norm

    return norm.isf(np.clip(np.asarray(p, dtype=float), 1e-300, 1 - 1e-15))


def _mix(logs: np.ndarray) -> np.ndarray:
    top = logs.max(axis=-1, keepdims=True)
    return (top + np.log(np.exp(logs - top).mean(axis=-1, keepdims=True)))[..., 0]


STAKED = 0.9  # the part of a challenger's capital that goes on its first test


def split_capital(log_m: np.ndarray | float, p: np.ndarray | float, level: np.ndarray | float) -> np.ndarray:
    """Log of a capital of which a tenth went on betting (now ``log_m``) and nine tenths were staked on one test.

    The stake pays ``1/level`` if the challenger's first test has ``p <= 0.9 level``, else nothing: for a challenger
    that is seen only once no bet is better, and its expectation is at most 0.9. So one look needs hardly more than
    ``p <= level``, and later looks at the same challenger keep the rest.

    >>> float(split_capital(0.0, 0.004, 0.01)) > float(np.log(1 / 0.01)) > float(split_capital(0.0, 0.0095, 0.01))
    True
    """
    level = np.asarray(level, dtype=float)
    staked = np.where(np.asarray(p) <= STAKED * level, -np.log(level), -np.inf)
    return np.logaddexp(np.asarray(log_m, dtype=float) + np.log(1 - STAKED), staked)
