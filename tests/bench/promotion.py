"""Weekly promotion decisions, simulated: how often a champion is replaced by chance, and how soon by a better model.

``python -m tests.bench.promotion [--quick] [--docs]``. The last line is one JSON object:

``false_promotion_rate``  share of projects that ever promote in 52 weekly looks at challengers that are no better: the
                          worst over deciding metrics, settings and both family-wise policies
``by_metric``             the same by metric and setting, with the default policy; ``line``, ``lord`` and ``saffron`` give
                          the worst setting of each metric by the other policies
``worse_rate``            share of projects that ever call a challenger worse that is not (at most 0.025), the worst
``naive_rate``            share that ever promote by plain McNemar at 5% each week, on the same data; ``bonferroni_rate`` by
                          McNemar at 5%/52 each week, which is safe too: the rival in power
``tail``, ``plain_tail``  how many times too often the tests, and a plain normal test, reject at a level of 0.001
``power``                 share of projects that promote within 52 weeks where challengers gain 1 point of accuracy, at
                          5,000 rows a week, with the default policy; ``bonferroni_power`` by the rival
``power_by_metric``       share that promote at the first look a challenger that is better by about four standard errors,
                          beside the share of a plain normal test at the same level
``rates``                 McNemar with 5,000 rows a week: every policy, independent and dependent challengers
``weeks``                 median weeks until promotion by policy, gain and rows a week; null: most never do

Looks have 200 rows where they are hard to judge: 20 positives, skewed and heavy-tailed losses, 20 clusters of unequal
size, overconfident challengers. In each setting the two models' true values of the metric are equal. Independent: each
week's challenger is judged on that week's rows. Dependent: each is judged on the newest four weeks, so that three
quarters of the rows were judged before. Levels, bets and tests are the product's own functions. ``--docs`` writes the
plot and prints the tables of docs/verdicts.md.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import tasks.stage  # noqa: F401  (threads, before numpy loads)

import numpy as np  # isort: skip

from tasks.paired import (
    familywise,
    log_capital,
    log_capital_of_scores,
    lord,
    normal_score,
    over_champions,
    saffron,
    split_capital,
)
from tests.bench._looks import POSITIVES, binary, multiclass, p_better, regression, settings

ALPHA = 0.05
LOOKS = 52
DISCORDANT = 0.10  # share of rows where one of the two models alone is right
ROWS = (2000, 5000, 10_000, 20_000)
GAINS = (0.005, 0.01, 0.02)
POLICIES = {
    "challenger": "each challenger by itself",
    "line": "the line of challengers as one",
    "bonferroni": "McNemar at 5%/52 each week (Bonferroni)",
    "naive": "plain McNemar each week",
}
DOCS = Path(__file__).resolve().parents[2] / "docs"


def weekly(projects: int, rows: int, gain: float, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Rows on which the challenger alone, and the champion alone, is right: two arrays (projects, looks)."""
    discordant = rng.binomial(rows, DISCORDANT, size=(projects, LOOKS))
    b = rng.binomial(discordant, 0.5 + gain / (2 * DISCORDANT))
    return b, discordant - b


def window(values: np.ndarray, weeks: int) -> np.ndarray:
    """Sums over the newest ``weeks`` weeks at each look."""
    total = np.cumsum(values, axis=1)
    return total - np.pad(total, ((0, 0), (weeks, 0)))[:, :LOOKS]


def first_promotion(b: np.ndarray, c: np.ndarray, weeks: int = 1) -> dict[str, np.ndarray]:
    """Number of the look that promotes first, by policy; 0 where none does. Each look judges the newest ``weeks``."""
    seen_b, seen_c = window(b, weeks), window(c, weeks)
    p = p_better(seen_b, seen_c)
    k = np.arange(1, LOOKS + 1)
    level = np.asarray(familywise(ALPHA, k))
    capital = np.stack([log_capital(seen_b[:, i], seen_c[:, i]) for i in range(LOOKS)], axis=1)
    wins, losses = np.cumsum(b, axis=1), np.cumsum(c, axis=1)  # the line counts every row once
    line = np.stack([log_capital(*both) for both in zip(wins.T, losses.T, strict=True)], axis=1)
    # so do LORD++ and SAFFRON, whatever the look shows
    return _firsts(p, capital, level, line, seen_b > seen_c, p_better(b, c))


