"""The promotion policy as a function of numbers: what is spent, what goes on, what is remembered."""

import json

import numpy as np
import pytest

from tasks.compare.policy import EMPTY, NOTHING, Look, Part, decide, read_state
from tasks.errors import RefitError
from tasks.paired import Table, familywise, mcnemar, over_champions
from tasks.params import Promotion


def part(b, c, same=1000):
    """Rows of which the challenger alone is right on ``b``, the champion alone on ``c``."""
    table = Table(same, b, c, 0)
    return Part(mcnemar(table).p_better, mcnemar(Table(same, c, b, 0)).p_better, table.n, (b, c, same))


def look(b, c, same=1000, new=None):
    """A comparison with ``b`` wins, ``c`` losses; ``new`` is the part of them on rows not seen before."""
    fresh = part(*(new or (b, c, same)))
    return Look("accuracy", (b - c) / (b + c + same), part(b, c, same), NOTHING if new == (0, 0, 0) else fresh)


def test_a_clear_gain_is_promoted_and_a_slight_one_is_not():
    strong = decide(look(90, 30), dict(EMPTY), Promotion(), "new", "old")
    slight = decide(look(60, 42), dict(EMPTY), Promotion(), "new", "old")
    assert strong.promote
    assert not slight.promote
    assert strong.level == pytest.approx(float(familywise(0.05, 1)))
    assert slight.state["looks"] == 1
    assert slight.state["promoted"] == []


def test_each_challenger_spends_less_than_the_one_before():
    state, levels = dict(EMPTY), []
    for week in range(30):
        decision = decide(look(50, 50), state, Promotion(), f"challenger-{week}", "old")
        state = decision.state
        levels.append(decision.level)
    assert levels == sorted(levels, reverse=True)
    assert sum(levels) < 0.05
    assert state["looks"] == 30


def test_the_same_challenger_goes_on_betting_with_new_rows_only():
    policy = Promotion()
    first = decide(look(120, 90), dict(EMPTY), policy, "same", "old")
    assert not first.promote
    again = decide(look(120, 90, new=(0, 0, 0)), first.state, policy, "same", "old")
    assert (again.look, again.level) == (first.look, first.level)
    assert again.log_e == pytest.approx(first.log_e)  # nothing new was seen
    better = decide(look(300, 200, new=(180, 100, 900)), first.state, policy, "same", "old")
    assert better.log_e > first.log_e + 2
    assert better.state["looks"] == 1
    other = decide(look(120, 90), first.state, policy, "other", "old")
    assert other.state["looks"] == 2


def test_a_line_of_challengers_adds_up_until_it_wins():
    policy, state, promoted_at = Promotion(evidence="line"), dict(EMPTY), None
    for week in range(1, 20):
        decision = decide(look(65, 45), state, policy, f"challenger-{week}", "old")
        state = decision.state
        if decision.promote:
            promoted_at = week
            break
        assert state["process"]["weeks"] == week
    assert promoted_at is not None
    assert promoted_at > 1  # no single week would do
    assert state["process"] is None
    following = decide(look(65, 45), state, policy, "next", "challenger-x")
    assert following.level == pytest.approx(float(over_champions(0.05, 2)))


def test_a_line_that_won_waits_for_a_challenger_that_is_better_itself():
    policy = Promotion(evidence="line")
    state = decide(look(70, 45), dict(EMPTY), policy, "a", "old").state
    state["process"]["sums"]["counts"] = [1200, 800, 0]
    decision = decide(look(40, 45), state, policy, "b", "old")
    assert not decision.promote
    assert any("waits for the next one" in line for line in decision.why)
    assert decide(look(50, 45), state, policy, "c", "old").promote


def test_a_new_champion_starts_the_line_anew():
    policy = Promotion(evidence="line")
    state = decide(look(60, 45), dict(EMPTY), policy, "a", "old").state
    assert decide(look(60, 45), state, policy, "b", "other champion").state["process"]["weeks"] == 1


@pytest.mark.parametrize("method", ["lord", "saffron"])
def test_false_discovery_rate_earns_by_promotions(method):
    policy = Promotion(error="fdr", fdr=method)
    first = decide(look(90, 30), dict(EMPTY), policy, "a", "old")
    assert first.promote
    assert first.state["promoted"] == [1]
    after = decide(look(50, 50), first.state, policy, "b", "a")
    without = decide(look(50, 50), {**EMPTY, "looks": 1}, policy, "b", "a")
    assert after.level > without.level


def test_each_run_is_plain_mcnemar():
    policy = Promotion(control="each_run")
    found = look(62, 40)
    decision = decide(found, {**EMPTY, "looks": 40}, policy, "new", "old")
    assert decision.promote == (mcnemar(Table(1000, 62, 40, 0)).p <= 0.05) is True
    assert not decide(look(40, 62), dict(EMPTY), policy, "new", "old").promote


def test_non_inferiority_promotes_an_equal_model():
    policy = Promotion(rule="non_inferiority", margin=0.02)
    table = Table(9000, 100, 100, 800)
    from scipy.stats import norm

    from tasks.paired import margin_z

    rows = Part(float(norm.sf(margin_z(table, 0.02))), 0.5, 9900, (100, 100, 9700))
    equal = Look("accuracy", 0.0, rows, rows)
    assert decide(equal, dict(EMPTY), policy, "new", "old").promote
    assert not decide(look(100, 100, 9800), dict(EMPTY), Promotion(), "new", "old").promote


def test_the_state_is_json_and_comes_back():
    state = decide(look(60, 42), dict(EMPTY), Promotion(), "new", "old").state
    assert read_state(json.loads(json.dumps(state))) == state
    assert read_state(None) == EMPTY
    for damaged in ({"format": 99, "looks": 1}, [], {"format": 2}):
        with pytest.raises(RefitError, match="not a promotion state"):
            read_state(damaged)


@pytest.mark.parametrize("evidence", ["challenger", "line"])
def test_simulated_projects_seldom_promote_by_chance(evidence):
    """20 projects of 52 weeks through the policy itself; plain McNemar would promote in 14 of them.

    The benchmark simulates 10,000 through the same functions.
    """
    rng = np.random.default_rng(0)
    policy, promoted = Promotion(evidence=evidence), 0
    for _ in range(20):
        state = dict(EMPTY)
        for week in range(52):
            b = int(rng.binomial(200, 0.5))
            decision = decide(look(b, 200 - b, 1800), state, policy, f"c{week}", "old")
            state = decision.state
            promoted += decision.promote
    assert promoted <= 2
