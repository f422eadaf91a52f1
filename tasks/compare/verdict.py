"""The verdict: what is decided, in one plain sentence, with everything that it rests on."""

from __future__ import annotations

from typing import Any

from tasks.compare.evidence import Evidence
from tasks.compare.policy import Decision
from tasks.params import Promotion


def same_model(n: int, about: dict[str, Any], state: dict[str, Any]) -> dict[str, Any]:
    """The challenger is the champion, byte for byte: nothing to decide."""
    return {
        "verdict": "keep",
        "sentence": "Keep the champion: the challenger is the same package.",
        "rule": "identical packages",
        **about,
        "n": n,
        "tests": {},
        "evidence": {},
        "why": [],
        "warnings": [],
        "guardrails": [],
        "state": state,
    }


def refused(why: str, n: int, about: dict[str, Any], state: dict[str, Any]) -> dict[str, Any]:
    """The two models cannot be compared: no score was looked at, and the champion stays."""
    return {
        **same_model(n, about, state),
        "verdict": "inconclusive",
        "sentence": f"Keep the champion: the two cannot be compared, since {why}",
        "rule": "no comparison",
    }


def hold(out: dict[str, Any], reasons: list[str], remedy: str) -> dict[str, Any]:
    """A verdict that does not promote by itself, for ``reasons``; without any, or where nothing is promoted, as it was."""
    if not reasons:
        return out
    out = {**out, "warnings": [*out["warnings"], *(f"{reason[:1].upper()}{reason[1:]}." for reason in reasons)]}
    if out["verdict"] != "promote":
        return out
    state = {**out["state"], "promoted": [k for k in out["state"]["promoted"] if k != out["evidence"].get("look")]}
    sentence = f"Not promoted by itself: {reasons[0]}. {remedy}. Otherwise: {out['sentence']}"
    return {**out, "verdict": "inconclusive", "sentence": sentence, "state": state}


def first(found: dict[str, Any], n: int, metric: str, alpha: float, guards: list[dict[str, Any]],
          about: dict[str, Any], state: dict[str, Any]) -> dict[str, Any]:  # fmt: skip
    """No champion yet: promote if better than no model, and not by luck."""
    beats = found["p"] <= alpha
    failed = [g for g in guards if not g["passed"]]
    values = f"{metric} {_number(found['challenger'])} against {_number(found['baseline'])} without a model"
    if beats and not failed:
        verdict = "promote"
        sentence = f"Promote: there is no champion yet, and the challenger beats {found['what']} on {n:,} unseen rows ({values})."
    elif beats:
        verdict = "keep"
        sentence = f"Do not promote: the challenger beats {found['what']}, but fails the guardrail {failed[0]['name']}: {failed[0]['said']}."
    else:
        verdict = "inconclusive"
        sentence = (
            f"Do not promote: on {n:,} unseen rows the challenger is not shown to beat {found['what']} ({values})."
        )
    return {
        "verdict": verdict,
        "sentence": sentence,
        "rule": f"no champion: better than {found['what']}, one-sided {alpha:g}",
        **about,
        "n": n,
        "tests": found["tests"],
        "evidence": {
            "metric": metric, "decided_by": found["decided_by"], "p": found["p"],
            "challenger": found["challenger"], "baseline": found["baseline"],
        },
        "why": [f"One-sided p {'< 0.0001' if found['p'] < 1e-4 else '= ' + format(found['p'], '.3g')} by {found['tests'][found['decided_by']]['name']}, against {alpha:g}."],
        "warnings": [],
        "guardrails": guards,
        "state": state,
    }  # fmt: skip


def compared(evidence: Evidence, decision: Decision, promotion: Promotion, guards: list[dict[str, Any]], n: int,
             about: dict[str, Any], decisive: bool, rows: dict[str, int]) -> dict[str, Any]:  # fmt: skip
    """Challenger against champion; ``decisive``: the rows did not help to choose the champion."""
    failed = [g for g in guards if not g["passed"]]
    worse = evidence.look.p_worse <= promotion.alpha / 2
    said = _said(evidence, n)
    if decision.promote and not failed:
        verdict, sentence = "promote", f"Promote: {said}."
        if promotion.rule == "non_inferiority":
            sentence = f"Promote: {said}, which is shown to be at most the margin of {promotion.margin:g} worse."
    elif decision.promote:
        verdict = "keep"
        sentence = f"Keep the champion: {said}, but the guardrail {failed[0]['name']} fails: {failed[0]['said']}."
    elif worse and decisive and promotion.rule == "superiority":
        verdict, sentence = "keep", f"Keep the champion: {said}."
    else:
        verdict = "inconclusive"
        sentence = f"Keep the champion for now: {said}, which is not enough to tell."
    state = decision.state
    if decision.promote and failed:  # not promoted after all: the look is spent, no promotion is earned
        state = {**state, "promoted": [k for k in state["promoted"] if k != decision.look]}
    why = list(decision.why)
    if "rows_needed" in evidence.numbers and verdict == "inconclusive":
        why.append(_needed(evidence.numbers, promotion.alpha))
    why += [f"Guardrail {g['name']} {'holds' if g['passed'] else 'fails'}: {g['said']}." for g in guards]
    return {
        "verdict": verdict,
        "sentence": sentence,
        "rule": decision.rule,
        **about,
        "n": n,
        "tests": evidence.tests,
        "evidence": {
            **evidence.numbers,
            "p_better": evidence.look.p_better,
            "p_worse": evidence.look.p_worse,
            "look": decision.look,
            "level": decision.level,
            "log_e_value": decision.log_e,
            "confidence": evidence.numbers["level"],
            "rows": rows,
        },
        "why": why,
        "warnings": evidence.warnings,
        "guardrails": guards,
        "policy": promotion.model_dump(mode="json"),
        "state": state,
    }


def _needed(numbers: dict[str, Any], alpha: float) -> str:
    """How many rows would have told, with a chance of 80%."""
    need, single = numbers["rows_needed"], f"In a single comparison at {alpha * 100:g}%"
    if "table" in numbers:
        return (
            f"{single}, a difference of half a point would show after {need['0.005']:,} labelled rows, one point after "
            f"{need['0.01']:,}, two points after {need['0.02']:,}."
        )
    return (
        f"{single}, with losses as scattered as here, a mean loss that differs by 1% would show after {need['0.01']:,} "
        f"labelled rows, by 2% after {need['0.02']:,}, by 5% after {need['0.05']:,}."
    )


def _said(evidence: Evidence, n: int) -> str:
    numbers = evidence.numbers
    low, high = numbers["interval"]
    if "table" in numbers:
        b, c = numbers["table"]["challenger_alone"], numbers["table"]["champion_alone"]
        d = numbers["difference"] * 100
        side = "more" if d > 0 else "fewer"
        gap = f"{abs(d):.2f} points {side} accurate" if d else "as accurate"
        gap = gap.replace("fewer accurate", "less accurate")
        return (
            f"on {n:,} unseen rows the challenger alone is right on {b:,}, the champion alone on {c:,}; it is {gap} "
            f"(95% interval {low * 100:.2f} to {high * 100:.2f})"
        )
    one, two = numbers["loss"]["challenger"], numbers["loss"]["champion"]
    return f"on {n:,} unseen rows the challenger's mean loss is {one:.5g}, the champion's {two:.5g}"


def _number(value: float | None) -> str:
    return "undefined" if value is None else f"{value:.4g}"
