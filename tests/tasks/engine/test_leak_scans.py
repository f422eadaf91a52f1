"""The scans for declared leaks, each against its definition: neighbours, explained parts, scatter, and where they begin."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm

from tasks.engine import Plan, leak_scans
from tasks.engine.derive import derive
from tasks.engine.facts import Time
from tasks.engine.leak_scans import (
    _around,
    _explained,
    _scatter,
    _within,
    declared_times,
    encoded_targets,
    filled_later,
    giveaways,
    later_labels,
    overlaps,
)
from tasks.giveaways import FEWEST
from tasks.params import parse
from tests.tasks.engine.worlds import moments, tree

DAY = 86_400_000_000


def rows_of_keys(n: int = 60) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Rows in the order of key and time, with ties: codes, moments and labels."""
    rng = np.random.default_rng(0)
    codes = np.sort(rng.integers(0, 5, n))
    t = rng.integers(0, 60, n) * DAY // 2
    order = np.lexsort((t, codes))
    return codes, t[order], rng.normal(size=n)


def test_neighbours_before_and_after_are_those_of_the_same_key() -> None:
    codes, t, y = rows_of_keys()
    before, after, use = _around(codes, t, y)
    usual = y.mean()

    def mean(values: np.ndarray) -> float:
        return float(values.mean()) if len(values) else usual

    for i in range(len(y)):
        own = np.flatnonzero(codes == codes[i])
        earlier, later = own[own < i], own[own > i]
        assert use[i] == (len(earlier) > 0 and len(later) > 0)
        one = [y[i - k] if i - k in earlier else usual for k in (1, 2, 3)]
        one += [mean(y[earlier[-k:]]) for k in (2, 3, 5, 7, 10, 14, 30, 60)]
        one += [mean(y[earlier[t[earlier] >= t[i] - d * DAY]]) for d in (1, 7, 30)]
        assert before[i] == pytest.approx(one)
        one = [y[i + k] if i + k in later else usual for k in (1, 2, 3)]
        one += [mean(y[later[:k]]) for k in (2, 3, 5, 7, 10, 14, 30, 60)]
        one += [mean(y[later[t[later] <= t[i] + d * DAY]]) for d in (1, 7, 30)]
        assert after[i] == pytest.approx(one)


def test_a_span_holds_the_rows_of_a_key_that_are_so_near() -> None:
    codes, t, _ = rows_of_keys()
    low, high = _within(codes, t, 3 * DAY)
    for i in range(len(t)):
        near = np.flatnonzero((codes == codes[i]) & (np.abs(t - t[i]) <= 3 * DAY))
        assert (low[i], high[i]) == (near[0], near[-1] + 1)


def test_what_is_explained_is_what_least_squares_explain() -> None:
    rng = np.random.default_rng(0)
    X = np.column_stack([rng.normal(size=(80, 2)), np.full(80, 3.0), 1e6 * rng.normal(size=80)])
    c = np.column_stack([X[:, 0] - 2 * X[:, 1], rng.normal(size=80), X[:, 3] + rng.normal(size=80)])
    c = c - c.mean(axis=0)
    inside = [float(sm.OLS(column, sm.add_constant(X, has_constant="add")).fit().ess) for column in c.T]
    assert _explained(c, X) == pytest.approx(inside, rel=1e-6)
    assert _explained(c, X)[0] == pytest.approx((c[:, 0] ** 2).sum())


def scattered(z: np.ndarray, y: np.ndarray) -> float:
    """The weighted squares about statsmodels' line, over their degrees of freedom and the variance of like rows."""
    grouped = pd.DataFrame({"z": z, "y": y}).groupby("z")["y"].agg(["mean", "size", "var"]).query("size >= 2")
    line = sm.WLS(grouped["mean"], sm.add_constant(grouped.index.to_numpy()), weights=grouped["size"]).fit()
    if set(y) <= {0.0, 1.0}:
        rate = np.clip(line.fittedvalues, 0.01, 0.99)
        within = np.average(rate * (1 - rate), weights=grouped["size"])
    else:
        within = (grouped["var"] * (grouped["size"] - 1)).sum() / (grouped["size"] - 1).sum()
    return float(line.ssr / (len(grouped) - 2) / within)


