"""Verdicts in words: what is said, kept and remembered, for every way a comparison can end."""

from dataclasses import replace

import numpy as np
import pytest

from tasks.artifacts import ComparedRows, Contender, Evidence, GuardrailResult
from tasks.compare.baseline import AgainstBaseline
from tasks.compare.evidence import gather
from tasks.compare.policy import EMPTY, decide
from tasks.compare.verdict import Contenders, compared, first, hold, refused, same_model
from tasks.params import Promotion
from tests.tasks.compare.pairs import decisions, graded, swapped

CHAMPION = Contender(version="3", package_sha256="0" * 64, family="x")
ABOUT = Contenders(CHAMPION, Contender(package_sha256="1" * 64, family="x"))
HOLDS = GuardrailResult(name="size_mb", limit=2.0, found=1.0, passed=True, said="the package has 1.0 MB")
FAILS = GuardrailResult(name="slice_drop", limit=0.1, found=0.2, passed=False, said="where a, the challenger is worse")


def judged(pair, metric="accuracy", guards=(), decisive=True, rows=None, state=None, **promotion):
    policy = Promotion(**promotion)
    evidence = gather(pair, policy, metric, np.ones(pair.n, dtype=bool), 0)
    decision = decide(evidence.look, EMPTY if state is None else state, policy, "new", "old")
    return compared(evidence, decision, policy, list(guards), pair.n, ABOUT, decisive, rows)


BETTER, WORSE, ALIKE = (decisions(800, b, c, 100) for b, c in ((70, 30), (30, 70), (52, 48)))


@pytest.mark.parametrize(
    ("pair", "guards", "decisive", "rule", "verdict", "words", "promoted"),
    [
        (BETTER, [], True, {}, "promote", "Promote: on 1,000 unseen rows the challenger alone is right on 70", [1]),
        (BETTER, [HOLDS], True, {}, "promote", "it is 4.00 points more accurate (95% interval ", [1]),
        (BETTER, [HOLDS, FAILS], True, {}, "keep", "but the guardrail slice_drop fails: where a, the challenger is worse.", []),
        (BETTER, [], False, {}, "promote", "Promote: on 1,000 unseen rows", [1]),
        (WORSE, [], True, {}, "keep", "Keep the champion: on 1,000 unseen rows the challenger alone is right on 30", []),
        (WORSE, [FAILS], True, {}, "keep", "4.00 points less accurate", []),
        (WORSE, [], False, {}, "inconclusive", "These rows helped to choose the champion, which favours it", []),
        (WORSE, [], True, {"rule": "non_inferiority", "margin": 0.01}, "inconclusive", "which is not enough to tell", []),
        (ALIKE, [], True, {}, "inconclusive", "Keep the champion for now: on 1,000 unseen rows", []),
        (ALIKE, [], False, {}, "inconclusive", "nothing is said against the challenger", []),
        (ALIKE, [], True, {"rule": "non_inferiority", "margin": 0.05}, "promote",
         "which is shown to be at most the margin of 0.05 worse.", [1]),
    ],
)  # fmt: skip
def test_how_a_comparison_can_end(pair, guards, decisive, rule, verdict, words, promoted):
    found = judged(pair, guards=guards, decisive=decisive, **rule)
    assert found.verdict == verdict
    assert words in found.sentence
    assert found.state.promoted == promoted
    assert found.state.looks == 1
    assert found.guardrails == guards
    assert found.champion == CHAMPION
    assert found.n == 1000


def test_worse_is_said_only_at_its_own_level():
    """20 against 38: a one-sided p of 0.012, under the 0.025 that every look used to have, over the 0.0045 of the first."""
    pair = decisions(800, 20, 38, 100)
    found = judged(pair)
    assert found.evidence.p_worse == pytest.approx(0.0125, abs=5e-4)
    assert found.verdict == "inconclusive"
    assert judged(pair, control="each_run").verdict == "keep"
    assert found.evidence.worse_level == pytest.approx(0.0044709, abs=1e-6)
    late = judged(WORSE, state=EMPTY.model_copy(update={"looks": 400}))
    assert late.verdict == "inconclusive"
    assert any("worse may be said at 0.00447, its share of 0.025" in line for line in judged(WORSE).why)


