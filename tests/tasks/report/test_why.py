"""What the page says of explanations: how exact they are, in which space they add up, and how far off each may be."""

from __future__ import annotations

from typing import Any

from tasks.artifacts import Explanation
from tasks.report.about_why import why
from tasks.report.blocks import Prose, Table
from tasks.report.found import RowNames

ROW = {
    "row": 7, "output": 0, "base": 0.2, "total": 0.7, "answer": 0.7, "others": 0.0,
    "contributions": [{"feature": "size", "value": 3.0, "shap": 0.5, "error": 0.004}],
}  # fmt: skip
SAMPLED = {
    "kind": "sampled", "stated": 0.02, "spread": 0.25, "largest": 0.006, "typical": 0.002, "within": 0.9, "walks": [128, 512],
    "background": 32, "predictions": 130220,
}  # fmt: skip


def page(**found: Any) -> tuple[str, Table]:
    """The text on how values were found, and the table of single rows."""
    empty = {"method": "", "base": [], "importance": {}, "summary": [], "partial_dependence": [], "surface": None}
    whole = empty | {"rows": [ROW], "rows_explained": 100, "space": "The parts add up."} | found
    blocks = why(Explanation.of_json(whole), "binary", ["no", "yes"], RowNames([])).blocks
    return str(next(b for b in blocks if isinstance(b, Prose)).text), next(b for b in blocks if isinstance(b, Table))


def test_drawn_values_have_their_errors_and_a_budget_that_was_too_small_is_told() -> None:
    said, table = page(explainer="permutation", unit="probability", error=SAMPLED)
    assert "standard error of 0.002 as a rule and 0.006 at most, in probability (0.8% and 2.4% of" in said
    assert "not enough for 2% in 10% of the rows" in said
    assert "100 rows were explained" in said
    assert "size = 3 (+0.5 ± 0.008)" in str(table.rows[0][3].text)
    assert table.rows[0][2].note == "for yes"


def test_exact_values_are_called_exact_and_log_odds_come_with_the_probability() -> None:
    exact = {**ROW, "contributions": [{**ROW["contributions"][0], "error": 0.0}]}
    said, table = page(explainer="tree", unit="log-odds", error={"kind": "exact"}, rows=[exact])
    assert "The values are exact (by the trees' own formula)." in said
    assert "±" not in str(table.rows[0][3].text)
    assert table.rows[0][2].note == "for yes: probability 0.700"
