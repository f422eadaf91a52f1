"""Drift of a whole table: every column and the answers held against the reference, and the sum of it in a sentence."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass

import numpy as np
import pandas as pd

from tasks.artifacts import DriftAlarm, DriftOfColumn
from tasks.drift.columns import SEASON, entry
from tasks.drift.evidently_measures import measure
from tasks.drift.evidently_report import page
from tasks.drift.window import thin
from tasks.errors import some
from tasks.fitting.rows import scores_in
from tasks.ordinary.checks import ALARMS, ENOUGH
from tasks.ordinary.record import PREDICTION, Column, Record, make

LISTED = 24
NAMED = 5


def named(champion: str | None) -> str:
    """Whose reference it is, in words."""
    return f"the champion (version {champion})" if champion else "the new package (there is no champion yet)"


@dataclass(frozen=True)
class Reference:
    """What rows are held against: the package's record, and its sample of rows (``reference.parquet``).

    ``champion``: its version, or None where the new package is its own reference. ``identity``: of the package.
    """

    record: Record
    sample: pd.DataFrame
    champion: str | None
    identity: str

    @classmethod
    def of(
        cls, record: Record | None, sample: pd.DataFrame, kinds: dict[str, str], champion: str | None, identity: str
    ) -> Reference:
        """The reference of a package; of an older one (``record`` None) its sample of training rows is all there is."""
        if record is None:
            kept = {name: kind for name, kind in kinds.items() if name in sample}
            record = make(sample, kept, pd.Series(pd.NaT, index=sample.index, dtype="datetime64[us, UTC]"), None)
        return cls(record, sample, champion, identity)

    @property
    def rows(self) -> pd.DataFrame:
        """The sample of rows that the model has seen."""
        if "__split__" not in self.sample:
            return self.sample
        seen = self.sample["__split__"] != "test"
        return self.sample[seen] if seen.any() else self.sample

    @property
    def scores(self) -> np.ndarray | None:
        """Scores of the sample's held-out rows; None in older packages, which have those of training rows."""
        if self.record.answers is None:
            return None
        return scores_in(self.sample[self.sample["__split__"] == "test"])

    def who(self) -> str:
        """Whose reference it is, in words."""
        return named(self.champion)


def compare_table(reference: Reference, windows: list[pd.DataFrame], given: list[pd.Series], kinds: dict[str, str],
                  told: pd.Series | None, window: pd.Timedelta, end: pd.Timestamp | None,
                  alarms: float = ALARMS) -> tuple[list[DriftOfColumn], DriftOfColumn]:  # fmt: skip
    """An entry per column, drifted ones first and the strongest on top, and that of the answers.

    Parameters
    ----------
    windows : features of the newest window, and of the newest two together where there are two.
    given : the model's answers to the same rows. kinds : of the features; text is left out.
    told : answers to the sample's held-out rows, or None. window : its length. end : of the newest window, if it has one.
    alarms : false alarms a year that are allowed for.
    """
    record = reference.record
    looked = [n for n in kinds if n in record.columns and n in windows[0]]
    count = (len(looked) + 1) / alarms  # columns that share the level of one false alarm
    rows = reference.rows
    answers = record.answers
    asked: list[dict[Hashable, tuple[Column, pd.Series]]] = [
        {n: (record.columns[n], w[n]) for n in looked} for w in windows
    ]
    if answers is not None and told is not None:  # beside the features, whatever these are called
        asked = [{**one, ("answers",): (answers.columns[PREDICTION], given[i])} for i, one in enumerate(asked)]
    measured = [measure(one) for one in asked]
    place = _place(record, window, end)
    entries = [
        entry(record.columns[n], rows[n], [w[n] for w in windows], count, *place, [m[n] for m in measured])
        for n in looked
    ]
    entries.sort(key=lambda e: (not e.drifted, -e.statistic, e.column))
    if record.answers is None or told is None or record.answers.columns[PREDICTION].total.sum() == 0:
        why = "the package has no scores of held-out rows" if record.answers is None else "there are no held-out rows"
        return entries, DriftOfColumn(column=PREDICTION, state="unjudged", drifted=None, said=why)
    place, about = _place(record.answers, window, end), [m["answers",] for m in measured]
    return entries, entry(record.answers.columns[PREDICTION], told, given, count, *place, about)


def _place(
    record: Record, window: pd.Timedelta, end: pd.Timestamp | None
) -> tuple[int | None, float | None, int | None]:
    """Past windows in one of ``window``, where it ends in them after the record, and how many make a year."""
    if record.length is None or record.end is None or end is None:
        return None, None, None
    length = window / record.length
    if length < 0.95 or abs(length - round(length)) > 0.05 * length:
        return None, None, None
    season = round(SEASON / record.length)
    return round(length), float((end - record.end) / record.length), season if season > 1 else None


