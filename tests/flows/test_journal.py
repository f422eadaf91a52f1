"""Events from files and streams, what `refit journal` says, copies, and what is to be forgotten."""

from __future__ import annotations

import gzip
import json
import os
import signal
import subprocess
import threading
import time
from pathlib import Path

import pandas as pd
import pytest

from flows import journal
from flows.journal import Stream, about, erase, follow, import_file, lines
from tasks.errors import RefitError
from tasks.journal import Journal, JournalUnwritable
from tests.flows.project import REFIT, alone, refit
from tests.tasks.journal.test_journal import answer, seq_of

PARAMS = """\
seed: 1
problem:
  {name: parcels, kind: binary, table: parcels, target: {column: late}, prediction_time: sent}
data:
  tables:
    parcels:
      source: parcels.csv
      key: [parcel]
      columns:
        parcel: numeric
        sent: datetime
        arrived: datetime
        weight: {kind: numeric, min: 0, nullable: false}
        price: {kind: numeric, format: "1.234,50"}
        express: boolean
        town: {kind: categorical, allowed: [Oslo, Rome], spellings: {Rome: [Roma]}}
        note: text
        colour: ignore
        late: boolean
      event_time: sent
      known_at: {arrived: arrived, late: arrived}
    towns: {source: towns.csv, columns: {town: categorical, people: numeric}}
models: {logistic: {}}
"""
CSV = '''\
parcel,sent,arrived,weight,price,express,town,note,colour,late
1,2024-01-01T10:00:00Z,,2.5,"1.000,25",yes,Oslo,"say ""hi""",red,
2,2024-01-02 11:00:00.123456+01:00,2024-01-05,0,,0,Roma,NA,,true
'''
BODIES = [
    {
        "parcel": 1.0, "sent": "2024-01-01T10:00:00Z", "arrived": None, "weight": 2.5, "price": 1000.25, "express": True,
        "town": "Oslo", "note": 'say "hi"', "late": None,
    },
    {
        "parcel": 2.0, "sent": "2024-01-02T10:00:00.123456Z", "arrived": "2024-01-05T00:00:00Z", "weight": 0.0, "price": None,
        "express": False, "town": "Rome", "note": None, "late": True,
    },
]  # fmt: skip
LINE = {**BODIES[0], "price": "1.000,25", "express": "yes"}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "params.yaml").write_text(PARAMS)
    return tmp_path


def events(root: Path) -> list[dict]:
    with Journal(root / ".refit" / "journal.db") as one:
        return [dict(e.body) for e in one.events()]


# Files ----------------------------------------------------------------------------------------------------------------
def test_every_form_of_a_file_gives_the_same_events(root: Path) -> None:
    (root / "a.csv").write_text(CSV)
    (root / "b.csv.gz").write_bytes(gzip.compress(CSV.encode()))
    rows = [
        {**LINE},
        {**BODIES[1], "price": None, "express": 0, "town": "Roma", "sent": "2024-01-02 11:00:00.123456+01:00"},
    ]
    (root / "c.jsonl").write_text("\n".join(json.dumps(row) for row in rows) + "\n\n")
    frame = pd.read_csv(root / "a.csv", dtype={"price": str, "parcel": float})
    frame["sent"] = pd.to_datetime(frame["sent"], format="ISO8601", utc=True)
    frame.to_parquet(root / "d.parquet")
    for file in ("a.csv", "b.csv.gz", "c.jsonl", "d.parquet"):
        made = import_file(root, root / file, "parcels", "given")
        assert (made.rows, made.stored, made.refused) == (2, 2, 0), file
        assert events(root)[-2:] == BODIES, file
    with Journal(root / ".refit" / "journal.db") as one:
        found = list(one.events())
    assert {e.known for e in found} == {"given"}
    assert [e.key for e in found[:2]] == ["[1.0]", "[2.0]"]
    assert {e.table for e in found} == {"parcels"}


