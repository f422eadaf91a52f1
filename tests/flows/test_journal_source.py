"""From the journal to features: rows that services were told of count as those of files that became known at the same moments."""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from types import SimpleNamespace

import pandas as pd
import pyarrow.parquet as pq
import pytest

from flows import sources
from flows.due import timed
from flows.journal_source import news, take_events
from tasks import params
from tasks.artifacts import Covered, FromJournal, KnownOfJournal, RawManifest, SchemaField, Validation
from tasks.artifacts.columns import REASON, RECEIVED, ROW, SEQ
from tasks.bundle import Bundle
from tasks.bundle.rows import to_json
from tasks.errors import RefitError
from tasks.features.__main__ import main as features
from tasks.files import hash_tree, read_table, sha256
from tasks.ingest.__main__ import main as ingest
from tasks.ingest.tables import ingest as read_in
from tasks.journal import Event, Journal, Known, journal_url, key_of
from tasks.package.contents import covered
from tasks.package.schema import events
from tasks.validate.__main__ import main as validate
from tasks.validate.known import visible
from tasks.validate.labels import label
from tasks.validate.suite import derive
from tests.flows.project import refit

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
Visit = tuple[
    int, int, int | None, str, float | None
]  # id, day of the visit, day on which it was told, shop, what was paid
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

    def tell(
        day: int, *visits: Visit, known: Known = "receipt", refused: str | None = None, table: str = "visits"
    ) -> None:
        monkeypatch.setattr(
            "tasks.journal.journal.time", SimpleNamespace(time_ns=lambda: (DAY + pd.Timedelta(days=day)).value)
        )
        fields = events(params.loads(PARAMS.replace("SOURCE", "journal"), "params.yaml")).tables["visits"].row.fields
        with Journal(journal_url(project), write=True) as journal:
            journal.append([event(visit, fields, known, refused, table) for visit in visits])

    return tell


def event(visit: Visit, fields: list[SchemaField], known: Known, refused: str | None, table: str) -> Event:
    id, at, told, shop, paid = visit
    row = {"id": float(id), "at": moment(at), "told": moment(told), "shop": shop, "paid": paid}
    body = to_json(row, fields)
    return Event(table, body, key_of(body, ["id"]), None, known, refused)


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


@pytest.mark.parametrize("as_of", [None, 34, 42])
def test_events_count_as_rows_of_files_that_became_known_when_these_were_received(
    tell: Tell, as_of: int | None
) -> None:
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


def test_a_refused_event_goes_to_quarantine_with_its_reason_and_corrects_nothing(tell: Tell) -> None:
    week(1, FIRST)
    tell(36, (2, 1, 2, "a", -5), refused="paid: is not at least 0; shop: is odd")
    for as_of, rows in ((None, 1), (40, 1), (30, 0)):
        run(BOTH, as_of)
        rejected = read_table("data/quarantine/visits.parquet")
        assert len(rejected) == rows
        counts = Validation.read("data/validated").tables["visits"]
        assert (counts.quarantined, counts.input) == (rows, len(FIRST) + rows)
        assert counts.reasons == (dict.fromkeys(("paid: is not at least 0", "shop: is odd"), 1) if rows else {})
        accepted = read_table("data/validated/visits.parquet").set_index("id")
        assert accepted.loc[2.0, "paid"] == 20
    run(BOTH)
    rejected = read_table("data/quarantine/visits.parquet")
    assert rejected[["id", "paid", ROW, REASON]].to_numpy().tolist() == [
        [2.0, -5.0, len(FIRST), "paid: is not at least 0; shop: is odd"]
    ]
    assert RawManifest.read("data/raw").tables["visits"].refused == 1


def test_a_large_table_that_stays_on_disk_comes_out_the_same(tell: Tell, monkeypatch: pytest.MonkeyPatch) -> None:
    week(1, FIRST)
    what_happened(tell)
    run(BOTH, 34)
    before = hash_tree(Path("data"))
    monkeypatch.setattr("tasks.validate.__main__.LARGE", 1)
    run(BOTH, 34)
    assert hash_tree(Path("data")) == before


def test_too_many_refused_events_stop_the_run_as_broken_rows_of_files_do(tell: Tell) -> None:
    week(1, FIRST)
    tell(36, *[(200 + i, 1, 2, "a", -5) for i in range(20)], refused="paid: is not at least 0")
    with pytest.raises(
        RefitError, match=r"20 of 84 rows \(23\.8%\) broke the contract.*paid: is not at least 0 \(20 rows\)"
    ):
        run(BOTH)


