"""The first screen says what was decided, why, what changed, and what comes next; for people, not for machines."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pandas as pd
import pytest
from ruamel.yaml import YAML

from tasks.artifacts import Confusion, Manifest, Measured, Past, PastDecision, Receipt, Verdict
from tasks.report.blocks import Charts, Facts, Head, Panels, Prose, Steps, Table
from tasks.report.coming import Awaited, awaited, rhythm
from tasks.report.costs import ErrorCounts, Prices, costs
from tasks.report.found import ChampionFiles, ProblemAbout, RunFiles
from tasks.report.names import with_class_names
from tasks.report.summary import head
from tasks.report.trend import of_history
from tests.projects import ROOT
from tests.samples import summary

CHAMPION = {"version": "3", "package_sha256": "a" * 64, "family": "ridge"}
CHALLENGER = {"package_sha256": "b" * 64, "family": "mlp"}
EVIDENCE = {"metric": "roc_auc", "challenger": 0.72, "champion": 0.7, "difference": 0.02, "interval": [0.01, 0.03]}
SUSPICION = {
    "column": "x",
    "columns": ["x"],
    "feature": "x",
    "kind": "copy",
    "strength": 1.0,
    "certain": True,
    "said": "x",
}
GUARD = {"name": "size_mb", "limit": 1, "found": 2, "passed": False, "said": "2 MB, and 1 are allowed"}


def verdict(word: str, champion: bool = True, **more: Any) -> Verdict:
    about = {
        "verdict": word,
        "sentence": "So it is.",
        "rule": "superiority; at most 5%",
        "n": 500,
        "evidence": EVIDENCE,
    }
    return Verdict.of_json(about | {"champion": CHAMPION if champion else None, "challenger": CHALLENGER} | more)


def screen(found: Verdict | None, **more: Any) -> Head:
    return head(RunFiles(ProblemAbout("p", "binary", "late"), verdict=found, **more))


def panel(found: Head, title: str) -> Any:
    (panels,) = (b for b in found.blocks if isinstance(b, Panels))
    (one,) = (p for p in (*panels.left, *panels.right) if p.title.startswith(title))
    return one.blocks[0]


@pytest.mark.parametrize(
    ("found", "said"),
    [
        (verdict("promote"), "The new model takes over from version 3."),
        (verdict("promote", champion=False), "The first model goes into service."),
        (verdict("keep"), "Version 3 stays in service: the new model is worse."),
        (verdict("keep", guardrails=[GUARD]), "Version 3 stays in service: the new model breaks a limit that was set."),
        (verdict("keep", challenger=CHALLENGER | {"package_sha256": "a" * 64}), "Version 3 stays in service: this run made the same model again."),
        (verdict("inconclusive"), "Version 3 stays in service: it is too early to tell which model is better."),
        (verdict("inconclusive", evidence={}), "Version 3 stays in service: the two models cannot be compared."),
        (verdict("inconclusive", suspicions=[SUSPICION]), "Version 3 stays in service: a column may give the answer away."),
        (verdict("inconclusive", champion=False), "No model goes into service yet: it is too early to tell whether the new one is better than none."),
        (verdict("keep", champion=False, guardrails=[GUARD]), "No model goes into service yet: the new model breaks a limit that was set."),
        (None, "No verdict yet: the comparison with the champion has not been run."),
    ],
)  # fmt: skip
def test_the_headline_says_what_was_decided_and_why(found: Verdict | None, said: str) -> None:
    assert screen(found).headline == said


def test_who_decides_and_what_happens_next() -> None:
    found = screen(verdict("promote"))
    assert dict(found.about)["Decided by"] == "the rule “superiority” of params.yaml: at most 5%"
    assert dict(found.about)["Approval"] == "none is needed"
    steps = panel(found, "What happens next")
    assert isinstance(steps, Steps)
    assert "Then it becomes champion" in steps.items[0]
    assert "brings version 3 back" in steps.items[1]
    first = panel(screen(verdict("promote", champion=False)), "What happens next").items
    assert not any("rollback" in step for step in first), "nothing stood before it"
    asked = screen(verdict("promote"), approval=True)
    assert asked.headline == "The new model takes over from version 3, if a person approves."
    assert dict(asked.about)["Approval"] == "a person has to approve"
    assert "refit promote VERSION" in panel(asked, "What happens next").items[0]


def test_what_somebody_should_look_at_is_named() -> None:
    def items(found: Verdict) -> list[str]:
        return list(panel(screen(found), "What happens next").items)

    nothing, following = items(verdict("keep"))
    assert nothing == "Nothing changes for those who use version 3."
    assert following.startswith("The next run makes a model of what is known by then, and compares it with version 3")
    assert "A guardrail failed: 2 MB, and 1 are allowed." in items(verdict("keep", guardrails=[GUARD]))
    needed = EVIDENCE | {"rows_needed": {"0.01": 9000, "0.02": 2500}}
    told = items(verdict("inconclusive", evidence=needed))
    assert "A difference of 0.02 in ROC AUC would show after about 2\u202f500 labelled rows." in told
    points = needed | {"metric": "accuracy"}
    assert "A difference of 2 points in Accuracy" in items(verdict("inconclusive", evidence=points))[2]
    share = needed | {"metric": "rmse"}
    assert "A difference of 2% in RMSE" in items(verdict("inconclusive", evidence=share))[2]
    assert len(items(verdict("inconclusive", evidence=needed, n=2600))) == 2, "so many rows were there"


def test_labels_that_are_awaited_and_the_rhythm_of_runs_are_told() -> None:
    at = pd.to_datetime(["2024-05-01", "2024-06-17", "2024-06-24", "2024-06-24", "2024-03-01"], utc=True)
    rows = pd.DataFrame(
        {
            "__time__": at,
            "__known__": at + pd.Timedelta(14, "D"),
            "__split__": ["test", "pending", "pending", "pending", "pending"],
            "__target__": [1.0, None, None, None, None],  # the last came too late for its part, and is known
        }
    )
    waiting = awaited(rows, "2024-06-25T00:00:00+00:00")
    assert waiting == Awaited(3, *(f"2024-0{when}T00:00:00+00:00" for when in ("6-17", "6-24", "7-08")))
    assert awaited(rows, None) == waiting, "what counts is known up to the newest row"
    assert awaited(rows, "2024-08-01T00:00:00+00:00") is None
    assert awaited(rows.assign(__known__=pd.Series(pd.NaT, rows.index, dtype="datetime64[us, UTC]")), None) is None, (
        "nobody knows when"
    )
    guessed = awaited(
        rows.assign(__known__=rows["__known__"].where(rows["__target__"].notna())), "2024-06-25T00:00:00+00:00"
    )
    assert waiting is not None
    assert guessed == replace(waiting, guessed=True), "as long as labels took so far"
    told = list(panel(screen(verdict("keep"), awaited=waiting), "What happens next").items)
    assert waiting.sentence() in told
    assert rhythm(history(), "2024-02-04T00:00:00+00:00").startswith("Runs came every 7 days so far.")
    assert rhythm(history(), "2024-03-20T00:00:00+00:00") == "", "they came unevenly"
    assert rhythm(None, "2024-02-04T00:00:00+00:00") == rhythm(history(), None) == ""


def test_what_changed_stands_side_by_side() -> None:
    def made(family: str, threshold: float) -> Manifest:
        about = {"name": "p", "kind": "binary", "classes": ["0", "1"], "members": [], "weights": [], "metrics": {}}
        return Manifest.of_json(about | {"family": family, "threshold": threshold})

    def receipt(day: int, **params: Any) -> Receipt:
        return Receipt(as_of=f"2024-01-{day:02d}T00:00:00+00:00", params={"seed": 1, "models": params})

    champion = ChampionFiles(
        "3", made("ridge", 0.5), receipt(1, ridge={}), {"features": [{"name": "a"}, {"name": "b"}]}, 900
    )
    features = summary(features=[{"name": n, "kind": "numeric", "description": ""} for n in ("b", "c", "d")])
    found = screen(
        verdict("promote"), champion=champion, features=features, bundle=made("mlp", 0.5), receipt=receipt(8, mlp={}),
        made_from=1200,
    )  # fmt: skip
    table = panel(found, "What changed since version 3")
    assert isinstance(table, Table)
    rows = {str(row[0].text): (row[0].note, str(row[1].text), str(row[2].text), row[2].note) for row in table.rows}
    assert rows == {
        "ROC AUC": ("on 500 unseen rows; difference 0.010 to 0.030", "0.700", "0.720", ""),
        "Kind of model": ("", "Ridge", "MLP", ""),
        "Features": ("", "2", "3", "2 new, 1 gone"),
        "Data up to": ("", "1 Jan 2024", "8 Jan 2024", ""),
        "Rows it was made from": ("", "900", "1\u202f200", ""),
        "Settings": ("", "–", "2 changed", ""),
    }


JUDGED = pd.DataFrame(
    {
        "__target__": [1.0, 1.0, 0.0, 0.0],
        "challenger_score_0": [0.1, 0.2, 0.3, 0.8],
        "challenger_score_1": [0.9, 0.8, 0.7, 0.2],
        "champion_score_0": [0.1, 0.8, 0.7, 0.8],
        "champion_score_1": [0.9, 0.2, 0.3, 0.2],
    }
)


def test_errors_cost_so_much_in_all_and_by_row_in_the_unit_that_was_named() -> None:
    counted = costs("binary", Prices(1.0, 5.0, "EUR"), JUDGED, (0.5, 0.5))
    assert counted is not None
    assert (counted.challenger, counted.champion) == (ErrorCounts(1, 0), ErrorCounts(0, 1))
    assert counted.without == ErrorCounts(2, 0), "an alarm for every row is cheaper than two misses"

    def told(**more: Any) -> tuple[str, dict[str, tuple[str, ...]], list[str]]:
        (panels,) = (b for b in screen(verdict("promote"), costs=counted, **more).blocks if isinstance(b, Panels))
        (one,) = (p for p in panels.left if p.title == "What errors cost")
        said, table = one.blocks
        assert isinstance(said, Prose)
        assert isinstance(table, Table)
        rows = {str(r[0].text): tuple(str(c.text).replace("\xa0", " ") for c in r[1:]) for r in table.rows}
        notes = [cell.note.replace("\xa0", " ") for row in table.rows for cell in row if cell.note]
        return str(said.text).replace("\xa0", " "), rows, notes

    said, rows, notes = told(champion=ChampionFiles("3"))
    assert said == (
        "On these rows the new model’s errors cost 4 EUR less than those of version 3. The verdict goes by ROC AUC."
    )
    assert rows == {
        "In all": ("2 EUR", "5 EUR", "1 EUR"),
        "Per row": ("0.500 EUR", "1.25 EUR", "0.250 EUR"),
        "False alarms": ("2", "0", "1"),
        "Misses": ("0", "1", "0"),
    }
    assert notes == ["on the 4 judged rows", "1 EUR each", "an alarm on every row", "5 EUR each"]
    alone = costs(
        "binary", Prices(1.0, 5.0), JUDGED.drop(columns=["champion_score_0", "champion_score_1"]), (0.5, None)
    )
    counted = alone
    said, rows, _ = told()
    assert said.startswith("On these rows the new model’s errors cost 1 less than deciding without a model.")
    assert rows["In all"] == ("2", "1")
    stages = YAML(typ="safe").load(ROOT / "dvc.yaml")["stages"]
    who = [name for name, stage in stages.items() if "evaluation" in stage.get("do", stage)["params"]]
    assert who == ["evaluate", "report"], "another unit trains nothing anew"


def test_no_errors_are_counted_where_there_are_no_alarms_or_no_scores() -> None:
    unscored = pd.DataFrame({"__target__": [1.0]})
    assert costs("binary", Prices(1.0, 5.0), unscored, (None, None)) is None
    assert costs("regression", Prices(1.0, 5.0), unscored.assign(challenger_score=1.0), (None, None)) is None
    dear = pd.DataFrame(
        {"__target__": [1.0, 0.0, 0.0], "challenger_score_0": [1.0] * 3, "challenger_score_1": [0.0] * 3}
    )
    counted = costs("binary", Prices(5.0, 1.0), dear, (None, None))
    assert counted is not None
    assert (counted.without, counted.champion) == (ErrorCounts(0, 1), None)


def test_right_decisions_stand_beside_the_most_frequent_class_by_name() -> None:
    confusion = Confusion(classes=["0", "1"], counts=[[70, 10], [5, 15]])
    found = RunFiles(ProblemAbout("p", "binary", "late"), features=summary(target="is_late"), confusion=confusion)
    facts = panel(head(with_class_names(found)), "How good")
    assert isinstance(facts, Facts)
    assert [(name, value) for name, value, _ in facts.items] == [
        ("Right decisions", "85.0%"), ("Always “not late”", "80.0%"), ("“late” found", "75.0%"), ("False alarms", "10"),
    ]  # fmt: skip


def history() -> Past:
    def row(number: int, action: str, now: str | None, **more: Any) -> PastDecision:
        about = {"as_of": f"2024-01-{7 * number:02d}T00:00:00+00:00", "metric": "roc_auc"} | more
        return PastDecision.model_validate(
            {
                "number": number,
                "action": action,
                "version": str(number),
                "champion": now,
                "by": "x",
                "measured": about,
            }
        )

    return Past(
        decisions=[
            row(1, "keep", None, challenger=0.5),
            row(2, "promote", "2", challenger=0.6),
            row(3, "promote", "3", challenger=0.7, champion=0.65),
            row(4, "keep", "3", challenger=0.6, champion=0.68, metric="log_loss"),
        ]
    )


def test_the_trend_follows_the_champion_through_promotions() -> None:
    points = of_history(history(), "roc_auc")
    assert [(p.model, p.value, p.other) for p in points] == [("version 2", 0.6, None), ("version 3", 0.7, 0.65)]
    found = screen(verdict("keep"), past=history())
    assert dict(found.about)["In service so far"] == "version 3, since the run on data up to 21 Jan 2024"
    charts = panel(found, "The trend")
    assert isinstance(charts, Charts)
    svg = charts.items[0].svg
    assert "version 3, ROC AUC 0.700 on 500 rows" in svg, "the run itself is the last point"
    assert "14 Jan 2024: version 2, ROC AUC 0.600" in svg
    assert "21 Jan 2024: the champion that it replaced, ROC AUC 0.650" in svg


def test_one_run_has_no_trend() -> None:
    (panels,) = (b for b in screen(verdict("promote", champion=False)).blocks if isinstance(b, Panels))
    assert "The trend" not in [p.title for p in (*panels.left, *panels.right)]
    assert of_history(Past(decisions=[]), "roc_auc") == of_history(None, "roc_auc") == []
    assert Measured().metric == ""
