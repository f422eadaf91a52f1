"""The tool that makes small changes: which it finds, whose tests judge them, and that its list of exceptions is current."""

from pathlib import Path
from types import CodeType

import pytest

from tests.mutants.__main__ import Bench
from tests.mutants.equivalent import EQUIVALENT
from tests.mutants.near import Record
from tests.mutants.rooms import ROOMS, files
from tests.mutants.sites import Change, changed, changes
from tests.near import chosen
from tests.projects import ROOT

SOURCE = '''"""Words 1."""
LIMIT = 3

class Scale:
    def least(self, rows: list[int], up: bool = True) -> float:
        """At 2 most."""
        if not rows or up and len(rows) > LIMIT:
            raise ValueError(f"{1 + 1} rows")
        found = [r - 1 for r in rows if r]
        found[0] = min(found)
        found.sort()
        log("at 4")

        def inner() -> float:
            return -found[0] / 2

        return inner()
'''
FOUND = {
    ("", "3 becomes 4"),
    ("Scale.least", "True becomes False"),
    ("Scale.least", "the condition not rows or (up and len(rows) > LIMIT) is turned round"),
    ("Scale.least", "Or becomes And in not rows or (up and len(rows) > LIMIT)"),
    ("Scale.least", "Not is left out of not rows"),
    ("Scale.least", "And becomes Or in up and len(rows) > LIMIT"),
    ("Scale.least", "Gt becomes GtE in len(rows) > LIMIT"),
    ("Scale.least", "left out: raise ValueError(f'{1 + 1} rows')"),
    ("Scale.least", "Sub becomes Add in r - 1"),
    ("Scale.least", "1 becomes 2"),
    ("Scale.least", "the filter r is left out"),
    ("Scale.least", "left out: found[0] = min(found)"),
    ("Scale.least", "0 becomes 1"),
    ("Scale.least", "min becomes max"),
    ("Scale.least", "left out: found.sort()"),
    ("Scale.least.<locals>.inner", "Div becomes Mult in -found[0] / 2"),
    ("Scale.least.<locals>.inner", "USub is left out of -found[0]"),
    ("Scale.least.<locals>.inner", "0 becomes 1"),
    ("Scale.least.<locals>.inner", "2 becomes 3"),
}


def functions(code: CodeType) -> set[str]:
    inner = [c for c in code.co_consts if isinstance(c, CodeType)]
    return {code.co_qualname}.union(*map(functions, inner))


def test_every_place_is_found_and_changed_by_itself() -> None:
    made = changes("tasks/scale.py", SOURCE)
    assert {(c.function, c.what) for c in made} == FOUND
    assert len(made) == len(FOUND)
    assert {c.function for c in made} - {""} <= functions(compile(SOURCE, "scale.py", "exec"))
    texts = {c.what: changed(SOURCE, c.number) for c in made if c.function != ""}
    assert len(set(texts.values())) == len(texts)
    assert "if not rows or (up and len(rows) >= LIMIT)" in texts["Gt becomes GtE in len(rows) > LIMIT"]
    assert "for r in rows if True]" in texts["the filter r is left out"]
    assert "raise" not in texts["left out: raise ValueError(f'{1 + 1} rows')"]
    assert "return --found[0] / 2" in texts["USub is left out of -found[0]"]


def test_rooms_have_files_and_no_file_is_in_two() -> None:
    every = [file for room in ROOMS for file in files(room)]
    assert len(every) == len(set(every))
    assert all(files(room) for room in ROOMS)


def test_each_change_that_is_left_out_of_the_score_is_still_possible_and_has_a_reason() -> None:
    there = {c.key for file in {key[0] for key in EQUIVALENT} for c in changes(file, (ROOT / file).read_text())}
    assert set(EQUIVALENT) <= there
    assert all(len(reason) > 10 for reason in EQUIVALENT.values())


def test_the_nearest_tests_judge_first_and_within_their_seconds() -> None:
    near, beside, far = "tests/tasks/a/test_b.py::x", "tests/tasks/a/test_c.py::x", "tests/tasks/d/test_e.py::x"
    dear, other = "tests/tasks/a/test_c.py::dear", "tests/tasks/d/test_e.py::other"
    record = Record(
        seconds={near: 3.0, beside: 2.0, far: 4.0, dear: 1.0, other: 0.1},
        needs={near: [], beside: [], far: [], dear: ["made"], other: []},
        fixtures={"made": 30.0},
        calling={"tasks/a/b.py:f": {near, beside, far, dear}},
        within={"tasks/a/b.py": {other}},
    )
    assert record.judges(Change("tasks/a/b.py", "f", 1, "", 0), 12.0) == [[near, beside], [far]]
    assert record.judges(Change("tasks/a/b.py", "f", 1, "", 0), 60.0) == [[near], [dear, beside, far]]
    assert record.judges(Change("tasks/a/b.py", "g", 1, "", 0), 60.0) == [[other]]  # nothing calls it by itself
    assert record.judges(Change("tasks/d/f.py", "g", 1, "", 0), 60.0) == [[other, far]]  # nor its file: the folder's
    record.texts = {"tests/tasks/d/test_e.py": "from tasks.a.b import LIMIT"}
    assert record.judges(Change("tasks/a/b.py", "", 1, "", 0), 60.0) == [[other, far]]  # who names a number's module
    assert record.judges(Change("tasks/a/c.py", "", 1, "", 0), 60.0)[0][0] == dear
    assert record.near(["tasks/a/b.py"]) == [near, dear, beside, other]
    assert chosen(["tasks/a/b.py"], record, 6.0) == [near, beside, other], "what does not fit is left out"
    assert chosen(["tests/tasks/a/test_b.py", "tasks/a/b.py"], record, 2.0) == ["tests/tasks/a/test_b.py", beside]


@pytest.mark.slow
def test_a_change_that_a_test_sees_is_noticed_and_another_survives(tmp_path: Path) -> None:
    file = "tasks/paired/several.py"
    one = next(c for c in changes(file, (ROOT / file).read_text()) if "becomes" in c.what and c.function == "holm")
    sees, blind = "tests/tasks/paired/test_several.py", "tests/tasks/paired/test_tail.py"
    said = []
    for test in (sees, blind):
        record = Record({test: 1.0}, {test: []}, {}, {f"{file}:{c.function}": {test} for c in [one]}, {})
        folder = tmp_path / Path(test).stem
        said += Bench(folder, record, 10.0).judge([one], lambda c, outcome: None).values()
        assert (folder / "0" / file).read_text() == (ROOT / file).read_text()
    assert said == ["noticed", "survived"]