def test_the_numbers_behind_a_verdict():
    rows = ComparedRows(test=1200, unseen=1000, fresh=1000, new=700, compared=1000)
    found = judged(BETTER, rows=rows)
    evidence = found.evidence
    assert evidence.rows == rows
    assert evidence.decisive is True
    assert judged(BETTER, decisive=False).evidence.decisive is False
    assert (evidence.look, evidence.confidence) == (1, 0.95)
    assert evidence.level == pytest.approx(0.0089418, abs=1e-6)
    assert evidence.p_better < 1e-4 < 0.99 < evidence.p_worse
    assert evidence.log_e_value > 4
    assert "the champion has seen 200" in found.why[0]
    assert "Challenger number 1" in found.why[1]
    assert found.policy["alpha"] == 0.05
    assert found.rule.startswith("superiority; ")
    assert "Guardrail size_mb holds: the package has 1.0 MB." in judged(BETTER, guards=[HOLDS]).why
    assert "Guardrail slice_drop fails: where a, the challenger is worse." in judged(BETTER, guards=[FAILS]).why


@pytest.mark.parametrize(
    ("metric", "kind", "name"),
    [
        ("roc_auc", "binary", "ROC AUC"), ("average_precision", "binary", "average precision"),
        ("log_loss", "binary", "log loss"), ("f1_macro", "multiclass", "F1 (mean of the classes)"),
        ("rmse", "regression", "RMSE"), ("r2", "regression", "R²"),
    ],
)  # fmt: skip
def test_the_sentence_speaks_of_the_metric_in_its_unit(metric, kind, name):
    pair = graded(kind)
    found, back = judged(pair, metric), judged(swapped(pair), metric)
    lower = metric in ("log_loss", "rmse")
    one, two = found.evidence.challenger, found.evidence.champion
    for said, a, b, d in ((found, one, two, one - two), (back, two, one, two - one)):
        sign = "+" if d > 0 else "−"
        assert (
            f"on 400 unseen rows the challenger's {name} is {a:.3f}, the champion's {b:.3f}: {sign}{abs(d):.3f}"
            in said.sentence
        )
        assert ("; lower is better)" in said.sentence) is lower
        low, high = said.evidence.interval
        words = [f"{'−' if v < 0 else ''}{abs(v):.3f}" for v in (low, high)]
        assert f"(95% interval {words[0]} to {words[1]}" in said.sentence
    assert (found.verdict, back.verdict) == ("promote", "keep")


def test_small_differences_are_shown_with_enough_digits():
    from tasks.compare.verdict import _digits, _number, _signed

    assert [_digits(v) for v in (250.0, 12.0, 0.4, 0.05, 0.004, 0.00012, 1e-15)] == [0, 3, 3, 3, 4, 5, 9]
    assert [_signed(v, 3) for v in (0.0123, -0.0123, 0.0, -0.0001)] == ["+0.012", "−0.012", "0.000", "0.000"]
    assert _signed(0.5, 2, plus=False) == "0.50"
    assert (_number(None), _number(0.123456)) == ("undefined", "0.1235")


@pytest.mark.parametrize(
    ("interval", "difference", "said"),
    [
        ([-0.02, 0.0201], 0.00005, "0.000 (95% interval −0.020 to 0.020)"),
        ([0.00001, 0.00002], 0.000015, "+0.000015 (95% interval 0.000010 to 0.000020)"),
        ([-0.0003, -0.0001], -0.4, "−0.400 (95% interval 0.000 to 0.000)"),
    ],
)
def test_digits_follow_the_wider_of_difference_and_interval(interval, difference, said):
    from tasks.compare.verdict import _said

    numbers = Evidence(metric="roc_auc", interval=interval, difference=difference, challenger=0.7, champion=0.7)
    assert said in _said(numbers, 10)


