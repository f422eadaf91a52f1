"""A week's file corrects an earlier one: from the folder to the features, as known at one moment and at a later one."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest

from tasks import params
from tasks.errors import RefitError
from tasks.features.__main__ import main as features
from tasks.ingest.__main__ import main as ingest
from tasks.validate.__main__ import main as validate

PARAMS = """\
problem: {name: visits, kind: regression, table: visits, target: paid, prediction_time: at}
data:
  tables:
    visits:
      source: weekly/*.csv
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
OTHERS = [(100 + i, -i, 1 - i, "z", i) for i in range(60)]  # as many as a model needs
DAY = pd.Timestamp("2024-01-01", tz="UTC")


def week(number: int, rows: list[tuple[int, int, int | None, str, float | None]]) -> None:
    """Rows of id, day of the visit, day on which it was told, shop, what was paid."""
    frame = pd.DataFrame(rows, columns=["id", "at", "told", "shop", "paid"])
    for column in ("at", "told"):
        days = pd.to_timedelta(frame[column], unit="D") + DAY
        frame[column] = days.dt.strftime("%Y-%m-%d").where(frame[column].notna())
    Path("weekly").mkdir(exist_ok=True)
    frame.to_csv(f"weekly/w{number}.csv", index=False)


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.argv", ["stage"])
    (tmp_path / "params.yaml").write_text(PARAMS)
    week(1, [(1, 0, 1, "a", 10), (2, 1, 2, "a", 20), (3, 2, None, "b", None), (4, 3, 4, "a", 30), *OTHERS])
    week(2, [(5, 8, 9, "a", 40), (6, 9, 10, "b", 50), (7, 10, 11, "a", 60), (3, 2, 9, "b", 35)])  # 3: told at last
    week(3, [(8, 15, 16, "a", 70), (9, 16, 17, "b", 80), (1, 0, 15, "a", 12), (2, 1, 16, "a", -5)])  # 1, 2: corrected
    return tmp_path


def run(as_of: str | None = None) -> pd.DataFrame:
    text = PARAMS if as_of is None else PARAMS.replace("data:\n", f'data:\n  as_of: "{as_of}"\n')
    Path("params.yaml").write_text(text.replace("  tables:", "  max_quarantined: 0.2\n  tables:"))
    ingest()
    validate()
    features()
    rows = pd.read_parquet("data/validated/visits.parquet")
    made = pd.read_parquet("data/features/features.parquet")
    assert len(rows) == len(made)
    return pd.concat([rows, made.drop(columns="shop")], axis=1).set_index("id").drop(range(100, 160))


def test_every_row_counts_once_as_it_is_known_last_and_its_past_as_it_was(project: Path) -> None:
    found = run()
    total, last = "shop.sum(paid, all)", "shop.sum(paid, last 1)"
    assert sorted(found.index) == [1, 3, 4, 5, 6, 7, 8, 9]  # 2 was corrected to what cannot be, and is rejected
    assert found["paid"][1] == 12
    assert found["paid"][3] == 35
    assert found[total][5] == 10 + 20 + 30  # as on day 8: the rows as they were told first
    assert found[total][7] == 10 + 20 + 30 + 40
    assert found[total][8] == 10 + 20 + 30 + 40 + 60  # on day 15 the correction of that day is not known yet
    assert found[last][8] == 60
    assert found[total][9] == 35 + 50
    earlier = pd.read_parquet("data/validated/visits.earlier.parquet").set_index("id")
    assert earlier["paid"].to_dict() == {1: 10, 2: 20}
    assert earlier["__until__"][1] == DAY + pd.Timedelta("15d")
    counts = json.loads(Path("data/validated/summary.json").read_text())["tables"]["visits"]
    assert {k: counts[k] for k in ("input", "accepted", "quarantined", "not_yet_known", "earlier_states")} == {
        "input": 69, "accepted": 68, "quarantined": 1, "not_yet_known": 0, "earlier_states": 2
    }  # fmt: skip


def test_what_is_corrected_later_is_not_known_yet(project: Path) -> None:
    found = run("2024-01-12")
    assert sorted(found.index) == [1, 2, 3, 4, 5, 6, 7]
    assert found["paid"].to_dict() == {1: 10, 2: 20, 3: 35, 4: 30, 5: 40, 6: 50, 7: 60}
    assert not Path("data/validated/visits.earlier.parquet").exists()
    assert run("2024-01-05")["paid"].isna().to_dict() == {1: False, 2: False, 3: True, 4: False}


def test_a_row_that_was_corrected_when_the_next_part_had_begun_is_not_trained_on(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Validation begins with day 7 and the test with day 12: row 1 was known on day 1, and corrected on day 15."""
    parts = PARAMS.replace("test: 0.2, valid: 0.2", "test: 5d, valid: 5d")
    monkeypatch.setitem(globals(), "PARAMS", parts)
    found = run()["__split__"].to_dict()
    assert found == {1: "pending", 3: "pending", 4: "train"} | dict.fromkeys((5, 6, 7), "valid") | dict.fromkeys(
        (8, 9), "test"
    )


def test_with_reject_rows_that_share_a_key_go_to_quarantine(project: Path) -> None:
    text = PARAMS.replace("      key: [id]\n", "      key: [id]\n      corrections: reject\n")
    Path("params.yaml").write_text(text)
    ingest()
    with pytest.raises(RefitError, match="id: is the key of more than one row"):
        validate()


def test_a_single_file_has_states_where_the_user_says_so(project: Path) -> None:
    whole = pd.concat([pd.read_csv(p) for p in sorted(Path("weekly").glob("*.csv"))])
    whole.to_csv("all.csv", index=False)
    text = PARAMS.replace("weekly/*.csv", "all.csv").replace("  tables:", "  max_quarantined: 0.2\n  tables:")
    Path("params.yaml").write_text(text)
    ingest()
    validate()
    assert len(pd.read_parquet("data/quarantine/visits.parquet")) == 6  # two rows of each of three keys
    Path("params.yaml").write_text(text.replace("      key: [id]\n", "      key: [id]\n      corrections: states\n"))
    ingest()
    validate()
    assert len(pd.read_parquet("data/validated/visits.parquet")) == 68


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (("      key: [id]\n", "      corrections: states\n"), r"visits\.corrections: needs key: the columns that name a row"),
        (("      event_time: at\n      known_at: told\n      outcome: [paid, told]\n", "      corrections: states\n"),
         r"visits\.corrections: 'states' needs event_time, or known_at too"),
    ],
)  # fmt: skip
def test_corrections_need_a_key_and_states_a_moment(change: tuple[str, str], expected: str) -> None:
    with pytest.raises(RefitError, match=expected):
        params.loads(PARAMS.replace(*change), "params.yaml")
