"""The promotion policy as a function of numbers: what is spent, what goes on, what is remembered."""

import json

import numpy as np
import pytest

from tasks.compare.policy import EMPTY, NOTHING, Look, WeighedRows, decide, read_state
from tasks.errors import RefitError
from tasks.paired import ContingencyTable, familywise, mcnemar, over_champions
from tasks.params import Promotion


def part(b, c, same=1000):
    """Rows of which the challenger alone is right on ``b``, the champion alone on ``c``."""
    table = ContingencyTable(same, b, c, 0)
    return WeighedRows(
        mcnemar(table).p_better, mcnemar(ContingencyTable(same, c, b, 0)).p_better, table.n, (b, c, same)
    )


def look(b, c, same=1000, new=None):
    """A comparison with ``b`` wins, ``c`` losses; ``new`` is the part of them on rows not seen before."""
    fresh = part(*(new or (b, c, same)))
    return Look("accuracy", (b - c) / (b + c + same), part(b, c, same), NOTHING if new == (0, 0, 0) else fresh)


def test_a_clear_gain_is_promoted_and_a_slight_one_is_not():
    strong = decide(look(90, 30), EMPTY, Promotion(), "new", "old")
    slight = decide(look(60, 42), EMPTY, Promotion(), "new", "old")
    assert strong.promote
    assert not slight.promote
    assert strong.level == pytest.approx(float(familywise(0.05, 1)))
    assert slight.state.looks == 1
    assert slight.state.promoted == []


def test_each_challenger_spends_less_than_the_one_before():
    state, levels = EMPTY, []
    for week in range(30):
        decision = decide(look(50, 50), state, Promotion(), f"challenger-{week}", "old")
        state = decision.state
        levels.append(decision.level)
    assert levels == sorted(levels, reverse=True)
    assert sum(levels) < 0.05
    assert state.looks == 30


def test_the_same_challenger_goes_on_betting_with_new_rows_only():
    policy = Promotion()
    first = decide(look(120, 90), EMPTY, policy, "same", "old")
    assert not first.promote
    again = decide(look(120, 90, new=(0, 0, 0)), first.state, policy, "same", "old")
    assert (again.look, again.level) == (first.look, first.level)
    assert [len(d.why) for d in (first, again)] == [1, 2]
    assert "The same challenger was compared before" in again.why[1]
    assert again.log_e == pytest.approx(first.log_e)  # nothing new was seen
    better = decide(look(300, 200, new=(180, 100, 900)), first.state, policy, "same", "old")
    assert better.log_e > first.log_e + 2
    assert better.state.looks == 1
    other = decide(look(120, 90), first.state, policy, "other", "old")
    assert other.state.looks == 2


def test_a_line_of_challengers_adds_up_until_it_wins():
    policy, state, promoted_at = Promotion(evidence="line"), EMPTY, None
    for week in range(1, 20):
        decision = decide(look(65, 45), state, policy, f"challenger-{week}", "old")
        state = decision.state
        if decision.promote:
            promoted_at = week
            break
        assert state.process.weeks == week
    assert promoted_at is not None
    assert promoted_at > 1  # no single week would do
    assert state.process is None
    following = decide(look(65, 45), state, policy, "next", "challenger-x")
    assert following.level == pytest.approx(float(over_champions(0.05, 2)))


def test_a_line_that_won_waits_for_a_challenger_that_is_better_itself():
    policy = Promotion(evidence="line")
    state = decide(look(70, 45), EMPTY, policy, "a", "old").state
    bets = state.process
    won = bets.sums.model_copy(update={"counts": [1200, 800, 0]})
    state = state.model_copy(update={"process": bets.model_copy(update={"sums": won})})
    decision = decide(look(40, 45), state, policy, "b", "old")
    assert not decision.promote
    assert any("waits for the next one" in line for line in decision.why)
    assert decide(look(50, 45), state, policy, "c", "old").promote


def test_a_new_champion_starts_the_line_anew():
    policy = Promotion(evidence="line")
    state = decide(look(60, 45), EMPTY, policy, "a", "old").state
    assert decide(look(60, 45), state, policy, "b", "other champion").state.process.weeks == 1


@pytest.mark.parametrize("method", ["lord", "saffron"])
def test_false_discovery_rate_earns_by_promotions(method):
    policy = Promotion(error="fdr", fdr=method)
    first = decide(look(90, 30), EMPTY, policy, "a", "old")
    assert first.promote
    assert first.state.promoted == [1]
    after = decide(look(50, 50), first.state, policy, "b", "a")
    without = decide(look(50, 50), EMPTY.model_copy(update={"looks": 1}), policy, "b", "a")
    assert after.level > without.level


