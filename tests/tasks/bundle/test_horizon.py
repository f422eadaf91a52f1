"""Which moments a package can answer: refused before its history begins, warned of after it ends."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from tasks.artifacts import Manifest
from tasks.bundle import Bundle
from tasks.bundle.horizon import FINE, Horizon, derived, parse, shortest_windows
from tasks.bundle.rows import from_json
from tasks.engine.derive import derive
from tasks.engine.facts import MISSING
from tasks.errors import RefitError
from tasks.files import read_json, read_table
from tasks.params import parse as params
from tests.tasks.package.projects import TIMED, package, project, timed

HOUR = 3_600_000_000
HORIZON = Horizon(100 * HOUR, {"flights": 200 * HOUR, "weather": 150 * HOUR}, {"flights": 3 * HOUR, "weather": None})


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return package(project(tmp_path_factory.mktemp("timed"), TIMED))


def row_at(bundle: Bundle, moment: str) -> dict[str, Any]:
    golden = read_json(bundle.path / "golden.json")["rows"][0]["input"]
    return from_json({**golden, "placed_at": moment}, bundle.schema.fields)


def test_before_answers_from_is_refused_and_its_first_microsecond_is_answered() -> None:
    assert HORIZON.check(100 * HOUR).refused == ""
    assert (
        "1970-01-05T03:59:59.999999Z is before answers_from, 1970-01-05T04:00:00Z"
        in HORIZON.check(100 * HOUR - 1).refused
    )


def test_after_known_until_each_table_is_named_with_its_age() -> None:
    assert HORIZON.check(150 * HOUR).warnings == ()
    one = HORIZON.check(150 * HOUR + 1)
    assert (one.ages, one.stale) == ({"weather": 1}, ())
    both = HORIZON.check(203 * HOUR + 1)
    assert (both.ages, both.stale) == ({"flights": 3 * HOUR + 1, "weather": 53 * HOUR + 1}, ("flights",))
    assert both.warnings == (
        "'flights': known until 1970-01-09T08:00:00Z, 3h before this row; too old to rely on (at most 3h)",
        "'weather': known until 1970-01-07T06:00:00Z, 2d 5h before this row",
    )
    assert HORIZON.check(203 * HOUR).stale == ()


def test_another_patience_than_the_windows() -> None:
    patient = HORIZON.within(60 * HOUR)
    assert patient.check(204 * HOUR).stale == ()
    assert patient.check(215 * HOUR).stale == ("weather",)


def test_a_row_without_a_moment_sees_no_history_and_is_never_too_early() -> None:
    assert HORIZON.check(int(MISSING)) is FINE


def test_it_is_the_same_after_being_written() -> None:
    assert HORIZON.start == "1970-01-05T04:00:00Z"
    tree, _ = timed()
    again = Horizon.of(derive(params(tree)), HORIZON.start, HORIZON.ends)
    assert (again.answers_from, again.known_until) == (HORIZON.answers_from, HORIZON.known_until)
    assert Horizon.of(derive(params(tree)), None, {}).check(0).refused == ""


@pytest.mark.parametrize(
    ("windows", "within", "shortest"),
    [(["3d", "7d"], None, 3), (["7d", "all"], None, 7), (["all", "last 5"], None, None), (["all"], "2d", 2)],
)
def test_the_shortest_window_that_ends_says_when_a_table_is_too_old(
    windows: list[str], within: str | None, shortest: int | None
) -> None:
    tree, _ = timed()
    tree["features"]["history"][0]["windows"] = windows
    if within:
        tree["features"]["lookups"].append({"table": "orders", "on": "shop", "columns": ["weight"], "within": within})
    found = shortest_windows(derive(params(tree)))
    assert found == {"orders": shortest and shortest * 24 * HOUR}  # shops have no times, and never age


def test_a_package_refuses_an_earlier_row_among_others(made: Path) -> None:
    bundle = Bundle.load(made).start()
    fine = row_at(bundle, "2024-02-25T00:00:00Z")
    early = row_at(bundle, "2024-02-10T00:00:00Z")
    assert bundle.check_time(fine).refused == ""
    assert "2024-02-09T23:00:00Z is before answers_from" in bundle.check_time(early).refused
    with pytest.raises(RefitError, match="before answers_from"):
        bundle.predict_rows([fine, early])


def test_every_test_row_and_every_later_one_is_answered_as_in_batch(made: Path) -> None:
    """From the first of them on; later rows as the pipeline would with what it knew."""
    bundle = Bundle.load(made).start()
    tables = {p.stem: read_table(p) for p in (made.parent / "validated").glob("*.parquet")}
    features = read_table(made.parent / "features" / "features.parquet")
    start = pd.Timestamp(bundle.manifest.answers_from)
    since = tables["orders"][(features["__time__"] >= start).to_numpy()]
    later = since.tail(20).assign(placed_at=lambda frame: frame["placed_at"] + pd.Timedelta(days=5))
    asked = pd.concat([since, later], ignore_index=True)
    batch = bundle.compute(asked, tables)
    names = [field.name for field in bundle.schema.fields]
    answers = bundle.predict_rows(asked[names].to_dict("records"))
    online = pd.DataFrame([answer.features for answer in answers])
    pd.testing.assert_frame_equal(online[batch.columns.tolist()], batch, check_exact=True, check_dtype=False)
    ends = pd.Timestamp(bundle.manifest.known_until["orders"])
    late = (asked["placed_at"] - pd.Timedelta("1h") > ends).tolist()
    assert [bool(bundle.check_time(row).warnings) for row in asked[names].to_dict("records")] == late
    assert sum(late) >= 20


def test_an_older_package_answers_from_its_earliest_golden_row(made: Path) -> None:
    manifest = read_json(made / "bundle.json")
    old = {k: v for k, v in manifest.items() if k not in ("answers_from", "known_until")}
    bundle = Bundle(made, Manifest.of_json(old), "")
    assert (bundle.horizon.start, bundle.horizon.ends) == (manifest["answers_from"], manifest["known_until"])


def test_an_older_package_whose_windows_have_no_end_kept_everything() -> None:
    tree, tables = timed()
    tree["features"]["history"][0]["windows"] = ["all"]
    plan = derive(params(tree))
    found = derived(plan, [parse("2024-02-01T00:00:00Z")], {"orders": tables["orders"].dropna()})
    assert found.answers_from is None
    assert list(found.known_until) == ["orders"]


def test_tables_without_times_have_no_horizon(tmp_path: Path) -> None:
    bundle = Bundle.load(package(project(tmp_path, "regression", ("ridge",))))
    assert bundle.manifest.answers_from is None
    assert bundle.manifest.known_until == {}
    assert bundle.horizon.check(0).refused == ""