def by_scores(p: np.ndarray, worse: np.ndarray | None = None) -> dict[str, np.ndarray]:
    """The same from the p-values (projects, looks) of looks with rows of their own; with the first look that says "worse"."""
    k = np.arange(1, LOOKS + 1)
    z = normal_score(p)
    level = np.asarray(familywise(ALPHA, k))
    line = log_capital_of_scores(np.cumsum(z, axis=1), np.broadcast_to(k, z.shape))
    out = _firsts(p, log_capital_of_scores(z, np.ones_like(z)), level, line, p < 0.5, p)
    if worse is not None:
        half = np.asarray(familywise(ALPHA / 2, k))
        said = split_capital(log_capital_of_scores(normal_score(worse), np.ones_like(z)), worse, half) >= -np.log(half)
        out["worse"] = _first(said)
    return out


def _firsts(p: np.ndarray, capital: np.ndarray, level: np.ndarray, line: np.ndarray, ahead: np.ndarray,
            new: np.ndarray) -> dict[str, np.ndarray]:  # fmt: skip
    """First promotion by each policy; ``new`` are the p-values of rows not counted before."""
    k = np.arange(1, LOOKS + 1)
    # Until the first promotion LORD++ has no rejections, so that its levels are the same for all projects.
    candidates = new <= 0.5
    spent = k - np.concatenate([np.zeros((len(p), 1), dtype=int), np.cumsum(candidates, axis=1)[:, :-1]], axis=1)
    won = {
        "challenger": split_capital(capital, p, level) >= -np.log(level) - 1e-12,
        "line": (line >= -np.log(over_champions(ALPHA, 1))) & ahead,
        "lord": new <= np.array([lord(ALPHA, int(look), []) for look in k]),
        "saffron": new <= np.array([saffron(ALPHA, int(look), [], []) for look in k])[spent - 1],
        "bonferroni": p <= ALPHA / LOOKS,
        "naive": (2 * p <= ALPHA) & ahead,
    }
    return {name: _first(w) for name, w in won.items()}


def _first(won: np.ndarray) -> np.ndarray:
    return np.where(won.any(axis=1), won.argmax(axis=1) + 1, 0)


def false_rates(projects: int, rng: np.random.Generator) -> dict[str, dict[str, float]]:
    """Share of projects that ever promote although no challenger is better."""
    b, c = weekly(projects, 5000, 0.0, rng)
    out = {}
    for name, weeks in (("independent", 1), ("dependent", 4)):
        out[name] = {policy: float((at > 0).mean()) for policy, at in first_promotion(b, c, weeks).items()}
    return out


def weeks_until(projects: int, rng: np.random.Generator) -> dict[str, dict[str, dict[str, dict[str, float | None]]]]:
    """Median week of the first promotion, and the share of projects that promote within 52 weeks."""
    out: dict[str, dict[str, dict[str, dict[str, float | None]]]] = {policy: {} for policy in POLICIES}
    for gain in GAINS:
        for rows in ROWS:
            found = first_promotion(*weekly(projects, rows, gain, rng))
            for policy in POLICIES:
                at = np.where(found[policy] > 0, found[policy], LOOKS + 1)
                median = float(np.median(at))
                cell = {"median": median if median <= LOOKS else None, "promoted": float((at <= LOOKS).mean())}
                out[policy].setdefault(f"{gain:g}", {})[str(rows)] = cell
    return out


BLOCK = 500  # looks at once: their arrays stay in the processor's cache


