"""A package loads only as it was made, and answers as the pipeline does."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from tasks.artifacts import Covered, Manifest, Receipt
from tasks.bundle import Bundle
from tasks.bundle.events import last_moment
from tasks.bundle.horizon import parse
from tasks.bundle.manifest import write_manifest
from tasks.bundle.rows import from_json
from tasks.engine.facts import MISSING, TableSchema, Time
from tasks.errors import RefitError
from tasks.files import read_json, read_table, write_json
from tasks.fitting.calibration import Calibration
from tasks.journal import Event
from tasks.kinds import find_kind
from tests.tasks.package.projects import TIMED, package, project


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return package(project(tmp_path_factory.mktemp("timed"), TIMED, ("xgboost", "logistic"), (3.0, 1.0)))


@pytest.fixture
def copy(made: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(made, tmp_path / "package"))


def test_a_package_covers_the_events_that_it_was_made_with(copy: Path) -> None:
    def covers(as_of: str | None = None, journal: str = "j", **about: Any) -> bool:
        receipt = Receipt.read(copy).model_copy(update={"as_of": as_of})
        receipt.write(copy)
        made = Covered(id="j", seq=9, tables={"orders": 9, "shops": 7})
        write_manifest(copy, Manifest.read(copy).model_copy(update={"journal": made}))
        row = {"placed_at": "2024-03-01T10:00:00Z", "arrived_at": "2024-03-02T10:00:00Z"}
        told = {"table": "orders", "body": row, "seq": 9, "received": parse("2024-03-05T00:00:00Z")}
        return Bundle.load(copy).covers(Event(**{**told, **about}), journal)

    assert not Bundle.load(copy).covers(Event("orders", {}, seq=1), ""), "made without a journal"
    assert covers()
    assert not covers(seq=10), "it came later"
    assert not covers(journal="another")
    assert not covers(table="weather"), "its source has no events"
    assert covers(as_of="2024-03-05T00:00:00+00:00")
    assert not covers(as_of="2024-03-04T23:59:59+00:00"), "it was not received yet"
    assert covers(as_of="2024-03-04T23:59:59+00:00", known="given")
    assert not covers(as_of="2024-03-02T09:59:59+00:00", known="given"), "its columns say that it was not known yet"
    assert covers(as_of="2024-03-01T00:00:00+00:00", body={"placed_at": "2024-03-01T10:00:00Z"}), "it never counts"
    assert covers(as_of="2024-03-01T00:00:00+00:00", table="shops", seq=7, body={"shop": "s1"}), "without moments"
    assert not covers(table="shops", seq=8)


def test_of_a_row_whose_columns_are_known_later_the_last_moment_counts() -> None:
    later = {"refunded": Time("refunded_at", 5)}
    columns = {"id": "numeric", "at": "datetime", "refunded_at": "datetime"}
    table = TableSchema("t", columns, ("id",), Time("at"), None, (), later)
    at, refunded = "2024-03-01T10:00:00Z", "2024-03-02T10:00:00Z"
    event = Event("t", {"at": at, "refunded_at": refunded}, known="given", received=parse(refunded) + 9)
    assert last_moment(event, table) == parse(refunded) + 5
    assert last_moment(event, replace(table, key=())) == parse(at)
    assert last_moment(replace(event, known="receipt"), table) == parse(refunded) + 9
    assert last_moment(replace(event, body={"at": at, "refunded_at": None}), table) == parse(at)
    assert last_moment(replace(event, body={}), table) == MISSING


def test_damaged_file_is_named(copy: Path) -> None:
    target = next(copy.glob("model/xgboost/*.ubj"))
    target.write_bytes(target.read_bytes()[:-1] + b"x")
    with pytest.raises(RefitError, match=r"damaged: 'model/xgboost/booster\.ubj'"):
        Bundle.load(copy)


def test_missing_and_extra_files_are_named(copy: Path) -> None:
    (copy / "schema.json").unlink()
    (copy / "more.txt").write_text("x")
    with pytest.raises(RefitError, match=r"missing: 'schema.json'; not part of it: 'more.txt'"):
        Bundle.load(copy)


def test_a_file_that_the_manifest_does_not_list_cannot_be_slipped_in_with_it(copy: Path) -> None:
    manifest = read_json(copy / "bundle.json")
    del manifest["files"]["golden.json"]
    write_json(copy / "bundle.json", manifest)
    with pytest.raises(RefitError, match=r"not part of it: 'golden.json'"):
        Bundle.load(copy)


@pytest.mark.parametrize(
    ("content", "said"), [('{"format": 99}', "found 99"), ('{"format": 1}', "lacks 'name'"), ("[", "not valid JSON")]
)
def test_foreign_manifest_is_refused(copy: Path, content: str, said: str) -> None:
    (copy / "bundle.json").write_text(content)
    with pytest.raises(RefitError, match=said):
        Bundle.load(copy)


def test_no_package(tmp_path: Path) -> None:
    with pytest.raises(RefitError, match="no package here"):
        Bundle.load(tmp_path)


def test_ensemble_is_the_weighted_mean_of_its_members(made: Path) -> None:
    bundle = Bundle.load(made)
    features = read_table(made / "reference.parquet").tail(50)
    xgboost, logistic = (member.predict(features) for member in bundle.members)
    expected = (3 * xgboost + logistic) / 4
    np.testing.assert_allclose(bundle.predict(features), expected, rtol=0, atol=1e-15)
    stored = features[["score_0", "score_1"]].to_numpy()
    np.testing.assert_allclose(bundle.predict(features), stored, rtol=0, atol=1e-12)


def test_calibration_of_an_ensemble_is_of_the_mean(copy: Path) -> None:
    plain = Bundle.load(copy)
    fixed = Calibration.by_scale({"slope": 1.3, "shift": 0.2})
    write_json(copy / "bundle.json", read_json(copy / "bundle.json") | {"calibration": fixed.state()})
    features = read_table(copy / "reference.parquet").tail(50)
    assert np.array_equal(Bundle.load(copy).predict(features), fixed.apply(plain.predict(features)))


def test_online_equals_batch(made: Path) -> None:
    """Features a row at a time, from the package's own history, are those of the whole tables in batch."""
    data = made.parent
    bundle = Bundle.load(made).start()
    tables = {p.stem: read_table(p) for p in (data / "validated").glob("*.parquet")}
    newest = tables["orders"].tail(30)
    batch = bundle.compute(newest, tables)
    fields = bundle.schema.fields
    for position, row in enumerate(newest[[f.name for f in fields]].to_dict("records")):
        online = bundle.compute_row(row)
        for name in batch:
            left, right = online[name], batch[name].iloc[position]
            assert left == right or (pd.isna(left) and pd.isna(right)), name


def test_golden_rows_are_answered_again(made: Path) -> None:
    bundle = Bundle.load(made).start()
    for row in read_json(made / "golden.json")["rows"]:
        answer = bundle.predict_row(from_json(row["input"], bundle.schema.fields))
        assert list(answer.scores) == row["scores"]
        assert bundle.label(answer.decision) == row["decision"]


def test_missing_feature_is_named(made: Path) -> None:
    features = read_table(made / "reference.parquet").drop(columns="weight")
    with pytest.raises(RefitError, match="lacks 'weight'"):
        Bundle.load(made).predict(features)


def test_rows_need_a_started_bundle(made: Path) -> None:
    with pytest.raises(RefitError, match=r"call Bundle\.start"):
        Bundle.load(made).predict_row({})


def test_decisions() -> None:
    scores = np.array([[0.6, 0.4], [0.61, 0.39]])
    assert find_kind("binary").decide(scores, 0.4).tolist() == [1.0, 0.0]
    assert find_kind("binary").decide(scores, None).tolist() == [0.0, 0.0]
    assert find_kind("regression").decide(np.array([1.5, -2.0]), None).tolist() == [1.5, -2.0]
