"""`refit predict`: the pipeline's bits and the service's answers for every row of a file, and none of them lost."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from deploy import predict as batch
from deploy.predict import predict
from flows.predict import history_of, horizon_of, tables_of
from tasks.bundle import Bundle
from tasks.bundle.rows import to_json
from tasks.errors import RefitError
from tasks.files import read_table
from tasks.profile import piecewise
from tests.deploy.conftest import TestClient
from tests.samples import KINDS
from tests.tasks.package.projects import TIMED, plain, timed


def answered(path: Path, source: Path, out: Path, whole: bool = True) -> tuple[pd.DataFrame, batch.Told]:
    """Answers to a file by a package: from the project's whole tables, or from the package's own history."""
    bundle = Bundle.load(path)
    tables = tables_of(path.parents[1], bundle) if whole else None
    horizon = horizon_of(bundle, tables) if tables is not None else bundle.horizon
    told = predict(bundle, "7", source, out, history_of(bundle) if tables is None else tables, horizon)
    return (pd.read_parquet(out) if out.suffix == ".parquet" else pd.read_csv(out, float_precision="round_trip")), told


def scores_of(answers: pd.DataFrame) -> np.ndarray:
    return answers[[c for c in answers if c.startswith(("probabilit", "prediction"))]].to_numpy(float)


@pytest.fixture
def small_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that a small file has many pieces."""
    monkeypatch.setattr(batch, "ROWS", 150)
    monkeypatch.setattr(batch, "SLICE", 100)
    monkeypatch.setattr(batch, "MOST_CHUNKS", 10**6)
    monkeypatch.setattr(piecewise, "BLOCK", 30_000)
    monkeypatch.setattr(piecewise, "BATCH", 100)
    monkeypatch.setattr(piecewise, "WHOLE", 20_000)
    monkeypatch.setattr(piecewise, "HEAD", 10_000)


@pytest.mark.usefixtures("small_pieces")
@pytest.mark.parametrize("kind", [*KINDS, TIMED])
@pytest.mark.parametrize("form", ["csv", "csv.gz", "parquet"])
def test_the_pipelines_bits_in_pieces(packages: dict[str, Path], kind: str, form: str, tmp_path: Path) -> None:
    path = packages[kind]
    table = (timed() if kind == TIMED else plain(kind))[1][Bundle.load(path).plan.table]
    source = tmp_path / f"rows.{form}"
    table.to_parquet(source) if form == "parquet" else table.to_csv(source, index=False)
    answers, told = answered(path, source, tmp_path / "out.parquet")
    wanted = Bundle.load(path).predict(read_table(path.parents[0] / "features" / "features.parquet"))
    wanted = wanted[:, 1:] if Bundle.load(path).kind == "binary" else wanted.reshape(len(table), -1)
    assert (told.rows, told.unanswered) == (len(table), 0)
    assert np.array_equal(scores_of(answers), wanted)
    assert answers["row"].tolist() == list(range(1, len(table) + 1))
    assert kind != TIMED or answers["order"].astype(float).tolist() == table["order"].tolist()


def test_the_services_answers(packages: dict[str, Path], client: TestClient, tmp_path: Path) -> None:
    bundle = Bundle.load(packages[TIMED])
    orders = timed()[1]["orders"].tail(200)
    orders.to_csv(tmp_path / "new.csv", index=False)
    answers, _ = answered(packages[TIMED], tmp_path / "new.csv", tmp_path / "out.csv", whole=False)
    fields = bundle.schema.fields
    asked = [to_json(row, fields) for row in orders.to_dict("records")]
    served = client.post("/predict_batch", json=asked).json()
    for name in served[0]:
        if name != "warnings":
            assert answers[name].astype(str).tolist() == [str(one[name]) for one in served], name
    assert answers["warnings"].fillna("").tolist() == ["; ".join(one["warnings"]) for one in served]
    assert [*answers] == ["row", "order", *served[0], "error"]


def test_a_row_that_cannot_be_read_keeps_its_place(packages: dict[str, Path], tmp_path: Path) -> None:
    lines = ["placed_at,shop,weight,gift", "2024-02-28,s1,2.5,yes", "2024-02-28,s1,heavy,yes", "2024-02-28,s1",
             "2024-02-28,,2.5,perhaps", "2024-02-28,s1,200,no,more", "2024-02-28,s1,200,no"]  # fmt: skip
    (tmp_path / "rows.csv.gz").write_bytes(gzip.compress("\n".join(lines).encode()))
    answers, told = answered(packages[TIMED], tmp_path / "rows.csv.gz", tmp_path / "out.csv")
    assert answers["row"].tolist() == [1, 2, 3, 4, 5, 6]
    assert answers["error"].fillna("").tolist() == [
        "",
        "'weight': 'heavy' is not a number",
        "has 2 values, and the header 4",
        "'shop' must be a string, a number, or true or false, and is missing; "
        "'gift': 'perhaps' is not one of true/false, yes/no, 1/0",
        "has 5 values, and the header 4",
        "",
    ]
    assert answers["probability"].notna().tolist() == [True, False, False, False, False, True]
    assert answers["warnings"].iloc[5].startswith("'weight': 200 is above 100, the most that training rows may have")
    assert told.lines()[:2] == [
        "2 of 6 rows answered, 1 of them with a warning",
        "row 2: 'weight': 'heavy' is not a number",
    ]


