"""What the page says agrees with the files that it comes from, figure by figure."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from pyarrow.parquet import read_metadata

from tasks.files import read_json
from tests.tasks.report.test_page import VOID


@dataclass
class Element:
    """A piece of the page: its tag, its attributes, and what it holds."""

    tag: str
    given: dict[str, str] = field(default_factory=dict)
    inside: list[Element | str] = field(default_factory=list)

    def all(self, tag: str, kind: str = "") -> Iterator[Element]:
        for one in self.inside:
            if isinstance(one, Element):
                if one.tag == tag and kind in one.given.get("class", ""):
                    yield one
                yield from one.all(tag, kind)

    def text(self, *without: str) -> str:
        parts = (
            one if isinstance(one, str) else one.text(*without)
            for one in self.inside
            if isinstance(one, str) or one.given.get("class", "") not in without
        )
        return " ".join("".join(parts).split())


class Tree(HTMLParser):
    """The page as elements."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.open = [Element("page")]
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        one = Element(tag, {k: v or "" for k, v in attrs})
        self.open[-1].inside.append(one)
        if tag not in VOID:
            self.open.append(one)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        pass

    def handle_endtag(self, tag: str) -> None:
        self.open.pop()

    def handle_data(self, data: str) -> None:
        self.open[-1].inside.append(data)


def figures(html: str) -> dict[str, dict[str, list[str]]]:
    """By part of the page (a panel's title, a section's id): what is said under each name, in facts and in table rows."""
    page = Tree(html).open[0]
    parts = {
        next(panel.all("h2")).text(): panel for panel in page.all("div", "panel") if panel.given["class"] == "panel"
    }
    parts |= {section.given["id"]: section for section in page.all("section")}
    out: dict[str, dict[str, list[str]]] = {}
    for name, part in parts.items():
        said = out.setdefault(name, {})
        for facts in part.all("dl", "facts"):
            for one in facts.all("div"):
                said[next(one.all("dt")).text()] = [next(one.all("dd", "value")).text()]
        for row in part.all("tr"):
            cells = [cell.text("note") for cell in row.all("td")]
            if cells:
                said.setdefault(cells[0], cells[1:])
    return out


def close(said: str, value: float) -> bool:
    """Whether a figure of the page is this number, as far as it is written."""
    text = "".join(said.split()).replace("−", "-")  # thousands are set apart
    share = text.endswith("%")
    shown = float(text.removesuffix("%").removeprefix("< "))
    digits = len(text.removesuffix("%").partition(".")[2].partition("e")[0])
    scaled = 100 * value if share else value
    if "e" in text:
        return abs(shown / scaled - 1) < 0.06
    return text.startswith("< ") or abs(shown - scaled) <= 0.5 * 10**-digits + 1e-12


@pytest.fixture
def told(reported: Callable[[str], Path]) -> Callable[[str], tuple[Path, dict[str, dict[str, list[str]]]]]:
    def of(kind: str) -> tuple[Path, dict[str, dict[str, list[str]]]]:
        root = reported(kind)
        return root / "data", figures((root / "data/reports/report.html").read_text())

    return of


