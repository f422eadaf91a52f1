"""The kinds of problems and the table of metrics agree with each other and with the docs."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tasks.errors import RefitError
from tasks.kinds import (
    MANY,
    NUMBER,
    TWO,
    Metric,
    Output,
    find_kind,
    kind_names,
    kinds_of,
    or_half,
    score_columns,
    usual_kind,
)
from tasks.metrics import better, called, higher_is_better
from tasks.metrics.table import TABLE, find_metric
from tasks.report.numbers import meaning, title

ROOT = Path(__file__).parents[3]


def metrics_of(names: tuple[str, ...]) -> list[Metric]:
    found = [find_metric(name) for name in names]
    assert None not in found
    return [metric for metric in found if metric is not None]


@pytest.mark.parametrize("name", kind_names())
def test_a_kinds_metrics_are_in_the_table_and_fit_what_its_models_give(name: str) -> None:
    kind = find_kind(name)
    assert kind.name == name
    assert [m.name for m in metrics_of(kind.metrics) if kind.output not in m.outputs] == []
    deciding = metrics_of(kind.decisive)
    assert set(kind.decisive) <= set(kind.metrics)
    assert [m.name for m in deciding if not m.without or m.sign == 0] == []


def test_each_metric_belongs_to_a_kind_has_a_title_and_runs_one_way() -> None:
    assert {metric for name in kind_names() for metric in find_kind(name).metrics} == set(TABLE)
    assert [m.name for m in TABLE.values() if not (m.title and m.meaning)] == []
    assert [m.name for m in TABLE.values() if ("lower is better" in m.meaning) != (m.sign < 0)] == []
    assert [m.name for m in TABLE.values() if m.sign == 0] == ["bias"]


@pytest.mark.parametrize(
    "name", ["median_absolute_error", "max_error", "bias", "specificity", "precision_macro", "recall_macro"]
)
def test_metrics_that_only_the_report_shows_are_titled_and_explained(name: str) -> None:
    assert "_" not in title(name)
    assert meaning(name)


def test_which_way_a_metric_runs_is_one_fact() -> None:
    assert [higher_is_better(m) for m in ("median_absolute_error", "max_error", "f1", "ece")] == [
        False,
        False,
        True,
        False,
    ]
    assert better("median_absolute_error", 1.0, 2.0)
    assert called("f1_macro") == "F1 (mean of the classes)"
    assert called("never heard of") == "never heard of"


def test_metrics_with_row_losses_are_their_mean_or_its_root() -> None:
    rng = np.random.default_rng(0)
    y, p = rng.normal(3, 1, 50), rng.normal(3, 1, 50)
    two = np.column_stack([1 - (q := rng.uniform(0.05, 0.95, 50)), q])
    for metric in TABLE.values():
        if metric.row_loss is None or metric.name == "r2":
            continue
        scores, truth = (p, y) if NUMBER in metric.outputs else (two, (y > 3).astype(float))
        mean = float(metric.row_loss(truth, scores).mean())
        mean = mean / 2 if metric.name == "brier" else mean  # of two classes the metric is the positive one's
        value = metric.measurer(truth, scores)(None)
        assert value == pytest.approx(mean**0.5 if metric.name == "rmse" else mean), metric.name


def test_an_output_says_how_scores_look_and_how_margins_become_them() -> None:
    margins = np.array([[0.0], [2.0]])
    assert TWO.of_margins(margins)[0].tolist() == [0.5, 0.5]
    assert NUMBER.of_margins(margins).tolist() == [0.0, 2.0]
    three = MANY.of_margins(np.array([[0.0, 0.0, np.log(2)]]))
    assert three[0] == pytest.approx([0.25, 0.25, 0.5])
    assert (TWO.heads(2), MANY.heads(3), NUMBER.heads(0)) == (1, 3, 1)
    assert (TWO.free(three[:, :2]).shape, MANY.free(three).shape) == ((1, 1), (1, 3))
    assert [output.fits(count) for output in (TWO, MANY, NUMBER) for count in (0, 2, 3)] == [
        False, True, False, False, True, True, True, False, False,
    ]  # fmt: skip
    assert TWO.targets(np.array([0.0, 1.0])).dtype == np.int64
    assert NUMBER.targets(np.array([0.0, 1.0])).dtype == float
    assert MANY.indicators(np.array([0.0, 2.0])).tolist() == [[1, 0, 0], [0, 0, 1]]
    assert score_columns(three) == ["score_0", "score_1", "score_2"]


def test_kinds_are_found_by_their_module_and_a_misspelt_one_is_told() -> None:
    assert kinds_of(TWO, NUMBER) == ("binary", "regression")
    assert [usual_kind(output) for output in (TWO, MANY, NUMBER)] == ["binary", "multiclass", "regression"]
    with pytest.raises(RefitError, match=r"problem\.kind: 'binry' is not one of .* Did you mean 'binary'"):
        find_kind("binry")


@pytest.mark.parametrize(("threshold", "cut"), [(None, 0.5), (0.0, 0.0), (0.3, 0.3)])
def test_a_model_without_a_threshold_decides_at_one_half(threshold: float | None, cut: float) -> None:
    assert or_half(threshold) == cut


def test_binary_models_are_compared_at_as_many_alarms_where_a_threshold_was_tuned() -> None:
    kind, mine, theirs = find_kind("binary"), np.array([0.1, 0.9, 0.4, 0.3]), np.array([0.6, 0.2, 0.7, 0.1])
    one, two = (np.column_stack([1 - p, p]) for p in (mine, theirs))
    plain, tuned = kind.decided(one, two, (0.5, 0.5)), kind.decided(one, two, (0.5, 0.2))
    assert plain is not None
    assert tuned is not None
    assert (plain.challenger.tolist(), plain.champion.tolist(), plain.equal) == ([0, 1, 0, 0], [1, 0, 1, 0], False)
    assert (tuned.challenger.tolist(), tuned.champion.tolist(), tuned.equal) == ([0, 1, 1, 1], [1, 1, 1, 0], True)
    assert find_kind("regression").decided(mine, theirs, (0.5, 0.5)) is None


def test_the_docs_table_of_metrics_is_the_codes() -> None:
    text = (ROOT / "docs" / "metrics.md").read_text()
    rows = [line.partition("<!--")[0].rstrip().strip("|") for line in text.splitlines() if line.startswith("| `")]
    ways = {1: "higher", -1: "lower", 0: "0"}
    wanted = []
    for metric in TABLE.values():
        kinds = [
            name + "*" * (metric.name in find_kind(name).decisive)
            for name in kind_names()
            if metric.name in find_kind(name).metrics
        ]
        said = metric.meaning.partition("; lower is better")[0].partition("; 0 is best")[0]
        wanted.append([f"`{metric.name}`", ", ".join(kinds), ways[metric.sign], metric.unit, said])
    assert [[cell.strip() for cell in row.split("|")] for row in rows] == wanted


@pytest.mark.parametrize(
    ("output", "fits", "classes"),
    [(Output("x"), [0], False), (NUMBER, [0], False), (TWO, [2], True), (MANY, [2, 3, 4, 5], True), (Output("y", 1, 3), [1, 2, 3], True)],
)  # fmt: skip
def test_an_output_is_of_so_many_classes(output: Output, fits: list[int], classes: bool) -> None:
    assert [count for count in range(6) if output.fits(count)] == fits
    assert output.classes is classes
    assert output.heads(5) == (5 if output is MANY else 1)


@pytest.mark.parametrize(
    ("kind", "scores", "shown"),
    [("binary", [0.75, 0.25], (0.25, 1)), ("binary", [0.25, 0.75], (0.75, 1)), ("multiclass", [0.2, 0.3, 0.5], (0.5, 2)),
     ("multiclass", [0.5, 0.3, 0.2], (0.5, 0)), ("regression", [3.5], (3.5, None))],
)  # fmt: skip
def test_what_is_shown_of_an_answer_is_the_positive_class_or_the_likeliest_or_the_number(
    kind: str, scores: list[float], shown: tuple[float, int | None]
) -> None:
    assert find_kind(kind).shown(scores, ["a", "b", "c"][: len(scores)]) == shown
