"""All tests of one comparison, and the numbers that the policy goes by."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from tasks.compare.policy import Gains, Look
from tasks.compare.scores import Pair, losses, right
from tasks.errors import RefitError
from tasks.metrics import measurer
from tasks.paired import (
    Table,
    clustered_mcnemar,
    delong,
    diebold_mariano,
    difference_interval,
    margin_z,
    mcnemar,
    paired_bootstrap,
    rows_needed,
    rows_needed_for_mean,
    wilcoxon,
)
from tasks.params import Promotion

MATTERS = 1.2  # a variance so many times that of independent rows is worth a warning


@dataclass(frozen=True)
class Evidence:
    """``look`` is what the policy goes by; ``tests``, ``numbers`` and ``warnings`` are for the verdict file."""

    look: Look
    tests: dict[str, Any]
    numbers: dict[str, Any]
    warnings: list[str]


def gather(pair: Pair, promotion: Promotion, metric: str, new: np.ndarray, seed: int) -> Evidence:
    """Compare two models on the rows of ``pair``; ``new`` (n,) marks rows that no earlier look has counted."""
    if pair.kind == "regression":
        return _regression(pair, promotion, metric, new, seed)
    return _classification(pair, promotion, metric, new, seed)


def _classification(pair: Pair, promotion: Promotion, metric: str, new: np.ndarray, seed: int) -> Evidence:
    from scipy.stats import norm

    one, two, how = right(pair)
    table = Table.of(one, two)
    gains = one - two
    plain = mcnemar(table)
    tests: dict[str, Any] = {"mcnemar": {"name": "McNemar", **plain.to_dict()}}
    for variant in ("mid_p", "asymptotic"):
        other = mcnemar(table, variant)
        tests[f"mcnemar_{variant}"] = {
            "name": f"McNemar, {variant.replace('_', '-')}",
            "statistic": other.statistic,
            "p": other.p,
        }
    warnings: list[str] = []
    name, inflation = _clusters(tests, pair, one, two, promotion, warnings)
    margin = promotion.margin
    if name is not None:
        z = _z(_sums(gains + margin, pair.clusters[name]))
        worse_z = -_z(_sums(gains, pair.clusters[name]))
        two_sided = tests["mcnemar_clustered"]["p"]
        p_better, p_worse = float(norm.sf(z)), float(norm.sf(worse_z))
    else:
        two_sided = plain.p
        p_better = plain.p_better if margin == 0 else float(norm.sf(margin_z(table, margin)))
        p_worse = mcnemar(Table(table.both, table.c, table.b, table.neither)).p_better
    if margin:
        tests["margin"] = {
            "name": f"Non-inferiority, margin {margin:g}",
            "statistic": float(norm.isf(p_better)) if 0 < p_better < 1 else None,
            "p": p_better,
        }
    if pair.kind == "binary":
        found = delong(pair.y, pair.challenger[:, 1], pair.champion[:, 1])
        tests["delong"] = {"name": "DeLong (ROC AUC)", "statistic": found.z, **found.to_dict()}
    tests[f"bootstrap_{metric}"] = _bootstrap(pair, metric, seed, name)
    low, high = difference_interval(table)
    if name is not None:
        spread = _sums(gains - gains.mean(), pair.clusters[name])
        half = 1.959963984540054 * float(np.sqrt((spread**2).sum())) / pair.n
        low, high = table.difference - half, table.difference + half
    discordant = table.discordant / table.n
    numbers = {
        "judged": how,
        "accuracy": {"challenger": float(one.mean()), "champion": float(two.mean())},
        "difference": table.difference,
        "interval": [low, high],
        "level": 0.95,
        "table": {
            "both_right": table.both,
            "challenger_alone": table.b,
            "champion_alone": table.c,
            "both_wrong": table.neither,
        },
        "as_served": _served(pair),
        "rows_needed": {
            f"{d:g}": rows_needed(d, max(discordant, d), promotion.alpha, inflation=inflation)
            for d in (0.005, 0.01, 0.02)
        },
    }
    look = Look(
        p_better, p_worse, two_sided, table.difference,
        _gains(gains, margin, pair, name, None), _gains(gains[new], margin, pair, name, new),
    )  # fmt: skip
    return Evidence(look, tests, numbers, warnings)


def _regression(pair: Pair, promotion: Promotion, metric: str, new: np.ndarray, seed: int) -> Evidence:
    """Losses instead of right and wrong; a margin is a share of the champion's mean loss."""
    from scipy.stats import norm

    one, two = losses(pair.y, pair.challenger, metric), losses(pair.y, pair.champion, metric)
    order = np.argsort(pair.time.to_numpy(), kind="stable") if pair.time.notna().all() else np.arange(pair.n)
    scaled = two * (1 + promotion.margin)
    main = diebold_mariano(one[order], scaled[order])
    plain = diebold_mariano(one[order], two[order])
    tests: dict[str, Any] = {
        "diebold_mariano": {"name": "Diebold–Mariano", **plain.to_dict()},
        "wilcoxon": {"name": "Wilcoxon signed-rank", **wilcoxon(one, two).to_dict()},
    }
    gains = scaled - one
    name, warnings = None, []
    for candidate, labels in pair.clusters.items():
        inflation = _inflation(two - one, labels)
        if inflation > MATTERS and candidate in promotion.cluster:
            name = candidate if name is None or inflation > _inflation(two - one, pair.clusters[name]) else name
        elif inflation > MATTERS:
            warnings.append(_dependent(candidate, inflation))
    p_better, p_worse, both = main.p_better, 1 - plain.p_better, plain.p
    if name is not None:
        z = _z(_sums(gains, pair.clusters[name]))
        z_plain = _z(_sums(two - one, pair.clusters[name]))
        p_better, p_worse, both = float(norm.sf(z)), float(norm.cdf(z_plain)), float(2 * norm.sf(abs(z_plain)))
        tests["clustered"] = {"name": f"Mean loss, rows of equal {name} together", "statistic": z_plain, "p": both,
                              "inflation": _inflation(two - one, pair.clusters[name])}  # fmt: skip
        warnings.append(_dependent(name, tests["clustered"]["inflation"], counted=True))
    tests[f"bootstrap_{metric}"] = found = _bootstrap(pair, metric, seed, name)
    inflation = max(1.0, _inflation(two - one, pair.clusters[name])) if name else 1.0
    base, spread = float(two.mean()), float((two - one).std(ddof=1))
    numbers = {
        "judged": "the absolute error of each row" if metric in ("mae", "mape") else "the squared error of each row",
        "loss": {"challenger": float(one.mean()), "champion": float(two.mean())},
        "difference": found["difference"],
        "interval": found["interval"],
        "level": 0.95,
        "better_rows": float((one < two).mean()),
    }
    if base > 0:
        numbers["rows_needed"] = {
            f"{d:g}": rows_needed_for_mean(d * base, spread, promotion.alpha, inflation=inflation)
            for d in (0.01, 0.02, 0.05)
        }
    look = Look(p_better, p_worse, both, float((two - one).mean()),
                _gains(gains, 0.0, pair, name, None, losses=True), _gains(gains[new], 0.0, pair, name, new, losses=True))  # fmt: skip
    return Evidence(look, tests, numbers, warnings)


