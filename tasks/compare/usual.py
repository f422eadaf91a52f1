"""The usual comparison of two models: by each row's part in the metric, or by right and wrong decisions alone."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tasks.artifacts import Figures
from tasks.compare.scores import Pair
from tasks.errors import RefitError
from tasks.kinds import Difference, PairedTest
from tasks.metrics import called, find_metric, measurer
from tasks.paired import (
    ContingencyTable,
    Contrast,
    asked,
    clustered_mcnemar,
    contrast,
    delong,
    diebold_mariano,
    difference_interval,
    margin_z,
    mcnemar,
    paired_bootstrap,
    row_losses,
    wilcoxon,
)
from tasks.params import Promotion


@dataclass(frozen=True)
class Side:
    """What decides: the metric, both models' decisions (where it goes by them), and how they were taken, in words.

    ``coin``: the metric differs exactly as the discordant rows do, so that McNemar's test decides.
    """

    metric: str
    said: tuple[np.ndarray, np.ndarray] | None
    equal: bool
    how: str | None
    coin: bool


def deciding(pair: Pair, promotion: Promotion, metric: str) -> Side:
    """What decides, and by which decisions it is judged."""
    metric = promotion.metric or metric
    found, decided = find_metric(metric), pair.decided
    if found is None or found.needs != "decisions" or decided is None:
        return Side(metric, None, False, None, False)
    coin = metric == "accuracy" or (metric == "f1" and decided.equal and promotion.margin == 0)
    return Side(metric, (decided.challenger, decided.champion), decided.equal, decided.how, coin)


def usual(pair: Pair, side: Side, margin: float, rows: np.ndarray) -> UsualDifference:
    """The difference on some rows, by mask (n,)."""
    found = _contrast(pair, side, margin, rows)
    even = found if margin == 0 else _contrast(pair, side, 0.0, rows)
    return UsualDifference(
        challenger=float(found.challenger),
        champion=float(found.champion),
        gain=float(found.gain),
        beyond=float(found.tested.mean()),
        spread=found.spread,
        pair=pair,
        side=side,
        margin=margin,
        rows=rows,
        contrast=found,
        even=even,
    )


def _contrast(pair: Pair, side: Side, margin: float, rows: np.ndarray) -> Contrast:
    one, two = (asked(pair.kind, s)[rows] for s in (pair.challenger, pair.champion))
    said = None if side.said is None else (side.said[0][rows], side.said[1][rows])
    return contrast(side.metric, pair.kind, pair.y[rows], one, two, margin, said, side.equal)


@dataclass(frozen=True)
class UsualDifference(Difference):
    """Tested by Student's t of the rows' parts, or by McNemar's test; ``even`` is the ``contrast`` without its margin."""

    pair: Pair
    side: Side
    margin: float
    rows: np.ndarray
    contrast: Contrast
    even: Contrast

    def test(self, clusters: np.ndarray | None = None) -> PairedTest:
        """By right and wrong decisions where these are all that counts and rows stand alone, else by contributions."""
        if self.side.coin and clusters is None:
            return self._of_decisions(self._table())
        name = called(self.side.metric)
        tested = self.contrast.test(clusters)
        even = tested if self.margin == 0 else self.even.test(clusters)
        together = "" if clusters is None else ", rows of a cluster together"
        p_better, p_worse = float(tested.p_above), float(even.p_below)
        figures: dict[str, Figures] = {
            "contributions": {
                "name": f"t-test of the rows' contributions to {name}{together}",
                "statistic": float(even.statistic),
                "p": min(1.0, 2 * min(float(even.p_above), p_worse)),
                "p_better": float(even.p_above),
                "p_worse": p_worse,
                "df": float(even.df),
            }
        }
        if self.margin == 0:
            return PairedTest("contributions", figures, p_better, p_worse)
        figures["margin"] = {
            "name": f"Non-inferiority in {name}, margin {self.margin:g}",
            "statistic": float(tested.statistic),
            "p": p_better,
        }
        return PairedTest("margin", figures, p_better, p_worse)

    def _table(self) -> ContingencyTable:
        assert self.side.said is not None
        return ContingencyTable.of(*(said[self.rows] == self.pair.y[self.rows] for said in self.side.said))

    def _of_decisions(self, table: ContingencyTable) -> PairedTest:
        from scipy.stats import norm

        plain = mcnemar(table)
        figures: dict[str, Figures] = {"mcnemar": {"name": "McNemar", **plain.to_dict()}}
        worse = mcnemar(ContingencyTable(table.both, table.c, table.b, table.neither)).p_better
        counts = (table.b, table.c, table.both + table.neither)
        if self.margin == 0:
            return PairedTest("mcnemar", figures, plain.p_better, worse, counts)
        z = margin_z(table, self.margin)
        better = float(norm.sf(z))
        figures["margin"] = {"name": f"Non-inferiority, margin {self.margin:g}", "statistic": z, "p": better}
        return PairedTest("margin", figures, better, worse, counts)

    def interval(self, clusters: np.ndarray | None = None) -> tuple[float, float]:
        """Of a difference in accuracy by the discordant rows, else by Student's t."""
        from scipy.stats import t

        if self.side.metric == "accuracy" and clusters is None:
            return difference_interval(self._table())
        half = float(t.ppf(0.975, self.contrast.test(clusters).df) * self.contrast.se(clusters))
        return self.gain - half, self.gain + half

    def beside(self, seed: int, clusters: np.ndarray | None = None, named: str = "") -> dict[str, Figures]:
        """Tests of losses or of right decisions, of ROC AUC where there is a positive class, and the bootstrap."""
        pair, metric = self.pair.take(self.rows), self.side.metric
        tests: dict[str, Figures] = {}
        if pair.decided is None:
            one, two = (row_losses(metric, pair.y, s) for s in (pair.challenger, pair.champion))
            tests["diebold_mariano"] = {"name": "Diebold–Mariano", **diebold_mariano(one, two).to_dict()}
            tests["wilcoxon"] = {"name": "Wilcoxon signed ranks", **wilcoxon(one, two).to_dict()}
        else:
            mine, theirs = pair.right
            table = ContingencyTable.of(mine, theirs)
            tests["mcnemar"] = {"name": "McNemar", **mcnemar(table).to_dict()}
            for variant in ("mid_p", "asymptotic"):
                other = mcnemar(table, variant)
                name = f"McNemar, {variant.replace('_', '-')}"
                tests[f"mcnemar_{variant}"] = {"name": name, "statistic": other.statistic, "p": other.p}
            if clusters is not None:
                tests["mcnemar_clustered"] = {
                    "name": f"McNemar, rows of equal {named} together",
                    **clustered_mcnemar(mine, theirs, clusters).to_dict(),
                }
        positive = pair.problem.positive
        if positive is not None and 2 <= pair.y.sum() <= pair.n - 2:
            found = delong(pair.y, pair.challenger[:, positive], pair.champion[:, positive])
            tests["delong"] = {"name": "DeLong (ROC AUC)", "statistic": found.z, **found.to_dict()}
        tests[f"bootstrap_{metric}"] = _bootstrap(pair, metric, seed, clusters)
        return tests


def _bootstrap(pair: Pair, metric: str, seed: int, clusters: np.ndarray | None) -> Figures:
    one = measurer(metric, pair.kind, pair.y, pair.challenger, pair.thresholds[0])
    two = measurer(metric, pair.kind, pair.y, pair.champion, pair.thresholds[1])
    try:
        found = paired_bootstrap(one, two, pair.n, times=400, seed=seed, groups=clusters).to_dict()
    except RefitError as error:
        return {"name": f"Paired bootstrap of {called(metric)}", "statistic": None, "p": None, "why": str(error)}
    return {"name": f"Paired bootstrap of {called(metric)}", "statistic": None, **found,
            "challenger": one(None), "champion": two(None)}  # fmt: skip