@pytest.mark.parametrize("evidence", ["challenger", "line"])
def test_a_capital_just_short_of_the_level_is_not_enough(evidence):
    policy, said = Promotion(evidence=evidence), set()
    for b in range(90, 250):
        found = look(b, 90)
        if evidence == "challenger":  # the stake on the first test is lost, so that the bets alone count
            found = Look(found.claim, found.gain, WeighedRows(1.0, 1.0, found.all.rows, found.all.counts), found.new)
        decision = decide(found, EMPTY, policy, "new", "old")
        assert decision.promote == (decision.log_e >= -np.log(decision.level) - 1e-9)
        said.add(decision.promote)
    assert said == {False, True}


def test_a_stake_that_won_is_enough_however_the_bets_went():
    lost = WeighedRows(0.0001, 1.0, 20_000, (10, 9_000, 10_990))
    decision = decide(Look("accuracy", 0.01, lost, lost), EMPTY, Promotion(), "new", "old")
    assert decision.log_e == pytest.approx(-np.log(decision.level), abs=1e-12)
    assert decision.promote


def test_each_run_is_plain_mcnemar():
    policy = Promotion(control="each_run")
    assert decide(look(40, 60), EMPTY, policy, "new", "old").why[0] == "p = 1 against 0.05, at each run anew."
    found = look(62, 40)
    decision = decide(found, EMPTY.model_copy(update={"looks": 40}), policy, "new", "old")
    assert decision.promote == (mcnemar(ContingencyTable(1000, 62, 40, 0)).p <= 0.05) is True
    assert not decide(look(40, 62), EMPTY, policy, "new", "old").promote


def test_non_inferiority_promotes_an_equal_model():
    policy = Promotion(rule="non_inferiority", margin=0.02)
    table = ContingencyTable(9000, 100, 100, 800)
    from scipy.stats import norm

    from tasks.paired import margin_z

    rows = WeighedRows(float(norm.sf(margin_z(table, 0.02))), 0.5, 9900, (100, 100, 9700))
    equal = Look("accuracy", 0.0, rows, rows)
    assert decide(equal, EMPTY, policy, "new", "old").promote
    assert not decide(look(100, 100, 9800), EMPTY, Promotion(), "new", "old").promote


def test_the_state_is_json_and_comes_back():
    state = decide(look(60, 42), EMPTY, Promotion(), "new", "old").state
    assert read_state(json.loads(json.dumps(state.to_dict()))) == state
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
        state = EMPTY
        for week in range(52):
            b = int(rng.binomial(200, 0.5))
            decision = decide(look(b, 200 - b, 1800), state, policy, f"c{week}", "old")
            state = decision.state
            promoted += decision.promote
    assert promoted <= 2


def scored(p_better, p_worse, rows=1000, new=None, gain=0.01, claim="roc_auc"):
    """A comparison that is not about right and wrong; ``new``: p-values and rows of those not counted before."""
    every = WeighedRows(p_better, p_worse, rows)
    return Look(claim, gain, every, every if new is None else WeighedRows(*new))


LEVEL, HALF = float(familywise(0.05, 1)), float(familywise(0.025, 1))


@pytest.mark.parametrize(
    ("p_better", "p_worse", "promote", "worse"),
    [
        (0.89 * LEVEL, 1.0, True, False),
        (1.1 * LEVEL, 1.0, False, False),
        (0.5, 0.5, False, False),
        (1.0, 0.89 * HALF, False, True),
        (1.0, 1.1 * HALF, False, False),
        (1.0, 0.02, False, False),  # what the level of every look used to be
    ],
)
def test_better_and_worse_each_spend_their_own_error(p_better, p_worse, promote, worse):
    found = decide(scored(p_better, p_worse), EMPTY, Promotion(), "new", "old")
    assert (found.promote, found.worse) == (promote, worse)
    assert found.level == pytest.approx(LEVEL)
    assert found.worse_level == pytest.approx(HALF) == pytest.approx(LEVEL / 2)


@pytest.mark.parametrize("policy", [{}, {"evidence": "line"}, {"error": "fdr"}])
def test_worse_costs_more_at_each_look(policy):
    state, levels = EMPTY, []
    for week in range(12):
        found = decide(scored(1.0, 0.02), state, Promotion(**policy), f"c{week}", "old")
        assert not found.worse
        levels.append(found.worse_level)
        state = found.state
    assert levels == [pytest.approx(float(familywise(0.025, k))) for k in range(1, 13)]
    assert decide(scored(1.0, 1e-7), state, Promotion(**policy), "last", "old").worse