# Snapshots ------------------------------------------------------------------------------------------------------------


SNAPSHOT = Path("data/sources/visits.journal.parquet")


def test_a_snapshot_changes_with_news_alone_and_is_the_same_read_on_or_from_the_start(tell: Tell) -> None:
    given = of(BOTH)
    assert list(take_events(Path(), given)) == ["visits: 0 events from the journal"]
    assert not Path(".refit").exists(), "reading makes no journal"
    tell(30, (5, 8, 9, "a", 40))
    tell(31, (6, 8, 9, "a", 40), table="others")
    assert news(Path(), given) == {"visits": "1 event in the journal, and no snapshot of it yet"}
    assert list(take_events(Path(), given)) == ["visits: 1 events from the journal"]
    before = sha256(SNAPSHOT)
    tell(32, (7, 8, 9, "a", 40), table="others")
    assert list(take_events(Path(), given)) == ["visits: 1 events from the journal, as before"]
    assert (sha256(SNAPSHOT), news(Path(), given)) == (before, {})
    tell(33, (8, 8, None, "b", None), refused="told: is missing")
    assert news(Path(), given) == {"visits": "1 new event in the journal"}
    tell(34, (9, 8, 9, "ü", 1.5), known="given")
    assert list(take_events(Path(), given)) == ["visits: 3 events from the journal, 1 of them refused"]
    grown = sha256(SNAPSHOT)
    assert pq.read_table(SNAPSHOT)[SEQ].to_pylist() == [1, 4, 5]
    assert pq.read_table(SNAPSHOT)[RECEIVED].to_pylist() == [moment(30), moment(33), None]
    SNAPSHOT.unlink()
    list(take_events(Path(), given))
    assert sha256(SNAPSHOT) == grown


def test_a_snapshot_of_another_journal_or_of_other_columns_is_taken_anew(
    tell: Tell, monkeypatch: pytest.MonkeyPatch
) -> None:
    tell(30, (5, 8, 9, "a", 40))
    list(take_events(Path(), of(BOTH)))
    given = params.loads(
        Path("params.yaml").read_text().replace("id: numeric", "note: text, id: categorical"), "params.yaml"
    )
    with pytest.raises(RefitError, match=r"lacks the column 'note', which data\.tables\.visits declares now"):
        read_in(
            "visits",
            params.Table.model_validate({**given.data.tables["visits"].model_dump(by_alias=True), "source": "journal"}),
        )
    list(take_events(Path(), given))
    assert pq.read_table(SNAPSHOT, columns=["id", "note"]).to_pylist() == [{"id": "5.0", "note": None}]
    assert read_in("visits", of_journal(given)).frame["id"].tolist() == ["5"]
    Path(".refit/journal.db").rename("moved.db")
    tell(30, (6, 8, 9, "a", 40))
    list(take_events(Path(), given))
    assert pq.read_table(SNAPSHOT)["id"].to_pylist() == ["6.0"]
    monkeypatch.setenv("REFIT_JOURNAL", "moved.db")
    list(take_events(Path(), given))
    assert pq.read_table(SNAPSHOT)["id"].to_pylist() == ["5.0"]


def test_what_was_erased_is_in_no_later_snapshot(tell: Tell) -> None:
    tell(30, (5, 8, 9, "a", 40), (6, 8, 9, "a", 41))
    tell(31, (5, 8, 9, "a", 42))
    list(take_events(Path(), of(BOTH)))
    with Journal(journal_url(), write=True) as journal:
        journal.erase("visits", str(key_of({"id": 5.0}, ["id"])), "asked for by the customer", "ann", predictions=True)
    assert news(Path(), of(BOTH)) == {"visits": "1 event in the journal, and no snapshot of it yet"}
    assert list(take_events(Path(), of(BOTH))) == ["visits: 1 events from the journal"]
    assert pq.read_table(SNAPSHOT)["id"].to_pylist() == [6]
    assert list(take_events(Path(), of(BOTH))) == ["visits: 1 events from the journal, as before"]


