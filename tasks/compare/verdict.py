"""The verdict: what is decided, in one plain sentence, with everything that it rests on."""

from __future__ import annotations

from dataclasses import dataclass

from tasks.artifacts import ComparedRows, Contender, Evidence, GuardrailResult, PolicyState, Verdict, Word
from tasks.compare.baseline import AgainstBaseline
from tasks.compare.evidence import Comparison
from tasks.compare.policy import Decision
from tasks.compare.unseen import said as rows_said
from tasks.metrics import called, higher_is_better
from tasks.params import Promotion


@dataclass(frozen=True)
class Contenders:
    """Who is compared; ``champion`` None: there is none yet."""

    champion: Contender | None
    challenger: Contender


def same_model(n: int, who: Contenders, state: PolicyState) -> Verdict:
    """The challenger is the champion, byte for byte: nothing to decide."""
    return Verdict(
        verdict="keep",
        sentence="Keep the champion: the challenger is the same package.",
        rule="identical packages",
        champion=who.champion,
        challenger=who.challenger,
        n=n,
        tests={},
        evidence=Evidence(),
        why=[],
        warnings=[],
        guardrails=[],
        state=state,
    )


def refused(why: str, n: int, who: Contenders, state: PolicyState) -> Verdict:
    """The two models cannot be compared: no score was looked at, and the champion stays."""
    sentence = f"Keep the champion: the two cannot be compared, since {why}"
    return same_model(n, who, state).model_copy(
        update={"verdict": "inconclusive", "sentence": sentence, "rule": "no comparison"}
    )


def hold(verdict: Verdict, reasons: list[str], remedy: str) -> Verdict:
    """A verdict that does not promote by itself, for ``reasons``; without any, or where nothing is promoted, as it was."""
    if not reasons:
        return verdict
    notes = [f"{reason[:1].upper()}{reason[1:]}." for reason in reasons]
    told = verdict.model_copy(update={"warnings": [*verdict.warnings, *notes]})
    if verdict.verdict != "promote" or verdict.state is None:
        return told
    state = verdict.state.without(verdict.evidence.look)
    sentence = f"Not promoted by itself: {reasons[0]}. {remedy}. But for that: {verdict.sentence}"
    return told.model_copy(update={"verdict": "inconclusive", "sentence": sentence, "state": state})


def first(found: AgainstBaseline, n: int, alpha: float, guards: list[GuardrailResult], who: Contenders,
          state: PolicyState) -> Verdict:  # fmt: skip
    """No champion yet: promote if better than no model, and not by luck."""
    word: Word
    beats = found.p <= alpha
    failed = [g for g in guards if not g.passed]
    values = f"{called(found.metric)} {_number(found.challenger)} against {_number(found.baseline)} without a model"
    if beats and not failed:
        word = "promote"
        sentence = (
            f"Promote: there is no champion yet, and the challenger beats {found.what} on {n:,} unseen rows ({values})."
        )
    elif beats:
        word = "keep"
        sentence = f"Do not promote: the challenger beats {found.what}, but fails the guardrail {failed[0].name}: {failed[0].said}."
    else:
        word = "inconclusive"
        sentence = f"Do not promote: on {n:,} unseen rows the challenger is not shown to beat {found.what} ({values})."
    said = "< 0.0001" if found.p < 1e-4 else f"= {found.p:.3g}"
    numbers = Evidence(
        metric=found.metric,
        decided_by=found.decided_by,
        p=found.p,
        challenger=found.challenger,
        baseline=found.baseline,
    )
    return Verdict(
        verdict=word,
        sentence=sentence,
        rule=f"no champion: better than {found.what}, one-sided {alpha:g}",
        champion=who.champion,
        challenger=who.challenger,
        n=n,
        tests=found.tests,
        evidence=numbers,
        why=[f"One-sided p {said} by {found.tests[found.decided_by]['name']}, against {alpha:g}."],
        warnings=found.warnings,
        guardrails=guards,
        state=state,
    )


