"""What is told of explanations, by hand: one row's parts, how exact they are, whose columns are whose, rows worth a look."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest

from tasks.artifacts import Explanation, PartialDependence, Surface
from tasks.evaluate import explain
from tasks.evaluate.explain import (
    Explained,
    _error,
    _from_trees,
    _gather,
    _one,
    _outputs_last,
    _probabilities,
    cost,
    groups,
    partial_dependence,
    surface,
)
from tasks.evaluate.rows import notable
from tasks.evaluate.shapley import Asked, _spread_out
from tasks.kinds import Output, find_kind
from tasks.models.mixture import Mixture

VALUES = np.array([[[0.1, -0.3], [0.2, 0.9]], [[-0.5, 0.0], [0.1, 0.1]]])  # two rows, two features, two outputs
ASKED = Asked(VALUES, np.array([[[0.01, 0.02], [0.03, 0.0]], [[0.0, 0.0], [0.02, 0.01]]]), np.array([0.4, 0.6]),
              np.array([64.0, 128.0]), 0.5, 32, 1234, 0.05)  # fmt: skip
FOUND = Explained(VALUES, np.array([0.4, 0.6]), "permutation", "probability", ASKED)


def test_one_row_is_told_by_the_output_that_it_raises_most_with_the_largest_parts_first() -> None:
    X = pd.DataFrame({"a": [1.0, 2.0, np.nan], "b": pd.Series(["x", "y", None], dtype="str")})
    answer = np.array([0.7, 1.2])
    one = _one(FOUND, X, np.array([10, 20, 30]), 1, 0, ["a", "b"], answer)
    assert one.to_dict() == {
        "row": 20, "output": 1, "base": 0.6, "total": pytest.approx(1.2), "answer": 1.2, "others": pytest.approx(0.0),
        "contributions": [
            {"feature": "b", "value": "y", "shap": 0.9, "error": 0.0}, {"feature": "a", "value": 2.0, "shap": -0.3, "error": 0.02},
        ],
    }  # fmt: skip
    exact = _one(replace(FOUND, asked=None), X, np.array([10, 20, 30]), 2, 1, ["a", "b"], answer)
    assert (exact.row, exact.output, exact.total, exact.answer) == (30, 1, pytest.approx(0.7), 1.2)
    assert exact.contributions[0].to_dict() == {"feature": "b", "value": None, "shap": 0.1, "error": 0.0}
    many = np.arange(12.0)[None, :, None] - 5.5
    wide = pd.DataFrame(np.zeros((1, 12)), columns=[f"f{i}" for i in range(12)])
    told = _one(Explained(many, np.zeros(1), "tree", "log-odds"), wide, np.array([0]), 0, 0, list(wide), np.zeros(1))
    assert [c.feature for c in told.contributions] == [
        "f0",
        "f11",
        "f1",
        "f10",
        "f2",
        "f9",
        "f3",
        "f8",
        "f4",
        "f7",
    ]
    assert told.others == pytest.approx(many[0, [5, 6], 0].sum())


def test_how_far_off_parts_may_be_is_told_where_they_were_drawn() -> None:
    found = _error(FOUND)
    assert found.largest == 0.03
    assert found.typical == pytest.approx(np.sqrt((0.01**2 + 0.02**2 * 2 + 0.03**2 + 0.01**2) / 8))
    assert found.within == 0.5  # one row's largest error is beyond 0.05 * 0.5
    assert (found.walks, found.stated, found.spread) == ([64, 128], 0.05, 0.5)
    assert (found.background, found.predictions) == (32, 1234)
    by_formula = replace(ASKED, walks=np.zeros(2))
    assert _error(replace(FOUND, asked=by_formula)).to_dict() == {"kind": "exact", "background": 32}
    assert _error(replace(FOUND, asked=None)).to_dict() == {"kind": "exact", "background": None}


@pytest.mark.parametrize(
    ("kind", "unit", "words"),
    [("regression", "the target's unit", "its prediction"), ("binary", "probability", "the probability that the model"),
     ("multiclass", "probability", "the probability that the model"), ("multiclass", "log-odds", "before the softmax"),
     ("binary", "log-odds", "add up to log-odds")],
)  # fmt: skip
def test_the_space_in_which_parts_add_up_is_named(kind: str, unit: str, words: str) -> None:
    assert words in find_kind(kind).adds_up(unit).replace("(before the softmax)", "before the softmax")


def test_columns_belong_to_the_feature_whose_name_begins_theirs_the_longest_first() -> None:
    names = ["city=Oslo", "city=Rome", "city.size", "city.size is missing", "age"]
    model: Any = SimpleNamespace(encoder=SimpleNamespace(names=names))
    found = groups(model, ["age", "city", "city.size"])
    assert [part.tolist() for part in found] == [[4], [0, 1], [2, 3]]
    values = np.arange(10.0).reshape(1, 5, 2)
    assert _gather(values, found).tolist() == [[[8.0, 9.0], [2.0, 4.0], [10.0, 12.0]]]


def test_outputs_and_probabilities_have_one_form() -> None:
    assert _outputs_last(np.arange(6.0).reshape(2, 3)).shape == (2, 3, 1)
    assert _outputs_last(np.arange(24.0).reshape(2, 4, 3))[1, 2, 3] == np.arange(24.0).reshape(2, 4, 3)[1, 3, 2]
    assert _probabilities(np.array([[0.0], [2.0]])) == pytest.approx(1 / (1 + np.exp([[0.0], [-2.0]])))
    assert _probabilities(np.log([[1.0, 3.0, 6.0]])) == pytest.approx(np.array([[0.1, 0.3, 0.6]]))


def test_what_is_no_tree_is_not_explained_as_one() -> None:
    model: Any = SimpleNamespace(fitted=SimpleNamespace(estimator=object()), kind="binary")
    assert _from_trees(model, np.zeros((2, 2)), []) is None


@pytest.mark.parametrize(
    ("fitted", "expected"),
    [
        ({"FORMAT": "network"}, 1.0),
        ({"FORMAT": "tabm"}, 20.0),
        ({"FORMAT": "skops", "estimator": SimpleNamespace(n_samples_fit_=5000)}, 10.0),
        ({"FORMAT": "skops", "estimator": SimpleNamespace(n_support_=np.array([1000, 2000]))}, 6.0),
        ({"FORMAT": "skops", "estimator": SimpleNamespace(n_estimators=100)}, 5.0),
        ({"FORMAT": "skops", "estimator": SimpleNamespace(n_estimators=None)}, 1.0),
        ({"FORMAT": "bag", "parts": [SimpleNamespace(fitted=SimpleNamespace(FORMAT=f)) for f in ("tabm", "linear")]}, 21.0),
    ],
)  # fmt: skip
def test_a_costly_answer_is_told_by_what_the_model_is_made_of(fitted: dict[str, Any], expected: float) -> None:
    assert cost(SimpleNamespace(**fitted)) == expected


def test_background_rows_are_spread_evenly_over_their_answers() -> None:
    said = np.array([5.0, 1, 9, 3, 7, 0, 8, 2, 6, 4])[:, None]
    assert sorted(said[_spread_out(said, 2), 0].tolist()) == [2.0, 7.0]
    assert sorted(said[_spread_out(said, 5), 0].tolist()) == [1.0, 3.0, 5.0, 7.0, 9.0]
    assert _spread_out(said, 10).tolist() == list(range(10))
    assert (np.diff(_spread_out(said, 4)) > 0).all()


def test_partial_dependence_asks_every_row_at_each_value() -> None:
    rng = np.random.default_rng(0)
    X = pd.DataFrame({"a": np.append(rng.normal(size=59), np.nan), "b": rng.normal(size=60)})
    X["c"] = pd.Series([f"k{i % 12}" for i in range(58)] + ["k3", None], dtype="str")

    def predict(frame: pd.DataFrame) -> np.ndarray:
        p = 1 / (1 + np.exp(-frame["a"].fillna(9) - frame["b"] * (frame["c"] == "k3")))
        return np.column_stack([1 - p, p])

    found = partial_dependence(predict, X, "a", "binary")
    assert found.values == pytest.approx(np.quantile(X["a"].dropna(), np.linspace(0.01, 0.99, 20)))
    assert found.mean == [pytest.approx([predict(X.assign(a=v))[:, 1].mean() for v in found.values])]
    words = partial_dependence(predict, X, "c", "multiclass")
    assert words.values == ["k3", "k0", "k1", "k2", "k4", "k5", "k6", "k7", "k8", "k9"]  # the most frequent ten
    assert len(words.mean) == 2
    assert words.mean[1][0] == pytest.approx(predict(X.assign(c="k3"))[:, 1].mean())


def test_a_surface_is_laid_through_the_most_ordinary_row() -> None:
    X = pd.DataFrame({"a": np.arange(50.0), "b": np.arange(50.0)[::-1] * 2, "c": np.arange(50.0) ** 2})

    def predict(frame: pd.DataFrame) -> np.ndarray:
        return (100 * frame["a"] + frame["b"] + 1e6 * frame["c"]).to_numpy()

    found = surface(predict, X, ("a", "b"), "regression", 3)
    assert found.features == ["a", "b"]
    assert found.x == pytest.approx(np.linspace(*np.quantile(X["a"], [0.02, 0.98]), 3))
    assert found.y == pytest.approx(np.linspace(*np.quantile(X["b"], [0.02, 0.98]), 3))
    assert found.score == [[pytest.approx(100 * x + y + 1e6 * 24**2) for x in found.x] for y in found.y]
    two = surface(lambda f: np.column_stack([f["a"], f["b"]]), X, ("a", "b"), "binary", 2)
    assert two.score[1][0] == pytest.approx(two.y[1])
    three = surface(lambda f: np.column_stack([f["a"], f["b"], f["a"] * 0]), X, ("a", "b"), "multiclass", 2)
    assert three.score == [[1.0, 0.0], [1.0, 1.0]]


def test_the_worst_and_the_least_certain_rows_come_first_and_equals_by_their_number() -> None:
    X = pd.DataFrame({"a": [1.0, np.nan, 3.0, 4.0]})
    scores = np.array([[0.7, 0.2, 0.1], [0.1, 0.5, 0.4], [0.1, 0.5, 0.4], [0.0, 0.1, 0.9]])
    found = notable(X, np.array([9, 8, 7, 6]), np.array([0.0, 2, 0, 0]), scores, ["x", "y", "z"], 3)
    assert [one.row for one in found.worst] == [6, 7, 8]
    assert [one.row for one in found.least_certain] == [7, 8, 9]
    assert found.worst[2].to_dict() == {"row": 8, "truth": "z", "score": [0.1, 0.5, 0.4], "features": {"a": None}}
    off = notable(X, np.array([9, 8, 7, 6]), np.array([0.0, 2, 5, 0]), np.array([1.0, 2, 3, 1]), [], 2)
    assert [(one.row, one.truth, one.score) for one in off.worst] == [(7, 5.0, 3.0), (6, 0.0, 1.0)]
    assert set(off.to_dict()) == {"worst"}


class Sum:
    """Answers with the sum of its columns."""

    def predict(self, X: pd.DataFrame) -> np.ndarray:
        return X.to_numpy(dtype=float).sum(axis=1)


def told(monkeypatch: pytest.MonkeyPatch, n: int, notable: list[int], outputs: int = 1, few: int | None = None) -> tuple[Explanation, Any]:  # fmt: skip
    """What is told of ``n`` rows of 17 features, whose parts are the features' numbers times the rows' own."""
    X = pd.DataFrame({f"f{j:02d}": np.arange(float(n)) + j for j in range(17)})
    X["f00"], X["f01"] = np.arange(n) % 8.0, np.arange(n) % 9.0  # one of eight values is no scale, one of nine is
    asked: list[Any] = []

    def values(mixture: Mixture, rows: pd.DataFrame, back: pd.DataFrame, seed: int) -> Explained:
        asked.append((mixture.weights.tolist(), rows.index.tolist(), len(back), seed))
        parts = (rows.index.to_numpy() + 1.0)[:few, None] * np.arange(17.0)
        return Explained(
            np.stack([parts * (k + 1) for k in range(outputs)], axis=2), np.arange(outputs) * 1.0, "tree", "log-odds"
        )

    monkeypatch.setattr(explain, "shap_values", values)
    monkeypatch.setattr(explain, "partial_dependence", lambda predict, sample, name, kind: PartialDependence(feature=name, values=[len(sample)], mean=[]))  # fmt: skip
    monkeypatch.setattr(explain, "surface", lambda predict, rows, names, kind: Surface(features=list(names), x=[len(rows)], y=[], score=[]))  # fmt: skip
    monkeypatch.setattr(Output, "free", lambda self, scores: np.tile(scores[:, None], outputs))
    found = explain.explain(Mixture.of([Sum(), Sum()], [3.0, 1.0]), X, np.arange(n) + 100, X, notable, "regression", 5)  # type: ignore[list-item]
    return found, asked[0]


def test_importance_is_the_mean_size_of_the_rows_that_were_drawn(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of 30 rows two are worth a look: the others are drawn, and they alone are the measure where there are twenty."""
    found, (weights, rows, back, seed) = told(monkeypatch, 30, [4, 2])
    assert (weights, back, seed) == ([0.75, 0.25], 30, 5)
    assert rows[:2] == [4, 2]
    assert sorted(rows) == list(range(30))
    assert rows[2:] != sorted(rows[2:]), "in no order"
    sizes = np.array([r + 1.0 for r in range(30) if r not in (4, 2)])
    assert found.importance == {f"f{j:02d}": pytest.approx(j * sizes.mean()) for j in range(17)}
    assert list(found.importance)[:2] == ["f16", "f15"]
    assert found.importance_error["f16"] == pytest.approx(16 * sizes.std(ddof=1) / np.sqrt(28))
    assert found.rows_explained == 30
    few, _ = told(monkeypatch, 30, list(range(11)))  # nineteen others
    assert few.importance["f01"] == pytest.approx(np.arange(1.0, 31).mean())
    enough, _ = told(monkeypatch, 30, list(range(10)))
    assert enough.importance["f01"] == pytest.approx(np.arange(11.0, 31).mean())
    one, _ = told(monkeypatch, 1, [0])
    assert set(one.importance_error.values()) == {None}


