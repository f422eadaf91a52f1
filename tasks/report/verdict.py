"""The head of the page: the verdict in one sentence, and the numbers behind it."""

from __future__ import annotations

from typing import Any

from tasks.report.about_models import value_of
from tasks.report.blocks import Cell, Chart, Charts, Facts, Table
from tasks.report.charts import Axis, Bar, intervals
from tasks.report.numbers import DASH, number, p_value, percent, plain, title

WORDS = {"promote": "Promote", "keep": "Keep the champion", "inconclusive": "Inconclusive"}


def head(
    verdict: dict[str, Any] | None, choice: dict[str, Any] | None, metrics: dict[str, Any] | None
) -> dict[str, Any]:
    """``word``, ``tone``, ``sentence``, ``why`` (further sentences) and ``blocks`` of the page's head."""
    if not verdict:
        said = "No verdict yet: the comparison has not been run."
        return {
            "word": "No verdict",
            "tone": "none",
            "sentence": said,
            "why": [],
            "blocks": _facts(None, choice, metrics),
        }
    word = str(verdict.get("verdict", ""))
    blocks = _facts(verdict, choice, metrics)
    chart = _charts(verdict, choice, metrics)
    if chart:
        blocks.append(Charts(chart))
    tests = tests_table(verdict.get("tests") or {})
    if tests.rows:
        blocks.append(tests)
    why = [str(x) for x in verdict.get("why") or verdict.get("reasons") or []]
    why += [str(x) for x in verdict.get("warnings") or []]
    return {
        "word": WORDS.get(word, plain(word)),
        "tone": word if word in WORDS else "none",
        "sentence": verdict.get("sentence", ""),
        "why": why,
        "blocks": blocks,
    }


def _facts(verdict: dict[str, Any] | None, choice: dict[str, Any] | None, metrics: dict[str, Any] | None) -> list[Any]:
    items: list[tuple[str, str, str]] = []
    metric = (choice or {}).get("metric", "")
    if choice:
        bounds = (((metrics or {}).get("choice") or {}).get("test_interval") or {}).get(metric)
        spread = f"95% interval {number(bounds[0])} to {number(bounds[1])}; " if bounds else ""
        items.append(
            (
                f"Test {title(metric)}",
                number(value_of(choice.get("test"))),
                f"{spread}without a model {number(value_of(choice.get('baseline')))}",
            )
        )
        items.append(("Challenger", plain(str(choice.get("family", DASH))), "chosen on the validation rows"))
    if verdict:
        if verdict.get("n") is not None:
            items.append(("Compared on", number(int(verdict["n"])), "rows that neither model has seen"))
        items.append(("Rule", plain(str(verdict.get("rule", DASH))), ""))
    return [Facts(items)] if items else []


def _charts(verdict: dict[str, Any], choice: dict[str, Any] | None, metrics: dict[str, Any] | None) -> list[Chart]:
    return []


def tests_table(tests: dict[str, Any]) -> Table:
    """Every test of the comparison: its statistic, p-value and what else it says."""
    rows = []
    for name, test in tests.items():
        if not isinstance(test, dict):
            continue
        p = next((test[k] for k in ("p", "p_value", "pvalue") if test.get(k) is not None), None)
        rest = {k: v for k, v in test.items() if k not in ("p", "p_value", "pvalue", "statistic", "name")}
        said = "; ".join(
            f"{k.replace('_', ' ')} {_plain(v)}" for k, v in rest.items() if not isinstance(v, dict) and v is not None
        )
        rows.append(
            [
                Cell(str(test.get("name") or plain(name))),
                Cell(number(test.get("statistic"))),
                Cell(p_value(p)),
                Cell(said),
            ]
        )
    return Table(
        [("Test", "text", ""), ("Statistic", "number", ""), ("p", "number", ""), ("Details", "text", "")], rows
    )


def _plain(value: Any) -> str:
    if isinstance(value, list):
        return " to ".join(number(v) if isinstance(v, int | float) else str(v) for v in value)
    return number(value) if isinstance(value, float) else str(value)


__all__ = ["Axis", "Bar", "head", "intervals", "percent", "tests_table"]
