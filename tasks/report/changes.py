"""What changed since the champion was made: figures on the same rows, model, features, data and settings."""

from __future__ import annotations

from collections.abc import Iterator

from markupsafe import Markup

from tasks.artifacts import Receipt
from tasks.report.blocks import Block, Cell, Prose, Section, Table, text
from tasks.report.found import RunFiles
from tasks.report.numbers import DASH, counted, day, number, percent, plain, title

LISTED = 12  # features of each sort that are named


def leaves(tree: object, path: str = "") -> Iterator[tuple[str, object]]:
    """Values of a JSON tree by dotted path; an empty mapping is a value, so that a family without settings is seen.

    >>> dict(leaves({"seed": 1, "models": {"mlp": {}, "tree": {"trials": 3}}}))
    {'seed': 1, 'models.mlp': {}, 'models.tree.trials': 3}
    """
    if isinstance(tree, dict) and tree:
        for key, value in tree.items():
            yield from leaves(value, f"{path}.{key}" if path else str(key))
    else:
        yield path, tree


def side_by_side(found: RunFiles) -> Table:
    """The champion, or the answer that needs no model, beside the new model."""
    verdict, champion = found.verdict, found.champion
    theirs = f"Version {champion.version}" if champion else "Without a model"
    rows = [*_figures(found), *_made_of(found)]
    marked = verdict is not None and verdict.verdict == "promote"
    columns = [
        ("", "text", ""),
        (theirs, "figure", "in service" if champion else ""),
        ("New model", "figure strong" if marked else "figure", ""),
    ]
    return Table(columns, rows, sortable=False)


def _figures(found: RunFiles) -> Iterator[list[Cell]]:
    """What both are worth on the same rows."""
    verdict = found.verdict
    evidence = verdict.evidence if verdict else None
    if verdict and evidence and evidence.metric and evidence.challenger is not None:
        say = percent if evidence.metric == "accuracy" else number
        name = title(evidence.metric)
        other = evidence.champion if found.champion else evidence.baseline
        pair = evidence.interval
        note = f"on {number(verdict.n)} unseen rows" + (
            f"; difference {say(pair[0])} to {say(pair[1])}" if pair else ""
        )
        yield [Cell(name, note=note), Cell(say(other)), Cell(say(evidence.challenger))]
    if evidence and (served := evidence.as_served) and evidence.metric != "accuracy":
        yield [
            Cell("Right decisions"),
            Cell(percent(served.champion.accuracy)),
            Cell(percent(served.challenger.accuracy)),
        ]


def _made_of(found: RunFiles) -> Iterator[list[Cell]]:
    """What both were made of."""
    champion, choice = found.champion, found.choice
    old, new = champion.bundle if champion else None, found.bundle
    if new or choice:
        family = new.family if new else choice.family if choice else ""
        yield [Cell("Kind of model"), Cell(plain(old.family) if old else DASH), Cell(plain(family))]
    names = [f.name for f in found.features.features] if found.features else []
    before = _names(champion.plan if champion else None)
    if names:
        added, gone = [n for n in names if n not in before], [n for n in before if n not in names]
        said = ", ".join(f"{len(some)} {word}" for some, word in ((added, "new"), (gone, "gone")) if some)
        note = said if before else ""
        yield [Cell("Features"), Cell(number(len(before)) if before else DASH), Cell(number(len(names)), note=note)]
    as_of, was = (
        found.receipt.as_of if found.receipt else None,
        champion.receipt.as_of if champion and champion.receipt else None,
    )
    if as_of:
        yield [Cell("Data up to"), Cell(day(was)), Cell(day(as_of))]
    if found.made_from is not None:
        yield [
            Cell("Rows it was made from"),
            Cell(number(champion.made_from if champion else None)),
            Cell(number(found.made_from)),
        ]
    if differ := _settings(champion.receipt if champion else None, found.receipt):
        yield [Cell("Settings"), text(None), Cell(f"{len(differ)} changed")]


def _names(plan: object) -> list[str]:
    listed = plan.get("features") if isinstance(plan, dict) else None
    return [str(f["name"]) for f in listed if isinstance(f, dict) and "name" in f] if isinstance(listed, list) else []


def _settings(old: Receipt | None, new: Receipt | None) -> list[tuple[str, object, object]]:
    """Settings of ``params.yaml`` that are others than the champion was made with; ``None``: not set."""
    if old is None or new is None:
        return []
    before, now = (dict(leaves(receipt.params)) for receipt in (old, new))
    keys = list(dict.fromkeys([*before, *now]))
    return [(k, before.get(k), now.get(k)) for k in keys if before.get(k) != now.get(k)]


def details(found: RunFiles) -> Section | None:
    """Which features came and went, and which settings differ; None where nothing of this changed."""
    champion = found.champion
    if champion is None:
        return None
    before, now = _names(champion.plan), found.features.names if found.features else []
    blocks: list[Block] = []
    for some, said in (
        ([n for n in now if n not in before], "came since then"),
        ([n for n in before if n not in now], "went since then"),
    ):
        if before and now and some:
            shown = Markup(", ").join(Markup("<code>{}</code>").format(name) for name in some[:LISTED])
            rest = f", and {len(some) - LISTED} more" if len(some) > LISTED else ""
            blocks.append(Prose(Markup("{} {}: {}{}.").format(counted(len(some), "feature"), said, shown, rest)))
    differ = _settings(champion.receipt, found.receipt)
    if differ:
        rows = [
            [
                Cell(Markup("<code>{}</code>").format(key), sort=key),
                text(DASH if was is None else was),
                text(DASH if now_ is None else now_),
            ]
            for key, was, now_ in differ
        ]
        blocks.append(Table([("Setting", "text", ""), ("Then", "text", ""), ("Now", "text", "")], rows))
    if not blocks:
        return None
    lead = f"Between version {champion.version}, the champion, and this run's model. Figures of both stand at the top."
    return Section("changes", "What changed", lead, blocks)