def compared(found: Comparison, decision: Decision, promotion: Promotion, guards: list[GuardrailResult], n: int,
             who: Contenders, decisive: bool, rows: ComparedRows | None) -> Verdict:  # fmt: skip
    """Challenger against champion.

    Parameters
    ----------
    decisive : False where the rows helped to choose the champion. That favours it, so that nothing can be said
        against the challenger: only *promote* or *inconclusive*.
    rows : how many there are of each sort (:func:`tasks.compare.unseen.choose`); None: not told.
    """
    failed = [g for g in guards if not g.passed]
    numbers = found.evidence
    said = _said(numbers, n)
    word: Word
    worse = decisive and decision.worse and promotion.rule == "superiority"
    if decision.promote and not failed:
        word, sentence = "promote", f"Promote: {said}."
        if promotion.rule == "non_inferiority":
            sentence = f"Promote: {said}, which is shown to be at most the margin of {promotion.margin:g} worse."
    elif decision.promote:
        word = "keep"
        sentence = f"Keep the champion: {said}, but the guardrail {failed[0].name} fails: {failed[0].said}."
    elif worse:
        word, sentence = "keep", f"Keep the champion: {said}."
    else:
        word = "inconclusive"
        sentence = f"Keep the champion for now: {said}, which is not enough to tell."
    if word == "inconclusive" and not decisive:
        sentence = (
            f"Keep the champion for now: {said}. These rows helped to choose the champion, which favours it, so "
            "nothing is said against the challenger."
        )
    state = decision.state
    if decision.promote and failed:  # not promoted after all: the look is spent, no promotion is earned
        state = state.without(decision.look)
    why = [*([] if rows is None else [rows_said(rows)]), *decision.why]
    if word == "keep" and not failed:
        why.append(
            f"That it is worse may be said at {decision.worse_level:.3g}, its share of {promotion.alpha / 2:g} for all looks."
        )
    if numbers.rows_needed and word == "inconclusive":
        why.append(_needed(numbers, promotion.alpha))
    why += [f"Guardrail {g.name} {'holds' if g.passed else 'fails'}: {g.said}." for g in guards]
    told = numbers.model_copy(
        update={
            "p_better": found.look.p_better,
            "p_worse": found.look.p_worse,
            "look": decision.look,
            "level": decision.level,
            "worse_level": decision.worse_level,
            "log_e_value": decision.log_e,
            "confidence": numbers.level,
            "decisive": decisive,
            "rows": rows,
        }
    )
    return Verdict(
        verdict=word,
        sentence=sentence,
        rule=decision.rule,
        champion=who.champion,
        challenger=who.challenger,
        n=n,
        tests=found.tests,
        evidence=told,
        why=why,
        warnings=found.warnings,
        guardrails=guards,
        policy=promotion.model_dump(mode="json"),
        state=state,
    )


def _needed(numbers: Evidence, alpha: float) -> str:
    """How many rows would have told, with a chance of 80%."""
    need = numbers.rows_needed
    small, middle, large = need
    single = f"In a single comparison at {alpha * 100:g}%"
    if numbers.metric == "accuracy":
        return (
            f"{single}, a difference of half a point would show after {need[small]:,} labelled rows, one point after "
            f"{need[middle]:,}, two points after {need[large]:,}."
        )
    name = called(numbers.metric)
    if higher_is_better(numbers.metric):
        return (
            f"{single}, a difference of {small} in {name} would show after {need[small]:,} labelled rows, of {middle} "
            f"after {need[middle]:,}, of {large} after {need[large]:,}."
        )
    return (
        f"{single}, with errors as scattered as here, a difference of 1% in {name} would show after {need[small]:,} "
        f"labelled rows, of 2% after {need[middle]:,}, of 5% after {need[large]:,}."
    )


def _said(numbers: Evidence, n: int) -> str:
    assert numbers.interval is not None
    assert numbers.difference is not None
    low, high = numbers.interval
    if numbers.metric == "accuracy":
        assert numbers.table is not None
        b, c = numbers.table.challenger_alone, numbers.table.champion_alone
        d = numbers.difference * 100
        gap = f"{abs(d):.2f} points {'more' if d > 0 else 'less'} accurate" if d else "as accurate"
        return (
            f"on {n:,} unseen rows the challenger alone is right on {b:,}, the champion alone on {c:,}; it is {gap} "
            f"(95% interval {low * 100:.2f} to {high * 100:.2f})"
        )
    one, two = numbers.challenger, numbers.champion
    assert one is not None
    assert two is not None
    spread = max(abs(v) for v in (high - low, numbers.difference, 1e-12))
    digits = _digits(spread)
    lower = "" if higher_is_better(numbers.metric) else "; lower is better"
    return (
        f"on {n:,} unseen rows the challenger's {called(numbers.metric)} is {one:.{digits}f}, the champion's "
        f"{two:.{digits}f}: {_signed(numbers.difference, digits)} (95% interval {_signed(low, digits, plus=False)} to "
        f"{_signed(high, digits, plus=False)}{lower})"
    )


def _digits(spread: float) -> int:
    """Decimals that show a spread with two digits: none from 100 on, else at least three, at most nine.

    >>> [_digits(spread) for spread in (100.0, 99.0, 0.02, 3e-4, 1e-12)]
    [0, 3, 3, 5, 9]
    """
    from math import floor, log10

    return min(9, max(0 if spread >= 100 else 3, 1 - floor(log10(spread))))


def _signed(value: float, digits: int, plus: bool = True) -> str:
    text = f"{abs(value):.{digits}f}"
    nought = not text.strip("0.")
    return text if nought else ("−" if value < 0 else "+" if plus else "") + text


def _number(value: float | None) -> str:
    return "undefined" if value is None else f"{value:.4g}"
