"""The journal in both databases: what is written is there once, in one order, for whoever follows it."""

from __future__ import annotations

import itertools
import json
import math
import multiprocessing
import sqlite3
import threading
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from tasks.errors import RefitError
from tasks.journal import Event, Journal, JournalUnwritable, Prediction, journal, journal_url, key_of, schema
from tasks.journal.digest import digest

MINUTE = 60_000_000


def order(n: int, id: str | None = None, **more: object) -> Event:
    body = {"id": float(n), "at": "2013-01-01T10:00:00Z", "amount": 0.1 + n, "paid": None, "note": "é \x00 \u2028"}
    return Event("orders", {**body, **more}, key=key_of(body, ["id"]), id=id)


def answer(id: str, key: str | None = None) -> Prediction:
    return Prediction(
        id=id, row={"x": 1.5}, answer={"prediction": "yes", "p": 0.1}, key=key, package="ab" * 32, version="3",
        scores=(0.1, 1 / 3), decision=1.0, threshold=0.30000000000000004, seen=7, features=digest({"x": 1.5}),
        moment=1_357_034_400_000_000,
    )  # fmt: skip


def everything(one: Journal) -> list[int]:
    return sorted([e.seq for e in one.events()] + [p.seq for p in one.predictions()])


def events_of(where: str | Path) -> list[Event]:
    with Journal(where) as one:
        return list(one.events())


def seq_of(where: str | Path) -> int:
    with Journal(where) as one:
        return one.seq


# Writing and reading ---------------------------------------------------------------------------------------------------
def test_what_is_written_is_read_back_with_its_place_and_its_receipt(where: str) -> None:
    given = [order(1, "a"), replace(order(2), known="given", refused="'amount': 2.1 is above 2"), order(1, amount=5.0)]
    before = time.time_ns() // 1000
    with Journal(where, write=True) as one:
        made = one.append(given, [answer("p")], {"orders.jsonl": "17"})
        assert (made.seq, made.stored, made.again) == (4, 4, frozenset())
        assert one.seq == 4
        events, predictions = list(one.events()), list(one.predictions())
        assert [replace(e, seq=0, received=0) for e in events] == given
        assert [replace(p, seq=0, at=0) for p in predictions] == [answer("p")]
        assert [e.seq for e in events] == [1, 2, 3]
        assert (predictions[0].seq, predictions[0].at) == (4, events[0].received)
        assert before <= events[0].received <= time.time_ns() // 1000
        assert one.position("orders.jsonl") == "17"
        assert one.position("another") is None
        one.append(positions={"orders.jsonl": "18"})
        assert one.position("orders.jsonl") == "18"


def test_numbers_come_back_as_the_same_bits(where: str) -> None:
    numbers = [0.1 + 0.2, 5e-324, 1.7976931348623157e308, -0.0, 1e16, 123456789.123456789]
    scores = replace(answer("p"), scores=tuple(numbers), decision=numbers[0], threshold=numbers[1])
    with Journal(where, write=True) as one:
        one.append([Event("t", {"n": numbers})], [scores])
        read = next(one.events()).body["n"]
        assert [n.hex() for n in read] == [n.hex() for n in numbers]  # type: ignore[attr-defined]
        found = one.prediction("p")
        assert found is not None
        assert [n.hex() for n in (*found.scores, found.decision)] == [n.hex() for n in (*numbers, numbers[0])]
        assert found.threshold == numbers[1]


def test_an_id_is_stored_once_within_a_commit_and_across_commits(where: str) -> None:
    with Journal(where, write=True) as one:
        first = one.append([order(1, "a"), order(2, "a"), order(3), order(3)], [answer("p"), answer("p")])
        assert (first.stored, first.again, first.seq) == (4, {"a", "p"}, 4)
        second = one.append([order(4, "a"), order(5, "b")], [answer("p"), answer("q")])
        assert (second.stored, second.again, second.seq) == (2, {"a", "p"}, 6)
        assert [e.body["id"] for e in one.events()] == [1.0, 3.0, 3.0, 5.0]
        assert [p.id for p in one.predictions()] == ["p", "q"]
        assert one.append([order(9, "b")]).seq == 6
        assert everything(one) == [1, 2, 3, 4, 5, 6]


