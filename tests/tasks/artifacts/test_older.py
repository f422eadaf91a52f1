"""Files that outlive their run are read as older code wrote them: what they lack has a default, what they say besides goes."""

from __future__ import annotations

from typing import Any

import pytest

from tasks.artifacts import (
    Artifact,
    ChampionFile,
    Choice,
    Golden,
    Manifest,
    Metrics,
    PolicyState,
    Receipt,
    Schema,
    Verdict,
)

DIGEST = "a" * 64
CHOICE = {
    "family": "tree", "members": ["tree"], "weights": [1.0], "threshold": None, "metric": "rmse", "valid": 1.0, "test": 1.5,
    "baseline": 2.0, "reason": "tree is the only candidate.",
}  # fmt: skip
BUNDLE = {
    "format": 1, "name": "p", "kind": "regression", "classes": [], "threshold": None, "family": "tree", "members": ["tree"],
    "weights": [1], "metrics": {"rmse": 1.5}, "files": {"plan.json": DIGEST},
}  # fmt: skip
GOLDEN = {
    "input": {"x": 1.0},
    "features": {"x": 1.0},
    "scores": [2.5],
    "batch_scores": [2.5],
    "decision": 2.5,
    "batch_decision": 2.5,
}
SIDES = {"valid": {"rmse": 1.0}, "test": {"rmse": 1.5}}
MEASURED = {
    "metric": "rmse",
    "candidates": {"tree": SIDES},
    "choice": {"family": "tree"} | SIDES,
    "baseline": {"name": "mean"} | SIDES,
}
OLD_STATE = {
    "format": 1,
    "looks": 2,
    "promoted": [1],
    "candidates": [1],
    "process": {"first_p": 0.1},
    "seen_until": "2024-03-01",
}
VERDICT = {
    "verdict": "keep", "sentence": "Keep the champion.", "rule": "superiority", "n": 100, "tests": {"mcnemar": {"p": 0.4}},
    "champion": {"version": "1", "package_sha256": DIGEST, "family": "tree"}, "evidence": {"metric": "accuracy", "look": 2},
    "challenger": {"package_sha256": DIGEST, "family": "mlp"}, "why": [], "warnings": [], "guardrails": [], "state": OLD_STATE,
}  # fmt: skip


@pytest.mark.parametrize(
    ("kind", "old", "defaults"),
    [
        (Choice, CHOICE, {"calibration": None}),
        (Metrics, MEASURED | {"rows": {"test": 10}}, {"all_together": None}),
        (Manifest, BUNDLE, {"answers_from": None, "known_until": None, "calibration": None, "target": ""}),
        (Schema, {"table": "t", "fields": []}, {"missing": None, "disregarded": []}),
        (Golden, {"rows": [GOLDEN]}, {}),
        (Receipt, {"seed": 1, "data": {}, "code": {"tasks/params.py": DIGEST}, "lock": None}, {"as_of": None, "failed": {}}),
        (ChampionFile, {"version": "1", "package_sha256": DIGEST}, {"since": 0, "name": None}),
        (Verdict, VERDICT, {"suspicions": [], "accepted": [], "policy": {}}),
    ],
)  # fmt: skip
def test_what_an_older_file_lacks_has_a_default_and_what_another_says_besides_is_passed_over(
    kind: type[Artifact], old: dict[str, Any], defaults: dict[str, Any]
) -> None:
    found = kind.of_json(old | {"of another version": 1})
    assert {name: getattr(found, name) for name in defaults} == defaults
    assert "of another version" not in found.to_dict()
    if kind is not Verdict:  # whose state is of an older format
        assert found.to_dict() == old


def test_parts_of_an_older_file_have_defaults_too() -> None:
    (row,) = Golden.of_json({"rows": [GOLDEN]}).rows
    assert row.warnings == []
    (field,) = Schema.of_json({"table": "t", "fields": [{"name": "x", "kind": "numeric", "nullable": True}]}).fields
    assert (field.required, field.format, field.case, field.missing, field.allowed) == (
        True,
        "iso",
        "as_written",
        None,
        None,
    )
    chosen = Metrics.of_json(MEASURED | {"rows": {}}).choice
    assert (chosen.test_interval, chosen.drawn) == ({}, "rows")
    assert Verdict.of_json({"verdict": "promote", "sentence": "Promote."}).evidence.look is None


def test_a_state_of_format_1_counts_on_and_its_bets_are_closed() -> None:
    state = Verdict.of_json(VERDICT).state
    assert state is not None
    assert state.to_dict() == {
        "format": 2, "looks": 2, "promoted": [1], "candidates": [1], "process": None, "counted_until": "2024-03-01",
    }  # fmt: skip
    assert PolicyState.of_json(state.to_dict() | {"kept": "as it is"}).to_dict()["kept"] == "as it is"
    assert state.without(1).promoted == []