@pytest.mark.parametrize("binary", [False, True])
def test_means_of_the_very_labels_scatter_less_than_chance_and_others_do_not(binary: bool) -> None:
    rng = np.random.default_rng(0)
    key = np.repeat(np.arange(80), rng.integers(2, 12, 80))
    rate = rng.beta(3, 3, 80)
    y = (rng.random(len(key)) < rate[key]).astype(float) if binary else 3 * rate[key] + rng.normal(size=len(key))
    own = pd.Series(y).groupby(key).transform("mean").to_numpy()
    own = np.round(
        own + 1e-9 * key + 0.02 * rng.normal(size=80)[key], 12
    )  # one value a key, and a little beside the mean
    ratio, groups = _scatter(own, y)
    assert ratio == pytest.approx(scattered(own, y), rel=1e-6)
    assert 0 < ratio < 0.1
    assert groups == 80
    assert _scatter(1e200 * own, y)[0] == pytest.approx(ratio, rel=1e-6)
    assert _scatter(rate[key], y) == (1.0, 80)  # what was known of the key before
    gaps = np.where(np.arange(len(key)) % 50 == 0, np.nan, own)
    assert _scatter(gaps, y)[0] == pytest.approx(scattered(own[~np.isnan(gaps)], y[~np.isnan(gaps)]), rel=1e-6)


def test_scatter_is_judged_from_thirty_groups_and_two_hundred_rows_on() -> None:
    rng = np.random.default_rng(0)

    def found(groups: int, size: int, alone: int = 0) -> tuple[float, int]:
        key = np.concatenate([np.repeat(np.arange(groups), size), np.arange(1000, 1000 + alone)])
        y = rng.normal(size=len(key)) + rng.normal(size=2000)[key]
        return _scatter(pd.Series(y).groupby(key).transform("mean").to_numpy(), y)

    assert found(29, 10) == (1.0, 0)
    assert found(30, 10)[0] < 0.5
    assert found(99, 2) == (1.0, 0)  # 198 rows
    assert found(100, 2)[0] < 0.5
    assert found(100, 3, 700)[0] < 0.5  # three in ten rows share their value
    assert found(100, 3, 701) == (1.0, 0)
    key = np.repeat(np.arange(60), 5)
    even = np.tile([0.0, 1, 2, 3, 4], 60)  # every mean is the same: no one's rates
    assert _scatter(key.astype(float), even)[0] == 1.0


def test_a_feature_of_the_labels_themselves_is_named_with_how_close_it_lies() -> None:
    rng = np.random.default_rng(0)
    key = np.repeat(np.arange(60), 10)
    y = (rng.random(600) < rng.beta(2, 2, 60)[key]).astype(float)
    mean = pd.Series(y).groupby(key).transform("mean") + 1e-6 * key
    frame = pd.DataFrame({"other": rng.normal(size=600), "mean": mean, "words": pd.Series(["a"] * 600, dtype="str")})
    target = np.where(np.arange(600) % 40 == 0, np.nan, y)
    (found,) = encoded_targets(frame, target)
    assert (found.kind, found.where) == ("encoded target", "mean")
    assert "(60 groups)" in found.why
    three = np.where(y == 1, 2.0, np.where(rng.random(600) < 0.5, 1.0, 0.0))
    share = pd.Series((three == 1).astype(float)).groupby(key).transform("mean") + 1e-6 * key
    assert [f.where for f in encoded_targets(frame.assign(share=share), three)] == ["mean", "share"]
    assert encoded_targets(frame[["other", "words"]], y) == []


