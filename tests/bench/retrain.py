"""Weekly retraining without time, simulated in process: are verdicts right when rows are appended and looked at again?

``python -m tests.bench.retrain [--quick]``. Each project appends rows for twelve weeks, splits them by their own numbers,
fits a challenger, and lets the product's own functions choose the rows, weigh them and decide. What is true is known: the
expected metric on 50,000 fresh rows. The last line is one JSON object:

``wrong_promotions``  share of projects that ever promote a model that is not better
``wrong_keeps``       share of looks at which "worse" is said of a model that is not worse
``coverage``          share of looks (of projects whose truth does not change) whose 95% interval holds the true difference,
                      and ``coverage_error``, its standard error with looks of one project together
``power_ratio``       promotions of better models, over those of the same test on as many fresh rows (``shift`` left out: rows
                      from before the change, which nobody had seen, speak for the champion; its figure stands in ``by``)
``power_first``       the same of each challenger's first look at a champion that no look has chosen (the project's first).
                      Later looks share most of their rows with looks that did not promote, while the test it is compared
                      with draws new ones each time; that, and rows that helped to choose the champion, is the difference
``judged``            share of looks that were judged at all
``naive``             the same two errors where the rows are split anew at each look and each look is a plain 5% test on all
                      test rows, as pipelines commonly do: the rival
``by``                each figure by scenario, learner and metric

Scenarios: ``same`` (each challenger is fitted on as many rows as the champion, none of them in common: no difference but
luck), ``grow`` (on all rows so far), ``better`` (the first champion was fitted on partly wrong labels), ``worse`` (the
challengers are), ``shift`` (the truth changes half-way).
"""

from __future__ import annotations

import json
import sys
import time
from collections import defaultdict
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import tasks.stage  # noqa: F401  (threads, before numpy loads)

import numpy as np  # isort: skip
import pandas as pd

from tasks.artifacts import Contender
from tasks.bundle.seen import Seen
from tasks.compare.evidence import gather
from tasks.compare.policy import decide, read_state
from tasks.compare.scores import Incomparable, Pair
from tasks.compare.unseen import Counted, choose, unseen
from tasks.compare.verdict import Contenders, compared
from tasks.features.split import by_identity
from tasks.identity import Rule, identify
from tasks.metrics import higher_is_better, measure
from tasks.params import Promotion, Split, Table

WEEKS, FIRST, WEEKLY, FRESH = 12, 2500, 500, 50_000
COLUMNS = ("a", "b", "c", "d", "e")
SCENARIOS = ("same", "grow", "better", "worse", "shift")
LEARNERS = ("forest", "linear")
METRICS = {"accuracy": "binary", "roc_auc": "binary", "log_loss": "binary", "rmse": "regression"}
TABLE = Table(source="t.csv", columns={**dict.fromkeys(COLUMNS, "numeric"), "y": "numeric"})
RULE = Rule("t", COLUMNS, ("numeric",) * len(COLUMNS), keyed=False)
SAMPLE = 500  # rows that a model of `same` is fitted on
NAIVE = Promotion(control="each_run")
NOBODY = Contenders(None, Contender(package_sha256="", family=""))


