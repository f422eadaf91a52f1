"""Moments that are made up for by hand: which they are, and a run for each, in order."""

from __future__ import annotations

from pathlib import Path

import pytest

from flows.backfill import moments
from tasks.errors import RefitError
from tests.flows.project import PARAMS, diary, make_project, refit


@pytest.mark.parametrize(
    ("begin", "end", "every", "days"),
    [
        ("2026-10-05", "2026-10-05", "7d", [5]),
        ("2026-10-05", "2026-10-12", "7d", [5, 12]),
        ("2026-10-05", "2026-10-11", "7d", [5]),
        ("2026-10-05T06:00:00Z", "2026-10-06", "12h", [5, 5, 6, 6]),
    ],
)
def test_both_ends_count(begin: str, end: str, every: str, days: list[int]) -> None:
    assert [at.day for at in moments(begin, end, every)] == days


@pytest.mark.parametrize(
    ("begin", "end", "every", "said"),
    [
        ("2026-10-12", "2026-10-05", "7d", "--from, --to: the first moment comes after the last"),
        ("2026-10-05", "2026-10-12", "weekly", "--every: a duration is a number and one of"),
        ("2026-10-05", "2026-10-12", "0d", "--every: a duration must be longer than nothing"),
        ("2026-10-05", "2026-10-12", "1s", "604,801 runs, and one command makes up to 500"),
        ("last week", "2026-10-12", "7d", "a moment is a date or an ISO time"),
    ],
)
def test_what_is_no_row_of_moments_is_told(begin: str, end: str, every: str, said: str) -> None:
    with pytest.raises(RefitError, match=said):
        moments(begin, end, every)


@pytest.mark.flows
def test_each_moment_has_its_run(tmp_path: Path, server: dict[str, str]) -> None:
    root = make_project(tmp_path / "late")
    (root / "params.yaml").write_text(PARAMS.replace("name: toy", "name: filled"))
    said = refit(root, "backfill", "--from", "2026-10-05", "--to", "2026-10-20", "--every", "7d", "--plain", env=server)
    heads = [line for line in said.splitlines() if " of 3)" in line]
    assert heads == [f"2026-10-{day} 23:59 UTC ({k} of 3)" for k, day in enumerate(("05", "12", "19"), 1)]
    assert diary(root).count("load") == 3
    assert '"2026-10-19T23:59:59.999999+00:00"' in (root / "data" / "context" / "as_of.json").read_text()
    said = refit(root, "backfill", "--from", "2026-10-05", "--to", "2090-01-02", "--every", "300d", code=1)
    assert "lies in the future" in said
    assert diary(root).count("load") == 3