def test_a_column_that_waits_for_the_label_is_told_from_one_that_is_so_anyway() -> None:
    n, rng = 4 * FEWEST, np.random.default_rng(0)
    target = np.where(np.arange(n) < n // 2, 1.0, np.nan)
    waits = np.isnan(target)
    half = np.arange(n) < n // 4
    frame = pd.DataFrame(
        {
            "filled": np.where(waits, np.nan, rng.normal(size=n)),
            "zero": np.where(waits, 0.0, rng.integers(1, 9, n)),
            "half_missing": np.where(waits | half, np.nan, rng.normal(size=n)),  # as often missing with a label as not
            "mostly": np.where(
                waits | (half & (np.arange(n) > 0)), 0.0, 1.0 + rng.random(n)
            ),  # one row fewer than half
            "varies": rng.normal(size=n),
            "two_waiting": np.where(waits, np.arange(n) % 2, rng.normal(size=n)),
            "same": np.where(waits, 2.0, 1.0),
        }
    )
    found = filled_later(frame, target)
    assert [f.where for f in found] == ["filled", "zero", "mostly"]
    assert [f.kind for f in found] == ["after label"] * 3
    assert "it is missing in rows without a label" in found[0].why
    assert "it is always 0.0 in rows without a label" in found[1].why
    few = np.flatnonzero(np.arange(n) < n // 2 + FEWEST)
    assert [f.where for f in filled_later(frame.iloc[few], target[few])] == ["filled", "zero", "mostly"]
    assert filled_later(frame.iloc[few[:-1]], target[few[:-1]]) == []


@pytest.mark.parametrize(
    ("counts", "kind"),
    [  # labelled rows of each label, and as what they are judged
        ([FEWEST] * 2, "binary"), ([FEWEST, FEWEST - 1], "regression"), ([FEWEST] * 3, "multiclass"), ([FEWEST] * 20, "multiclass"),
        ([FEWEST] * 21, "regression"), ([FEWEST, 90, FEWEST - 1], "regression"), ([500], None), ([], None), ([4000, 3000], "binary"),
    ],
)  # fmt: skip
def test_labels_are_classes_where_there_are_few_and_enough_of_each(
    counts: list[int], kind: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[int, str]] = []

    def spied(features: pd.DataFrame, y: np.ndarray, of: str) -> list:
        assert features.index.tolist() == list(range(len(y)))
        assert (features["same"] == y).all(), "rows and labels belong together"
        assert not np.isnan(y).any()
        asked.append((len(y), of))
        return judged(features, y, of)

    judged = leak_scans.alone
    monkeypatch.setattr(leak_scans, "alone", spied)
    rng = np.random.default_rng(0)
    target = rng.permutation(np.concatenate([np.repeat(np.arange(float(len(counts))), counts), np.full(30, np.nan)]))
    features = pd.DataFrame({"same": target, "noise": rng.normal(size=len(target))}, index=rng.permutation(len(target)))
    found = giveaways(features, target, rng)
    assert asked == ([(min(sum(counts), 6000), kind)] if kind else [])
    assert [(f.kind, f.where) for f in found] == ([("target", "same")] if kind and sum(counts) >= 5 * FEWEST else [])
    assert all(f.why.endswith("; was it known at the time?") for f in found)


@pytest.mark.parametrize(
    ("missing", "people", "wanted"),
    [  # rows in which the feature is missing, and people whose rows stand beside each other
        (0, 0, ["a"]), (199, 0, ["a"]), (200, 0, []), (0, 2, ["a"]), (0, 400, ["a"]), (0, 401, []), (0, 1, []),
    ],
)  # fmt: skip
def test_labels_to_come_are_looked_for_in_numbers_that_are_there_and_among_rows_that_have_neighbours(
    missing: int, people: int, wanted: list[str]
) -> None:
    n = 1200 if people > 9 else 400
    frame, plan = orders(n)
    rng = np.random.default_rng(0)
    y = rng.normal(size=n)
    codes = np.arange(n) % people if people else np.zeros(n, int)
    coming = pd.Series(y).groupby(codes).shift(-1)
    a = coming.fillna(coming.mean()).to_numpy(copy=True)
    a[:missing] = np.nan
    if missing:  # what is there knows the next label all the same
        y[: missing + 1] = y.mean()
    who = pd.Series([f"p{k}" for k in codes], dtype="str")
    words = pd.Series(["x"] * n, dtype="str")
    features = pd.DataFrame({"a": a, "b": rng.normal(size=n), "words": words})
    keys = ["who"] if people else []
    told = [f.where for f in later_labels(plan, frame.assign(who=who), features, y, keys)]
    assert told == (wanted if people != 1 else ["a"]), "one person's rows are all rows"


def orders(n: int) -> tuple[pd.DataFrame, Plan]:
    spec = tree(["2h"], {"amount": ["mean"]})
    spec["features"]["lookups"] = []
    at = np.arange(n) / 4
    frame = pd.DataFrame(
        {"id": np.arange(float(n)), "asked": moments(at), "happened": moments(at + 1), "known": moments(at + 1), "amount": 1.0,
         "who": pd.Series(["a"] * n, dtype="str"), "where": 0.0, "paid": 0.0, "shop": pd.Series(["s"] * n, dtype="str"), "y": 0.0}
    )  # fmt: skip
    return frame, derive(parse(spec))


@pytest.mark.parametrize(("late", "found"), [(0, []), (1, []), (2, ["orders.happened"])])
def test_moments_later_than_their_row_are_a_finding_from_one_in_a_thousand_on(late: int, found: list[str]) -> None:
    frame, plan = orders(1000)
    own = replace(plan.tables["orders"], event_time=Time("asked"), known_at=Time("known"))
    plan = replace(plan, tables={"orders": own})
    frame.loc[5 : 4 + late, "happened"] += pd.Timedelta("1s")
    said = declared_times({"orders": frame}, plan, frame)
    assert [f.where for f in said] == found
    assert all(f"in {late} rows it is later than known" in f.why and "in row 5" in f.why for f in said)


@pytest.mark.parametrize(("early", "found"), [(10, []), (11, ["orders.asked"])])
def test_rows_asked_after_their_outcome_are_a_finding_from_one_in_a_hundred_on(early: int, found: list[str]) -> None:
    frame, plan = orders(1000)
    frame.loc[: early - 1, "asked"] = frame["known"][:early] + pd.Timedelta("1us")
    frame.loc[early : early + 100, "asked"] = frame["known"][early : early + 101]  # at the very moment: not after it
    said = declared_times({"orders": frame}, plan, frame)
    assert [f.where for f in said] == found
    assert all(f.why.startswith(f"{early} rows are asked after their own outcome was known") for f in said)


@pytest.mark.parametrize(("twins", "found"), [(4, []), (5, []), (6, ["orders"])])
def test_copies_are_a_finding_from_two_in_a_hundred_on(twins: int, found: list[str]) -> None:
    frame, plan = orders(600)
    frame["amount"] = np.arange(600.0)
    split = np.repeat(["train", "test"], 300)[np.arange(600)]
    split[350:400] = "pending"
    names = [c for c in frame.columns if c != "id"]
    frame.loc[300 : 299 + twins, names] = frame.loc[: twins - 1, names].to_numpy()
    untimed = replace(plan, time=None)
    target = np.zeros(600)
    said = overlaps(untimed, frame, split, target)
    assert [f.where for f in said] == found
    assert all(f.why == f"{twins} of 250 test rows are copies of training rows, label included" for f in said)
    target[300:] = 1.0  # the same rows with another label are no copies
    assert overlaps(untimed, frame, split, target) == []
    few = np.r_[0:305, 310:330]
    assert [f.where for f in overlaps(untimed, frame.iloc[few], split[few], np.zeros(325))] == (["orders"] if twins >= 5 else [])  # fmt: skip


def test_training_rows_and_labels_of_the_first_test_moment_are_too_late() -> None:
    frame, plan = orders(100)
    frame["amount"] = np.arange(100.0)
    split = np.array(["train"] * 50 + ["pending"] * 10 + ["test"] * 40)
    first = frame["asked"][60]

    def late(**changes: pd.Series) -> list[str]:
        return [f.why.partition(",")[0] for f in overlaps(plan, frame.assign(**changes), split, np.zeros(100))]

    assert late() == []
    assert late(known=frame["known"].where(frame.index != 49, first)) == ["1 training rows"]
    assert late(known=frame["known"].where(frame.index != 49, first - pd.Timedelta("1us"))) == []
    assert late(known=frame["known"].where(frame.index != 49)) == []  # never known: no label to learn from
    assert late(asked=frame["asked"].where(frame.index != 49, first)) == ["1 training rows"]
    keyed = frame.assign(id=np.where(frame.index == 99, 7.0, frame["id"]))
    assert [f.why for f in overlaps(plan, keyed, split, np.zeros(100))] == [
        "1 test rows have the key of a training row, for instance row 99"
    ]
    assert overlaps(plan, keyed, np.where(split == "test", "pending", split), np.zeros(100)) == []


def test_labels_of_later_rows_are_found_in_a_feature_and_those_of_earlier_ones_are_not() -> None:
    frame, plan = orders(400)
    rng = np.random.default_rng(0)
    who = pd.Series(rng.choice(["a", "b", "c", "d"], 400), dtype="str")
    y = rng.normal(size=400)
    by = pd.Series(y).groupby(who)
    features = pd.DataFrame(
        {
            "next": by.shift(-1).to_numpy(),
            "next_of_all": np.append(y[1:], np.nan),
            "last": by.shift(1).to_numpy(),
            "mean_of_five_to_come": pd.Series(y)[::-1].groupby(who).transform(lambda s: s.shift(1).rolling(5).mean()).sort_index(),
            "own": y,
            "noise": rng.normal(size=400),
        }
    )  # fmt: skip
    said = later_labels(plan, frame.assign(who=who), features, y, ["who"])
    assert {f.where for f in said} == {"next", "next_of_all", "mean_of_five_to_come"}
    assert {f.where: "with the same who" in f.why for f in said} == {
        "next": True, "next_of_all": False, "mean_of_five_to_come": True,
    }  # fmt: skip
    assert later_labels(plan, frame.assign(who=who), features, y, []) == [f for f in said if f.where == "next_of_all"]
    assert (
        later_labels(plan, frame.head(10 * FEWEST - 1), features.head(10 * FEWEST - 1), y[: 10 * FEWEST - 1], []) == []
    )