def test_of_parts_the_fifteen_largest_features_and_two_hundred_rows_are_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    found, (_, rows, *_) = told(monkeypatch, 250, [7])
    summary = {one.feature: one for one in found.summary}
    assert list(summary) == [f"f{j:02d}" for j in range(16, 1, -1)]
    rows = rows[:200]
    assert summary["f16"].shap == [16.0 * (r + 1) for r in rows]
    assert summary["f16"].value == [r + 16.0 for r in rows]
    several, (_, others, *_) = told(monkeypatch, 30, [7], outputs=3)
    assert several.summary[0].shap == [3 * 16.0 * (r + 1) for r in others], "of the last output"
    assert several.importance["f16"] == pytest.approx(6 * 16 * np.mean([r + 1.0 for r in range(30) if r != 7]))
    assert several.base == [0.0, 1.0, 2.0]


def test_curves_are_of_six_features_and_the_surface_of_two_numbers_of_more_than_eight_values(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    found, _ = told(monkeypatch, 400, [7])
    assert [(one.feature, one.values) for one in found.partial_dependence] == [
        (f"f{j:02d}", [300]) for j in range(16, 10, -1)
    ]
    assert found.surface is not None
    assert (found.surface.x, found.surface.features) == ([400.0], ["f16", "f15"])
    assert [one.row for one in found.rows] == [107]
    assert found.rows[0].answer == float(7 + 7 + sum(7 + j for j in range(2, 17)))
    monkeypatch.setattr(explain, "SHAP_ROWS", 50)
    assert told(monkeypatch, 400, [7])[0].rows_explained == 51
    cut, _ = told(monkeypatch, 400, [7, 9, 11], few=2)  # no more rows were explained
    assert (cut.rows_explained, [one.row for one in cut.rows]) == (2, [107, 109])


INSIDE = Explained(np.array([[[1.0], [-2.0]]]), np.array([0.25]), "tree", "log-odds")


@pytest.mark.parametrize(
    ("models", "scale", "inside", "values", "base"),
    [  # how many models, how they are calibrated, what is known of the inside, and what is told (None: by asking)
        (1, "none", INSIDE, [1.0, -2.0], 0.25),
        (1, "none", None, None, None),
        (2, "none", INSIDE, None, None),
        (1, None, INSIDE, None, None),  # a calibration that scales nothing
        (1, {"slope": 2.0, "shift": 0.5}, INSIDE, [2.0, -4.0], 1.0),
        (1, {"slope": 2.0}, INSIDE, [2.0, -4.0], 0.5),
        (1, {"slope": 2.0}, replace(INSIDE, unit="probability"), None, None),
        (1, {"slope": 2.0}, None, None, None),
        (1, {"slope": 2.0, "limit": 3.0}, INSIDE, None, None),
        (2, {"slope": 2.0}, INSIDE, None, None),
    ],
)
def test_a_model_is_explained_from_inside_where_its_answer_is_the_sum_of_its_parts(
    models: int, scale: Any, inside: Any, values: Any, base: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    calibration = None if scale == "none" else SimpleNamespace(scale=scale)
    mixture: Any = SimpleNamespace(models=[SimpleNamespace(calibration=calibration)] * models)
    by_asking = replace(INSIDE, method="permutation")
    monkeypatch.setattr(explain, "_from_inside", lambda *given: inside)
    monkeypatch.setattr(explain, "asked_shap", lambda *given: by_asking)
    found = explain.shap_values(mixture, pd.DataFrame(), pd.DataFrame(), 0)
    if values is None:
        assert found is by_asking
    else:
        assert (found.method, found.unit, found.base.tolist()) == ("tree", "log-odds", [base])
        assert found.values[0, :, 0].tolist() == values


def test_parts_are_added_up_by_feature_and_margins_become_probabilities() -> None:
    values = np.arange(12.0).reshape(1, 4, 3)
    parts = [np.array([0, 2]), np.array([3]), np.array([], np.int64)]
    assert _gather(values, parts).tolist() == [[[6.0, 8.0, 10.0], [9.0, 10.0, 11.0], [0.0, 0.0, 0.0]]]
    odds = np.array([[0.0], [np.log(3)], [-800.0], [800.0]])
    assert _probabilities(odds)[:, 0] == pytest.approx([0.5, 0.75, 0.0, 1.0])
    three = np.array([[0.0, np.log(2), 0.0], [900.0, 900.0, -900.0]])
    assert _probabilities(three) == pytest.approx(np.array([[0.25, 0.5, 0.25], [0.5, 0.5, 0.0]]))