def test_an_id_names_an_event_of_one_table_and_has_nothing_to_do_with_a_predictions(where: str) -> None:
    with Journal(where, write=True) as one:
        one.append([order(1, "1")])
        made = one.append([Event("shops", {"id": 1.0}, key="[1.0]", id="1")], [answer("1")])
        assert (made.stored, made.again) == (2, frozenset())
        assert [e.table for e in one.events()] == ["orders", "shops"]


def test_more_ids_than_one_query_takes(where: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(journal, "ASKED", 10)
    with Journal(where, write=True) as one:
        one.append([order(n, f"e{n}") for n in range(40)])
        assert one.append([order(n, f"e{n}") for n in range(25, 55)]).stored == 15
        assert len(list(one.events())) == 55


def test_reading_begins_behind_a_number_and_ends_at_one(where: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(journal, "PAGE", 4)  # several pages, and one that is exactly full
    with Journal(where, write=True) as one:
        for n in range(8):
            one.append([order(n)], [answer(f"p{n}", key=f"[{n % 2}]")])
        one.append([Event("shops", {"id": 1.0})])
        assert [e.seq for e in one.events()] == [1, 3, 5, 7, 9, 11, 13, 15, 17]
        assert [e.seq for e in one.events(after=5, until=13)] == [7, 9, 11, 13]
        assert [e.seq for e in one.events(table="orders", after=11)] == [13, 15]
        assert [e.seq for e in one.events(table="shops")] == [17]
        assert [p.id for p in one.predictions(key="[1]", after=4)] == ["p3", "p5", "p7"]
        assert [p.id for p in one.predictions(until=4)] == ["p0", "p1"]
        last = one.last_of("[0]")
        assert last is not None
        assert last.id == "p6"
        assert one.last_of("[7]") is None
        assert one.prediction("p3") == next(one.predictions(after=7))
        assert one.prediction("p9") is None
        assert list(one.events(after=17)) == []


def test_receipts_follow_the_order_when_the_clock_jumps_back(where: str, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter([5 * MINUTE, 2 * MINUTE, 6 * MINUTE])
    monkeypatch.setattr(time, "time_ns", lambda: next(clock) * 1000)
    with Journal(where, write=True) as one:
        for n in range(3):
            one.append([order(n)])
        assert [e.received for e in one.events()] == [5 * MINUTE, 5 * MINUTE, 6 * MINUTE]


def test_an_entry_that_no_journal_can_hold_is_refused_and_nothing_with_it_is_stored(where: str) -> None:
    wrong: list[tuple[Event, str]] = [
        (order(2, amount=math.nan), "Out of range float"),
        (order(2, note="half \ud800"), "surrogates not allowed"),
        (order(2, "a\0b"), "NUL character"),
        (replace(order(2), table="a\0"), "NUL character"),
    ]
    with Journal(where, write=True) as one:
        for event, why in wrong:
            with pytest.raises(ValueError, match=why):
                one.append([order(1, "a"), event])
        assert one.seq == 0
        assert one.append([order(1, "a")]).seq == 1


def test_what_the_summary_says(where: str) -> None:
    with Journal(where, write=True) as one:
        empty = one.about()
        assert (empty.seq, empty.events, empty.predictions, empty.first, empty.last) == (0, {}, {}, None, None)
        one.append([order(1), replace(order(2), refused="no"), Event("shops", {"id": 1.0})])
        one.append(predictions=[answer("p"), replace(answer("q"), version="4")])
        found = one.about()
        assert (found.seq, found.events, found.refused) == (5, {"orders": 2, "shops": 1}, {"orders": 1})
        assert found.predictions == {"3": 1, "4": 1}
        assert found.journal == empty.journal != ""
        assert found.first is not None
        assert found.last is not None
        assert found.first <= found.last
        assert found.bytes > 4096


# Journals that are not there, of another version, or of no use --------------------------------------------------------
def test_a_journal_that_is_not_there_gives_nothing_and_is_not_made(where: str, tmp_path: Path) -> None:
    with Journal(where) as reader:
        assert reader.seq == 0
        assert list(reader.events()) == list(reader.predictions()) == reader.erasures() == []
        assert (reader.prediction("p"), reader.last_of("[1]"), reader.position("s")) == (None, None, None)
        assert (reader.changed(), reader.about().seq) == (False, 0)
        assert list(tmp_path.iterdir()) == []
        with Journal(where, write=True) as writer:
            writer.append([order(1)])
        assert [e.seq for e in reader.events()] == [1]  # it is there now
        with pytest.raises(RefitError, match="opened to be read only"):
            reader.append([order(2)])


def test_a_journal_of_a_later_version_is_refused_in_one_line(where: str) -> None:
    with Journal(where, write=True) as one, one._trouble() as database:
        database.run("UPDATE journal_meta SET value = '99' WHERE name = 'version'")
    for write in (True, False):
        with pytest.raises(
            RefitError, match=r"written by a later Refit \(its version is 99; this one reads up to 1\)"
        ) as error:
            Journal(where, write=write).append([order(1)])
        assert "\n" not in str(error.value)


@pytest.mark.parametrize("version", range(1, schema.VERSION + 1))
def test_a_journal_of_each_version_is_brought_up_to_date(
    where: str, version: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Made as that version made it, then opened by this one, and by one that is a version further."""
    with monkeypatch.context() as patch:
        patch.setattr(schema, "STEPS", schema.STEPS[:version])
        patch.setattr(schema, "VERSION", version)
        with Journal(where, write=True) as old:
            old.append([order(1)], [answer("p")])
            name = old.about().journal
    with Journal(where, write=True) as one:
        assert [everything(one), one.about().journal] == [[1, 2], name]
        one.append([order(2)])
    monkeypatch.setattr(schema, "STEPS", (*schema.STEPS, ("ALTER TABLE journal_events ADD COLUMN more TEXT",)))
    monkeypatch.setattr(schema, "VERSION", schema.VERSION + 1)
    with Journal(where, write=True) as later, later._trouble() as database:
        assert everything(later) == [1, 2, 3]
        assert database.rows("SELECT more FROM journal_events WHERE seq = 3") == [(None,)]
    monkeypatch.undo()
    with pytest.raises(RefitError, match="later Refit"):
        Journal(where, write=True)


def test_what_cannot_be_a_journal_is_refused_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    (tmp_path / "text.db").write_text("this is no database, however long it may be " * 200)
    cases = [
        (tmp_path, "unable to open database file"),
        (tmp_path / "file" / "journal.db", "file"),
        (tmp_path / "text.db", "file is not a database"),
        ("mysql://me:secret@host/name", "neither a file, sqlite:///FILE nor postgresql://"),
        ("postgresql://me:secret@127.0.0.1:1/name", "Connection refused"),
        ("postgresql://me:secret@[::1/name", "cannot be used"),
    ]
    for place, why in cases:
        with pytest.raises(RefitError, match=why) as error:
            Journal(place, write=True)
        assert "\n" not in str(error.value)
        assert "secret" not in str(error.value)
    with pytest.raises(JournalUnwritable, match="file is not a database"):
        events_of(tmp_path / "text.db")


def test_an_empty_file_is_a_journal_that_is_not_there_yet(tmp_path: Path) -> None:
    """So a reader finds it between the moment that a writer makes the file and the moment that it makes the tables."""
    (tmp_path / "journal.db").touch()
    with Journal(tmp_path / "journal.db") as reader:
        assert (reader.seq, list(reader.events()), reader.changed()) == (0, [], False)
        with Journal(tmp_path / "journal.db", write=True) as writer:
            writer.append([order(1)])
        assert reader.seq == 1


def test_where_a_project_has_its_journal(tmp_path: Path) -> None:
    assert journal_url(tmp_path, {}) == str(tmp_path / ".refit" / "journal.db")
    assert journal_url(tmp_path, {"REFIT_JOURNAL": "events.db"}) == str(tmp_path / "events.db")
    assert journal_url(tmp_path, {"REFIT_JOURNAL": "/var/lib/events.db"}) == "/var/lib/events.db"
    assert journal_url(tmp_path, {"REFIT_JOURNAL": "postgresql://me@host/name"}) == "postgresql://me@host/name"
    odd = tmp_path / "a b%20@?#" / "journal.db"
    for place in (str(odd), "sqlite:///" + str(odd).replace("%", "%25")):
        with Journal(place, write=True) as one:
            assert one.shown == str(odd)
            one.append([order(1)])
    assert odd.is_file()


# Several connections --------------------------------------------------------------------------------------------------
def test_others_see_that_something_changed_and_what(where: str) -> None:
    with Journal(where, write=True) as writer, Journal(where) as reader:
        writer.append([order(1)])
        assert reader.changed()  # it was never asked before
        quiet = reader.changed()
        assert quiet == (not where.endswith(".db"))  # only SQLite can tell without a query
        writer.append([order(2)])
        assert reader.changed()
        assert reader.seq == 2
        context = multiprocessing.get_context("spawn")
        process = context.Process(target=elsewhere, args=(where,))
        process.start()
        process.join(60)
        assert process.exitcode == 0
        assert reader.changed()
        assert [e.body["id"] for e in reader.events(after=2)] == [3.0]


def elsewhere(where: str) -> None:
    with Journal(where, write=True) as one:
        one.append([order(3)])


def at_once(*work: Callable[[], object]) -> None:
    errors: list[BaseException] = []

    def guarded(one: Callable[[], object]) -> None:
        try:
            one()
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=guarded, args=(one,)) for one in work]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    assert not errors


def test_four_writers_leave_no_gap_that_a_follower_could_miss(where: str) -> None:
    """Order of commits = order of numbers: whoever asks for what is behind the last number it saw misses nothing."""
    each, writers, followed = 60, 4, list[int]()
    Journal(where, write=True).close()

    def write(number: int) -> None:
        with Journal(where, write=True) as one:
            for n in range(each):
                made = one.append([order(n, f"{number}/{n}/{i}") for i in range(1 + n % 3)])
                assert made.stored == 1 + n % 3

    total = writers * sum(1 + n % 3 for n in range(each))

    def follow() -> None:
        with Journal(where) as one:
            while len(followed) < total:
                followed.extend(e.seq for e in one.events(after=followed[-1] if followed else 0))
                assert followed == list(range(1, len(followed) + 1))

    at_once(*(lambda number=number: write(number) for number in range(writers)), follow)
    with Journal(where) as one:
        received = [e.received for e in one.events()]
        assert received == sorted(received)
        assert one.seq == total
        ids = [str(e.id) for e in one.events()]
        for number in range(writers):  # each writer's own order is kept
            mine = [tuple(map(int, id.split("/")[1:])) for id in ids if id.startswith(f"{number}/")]
            assert mine == sorted(mine)


def test_a_reader_in_the_middle_of_its_pages_holds_no_writer_up(where: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(journal, "PAGE", 2)
    with Journal(where, write=True) as writer, Journal(where) as reader:
        writer.append([order(n) for n in range(5)])
        pages = reader.events()
        assert [next(pages).seq for _ in range(3)] == [1, 2, 3]
        writer.append([order(n) for n in range(5, 8)])
        assert [e.seq for e in pages] == [4, 5, 6, 7, 8]
        until = reader.seq
        writer.append([order(9)])
        assert [e.seq for e in reader.events(until=until)] == list(range(1, 9))


def test_two_that_make_the_journal_at_once_make_one(where: str) -> None:
    names = list[str]()

    def make() -> None:
        with Journal(where, write=True) as one:
            one.append([order(1)])
            names.append(one.about().journal)

    at_once(*[make] * 6)
    assert len(names) == 6
    assert len(set(names)) == 1
    assert seq_of(where) == 6


def test_a_database_that_another_program_holds_is_told_and_used_again_afterwards(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tasks.journal.database.WAIT", 0.05)
    path = tmp_path / "journal.db"
    with Journal(path, write=True) as one, closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(JournalUnwritable, match=r"database is locked\. Check .* no other program holds it locked"):
            one.append([order(1)])
        other.execute("COMMIT")
        assert one.append([order(1)]).seq == 1


def test_a_full_database_stores_nothing_by_half_and_works_again_when_there_is_room(tmp_path: Path) -> None:
    with Journal(tmp_path / "journal.db", write=True) as one:
        one.append([order(0)])
        with one._trouble() as database:
            (pages,) = database.rows("PRAGMA page_count")[0]
            database.rows(f"PRAGMA max_page_count = {pages}")
        with pytest.raises(JournalUnwritable, match=r"is full\. Check .* the disk has room"):
            one.append([order(n, note="x" * 500) for n in range(1, 200)], positions={"s": "199"})
        assert (one.seq, len(list(one.events())), one.position("s")) == (1, 1, None)
        assert one.append([order(n, note="x" * 500) for n in range(1, 200)]).seq == 200


# Erasing and copies ---------------------------------------------------------------------------------------------------
def test_what_is_erased_is_read_by_nobody_and_its_places_stay(where: str) -> None:
    with Journal(where, write=True) as one:
        one.append([order(1, "a"), order(2), replace(order(1), refused="no"), Event("shops", {"id": 1.0}, key="[1.0]")])
        one.append(predictions=[answer("p", "[1.0]"), answer("q", "[2.0]")])
        made = one.erase("orders", "[1.0]", "asked to be forgotten", "ada", predictions=True)
        assert (made.events, made.predictions, made.seq, made.by) == (2, 1, 7, "ada")
        assert one.erasures() == [made]
        assert one.erasures(after=7) == []
        assert [(e.seq, e.table) for e in one.events()] == [(2, "orders"), (4, "shops")]
        assert [p.id for p in one.predictions()] == ["q"]
        assert (one.prediction("p"), one.last_of("[1.0]"), list(one.predictions(key="[1.0]"))) == (None, None, [])
        summary = one.about()
        assert (summary.seq, summary.events, summary.refused, summary.erased) == (7, {"orders": 1, "shops": 1}, {}, 3)
        again = one.append([order(1, "a")], [answer("p", "[1.0]")])
        assert (again.stored, again.again) == (0, {"a", "p"}), "who sends it again does not bring it back"
        assert one.append([order(1, "new")]).seq == 8
        with pytest.raises(RefitError, match=r"no event of 'orders', and no prediction, with the key \[77\.0\]"):
            one.erase("orders", "[77.0]", "asked", "ada", predictions=False)
        assert (one.seq, len(one.erasures())) == (8, 1)


def test_no_file_has_what_was_erased(tmp_path: Path) -> None:
    path = tmp_path / "journal.db"
    secret = "Ada Lovelace, 12 St James's Square"
    with Journal(path, write=True) as one, Journal(path) as reader:
        one.append([order(n, name=secret if n == 7 else "somebody") for n in range(300)])
        one.append(predictions=[replace(answer("p", "[7.0]"), row={"name": secret})])
        assert reader.seq == 301
        written = [file.read_bytes() for file in tmp_path.iterdir()]
        assert any(secret.encode() in content for content in written)
        one.erase("orders", "[7.0]", "asked to be forgotten", "ada", predictions=True)
        assert [file.name for file in tmp_path.iterdir() if secret.encode() in file.read_bytes()] == []
        assert len(list(reader.events())) == 299


def test_a_copy_is_whole_while_others_write_and_is_a_journal_when_it_is_put_back(tmp_path: Path) -> None:
    path, copy = tmp_path / "journal.db", tmp_path / "copy.db"
    done = threading.Event()

    def write() -> None:
        with Journal(path, write=True) as one:
            for n in itertools.count():
                one.append([order(n)] * 20)
                if done.is_set():
                    return

    thread = threading.Thread(target=write)
    thread.start()
    try:
        with Journal(path) as reader:
            while reader.seq < 100:
                time.sleep(0.01)
            before = reader.seq
            seq = reader.backup(copy)
            assert before <= seq <= reader.seq
    finally:
        done.set()
        thread.join()
    assert sorted(file.name for file in tmp_path.iterdir()) == ["copy.db", "journal.db"]
    with Journal(copy) as one:
        assert [e.seq for e in one.events()] == list(range(1, seq + 1))
    copy.replace(path)
    with Journal(path, write=True) as back:
        assert back.append([order(1)]).seq == seq + 1


def test_no_copy_over_a_file_of_nothing_or_of_a_server(where: str, tmp_path: Path) -> None:
    (tmp_path / "mine.csv").write_text("a\n1\n")
    with pytest.raises(RefitError, match="there is no journal"), Journal(where) as one:
        one.backup(tmp_path / "copy.db")
    Journal(where, write=True).close()
    if where.startswith("postgresql"):
        with pytest.raises(RefitError, match="pg_dump"), Journal(where) as one:
            one.backup(tmp_path / "copy.db")
    else:
        with pytest.raises(RefitError, match=r"mine\.csv: is there already"), Journal(where) as one:
            one.backup(tmp_path / "mine.csv")
        with pytest.raises(OSError, match="No such file"), Journal(where) as one:
            one.backup(tmp_path / "nowhere" / "copy.db")
    assert (tmp_path / "mine.csv").read_text() == "a\n1\n"
    assert not (tmp_path / "copy.db").exists()


def test_a_key_is_one_text_whatever_made_it() -> None:
    assert key_of({"a": 1.0, "b": "x"}, ["b", "a"]) == '["x",1.0]'
    assert json.loads(key_of({"a": None}, ["a"]) or "") == [None]
    assert digest({"a": -0.0}) != digest({"a": 0.0})
    assert digest({"a": math.nan}) == digest({"a": -math.nan}) != digest({"a": "-"})
