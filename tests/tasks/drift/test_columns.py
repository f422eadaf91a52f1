"""Drift of columns: our cheap measures are Evidently's, and unchanged tables stay unchanged."""

import json

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from tasks.drift.columns import compare, distribution, homogeneity, psi
from tasks.drift.table import compare_tables, confirm, summarise

KINDS = {"x": "numeric", "skewed": "numeric", "letter": "categorical"}


def table(rows: int, seed: int, shift: float = 0.0) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    p = np.array([0.5, 0.3, 0.2]) + np.array([-shift, 0, shift]) / 4
    return pd.DataFrame(
        {
            "x": rng.normal(shift, 1, rows),
            "skewed": np.where(rng.random(rows) < 0.1, np.nan, rng.gamma(2, 1 + shift, rows)),
            "letter": pd.array(rng.choice(list("abc"), rows, p=p), dtype="str"),
            "prediction": rng.beta(2, 5, rows),
        }
    )


@pytest.mark.parametrize("rows", [200, 3000])
def test_evidently_confirms_every_figure(rows):
    reference, current = table(rows, 1), table(rows, 2, 1.0)
    entries = compare_tables(reference, current, KINDS)
    [prediction] = compare_tables(reference, current, {"prediction": "numeric"})
    confirmed, answer, html = confirm(entries, prediction, reference, current)
    ours = {e["column"]: e["statistic"] for e in [*entries, prediction]}
    assert {e["column"] for e in confirmed} == set(KINDS)
    for entry in [*confirmed, answer]:
        assert entry["source"] == "evidently"
        assert entry["statistic"] == pytest.approx(ours[entry["column"]], rel=1e-9)
    assert all(e["drifted"] for e in confirmed)
    assert not answer["drifted"]
    assert "Drift in column" in html
    again = confirm(entries, prediction, reference, current)
    assert json.dumps(again[:2]) == json.dumps([confirmed, answer])
    assert again[2] == html


def test_unchanged_small_tables_are_seldom_called_drifted():
    """At most 5% of unchanged tables have a drifted column (Bonferroni); 60 tables, with room for luck."""
    called = sum(
        any(e["drifted"] for e in compare_tables(table(120, 2 * i), table(120, 2 * i + 1), KINDS)) for i in range(60)
    )
    assert called <= stats.binom.ppf(0.999, 60, 0.05)


def test_values_that_go_missing_are_drift():
    reference, current = table(2000, 1), table(2000, 2)
    current.loc[current.index[::3], "x"] = np.nan
    gone = current.assign(x=np.nan)
    assert compare("x", "numeric", reference["x"], current["x"], 2000, 3)["drifted"]
    entry = compare("x", "numeric", reference["x"], gone["x"], 2000, 3)
    assert (entry["test"], entry["statistic"], entry["drifted"]) == ("missing values", 1.0, True)
    never = pd.Series(np.nan, index=range(2000))
    assert not compare("x", "numeric", never, never, 2000, 3)["drifted"]


def test_homogeneity_is_pearsons_test():
    left, right = pd.Series(list("aab") * 30), pd.Series(list("abb") * 30)
    expected = stats.chi2_contingency([[60, 30], [30, 60]], correction=False).pvalue
    assert homogeneity(left, right) == pytest.approx(expected)
    assert homogeneity(pd.Series(["a"] * 9), pd.Series(["a"] * 9)) == 1.0


def test_psi_of_a_known_table():
    """Shares 1/2, 1/2 against 1/4, 3/4: (1/4)(ln 1/2 · −1 + ln 3/2)."""
    found = psi(pd.Series(list("ab") * 40), pd.Series(list("abbb") * 20), "categorical")
    assert found == pytest.approx(0.25 * (np.log(2) + np.log(1.5)))


def test_distribution_counts_every_row():
    reference, current = table(500, 1)["x"], table(700, 2)["x"]
    shown = distribution(reference, current, "numeric")
    assert sum(shown["reference"]) == pytest.approx(1)
    assert sum(shown["current"]) == pytest.approx(1)
    many = pd.Series([f"k{i % 40}" for i in range(400)])
    shown = distribution(many, many, "categorical")
    assert shown["levels"][-1] == "other"
    assert sum(shown["current"]) == pytest.approx(1)


def test_share_that_counts_as_drift_of_the_table():
    entries = [{"drifted": True}, {"drifted": False}]
    assert summarise(entries, {"drifted": False}, 0.5)["drifted"]
    told = summarise(entries, {"drifted": True}, 0.6)
    assert not told["drifted"]
    assert told["sentence"].startswith("1 of 2 columns drifted")
    assert not summarise([], {"drifted": False}, 0.5)["drifted"]
