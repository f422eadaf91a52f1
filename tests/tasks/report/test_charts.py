"""Charts: numbers land where they belong."""

import re
from xml.etree import ElementTree

import pytest
from ruamel.yaml import YAML

from tasks.report import marks
from tasks.report.charts import Axis, Series, histogram, share, ticks, xy
from tasks.report.dag import columns, picture, reduced, stages
from tests.tasks.report.runs import ROOT

DAG = YAML(typ="safe").load((ROOT / "dvc.yaml").read_text())


def test_points_land_on_their_axes():
    svg = xy("a", share("x (m)"), share("y (s)"), [Series("", [0, 1], [0, 1], 1, "points")], diagonal=True)
    root = ElementTree.fromstring(svg)
    (x0, y0), (x1, y1) = [(float(c.get("cx")), float(c.get("cy"))) for c in root.iter("circle")]
    guide = re.findall(r"[\d.]+", next(p.get("d") for p in root.iter("path") if p.get("class") == "guide"))
    assert [float(v) for v in guide] == [x0, y0, x1, y1]
    assert x0 < x1
    assert y0 > y1
    said = [t.text for t in root.iter("text")]
    assert "x (m)" in said
    assert "y (s)" in said
    assert [t.text for t in root.iter("title")] == ["0 → 0", "1 → 1"]


@pytest.mark.parametrize(("low", "high"), [(0, 1), (-3.2, 7), (1e-6, 5e-6), (0, 336_776), (0.7, 0.7001)])
def test_ticks_are_round_few_and_inside(low, high):
    found = ticks(low, high)
    assert 2 <= len(found) <= 8
    assert low - 1e-12 <= found[0] < found[-1] <= high * (1 + 1e-9)
    assert found == sorted(set(found))


def test_degenerate_charts_are_still_charts():
    for svg in (
        xy("a", Axis("x"), Axis("y"), [Series("", [1], [2])]),
        xy("a", Axis("x"), Axis("y"), []),
        histogram("a", Axis("x"), Axis("rows"), [0, 1], [("g", [0], 1)]),
        marks.intervals("a", Axis("x"), [marks.Bar("b", 1.0)]),
        marks.bars("a", Axis("x"), [marks.Bar("b", 0.0)]),
        marks.matrix("a", ["x", "y"], [[0, 0], [0, 0]]),
        marks.spark([], [], "nothing"),
    ):
        text = ElementTree.tostring(ElementTree.fromstring(svg), encoding="unicode")
        assert "nan" not in text
        assert "inf" not in text


def test_names_are_escaped():
    svg = xy("<a>", Axis("<x>"), Axis("&y"), [Series("<s>", [0, 1], [0, 1]), Series("t", [0], [1])])
    ElementTree.fromstring(svg)


def test_dag_of_dvc_yaml():
    found = stages(DAG, ["a", "b", "c"])
    place = columns(found)
    assert set(place) == set(DAG["stages"])
    for stage in found:
        assert all(place[need] < place[stage.name] for need in stage.needs)
    assert ("features", "tune") in reduced(found)
    assert ("features", "evaluate") not in reduced(found)
    assert next(s for s in found if s.name == "tune").times == 3
    ElementTree.fromstring(picture(found))


def test_stages_that_need_each_other_are_refused():
    dag = {"stages": {"a": {"outs": ["x"], "deps": ["y"]}, "b": {"outs": ["y"], "deps": ["x"]}}}
    with pytest.raises(ValueError, match="need each other"):
        columns(stages(dag))


def test_picture_in_the_readme_has_every_stage():
    root = ElementTree.parse(ROOT / "docs/images/pipeline.svg").getroot()
    said = {t.text for t in root.iter("{http://www.w3.org/2000/svg}text")}
    assert set(DAG["stages"]) <= said
