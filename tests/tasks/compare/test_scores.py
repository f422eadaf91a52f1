"""Scores of two models made to speak of the same classes, and columns whose values a champion no longer knows."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from tasks.compare.scores import Incomparable, align, unknown_levels

P = np.array([0.2, 0.4, 0.6, 0.8])
TWO = np.column_stack([1 - P, P])


def test_equal_classes_stay_as_they_are() -> None:
    found = align(np.array([0.0, 1, 1, 0]), TWO, TWO, ("no", "yes"), ("no", "yes"), 0.3)
    assert found.champion is TWO
    assert (found.threshold, found.warnings, found.keep.all()) == (0.3, [], True)


@pytest.mark.parametrize("threshold", [0.2, 0.4, 0.5, 0.61, 0.8])
def test_a_positive_class_that_changed_turns_scores_and_threshold_round(threshold: float) -> None:
    theirs = TWO[:, ::-1]  # scores of (yes, no): the second column is "no"
    found = align(np.array([0.0, 1, 1, 0]), TWO, theirs, ("no", "yes"), ("yes", "no"), threshold)
    assert (found.champion == TWO).all()
    said_no = theirs[:, 1] >= threshold
    assert ((found.champion[:, 1] >= found.threshold) == ~said_no).all()
    assert "positive class is 'yes' now, and was 'no'" in found.warnings[0]


@pytest.mark.parametrize(
    ("mine", "theirs"),
    [(("0", "1"), ("no", "yes")), (("no", "yes"), ("no", "ja")), (("a", "b", "c"), ("a", "b", "d"))],
)
def test_renamed_classes_are_not_compared(mine: tuple[str, ...], theirs: tuple[str, ...]) -> None:
    scores = np.full((4, len(mine)), 1 / len(mine))
    with pytest.raises(Incomparable, match="classes were renamed, or it is another problem"):
        align(np.array([0.0, 1, 1, 0]), scores, scores, mine, theirs, 0.5)


THREE = np.array([[0.5, 0.3, 0.2], [0.1, 0.7, 0.2], [0.2, 0.2, 0.6], [0.0, 0.0, 1.0]])


def test_several_classes_in_another_order() -> None:
    found = align(np.array([0.0, 1, 2, 2]), THREE, THREE[:, [2, 0, 1]], ("a", "b", "c"), ("c", "a", "b"), 0.5)
    assert (found.champion == THREE).all()
    assert found.keep.all()


def test_rows_of_a_class_that_the_champion_does_not_know_are_left_out() -> None:
    found = align(np.array([0.0, 1, 2, 2]), THREE, TWO, ("a", "b", "c"), ("a", "b"), 0.5)
    assert found.keep.tolist() == [True, True, False, False]
    assert found.y[:2].tolist() == [0, 1]
    assert found.challenger[:2] == pytest.approx(np.array([[0.625, 0.375], [0.125, 0.875]]))
    assert (found.champion == TWO).all()
    assert found.challenger[3].tolist() == [0.5, 0.5]  # none of its probability is on these classes
    assert "does not know the class 'c': 2 rows of it are left out" in found.warnings[0]


def test_a_class_that_is_gone_leaves_the_others() -> None:
    found = align(np.array([0.0, 1, 1, 0]), TWO, THREE, ("a", "c"), ("a", "b", "c"), 0.5)
    assert found.keep.all()
    assert found.champion[0] == pytest.approx([0.5 / 0.7, 0.2 / 0.7])
    assert "The class 'b', which the champion knows, is not in the data" in found.warnings[0]
    with pytest.raises(Incomparable, match="with one class in common"):
        align(np.zeros(4), TWO, THREE, ("a",), ("a", "b", "c"), 0.5)


def levels(now: list[str], then: list[str]) -> list[dict]:
    return unknown_levels(pd.DataFrame({"code": now}, dtype="str"), pd.DataFrame({"code": then}, dtype="str"))


def test_a_column_written_otherwise_is_told() -> None:
    usual = [str(k % 20) for k in range(400)]
    assert levels(usual, usual) == []
    (found,) = levels([f"{k}.0" for k in usual], usual)
    assert "knows 0% of the values of 'code' in these rows: they are '0.0'" in found
    assert levels(usual[:210] + ["new"] * 190, usual) == []
    assert "knows 48% of the values" in levels(usual[:190] + ["new"] * 210, usual)[0]


def test_levels_that_an_older_package_wrote_otherwise_are_known() -> None:
    assert levels(["2024-01-31", "5"] * 50, ["2024-01-31 00:00:00", "5.0"] * 50) == []


def test_a_column_of_which_every_value_is_new_by_nature_is_not_told() -> None:
    assert levels([f"b{k}" for k in range(300)], [f"a{k}" for k in range(300)]) == []
    assert levels([], ["a"]) == levels(["a"], []) == []


def test_how_many_new_levels_are_ordinary_is_told_by_those_seen_once() -> None:
    then = ["usual"] * 100 + [f"once {k}" for k in range(100)]  # every second row is expected to be new
    assert levels(["usual"] * 26 + ["new"] * 74, then) == []
    assert "knows 24% of" in levels(["usual"] * 24 + ["new"] * 76, then)[0]