def test_a_copy_of_the_journal_that_was_put_back_is_read_anew(tell: Tell) -> None:
    tell(30, (5, 8, 9, "a", 40))
    with Journal(journal_url()) as journal:
        journal.backup(Path("copy.db"))
    tell(31, (6, 8, 9, "a", 41))
    list(take_events(Path(), of(BOTH)))
    for path in Path(".refit").glob("journal.db*"):
        path.unlink()
    Path("copy.db").rename(".refit/journal.db")
    assert list(take_events(Path(), of(BOTH))) == ["visits: 1 events from the journal"]
    list(take_events(Path(), of(BOTH)))
    tell(31, (6, 8, 9, "a", 41))
    list(take_events(Path(), of(BOTH)))
    for path in Path(".refit").glob("journal.db*"):
        path.unlink()
    tell(32, (7, 8, 9, "a", 42))
    assert list(take_events(Path(), of(BOTH))) == ["visits: 1 events from the journal"]
    assert pq.read_table(SNAPSHOT)["id"].to_pylist() == [7]


def of_journal(given: params.Params) -> params.Table:
    return given.data.tables["visits"].model_copy(update={"source": "journal"})


def test_a_value_that_is_not_of_the_kind_declared_now_goes_to_quarantine(tell: Tell) -> None:
    tell(30, (5, 8, 9, "x", 40), (6, 8, 9, "7", 40))
    Path("params.yaml").write_text(PARAMS.replace("SOURCE", "journal").replace("shop: categorical", "shop: numeric"))
    given = params.load()
    list(take_events(Path(), given))
    found = read_in("visits", given.data.tables["visits"])
    assert found.problems.to_dict("records") == [{"row": 0, "column": "shop", "value": "x", "why": "is not a number"}]
    assert found.frame["shop"].tolist()[1] == 7


def test_a_journal_alone_needs_an_event_and_beside_files_it_may_be_empty(tell: Tell) -> None:
    week(1, FIRST)
    run(BOTH)
    assert RawManifest.read("data/raw").tables["visits"].journal == FromJournal(id="", seq=0)
    with pytest.raises(RefitError, match=r"visits\.source: the journal has no event of 'visits' yet.*list files too"):
        run("journal")
    SNAPSHOT.unlink()
    with pytest.raises(
        RefitError, match=r"no snapshot of the journal for data\.tables\.visits\.source yet.*`refit sources`"
    ):
        ingest()
    tell(50, *[visit for visit in FIRST if visit[2] is not None], known="given")
    alone = run("journal")
    week(1, [visit for visit in FIRST if visit[2] is not None])
    pd.testing.assert_frame_equal(alone, run("weekly/"))


def test_files_and_events_are_in_the_dag_and_a_file_called_so_is_a_file(tell: Tell) -> None:
    week(1, FIRST)
    Path("dvc.yaml").write_text("stages:\n  ingest:\n    cmd: x\n    deps: [a]\n    outs: [data/raw]\n")
    said = sources.list_sources(Path(), of(BOTH))
    assert said == [f"dvc.yaml: stage ingest now depends on weekly, {SNAPSHOT.as_posix()}"]
    with pytest.raises(RefitError, match=r"source: \./journal: no such file"):
        sources.list_sources(Path(), of("./journal"))
    Path("journal").write_text("id,at,told,shop,paid\n1,2024-01-01,2024-01-02,a,1\n")
    assert sources.list_sources(Path(), of("./journal")) == [
        f"dvc.yaml: stage ingest now depends on ./journal, no longer on {SNAPSHOT.as_posix()}"
    ]
    assert read_in("visits", of("./journal").data.tables["visits"]).journal is None


# Tables of other forms ------------------------------------------------------------------------------------------------


def table(**more: object) -> params.Table:
    spec: dict[str, object] = {
        "source": ["weekly/w1.csv", "journal"],
        "columns": {"id": "numeric", "shop": "categorical", "paid": "numeric"},
    }
    return params.Table.model_validate(spec | more)


def test_of_a_table_without_moments_the_last_event_of_a_key_counts(tell: Tell) -> None:
    week(1, FIRST[:4])
    tell(50, (4, 0, 0, "c", 1), (9, 0, 0, "n", 2))
    tell(20, (4, 0, 0, "d", 3))
    given = of(BOTH)
    list(take_events(Path(), given))
    read = read_in("visits", table(key=["id"]))
    assert read.frame.to_dict("list") == {
        "id": [1, 2, 3, 9, 4],
        "shop": ["a", "a", "b", "n", "d"],
        "paid": pytest.approx([10, 20, float("nan"), 2, 3], nan_ok=True),
    }
    assert read.corrections == "states"


