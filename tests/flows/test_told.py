"""From the journal to features: rows that services were told of count as those of files that became known at the same moments."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from types import SimpleNamespace

import pandas as pd
import pyarrow.parquet as pq
import pytest

from flows import sources
from flows.told import news, take_events
from tasks import params
from tasks.artifacts import FromJournal, RawManifest, SchemaField, Validation
from tasks.artifacts.columns import REASON, RECEIVED, ROW, SEQ
from tasks.bundle.rows import to_json
from tasks.errors import RefitError
from tasks.features.__main__ import main as features
from tasks.files import hash_tree, read_table, sha256
from tasks.ingest.__main__ import main as ingest
from tasks.ingest.tables import ingest as read_in
from tasks.journal import Event, Journal, Known, journal_url
from tasks.journal.journal import to_text
from tasks.package.contents import covered
from tasks.package.schema import events
from tasks.validate.__main__ import main as validate

PARAMS = """\
problem: {name: visits, kind: regression, table: visits, target: paid, prediction_time: at}
data:
  max_quarantined: 0.2
  tables:
    visits:
      source: SOURCE
      key: [id]
      event_time: at
      known_at: told
      outcome: [paid, told]
      columns: {id: numeric, at: {kind: datetime, nullable: false}, told: datetime, shop: categorical, paid: {kind: numeric, min: 0}}
features:
  columns: [shop]
  history: [{table: visits, by: [shop], windows: [all, last 1], columns: {paid: [mean, sum]}}]
split: {kind: time, test: 0.2, valid: 0.2}
models: {ridge: {}}
"""
DAY = pd.Timestamp("2024-01-01", tz="UTC")
MICROS = 86_400_000_000
Visit = tuple[int, int, int | None, str, float | None]  # id, day of the visit, day on which it was told, shop, what was paid
FIRST: list[Visit] = [(1, 0, 1, "a", 10), (2, 1, 2, "a", 20), (3, 2, None, "b", None), (4, 3, 4, "a", 30)]
FIRST += [(100 + i, -i, 1 - i, "z", i) for i in range(60)]  # as many as a model needs
BOTH = "[weekly/, journal]"
Tell = Callable[..., None]


def moment(day: int | None) -> pd.Timestamp | None:
    return None if day is None else DAY + pd.Timedelta(days=day)


def of(source: str, as_of: int | None = None) -> params.Params:
    """The project with the table from a source, as of the end of a day."""
    text = PARAMS.replace("SOURCE", source)
    if as_of is not None:
        text = text.replace("data:\n", f"data:\n  as_of: '{moment(as_of)}'\n")
    Path("params.yaml").write_text(text)
    return params.load()


def week(number: int, rows: Sequence[Visit]) -> None:
    frame = pd.DataFrame(rows, columns=["id", "at", "told", "shop", "paid"])
    for column in ("at", "told"):
        days = pd.to_timedelta(frame[column], unit="D") + DAY
        frame[column] = days.dt.strftime("%Y-%m-%d").where(frame[column].notna())
    Path("weekly").mkdir(exist_ok=True)
    frame.to_csv(f"weekly/w{number}.csv", index=False)


@pytest.fixture(autouse=True)
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.argv", ["stage"])
    monkeypatch.delenv("REFIT_JOURNAL", raising=False)
    return tmp_path


@pytest.fixture
def tell(project: Path, monkeypatch: pytest.MonkeyPatch) -> Tell:
    """Have visits in the journal, as received on a day."""

    def tell(day: int, *visits: Visit, known: Known = "receipt", refused: str | None = None, table: str = "visits") -> None:
        monkeypatch.setattr(
            "tasks.journal.journal.time", SimpleNamespace(time_ns=lambda: (DAY + pd.Timedelta(days=day)).value)
        )
        fields = events(of("journal")).tables["visits"].row.fields
        with Journal(journal_url(project), write=True) as journal:
            journal.append([event(visit, fields, known, refused, table) for visit in visits])

    return tell


def event(visit: Visit, fields: list[SchemaField], known: Known, refused: str | None, table: str) -> Event:
    id, at, told, shop, paid = visit
    row = {"id": float(id), "at": moment(at), "told": moment(told), "shop": shop, "paid": paid}
    body = to_json(row, fields)
    return Event(table, body, to_text([body["id"]]), None, known, refused)


def run(source: str, as_of: int | None = None) -> pd.DataFrame:
    """The features, in the order of the visits."""
    given = of(source, as_of)
    list(sources.take(Path(), given))
    ingest()
    validate()
    features()
    made = pd.read_parquet("data/features/features.parquet")
    rows = pd.read_parquet("data/validated/visits.parquet", columns=["id"])
    return made.assign(id=rows["id"]).sort_values("id", ignore_index=True).drop(columns="__row__")


def what_happened(tell: Tell) -> None:
    """One visit that was imported, and others that were told of late, corrected, corrected at once again, and refused."""
    tell(30, (5, 8, 9, "a", 40), known="given")
    tell(12, (6, 9, 10, "b", 50))  # the clock was set back: receipts follow the order all the same
    tell(34, (3, 2, 9, "b", 35))
    tell(35, (1, 0, 1, "a", 12), (1, 0, 1, "a", 13))
    tell(36, (2, 1, 2, "a", -5), refused="paid: is not at least 0")
    tell(40, (7, 20, 21, "a", 60), (8, 21, 45, "b", 61))


@pytest.mark.parametrize("as_of", [None, 29, 32, 34, 35, 42, 60])
def test_events_count_as_rows_of_files_that_became_known_when_these_were_received(tell: Tell, as_of: int | None) -> None:
    what_happened(tell)
    week(1, FIRST)
    told = run(BOTH, as_of)
    assert (RECEIVED in pd.read_parquet("data/validated/visits.parquet")) is True
    week(2, [(5, 8, 9, "a", 40), (6, 9, 30, "b", 50), (3, 2, 34, "b", 35), (1, 0, 35, "a", 13)])
    week(3, [(7, 20, 40, "a", 60), (8, 21, 45, "b", 61)])
    filed = run("weekly/", as_of)
    rows = told["id"].isin(filed["id"]).to_numpy()
    assert len(told) - len(filed) <= 2, "a file has rows that had not been received yet, and the journal has not"
    pd.testing.assert_frame_equal(told, filed[filed["id"].isin(told["id"])].reset_index(drop=True))
    assert rows.all()
