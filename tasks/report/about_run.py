"""Sections on drift, on where the run comes from, and on how to read the page."""

from __future__ import annotations

from markupsafe import Markup

from tasks.artifacts import Drift, DriftOfColumn, Manifest, Receipt
from tasks.kinds import find_kind
from tasks.report.blocks import Block, Cell, Chart, Charts, Facts, Prose, Section, Table, Terms
from tasks.report.charts import Axis, histogram, short
from tasks.report.dag import picture, stages
from tasks.report.found import Json
from tasks.report.marks import spark
from tasks.report.numbers import DASH, day, number, percent

CHECKS = {
    "mean": "higher or lower values",
    "spread": "more or less spread out",
    "edge": "values at the edges of what was seen",
    "far": "values far outside",
    "missing": "missing values",
    "level": "share of a category",
    "new": "rows of unseen categories",
    "single": "one new category",
}
STATES = {"drifted": "drifted", "seasonal": "as a year ago", "varies": "moves, as often", "stable": "stable"}


def drift(found: Drift | None) -> Section:
    """What drifted in a sentence, columns by strength, the predictions, and the link to Evidently's page."""
    lead = "Do the newest rows, and the model's answers to them, still look like those that the champion was made from?"
    if not found:
        return Section("drift", "Drift", lead, missing="there is no data/drift.")
    prediction = found.prediction
    if found.drifted is None or prediction is None:
        return Section("drift", "Drift", lead, [Prose(found.sentence)])
    window, reference, columns = found.window, found.reference, found.columns
    span = f"{day(window.since)} to {day(window.until)}" if window.since else "arrived since the champion was made"
    whose = f"champion, version {reference.version}" if reference.version else "new package: no champion yet"
    said = {True: "drifted", False: "stable", None: "not judged"}[prediction.drifted]
    facts = [
        (
            "Columns drifted",
            f"{sum(bool(c.drifted) for c in columns)} of {len(columns)}",
            f"{percent(found.share, 0)}; from {percent(found.drift_share, 0)} on, the whole table has drifted",
        ),
        ("Predictions", said, prediction.said or "held against answers to held-out rows"),
        ("Newest rows", number(window.rows), span),
        ("Reference rows", number(reference.rows), whose),
    ]
    blocks: list[Block] = [Prose(found.sentence), Facts(facts)]
    blocks.append(
        Prose(
            f"Thresholds: {found.thresholds}. Over a year of looks at all columns together, ordinary data raise one false "
            "alarm at most.",
            quiet=True,
        )
    )
    mean, rate = prediction.mean, prediction.positive_rate
    told = f"Mean {number(mean[0])} on held-out rows, {number(mean[1])} on the newest." if mean else ""
    told += f" Called positive: {percent(rate[0])} and {percent(rate[1])}." if rate else ""
    charts = [_distribution("The model's answers", "prediction", prediction, told.strip())]
    charts += [_distribution(c.column, c.column, c, c.said or "") for c in columns[:2] if c.drifted]
    if any(charts):
        blocks.append(Charts([c for c in charts if c]))
    blocks.append(_columns(columns))
    if found.page_left_out:
        blocks.append(Prose(f"Evidently's page was left out: {found.page_left_out}.", quiet=True))
    else:
        full = Markup(
            'Full distributions of {} columns, by the same figures: <a href="../drift/drift.html">drift.html</a>.'
        )
        blocks.append(Prose(full.format(sum(c.drawn for c in columns)), quiet=True))
    return Section("drift", "Drift", lead, blocks)