def by_metric(projects: int, rng: np.random.Generator) -> dict[str, dict[str, dict[str, float]]]:
    """For each metric and setting: the share of projects that ever promote, by policy, though no challenger is better."""
    out: dict[str, dict[str, dict[str, float]]] = {}
    for setting, make, metrics in settings():
        seen: dict[str, list[np.ndarray]] = {metric: [] for metric in metrics}
        for start in range(0, projects * LOOKS, BLOCK):
            looks = make(min(BLOCK, projects * LOOKS - start), rng, 0.0)
            for metric in metrics:
                seen[metric].append(np.stack(looks.p(metric)).astype(np.float32))
        kind = looks.kind
        for metric, parts in seen.items():
            better, worse, plain = np.concatenate(parts, axis=1).astype(float).reshape(3, projects, LOOKS)
            rates = {policy: float((at > 0).mean()) for policy, at in by_scores(better, worse).items()}
            tails = {"tail": float((better <= 1e-3).mean() / 1e-3), "plain_tail": float((plain <= 1e-3).mean() / 1e-3)}
            name = metric if kind != "multiclass" or metric in ("f1_macro", "roc_auc_ovr") else f"{metric}, 3 classes"
            out.setdefault(name, {})[setting] = rates | tails
            print(f"{name}, {setting}: " + ", ".join(f"{k} {v:.4f}" for k, v in out[name][setting].items()), flush=True)
    return out