def test_figures_of_the_first_screen_and_below_agree_with_their_files(told: Any) -> None:
    data, page = told("binary")
    verdict, metrics = read_json(data / "verdict/verdict.json"), read_json(data / "evaluation/metrics.json")
    evidence, confusion = verdict["evidence"], read_json(data / "evaluation/confusion.json")["counts"]
    (right_no, false), (missed, hit) = confusion
    total = right_no + false + missed + hit
    changed, worth = page["What changed since version 1"], page["How good the new model is"]
    expected: list[tuple[list[str], list[float]]] = [
        (changed["ROC AUC"], [evidence["champion"], evidence["challenger"]]),
        (changed["Right decisions"], [evidence["as_served"][who]["accuracy"] for who in ("champion", "challenger")]),
        (
            changed["Features"],
            [
                len(read_json(data / "champion/package/plan.json")["features"]),
                len(read_json(data / "package/plan.json")["features"]),
            ],
        ),
        (
            changed["Rows it was made from"],
            [read_metadata(data / folder / "rows.parquet").num_rows for folder in ("champion/package", "package")],
        ),
        (worth["Right decisions"], [(right_no + hit) / total]),
        (worth["Always “not late”"], [metrics["baseline"]["test"]["accuracy"]]),
        (worth["“late” found"], [hit / (hit + missed)]),
        (worth["False alarms"], [false]),
    ]
    decisions, evidences, features = page["decisions"], page["evidence"], read_json(data / "features/summary.json")
    choice, drift = read_json(data / "evaluation/choice.json"), read_json(data / "drift/drift.json")
    expected += [
        (decisions["Threshold"], [choice["threshold"]]),
        (decisions["Precision"], [metrics["choice"]["test"]["precision"]]),
        (decisions["Recall"], [metrics["choice"]["test"]["recall"]]),
        (evidences["ROC AUC against the champion's"], [evidence["difference"]]),
        (evidences["Test ROC AUC"], [choice["test"]]),
        (evidences["Compared on"], [verdict["n"]]),
        (page["drift"]["Newest rows"], [drift["window"]["rows"]]),
        (page["drift"]["Reference rows"], [drift["reference"]["rows"]]),
        (page["data"]["Train"], [features["rows"]["train"]]),
        (page["data"]["Validation"], [features["rows"]["valid"]]),
        (page["data"]["Test"], [features["rows"]["test"]]),
        (page["features"]["Features"], [len(features["features"])]),
    ]
    for test in verdict["tests"].values():
        expected.append((evidences[test["name"]][1:2], [test["p"]]))
    for name, title in (("Logistic", "logistic"), ("XGBoost", "xgboost")):
        one = metrics["candidates"][title]
        expected.append((page["candidates"][name][:2], [one["valid"]["roc_auc"], one["test"]["roc_auc"]]))
    titles = {"ROC AUC": "roc_auc", "Log loss": "log_loss", "Brier score": "brier", "Accuracy": "accuracy", "F1": "f1"}
    for title, name in titles.items():
        row = page["quality"][title]
        expected.append(([row[0], row[2]], [metrics["choice"]["test"][name], metrics["choice"]["valid"][name]]))
    weights = read_json(data / "evaluation/explain.json")["importance"]
    named = {f["name"]: f["description"] for f in features["features"]}
    for name in sorted(weights, key=lambda k: -weights[k])[:5]:
        expected.append((page["drivers"][named[name]], [weights[name] / sum(weights.values())]))
    pairs = [(said, value) for each, values in expected for said, value in zip(each, values, strict=True)]
    assert len(pairs) >= 30
    assert [pair for pair in pairs if not close(*pair)] == []


@pytest.mark.parametrize("kind", ["multiclass", "regression"])
def test_figures_of_other_kinds_agree_with_their_files(told: Any, kind: str) -> None:
    data, page = told(kind)
    metrics, features = read_json(data / "evaluation/metrics.json"), read_json(data / "features/summary.json")
    titles = {
        "multiclass": {"Log loss": "log_loss", "Accuracy": "accuracy"},
        "regression": {"RMSE": "rmse", "R²": "r2"},
    }
    for title, name in titles[kind].items():
        row = page["quality"][title]
        assert close(row[0], metrics["choice"]["test"][name])
        assert close(row[2], metrics["choice"]["valid"][name])
    for title, split in (("Train", "train"), ("Validation", "valid"), ("Test", "test")):
        assert close(page["data"][title][0], features["rows"][split])
    new = page["The new model"]
    evidence = read_json(data / "verdict/verdict.json")["evidence"]
    (without, value) = new["RMSE" if kind == "regression" else "Log loss"]
    assert close(without, evidence["baseline"])
    assert close(value, evidence["challenger"])


def test_single_rows_are_named_by_their_key(told: Any) -> None:
    data, page = told("binary")
    orders = pd.read_parquet(data / "validated/orders.parquet")
    for one in read_json(data / "evaluation/rows.json")["worst"]:
        truth, said = page["errors"][f"{orders['order'][one['row']]:.0f}"][:2]
        assert truth == ("late" if one["truth"] == "1" else "not late")
        assert close(said, one["score"][1])
