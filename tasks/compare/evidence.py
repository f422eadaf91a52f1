"""All tests of one comparison, and the numbers that the policy goes by."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tasks.artifacts import Accuracies, AsServed, BothServed, Discordance, Evidence, Figures
from tasks.compare.policy import NOTHING, Look, WeighedRows
from tasks.compare.scores import Pair
from tasks.compare.usual import Side, deciding, usual
from tasks.errors import RefitError, some
from tasks.kinds import Decided, Difference, PairedTest
from tasks.metrics import called, find_metric, higher_is_better
from tasks.paired import ContingencyTable, judged_classes, row_losses, rows_needed, rows_needed_for_mean, sums
from tasks.params import Promotion

MATTERS = 1.2  # a variance so many times that of independent rows is worth a warning
FEWEST = {"rows": 10, "clusters": 5, "class": 5}  # new rows below that are not judged
SHARES, STEPS = (0.01, 0.02, 0.05), (0.005, 0.01, 0.02)  # differences for which the rows needed are told


@dataclass(frozen=True)
class Comparison:
    """``look`` is what the policy goes by; ``tests``, ``evidence`` and ``warnings`` are for the verdict file."""

    look: Look
    tests: dict[str, Figures]
    evidence: Evidence
    warnings: list[str]


def gather(
    pair: Pair, promotion: Promotion, metric: str, new: np.ndarray, seed: int, *, beside: bool = True
) -> Comparison:
    """Compare two models on the rows of ``pair``; ``new`` (n,) marks rows that no earlier look has counted.

    ``promotion.metric`` decides, or the problem's ``metric`` where that is unset. Without ``beside`` the tests that only
    stand beside the deciding one are left out, as simulations of many looks want it.

    Raises
    ------
    RefitError
        If the metric has no meaning on these rows.
    """
    side = deciding(pair, promotion, metric)
    check_defined(pair.y, side.metric)
    whole = difference(pair, side, promotion.margin, np.ones(pair.n, dtype=bool))
    warnings: list[str] = []
    name, inflation = worst_cluster(pair, whole.spread, promotion, warnings)
    labels = pair.clusters[name] if name is not None else None
    test = whole.test(labels)
    tests = dict(test.figures)
    if beside:
        tests |= whole.beside(seed, labels, name or "")
    kind = "rows" if labels is None else "clusters"
    look = Look(
        f"{side.metric}, margin {promotion.margin:g}, {kind}",
        whole.beyond,
        _weighed(test, pair.n),
        _new_part(pair, side, promotion, labels, new),
    )
    evidence = _values(side, whole, labels, test.decided_by)
    found = find_metric(side.metric)
    more: dict[str, Accuracies | Discordance | BothServed | float] = {}
    if pair.decided is not None:
        more = _decisions(pair, pair.decided)
    elif found is not None and found.row_loss is not None:
        one, two = (row_losses(side.metric, pair.y, s) for s in (pair.challenger, pair.champion))
        more = {"better_rows": float((one < two).mean())}
    needed = _rows_needed(pair, side, whole, promotion.alpha, inflation)
    if side.metric == "roc_auc_ovr":
        warnings += _classes_left_out(pair)
    return Comparison(look, tests, evidence.model_copy(update={**more, "rows_needed": needed}), warnings)


def difference(pair: Pair, side: Side, margin: float, rows: np.ndarray) -> Difference:
    """How the two differ on some rows, by mask (n,): as their kind tests it, else in the usual way."""
    scores = pair.challenger[rows], pair.champion[rows]
    return pair.problem.difference(side.metric, pair.y[rows], *scores, margin) or usual(pair, side, margin, rows)


def check_defined(y: np.ndarray, metric: str) -> None:
    """Refuse a metric that has no meaning on these rows."""
    if metric == "mape" and (y == 0).any():
        raise RefitError(
            f"promotion.metric: mape divides by the truth, which is 0 in {int((y == 0).sum()):,} of the {len(y):,} "
            "compared rows; no verdict. Let mae or rmse decide."
        )
    if metric == "r2" and np.ptp(y) == 0:
        raise RefitError(
            "promotion.metric: r2 has no meaning where all compared rows have the same truth; no verdict. "
            "Let mae or rmse decide, or make split.test larger."
        )
    if metric in ("roc_auc", "average_precision") and not 2 <= y.sum() <= len(y) - 2:
        raise RefitError(
            f"promotion.metric: {metric} needs at least two rows of each class, found {int(y.sum())} positive and "
            f"{int(len(y) - y.sum())} negative; no verdict. Make split.test larger."
        )
    if metric == "roc_auc_ovr" and not judged_classes(y, int(y.max()) + 1):
        raise RefitError(
            "promotion.metric: roc_auc_ovr needs a class with two rows, and two rows of others; no verdict. "
            "Make split.test larger."
        )


def _new_part(pair: Pair, side: Side, promotion: Promotion, labels: np.ndarray | None, new: np.ndarray) -> WeighedRows:
    """The deciding test on the rows not counted before; nothing where they are too few to be judged."""
    y = pair.y[new]
    if len(y) < FEWEST["rows"] or (labels is not None and len(np.unique(labels[new])) < FEWEST["clusters"]):
        return NOTHING
    if pair.problem.output.classes:
        counts = np.bincount(y.astype(np.int64), minlength=2)
        wanting = side.metric in ("roc_auc", "average_precision", "roc_auc_ovr", "f1", "f1_macro") and not side.coin
        if wanting and np.sort(counts)[-2] < FEWEST["class"]:
            return NOTHING
    elif side.metric == "r2" and np.ptp(y) == 0:
        return NOTHING
    found = difference(pair, side, promotion.margin, new)
    return _weighed(found.test(None if labels is None else labels[new]), len(y))


def _weighed(test: PairedTest, n: int) -> WeighedRows:
    return WeighedRows(test.p_better, test.p_worse, n, test.counts)


def worst_cluster(pair: Pair, spread: np.ndarray, promotion: Promotion, warnings: list[str]) -> tuple[str | None, float]:  # fmt: skip
    """The declared clustering that inflates the variance of the gain most, and warnings about those that matter."""
    plain = float((spread**2).sum())
    found = {
        name: float((sums(spread, labels) ** 2).sum()) / plain if plain > 0 else 1.0
        for name, labels in pair.clusters.items()
    }
    declared = [name for name in found if name in promotion.cluster]
    worst = max(declared, key=lambda name: (found[name], name)) if declared else None
    for name, inflation in found.items():
        if inflation > MATTERS and (name == worst or name not in declared):
            warnings.append(_dependent(name, inflation, counted=name == worst))
    return worst, max(1.0, found[worst]) if worst else 1.0


def _dependent(name: str, inflation: float, counted: bool) -> str:
    text = f"Rows of the same {name} move together: the difference varies {inflation:.2g} times as much as that of independent rows."
    return text + (
        " The verdict counts that." if counted else f" The tests do not count that; set promotion.cluster: [{name}]."
    )


def _classes_left_out(pair: Pair) -> list[str]:
    classes = pair.challenger.shape[1]
    out = sorted(set(range(classes)) - set(judged_classes(pair.y, classes)))
    if not out:
        return []
    return [f"Fewer than two of the compared rows are of class number {some(out)}; ROC AUC leaves it out."]


def _values(side: Side, whole: Difference, labels: np.ndarray | None, decided_by: str) -> Evidence:
    """Both values, their difference (challenger minus champion, in the metric's own direction) and its interval."""
    sign = 1.0 if higher_is_better(side.metric) else -1.0
    low, high = sorted(sign * end for end in whole.interval(labels))
    return Evidence(
        metric=side.metric,
        decided_by=decided_by,
        challenger=whole.challenger,
        champion=whole.champion,
        difference=sign * whole.gain,
        interval=(low, high),
        level=0.95,
        judged=side.how or f"{called(side.metric)} of all compared rows",
    )


def _decisions(pair: Pair, decided: Decided) -> dict[str, Accuracies | Discordance | BothServed | float]:
    """Right and wrong decisions, whatever decides: fields of :class:`~tasks.artifacts.Evidence`."""
    one, two = pair.right
    table = ContingencyTable.of(one, two)
    right = Accuracies(challenger=float(one.mean()), champion=float(two.mean()), judged=decided.how)
    rows = Discordance(
        both_right=table.both, challenger_alone=table.b, champion_alone=table.c, both_wrong=table.neither
    )
    return {"accuracy": right, "table": rows, "as_served": _served(pair)}


def _served(pair: Pair) -> BothServed:
    """Accuracies of the decisions as the service gives them, each model at its own threshold."""
    found = []
    for scores, threshold in zip((pair.challenger, pair.champion), pair.thresholds, strict=True):
        said = pair.problem.decide(scores, threshold)
        one = AsServed(accuracy=float((said == pair.y).mean()))
        if pair.problem.positive is not None:
            one = AsServed(accuracy=one.accuracy, positive_share=float((said == pair.problem.positive).mean()))
        found.append(one)
    return BothServed(challenger=found[0], champion=found[1])


def _rows_needed(pair: Pair, side: Side, whole: Difference, alpha: float, inflation: float) -> dict[str, int]:
    """Rows after which a single two-sided test would see a difference, by its size: in the metric's unit, for losses a
    share of the champion's."""
    if side.metric == "accuracy":
        table = ContingencyTable.of(*pair.right)
        discordant = table.discordant / table.n
        return {f"{d:g}": rows_needed(d, max(discordant, d), alpha, inflation=inflation) for d in STEPS}
    spread = float(np.sqrt((whole.spread**2).mean()))
    if higher_is_better(side.metric):
        return {f"{d:g}": rows_needed_for_mean(d, spread, alpha, inflation=inflation) for d in STEPS}
    base = whole.champion
    if base <= 0:
        return {}
    return {f"{d:g}": rows_needed_for_mean(d * base, spread, alpha, inflation=inflation) for d in SHARES}