def test_each_run_says_worse_at_half_its_level():
    policy = Promotion(control="each_run")
    for p, worse in ((0.024, True), (0.026, False)):
        found = decide(scored(1 - p, p), EMPTY, policy, "new", "old")
        assert (found.worse, found.promote, found.worse_level) == (worse, False, 0.025)
    for p, won in ((0.024, True), (0.026, False)):  # two-sided: twice this
        assert decide(scored(p, 1 - p), EMPTY, policy, "new", "old").promote is won
    one_sided = Promotion(control="each_run", rule="non_inferiority", margin=0.01)
    assert decide(scored(0.049, 0.5), EMPTY, one_sided, "new", "old").promote
    assert not decide(scored(0.051, 0.5), EMPTY, one_sided, "new", "old").promote
    assert decide(scored(0.01, 0.5), EMPTY, policy, "new", "old").state.promoted == [1]


@pytest.mark.parametrize("how", [{"control": "each_run"}, {}, {"evidence": "line"}, {"error": "fdr"}])
def test_alpha_is_the_level_of_every_way_to_decide(how):
    """The p-value that suffices at alpha 0.2 does not at 1e-9, and levels are shares of alpha."""
    strict, lax = (decide(scored(1e-5, 1.0), EMPTY, Promotion(alpha=a, **how), "new", "old") for a in (1e-9, 0.2))
    assert (strict.promote, lax.promote) == (False, True)
    assert strict.level < lax.level <= 0.2
    assert strict.worse_level < lax.worse_level <= 0.1


def test_the_stake_is_on_the_first_test_alone():
    """A first p of 0.2; later looks at the same rows, however good their p, cannot win it back."""
    first = decide(scored(0.2, 0.8), EMPTY, Promotion(), "same", "old")
    peek = decide(scored(1e-6, 1.0, new=(1.0, 1.0, 0)), first.state, Promotion(), "same", "old")
    assert not peek.promote
    assert peek.log_e == pytest.approx(first.log_e)
    assert peek.look == 1
    down = decide(scored(0.2, 1e-9, new=(1.0, 1.0, 0)), first.state, Promotion(), "same", "old")
    assert not down.worse
    won = decide(scored(1e-6, 1.0), EMPTY, Promotion(), "same", "old")
    assert (
        decide(
            scored(0.9, 0.1, new=(1.0, 1.0, 0)), won.state.model_copy(update={"process": None}), Promotion(), "b", "old"
        ).look
        == 2
    )


def test_new_rows_of_the_same_challenger_are_bet_on():
    state = decide(scored(0.02, 0.98), EMPTY, Promotion(), "same", "old").state
    better = decide(scored(0.02, 0.98, new=(1e-5, 1.0, 1000)), state, Promotion(), "same", "old")
    worse = decide(scored(0.02, 0.98, new=(0.9, 0.1, 1000)), state, Promotion(), "same", "old")
    assert better.promote
    assert not worse.promote
    assert worse.log_e < better.log_e - 5
    state = decide(scored(0.98, 0.02), EMPTY, Promotion(), "same", "old").state
    assert decide(scored(0.5, 0.5, new=(1.0, 1e-6, 1000)), state, Promotion(), "same", "old").worse
    assert not decide(scored(0.5, 0.5, new=(1e-6, 1.0, 1000)), state, Promotion(), "same", "old").worse


def test_capital_of_scores_by_hand():
    """z of 1.5 on 1,000 rows and of 2.5 on 4,000: weights 1 and 2."""
    from scipy.stats import norm

    from tasks.paired import log_capital_of_scores, split_capital

    state = decide(scored(norm.sf(1.5), norm.sf(-1.5)), EMPTY, Promotion(), "same", "old").state
    sums = state.process.sums
    assert (sums.better, sums.worse, sums.squares, sums.unit) == pytest.approx((1.5, -1.5, 1.0, 1000))
    found = decide(scored(0.5, 0.5, new=(norm.sf(2.5), norm.sf(-2.5), 4000)), state, Promotion(), "same", "old")
    sums = found.state.process.sums
    assert (sums.better, sums.worse, sums.squares, sums.unit) == pytest.approx((6.5, -6.5, 5.0, 1000))
    assert found.log_e == pytest.approx(float(split_capital(log_capital_of_scores(6.5, 5.0), norm.sf(1.5), LEVEL)))


