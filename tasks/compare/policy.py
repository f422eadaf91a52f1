"""The promotion policy: what this look may spend, what the evidence came to, and the state for the next look.

Everything here is a function of numbers; the state enters and leaves as a plain dictionary:

``looks`` how many challengers have been judged · ``promoted`` and ``candidates`` the numbers of the looks
that promoted, or had p <= 0.5 · ``seen_until`` newest row judged so far · ``process`` the bets that go on:
against which champion, by which challenger (null: a line of challengers), and the sums so far.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from tasks.errors import RefitError
from tasks.paired import familywise, log_capital, log_capital_of_sums, lord, over_champions, saffron, split_capital
from tasks.params import Promotion

FORMAT = 1
EMPTY: dict[str, Any] = {
    "format": FORMAT,
    "looks": 0,
    "promoted": [],
    "candidates": [],
    "seen_until": None,
    "process": None,
}


@dataclass(frozen=True)
class Gains:
    """What the challenger gained over the champion, as sums over independent units (rows, or clusters).

    ``b``, ``c``, ``same``: rows where the challenger alone is right, the champion alone, or neither; None where
    rows have losses instead. ``total`` and ``squares``: sum of the units' gains (margin included), and of
    their squares. ``unit``: the usual size of a gain.
    """

    counts: tuple[int, int, int] | None
    total: float
    squares: float
    unit: float


@dataclass(frozen=True)
class Look:
    """One comparison: the one-sided p-value of "no better", the gains of all rows and of the rows not seen before."""

    p_better: float
    p_worse: float
    p_two_sided: float
    gain: float
    all: Gains
    new: Gains


@dataclass(frozen=True)
class Decision:
    """What the policy says, and the numbers it goes by."""

    promote: bool
    rule: str
    look: int
    level: float
    log_e: float | None
    why: list[str]
    state: dict[str, Any]


def read_state(state: Any) -> dict[str, Any]:
    """Check a state that was stored by an earlier run; None is the first look."""
    if state is None:
        return dict(EMPTY)
    if not isinstance(state, dict) or state.get("format") != FORMAT or not isinstance(state.get("looks"), int):
        raise RefitError(
            "data/champion/promotion.json: not a promotion state of this version of Refit. Run `refit run` to fetch "
            "it from the registry's history again."
        )
    return {**EMPTY, **state}


def decide(look: Look, state: dict[str, Any], promotion: Promotion, challenger: str, champion: str) -> Decision:
    """Apply the policy to one look. ``challenger`` and ``champion`` are the packages' identities."""
    if promotion.control == "each_run":
        return _each_run(look, state, promotion)
    if promotion.evidence == "line":
        return _line(look, state, promotion, champion)
    if promotion.error == "fdr":
        return _discovery(look, state, promotion)
    return _challenger(look, state, promotion, challenger, champion)


def _title(promotion: Promotion, how: str) -> str:
    goal = "superiority" if promotion.rule == "superiority" else f"non-inferiority (margin {promotion.margin:g})"
    return f"{goal}; {how}"


def _each_run(look: Look, state: dict[str, Any], promotion: Promotion) -> Decision:
    """Plain McNemar (or its kin) at the full level, each run anew."""
    number = state["looks"] + 1
    p = look.p_two_sided if promotion.rule == "superiority" else look.p_better
    won = p <= promotion.alpha and look.p_better < 0.5
    why = [
        f"p = {p:.4g} against {promotion.alpha:g}, at each run anew.",
        "Over many runs this errs more often than once in "
        f"{round(1 / promotion.alpha)}; promotion.control: anytime keeps count of the looks.",
    ]
    return Decision(won, _title(promotion, "each run by itself"), number, promotion.alpha, None, why,
                    _next(state, number, won, look, None))  # fmt: skip


def _discovery(look: Look, state: dict[str, Any], promotion: Promotion) -> Decision:
    """Online false-discovery rate over challengers."""
    number = state["looks"] + 1
    if promotion.fdr == "lord":
        level, name = lord(promotion.alpha, number, state["promoted"]), "LORD++"
    else:
        level, name = saffron(promotion.alpha, number, state["promoted"], state["candidates"]), "SAFFRON"
    won = look.p_better <= level
    why = [
        f"Challenger {number} may spend {level:.3g} by {name}, after {len(state['promoted'])} promotions; "
        f"its one-sided p is {look.p_better:.3g}."
    ]
    rule = _title(promotion, f"of all promotions at most {promotion.alpha:.0%} wrong ({name})")
    return Decision(won, rule, number, level, None, why, _next(state, number, won, look, None))