def test_how_many_rows_would_tell():
    found = judged(ALIKE)
    need = found.evidence.rows_needed
    assert (
        f"In a single comparison at 5%, a difference of half a point would show after {need['0.005']:,} labelled rows, one "
        f"point after {need['0.01']:,}, two points after {need['0.02']:,}." in found.why
    )
    area = judged(graded("binary", gap=0.0, seed=3), "roc_auc")
    need = area.evidence.rows_needed
    assert (
        f"In a single comparison at 5%, a difference of 0.005 in ROC AUC would show after {need['0.005']:,} labelled rows, of "
        f"0.01 after {need['0.01']:,}, of 0.02 after {need['0.02']:,}." in area.why
    )
    errors = judged(graded("regression", gap=0.0, seed=3), "mae")
    need = errors.evidence.rows_needed
    assert (
        f"In a single comparison at 5%, with errors as scattered as here, a difference of 1% in MAE would show after "
        f"{need['0.01']:,} labelled rows, of 2% after {need['0.02']:,}, of 5% after {need['0.05']:,}." in errors.why
    )
    assert not any("labelled rows" in line for line in judged(BETTER).why)
    assert not any("labelled rows" in line for line in judged(WORSE).why)


FOUND = AgainstBaseline(
    p=0.01, decided_by="mcnemar", metric="roc_auc", what="chance", tests={"mcnemar": {"name": "McNemar"}},
    challenger=0.71234, baseline=0.5, warnings=["heed"],
)  # fmt: skip


@pytest.mark.parametrize(
    ("p", "guards", "verdict", "words"),
    [
        (0.01, [], "promote", "Promote: there is no champion yet, and the challenger beats chance on 300 unseen rows (ROC AUC 0.7123 against 0.5 without a model)."),
        (0.05, [HOLDS], "promote", "Promote: there is no champion yet"),
        (0.051, [HOLDS], "inconclusive", "Do not promote: on 300 unseen rows the challenger is not shown to beat chance (ROC AUC 0.7123"),
        (0.01, [HOLDS, FAILS], "keep", "Do not promote: the challenger beats chance, but fails the guardrail slice_drop: where a"),
        (0.5, [FAILS], "inconclusive", "is not shown to beat chance"),
    ],
)  # fmt: skip
def test_first_verdicts(p, guards, verdict, words):
    found = first(replace(FOUND, p=p), 300, 0.05, guards, ABOUT, EMPTY)
    assert found.verdict == verdict
    assert words in found.sentence
    assert found.state == EMPTY
    assert found.guardrails == guards
    assert found.warnings == ["heed"]
    assert found.evidence.to_dict() == {
        "metric": "roc_auc", "decided_by": "mcnemar", "p": p, "challenger": 0.71234, "baseline": 0.5,
    }  # fmt: skip
    assert found.rule == "no champion: better than chance, one-sided 0.05"
    assert found.why == [f"One-sided p = {p:.3g} by McNemar, against 0.05."]


def test_a_tiny_p_is_not_written_out():
    found = first(replace(FOUND, p=1e-9, challenger=None), 300, 0.05, [], ABOUT, EMPTY)
    assert found.why == ["One-sided p < 0.0001 by McNemar, against 0.05."]
    assert "ROC AUC undefined against 0.5" in found.sentence


def test_the_same_package_and_a_refusal_leave_the_state():
    state = EMPTY.model_copy(update={"looks": 4})
    same = same_model(300, ABOUT, state)
    assert (same.verdict, same.state, same.n) == ("keep", state, 300)
    no = refused("the classes differ.", 300, ABOUT, state)
    assert (no.verdict, no.state, no.rule) == ("inconclusive", state, "no comparison")
    assert no.sentence == "Keep the champion: the two cannot be compared, since the classes differ."


def test_a_held_promotion_is_not_remembered_as_one():
    won = judged(BETTER, state=EMPTY.model_copy(update={"looks": 3, "promoted": [2]}))
    assert won.state.promoted == [2, 4]
    held = hold(won, ["levels are new", "others too"], "Write them as before")
    assert held.verdict == "inconclusive"
    assert held.state.promoted == [2]
    assert held.warnings == [*won.warnings, "Levels are new.", "Others too."]
    assert held.sentence.startswith(
        "Not promoted by itself: levels are new. Write them as before. But for that: Promote:"
    )
    assert hold(won, [], "x") == won
    kept = hold(judged(WORSE), ["levels are new"], "x")
    assert kept.verdict == "keep"
    assert kept.warnings[-1] == "Levels are new."