def test_the_same_file_is_stored_once_whatever_it_is_called(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(journal, "BATCH", 2)
    (root / "a.csv").write_text("town,people\n" + "Oslo,1\n" * 5)  # rows that are alike are several events
    first = import_file(root, root / "a.csv", "towns", "receipt")
    (root / "a.csv").rename(root / "b.csv")
    second = import_file(root, root / "b.csv", "towns", "given")
    assert [first.stored, second.stored, seq_of(root / ".refit" / "journal.db")] == [5, 0, 5]
    assert list(first.lines()) == ["5 events of towns stored"]
    assert list(second.lines()) == ["0 events of towns stored, 5 were there already"]
    with Journal(root / ".refit" / "journal.db") as one:
        assert {(e.known, e.key) for e in one.events()} == {("receipt", None)}


def test_all_rows_or_none_and_each_mistake_by_row_and_field(root: Path) -> None:
    good = CSV.splitlines()
    wrong = [
        good[1].replace("2.5", "heavy"),  # cannot be read
        good[1].replace("1,2024", ",2024"),  # part of the key
        good[1].replace("2.5", ""),  # may not be missing
    ]
    (root / "a.csv").write_text("\n".join([*good, *wrong]))
    with pytest.raises(RefitError) as error:
        import_file(root, root / "a.csv", "parcels", "given")
    said = str(error.value).splitlines()
    assert said[0].endswith("a.csv: cannot be taken in, so nothing of it was stored.")
    assert said[1:] == [
        "row 3: 'weight': 'heavy' is not a number",
        "row 4: 'parcel' must be there: it is part of the row's key",
        "row 5: 'weight' must be a finite number, found null",
    ]
    text = [json.dumps(LINE), "{", json.dumps({**LINE, "weigth": 1}), json.dumps([1])]
    (root / "a.jsonl").write_text("\n".join(text))
    with pytest.raises(RefitError) as error:
        import_file(root, root / "a.jsonl", "parcels", "given")
    said = str(error.value).splitlines()
    assert [line[:7] for line in said[1:]] == ["row 2: ", "row 3: ", "row 4: "]
    assert "is not valid UTF-8 JSON" in said[1]
    assert "'weigth' is not a field of this model. Did you mean 'weight'?" in said[2]
    assert not (root / ".refit").exists()


def test_many_mistakes_are_cut_short(root: Path) -> None:
    (root / "a.jsonl").write_text("{\n" * 50)
    with pytest.raises(RefitError) as error:
        import_file(root, root / "a.jsonl", "towns", "given")
    said = str(error.value).splitlines()
    assert (len(said), said[-1]) == (22, "and more, of 50 rows in all")


def test_what_the_contract_does_not_allow_is_kept_with_the_reason(root: Path) -> None:
    (root / "a.csv").write_text(CSV.replace("Oslo", "Bern"))
    made = import_file(root, root / "a.csv", "parcels", "given")
    assert list(made.lines())[1].startswith("1 of the file are not as the data contract wants them")
    with Journal(root / ".refit" / "journal.db") as one:
        assert [e.refused for e in one.events()] == ["'town': 'Bern' is not one of 'Oslo', 'Rome'", None]


def test_outcomes_may_come_later_with_another_state_of_the_row(root: Path) -> None:
    (root / "a.csv").write_text(CSV)
    pd.read_csv(root / "a.csv", dtype=str).drop(columns=["arrived", "late"]).to_csv(root / "early.csv", index=False)
    import_file(root, root / "early.csv", "parcels", "given")
    import_file(root, root / "a.csv", "parcels", "given")
    early = [{**body, "arrived": None, "late": None} for body in BODIES]
    assert events(root) == early + BODIES


def test_plain_words_for_what_cannot_be_imported(root: Path) -> None:
    (root / "a.csv").write_text(CSV)
    (root / "empty.jsonl").write_text("\n")
    (root / "cut.jsonl.gz").write_bytes(gzip.compress(b'{"town": "Oslo", "people": 1}\n' * 99)[:-20])
    for file, table, known, why in [
        (
            "a.csv",
            "parcel",
            "given",
            "is no table of params.yaml, which has 'parcels', 'towns'. Did you mean 'parcels'",
        ),
        ("b.csv", "towns", "given", "b.csv: no such file"),
        ("a.csv", "towns", "given", "has no column 'people'"),
        ("a.csv", "parcels", "now", "--known: must be 'given' or 'receipt', found 'now'"),
        ("empty.jsonl", "towns", "given", "has no rows"),
        ("cut.jsonl.gz", "towns", "given", "cannot be unpacked"),
    ]:
        with pytest.raises(RefitError, match=why):
            import_file(root, root / file, table, known)
    assert not (root / ".refit").exists()


# Streams --------------------------------------------------------------------------------------------------------------
class Fed:
    """A stream that is fed by this process."""

    def __init__(self) -> None:
        out, self._into = os.pipe()
        self.stream = Stream(out)
        self._out = out

    def send(self, *lines: object, cut: bytes = b"") -> None:
        os.write(self._into, b"".join(json.dumps(line).encode() + b"\n" for line in lines) + cut)

    def end(self) -> None:
        os.close(self._into)

    def close(self) -> None:
        os.close(self._out)


def town(n: int, **more: object) -> dict[str, object]:
    return {"town": "Oslo", "people": n, **more}


def followed(
    root: Path, *sent: object, source: str | None = None, cut: bytes = b""
) -> tuple[journal.Followed, list[str]]:
    fed, told = Fed(), list[str]()
    fed.send(*sent, cut=cut)
    fed.end()
    try:
        return follow(root, "towns", source, fed.stream, told.append), told
    finally:
        fed.close()


def test_a_stream_goes_on_where_it_was_left(root: Path) -> None:
    done, told = followed(root, *[town(n, offset=n) for n in (3, 4, 7)])
    assert (done.line(), told) == ("3 events of towns stored; the stream is read up to offset 7", [])
    done, _ = followed(root, *[town(n, offset=n) for n in (4, 7, 8, 9)])
    assert done.line() == (
        "2 events of towns stored, 2 skipped, at or below the stored offset; the stream is read up to offset 9"
    )
    other, _ = followed(root, town(8, offset=8), source="partition 2")
    assert other.line() == "1 events of towns stored; the stream is read up to offset 8"
    assert [body["people"] for body in events(root)] == [3.0, 4.0, 7.0, 8.0, 9.0, 8.0]
    with Journal(root / ".refit" / "journal.db") as one:
        assert {e.known for e in one.events()} == {"receipt"}
        assert [one.position("towns"), one.position("partition 2")] == ["9", "8"]


def test_lines_without_an_offset_are_all_new_and_the_last_may_lack_its_end(root: Path) -> None:
    for _ in range(2):
        done, told = followed(root, town(1), town(1), cut=b'\n  \n{"town": "Rome", "people": "2"}')
        assert (done.line(), told) == ("3 events of towns stored", [])
    assert [body["people"] for body in events(root)] == [1.0, 1.0, 2.0] * 2


def test_a_line_that_cannot_be_an_event_is_told_and_does_not_hold_up_the_others(root: Path) -> None:
    done, told = followed(
        root, town(1, offset=1), town(2, offset="2"), {"town": "x", "offset": 3}, town(4, offset=4), cut=b"{\n"
    )
    assert (done.stored, done.wrong, done.position) == (2, 3, 4)
    assert told[0] == "line 2: 'offset' must be a whole number, found '2'"
    assert told[1].startswith("offset 3: 'people' is missing")
    assert told[2].startswith("line 5: the body is not valid UTF-8 JSON")
    _, told = followed(root, {"town": "x", "offset": 5})
    with Journal(root / ".refit" / "journal.db") as one:
        assert one.position("towns") == "5", "what was told of is not read again"


def test_a_column_called_offset_is_a_column(root: Path) -> None:
    (root / "params.yaml").write_text(PARAMS.replace("people: numeric", "people: numeric, offset: numeric"))
    for _ in range(2):
        done, _ = followed(root, town(1, offset=1))
        assert done.line() == "1 events of towns stored"


def test_a_journal_that_cannot_be_used_is_waited_for(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(journal, "AGAIN", 0.01)
    append, tries = Journal.append, []

    def broken(self, *given, **more):
        tries.append(1)
        if len(tries) in (1, 2):
            raise JournalUnwritable("no room.")
        return append(self, *given, **more)

    monkeypatch.setattr(Journal, "append", broken)
    done, told = followed(root, town(1, offset=1))
    assert (done.stored, len(tries), seq_of(root / ".refit" / "journal.db")) == (1, 3, 1)
    assert told == ["no room. 1 events wait for it.", "the journal can be used again"]


def test_who_stops_while_events_wait_is_told_that_they_are_not_stored(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fed, told = Fed(), list[str]()
    fed.send(town(1), town(2))

    def broken(*_: object, **__: object) -> None:
        fed.stream.stop()
        raise JournalUnwritable("no room.")

    monkeypatch.setattr(Journal, "append", broken)
    with pytest.raises(RefitError, match="stopped while 2 events waited for the journal; they are not stored"):
        follow(root, "towns", None, fed.stream, told.append)
    fed.end()
    fed.close()


def test_lines_come_in_batches_of_what_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(journal, "BATCH", 3)
    fed = Fed()
    fed.send(*range(7), cut=b"[1")
    batches = fed.stream.batches()
    assert [len(next(batches)) for _ in range(3)] == [3, 3, 1]  # no waiting for a full one
    later = threading.Timer(0.05, lambda: (fed.send(cut=b",2]\n9"), fed.end()))
    later.start()
    assert [line for batch in batches for line in batch] == [b"[1,2]", b"9"]
    later.join()
    fed.close()


def test_ctrl_c_ends_a_stream_with_what_was_read(root: Path) -> None:
    process = subprocess.Popen(
        [*REFIT, "events", "follow", "--table", "towns"], cwd=root, env=alone(), stdin=subprocess.PIPE,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stdin is not None
    process.stdin.write("".join(json.dumps(town(n, offset=n)) + "\n" for n in range(5)))
    process.stdin.flush()
    while seq_of(root / ".refit" / "journal.db") < 5:
        assert process.poll() is None
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    assert process.wait(60) == 0  # while the stream is still open
    assert process.communicate() == ("5 events of towns stored; the stream is read up to offset 4\n", "")


# Upkeep ---------------------------------------------------------------------------------------------------------------
def test_what_the_journal_says_of_itself(root: Path) -> None:
    assert list(lines(about(root))) == [
        f"there is no journal yet ({root}/.refit/journal.db); `refit serve` and `refit events` make one"
    ]
    (root / "a.csv").write_text(CSV.replace("Oslo", "Bern"))
    import_file(root, root / "a.csv", "parcels", "given")
    followed(root, town(1))
    with Journal(root / ".refit" / "journal.db", write=True) as one:
        one.append(predictions=[answer("p", "[1.0]")])
    assert "1 events and 1 predictions are blank now (entry 5 of the journal says why)" in erase(
        root, "parcels", "1", "asked to be forgotten"
    )
    found = about(root)
    assert {key: found[key] for key in ("seq", "events", "refused", "predictions", "erased")} == {
        "seq": 5, "events": {"parcels": 1, "towns": 1}, "refused": {}, "predictions": {}, "erased": 2,
    }  # fmt: skip
    json.dumps(found)
    said = list(lines(found))
    assert said[0].startswith(f"journal      {root}/.refit/journal.db, ")
    assert said[0].endswith("MB, last entry 5")
    assert said[2:4] == ["events       parcels: 1", "events       towns: 1"]
    assert said[4].endswith("1 events and 1 predictions of a row of parcels (asked to be forgotten)")
    assert "Rome" in json.dumps(events(root))
    assert "Bern" not in json.dumps(events(root))


@pytest.mark.parametrize("key", ["2", "[2]", '{"parcel": 2}', '{"parcel": "2"}'])
def test_a_key_is_read_as_the_column_is(root: Path, key: str) -> None:
    (root / "a.csv").write_text(CSV)
    import_file(root, root / "a.csv", "parcels", "given")
    erase(root, "parcels", key, "asked")
    assert [body["parcel"] for body in events(root)] == [1.0]


def test_what_cannot_be_erased_is_told(root: Path) -> None:
    (root / "a.csv").write_text(CSV)
    import_file(root, root / "a.csv", "parcels", "given")
    for table, key, reason, why in [
        ("towns", "1", "asked", "towns: has no key"),
        ("parcels", "one", "asked", "--key: 'parcel' must be a finite number, found 'one'"),
        ("parcels", '{"id": 1}', "asked", "--key: must be JSON with the values of 'parcel'"),
        ("parcels", "[1, 2]", "asked", "--key: must be JSON with the values of 'parcel'"),
        ("parcels", "7", "asked", r"no event of 'parcels', and no prediction, with the key \[7.0\]"),
        ("parcels", "1", " ", "--reason: say why"),
    ]:
        with pytest.raises(RefitError, match=why):
            erase(root, table, key, reason)
    assert len(events(root)) == 2


def test_the_commands(root: Path) -> None:
    (root / "a.csv").write_text(CSV)
    assert refit(root, "events", "import", "a.csv", "--table", "parcels") == "2 events of parcels stored\n"
    assert json.loads(refit(root, "journal", "--json"))["events"] == {"parcels": 2}
    assert refit(root, "journal", "backup", "copy.db").startswith("copy.db: the journal up to entry 2, 0.")
    assert "copy.db: is there already" in refit(root, "journal", "backup", "copy.db", code=1)
    said = refit(root, "journal", "erase", "--table", "parcels", "--key", "1", "--reason", "asked to be forgotten")
    assert said.startswith("1 events and 0 predictions are blank now")
    assert refit(root, "journal").count("\n") == 4
    (root / "copy.db").replace(root / ".refit" / "journal.db")
    assert "events       parcels: 2" in refit(root, "journal")
    lines = [json.dumps(town(1)), "{"]
    done = subprocess.run(
        [*REFIT, "events", "follow", "--table", "towns"], cwd=root, env=alone(), input="\n".join(lines), capture_output=True, text=True,
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (4, "1 events of towns stored, 1 lines refused\n")
    assert done.stderr.startswith("line 2: the body is not valid UTF-8 JSON")
