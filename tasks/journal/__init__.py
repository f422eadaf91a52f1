"""What happened after training: events as they came, and every answer that was given, in one log on disk.

An entry has a sequence number; whoever follows the log by number sees everything that was acknowledged, in one order.
SQLite in ``.refit/journal.db``; ``REFIT_JOURNAL`` may name another file or a PostgreSQL database that several machines share.
"""

from __future__ import annotations

from tasks.journal.commits import Commits
from tasks.journal.encoded import key_of
from tasks.journal.entries import Erasure, Event, Known, Prediction
from tasks.journal.journal import Appended, Journal, JournalSummary, JournalUnwritable, journal_url

__all__ = [
    "Appended",
    "Commits",
    "Erasure",
    "Event",
    "Journal",
    "JournalSummary",
    "JournalUnwritable",
    "Known",
    "Prediction",
    "journal_url",
    "key_of",
]
