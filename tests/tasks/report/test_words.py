"""Sentences of the page say what happened: slices, what auto did, curves of a random split."""

from __future__ import annotations

from typing import Any

from tasks.artifacts import CurvePoint, Curves, Learning, LearningCurve, Reliability, Roc, Slices
from tasks.report.about_data import data
from tasks.report.about_models import candidates
from tasks.report.about_quality import curves
from tasks.report.about_rows import slices
from tasks.report.about_why import learning
from tasks.report.blocks import Charts, Prose, Section, Table
from tasks.report.found import FamilyFiles, Periods
from tests.samples import best, candidate, choice, summary, trial

PART = {
    "where": {"size": "> 2"}, "rows": 100, "share": 0.1, "metric": 0.7, "predicted": 0.2, "observed": 0.3, "loss": 0.2,
    "loss_elsewhere": 0.1, "promised": 0.15, "promised_elsewhere": 0.1, "skill": 0.4, "skill_elsewhere": 1.0,
    "fault": "level", "direction": "worse", "p": 0.001, "p_holm": 0.01,
}  # fmt: skip


def prose(section: Section) -> str:
    return " ".join(str(b.text) for b in section.blocks if isinstance(b, Prose))


def captions(section: Section) -> str:
    return " ".join(c.caption for b in section.blocks if isinstance(b, Charts) for c in b.items)


def judged(*parts: dict[str, Any], key: str = "weak", **more: Any) -> tuple[str, list[tuple[str, str]]]:
    empty = {"metric": "roc_auc", "classes": ["no", "yes", "perhaps"], "weak": [], "declared": []}
    section = slices(Slices.of_json(empty | {key: list(parts)} | more), 0.05)
    (table,) = (b for b in section.blocks if isinstance(b, Table))
    return prose(section), [(str(row[-1].text), str(row[-1].note)) for row in table.rows]


def test_slices_are_called_worse_better_or_in_line():
    said, rows = judged(
        PART,
        PART | {"fault": "skill"},
        PART | {"direction": "better", "fault": "level"},
        PART | {"p_holm": 0.2},
        PART | {"p": None, "p_holm": None, "direction": None, "fault": None},
        PART | {"class": 2, "observed": 0.1},
        key="declared",
    )
    assert said == (
        "3 of 6 declared parts are worse than the other rows beyond chance. "
        "1 of 6 declared parts is better than the other rows beyond chance."
    )
    assert rows == [
        ("worse", "happens more often than said"),
        ("worse", "differences between rows are not there as said"),
        ("better", "comes closer to what is said"),
        ("in line", ""),
        ("not tested", "too few rows in it, or beside it"),
        ("worse", "perhaps happens less often than said"),
    ]
    number = {k: v for k, v in PART.items() if not k.startswith("promised")} | {"r2": -0.1, "observed": 0.1}
    assert judged(number)[1] == [("worse", "truth lies below the prediction")]


def test_no_suspicion_is_no_weak_slice():
    assert judged(PART | {"p_holm": 0.2})[0] == "The one suspected part is in line: what differs may be chance."
    assert "None of the 2 suspected parts differs" in judged(PART | {"p_holm": 0.2}, PART | {"p_holm": 1.0})[0]
    assert (
        "no part gave rise to suspicion"
        in slices(Slices(metric="rmse", classes=[], weak=[], declared=[]), 0.05).missing
    )


def auto(judged: dict[str, Any], members: int, states: str) -> str:
    words = {"c": "complete", "p": "pruned", "f": "fail"}
    trials = [
        trial(i, None if s == "f" else 0.5, family=("ridge", "mlp")[i % 2], state=words[s])
        for i, s in enumerate(states)
    ]
    mix = {"members": [{"family": "ridge", "params": {}, "weight": 1 / members}] * members}
    files = FamilyFiles(candidate("auto", mix), best("auto", mix, judged=judged), trials)
    return prose(candidates(choice(metric="rmse"), None, {"auto": files}))


