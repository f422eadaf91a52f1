"""From a file, or the bundled flights, to validated tables: the stages chained on real data."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pandas as pd
import pytest

from tasks.files import write_text
from tasks.ingest.__main__ import main as ingest
from tasks.profile import infer, to_yaml
from tasks.validate.__main__ import main as validate

ROOT = Path(__file__).parents[3]


@pytest.fixture(autouse=True)
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.argv", ["stage"])
    return tmp_path


@pytest.mark.parametrize(("name", "rows"), [("iris", 150), ("breast_cancer", 569), ("diabetes", 442)])
def test_a_file_given_to_init(name: str, rows: int) -> None:
    from sklearn import datasets

    frame = getattr(datasets, f"load_{name}")(as_frame=True).frame
    frame.to_csv(f"{name}.csv", index=False)
    write_text("params.yaml", to_yaml(infer(f"{name}.csv", "target")))
    ingest()
    validate()
    kept = pd.read_parquet(f"data/validated/{name}.parquet")
    assert list(kept) == list(frame)
    assert len(kept) == rows
    pd.testing.assert_frame_equal(kept.drop(columns="target"), frame.drop(columns="target").astype(float))


def test_the_bundled_flights() -> None:
    shutil.copy(ROOT / "params.yaml", "params.yaml")
    shutil.copytree(ROOT / "data/expectations", "data/expectations")
    ingest()
    validate()
    tables = json.loads(Path("data/validated/summary.json").read_text())["tables"]
    assert {name: (t["accepted"], t["quarantined"], t["not_yet_known"]) for name, t in tables.items()} == {
        "flights": (281_363, 1, 55_412),
        "planes": (3_322, 0, 0),
        "weather": (21_817, 1, 4_297),
    }
    assert tables["flights"]["reasons"] == {"distance: is not between 50 and 6000": 1}  # Newark to LaGuardia, 17 miles
    assert tables["weather"]["reasons"] == {"wind_speed: is not between 0 and 120": 1}  # 1,048 miles an hour
    flights = pd.read_parquet("data/validated/flights.parquet")
    as_of = pd.Timestamp("2013-10-31T23:59:59.999999Z")
    assert flights["arrived_at"].max() <= as_of
    assert (flights["sched_dep_at"] - pd.Timedelta(hours=2)).max() <= as_of
    assert (
        flights.loc[flights["arrived_at"].isna(), ["dep_time", "arr_delay", "air_time", "late"]].isna().all(axis=None)
    )
    assert round(flights["late"].mean(), 4) == 0.2346
