"""A file between stages comes back as it was written, and what is not such a file is refused by its name."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from pydantic import ValidationError

from tasks.artifacts import Best, Candidate, Starts, Timing, Trials, Validation, members_of, turns_of
from tasks.errors import RefitError
from tests.samples import best, candidate, trial

MEMBER = {"family": "tree", "params": {"max_depth": 3}, "weight": 0.25}


def text(folder: Path, name: str) -> str:
    return (folder / name).read_text(encoding="utf-8")


def test_fields_keep_their_order_numbers_their_type_and_what_was_not_given_is_not_written(tmp_path: Path) -> None:
    told = {"tables": {}, "as_of": None, "expectations": [], "baseline": {"t": {"by": "ann", "reason": "new"}}}
    Validation.of_json(told).write(tmp_path)
    assert list(json.loads(text(tmp_path, "summary.json"))) == ["as_of", "tables", "expectations", "baseline"]
    assert Validation.read(tmp_path).to_json() == told
    best("svm", {"C": 1, "gamma": 1.0, "kernel": "rbf", "probability": True}).write(tmp_path)
    before = text(tmp_path, "best.json")
    assert '"C": 1,' in before
    assert '"gamma": 1.0,' in before
    assert '"probability": true' in before
    assert "goals" not in before
    Best.read(tmp_path).write(tmp_path)
    assert text(tmp_path, "best.json") == before


def test_a_name_that_python_reserves_stands_in_the_file_as_people_know_it(tmp_path: Path) -> None:
    told = {"asked": "smote", "used": "none", "metric": "roc_auc", "with": 0.5, "without": None}
    candidate("tree", imbalance=told).write(tmp_path)
    again = Candidate.read(tmp_path)
    assert again.imbalance is not None
    assert (again.imbalance.with_it, again.imbalance.without, again.goals) == (0.5, None, None)
    assert again.imbalance.to_dict() == told


def test_a_list_and_a_mapping_are_files_too(tmp_path: Path) -> None:
    Trials(trials=[trial(0, 0.5), trial(1, None, state="fail", latency_ms=2.5)]).write(tmp_path)
    first, second = json.loads(text(tmp_path, "trials.json"))
    assert first == {"number": 0, "params": {}, "value": 0.5, "state": "complete", "intermediate": {}}
    assert (second["latency_ms"], Trials.read(tmp_path).trials[1].costs) == (2.5, {"latency_ms": 2.5})
    Starts(params={"tree": [{"max_depth": 3}]}).write(tmp_path)
    assert json.loads(text(tmp_path, "params.json")) == {"tree": [{"max_depth": 3}]}
    assert Starts.read(tmp_path).params["tree"] == [{"max_depth": 3}]


def test_what_is_no_such_file_is_told_with_the_place_and_the_remedy(tmp_path: Path) -> None:
    assert Timing.find(tmp_path) is None
    with pytest.raises(RefitError, match=r"timing\.json: no such file\. Run `refit run`"):
        Timing.read(tmp_path)
    for wrong, place in (('{"row_ms": {"full": "slow"}}', "row_ms.full"), ('{"row": 1}', "row"), ("[]", "the file")):
        (tmp_path / "timing.json").write_text(wrong)
        with pytest.raises(RefitError, match=rf"timing\.json: {place}: .*remove it and run `refit run` again"):
            Timing.find(tmp_path)
    (tmp_path / "trials.json").write_text('[{"number": 0}]')
    with pytest.raises(RefitError, match=r"trials\.json: trials\.0\.params: Field required"):
        Trials.read(tmp_path)


def test_a_value_is_frozen_and_takes_no_field_that_it_does_not_have() -> None:
    found = Timing(latency_ms=1.0)
    with pytest.raises(ValidationError, match="frozen"):
        found.latency_ms = 2.0  # type: ignore[misc]
    with pytest.raises(ValidationError, match="Extra inputs"):
        Timing(latency=1.0)  # type: ignore[call-arg]


def test_members_and_turns_are_read_from_parameters_and_a_single_family_has_none() -> None:
    (member,) = members_of({"family": "tree", "members": [MEMBER]})
    assert member.to_dict() == MEMBER
    assert members_of({"max_depth": 3}) == turns_of({"max_depth": 3}) == []
    assert turns_of({"turns": [{"lr": 0.1}]}) == [{"lr": 0.1}]
