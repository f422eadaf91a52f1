"""The head of the page: the verdict in one sentence, and the numbers behind it."""

from __future__ import annotations

from typing import Any

from tasks.metrics import higher_is_better
from tasks.metrics.intervals import wilson
from tasks.report.about_models import value_of
from tasks.report.blocks import Cell, Chart, Charts, Facts, Table
from tasks.report.charts import Axis
from tasks.report.marks import Bar, bars, intervals
from tasks.report.numbers import DASH, number, p_value, percent, plain, title

WORDS = {"promote": "Promote", "keep": "Keep the champion", "inconclusive": "Inconclusive"}
SAID = {"p_better": "one-sided p", "p_worse": "p of being worse", "auc": "areas", "se": "standard error"}


def head(
    verdict: dict[str, Any] | None, choice: dict[str, Any] | None, metrics: dict[str, Any] | None
) -> dict[str, Any]:
    """``word``, ``tone``, ``sentence``, ``why`` (further sentences) and ``blocks`` of the page's head."""
    blocks: list[Any] = [Facts(items)] if (items := _facts(verdict, choice, metrics)) else []
    if not verdict:
        said = "No verdict yet: the comparison with the champion has not been run."
        return {"word": "No verdict", "tone": "none", "sentence": said, "why": [], "blocks": blocks}
    word = str(verdict.get("verdict", ""))
    evidence = verdict.get("evidence") or {}
    charts = _charts(evidence, verdict.get("n")) or _against_no_model(choice, metrics)
    if charts:
        blocks.append(Charts(charts))
    blocks += [t for t in (_tests(verdict.get("tests") or {}), _guardrails(verdict), _needed(evidence)) if t and t.rows]
    why = [str(x) for key in ("why", "warnings") for x in verdict.get(key) or []]
    return {
        "word": WORDS.get(word, plain(word)),
        "tone": word if word in WORDS else "none",
        "sentence": verdict.get("sentence", ""),
        "why": why,
        "blocks": blocks,
    }


def _facts(
    verdict: dict[str, Any] | None, choice: dict[str, Any] | None, metrics: dict[str, Any] | None
) -> list[tuple[str, str, str]]:
    items: list[tuple[str, str, str]] = []
    evidence = (verdict or {}).get("evidence") or {}
    if evidence.get("difference") is not None:
        shares, metric = evidence.get("metric") == "accuracy", evidence.get("metric", "")
        say = percent if shares else number
        spread = _between(evidence.get("interval"), say)
        name = "Challenger ahead by" if shares else f"{title(metric)} against the champion's"
        better = "" if shares else f"; {'above' if higher_is_better(metric) else 'below'} 0 the challenger is better"
        items.append(
            (name, say(evidence["difference"], 2 if shares else 3), f"95% interval {spread}{better}" if spread else "")
        )
    if choice:
        metric = choice.get("metric", "")
        bounds = (((metrics or {}).get("choice") or {}).get("test_interval") or {}).get(metric)
        spread = f"95% interval {_between(bounds, number)}; " if bounds else ""
        note = f"{spread}without a model {number(value_of(choice.get('baseline')))}"
        items.append((f"Test {title(metric)}", number(value_of(choice.get("test"))), note))
        items.append(("Challenger", plain(str(choice.get("family", DASH))), "chosen on the validation rows"))
    if verdict:
        if verdict.get("n") is not None:
            items.append(
                (
                    "Compared on",
                    number(int(verdict["n"])),
                    "rows that neither model has seen"
                    if verdict.get("champion")
                    else "rows that the model has not seen",
                )
            )
        items.append(("Champion", *_champion(verdict.get("champion"))))
    return items


def _champion(found: Any) -> tuple[str, str]:
    if not found:
        return "none", "this is the first model"
    if isinstance(found, dict):
        version = found.get("version")
        name = f"version {version}" if version is not None else str(found.get("name", "yes"))
        return name, str(found.get("family") or found.get("name") or "")
    return str(found)[:16], "in service now"


def _between(pair: Any, say: Any) -> str:
    return f"{say(pair[0])} to {say(pair[1])}" if pair and None not in pair else ""