def test_of_a_table_without_a_key_each_event_is_a_row(tell: Tell) -> None:
    week(1, FIRST[:1])
    tell(50, (1, 0, 1, "a", 10), (1, 0, 1, "a", 10))
    list(take_events(Path(), of(BOTH)))
    columns = {"id": "numeric", "at": "datetime"}
    read = read_in("visits", table(columns=columns, event_time="at"))
    assert read.frame["id"].tolist() == [1, 1, 1]
    assert read.frame[RECEIVED].isna().tolist() == [True, False, False]
    assert read.frame[SEQ].tolist()[1:] == [1, 2]
    assert (read.corrections, read.remarks) == (None, [])


# What a package says --------------------------------------------------------------------------------------------------


def test_a_package_says_up_to_which_event_it_knows_all(tell: Tell) -> None:
    week(1, FIRST)
    what_happened(tell)
    run(BOTH)
    found = Validation.read("data/validated").journal["visits"]
    with Journal(journal_url()) as journal:
        assert found == KnownOfJournal(id=journal.id, seq=8)
    run(BOTH, 34)
    early = Validation.read("data/validated").journal["visits"]
    assert early == KnownOfJournal(id=found.id, seq=8, whole=4), (
        "the fourth is replaced by the fifth, which was not known yet"
    )
    said = covered({"visits": early, "shops": KnownOfJournal(id=found.id, seq=9)})
    assert said is not None
    assert said.to_dict() == {"id": found.id, "seq": 4, "tables": {"visits": 8, "shops": 9}}
    assert covered({"visits": found, "shops": KnownOfJournal(id="other", seq=9)}) is None
    assert covered({}) is None


def test_without_the_journal_files_have_the_bytes_that_they_had(tell: Tell) -> None:
    """An empty one adds nothing to what is learned, and a source without it has no column of its own."""
    week(1, FIRST)
    alone = run("weekly/")
    raw = hash_tree(Path("data/raw"))["visits.parquet"]
    assert not {RECEIVED, SEQ} & set(pq.read_schema("data/raw/visits.parquet").names)
    pd.testing.assert_frame_equal(alone, run(BOTH))
    assert {RECEIVED, SEQ} < set(pq.read_schema("data/raw/visits.parquet").names)
    run("weekly/")
    assert hash_tree(Path("data/raw"))["visits.parquet"] == raw


# Labels from events ---------------------------------------------------------------------------------------------------


FROM_EVENTS = """\
problem: {name: spent, kind: regression, table: visits, target: {from: visits, by: shop, within: 10d, sum: paidLATE}, prediction_time: at}
data:
  tables:
    visits:
      source: SOURCE
      key: [id]
      event_time: at
      columns: {id: numeric, at: {kind: datetime, nullable: false}, shop: categorical, paid: numeric}
features: {columns: [shop]}
split: {kind: time, test: 0.2, valid: 0.2}
models: {ridge: {}}
"""


def test_a_label_from_events_of_the_journal_waits_for_them(tell: Tell) -> None:
    """Of files, whose rows are known when they happen, nothing has to be waited for."""

    def given(source: str, late: str = "") -> params.Params:
        return params.loads(FROM_EVENTS.replace("SOURCE", source).replace("LATE", late), "params.yaml")

    assert given("weekly/").problem.target.late is None
    with pytest.raises(RefitError, match=r"target\.late: missing.*as in late: 2d"):
        given(BOTH)
    moments = [moment(0), moment(1), moment(2), moment(3)]
    rows = pd.DataFrame(
        {
            "id": [1.0, 2.0, 3.0, 4.0],
            "at": pd.Series(moments),
            "shop": "a",
            "paid": [1.0, 10.0, 100.0, 1000.0],
            RECEIVED: pd.Series([None, moment(2), moment(14), None], dtype="datetime64[us, UTC]"),
        }
    )
    made = label(rows, rows, given(BOTH, ", late: 2d"), moment(30)).values
    assert made.tolist() == [1010, 1000, 1000, 0], "what was received twelve days late is in no label"
    made = label(rows, rows, given(BOTH, ", late: 9d"), moment(30)).values
    assert made.tolist() == [1110, 1100, 1000, 0]


