"""What slices are judged by, against statsmodels and by hand: level, skill, suspicion, and the numbers that are told."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm

from tasks.evaluate import slices
from tasks.evaluate.chance import coin_tails, mean_tails
from tasks.evaluate.slices import (
    PROMISING,
    Fault,
    Rows,
    Said,
    _Group,
    _level_and_skill,
    _own_tails,
    _search,
    _skill,
    _sums,
    _suspicion,
    _tested,
    _value,
    declared,
    describe,
    weak,
)
from tasks.paired import holm


def rows(kind: str, n: int = 400, seed: int = 0) -> Rows:
    """Two shops; in shop b the truth lies above what is said, and follows it less."""
    rng = np.random.default_rng(seed)
    X = pd.DataFrame({"shop": pd.Series(rng.choice(["a", "b", "c"], n), dtype="str"), "u": rng.normal(size=n)})
    b = (X["shop"] == "b").to_numpy()
    p = rng.uniform(0.2, 0.6, n)
    if kind == "regression":
        return Rows(X, np.where(b, 0.4, p) + 0.1 * b + rng.normal(0, 0.2, n), p)
    y = (rng.random(n) < np.where(b, 0.6, p)).astype(float)
    if kind == "binary":
        return Rows(X, y, np.column_stack([1 - p, p]))
    return Rows(X, np.where(y == 1, 2.0, rng.integers(0, 2, n)), np.column_stack([(1 - p) / 2, (1 - p) / 2, p]))


@pytest.mark.parametrize("kind", ["binary", "regression"])
def test_level_and_skill_of_a_group_follow_from_its_sums(kind: str) -> None:
    found = rows(kind)
    (said,) = found.said
    inside = (found.X["shop"] == "b").to_numpy()
    gap, p, away = said.y - said.p, said.p, said.p - said.p[inside].mean()
    spread = gap**2 if said.spread is None else said.spread
    level, skill, level_var, skill_var = _level_and_skill(_sums(said)[:, inside].sum(axis=1)[:, None])
    line = sm.OLS(gap[inside], sm.add_constant(p[inside])).fit()
    across = (away[inside] ** 2).sum()
    assert level[0] == pytest.approx(gap[inside].mean())
    assert skill[0] == pytest.approx(line.params[1])
    assert level_var[0] == pytest.approx(spread[inside].sum() / inside.sum() ** 2)
    assert skill_var[0] == pytest.approx((away[inside] ** 2 * spread[inside]).sum() / across**2)
    alike = Said(said.y[:9], np.full(9, 0.3), None)
    assert np.isnan(_level_and_skill(_sums(alike).sum(axis=1)[:, None])[1][0])


def test_rows_that_are_all_told_the_same_have_no_skill_whatever_rounding_leaves() -> None:
    rounded = 0
    for n in range(2, 60):
        p = np.append(np.full(n, 0.1 + 0.7 / n), np.linspace(0, 1, 40))
        said = Said(np.arange(len(p)) % 2.0, p, p * (1 - p))
        grouped = np.add.reduceat(_sums(said), [0, n], axis=1)
        rounded += (grouped[4] - grouped[2] ** 2 / grouped[0])[0] > 0
        level, skill, _, skill_var = _level_and_skill(grouped)
        assert np.isnan([skill[0], skill_var[0]]).all(), n
        assert np.isfinite([level[0], level[1], skill[1], skill_var[1]]).all(), n
    assert rounded > 5, "the squares about the mean come out above nothing at times"


def test_a_group_is_suspected_of_what_it_has_and_the_others_have_less() -> None:
    found = rows("binary", 4000)
    (said,) = found.said
    sums, codes = _sums(said), pd.factorize(found.X["shop"], sort=True)[0]
    grouped = np.stack([np.bincount(codes, row) for row in sums])
    total = sums.sum(axis=1)
    told = {(kind, sign): value for kind, sign, value in _suspicion(grouped, total)}
    assert set(told) == {("level", 1), ("level", -1), ("skill", -1)}
    here, there = (_level_and_skill(part) for part in (grouped, total[:, None] - grouped))
    for at, shop in enumerate("abc"):
        own = here[0][at] / np.sqrt(here[2][at])
        against = (here[0][at] - there[0][at]) / np.sqrt(here[2][at] + there[2][at])
        larger = abs(here[0][at]) > abs(total[1] / total[0])
        assert told["level", 1][at] == pytest.approx(min(own, against) if larger else 0.0), shop
        assert told["level", -1][at] == pytest.approx(min(-own, -against) if larger else 0.0), shop
        own = here[1][at] / np.sqrt(here[3][at])
        against = (here[1][at] - there[1][at]) / np.sqrt(here[3][at] + there[3][at])
        assert told["skill", -1][at] == pytest.approx(min(-own, -against)), shop
    assert told["level", 1].argmax() == told["skill", -1].argmax() == 1
    assert told["level", 1][1] > 5 > 2 > told["level", 1][0]


@pytest.mark.parametrize("kind", ["binary", "regression"])
def test_values_and_their_variances_are_those_of_a_mean_and_of_a_robust_line(kind: str) -> None:
    found = rows(kind)
    (said,) = found.said
    inside = (found.X["shop"] == "b").to_numpy()
    gap, p, n = (said.y - said.p)[inside], said.p[inside], int(inside.sum())
    promised = 0.0 if said.spread is None else said.spread[inside].mean()
    assert _value(said, inside, "level") == pytest.approx((gap.mean(), max(gap.var(ddof=1), promised) / n, n - 1))
    line = sm.OLS(gap, sm.add_constant(p)).fit(cov_type="HC3")
    across = ((p - p.mean()) ** 2).sum()
    promised = 0.0 if said.spread is None else ((p - p.mean()) ** 2 @ said.spread[inside]) / across**2
    slope, variance, free = _value(said, inside, "skill") or (0.0, 0.0, 0)
    assert (slope, free) == (pytest.approx(line.params[1]), n - 2)
    assert variance == pytest.approx(max(line.cov_HC3[1, 1], promised), rel=1e-6)
    assert _value(Said(said.y, np.full(len(said.p), 0.3), None), inside, "skill") is None


def test_what_a_model_promises_bounds_the_variance_from_below() -> None:
    y, p = np.zeros(50), np.full(50, 0.1)
    said = Said(y, p, p * (1 - p))
    assert _value(said, np.ones(50, bool), "level") == pytest.approx((-0.1, 0.09 / 50, 49))


@pytest.mark.parametrize("n", [5, 40])
def test_a_slice_is_held_against_coins_or_against_a_mean_with_as_many_degrees_of_freedom_as_are_left(n: int) -> None:
    rng = np.random.default_rng(n)
    p, inside = rng.uniform(0.2, 0.8, 2 * n), np.arange(2 * n) < n
    y, mean = p + rng.normal(0.1, 0.2, 2 * n), float(p[:n].mean())
    gap = (y - p)[:n]
    assert _own_tails(Said(y, p, None), inside, "level") == mean_tails(gap)
    assert _own_tails(Said(y, p, None), inside, "skill") == mean_tails((p[:n] - mean) * (gap - gap.mean()), lost=2)
    coins = Said((y > 0.5).astype(float), p, p * (1 - p))
    hits = coins.y[:n]
    assert _own_tails(coins, inside, "level") == coin_tails(p[:n], float(hits.sum()))
    assert _own_tails(coins, inside, "skill") == coin_tails(p[:n], float((p[:n] - mean) @ hits), mean)


def test_a_slice_is_worse_where_its_own_fault_is_larger_than_that_of_all() -> None:
    found = rows("regression", 2000)
    for shop, level, skill in (("a", -1, -1), ("b", 1, 1), ("c", -1, -1)):
        inside = (found.X["shop"] == shop).to_numpy()
        assert _tested(found, inside, 0, "level")[3] == level, shop
        assert _tested(found, inside, 0, "skill")[3] == skill, shop
    above, below, apart, _ = _tested(found, (found.X["shop"] == "b").to_numpy(), 0, "level")
    assert above < 1e-6  # the truth lies above what is said
    assert below > 0.99
    assert apart < 1e-6
    above, below, _, _ = _tested(found, (found.X["shop"] == "b").to_numpy(), 0, "skill")
    assert below < 1e-6  # and follows it less
    assert above > 0.99


def test_suspects_are_weighted_by_their_place_and_none_is_named_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    valid, test = rows("binary", 600), rows("binary", 600, 1)
    code = {c: pd.factorize(valid.X["shop"], sort=True)[0] == k for k, c in enumerate("abc")}
    there = {c: (test.X["shop"] == c).to_numpy() for c in "abc"}

    def group(shop: str, strength: float, column: str = "shop", mask: np.ndarray | None = None) -> _Group:
        here = (code[shop] if mask is None else mask).astype(int)
        return _Group(strength, {column: f"= {shop}"}, Fault(0, "level", 1), (here, 1), (there[shop].astype(int), 1))

    place = np.where(code["b"], np.cumsum(code["b"]) / code["b"].sum(), 2.0)
    most, some = place <= 0.65, place <= 0.55  # of shop b: more, and less, than six in ten of both together
    suspects = [
        group("c", 9.0),
        group("b", 8.0),
        group("b", 7.0, "most", most),
        group("b", 6.0, "some", some),
        group("a", 5.0),
    ]
    monkeypatch.setattr(slices, "_search", lambda *_: suspects)
    found = {next(iter(one.where.items())): one for one in weak(valid, test, [], "roc_auc", "binary", 0.5)}
    assert next(iter(found)) == ("shop", "= b")
    assert set(found) == {("shop", "= c"), ("shop", "= b"), ("some", "= b"), ("shop", "= a")}
    order = [("shop", "= c"), ("shop", "= b"), ("some", "= b"), ("shop", "= a")]
    p = np.array([found[where].p for where in order])
    assert [found[where].p_holm for where in order] == pytest.approx(holm(p, 1 / np.arange(1, 5)))
    assert found["shop", "= b"].p == pytest.approx(_tested(test, there["b"], 0, "level")[0])
    monkeypatch.setattr(slices, "FOUND", 2)
    assert len(weak(valid, test, [], "roc_auc", "binary", 0.5)) == 2


def test_slices_and_what_is_left_of_them_have_thirty_rows() -> None:
    part = rows("binary", 300)
    part.X["few"] = np.where(np.arange(300) < 29, 1.0, 0.0)
    part.X["enough"] = np.where(np.arange(300) < 30, 1.0, 0.0)
    found = {(k, v): one.p for one in declared(part, part, ["few", "enough"], "roc_auc", "binary", 0.5)
             for k, v in one.where.items()}  # fmt: skip
    assert {where: p is None for where, p in found.items()} == {
        ("few", "= 0"): True, ("few", "= 1"): True, ("enough", "= 0"): False, ("enough", "= 1"): False,
    }  # fmt: skip


@pytest.mark.parametrize("kind", ["binary", "multiclass", "regression"])
def test_a_slice_is_told_in_numbers(kind: str) -> None:
    part = rows(kind)
    inside = (part.X["shop"] == "b").to_numpy()
    metric = {"binary": "accuracy", "multiclass": "log_loss", "regression": "mae"}[kind]
    of = 2 if kind == "multiclass" else 0
    told = describe(part, inside, metric, kind, 0.3, of)
    p = part.scores if kind == "regression" else part.scores[:, -1]
    y = part.y if kind == "regression" else (part.y == (2 if kind == "multiclass" else 1)).astype(float)
    assert (told.rows, told.share) == (inside.sum(), inside.mean())
    assert (told.predicted, told.observed) == pytest.approx((p[inside].mean(), y[inside].mean()))
    slope = sm.OLS(y[inside], sm.add_constant(p[inside])).fit().params[1]
    assert told.skill == pytest.approx(slope)
    assert told.skill_elsewhere == pytest.approx(sm.OLS(y[~inside], sm.add_constant(p[~inside])).fit().params[1])
    if kind == "regression":
        loss = (y - p) ** 2
        assert told.metric == pytest.approx(np.abs(y - p)[inside].mean())
        assert told.r2 == pytest.approx(1 - loss[inside].mean() / y[inside].var())
        assert "promised" not in told
    else:
        truth = np.eye(part.scores.shape[1])[part.y.astype(int)]
        loss = ((part.scores - truth) ** 2).sum(axis=1) / 2
        promised = (part.scores * (1 - part.scores)).sum(axis=1) / 2
        assert (told.promised, told.promised_elsewhere) == pytest.approx(
            (promised[inside].mean(), promised[~inside].mean())
        )
    if kind == "binary":
        assert told.metric == pytest.approx(((p >= 0.3) == y)[inside].mean())
    if kind == "multiclass":
        assert told.number == 2
        assert told.accuracy == pytest.approx((part.scores.argmax(axis=1) == part.y)[inside].mean())
    assert (told.loss, told.loss_elsewhere) == pytest.approx((loss[inside].mean(), loss[~inside].mean()))
    everything = describe(part, np.ones(400, bool), metric, kind, 0.3, of)
    assert (everything.loss_elsewhere, everything.skill_elsewhere) == (None, None)
    two = describe(part, np.arange(400) < 2, metric, kind, 0.3, of)
    assert two.skill is None


# The search -----------------------------------------------------------------------------------------------------------


def planted(columns: dict[str, np.ndarray], high: np.ndarray, seed: int = 0) -> Rows:
    """A regression whose truth lies one above what is said in some rows, and scatters by a tenth in all."""
    n = len(high)
    rng = np.random.default_rng(seed)
    p = rng.uniform(0, 1, n)
    X = pd.DataFrame({name: pd.Series(values, dtype="str") for name, values in columns.items()})
    return Rows(X, p + high + rng.normal(0, 0.1, n), p)


def searched(part: Rows) -> list[tuple[dict[str, str], str, int]]:
    found = _search(part, part, list(part.X))
    assert [one.strength for one in found] == sorted((one.strength for one in found), reverse=True)
    assert all(one.strength > PROMISING for one in found)
    return [(one.where, one.fault.kind, one.fault.sign) for one in found]


@pytest.mark.parametrize(
    ("n", "size", "found"),
    [
        (400, 30, True), (400, 29, False), (60, 30, True), (60, 31, False), (59, 30, False),
        (10_000, 50, True), (10_000, 49, False), (7_000, 35, True), (7_000, 34, False),
    ],
)  # fmt: skip
def test_a_band_is_looked_at_of_thirty_rows_and_one_in_two_hundred_that_leaves_as_many(
    n: int, size: int, found: bool
) -> None:
    high = np.arange(n) < size
    part = planted({"shop": np.where(high, "b", "a")}, high)
    where = searched(part)
    assert (({"shop": "= b"}, "level", 1) in where) == found
    assert not [one for one in where if one[0] == {"shop": "= b"} and one[2] == -1 and one[1] == "level"]
    (group,) = (g for g in _search(part, part, ["shop"]) if g.where == {"shop": "= b"} and g.fault.kind == "level") if found else (None,)  # fmt: skip
    if group is not None:
        assert (group.rows("valid") == high).all()
        assert (group.rows("test") == high).all()


@pytest.mark.parametrize(("shops", "days", "found"), [(19, 19, True), (19, 20, False), (1, 199, True), (1, 200, False)])
def test_pairs_of_columns_with_more_than_four_hundred_cells_are_left_alone(shops: int, days: int, found: bool) -> None:
    """Of each column there is the band of what is missing besides."""
    rng = np.random.default_rng(1)
    shop, day = (np.append(np.arange(k), rng.integers(0, k, 1500 - k)) for k in (shops, days))
    shop[:60], day[:60] = np.arange(60) % shops, 0
    high = (shop == 0) & (day == 0)
    high |= np.arange(1500) < 40
    shop[:40] = day[:40] = 0
    part = planted({"shop": np.char.add("s", shop.astype(str)), "day": np.char.add("d", day.astype(str))}, high)
    pairs = [where for where, _, _ in searched(part) if len(where) == 2]
    assert (({"shop": "= s0", "day": "= d0"} in pairs) or ({"day": "= d0", "shop": "= s0"} in pairs)) == found
    assert found or not pairs


def test_pairs_are_made_of_the_eight_columns_with_the_strongest_bands() -> None:
    """Ten columns know the rows, each a few more of them wrongly than the one before."""
    high = np.arange(500) < 100
    columns = {f"c{k}": np.where(high & (np.arange(500) >= 5 * k), "b", "a") for k in range(10)}
    pairs = {tuple(where) for where, _, _ in searched(planted(columns, high)) if len(where) == 2}
    assert pairs == {(f"c{i}", f"c{j}") for i in range(8) for j in range(i + 1, 8)}


def test_of_many_classes_the_sixty_most_frequent_are_looked_at_by_their_number() -> None:
    share = np.full(62, 1.0)
    share[[3, 40]] = 0.5, 0.25
    scores = np.tile(share / share.sum(), (8, 1))
    y = np.array([0.0, 1, 2, 3, 40, 61, 61, 5])
    told = Rows(pd.DataFrame(index=range(8)), y, scores).said
    assert [one.number for one in told] == [k for k in range(62) if k not in (3, 40)]
    assert told[-1].y.tolist() == [0, 0, 0, 0, 0, 1, 1, 0]
    assert told[-1].p == pytest.approx(scores[:, 61])
    assert told[-1].spread == pytest.approx(scores[:, 61] * (1 - scores[:, 61]))
    (two,) = Rows(pd.DataFrame(index=range(2)), np.array([1.0, 0]), np.array([[-0.1, 1.1], [0.75, 0.25]])).said
    assert (two.number, two.y.tolist(), two.p.tolist()) == (1, [1, 0], [1, 0.25])
    assert two.spread is not None
    assert two.spread.tolist() == [0, 0.1875], "beyond 0 and 1 nothing is promised"
    three = Rows(pd.DataFrame(index=range(2)), np.array([2.0, 0]), np.array([[0.25, 0.25, 0.5], [0.5, 0.25, 0.25]]))
    assert [one.number for one in three.said] == [0, 1, 2]
    assert three.loss.tolist() == [(0.0625 + 0.0625 + 0.25) / 2] * 2
    assert three.promised is not None
    assert three.promised.tolist() == [(0.1875 * 2 + 0.25) / 2] * 2


def test_a_slice_without_figures_says_none() -> None:
    p, y = np.array([0.1, 0.2, 0.3, 0.4, 0.5, 0.6]), np.array([1.0, 1, 1, 1, 2, 3])
    part = Rows(pd.DataFrame(index=range(6)), y, p)
    assert describe(part, np.arange(6) < 4, "r2", "regression", 0.5).r2 is None, "nothing varies"
    told = describe(part, np.arange(6) >= 4, "mae", "regression", 0.5)
    assert told.r2 == pytest.approx(1 - ((y - p)[4:] ** 2).mean() / 0.25)
    both = Rows(part.X, np.array([0.0, 0, 0, 1, 0, 1]), np.column_stack([1 - p, p]))
    assert describe(both, np.arange(6) < 3, "roc_auc", "binary", 0.5).metric is None, "of one class only"
    wild = Said(np.array([0.0, 1, 0, 1]), np.array([0.5, 0.5001, 0.5002, 0.5003]), np.full(4, 0.25))
    assert _skill(wild, np.ones(4, bool)) is None, "its variance is beyond one"
    sure = Said(np.array([0.0, 0, 1, 1]), np.array([0.0, 0.1, 0.9, 1.0]), np.full(4, 0.05))
    assert _skill(sure, np.ones(4, bool)) == pytest.approx(1 + np.polyfit(sure.p, sure.y - sure.p, 1)[0])
    three = Said(np.array([0.0, 0.5, 1.0]), np.array([0.0, 0.4, 1.0]), np.full(3, 0.05))
    assert _skill(three, np.ones(3, bool)) is not None
    assert _skill(three, np.arange(3) < 2) is None