def listed(entries: list[DriftOfColumn], limit: int = LISTED) -> list[str]:
    """Columns worth a picture in Evidently's page: the ones that moved most, then the first ones by name."""
    fit = [e for e in entries if e.distribution]
    moved = sorted(fit, key=lambda e: (-e.statistic, e.column))
    return [e.column for e in moved[:limit]]


@dataclass(frozen=True)
class EvidentlyPage:
    """Evidently's page: which columns (and answers) it draws, and which it cannot draw."""

    html: str
    drawn: list[str]
    skipped: list[str]

    def mark(self, entry: DriftOfColumn) -> DriftOfColumn:
        """The entry, noted as drawn where it is."""
        return entry.model_copy(update={"drawn": True}) if entry.column in self.drawn else entry


def evidently(entries: list[DriftOfColumn], prediction: DriftOfColumn, reference: Reference, told: pd.Series | None,
              window: pd.DataFrame, given: pd.Series, seed: int) -> EvidentlyPage:  # fmt: skip
    """Evidently's page of the listed columns and the answers, by the figures that decide."""
    by_name = {e.column: e for e in [prediction, *entries]}
    names = [n for n in [PREDICTION, *listed(entries)] if by_name[n].distribution]
    left, right = thin(reference.rows, seed), thin(window, seed)
    pairs = {n: (left[n], right[n]) for n in names if n != PREDICTION}
    if PREDICTION in names and told is not None:
        pairs = {PREDICTION: (told, given)} | pairs
    drawn = {n: pair for n, pair in pairs.items() if by_name[n].kind != "numeric" or drawable(pair)}
    found, html = page(drawn, by_name)
    for name, value in found.items():
        assert value == by_name[name].statistic, name  # one place decides
    return EvidentlyPage(html, list(found), [n for n in pairs if n not in drawn])


def drawable(pair: tuple[pd.Series, pd.Series]) -> bool:
    """Whether Evidently can draw these numbers: it cuts their range into ten, which values that nearly agree, or lie too far
    apart, do not allow."""
    try:
        with np.errstate(all="ignore"):
            np.histogram(pd.concat(pair).dropna().to_numpy(float), bins=10)
    except ValueError:
        return False
    return True


@dataclass(frozen=True)
class Summed:
    """What the columns and the answers come to: drifted where any of them is."""

    drifted: bool
    share: float
    alarms: list[DriftAlarm]
    sentence: str


def summarise(entries: list[DriftOfColumn], prediction: DriftOfColumn, drift_share: float, who: str) -> Summed:
    """The judgement of a table, in numbers and words."""
    moved = [e for e in entries if e.drifted]
    count, total = len(moved), len(entries)
    share = count / total if total else 0.0
    named = [f"`{e.column}`: {e.said}" for e in moved]
    if prediction.drifted:
        named = [f"the predictions: {prediction.said}", *named]
    alarms = [DriftAlarm(column=e.column, kinds=e.alarms, said=e.said or "") for e in [prediction, *moved] if e.drifted]
    if named:
        columns = f"{count} of {total} columns" if count else ""
        what = f"{columns} and the predictions" if columns and prediction.drifted else columns or "the predictions"
        rest = f"; and {len(named) - NAMED} more" if len(named) > NAMED else ""
        wide = f", {share:.0%} of the table" if count and share >= drift_share else ""
        sentence = f"Drift against {who} in {what}{wide}: {'; '.join(named[:NAMED])}{rest}."
    else:
        seasonal = [f"`{e.column}`" for e in entries if e.state == "seasonal"]
        season = f" {some(seasonal)} moved as in the year before." if seasonal else ""
        answers = " and the predictions are" if prediction.drifted is False else " are"
        unjudged = "" if prediction.drifted is False else f" The predictions are not judged: {prediction.said}."
        sentence = f"No drift against {who}: {total} columns{answers} as ordinary.{season}{unjudged}"
    return Summed(bool(named), share, alarms, sentence)


def thresholds(entries: list[DriftOfColumn]) -> str:
    """Where the thresholds come from, in words."""
    past = max((e.past_windows for e in entries), default=0)
    if past >= ENOUGH:
        return f"from how {past} past windows differed"
    has = f"{past} past windows of this length" if past else "no past windows of this length"
    return f"parametric, as there are {has} and {ENOUGH} are needed: ordinary windows may differ by 0.05 standard deviations"