def _clusters(tests: dict[str, Any], pair: Pair, one: np.ndarray, two: np.ndarray, promotion: Promotion,
              warnings: list[str]) -> tuple[str | None, float]:  # fmt: skip
    """The declared clustering that inflates the variance most, its test, and warnings about those that matter."""
    worst: str | None = None
    found = {name: clustered_mcnemar(one, two, labels) for name, labels in pair.clusters.items()}
    declared = {name: f for name, f in found.items() if name in promotion.cluster}
    if declared:
        worst = max(declared, key=lambda name: (declared[name].inflation, name))
        test = declared[worst]
        tests["mcnemar_clustered"] = {"name": f"McNemar, rows of equal {worst} together", **test.to_dict()}
        if test.inflation > MATTERS:
            warnings.append(_dependent(worst, test.inflation, counted=True))
    for name, test in found.items():
        if name not in declared and test.inflation > MATTERS:
            warnings.append(_dependent(name, test.inflation))
    return worst, max(1.0, found[worst].inflation) if worst else 1.0


def _dependent(name: str, inflation: float, counted: bool = False) -> str:
    text = f"Rows of the same {name} are right or wrong together: the difference varies {inflation:.2g} times as much as that of independent rows."
    return text + (
        " The verdict counts that." if counted else f" The tests do not count that; set promotion.cluster: [{name}]."
    )


