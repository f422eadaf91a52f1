"""`refit explain`: the answer is that of `refit predict`, and its reasons add up to it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from deploy.predict import answer_rows, predict
from flows.explain import MOST, Reason, RowReasons, explain
from flows.predict import Answering, horizon_of, tables_of
from tasks.bundle import Bundle
from tasks.errors import RefitError
from tasks.kinds import find_kind
from tests.samples import KINDS
from tests.tasks.package.projects import TIMED, plain, timed


def asked(path: Path, kind: str, folder: Path) -> tuple[Answering, Path]:
    bundle = Bundle.load(path)
    tables = tables_of(path.parents[1], bundle)
    assert tables is not None
    source = folder / "rows.csv"
    (timed() if kind == TIMED else plain(kind))[1][bundle.plan.table].head(40).to_csv(source, index=False)
    return Answering(bundle, "7", tables, horizon_of(bundle, tables)), source


@pytest.mark.parametrize("kind", [*KINDS, TIMED])
def test_reasons_add_up_to_the_answer_that_predict_gives(packages: dict[str, Path], kind: str, tmp_path: Path) -> None:
    by, source = asked(packages[kind], kind, tmp_path)
    predict(by.bundle, "7", source, tmp_path / "a.parquet", by.tables, by.horizon)
    answers = pd.read_parquet(tmp_path / "a.parquet").set_index("row")
    rows = explain(by, source, [7, 2])
    assert [one.row for one in rows] == [7, 2]
    for one in rows:
        said = answers.loc[one.row]
        number = said.filter(regex=f"^(probability|prediction|probabilities.{one.of})$").iloc[0]
        assert one.score == number
        assert one.answer == said.get("decision", one.score)
        assert one.base + sum(reason.adds for reason in one.reasons) == pytest.approx(one.total)
        if one.odds:
            assert 1 / (1 + np.exp(-one.total)) == pytest.approx(one.score, abs=1e-6)
        elif one.unit == find_kind(by.bundle.kind).unit:
            assert one.total == pytest.approx(one.score, rel=1e-6)
        first, others = one.shown(2)
        assert [abs(reason.adds) for reason in first] == sorted((abs(r.adds) for r in one.reasons), reverse=True)[:2]
        assert sum(r.adds for r in first) + (others.adds if others else 0) == pytest.approx(one.total - one.base)
        lines = list(one.lines())
        assert lines[0].startswith(f"row {one.row}: version 7 answers ")
        assert all(any(reason.feature in line for line in lines) for reason in first if len(reason.feature) <= 50)


def test_rows_come_with_the_features_and_answers_of_their_place(packages: dict[str, Path], tmp_path: Path) -> None:
    by, source = asked(packages[TIMED], TIMED, tmp_path)
    answers, features = answer_rows(by.bundle, "7", source, list(range(1, 41)), by.tables, by.horizon)
    some_answers, some_features = answer_rows(by.bundle, "7", source, [40, 1, 13], by.tables, by.horizon)
    at = [39, 0, 12]
    pd.testing.assert_frame_equal(some_features.reset_index(drop=True), features.iloc[at].reset_index(drop=True))
    pd.testing.assert_frame_equal(some_answers, answers.iloc[at].reset_index(drop=True))


def test_a_row_that_is_not_there_or_cannot_be_read_is_named(packages: dict[str, Path], tmp_path: Path) -> None:
    by, source = asked(packages["binary"], "binary", tmp_path)
    for number in (0, 41):
        with pytest.raises(RefitError, match=rf"row {number}: .*rows\.csv has 40 rows, and they are counted from 1"):
            explain(by, source, [number])
    with pytest.raises(RefitError, match=f"takes 1 to {MOST} rows"):
        explain(by, source, [1] * (MOST + 1))
    lines = source.read_text().splitlines()
    numeric = next(f.name for f in by.bundle.schema.fields if f.kind == "numeric")
    at = lines[0].split(",").index(numeric)
    cells = lines[3].split(",")
    cells[at] = "wide"
    source.write_text("\n".join([*lines[:3], ",".join(cells), *lines[4:]]))
    assert explain(by, source, [2])
    with pytest.raises(RefitError, match=r"row 3: .*'wide' is not a number"):
        explain(by, source, [3])


def test_odds_are_told_as_factors_and_numbers_as_sums() -> None:
    reasons = (Reason("age", 3.0, np.log(2)), Reason("town", None, -np.log(4)), Reason("x", "y", 0.1, 0.02))
    rest = {"unit": "log-odds", "space": "They add up.", "reasons": reasons, "base": 0.0, "total": -0.6}
    lines = list(RowReasons(5, "1", "no", "yes", 0.0004, 0.5, odds=True, warnings="'age': old", **rest).lines())
    assert lines[0] == "row 5: version 1 answers 'no'; the probability of 'yes' is below 0.001 (threshold 0.5)"
    assert lines[1] == "warning: 'age': old"
    assert lines[2].startswith("a usual row has 0.500;")
    assert lines[3:6] == ["     × 2  raises  age   3", "  × 0.25  lowers  town  missing", "  × 1.11  raises  x     y"]
    assert "standard error of at most 0.02" in lines[6]
    lines = list(RowReasons(5, "1", 1234.5, "", 1234.5, None, odds=False, **rest).lines())
    assert lines[0] == "row 5: version 1 answers 1,234.5"
    assert lines[2:4] == ["  +0.693  raises  age   3", "   -1.39  lowers  town  missing"]