def power_by_metric(looks: int, rng: np.random.Generator) -> dict[str, dict[str, float]]:
    """First looks at a challenger whose own errors are smaller, 2,000 rows: how many promote, and by a plain normal test.

    How much smaller is sought so that the plain test, at this level, sees about nine in ten; at most nine tenths.
    """
    cases = [
        ("", binary(600, n=2000), ("roc_auc", "average_precision", "log_loss", "brier", "f1")),
        (", 20 positives", binary(POSITIVES, n=2000), ("roc_auc",)),
        (", 20 clusters", binary(70, clustered=True), ("roc_auc",)),
        (", 3 classes", multiclass((900, 700, 400)), ("log_loss",)),
        ("", multiclass((900, 700, 400)), ("f1_macro", "roc_auc_ovr")),
        ("", regression("normal", n=2000), ("rmse", "mae", "r2")),
        (", heavy tails", regression("t", n=2000), ("rmse", "mae")),
        ("", regression("normal", positive=True, n=2000), ("mape",)),
    ]
    level = 0.9 * float(familywise(ALPHA, 1))
    out = {}
    for about, make, metrics in cases:
        for metric in metrics:
            for better in (0.04, 0.07, 0.1, 0.14, 0.2, 0.28, 0.4, 0.6, 0.9):
                parts = [make(50, rng, better).p(metric) for _ in range(max(1, looks // 50))]
                p, _, plain = (np.concatenate(part) for part in zip(*parts, strict=True))
                found = {"promoted": float((p <= level).mean()), "plain": float((plain <= level).mean())}
                if found["plain"] >= 0.8:
                    break
            out[metric + about] = found
    return out


def metric_table(found: dict[str, dict[str, dict[str, float]]], power: dict[str, dict[str, float]]) -> str:
    """The tables of the docs by metric: the worst setting, and the power."""
    lines = [
        "| metric | ever promoted | hardest setting | the line | LORD++ | SAFFRON | ever called worse | plain tests, level 0.001 |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for metric, by in found.items():
        hardest = max(by, key=lambda s: by[s]["challenger"])
        worst = [max(r[policy] for r in by.values()) for policy in ("challenger", "line", "lord", "saffron", "worse")]
        cells = [f"{v:.1%}" for v in worst]
        plain = max(r["plain_tail"] for r in by.values())
        lines.append(f"| {metric} | {cells[0]} | {hardest} | {' | '.join(cells[1:])} | {plain:.1f} times too often |")
    lines += ["", "| metric | promoted | by a plain normal test |", "|---|---|---|"]
    lines += [f"| {name} | {two['promoted']:.0%} | {two['plain']:.0%} |" for name, two in power.items()]
    return "\n".join(lines)


def table(weeks: dict) -> str:
    """The table of the docs, in Markdown."""
    lines = [
        "| true gain | policy | " + " | ".join(f"{r:,} rows a week" for r in ROWS) + " |",
        "|---|---|" + "---|" * len(ROWS),
    ]
    for gain in GAINS:
        for policy, title in POLICIES.items():
            cells = []
            for rows in ROWS:
                cell = weeks[policy][f"{gain:g}"][str(rows)]
                cells.append(f"{cell['median']:.0f}" if cell["median"] else f"over 52 ({cell['promoted']:.0%} within)")
            lines.append(f"| {gain * 100:g} points | {title} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def plot(weeks: dict, path: Path) -> None:
    """Weeks until promotion by rows a week: one panel a gain, one line a policy."""
    import matplotlib

    matplotlib.use("Agg")
    matplotlib.rcParams["svg.hashsalt"] = "refit"
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(1, len(GAINS), figsize=(10, 3.4), sharey=True, layout="constrained")
    colours = {"challenger": "#2f6fb5", "line": "#2a8f62", "bonferroni": "#7a5ba8", "naive": "#c2702d"}
    for axis, gain in zip(axes, GAINS, strict=True):
        for policy, title in POLICIES.items():
            cells = weeks[policy][f"{gain:g}"]
            median = [cells[str(r)]["median"] or np.nan for r in ROWS]
            axis.plot(ROWS, median, marker="o", color=colours[policy], label=title)
        axis.set(title=f"true gain {gain * 100:g} points", xlabel="labelled rows a week", xscale="log", yscale="log")
        axis.set_xticks(ROWS, [f"{r:,}" for r in ROWS], rotation=30)
        axis.set_yticks([1, 2, 4, 8, 16, 32, 52], ["1", "2", "4", "8", "16", "32", "52"])
        axis.minorticks_off()
        axis.grid(alpha=0.3)
    axes[0].set_ylabel("median weeks until promotion")
    axes[0].legend(fontsize=8)
    path.parent.mkdir(exist_ok=True)
    figure.savefig(path, metadata={"Date": None})


def main() -> None:
    quick = "--quick" in sys.argv
    rng = np.random.default_rng(0)
    rates = false_rates(2000 if quick else 10_000, rng)
    weeks = weeks_until(300 if quick else 2000, rng)
    metrics = by_metric(200 if quick else 10_000, rng)
    power = power_by_metric(100 if quick else 1000, rng)
    print(table(weeks))
    print(metric_table(metrics, power))
    if "--docs" in sys.argv:
        plot(weeks, DOCS / "promotion-power.svg")
    every = [r for by in metrics.values() for r in by.values()]
    print(
        json.dumps(
            {
                "false_promotion_rate": max(
                    [rates[how][policy] for how in rates for policy in ("challenger", "line")]
                    + [r[policy] for r in every for policy in ("challenger", "line")]
                ),
                "by_metric": {m: {s: r["challenger"] for s, r in by.items()} for m, by in metrics.items()},
                **{
                    p: {m: max(r[p] for r in by.values()) for m, by in metrics.items()}
                    for p in ("line", "lord", "saffron")
                },
                "worse_rate": max(r["worse"] for r in every),
                "naive_rate": rates["independent"]["naive"],
                "bonferroni_rate": max(rates[how]["bonferroni"] for how in rates),
                "bonferroni_power": weeks["bonferroni"]["0.01"]["5000"]["promoted"],
                "tail": max(r["tail"] for r in every),
                "plain_tail": {m: {s: r["plain_tail"] for s, r in by.items()} for m, by in metrics.items()},
                "power": weeks["challenger"]["0.01"]["5000"]["promoted"],
                "power_by_metric": power,
                "rates": rates,
                "weeks": {
                    p: {g: {r: cell["median"] for r, cell in by.items()} for g, by in gains.items()}
                    for p, gains in weeks.items()
                },
            }
        )
    )


if __name__ == "__main__":
    main()
