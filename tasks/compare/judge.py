"""From the test rows to a verdict: which of them decide, what the evidence is, and what follows from it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from tasks.artifacts import GuardrailResult, PolicyState, Verdict
from tasks.bundle import Bundle
from tasks.bundle.asked import Asked
from tasks.compare import guardrails, verdict
from tasks.compare.baseline import against_baseline
from tasks.compare.evidence import gather
from tasks.compare.policy import decide
from tasks.compare.scores import Pair, align, champion_scores, checked, unknown_levels
from tasks.compare.unseen import Counted, choose, unseen
from tasks.compare.verdict import Contenders
from tasks.kinds import or_half
from tasks.params import Params, Promotion
from tasks.stored import Stored
from tasks.values.levels import level


@dataclass(frozen=True)
class Case:
    """What there is to judge: the test rows (n,), their truth, and the problem's ``whole`` table, which they come from."""

    params: Params
    challenger: Bundle
    whole: Stored
    asked: Asked
    at: np.ndarray
    y: np.ndarray
    time: pd.Series
    mine: np.ndarray

    @property
    def promotion(self) -> Promotion:
        """The policy; rows that ``split.by`` keeps together are compared together too."""
        own = self.params.promotion
        return own.model_copy(update={"cluster": tuple(dict.fromkeys([*own.cluster, *self.params.split.by]))})

    @property
    def rows(self) -> pd.DataFrame:
        """The test rows of the problem's table."""
        return self.asked.rows


@dataclass(frozen=True)
class Judged:
    """The verdict, the rows it rests on (positions among the test rows), which of them are new, truth and both scores."""

    verdict: Verdict
    at: np.ndarray
    new: np.ndarray
    y: np.ndarray
    challenger: np.ndarray
    champion: np.ndarray | None
    row_ms: list[float]


@dataclass(frozen=True)
class Incumbent:
    """The champion: its package, since which decision it is champion, and what is known about the rows that it has seen.

    ``as_of`` is the one of its receipt, ``reference`` its sample of training rows, ``looks`` what earlier looks counted.
    """

    bundle: Bundle
    since: int
    as_of: str | None
    reference: pd.DataFrame
    looks: list[Counted]


def first(case: Case, y_train: np.ndarray, who: Contenders, state: PolicyState) -> Judged:
    """No champion yet: the challenger against what can be said without features."""
    problem, promotion, cut = case.params.problem, case.promotion, or_half(case.challenger.threshold)
    groups = clusters(case.rows, case.time, promotion.cluster)
    pair = Pair(problem.kind, case.y, case.mine, case.mine, (cut, cut), case.time, groups)
    guards, spent = check_guardrails(pair, case.rows, case)
    found = against_baseline(pair, y_train, promotion, problem.metric)
    out = verdict.first(found, len(case.y), promotion.alpha, guards, who, state)
    everything = np.arange(len(case.y))
    return Judged(out, everything, np.ones(len(case.y), dtype=bool), case.y, case.mine, None, spent)


def unjudged(case: Case, out: Verdict) -> Judged:
    """A verdict for which no score was looked at, so that no row is counted."""
    everything = np.arange(len(case.y))
    return Judged(out, everything, np.zeros(len(case.y), dtype=bool), case.y, case.mine, None, [])


def against(case: Case, incumbent: Incumbent, who: Contenders, state: PolicyState) -> Judged:
    """Choose the rows that neither model has seen, gather the evidence, apply the policy, and put it into words.

    Raises
    ------
    Incomparable
        If the models speak of different classes, or too few rows are left.
    """
    params, challenger, champion, time = case.params, case.challenger, incumbent.bundle, case.time
    promotion, table = case.promotion, params.data.tables[params.problem.table]
    theirs, X = champion_scores(champion, challenger, case.asked)
    theirs = checked(theirs, len(case.y), "data/champion")
    mine, old = (tuple(level(name) or name for name in bundle.classes) for bundle in (challenger, champion))
    both = align(case.y, case.mine, theirs, mine, old, or_half(champion.threshold))
    free, warnings = unseen(case.whole, time, case.at, table, champion.seen, incumbent.as_of)
    rows = choose(
        case.whole,
        case.at,
        both.y,
        free & both.keep,
        challenger.problem.output.classes,
        time,
        table,
        incumbent.looks,
        incumbent.since,
        state.counted_until,
    )
    pair = Pair(
        challenger.kind, both.y, both.challenger, both.champion, (or_half(challenger.threshold), both.threshold), time,
        clusters(case.rows, time, promotion.cluster),
    ).take(rows.at)  # fmt: skip
    guards, spent = check_guardrails(pair, case.rows.iloc[rows.at], case)
    found = gather(pair, promotion, params.problem.metric, rows.new, params.seed)
    decision = decide(found.look, state, promotion, challenger.identity, champion.identity)
    out = verdict.compared(found, decision, promotion, guards, pair.n, who, rows.decisive, rows.counts)
    out = out.model_copy(update={"warnings": [*out.warnings, *warnings, *both.warnings]})
    names = [f.name for f in champion.plan.features if f.kind == "categorical"]
    levels = unknown_levels(X[names].iloc[rows.at], incumbent.reference)
    remedy = (
        "Where the values mean the same, write them as before; where they are new ones indeed, "
        "`refit promote VERSION --reason ...`"
    )
    out = verdict.hold(out, levels, remedy)
    # Rows that were too few to bet on wait for the next look.
    waiting = found.look.new.rows == 0 and (promotion.evidence == "line" or promotion.error == "fdr")
    return Judged(out, rows.at, rows.new & (not waiting), pair.y, pair.challenger, pair.champion, spent)


def check_guardrails(pair: Pair, rows: pd.DataFrame, case: Case) -> tuple[list[GuardrailResult], list[float]]:
    """Every guardrail that is set, and the milliseconds that single rows took, where they are limited."""
    limits = case.params.promotion.guardrails
    guards = guardrails.check(pair, rows, limits, case.challenger.path)
    if limits.latency_ms is None:
        return guards, []
    spent = guardrails.latency(case.challenger, rows)
    return [*guards, guardrails.judge_latency(spent, limits.latency_ms)], spent


def clusters(rows: pd.DataFrame, time: pd.Series, declared: tuple[str, ...]) -> dict[str, np.ndarray]:
    """Labels of rows that may not be independent: the declared columns, and the day of the prediction time.

    A row whose value is missing is a cluster of its own.
    """
    out: dict[str, np.ndarray] = {}
    for column in declared:
        if column == "day" and column not in rows:
            continue
        codes = pd.factorize(rows[column])[0]
        out[column] = np.where(codes < 0, -1 - np.arange(len(codes)), codes)
    if time.notna().all() and "day" not in out:
        day = time.dt.floor("D")
        if day.nunique() >= 10 or "day" in declared:
            out["day"] = pd.factorize(day)[0]
    return out