@dataclass
class Truth:
    """How the target follows from the inputs; :meth:`changed` is another truth with the same inputs."""

    kind: str
    weights: np.ndarray
    bend: float

    @classmethod
    def draw(cls, kind: str, rng: np.random.Generator) -> Truth:
        return cls(kind, rng.normal(size=len(COLUMNS)), float(rng.normal(1, 0.3)))

    def changed(self, rng: np.random.Generator) -> Truth:
        return Truth(self.kind, self.weights * rng.choice([1, -1, 1.5], len(COLUMNS)), self.bend)

    def sample(self, n: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """Inputs (n, 5) and targets (n,)."""
        X = rng.normal(size=(n, len(COLUMNS)))
        mean = X @ self.weights * 0.7 + self.bend * X[:, 0] * X[:, 1] + 0.5 * np.abs(X[:, 2])
        if self.kind == "regression":
            return X, mean + rng.standard_t(5, n)
        return X, (rng.random(n) < 1 / (1 + np.exp(-mean))).astype(float)


def fit(learner: str, kind: str, X: np.ndarray, y: np.ndarray, seed: int) -> Any:
    from sklearn.ensemble import RandomForestClassifier, RandomForestRegressor
    from sklearn.linear_model import LogisticRegression, Ridge

    if learner == "linear":
        return (Ridge() if kind == "regression" else LogisticRegression()).fit(X, y)
    forest = RandomForestRegressor if kind == "regression" else RandomForestClassifier
    return forest(n_estimators=12, max_depth=7, min_samples_leaf=5, random_state=seed, n_jobs=1).fit(X, y)


def predict(model: Any, X: np.ndarray) -> np.ndarray:
    return model.predict(X) if not hasattr(model, "predict_proba") else model.predict_proba(X)


@dataclass
class Outcome:
    """What a project's looks came to: one entry a look, but for the whole-project flags."""

    wrong: bool = False
    naive: dict[str, int] | None = None
    looks: int = 0
    refused: int = 0
    keeps: int = 0
    wrong_keeps: int = 0
    covered: list[bool] = field(default_factory=list)
    won: int = 0
    could: int = 0
    first_won: int = 0
    first_could: int = 0


@dataclass
class Model:
    """A fitted model, its true metric by truth, and which rows it has seen."""

    fitted: Any
    seen: Seen
    values: dict[int, float]


def project(seed: int) -> tuple[tuple[str, str, str], Outcome]:
    """One project's twelve weeks."""
    rng = np.random.default_rng(seed)
    scenario, learner = SCENARIOS[seed % 5], LEARNERS[seed // 5 % 2]
    metric = list(METRICS)[seed // 10 % 4]
    kind, split = METRICS[metric], Split(salt=str(seed))
    sign = 1 if higher_is_better(metric) else -1
    before = Truth.draw(kind, rng)
    truths = [before, before.changed(rng) if scenario == "shift" else before]
    fresh = [truth.sample(FRESH, rng) for truth in truths[: 2 if scenario == "shift" else 1]]
    turn = int(rng.integers(4, 9)) if scenario == "shift" else WEEKS
    promotion, state = Promotion(), read_state(None)
    out, champion, since, looks = Outcome(), None, 0, []
    if seed // 40 % 8 == 0:  # fits once more at each look, so an eighth of the projects has to do
        out.naive = {"wrong_promotions": 0, "wrong_keeps": 0}
    X, y = truths[0].sample(FIRST, rng)
    for week in range(WEEKS):
        now = int(week >= turn)
        if week:
            X_new, y_new = truths[now].sample(WEEKLY, rng)
            X, y = np.vstack([X, X_new]), np.concatenate([y, y_new])
        whole = pd.DataFrame(X, columns=list(COLUMNS))
        numbers = identify(whole, RULE)
        part, _ = by_identity(numbers.row, np.ones(len(y), dtype=bool), split)
        never = pd.Series(pd.NaT, index=whole.index, dtype="datetime64[us, UTC]")
        own = np.flatnonzero(part == "train")
        if scenario == "same":
            held = np.zeros(len(y), dtype=bool) if champion is None else champion.seen.has(numbers)
            own = rng.permutation(own[~held[own]])[:SAMPLE]
        labels = y[own].copy()
        if (scenario, week > 0) in (("worse", True), ("better", False)):
            spoilt = rng.random(len(labels)) < 0.3
            labels[spoilt] = 1 - labels[spoilt] if kind == "binary" else rng.permutation(labels)[spoilt]
        fitted = fit(learner, kind, X[own], labels, seed + week)
        mask = np.zeros(len(y), dtype=bool)
        mask[own] = True
        if scenario != "same":
            mask |= part == "valid"
        values = {i: measure(metric, truth, predict(fitted, inputs), kind) for i, (inputs, truth) in enumerate(fresh)}
        challenger = Model(fitted, Seen.of(numbers, mask, never, RULE), values)
        at = np.flatnonzero(part == "test")
        if champion is None:  # its first champion needs no test here: it beats guessing by far
            champion, since = challenger, week + 1
            looks.append(Counted(week + 1, _record(numbers, at, len(y), never)))
            continue
        gain = sign * (challenger.values[min(now, len(fresh) - 1)] - champion.values[min(now, len(fresh) - 1)])
        out.looks += 1
        free, _ = unseen(whole, never.iloc[at], at, TABLE, champion.seen, None)
        try:
            rows = choose(whole, at, y[at], free, kind == "binary", never.iloc[at], TABLE, looks, since, None)
        except Incomparable:
            out.refused += 1
            continue
        pair = _pair(kind, X[at[rows.at]], y[at[rows.at]], challenger, champion)
        evidence = gather(pair, promotion, metric, rows.new, 0, beside=False)
        decision = decide(evidence.look, state, promotion, str(week), str(since))
        verdict = compared(evidence, decision, promotion, [], pair.n, NOBODY, rows.decisive, rows.counts)
        low, high = evidence.evidence.interval
        if scenario != "shift":
            true = sign * gain if evidence.evidence.metric else gain
            out.covered.append(bool(low <= true <= high))
        if gain > 0:  # the same test on rows that nobody has looked at
            X_other, y_other = truths[now].sample(pair.n, rng)
            other = _pair(kind, X_other, y_other, challenger, champion)
            ideal = gather(other, promotion, metric, np.ones(pair.n, dtype=bool), 0, beside=False)
            could, won = (
                decide(ideal.look, state, promotion, str(week), str(since)).promote,
                verdict.verdict == "promote",
            )
            out.could, out.won = out.could + could, out.won + won
            if week == 1:
                out.first_could, out.first_won = int(could), int(won)
        elif verdict.verdict == "promote":
            out.wrong = True
        if verdict.verdict == "keep":
            out.keeps += 1
            out.wrong_keeps += gain >= 0
        if out.naive is not None:
            said = _naive(X, y, kind, metric, challenger, champion, rng, learner, seed + week)
            out.naive["wrong_promotions"] |= said == "promote" and gain <= 0
            out.naive["wrong_keeps"] += said == "keep" and gain >= 0
        state = verdict.state
        looks.append(Counted(week + 1, _record(numbers, at[rows.at[rows.new]], len(y), never)))
        if verdict.verdict == "promote":
            champion, since = challenger, week + 1
    return (scenario, learner, metric), out


def _pair(kind: str, X: np.ndarray, y: np.ndarray, challenger: Model, champion: Model) -> Pair:
    never = pd.Series(pd.NaT, index=range(len(y)), dtype="datetime64[us, UTC]")
    return Pair(kind, y, predict(challenger.fitted, X), predict(champion.fitted, X), (0.5, 0.5), never, {})


def _record(numbers: Any, at: np.ndarray, n: int, never: pd.Series) -> Seen:
    mask = np.zeros(n, dtype=bool)
    mask[at] = True
    return Seen.of(numbers, mask, never, RULE)


def _naive(X: np.ndarray, y: np.ndarray, kind: str, metric: str, challenger: Model, champion: Model,
           rng: np.random.Generator, learner: str, seed: int) -> str:  # fmt: skip
    """What a fresh random split and a plain test say: the champion has seen most of the test rows."""
    order = rng.permutation(len(y))
    test, train = order[: len(y) // 5], order[len(y) // 5 :]
    again = Model(fit(learner, kind, X[train], y[train], seed), challenger.seen, {})
    pair = _pair(kind, X[test], y[test], again, champion)
    evidence = gather(pair, NAIVE, metric, np.ones(pair.n, dtype=bool), 0, beside=False)
    p, worse = evidence.look.p_better, evidence.look.p_worse
    return "promote" if p <= 0.025 else "keep" if worse <= 0.025 else "inconclusive"


def summary(found: list[Outcome]) -> dict[str, Any]:
    """The figures of some projects."""
    looks, refused = sum(o.looks for o in found), sum(o.refused for o in found)
    covered = [np.array(o.covered) for o in found if o.covered]
    total = sum(len(c) for c in covered)
    share = sum(c.sum() for c in covered) / total if total else None
    error = None if share is None else float(np.sqrt(sum((c - share).sum() ** 2 for c in covered)) / total)
    could, naive = sum(o.could for o in found), [o for o in found if o.naive is not None]
    could_first = sum(o.first_could for o in found)
    return {
        "projects": len(found),
        "wrong_promotions": float(np.mean([o.wrong for o in found])),
        "wrong_keeps": sum(o.wrong_keeps for o in found) / max(looks - refused, 1),
        "keeps": sum(o.keeps for o in found) / max(looks - refused, 1),
        "coverage": None if share is None else float(share),
        "coverage_error": error,
        "power_ratio": sum(o.won for o in found) / could if could else None,
        "power_first": sum(o.first_won for o in found) / could_first if could_first else None,
        "promotions": sum(o.won for o in found),
        "judged": 1 - refused / max(looks, 1),
        "naive": {
            "projects": len(naive),
            "wrong_promotions": sum(o.naive["wrong_promotions"] for o in naive) / max(len(naive), 1),
            "wrong_keeps": sum(o.naive["wrong_keeps"] for o in naive) / max(sum(o.looks for o in naive), 1),
        },
    }


def main() -> None:
    count = 80 if "--quick" in sys.argv else 2000
    began, by = time.perf_counter(), defaultdict(list)
    with ProcessPoolExecutor(2) as pool:
        for names, outcome in pool.map(project, range(count), chunksize=8):
            for name in names:
                by[name].append(outcome)
            by[""].append(outcome)
            if names[0] != "shift":
                by["steady"].append(outcome)
    print(f"{count} projects in {time.perf_counter() - began:.0f} s")
    rows = {name: summary(found) for name, found in by.items()}
    for name, row in rows.items():
        print(f"{name or 'all':10s}", {k: round(v, 4) if isinstance(v, float) else v for k, v in row.items()})
    steady = rows.pop("steady")
    power = {name: steady[name] for name in ("power_ratio", "power_first")}
    print(json.dumps({**rows.pop(""), **power, "by": rows}))


if __name__ == "__main__":
    main()