def test_counts_by_hand():
    from tasks.paired import log_capital, split_capital

    state = decide(look(70, 50, 900), EMPTY, Promotion(), "same", "old").state
    assert state.process.sums.counts == [70, 50, 900]
    found = decide(look(90, 60, 950, new=(20, 10, 50)), state, Promotion(), "same", "old")
    assert found.state.process.sums.counts == [90, 60, 950]
    first = mcnemar(ContingencyTable(900, 70, 50, 0)).p_better
    assert found.log_e == pytest.approx(float(split_capital(log_capital(90, 60, 950), first, LEVEL)))


def test_the_margin_enters_the_bets():
    rows = WeighedRows(0.9, 0.1, 10_000, (100, 120, 9780))
    even = Look("accuracy", 0.01, rows, rows)
    with_margin = decide(even, EMPTY, Promotion(rule="non_inferiority", margin=0.02), "new", "old")
    without = decide(even, EMPTY, Promotion(), "new", "old")
    assert with_margin.log_e > without.log_e + 2


@pytest.mark.parametrize(
    "change", [{"challenger": "other"}, {"champion": "other"}, {"claim": "log_loss"}, {"claim": "roc_auc, margin 0.1"}]
)
def test_another_challenger_champion_or_claim_starts_anew(change):
    state = decide(scored(0.02, 0.98), EMPTY, Promotion(), "same", "old").state
    found = decide(
        scored(0.5, 0.5, new=(1e-5, 1.0, 1000), claim=change.get("claim", "roc_auc")), state, Promotion(),
        change.get("challenger", "same"), change.get("champion", "old"),
    )  # fmt: skip
    assert found.look == 2
    assert found.state.looks == 2
    assert found.state.process.first.better == 0.5
    assert found.state.process.sums.squares == 1.0


def test_a_line_goes_on_with_new_rows_by_one_claim_against_one_champion():
    policy = Promotion(evidence="line")
    state = decide(scored(0.1, 0.9), EMPTY, policy, "a", "old").state
    assert (state.process.weeks, state.process.sums.squares) == (1, 1.0)
    again = decide(scored(1e-9, 1.0, new=(0.1, 0.9, 1000)), state, policy, "b", "old")
    assert again.state.process.weeks == 2
    assert again.state.process.sums.better == pytest.approx(2 * 1.2816, abs=1e-3)
    assert 0 < state.looks < again.state.looks == 2
    assert again.log_e > decide(scored(0.1, 0.9), EMPTY, policy, "a", "old").log_e > 0.2
    for claim, champion in (("log_loss", "old"), ("roc_auc", "other")):
        other = decide(scored(0.1, 0.9, claim=claim), state, policy, "b", champion)
        assert other.state.process.weeks == 1
        assert other.state.process.sums.squares == 1.0


def test_a_line_adds_up_small_gains_of_any_metric():
    policy, state, promoted_at = Promotion(evidence="line"), EMPTY, None
    for week in range(1, 15):
        found = decide(scored(0.1, 0.9), state, policy, f"c{week}", "old")
        assert found.level == 0.025
        state = found.state
        if found.promote:
            promoted_at = week
            break
    assert promoted_at is not None
    assert 3 <= promoted_at <= 9
    assert state.promoted == [promoted_at]
    losing = EMPTY
    for week in range(20):
        losing = decide(scored(0.9, 0.1), losing, policy, f"c{week}", "old").state
    assert losing.promoted == []


def test_a_line_without_new_rows_stands_still():
    policy = Promotion(evidence="line")
    first = decide(scored(0.02, 0.98), EMPTY, policy, "a", "old")
    still = decide(scored(1e-9, 1.0, new=(1.0, 1.0, 0)), first.state, policy, "b", "old")
    assert still.log_e == pytest.approx(first.log_e)
    assert not still.worse
    waits = decide(scored(0.5, 0.5, new=(1e-9, 1.0, 1000), gain=-0.001), first.state, policy, "b", "old")
    assert not waits.promote
    assert "waits for the next one" in waits.why[-1]
    assert decide(scored(0.5, 0.5, new=(1e-9, 1.0, 1000), gain=0.001), first.state, policy, "b", "old").promote


