"""The promotion policy: what this look may spend, what the evidence came to, and the state for the next look.

Everything here is a function of numbers and of a :class:`~tasks.artifacts.PolicyState`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from pydantic import JsonValue, ValidationError

from tasks.artifacts import ChallengerBets, FirstBet, LineBets, PolicyState, Sums
from tasks.errors import RefitError
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
from tasks.params import Promotion

EMPTY = PolicyState(format=2, looks=0, promoted=[], candidates=[], process=None)
ROUNDING = 1e-12  # log capitals so close are equal


@dataclass(frozen=True)
class WeighedRows:
    """What some rows say: the one-sided p-values of "no better" (than the margin) and of "no worse".

    ``rows`` how many they are; 0 where they are too few to be judged, and then both p are 1. ``counts``: rows where the
    challenger alone is right, the champion alone, or neither alone; None where that is not what decides.
    """

    p_better: float
    p_worse: float
    rows: int
    counts: tuple[int, int, int] | None = None


NOTHING = WeighedRows(1.0, 1.0, 0)


@dataclass(frozen=True)
class Look:
    """One comparison by one metric: all its rows, and those of them that no earlier look has counted.

    ``claim`` names what is judged (metric, margin, rows or clusters): bets on one claim do not count for another.
    ``gain`` is above 0 where the challenger is better than the margin on all rows.
    """

    claim: str
    gain: float
    all: WeighedRows
    new: WeighedRows

    @property
    def p_better(self) -> float:
        """Of all rows: small where the challenger is better than the margin."""
        return self.all.p_better

    @property
    def p_worse(self) -> float:
        """Of all rows: small where it is worse."""
        return self.all.p_worse


@dataclass(frozen=True)
class Decision:
    """What the policy says, and the numbers it goes by.

    ``worse``: the challenger may be called worse; that claim spends ``worse_level`` of an ``alpha / 2`` of its own.
    """

    promote: bool
    worse: bool
    rule: str
    look: int
    level: float
    worse_level: float
    log_e: float | None
    why: list[str]
    state: PolicyState


def read_state(state: JsonValue) -> PolicyState:
    """Check a state that was stored by an earlier run; None is the first look."""
    if state is None:
        return EMPTY
    try:
        return PolicyState.model_validate(
            {**EMPTY.to_dict(), "looks": None, **state} if isinstance(state, dict) else state
        )
    except ValidationError:
        raise RefitError(
            "data/champion/promotion.json: not a promotion state of this version of Refit. Run `refit run` to fetch "
            "it from the registry's history again."
        ) from None


def decide(look: Look, state: PolicyState, promotion: Promotion, challenger: str, champion: str) -> Decision:
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


def _each_run(look: Look, state: PolicyState, promotion: Promotion) -> Decision:
    """A plain test at the full level, each run anew: two-sided where superiority is asked for."""
    number = state.looks + 1
    p = min(1.0, 2 * look.p_better) if promotion.rule == "superiority" else look.p_better
    won = p <= promotion.alpha
    why = [
        f"p = {p:.4g} against {promotion.alpha:g}, at each run anew.",
        "Over many runs this errs more often than once in "
        f"{round(1 / promotion.alpha)}; promotion.control: anytime keeps count of the looks.",
    ]
    half = promotion.alpha / 2
    return Decision(won, look.p_worse <= half, _title(promotion, "each run by itself"), number, promotion.alpha, half,
                    None, why, _next(state, number, won, look.p_better, None))  # fmt: skip


def _discovery(look: Look, state: PolicyState, promotion: Promotion) -> Decision:
    """Online false-discovery rate over challengers, on rows that are new each time.

    Where too few rows are new nothing is tested, so that nothing is spent and the look does not count.
    """
    number = state.looks + 1
    if promotion.fdr == "lord":
        level, name = lord(promotion.alpha, number, state.promoted), "LORD++"
    else:
        level, name = saffron(promotion.alpha, number, state.promoted, state.candidates), "SAFFRON"
    rule = _title(promotion, f"of all promotions at most {promotion.alpha:.0%} wrong ({name})")
    half = float(familywise(promotion.alpha / 2, number))
    if look.new.rows == 0:
        why = [f"Too few rows are new since the last look; {name} tests nothing and spends nothing."]
        return Decision(False, False, rule, number, level, half, None, why, state.model_copy(update={"process": None}))
    p = look.new.p_better
    won = p <= level
    why = [
        f"Challenger {number} may spend {level:.3g} by {name}, after {len(state.promoted)} promotions; "
        f"its one-sided p on {look.new.rows:,} new rows is {p:.3g}."
    ]
    return Decision(won, look.new.p_worse <= half, rule, number, level, half, None, why,
                    _next(state, number, won, p, None))  # fmt: skip


def _challenger(look: Look, state: PolicyState, promotion: Promotion, challenger: str, champion: str) -> Decision:
    """Each challenger judged by itself, with the error spent over all challengers.

    Most of the capital is staked at once on this challenger's first test, the best bet if it is never seen
    again. The rest goes on with new rows if the same challenger is compared again
    (:func:`tasks.paired.split_capital`). "Worse" is bet on in the same way, with an error of its own.
    """
    bets = state.process
    if not isinstance(bets, ChallengerBets) or (bets.challenger, bets.champion, bets.claim) != (challenger, champion, look.claim):  # fmt: skip
        bets = None
    number = state.looks + 1 if bets is None else bets.look
    first = FirstBet(better=look.p_better, worse=look.p_worse) if bets is None else bets.first
    sums = _add(None, look.all) if bets is None else _add(bets.sums, look.new)
    level, half = float(familywise(promotion.alpha, number)), float(familywise(promotion.alpha / 2, number))
    if bets is not None:
        level, half = bets.level, bets.worse_level
    log_e = float(split_capital(_log_better(sums, promotion.margin), first.better, level))
    against = float(split_capital(_log_worse(sums), first.worse, half))
    won, worse = log_e >= -np.log(level) - ROUNDING, against >= -np.log(half) - ROUNDING
    why = [
        f"Challenger number {number} may spend {level:.3g} of the {promotion.alpha:g} that all challengers share; "
        f"the evidence needed is a capital of {1 / level:,.0f}, and it came to {_capital(log_e)}.",
    ]
    if bets is not None:
        why.append("The same challenger was compared before; only rows that were not seen then were added.")
    rule = _title(
        promotion, f"the chance ever to promote wrongly is at most {promotion.alpha:.0%}, each challenger by itself"
    )
    kept = ChallengerBets(look=number, level=level, worse_level=half, first=first, challenger=challenger,
                          champion=champion, claim=look.claim, sums=sums)  # fmt: skip
    return Decision(bool(won), bool(worse), rule, number, level, half, log_e, why,
                    _next(state, number, bool(won), look.p_better, kept))  # fmt: skip


def _line(look: Look, state: PolicyState, promotion: Promotion, champion: str) -> Decision:
    """All challengers since the champion took office judged as one line, on rows that are new each time.

    The hypothesis is that on average they were no better. The error is spent over champions.
    """
    bets = state.process
    if not isinstance(bets, LineBets) or (bets.champion, bets.claim) != (champion, look.claim):
        bets = None
    number = state.looks + 1
    level = float(over_champions(promotion.alpha, len(state.promoted) + 1))
    half = float(familywise(promotion.alpha / 2, number))
    sums = _add(None if bets is None else bets.sums, look.new)
    log_e = _log_better(sums, promotion.margin)
    weeks = 1 + (0 if bets is None else bets.weeks)
    enough = log_e >= -np.log(level) - ROUNDING
    won = enough and look.gain > 0
    why = [
        f"Since this champion took office {weeks} challengers were compared; the evidence needed that they are "
        f"better on average is a capital of {1 / level:,.0f}, and it came to {_capital(log_e)}.",
    ]
    if enough and not won:
        why.append("The line has won, but this challenger is not better on these rows; it waits for the next one.")
    rule = _title(
        promotion,
        f"the chance ever to promote wrongly is at most {promotion.alpha:.0%}, the line of challengers as one",
    )
    kept = LineBets(challenger=None, champion=champion, claim=look.claim, weeks=weeks, sums=sums)
    return Decision(bool(won), look.new.p_worse <= half, rule, number, level, half, log_e, why,
                    _next(state, number, bool(won), look.p_better, kept))  # fmt: skip


def _add(sums: Sums | None, part: WeighedRows) -> Sums:
    """The bets so far and those on ``part``. ``unit``: rows of the first part, by which later ones are weighed.

    Right and wrong answers are counted. Anything else brings one p-value a look, whose normal score is bet on.
    """
    if sums is None:
        sums = Sums(counts=None, better=0.0, worse=0.0, squares=0.0, unit=0)
    if part.rows == 0:
        return sums
    if part.counts is not None:
        before = sums.counts or [0, 0, 0]
        return sums.model_copy(update={"counts": [a + b for a, b in zip(before, part.counts, strict=True)]})
    unit = sums.unit or part.rows
    weight = float(np.sqrt(part.rows / unit))
    return Sums(
        counts=None,
        better=sums.better + weight * float(normal_score(part.p_better)),
        worse=sums.worse + weight * float(normal_score(part.p_worse)),
        squares=sums.squares + weight**2,
        unit=unit,
    )


def _log_better(sums: Sums, margin: float) -> float:
    if sums.counts is not None:
        b, c, same = sums.counts
        return float(log_capital(b, c, same, margin))
    return float(log_capital_of_scores(sums.better, sums.squares))


def _log_worse(sums: Sums) -> float:
    if sums.counts is not None:
        b, c, same = sums.counts
        return float(log_capital(c, b, same))
    return float(log_capital_of_scores(sums.worse, sums.squares))


def _capital(log_e: float) -> str:
    if log_e > np.log(1e6):
        return f"10^{log_e / np.log(10):.0f}"
    return f"{np.exp(log_e):,.3g}"


def _next(
    state: PolicyState, number: int, won: bool, p: float, process: ChallengerBets | LineBets | None
) -> PolicyState:
    """The state after this look. A promotion ends the bets: the next look has another champion."""
    fresh = number > state.looks
    return state.model_copy(
        update={
            "looks": max(state.looks, number),
            "promoted": [*state.promoted, number] if won else state.promoted,
            "candidates": [*state.candidates, number] if fresh and p <= 0.5 else state.candidates,
            "process": None if won else process,
        }
    )