def _distribution(heading: str, name: str, entry: DriftOfColumn, caption: str) -> Chart | None:
    """Reference and newest rows over each other, for a numeric or a categorical column."""
    shown = entry.distribution
    if shown is None:
        return None
    groups = [("reference", shown.reference, 0), ("newest", shown.current, 2)]
    levels = shown.levels
    ticks = (
        [(i + 0.5, short(level, 40 // len(levels) + 2)) for i, level in enumerate(levels)] if len(levels) <= 8 else []
    )
    edges = shown.edges or list(range(len(levels) + 1))
    svg = histogram(heading, Axis(name, ticks=ticks), Axis("share of rows", percent=True), edges, groups, levels)
    return Chart(heading, svg, caption)


def _columns(columns: list[DriftOfColumn]) -> Table:
    rows = []
    for c in columns:
        shown, missing = c.distribution, c.missing
        small: Markup | str = DASH
        if shown:
            small = spark(shown.reference, shown.current, f"{c.column}: grey reference, coloured newest")
        rows.append(
            [
                Cell(Markup("<code>{}</code>").format(c.column), sort=c.column),
                Cell(small, sort=""),
                Cell(STATES[c.state], tone="warn" if c.drifted else "", sort=c.state),
                Cell(number(c.statistic), sort=c.statistic),
                Cell(CHECKS[c.test], note="; ".join(filter(None, [c.said, c.measure]))),
                Cell(number(c.psi), sort=c.psi if c.psi is not None else -1),
                Cell(f"{percent(missing[0], 0)} → {percent(missing[1], 0)}", sort=missing[1]),
            ]
        )
    names = [
        ("Column", "text", ""),
        ("Distribution", "text", "grey: reference rows; coloured: newest rows"),
        ("", "text", "as a year ago: moved as in the season before; moves, as often: no more than past windows did"),
        ("Beyond", "number", "how far the strongest check is beyond what is ordinary; 1 is the limit, and decides"),
        ("By", "text", "the strongest check, and whose measure it goes by"),
        ("PSI", "number", "population stability index, less what chance adds to it; it describes, and decides nothing"),
        ("Missing", "number", "share of missing values, reference → newest"),
    ]
    return Table(names, rows, "Drifted columns first, the strongest on top.", search="Search the columns")


def lineage(
    receipt: Receipt | None,
    about: Manifest | None,
    dag: Json | None,
    identity: str | None,
    models: list[str],
) -> Section:
    """Where the run comes from: hashes of data, code, parameters, lock and seed; the pipeline."""
    lead = "Everything this model was made from, by hash: the same inputs give the same package, byte for byte."
    blocks: list[Block] = []
    if dag:
        found = stages(dag, models)
        blocks.append(
            Charts(
                [
                    Chart(
                        "The pipeline",
                        picture(found),
                        "Stages of dvc.yaml; a line leads to the stage that reads what another made. A stack stands for one stage per model family.",
                        wide=True,
                    )
                ]
            )
        )
    told: list[tuple[str, str]] = [("Model", f"{about.name} ({about.family})")] if about else []
    if identity:
        told.append(("Package", Markup("<code>{}</code>").format(identity)))
    told += _receipt(receipt) if receipt else []
    if told:
        blocks.append(Terms(told))
    hashes = (("data", receipt.data), ("code", receipt.code)) if receipt else ()
    files = [(kind, path, digest) for kind, listed in hashes for path, digest in listed.items()]
    if files:
        rows = [
            [
                Cell(kind),
                Cell(Markup("<code>{}</code>").format(path), sort=path),
                Cell(Markup("<code>{}</code>").format(digest[:16]), sort=digest),
            ]
            for kind, path, digest in files
        ]
        blocks.append(
            Table(
                [("Kind", "text", ""), ("File", "text", ""), ("SHA-256", "text", "first 16 digits")],
                rows,
                f"The {len(rows)} files in the receipt.",
                search="Search the files",
            )
        )
    missing = "" if receipt else "the package's receipt is not there."
    return Section("lineage", "Lineage", lead, blocks, missing)


def _receipt(receipt: Receipt) -> list[tuple[str, str]]:
    lock = None if receipt.lock is None else Markup("<code>{}</code>").format(receipt.lock)
    told = (
        ("As of", receipt.as_of),
        ("Seed", str(receipt.seed)),
        ("Parameters", f"in the receipt: sections {', '.join(receipt.params)}"),
        ("Lock file", lock),
        ("Data", f"{len(receipt.data)} files, listed below"),
        ("Code", f"{len(receipt.code)} files, listed below"),
        ("Libraries", ", ".join(f"{name} {version}" for name, version in receipt.libraries.items() if version)),
    )
    return [(name, value) for name, value in told if value is not None]


def reading(kind: str, champion: bool) -> Section:
    """A few words that the page uses, explained."""
    items = [
        (
            "Verdict",
            "Promote: the challenger takes the champion's place. Keep: the champion stays. Inconclusive: too few rows to tell them apart; the champion stays and the evidence adds up over the next runs.",
        ),
        (
            "Champion, challenger",
            "The model in service, and this run's best candidate. Both are judged on the same rows, which neither has seen.",
        ),
        (
            "Interval",
            "A 95% confidence interval: what the value could plausibly be, had other rows been drawn. Two overlapping intervals say little; look at the interval of the difference.",
        ),
        (
            "p-value",
            "How often chance alone would give a difference at least as large. It is no measure of how large the difference is.",
        ),
        (
            "Test rows",
            "Measured once, after everything was chosen. The validation rows have been used to choose, so their values flatter.",
        ),
    ]
    items += [
        *find_kind(kind).glossary,
        (
            "Slice",
            "A part of the test rows, such as one carrier. With many parts some look weak by chance; the p-values are corrected for that.",
        ),
        (
            "Drift",
            "The newest rows differ from the reference by more than past windows did. That is a reason to look, not a proof that the model got worse.",
        ),
    ]
    if not champion:
        items.insert(
            2, ("First model", "Without a champion, the challenger is compared with the answer that needs no model.")
        )
    return Section("reading", "How to read this", "", [Terms(items)])