def _challenger(look: Look, state: dict[str, Any], promotion: Promotion, challenger: str, champion: str) -> Decision:
    """Each challenger judged by itself, with the error spent over all challengers.

    Most of the capital is staked at once on this challenger's first test, the best bet if it is never seen
    again. The rest bets row by row, and goes on with new rows if the same challenger is compared again
    (:func:`tasks.paired.split_capital`).
    """
    process = state["process"]
    going_on = process is not None and process["challenger"] == challenger and process["champion"] == champion
    if going_on:
        number, level = process["look"], process["level"]
        sums, first_p = _sum(process, look.new), process["first_p"]
    else:
        number = state["looks"] + 1
        level = float(familywise(promotion.alpha, number))
        sums, first_p = _sum(None, look.all), look.p_better
    log_m = _log_m(sums, promotion.margin)
    log_e = float(split_capital(log_m, first_p, level))
    won = log_e >= -np.log(level) - 1e-12
    why = [
        f"Challenger number {number} may spend {level:.3g} of the {promotion.alpha:g} that all challengers share; "
        f"the evidence needed is a capital of {1 / level:,.0f}, and it came to {_capital(log_e)}.",
    ]
    if going_on:
        why.append("The same challenger was compared before; only rows that were not seen then were added.")
    rule = _title(
        promotion, f"the chance ever to promote wrongly is at most {promotion.alpha:.0%}, each challenger by itself"
    )
    kept = {
        "look": number,
        "level": level,
        "first_p": first_p,
        "challenger": challenger,
        "champion": champion,
        **sums,
    }
    return Decision(bool(won), rule, number, level, log_e, why, _next(state, number, bool(won), look, kept))


def _line(look: Look, state: dict[str, Any], promotion: Promotion, champion: str) -> Decision:
    """All challengers since the champion took office judged as one line, on rows that are new each time.

    The hypothesis is that on average they were no better. The error is spent over champions.
    """
    process = state["process"]
    going_on = process is not None and process["challenger"] is None and process["champion"] == champion
    number = state["looks"] + 1
    level = float(over_champions(promotion.alpha, len(state["promoted"]) + 1))
    sums = _sum(process if going_on else None, look.new)
    log_e = float(log_capital_of_sums(sums["total"] / sums["unit"], sums["squares"] / sums["unit"] ** 2))
    weeks = (process["weeks"] if going_on else 0) + 1
    won = log_e >= -np.log(level) - 1e-12 and look.gain > 0
    why = [
        f"Since this champion took office {weeks} challengers were compared; the evidence needed that they are "
        f"better on average is a capital of {1 / level:,.0f}, and it came to {_capital(log_e)}.",
    ]
    if log_e >= -np.log(level) and look.gain <= 0:
        why.append("The line has won, but this challenger is not better on these rows; it waits for the next one.")
    rule = _title(
        promotion,
        f"the chance ever to promote wrongly is at most {promotion.alpha:.0%}, the line of challengers as one",
    )
    kept = {"challenger": None, "champion": champion, "weeks": weeks, **sums}
    return Decision(bool(won), rule, number, level, log_e, why, _next(state, number, bool(won), look, kept))


def _sum(process: dict[str, Any] | None, gains: Gains) -> dict[str, Any]:
    """Sums of the bets so far and the new gains; the unit stays the first one."""
    if process is None:
        counts = None if gains.counts is None else list(gains.counts)
        return {"counts": counts, "total": gains.total, "squares": gains.squares, "unit": gains.unit}
    counts = None
    if process["counts"] is not None and gains.counts is not None:
        counts = [a + b for a, b in zip(process["counts"], gains.counts, strict=True)]
    return {
        "counts": counts,
        "total": process["total"] + gains.total,
        "squares": process["squares"] + gains.squares,
        "unit": process["unit"] if process["squares"] > 0 else gains.unit,
    }


def _log_m(sums: dict[str, Any], margin: float) -> float:
    if sums["counts"] is not None:
        b, c, same = sums["counts"]
        return float(log_capital(b, c, same, margin))
    return float(log_capital_of_sums(sums["total"] / sums["unit"], sums["squares"] / sums["unit"] ** 2))


def _capital(log_e: float) -> str:
    if log_e > np.log(1e6):
        return f"10^{log_e / np.log(10):.0f}"
    return f"{np.exp(log_e):,.3g}"


def _next(state: dict[str, Any], number: int, won: bool, look: Look, process: dict[str, Any] | None) -> dict[str, Any]:
    """The state after this look. A promotion ends the bets: the next look has another champion."""
    fresh = number > state["looks"]
    return {
        **state,
        "looks": max(state["looks"], number),
        "promoted": [*state["promoted"], number] if won else state["promoted"],
        "candidates": [*state["candidates"], number] if fresh and look.p_better <= 0.5 else state["candidates"],
        "process": None if won else process,
    }