def test_rows_before_the_history_are_answered_from_the_projects_tables_alone(
    packages: dict[str, Path], tmp_path: Path
) -> None:
    timed()[1]["orders"].head(50).to_csv(tmp_path / "old.csv", index=False)
    whole, told = answered(packages[TIMED], tmp_path / "old.csv", tmp_path / "out.parquet")
    assert told.unanswered == 0
    assert whole["probability"].notna().all()
    part, told = answered(packages[TIMED], tmp_path / "old.csv", tmp_path / "out.parquet", whole=False)
    assert told.unanswered == 50
    assert part["error"].str.contains("is before answers_from").all()
    assert part["probability"].isna().all()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("placed_at,shop,wieght,gift\n2024-02-28,s1,1,no\n", r"lacks column 'weight'.*Did you mean|'wieght'"),
        ("placed_at,shop,weight,gift\n", "has columns and no rows"),
        ("", "the file is empty"),
    ],
)
def test_a_file_that_cannot_be_read_is_refused_and_nothing_is_written(
    packages: dict[str, Path], text: str, said: str, tmp_path: Path
) -> None:
    (tmp_path / "rows.csv").write_text(text)
    with pytest.raises(RefitError, match=said):
        answered(packages[TIMED], tmp_path / "rows.csv", tmp_path / "out.csv")
    assert [path.name for path in tmp_path.iterdir()] == ["rows.csv"]


def test_other_mistakes_are_named(packages: dict[str, Path], tmp_path: Path) -> None:
    with pytest.raises(RefitError, match=r"--out: answers are written as '.csv'.*found 'out.xlsx'"):
        answered(packages[TIMED], tmp_path / "rows.csv", tmp_path / "out.xlsx")
    with pytest.raises(RefitError, match="no such file"):
        answered(packages[TIMED], tmp_path / "rows.csv", tmp_path / "out.csv")
    (tmp_path / "cut.csv.gz").write_bytes(gzip.compress(b"placed_at,shop,weight,gift\n" * 9)[:-12])
    with pytest.raises(RefitError, match="damaged"):
        answered(packages[TIMED], tmp_path / "cut.csv.gz", tmp_path / "out.csv")


def test_encodings_and_layouts_are_those_of_ingest(
    packages: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = "Bestellungen\n\nplaced_at;shop;weight;gift\n2024-02-28;Köln;2.5;yes\n2024-02-28;s1;2.5;no\n"
    (tmp_path / "utf8.csv").write_text("\ufeff" + text, encoding="utf-8")
    wanted, _ = answered(packages[TIMED], tmp_path / "utf8.csv", tmp_path / "a.parquet")
    assert wanted["warnings"][0].startswith("'shop': 'Köln' was in no training row")
    for encoding, said in (("utf-16", "read as UTF-16"), ("cp1252", "read as Windows-1252, as in 'Köln'")):
        (tmp_path / "other.csv").write_bytes(text.encode(encoding))
        found, told = answered(packages[TIMED], tmp_path / "other.csv", tmp_path / "b.parquet")
        assert found.equals(wanted)
        assert any(said in line for line in told.lines())
    monkeypatch.setattr(piecewise, "WHOLE", 80)
    found, _ = answered(packages[TIMED], tmp_path / "utf8.csv", tmp_path / "b.parquet")
    assert found.equals(wanted)
    with pytest.raises(RefitError, match="not UTF-8"):
        answered(packages[TIMED], tmp_path / "other.csv", tmp_path / "b.parquet")


# A spelling of a field, and the usual form that must have the same answer; None: refused in every way.
SPELLINGS: list[tuple[str, str, Any]] = [
    ("weight", " 3.50 ", 3.5), ("weight", "3.5e0", 3.5), ("weight", "NA", None), ("weight", "much", "refused"),
    ("gift", "YES", True), ("gift", "no", False), ("gift", "1", True), ("gift", "0.0", False), ("gift", "2", "refused"),
    ("shop", " s3 ", "s3"), ("shop", "S3", "S3"), ("shop", "5.0", "5"), ("shop", "x" * 2000, "x" * 2000),
    ("placed_at", "2024-02-28", "2024-02-28T00:00:00Z"), ("placed_at", "2024-02-28 12:00+02:00", "2024-02-28T10:00:00Z"),
    ("placed_at", "2013", "refused"), ("placed_at", "28.02.2024", "refused"), ("placed_at", "9999-12-31", "9999-12-31T00:00:00Z"),
]  # fmt: skip


def test_four_ways_of_asking_give_one_answer(packages: dict[str, Path], client: TestClient, tmp_path: Path) -> None:
    usual = {"placed_at": "2024-02-28T12:00:00Z", "shop": "s3", "weight": "2.5", "gift": "true"}
    rows = [{**usual, field: spelling} for field, spelling, _ in SPELLINGS]
    frame = pd.DataFrame(rows, dtype="str")
    frame.to_csv(tmp_path / "rows.csv", index=False)
    frame.to_parquet(tmp_path / "rows.parquet")
    from_csv, _ = answered(packages[TIMED], tmp_path / "rows.csv", tmp_path / "a.parquet", whole=False)
    from_parquet, _ = answered(packages[TIMED], tmp_path / "rows.parquet", tmp_path / "b.parquet", whole=False)

    def asked(row: dict[str, Any]) -> Any:
        answer = client.post("/predict", content=json.dumps(row))
        return answer.json()["probability"] if answer.status_code == 200 else None

    typed = {"placed_at": "2024-02-28T12:00:00Z", "shop": "s3", "weight": 2.5, "gift": True}
    for i, (field, spelling, meant) in enumerate(SPELLINGS):
        wanted = None if meant == "refused" else asked({**typed, field: meant})
        assert (wanted is None) == (meant == "refused")
        found = [
            asked(rows[i]),
            *(None if pd.isna(a["probability"][i]) else a["probability"][i] for a in (from_csv, from_parquet)),
        ]
        assert found == [wanted] * 3, (field, spelling)
