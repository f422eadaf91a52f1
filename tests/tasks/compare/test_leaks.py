"""A suspected leak turns promote into inconclusive until its column is accepted, and is seen in the verdict either way."""

from __future__ import annotations

from typing import Any

import pytest

from tasks.artifacts import Evidence, Suspicion, Verdict, Word
from tasks.compare.leaks import hold
from tasks.compare.policy import EMPTY
from tasks.errors import RefitError
from tasks.params import parse

ABOUT = {"feature": "f", "kind": "copy", "strength": 1.0, "certain": True}
SAID = "repeats the target: alone it tells it (AUC 1.000)"
COPY = Suspicion(column="refund", columns=["refund"], said=SAID, **ABOUT)
SPAN = Suspicion(column="closed", columns=["closed", "opened"], said="repeats the target with some noise", **ABOUT)


def verdict(word: Word = "promote") -> Verdict:
    state = EMPTY.model_copy(update={"promoted": [1, 3], "looks": 3})
    sentence = f"{word.title()}: said."
    return Verdict(verdict=word, sentence=sentence, warnings=["before"], evidence=Evidence(look=3), state=state)


def test_an_unaccepted_suspicion_stops_the_promotion_and_says_column_strength_and_remedy() -> None:
    out = hold(verdict(), [COPY], [])
    assert out.verdict == "inconclusive"
    for part in ("refund", "AUC 1.000", "promotion.accept: [refund]", "kind: ignore", "Promote: said."):
        assert part in out.sentence
    assert (out.state.promoted, out.state.looks) == ([1], 3)  # the look is spent, and earned nothing
    assert (out.suspicions, out.accepted) == ([COPY], [])


def test_an_accepted_one_lets_the_promotion_pass_and_stays_in_the_verdict() -> None:
    out = hold(verdict(), [COPY], ["refund"])
    assert (out.verdict, out.sentence) == ("promote", "Promote: said.")
    assert out.state == verdict().state
    assert (out.suspicions, out.accepted) == ([], [COPY])
    assert out.warnings == ["before", f"Accepted by promotion.accept: refund {SAID}."]


def test_one_of_two_accepted_is_not_enough() -> None:
    out = hold(verdict(), [COPY, SPAN], ["refund"])
    assert (out.verdict, out.suspicions, out.accepted) == ("inconclusive", [SPAN], [COPY])
    assert "promotion.accept: [closed]" in out.sentence
    both = hold(verdict(), [COPY, SPAN], []).sentence
    assert both.count("refund, closed") == 2
    assert f"a leak is suspected, refund {SAID} (and 1 more: refund, closed)" in both
    assert " more" not in hold(verdict(), [COPY], []).sentence
    assert hold(verdict(), [COPY, SPAN], ["refund", "opened"]).verdict == "promote"


@pytest.mark.parametrize("word", ["keep", "inconclusive"])
def test_what_would_not_be_promoted_anyway_keeps_its_word_and_says_it_too(word: Word) -> None:
    out = hold(verdict(word), [COPY], [])
    assert out.verdict == word
    assert out.state == verdict(word).state
    assert out.sentence.startswith(f"{word.title()}: said. Besides, a leak is suspected, refund repeats")


def test_without_suspicions_the_verdict_stays_and_without_a_look_it_says_so() -> None:
    assert hold(verdict(), [], ["refund"]).to_dict() == verdict().to_dict() | {"suspicions": [], "accepted": []}
    out = hold(verdict(), None, [])
    assert out.verdict == "promote"
    assert "No look for leaks was made" in out.warnings[-1]


def tree(*accept: str) -> dict[str, Any]:
    return {
        "problem": {"name": "m", "kind": "binary", "table": "t", "target": "y"},
        "data": {
            "tables": {
                "t": {"source": "t.csv", "columns": {"y": "categorical", "refund": "numeric", "who": "categorical"}},
                "people": {"source": "p.csv", "key": ["who"], "columns": {"who": "categorical", "risk": "numeric"}},
            }
        },
        "features": {"columns": ["refund"], "transforms": {"half": "refund / 2"}},
        "models": {"logistic": {}},
        "promotion": {"accept": list(accept)},
    }


def test_what_may_be_accepted() -> None:
    assert parse(tree("refund", "people.risk", "half")).promotion.accept == ("refund", "people.risk", "half")
    for wrong, right in (("refnd", "refund"), ("people.rsk", "people.risk")):
        with pytest.raises(RefitError, match=rf"promotion\.accept: '{wrong}' is not one of .*{right}"):
            parse(tree(wrong))
