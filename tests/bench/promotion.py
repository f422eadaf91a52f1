"""Weekly promotion decisions, simulated: how often a champion is replaced by chance, and how soon by a better model.

``python -m tests.bench.promotion [--quick] [--docs]``. The last line is one JSON object:

``false_promotion_rate``  share of projects that ever promote in 52 weekly looks at challengers that are no better:
                          the worst of both family-wise policies, with independent and with dependent challengers
``naive_rate``            the same by plain McNemar at 5% each week, on the same data (independent challengers)
``power``                 share of projects that promote within 52 weeks where challengers gain 1 point, at 5,000 rows a
                          week, with the default policy
``rates``                 every policy, independent and dependent
``weeks``                 median weeks until promotion by policy, gain and rows a week; null: most never do

Independent: each week's challenger is judged on that week's rows. Dependent: each is judged on the newest four weeks,
so that three quarters of the rows were judged before, and successive challengers say the same of them. The levels,
bets and tests are the product's own functions. ``--docs`` writes the plot and prints the table of docs/verdicts.md.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import tasks.stage  # noqa: F401  (threads, before numpy loads)

import numpy as np  # isort: skip

from tasks.paired import familywise, log_capital, log_capital_of_sums, lord, over_champions, saffron, split_capital
from tasks.paired.mcnemar import FEW

ALPHA = 0.05
LOOKS = 52
DISCORDANT = 0.10  # share of rows where one of the two models alone is right
ROWS = (2000, 5000, 10_000, 20_000)
GAINS = (0.005, 0.01, 0.02)
POLICIES = {
    "challenger": "each challenger by itself",
    "line": "the line of challengers as one",
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


def p_better(b: np.ndarray, c: np.ndarray) -> np.ndarray:
    """One-sided McNemar, exact where discordant rows are few, as :func:`tasks.paired.mcnemar` chooses."""
    from scipy.stats import binom, norm

    n = b + c
    z = np.sign(b - c) * np.maximum(np.abs(b - c) - 1, 0) / np.sqrt(n)
    return np.where(n <= FEW, binom.sf(b - 1, n, 0.5), norm.sf(z))


def first_promotion(b: np.ndarray, c: np.ndarray, weeks: int = 1) -> dict[str, np.ndarray]:
    """Number of the look that promotes first, by policy; 0 where none does. Each look judges the newest ``weeks``."""
    seen_b, seen_c = window(b, weeks), window(c, weeks)
    p = p_better(seen_b, seen_c)
    k = np.arange(1, LOOKS + 1)
    level = np.asarray(familywise(ALPHA, k))
    capital = np.stack([log_capital(seen_b[:, i], seen_c[:, i]) for i in range(LOOKS)], axis=1)
    wins, losses = np.cumsum(b, axis=1), np.cumsum(c, axis=1)  # the line counts every row once
    line = np.stack(
        [log_capital_of_sums(d, n) for d, n in zip((wins - losses).T, (wins + losses).T, strict=True)], axis=1
    )
    # Until the first promotion LORD++ has no rejections, so that its levels are the same for all projects.
    candidates = p <= 0.5
    by_lord = p <= np.array([lord(ALPHA, int(look), []) for look in k])
    spent = k - np.concatenate([np.zeros((len(p), 1), dtype=int), np.cumsum(candidates, axis=1)[:, :-1]], axis=1)
    by_saffron = p <= np.array([saffron(ALPHA, int(look), [], []) for look in k])[spent - 1]
    won = {
        "challenger": split_capital(capital, p, level) >= -np.log(level) - 1e-12,
        "line": (line >= -np.log(over_champions(ALPHA, 1))) & (seen_b > seen_c),
        "lord": by_lord,
        "saffron": by_saffron,
        "naive": (2 * p <= ALPHA) & (seen_b > seen_c),
    }
    return {name: np.where(w.any(axis=1), w.argmax(axis=1) + 1, 0) for name, w in won.items()}


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
    colours = {"challenger": "#2f6fb5", "line": "#2a8f62", "naive": "#c2702d"}
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
    print(table(weeks))
    if "--docs" in sys.argv:
        plot(weeks, DOCS / "promotion-power.svg")
    print(
        json.dumps(
            {
                "false_promotion_rate": max(rates[how][policy] for how in rates for policy in ("challenger", "line")),
                "naive_rate": rates["independent"]["naive"],
                "power": weeks["challenger"]["0.01"]["5000"]["promoted"],
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
