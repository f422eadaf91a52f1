"""The chapter on candidates: a compressed network's forms side by side."""

from tasks.artifacts import Timing
from tasks.report.about_models import candidates
from tasks.report.blocks import Charts, Prose, Table
from tasks.report.found import FamilyFiles
from tests.samples import best, candidate, choice, trial

FORMS = [
    {
        "variant": "full",
        "size_kb": 216.5,
        "memory_kb": 215,
        "multiply_adds": 900,
        "metric": 0.605,
        "used": False,
        "why": "",
    },
    {
        "variant": "pruned",
        "size_kb": 66.4,
        "memory_kb": 64,
        "multiply_adds": 300,
        "metric": 0.604,
        "used": True,
        "why": "",
    },
    {
        "variant": "int8",
        "size_kb": None,
        "memory_kb": None,
        "multiply_adds": None,
        "metric": None,
        "used": False,
        "why": "x",
    },
]


def forms(row_ms=None, **about) -> list[Table]:
    mlp = FamilyFiles(candidate("mlp", **about), timing=Timing(row_ms=row_ms or {}))
    files = {"mlp": mlp, "ridge": FamilyFiles(candidate("ridge"))}
    section = candidates(choice("mlp", metric="roc_auc"), None, files)
    return [b for b in section.blocks if isinstance(b, Table) and b.columns[0][0] == "Network"]


def test_size_time_and_metric_of_each_form_are_told_and_the_kept_one_is_marked():
    (table,) = forms(compression=FORMS, row_ms={"full": 0.15, "pruned": 0.11})
    assert [name for name, _, _ in table.columns] == [
        "Network", "Form", "Memory, kB", "Size, kB", "Multiply-adds", "One row, ms", "ROC AUC, valid",
    ]  # fmt: skip
    assert [[cell.sort for cell in row[2:]] for row in table.rows[:2]] == [
        [215, 216.5, 900, 0.15, 0.605],
        [64, 66.4, 300, 0.11, 0.604],
    ]
    assert [cell.text for cell in table.rows[2][2:]] == ["–"] * 5
    assert list(table.marked) == [1]
    assert [row[1].note for row in table.rows] == ["", "kept", "x"]


def test_times_that_were_not_taken_are_a_dash_and_no_forms_no_table():
    (table,) = forms(compression=FORMS)
    assert [row[5].text for row in table.rows] == ["–", "–", "–"]
    assert forms(compression=[]) == forms() == []


def test_each_member_of_a_mix_has_its_parameters():
    members = [
        {"family": "xgboost", "params": {"max_depth": 3}, "weight": 0.75},
        {"family": "mlp", "params": {"layers": 2}, "weight": 0.25},
    ]
    auto = candidate("auto", {"family": "xgboost", "max_depth": 3, "members": members})
    files = {"auto": FamilyFiles(auto), "ridge": FamilyFiles(candidate("ridge"))}
    section = candidates(choice("auto", metric="rmse"), None, files)
    (table,) = [b for b in section.blocks if isinstance(b, Table) and b.columns[1][0] == "Parameters found"]
    assert [row[0].note for row in table.rows] == ["75% of auto", "25% of auto", ""]
    assert "max_depth 3" in str(table.rows[0][1].text)
    assert "layers 2" in str(table.rows[1][1].text)


def test_the_front_of_several_goals_is_shown_with_the_reason_and_a_picture():
    points = [
        {"name": "trial 1", "value": 0.7312, "latency_ms": 8.8, "size_kb": 134.0, "chosen": False},
        {"name": "trial 2", "value": 0.7309, "latency_ms": 3.2, "size_kb": 93.0, "chosen": True},
    ]
    rule = {"within": None, "costs": {"latency_ms": {"at_most": 5.0}, "size_kb": {}}}
    goals = {"rule": rule, "front": points, "reason": "Trial 2 has the lowest size."}
    costs = [{k: p[k] for k in ("value", "latency_ms", "size_kb")} for p in points]
    beaten = {"value": 0.7, "latency_ms": 9.0, "size_kb": 200.0}
    trials = [trial(i, **one) for i, one in enumerate([*costs, beaten])]
    files = FamilyFiles(candidate("xgboost"), best("xgboost", {}, goals=goals), trials)
    section = candidates(choice("xgboost", metric="roc_auc"), None, {"xgboost": files})
    (table,) = [b for b in section.blocks if isinstance(b, Table) and "trial" in b.columns[0][0]]
    assert [name for name, _, _ in table.columns] == ["XGBoost: trial", "ROC AUC, in tuning", "One row, ms", "Size, kB"]
    assert [[cell.sort for cell in row[1:]] for row in table.rows] == [[0.7312, 8.8, 134.0], [0.7309, 3.2, 93.0]]
    assert [row[0].note for row in table.rows] == ["", "chosen"]
    assert list(table.marked) == [1]
    assert any(isinstance(b, Prose) and "XGBoost: Trial 2 has the lowest size." in str(b.text) for b in section.blocks)
    (charts,) = [b for b in section.blocks if isinstance(b, Charts)]
    (chart,) = [c for c in charts.items if c.title.startswith("Goals")]
    assert "trial 3: ROC AUC 0.7000, One row, ms 9" in str(chart.svg)
    alone = candidates(choice("xgboost", metric="roc_auc"), None, {"xgboost": FamilyFiles(trials=trials)})
    assert not [b for b in alone.blocks if isinstance(b, Table) and "trial" in b.columns[0][0]]