def test_what_auto_did_is_told_by_what_it_wrote():
    folds = {"rows": 458, "folds": 8, "pooled": True, "cut_short": False}
    assert auto(folds, 3, "ccccpf") == (
        "Auto tried 6 settings of 2 families. It judged 4 of them on all 8 folds of the 458 training and validation "
        "rows together, each row by models that had not seen it. 1 were stopped after one fold. 1 were not finished in "
        "time, or failed. The candidate is a mix of 3 settings, with weights chosen on the same rows. What answers is the "
        "mean of the models of all folds."
    ).replace("1 were", "1 was")
    assert auto({"rows": 90, "folds": 1, "pooled": False, "cut_short": False}, 1, "cc") == (
        "Auto tried 2 settings of 2 families. It judged them on 90 validation rows. "
        "The candidate is one setting of Ridge: no mix was better."
    )
    ahead = {"rows": 90, "folds": 1, "pooled": False, "cut_short": False, "beyond": ["year"]}
    assert "Most of these lie beyond all training rows in 'year', so members" in auto(ahead, 1, "cc")
    assert "one setting of Ridge, the only one judged in full." in auto(folds, 1, "cp")
    own = auto({"rows": 300, "folds": 3, "pooled": True, "cut_short": False, "declared": "time_series"}, 1, "cc")
    assert "It judged 2 of them on all 3 folds of the 300 training rows that tuning.split: time_series holds out" in own
    assert "models of all folds" not in own  # they are fitted again, on all training rows
    short = auto({"rows": 57, "folds": 1, "pooled": True, "cut_short": True}, 1, "c")
    assert "Its time did not suffice for more than the first fold, so 57 rows judged the settings." in short


def test_only_complete_trials_count_as_the_best_so_far():
    """A trial that was stopped has the value of one fold, which may be any."""
    trials = [
        trial(0, 2.0, family="ridge"),
        trial(1, 0.1, family="mlp", state="pruned"),
        trial(2, 1.5, family="mlp"),
    ]
    section = candidates(choice(metric="rmse"), None, {"auto": FamilyFiles(trials=trials)})
    (chart,) = (c for b in section.blocks if isinstance(b, Charts) for c in b.items)
    assert "trial 3: 1.500 (best so far 1.500)" in chart.svg
    assert "0.1" not in chart.svg.replace("0.10", "")
    assert "falling at its end" in chart.caption


def test_a_random_split_is_not_spoken_of_as_one_by_time():
    edges = ["2024-01-01", "2024-01-02", "2024-01-03"]
    times = Periods("day", edges, rows={"train": [5, 5]}, target=[0.1, 0.2], labelled=[5, 5])

    def drawn(**boundaries: Any) -> str:
        return captions(data(None, summary(rows={"train": 10}, boundaries=boundaries), times))

    assert "split at random" in drawn(valid=0.2, test=0.2)
    assert "after the one before it" not in drawn(valid=0.2, test=0.2)
    assert "after the one before it" in drawn(test="2024-01-02")


def test_the_learning_curve_says_which_rows_it_was_fitted_on():
    points = [CurvePoint(rows=100, train=0.9, valid=0.7), CurvePoint(rows=400, train=None, valid=0.75)]
    curve = LearningCurve(family="tree", fitted="tree", metric="roc_auc", points=points, rows=400, newest=False)

    def told(**changed: Any) -> str:
        one = curve.model_copy(update=changed)
        return captions(learning(Learning(diagnosis=None, learning_curve=one, loss={}, validation_curves={})))

    drawn = told()
    assert drawn == (
        "The same family fitted on random samples of the 400 training rows; a smaller size is the mean of three samples."
    )
    newest = told(newest=True, fitted="mlp")
    assert newest == "Its leading member, MLP, fitted on the newest of the 400 training rows."


def test_every_calibration_curve_with_an_interval_has_its_band():
    one = Reliability(predicted=[0.1, 0.9], observed=[0.2, 0.8], rows=[50, 50], low=[0.1, 0.7], high=[0.3, 0.9])
    roc = Roc(fpr=[0.0, 1.0], tpr=[0.0, 1.0], threshold=[1.0, 0.0])
    found = Curves(roc={"a": roc, "b": roc}, calibration={"a": one, "b": one})
    section = curves("y", None, found)
    (chart,) = (c for b in section.blocks if isinstance(b, Charts) for c in b.items if c.title == "Calibration")
    assert chart.svg.count('class="band') == 2
    assert "A band is a 95% interval." in chart.caption
    bare = one.model_copy(update={"low": [], "high": []})
    section = curves("y", None, found.model_copy(update={"calibration": {"a": bare, "b": bare}}))
    assert "interval" not in captions(section)
