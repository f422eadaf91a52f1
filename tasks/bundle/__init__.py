"""The package is the model: load one directory, and compute, predict and decide as the pipeline did.

The pipeline compares candidates with it, and the service answers with it; there is no second way to
score a row.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import cast

import numpy as np
import pandas as pd

from tasks.artifacts import EventTable, EventTables, Golden, GoldenRow, Manifest, Receipt, Schema
from tasks.bundle.events import JournalEvent, known_moment, last_moment, rows_of
from tasks.bundle.few import FewRows
from tasks.bundle.golden import replay
from tasks.bundle.horizon import Horizon, RowTiming, derived, parse
from tasks.bundle.manifest import examine
from tasks.bundle.seen import FILE as SEEN
from tasks.bundle.seen import THERE, Seen
from tasks.engine import Plan
from tasks.engine.compute import compute
from tasks.engine.online import start
from tasks.engine.source import OneRow
from tasks.engine.state import Row, State, prediction_time
from tasks.errors import RefitError, some
from tasks.files import read_json, read_table
from tasks.fitting.calibration import Calibration
from tasks.kinds import find_kind
from tasks.models import load_model
from tasks.ordinary.record import FOLDER as ORDINARY
from tasks.ordinary.record import Record

__all__ = ["Answer", "Bundle", "Features"]

Features = dict[str, str | float]  # of one row; a missing one is NaN


def new_level(name: str, value: str) -> str:
    """What is said of a category that training never saw."""
    return f"{name!r}: {value[:40]!r} was in no training row, so the model knows nothing of it"


@dataclass(frozen=True)
class Answer:
    """What one row gets: its features, its scores (probabilities, or one number) and the decision."""

    features: Features
    scores: tuple[float, ...]
    decision: float


class Bundle:
    """One package, checked and in memory. Make it with :meth:`load`."""

    def __init__(self, path: Path, manifest: Manifest, identity: str) -> None:
        self.path = path
        self.manifest = manifest
        self.identity = identity  # SHA-256 of bundle.json as it was read, which holds the hashes of all other files
        self.kind = manifest.kind
        self.problem = find_kind(self.kind)
        self.name = manifest.name
        self.classes = tuple(manifest.classes)
        self.threshold = manifest.threshold
        self.plan = Plan.from_dict(read_json(path / "plan.json"))
        self.members = [load_model(path / "model" / name) for name in manifest.members]
        self.weights = np.asarray(manifest.weights, dtype=float)
        self.calibration = Calibration.of(manifest.calibration)  # of several members' mean
        self._state: State | None = None

    @classmethod
    def load(cls, path: str | Path, expected: str | None = None) -> Bundle:
        """Load a package after checking that its files are the ones it was made with.

        ``expected``: the identity that it must have.

        Raises
        ------
        RefitError
            If it is another one, a file is missing, damaged or not listed, or the format is another one.
        """
        found = examine(path, expected)
        return cls(Path(path), found.about, found.identity)

    @classmethod
    def to_serve(cls, path: str | Path, expected: str | None = None) -> Bundle:
        """Load a package, start it, and have it prove itself by its golden rows; then its files must still be the same.

        Raises
        ------
        RefitError
            As :meth:`load`; if it answers a golden row otherwise than when it was made; or if somebody put other files
            in their place meanwhile, so that what was read may be of both.
        """
        bundle = cls.load(path, expected).start()
        replay(bundle)
        examine(path, bundle.identity)
        return bundle

    @cached_property
    def schema(self) -> Schema:
        """The typed input of one row."""
        return Schema.read(self.path)

    @cached_property
    def events(self) -> dict[str, EventTable] | None:
        """What an event of each table must look like, by the table's name; None in older packages."""
        found = EventTables.find(self.path)
        return found.tables if found else None

    @cached_property
    def golden(self) -> list[GoldenRow]:
        """Rows with the pipeline's own answers."""
        return Golden.read(self.path).rows

    @cached_property
    def seen(self) -> Seen | None:
        """The rows that the model was fitted, tuned, calibrated or chosen on; None in packages that do not say."""
        path = self.path / SEEN
        return Seen.read(path) if path.is_file() else None

    @cached_property
    def levels(self) -> dict[str, frozenset[str]]:
        """The levels that training saw, by the name of each categorical feature that the model uses."""
        found: dict[str, frozenset[str]] = {}
        for member in self.members:
            for name, levels in member.encoder.levels.items():
                found[name] = found.get(name, frozenset()) | levels
        return found

    @cached_property
    def there(self) -> Seen | None:
        """The other rows that the table had, where rows have no moment; None where they have, and in older packages."""
        path = self.path / THERE
        return Seen.read(path) if path.is_file() else None

    @cached_property
    def ordinary(self) -> Record | None:
        """What drift is held against (:mod:`tasks.ordinary`); None in older packages."""
        folder = self.path / ORDINARY
        return Record.read(folder) if folder.is_dir() else None

    @cached_property
    def horizon(self) -> Horizon:
        """From when the package's own history can answer, and what it knows until when."""
        until = self.manifest.known_until
        if until is not None:
            return Horizon.of(self.plan, self.manifest.answers_from, until)
        return derived(self.plan, (self.moment(row.input) for row in self.golden), self._history())  # an older package

    # Batch ---------------------------------------------------------------------------------------
    def compute(self, rows: pd.DataFrame, tables: dict[str, pd.DataFrame]) -> pd.DataFrame:
        """Features of rows of the problem table, from whole tables. The index of ``rows`` is kept."""
        return compute(self.plan, tables, rows)

    def predict(self, features: pd.DataFrame) -> np.ndarray:
        """Scores of feature rows: ``(n, n_classes)`` probabilities, or ``(n,)`` numbers.

        Of several members, the weighted mean of their scores, calibrated as a whole.
        """
        missing = [f.name for f in self.plan.features if f.name not in features]
        if missing:
            raise RefitError(
                f"{self.path}: the feature table lacks {some(missing)}, which this model needs. "
                "Compute the features with this package's own plan (Bundle.compute)."
            )
        return self._score(features[[f.name for f in self.plan.features]])

    def _score(self, frame: pd.DataFrame) -> np.ndarray:
        if len(self.members) == 1:
            return self.members[0].predict(frame)
        total = sum(w * m.predict(frame) for w, m in zip(self.weights, self.members, strict=True))
        mean = np.asarray(total / self.weights.sum())
        return mean if self.calibration is None else self.calibration.apply(mean)

    def decide(self, scores: np.ndarray) -> np.ndarray:
        """Decisions of scores, as in ``__target__``: a class's index, or the number."""
        return self.problem.decide(np.asarray(scores, dtype=float), self.threshold)

    def new_levels(self, features: Mapping[str, str | float]) -> dict[str, str]:
        """The categories of a row's features that training never saw, and what is to be said of each."""
        return {
            name: new_level(name, value)
            for name, levels in self.levels.items()
            if isinstance(value := features[name], str) and value not in levels
        }

    def label(self, decision: float) -> str | float:
        """A decision as people write it: the class's name, or the number."""
        return self.problem.label(decision, self.classes)

    # One row at a time ---------------------------------------------------------------------------
    def start(self) -> Bundle:
        """Read ``history/`` into memory, so that rows can be answered one at a time. Idempotent."""
        if self._state is None:
            self._state = start(self.plan, self._history())
        return self

    def take_in(self, table: str, events: Sequence[JournalEvent]) -> None:
        """Events of one table that became known since: from now on rows see them.

        Raises
        ------
        RefitError
            If the engine refuses one; then none is taken in.
        """
        if self._state is None:
            raise RefitError("the package's online state is not there yet: call Bundle.start() first")
        known = self.plan.tables.get(table)
        if known is None:  # nothing here is computed from it
            return
        rows = rows_of(events, known)
        self._state.update(table, rows)
        moments = [moment for row in rows if (moment := known_moment(row, known)) is not None]
        if moments:
            self.horizon.learn(table, max(moments))

    def covers(self, event: JournalEvent, journal: str) -> bool:
        """Whether the package was made with an event of a journal (its ``id``): the history has all of it that a row could see."""
        made = self.manifest.journal
        if made is None or made.id != journal or event.seq > made.tables.get(event.table, 0):
            return False
        table = self.plan.tables.get(event.table)
        return table is None or self._as_of is None or last_moment(event, table) <= self._as_of

    @cached_property
    def _as_of(self) -> int | None:
        """As of which moment (µs) the package was made; None: it knows all that its tables had."""
        as_of = Receipt.read(self.path).as_of
        return None if as_of is None else parse(as_of)

    def _history(self) -> dict[str, pd.DataFrame]:
        return {p.stem: read_table(p) for p in sorted((self.path / "history").glob("*.parquet"))}

    def check_time(self, row: Row) -> RowTiming:
        """Whether the package's history reaches to the row's moment: refused, or warned of, in words."""
        return self.horizon.check(self.moment(row))

    def moment(self, row: Row) -> int:
        """The row's prediction time, µs since 1970; the engine's MISSING where it has none."""
        return prediction_time(self.plan, OneRow(self.plan.own, row))

    def compute_row(self, row: Row) -> Features:
        """Features of one row of the problem table, from the online state; the same bits as in batch.

        Raises
        ------
        RefitError
            If the row's moment lies before ``answers_from``, so that its history is not whole.
        """
        if self._state is None:
            raise RefitError("the package's online state is not there yet: call Bundle.start() first")
        features = self._state.compute_row(row)
        if refused := self.check_time(row).refused:
            raise RefitError(refused)
        return features

    def predict_row(self, row: Row) -> Answer:
        """Features, scores and decision of one row of the problem table."""
        return self.predict_rows([row])[0]

    def predict_rows(self, rows: Sequence[Row]) -> list[Answer]:
        """As :meth:`predict_row`, with one call of the model for all rows."""
        return self.predict_features([self.compute_row(row) for row in rows])

    def predict_features(self, features: list[Features]) -> list[Answer]:
        """Answers to rows whose features are computed (:meth:`compute_row`), with one call of the model for all."""
        if not features:
            return []
        scores = self._score(cast(pd.DataFrame, FewRows(features)))  # as much of one as the encoder asks
        decisions = self.decide(scores)
        listed = scores.reshape(len(features), -1).tolist()
        return [Answer(f, tuple(s), float(d)) for f, s, d in zip(features, listed, decisions, strict=True)]
