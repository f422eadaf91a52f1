"""A chapter that cannot be drawn is left out, and the page says so; families that failed are named."""

from tasks.artifacts import Curves, Failed, LeftOut
from tasks.report.found import FamilyFiles, ProblemAbout, RunFiles
from tasks.report.page import build
from tests.samples import metrics

PROBLEM = ProblemAbout("orders", "binary", "late")


def test_a_chapter_that_cannot_be_drawn_is_left_out_and_the_others_stay() -> None:
    said: list[str] = []
    failed = Failed(family="mlp", stage="train", why="no <b>memory</b>")
    found = RunFiles(
        PROBLEM,
        families={"mlp": FamilyFiles(failed=failed)},
        metrics=metrics(ridge={"valid": {"roc_auc": 0.6}, "test": {"roc_auc": 0.5}}),
        curves=Curves.model_construct(residuals=3),
        left_out=LeftOut(explain="ValueError: <i>"),
    )
    page = build(found, said.append)
    assert [line.split(":")[0] for line in said] == ["the report's chapter 'Quality' was left out"]
    assert "this chapter could not be drawn (" in page
    assert "failed in training and was left out: no &lt;b&gt;memory&lt;/b&gt;" in page
    assert "explain: ValueError: &lt;i&gt;" in page
    assert 'id="candidates"' in page


def test_nothing_is_said_where_nothing_is_wrong() -> None:
    said: list[str] = []
    page = build(RunFiles(PROBLEM), said.append)
    assert said == []
    assert "Left out" not in page