@pytest.mark.flows
def test_a_run_learns_what_the_service_was_told(project: Path, tell: Tell, server: dict[str, str]) -> None:
    """From `init` to a package: files, imported events, a live one that corrects, and one without its label."""
    draw = random.Random(0)
    lines = ["id,at,told,shop,paid"]
    for i in range(200):
        at = DAY + pd.Timedelta(hours=6 * i)
        lines.append(
            f"{i},{at:%Y-%m-%dT%H:%MZ},{at + pd.Timedelta(days=1):%Y-%m-%dT%H:%MZ},{'ab'[i % 2]},{i % 2 + draw.random():.3f}"
        )
    Path("visits.csv").write_text("\n".join(lines))
    refit(project, "init", "--data", "visits.csv", "--target", "paid")
    text = Path("params.yaml").read_text()
    tables = f"data:\n  tables:{PARAMS.partition('tables:')[2].partition('split:')[0]}".replace(
        "SOURCE", "[visits.csv, journal]"
    )
    begin, end = text.index("data:\n"), text.index("split:")
    text = re.sub(r"  auto: .*\n", "", text[:begin] + tables + text[end:])
    Path("params.yaml").write_text(text.replace("trials: 6", "trials: 1").replace("explain: true", "explain: false"))
    now = 60
    tell(now, *[(1000 + i, 50 + i % 5, 51 + i % 5, "a", 0.5) for i in range(20)], known="given")
    tell(now, (7, 1, 2, "b", 1.5), (2000, 59, None, "a", None))
    tell(now, (8, 2, 3, "b", -1), refused="paid: is not at least 0")
    said = refit(project, "run", "--plain", env=server)
    assert "rows      221 accepted, 1 quarantined" in said
    bundle = Bundle.to_serve("data/package")
    with Journal(journal_url(project)) as journal:
        assert bundle.manifest.journal == Covered(id=journal.id, seq=23, tables={"visits": 23})
        assert all(bundle.covers(one, journal.id) for one in journal.events())
    rows = read_table("data/validated/visits.parquet").assign(
        **read_table("data/features/features.parquet")[["__known__", "__split__"]]
    )
    by_id = rows.set_index("id")
    assert by_id.loc[7.0, "__known__"] == moment(now), "known anew when it was corrected"
    assert by_id.loc[1001.0, "__known__"] == moment(52)
    assert by_id.loc[2000.0, "__split__"] == "pending"
    assert "nothing to run" in refit(project, "run", "--explain")
    assert "11 cached" in refit(project, "run", "--plain", env=server)
    tell(now + 1, (2000, 59, 60, "a", 0.5))
    assert re.search(r"ingest .*visits: 1 new event in the journal", refit(project, "run", "--explain"))


# What else goes by it -------------------------------------------------------------------------------------------------


def test_what_is_known_of_a_table_with_events_depends_on_the_moment() -> None:
    """A scheduled run so works as of when it was due, and the table may grow from run to run."""
    text = (
        "problem: {name: p, kind: regression, table: t, target: y}\n"
        "data: {tables: {t: {source: SOURCE, event_time: at, columns: {at: datetime, y: numeric}}}}\n"
        "split: {kind: random, test: 0.2, valid: 0.2}\nmodels: {ridge: {}}\n"
    )
    rows = pd.DataFrame({"at": pd.Series([moment(0)] * 200), "y": 1.0})
    for source, depends, least in (("t.csv", False, 100), ("[t.csv, journal]", True, 2)):
        given = params.loads(text.replace("SOURCE", source), "params.yaml")
        assert timed(given) is depends
        rules = derive("t", given.data.tables["t"], given.problem, rows)["expectations"]
        assert [r["kwargs"]["min_value"] for r in rules if "row_count" in r["type"]] == [least]


def test_rows_that_were_received_later_do_not_exist_before_also_where_nothing_says_when_rows_are_known() -> None:
    given = table(event_time="at", columns={"at": "datetime", "id": "numeric"})
    rows = pd.DataFrame({"at": pd.Series([moment(0)] * 3), "id": [1.0, 2.0, 3.0]})
    rows[RECEIVED] = pd.Series([None, moment(2), moment(4)], dtype="datetime64[us, UTC]")
    problem = of("weekly/").problem
    assert visible(rows, "t", given, problem, moment(3)).tolist() == [True, True, False]
    assert visible(rows, "t", given, problem, None).all()
    assert visible(rows.drop(columns=RECEIVED), "t", given, problem, moment(3)).all()
