"""Section on leaks: what gives the target away, what a person accepted, and what cannot be seen from data."""

from __future__ import annotations

from markupsafe import Markup

from tasks.artifacts import Leaks, Verdict
from tasks.report.blocks import Block, Cell, Facts, Prose, Section, Table, text
from tasks.report.numbers import number


def leaks(found: Leaks | None, verdict: Verdict | None) -> Section:
    """Suspected columns with strength and reason, accepted ones marked; then what was looked at, and the limits."""
    lead = "Whether some feature repeats the target, or knows what came only later. A suspicion stops the promotion until it is accepted."
    if not found:
        return Section("leaks", "Leaks", lead, missing="the look for leaks has not been made.")
    accepted = {s.column for s in verdict.accepted} if verdict else set()
    suspected = found.suspicions
    still = [s for s in suspected if s.column not in accepted]
    facts = [("Suspected", number(len(still)), "columns that nobody accepted")]
    if len(still) < len(suspected):
        facts.append(("Accepted", number(len(suspected) - len(still)), "by promotion.accept"))
    rows = [
        [
            Cell(Markup("<code>{}</code>").format(s.column), sort=s.column),
            Cell(number(s.strength), sort=s.strength or 0.0),
            text(s.said),
            Cell("accepted") if s.column in accepted else Cell("suspected", tone="bad"),
        ]
        for s in suspected
    ]
    columns = [("Column", "text", ""), ("Alone", "number", "AUC or R² on rows held out"), ("Why", "text wide", ""), ("", "text", "")]  # fmt: skip
    blocks: list[Block] = [Facts(facts), *([Table(columns, rows)] if rows else [])]
    blocks.append(Prose("Looked at: " + ("; ".join(found.checked) or "nothing") + "."))
    blocks.append(Prose("Not to be seen from data: " + " ".join(found.limits), quiet=True))
    return Section("leaks", "Leaks", lead, blocks)
