"""A category that training never saw is no missing value: the answer is what the model expects over levels it knows."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tasks.encoding import Encoder
from tasks.encoding.category import STAND_INS, Category
from tasks.files import read_table, write_table
from tasks.fitting.base import Fold
from tasks.fitting.encoded import encode_to, outline
from tasks.fitting.rows import read_rows
from tasks.fitting.setup import Setup
from tasks.models import Model, fit_family, load_model, save_model
from tasks.models import large as large
from tests.tasks.families.test_xgboost_large import problem

KINDS = {"shop": "categorical", "city": "categorical", "x": "numeric"}


def orders(rows: int = 3000, seed: int = 0) -> tuple[pd.DataFrame, np.ndarray]:
    """One in five is late, more in some shops; where the shop is missing nearly all are."""
    rng = np.random.default_rng(seed)
    shop = rng.integers(0, 12, rows)
    gone = rng.random(rows) < 0.1
    late = rng.random(rows) < np.where(gone, 0.95, 0.1 + 0.02 * shop)
    X = pd.DataFrame({
        "shop": pd.Series([f"s{i}" for i in shop], dtype="str").mask(gone),
        "city": pd.Series(rng.choice(["Oslo", "Rome", "Lima"], rows), dtype="str"),
        "x": rng.normal(size=rows),
    })  # fmt: skip
    return X, late.astype(float)


def fitted(family: str, **how) -> Model:
    X, y = orders()
    half = slice(0, 2000), slice(2000, None)
    small = {"rounds": 40} if family in ("xgboost", "lightgbm") else {}
    return fit_family(
        family, small, Fold(X[half[0]], y[half[0]], X[half[1]], y[half[1]]), Setup("binary", columns=KINDS, **how)
    )


@pytest.mark.parametrize("family", ["xgboost", "lightgbm", "tree", "gam"])
def test_a_new_level_is_answered_as_known_ones_are(family: str, tmp_path: Path) -> None:
    model = fitted(family)
    row = pd.DataFrame({"shop": ["s5"], "city": ["Oslo"], "x": [0.0]})
    missing = model.predict(row.assign(shop=pd.Series([None], dtype="str")))[0, 1]
    known = [model.predict(row.assign(shop=f"s{i}"))[0, 1] for i in range(12)]
    new = model.predict(row.assign(shop="never seen"))[0, 1]
    assert missing > 0.6
    assert min(known) <= new <= max(known)
    assert abs(new - np.mean(known)) < 0.06
    save_model(model, tmp_path)
    assert load_model(tmp_path).predict(row.assign(shop="never seen"))[0, 1] == new


def test_only_rows_with_a_new_level_are_answered_otherwise() -> None:
    model, (X, _) = fitted("xgboost"), orders(100, seed=1)
    plain = model.predict(X)
    odd = X.copy()
    odd.loc[[3, 50], "shop"] = "never seen"
    odd.loc[[50, 60], "city"] = "Atlantis"
    scores = model.predict(odd)
    others = ~np.isin(np.arange(100), [3, 50, 60])
    assert np.array_equal(scores[others], plain[others])
    assert np.array_equal(scores[[3, 50, 60]], np.vstack([model.predict(odd.iloc[[i]]) for i in (3, 50, 60)]))
    # Of two new levels each stands for all of its own: twice the mean, in the orders of the stand-ins.
    shops, cities = (category.stand_ins for category in model.encoder.categories)
    by_hand = [
        model.predict(
            odd.iloc[[50]].assign(
                shop=model.encoder.categories[0].kept[shops[turn]],
                city=model.encoder.categories[1].kept[cities[3 * turn % STAND_INS]],
            )
        )
        for turn in range(STAND_INS)
    ]
    assert np.allclose(scores[50], np.mean(by_hand, axis=0)[0], atol=1e-12)


def test_target_means_of_a_new_level_are_the_overall_one() -> None:
    X, y = orders()
    encoder = Encoder.fit(X, y, "dense", "binary", kinds=KINDS, categories="target")
    new, missing = encoder.transform(X.head(2).assign(shop=["never seen", None]))[
        :, encoder.names.index("shop target mean")
    ]
    assert new == pytest.approx(y.mean())
    assert missing > 0.9


def test_stand_ins_are_spread_over_the_order_of_target_means(tmp_path: Path) -> None:
    values = pd.Series([f"l{i:02}" for i in range(40)] * 50, dtype="str")
    y = values.str[1:].astype(float).to_numpy() % 20
    category = Category.fit(values, "native", 250, 1)
    category.fit_stand_ins(values, y, "regression")
    assert [int(category.kept[i][1:]) % 20 for i in category.stand_ins] == [1, 3, 6, 8, 11, 13, 16, 18]
    assert Category.from_state(category.state()).stand_ins == category.stand_ins
    few = Category.fit(values.head(2), "native", 250, 1)
    few.fit_stand_ins(values.head(2), np.array([1.0, 0.0]), "regression")
    assert few.stand_ins == [1] * 4 + [0] * 4
    nothing = Category.fit(pd.Series([None, None], dtype="str"), "native", 250, 1)
    nothing.fit_stand_ins(pd.Series([None, None], dtype="str"), np.zeros(2), "regression")
    assert nothing.stand_ins == []


def test_from_disk_new_levels_get_the_scores_that_the_package_gives(tmp_path: Path) -> None:
    folder = problem(tmp_path, "binary")
    table = read_table(folder / "features.parquet")
    test = np.flatnonzero(table["__split__"] == "test")
    table.loc[test[:5], "band"] = "never seen"
    write_table(folder / "features.parquet", table)
    rows = read_rows(folder)
    model = fit_family("xgboost", {"rounds": 20}, rows.fold, Setup("binary", columns=rows.kinds))
    _, made = encode_to(tmp_path, outline(folder), list(rows.kinds), Setup("binary", 2, rows.kinds))
    plain = np.concatenate([model.score(part) for part in made["test"].parts(50)])
    found = large._with_new_levels(model, outline(folder), list(rows.kinds), outline(folder).of("test"), plain.copy())
    assert np.array_equal(found, model.predict(rows.of("test")[0]))
    assert np.array_equal(found[5:], plain[5:])
