"""Is the challenger at most a margin worse? And how many rows would show a difference?"""

from __future__ import annotations

import numpy as np

from tasks.errors import RefitError
from tasks.paired.discordant import ContingencyTable


def margin_z(table: ContingencyTable, margin: float) -> float:
    """Tango's score statistic (1998) of "the challenger's accuracy is at least ``margin`` lower".

    Normal under that hypothesis' edge; large where the challenger is better than that. With margin 0
    it is the root of McNemar's asymptotic statistic, with its sign.

    >>> round(margin_z(ContingencyTable(both=80, b=6, c=4, neither=10), 0.0), 6)
    0.632456
    """
    b, c, n = table.b, table.c, table.n
    if n == 0:
        return 0.0
    # Restricted maximum likelihood of the champion-alone share q, where the challenger-alone share is q - margin.
    middle = (b + c) * (1 + margin) + 2 * n * margin - 2 * b * margin
    q = (middle + np.sqrt(max(middle**2 - 8 * n * c * margin * (1 + margin), 0.0))) / (4 * n)
    variance = (2 * q - margin - margin**2) / n
    gap = (b - c) / n + margin
    return float(gap / np.sqrt(variance)) if variance > 0 else 0.0


def rows_needed(
    difference: float, discordant: float, alpha: float = 0.05, power: float = 0.8, inflation: float = 1.0
) -> int:
    """Labelled rows after which McNemar's two-sided test at ``alpha`` sees a difference with chance ``power``.

    Parameters
    ----------
    difference : of the accuracies, as a share of 1. discordant : share of rows where one model alone is
        right. inflation : variance relative to independent rows (:func:`clustered_mcnemar`).

    Formula of Connor (1987). "To see a difference of 1 point where the models disagree on 10% of the
    rows, 7,847 rows are needed":

    >>> rows_needed(0.01, 0.10)
    7847
    """
    from scipy.stats import norm

    d = abs(difference)
    if not 0 < d <= discordant <= 1:
        raise RefitError(
            f"rows_needed: 0 < difference <= discordant <= 1 is needed, found difference {difference} and "
            f"discordant {discordant}: two accuracies differ by no more than the share of rows that tell them apart"
        )
    z_alpha, z_power = float(norm.ppf(1 - alpha / 2)), float(norm.ppf(power))
    n = (z_alpha * np.sqrt(discordant) + z_power * np.sqrt(discordant - d * d)) ** 2 / d**2
    return int(np.ceil(n * inflation))


def rows_needed_for_mean(
    difference: float, spread: float, alpha: float = 0.05, power: float = 0.8, inflation: float = 1.0
) -> int:
    """Labelled rows after which a paired two-sided test of mean losses sees a difference with chance ``power``.

    Parameters
    ----------
    difference : of the mean losses, not 0. spread : standard deviation of the rows' differences of losses, in the
        same unit. inflation : variance relative to independent rows, where rows come in clusters.

    ``(z_alpha + z_power)² spread² / difference²`` (Lachin, 1981), and ``z_alpha² / 2`` rows more for the spread being
    estimated (Guenther, 1981). A difference of a fifth of the spread:

    >>> rows_needed_for_mean(0.2, 1.0)
    199
    """
    from scipy.stats import norm

    if not (difference != 0 and spread >= 0 and np.isfinite(difference) and np.isfinite(spread)):
        raise RefitError(
            "rows_needed_for_mean: a difference other than 0 and a spread of at least 0 are needed, found difference "
            f"{difference} and spread {spread}"
        )
    z_alpha, z_power = float(norm.ppf(1 - alpha / 2)), float(norm.ppf(power))
    n = ((z_alpha + z_power) * spread / difference) ** 2 + z_alpha**2 / 2
    return int(np.ceil(n * inflation))
