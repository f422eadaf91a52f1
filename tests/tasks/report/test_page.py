"""The page of a run: everything that stages left is on it, and nothing that they did not leave makes it fail."""

import re
import runpy
from dataclasses import fields, replace
from html.parser import HTMLParser

import pytest

from tasks import params as parameters
from tasks.artifacts import Confusion
from tasks.files import read_json
from tasks.report.for_dvc import PLOTS
from tasks.report.found import FamilyFiles, ProblemAbout, RunFiles
from tasks.report.page import build
from tests.samples import candidate, summary
from tests.tasks.report.runs import stage

VOID = {"meta", "link", "br", "input", "img", "hr"}
PROBLEM = ProblemAbout("p", "binary", "y")


class Outline(HTMLParser):
    """Checks that elements nest, and collects ids, links and words."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.ids: list[str] = []
        self.links: list[str] = []
        self.words: list[str] = []
        self.feed(html)
        assert not self.open

    def handle_starttag(self, tag, attrs):
        given = dict(attrs)
        self.ids += [given["id"]] if "id" in given else []
        self.links += [given[k] for k in ("href", "src") if k in given]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        pass

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and self.open[-1] not in ("style", "script"):
            self.words.append(data)

    @property
    def text(self) -> str:
        return re.sub(r"\s+", " ", " ".join(self.words))


def test_finished_run(finished):
    file = finished / "data/reports/report.html"
    html = file.read_text()
    assert file.stat().st_size < 2_000_000
    page = Outline(html)
    assert len(page.ids) == len(set(page.ids))
    verdict = read_json(finished / "data/verdict/verdict.json")
    assert page.text.index(verdict["sentence"]) < page.text.index("Technical part") < page.text.index("log-odds")
    for digest in (verdict["champion"], verdict["challenger"]):
        assert digest["package_sha256"][:12] not in page.text[: page.text.index("Technical part")]
    choice = read_json(finished / "data/evaluation/choice.json")
    assert f"{choice['test']:.4f}" in page.text
    for name in (
        "data",
        "features",
        "leaks",
        "candidates",
        "quality",
        "decisions",
        "slices",
        "errors",
        "why",
        "drift",
        "lineage",
        "reading",
    ):
        assert name in page.ids
        assert f"#{name}" in page.links
    for feature in read_json(finished / "data/features/summary.json")["features"]:
        assert feature["name"] in page.text
    for stage_name in ("ingest", "validate", "tune", "compare", "report"):
        assert re.search(rf">{stage_name}<", html), stage_name
    assert read_json(finished / "data/package/receipt.json")["lock"] in page.text


def test_nothing_comes_from_outside(finished):
    html = (finished / "data/reports/report.html").read_text()
    page = Outline(html)
    assert all(link.startswith(("#", "data:", "../drift/drift.html")) for link in page.links)
    assert "http" not in re.sub(r"<meta http-equiv", "", html)
    assert "@import" not in html
    assert "url(" not in html


def test_the_same_inputs_give_the_same_bytes(finished):
    before = (finished / "data/reports/report.html").read_bytes()
    stage(finished, "report")
    assert (finished / "data/reports/report.html").read_bytes() == before


@pytest.mark.parametrize("kind", ["multiclass", "regression"])
def test_other_kinds_without_champion(kind, reported):
    page = Outline((reported(kind) / "data/reports/report.html").read_text())
    assert "this is the first model" in page.text
    assert ("Confusion matrix" in page.text) == (kind == "multiclass")
    assert ("Residuals" in page.text) == (kind == "regression")
    points = {path.stem: read_json(path) for path in (reported(kind) / "data/reports/plots").iterdir()}
    drawn = {"multiclass": {"confusion", "importance", "trials"}, "regression": {"residuals", "importance", "trials"}}
    assert {name for name, found in points.items() if found} == drawn[kind]
    assert set(points) == set(PLOTS)


def test_every_file_may_be_missing(finished, monkeypatch):
    """Leave out one part at a time, then all: the page says what it lacks."""
    monkeypatch.chdir(finished)
    collect = runpy.run_module("tasks.report.__main__", run_name="parts")["collect"]
    found, nothing = collect(parameters.load()), RunFiles(PROBLEM)
    for part in fields(found)[1:]:
        Outline(build(replace(found, **{part.name: getattr(nothing, part.name)})))
    bare = Outline(build(nothing))
    assert bare.text.count("Not measured:") >= 8
    assert "No verdict yet" in bare.text


def test_names_from_data_cannot_become_markup():
    nasty = "<script>alert(1)</script>"
    feature = {"name": nasty, "kind": "numeric", "description": nasty}
    told = summary(target=nasty, classes=[nasty, "b"], rows={"train": 1}, features=[feature])
    confusion = Confusion(classes=[nasty, "b"], counts=[[1, 2], [3, 4]])
    html = build(RunFiles(ProblemAbout(nasty, "binary", nasty), features=told, confusion=confusion))
    assert html.count("<script>") == 1
    Outline(html)


def test_features_that_no_model_gets_are_named_with_the_reason():
    names = ("a", "shop.mean(y, 1d)", "same")
    features = summary(features=[{"name": n, "kind": "numeric", "description": ""} for n in names])
    dropped = {"shop.mean(y, 1d)": "is empty in all training rows", "same": "has one value in the training rows"}
    both = {f: FamilyFiles(candidate(f, features=["a"], dropped=dropped)) for f in ("ridge", "mlp")}
    text = Outline(build(RunFiles(PROBLEM, features=features, families=both))).text
    assert "Left out 2 features that no model gets" in text
    for name, why in dropped.items():
        assert text.count(f"{name} {why}") == 1
    text = Outline(
        build(RunFiles(PROBLEM, features=features, families={"ridge": FamilyFiles(candidate("ridge"))}))
    ).text
    assert "no model gets" not in text