@pytest.mark.parametrize(("method", "other"), [("lord", "saffron"), ("saffron", "lord")])
def test_discovery_by_its_own_rule_on_new_rows_only(method, other):
    from tasks.paired import lord, saffron

    state = EMPTY.model_copy(update={"looks": 6, "promoted": [3], "candidates": [1, 3, 5]})
    levels = {"lord": lord(0.05, 7, [3]), "saffron": saffron(0.05, 7, [3], [1, 3, 5])}
    policy = Promotion(error="fdr", fdr=method)
    for factor, won in ((0.99, True), (1.01, False)):
        p = levels[method] * factor
        found = decide(scored(1.0, 1.0, new=(p, 1 - p, 800)), state, policy, "new", "old")
        assert found.promote is won
        assert found.level == pytest.approx(levels[method]) != pytest.approx(levels[other])
        assert found.state.looks == 7
        assert found.state.candidates == [1, 3, 5, 7]
        assert found.state.promoted == ([3, 7] if won else [3])
    assert not decide(scored(1e-12, 1.0, new=(0.6, 0.4, 800)), state, policy, "new", "old").promote
    assert decide(scored(1e-12, 1.0, new=(0.6, 0.4, 800)), state, policy, "new", "old").state.candidates == [1, 3, 5]
    assert "LORD++" in found.rule if method == "lord" else "SAFFRON" in found.rule


@pytest.mark.parametrize("method", ["lord", "saffron"])
def test_too_few_new_rows_spend_nothing(method):
    state = EMPTY.model_copy(update={"looks": 6, "promoted": [3], "candidates": [1, 3, 5]})
    found = decide(scored(1e-12, 1.0, new=(1.0, 1.0, 0)), state, Promotion(error="fdr", fdr=method), "new", "old")
    assert not found.promote
    assert not found.worse
    assert found.state == state
    assert "spends nothing" in found.why[0]


def test_candidates_are_counted_once():
    first = decide(scored(0.4, 0.6), EMPTY, Promotion(), "same", "old")
    assert first.state.candidates == [1]
    again = decide(scored(0.4, 0.6), first.state, Promotion(), "same", "old")
    assert again.state.candidates == [1]
    assert decide(scored(0.5, 0.5), first.state, Promotion(), "b", "old").state.candidates == [1, 2]
    assert decide(scored(0.51, 0.49), first.state, Promotion(), "b", "old").state.candidates == [1]


def test_a_promotion_ends_the_bets():
    won = decide(scored(1e-6, 1.0), EMPTY, Promotion(), "new", "old")
    assert won.state.process is None
    assert won.state.promoted == [1]
    assert decide(scored(0.3, 0.7), EMPTY, Promotion(), "new", "old").state.process.challenger == "new"


def test_a_state_of_format_1_is_taken_on_without_its_bets():
    old = {
        "format": 1, "looks": 7, "promoted": [2], "candidates": [1, 2, 5], "seen_until": "2024-03-01T00:00:00+00:00",
        "process": {"look": 7, "level": 0.001, "first_p": 0.1, "challenger": "a", "champion": "b", "counts": [3, 2, 9],
                    "total": 1.0, "squares": 5.0, "unit": 1.0},
    }  # fmt: skip
    found = read_state(json.loads(json.dumps(old)))
    assert found.to_dict() == {
        "format": 2, "looks": 7, "promoted": [2], "candidates": [1, 2, 5], "process": None,
        "counted_until": "2024-03-01T00:00:00+00:00",
    }  # fmt: skip
    assert "counted_until" not in read_state({**old, "seen_until": None}).to_dict()
    after = decide(scored(0.3, 0.7), found, Promotion(), "a", "b")
    assert after.look == 8
    assert after.state.counted_until == "2024-03-01T00:00:00+00:00"
    assert read_state({**EMPTY.to_dict(), "looks": 3, "kept": "as it is"}).to_dict()["kept"] == "as it is"


def test_extreme_p_values_do_not_end_the_bets():
    state = decide(scored(1.0, 0.0), EMPTY, Promotion(evidence="line"), "a", "old").state
    assert np.isfinite(state.process.sums.better)
    assert np.isfinite(state.process.sums.worse)


def test_the_rule_says_what_is_promised():
    said = {
        "each challenger by itself": Promotion(),
        "the line of challengers as one": Promotion(evidence="line"),
        "each run by itself": Promotion(control="each_run"),
        "of all promotions at most 5% wrong (LORD++)": Promotion(error="fdr"),
    }
    for words, policy in said.items():
        rule = decide(scored(0.3, 0.7), EMPTY, policy, "new", "old").rule
        assert words in rule
        assert rule.startswith("superiority; ")
    margin = Promotion(rule="non_inferiority", margin=0.01)
    assert decide(scored(0.3, 0.7), EMPTY, margin, "new", "old").rule.startswith("non-inferiority (margin 0.01); ")