def _bootstrap(pair: Pair, metric: str, seed: int, cluster: str | None) -> dict[str, Any]:
    one = measurer(metric, pair.kind, pair.y, pair.challenger, pair.thresholds[0])
    two = measurer(metric, pair.kind, pair.y, pair.champion, pair.thresholds[1])
    groups = pair.clusters[cluster] if cluster else None
    try:
        found = paired_bootstrap(one, two, pair.n, times=400, seed=seed, groups=groups).to_dict()
    except RefitError as error:
        return {"name": f"Paired bootstrap of {metric}", "statistic": None, "p": None, "why": str(error)}
    return {"name": f"Paired bootstrap of {metric}", "statistic": None, **found,
            "challenger": one(None), "champion": two(None)}  # fmt: skip


def _served(pair: Pair) -> dict[str, Any]:
    """Accuracies of the decisions as the service gives them, each model at its own threshold."""
    if pair.kind == "multiclass":
        said = [s.argmax(axis=1) for s in (pair.challenger, pair.champion)]
    else:
        both = zip((pair.challenger, pair.champion), pair.thresholds, strict=True)
        said = [(s[:, 1] >= t).astype(float) for s, t in both]
    names = ("challenger", "champion")
    return {n: {"accuracy": float((d == pair.y).mean()), "positive_share": float((d == 1).mean())}
            if pair.kind == "binary" else {"accuracy": float((d == pair.y).mean())} for n, d in zip(names, said, strict=True)}  # fmt: skip


def _sums(values: np.ndarray, labels: np.ndarray) -> np.ndarray:
    return np.bincount(np.unique(labels, return_inverse=True)[1], weights=values)


def _z(sums: np.ndarray) -> float:
    spread = float(np.sqrt((sums**2).sum()))
    return float(sums.sum() / spread) if spread > 0 else 0.0


def _inflation(values: np.ndarray, labels: np.ndarray) -> float:
    """Variance of the mean with clusters, relative to independent rows."""
    centred = values - values.mean()
    plain = float((centred**2).sum())
    return float((_sums(centred, labels) ** 2).sum() / plain) if plain > 0 else 1.0


def _gains(gains: np.ndarray, margin: float, pair: Pair, cluster: str | None, new: np.ndarray | None,
           losses: bool = False) -> Gains:  # fmt: skip
    """Sums over independent units for the bets."""
    if cluster is None:
        units = gains + margin
        units = units if losses else units[units != 0]
    else:
        labels = pair.clusters[cluster] if new is None else pair.clusters[cluster][new]
        units = _sums(gains + margin, labels) if len(gains) else np.zeros(0)
    squares = float((units**2).sum())
    unit = float(np.sqrt(squares / len(units))) if squares > 0 else 1.0
    counts = None
    if cluster is None and not losses:
        counts = (int((gains > 0).sum()), int((gains < 0).sum()), int((gains == 0).sum()))
    return Gains(counts, float(units.sum()), squares, unit)
