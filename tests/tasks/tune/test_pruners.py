"""Rules for stopping trials, on values written by hand."""

import pytest

from tasks.tune.pruners import first_look, should_stop

GOOD, FAIR, BAD = {10: 0.3, 30: 0.2}, {10: 0.5, 30: 0.4}, {10: 0.9, 30: 0.8}
OTHERS = {0: GOOD, 3: FAIR, 6: BAD}


def test_nothing_is_stopped_before_the_first_look_or_without_a_pruner():
    assert first_look(2) == 1
    assert first_look(100) == 25
    assert not should_stop("none", 9, {10: 9.0}, OTHERS, 10)
    for name in ("median", "halving", "hyperband"):
        assert not should_stop(name, 9, {10: 9.0}, dict.fromkeys(range(5), OTHERS[0]), 11)


def test_halving_lets_the_best_third_go_on_at_each_rung():
    assert not should_stop("halving", 9, {10: 0.2}, OTHERS, 10)
    assert should_stop("halving", 9, {10: 0.4}, OTHERS, 10)
    assert not should_stop("halving", 9, {10: 0.2, 20: 7.0}, OTHERS | {1: {20: 0.1}}, 10)  # between rungs
    assert should_stop("halving", 9, {10: 0.2, 30: 0.3}, OTHERS, 10)
    assert not should_stop("halving", 9, {10: 0.4}, {}, 10)  # alone, it is the best


def test_hyperband_compares_within_a_bracket_and_looks_later_in_the_next():
    assert should_stop("hyperband", 9, {10: 0.4}, OTHERS, 10)
    assert not should_stop("hyperband", 10, {10: 0.4}, {1: GOOD, 4: FAIR, 7: BAD}, 10)
    assert should_stop("hyperband", 10, {10: 0.4, 30: 0.4}, {1: GOOD, 4: FAIR, 7: BAD}, 10)
    assert not should_stop("hyperband", 10, {10: 0.4, 30: 0.4}, OTHERS, 10)  # all of another bracket


@pytest.mark.parametrize(("value", "stops"), [(0.45, False), (0.55, True)])
def test_median_needs_company(value: float, stops: bool):
    assert should_stop("median", 9, {10: value}, OTHERS | {1: FAIR}, 10) is stops
    assert not should_stop("median", 9, {10: value}, OTHERS, 10)
    assert not should_stop("median", 9, {5: 0.1, 10: value}, OTHERS | {1: FAIR}, 10)  # its best so far counts