def _charts(evidence: dict[str, Any], n: int | None) -> list[Chart]:
    """Both models side by side, their difference, and the rows on which they differ."""
    charts = []
    table, metric = evidence.get("table"), evidence.get("metric", "")
    shares = metric == "accuracy"
    if {"challenger", "champion"} <= set(evidence):
        rows = []
        for colour, who in ((1, "challenger"), (0, "champion")):
            low, high = None, None
            if shares and table and n:
                low, high = wilson((table["both_right"] + table[f"{who}_alone"]) / n, n)
            rows.append(Bar(plain(who), evidence[who], colour, low, high))
        said = "Each with its own 95% interval." if shares else ""
        svg = intervals("Both models", Axis(f"{title(metric)} on the compared rows"), rows)
        charts.append(Chart("Both models on the same rows", svg, said))
    pair = evidence.get("interval")
    if evidence.get("difference") is not None and pair and None not in pair:
        row = Bar("Difference", evidence["difference"], 1, pair[0], pair[1])
        svg = intervals(
            "Difference",
            Axis(f"{title(metric)}: challenger minus champion", percent=shares),
            [row],
            zero=0.0,
        )
        said = (
            "The interval lies wholly on one side of nought."
            if pair[0] * pair[1] > 0
            else "The interval holds nought: chance alone could explain the difference."
        )
        charts.append(Chart("How far apart", svg, said))
    if table:
        rows = [
            Bar("Challenger alone", table["challenger_alone"], 1),
            Bar("Champion alone", table["champion_alone"], 0),
        ]
        said = f"On {number(table['both_right'])} rows both are right, on {number(table['both_wrong'])} both are wrong; only these rows tell them apart."
        charts.append(Chart("Right where the other is wrong", bars("Discordant rows", Axis("rows"), rows), said))
    return charts


def _against_no_model(choice: dict[str, Any] | None, metrics: dict[str, Any] | None) -> list[Chart]:
    """The first model beside the answer that needs no model."""
    metric = (choice or {}).get("metric", "")
    mine, base = (value_of((choice or {}).get(k)) for k in ("test", "baseline"))
    if mine is None or base is None:
        return []
    low, high = (((metrics or {}).get("choice") or {}).get("test_interval") or {}).get(metric) or (None, None)
    rows = [Bar("Challenger", mine, 1, low, high), Bar("No model", base, 0)]
    svg = intervals("Challenger and no model", Axis(f"{title(metric)} on the test rows"), rows)
    return [Chart("Against no model", svg, "The line is the 95% interval." if low is not None else "")]


def _tests(tests: dict[str, Any]) -> Table:
    """Every test of the comparison: its statistic, p-value and what else it says."""
    rows = []
    for name, test in tests.items():
        if isinstance(test, dict):
            kept = {k: v for k, v in test.items() if k not in ("p", "statistic", "name", "z", "why", "variant")}
            said = "; ".join(f"{SAID.get(k, k.replace('_', ' '))} {_value(k, v)}" for k, v in kept.items() if _short(v))
            said += ("; " if said and test.get("why") else "") + str(test.get("why") or "")
            rows.append(
                [
                    Cell(str(test.get("name") or plain(name))),
                    Cell(number(test.get("statistic")), sort=test.get("statistic")),
                    Cell(p_value(test.get("p")), sort=test.get("p")),
                    Cell(said),
                ]
            )
    return Table(
        [("Test", "text", ""), ("Statistic", "number", ""), ("p", "number", ""), ("Details", "text wide", "")], rows
    )


def _short(value: Any) -> bool:
    return value is not None and not isinstance(value, dict) and not (isinstance(value, list) and len(value) > 3)


def _value(key: str, value: Any) -> str:
    if key.startswith("p_"):
        return p_value(value)
    if isinstance(value, list):
        return " to ".join(number(v) if isinstance(v, int | float) else str(v) for v in value)
    return number(value) if isinstance(value, float) else str(value)


def _guardrails(verdict: dict[str, Any]) -> Table:
    """What had to hold besides: each guardrail with its limit and what was found."""
    rows = []
    for e in verdict.get("guardrails") or []:
        said = Cell("holds", tone="good") if e["passed"] else Cell("fails", tone="bad")
        rows.append([Cell(plain(e["name"])), Cell(number(e["found"])), Cell(number(e["limit"])), said, Cell(e["said"])])
    columns = [
        ("Guardrail", "text", ""),
        ("Found", "number", ""),
        ("Limit", "number", ""),
        ("", "text", ""),
        ("", "text", ""),
    ]
    return Table(columns, rows)


def _needed(evidence: dict[str, Any]) -> Table | None:
    """How many labelled rows it takes to see a difference of a given size."""
    found, metric = evidence.get("rows_needed") or {}, evidence.get("metric", "")
    share = metric == "accuracy" or not higher_is_better(metric)  # points, or a share of the champion's loss
    rows = [
        [Cell(percent(float(d), 1) if share else d, sort=float(d)), Cell(number(n), sort=n)] for d, n in found.items()
    ]
    return Table(
        [
            ("To see a difference of", "text", f"in {title(metric)}"),
            ("labelled rows needed", "number", "with a power of 80%"),
        ],
        rows,
    )
