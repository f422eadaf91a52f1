"""Only the package that is meant is served: whatever is changed in it, whoever knows its identity refuses it."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tasks.bundle import Bundle
from tasks.bundle.golden import close
from tasks.bundle.manifest import examine
from tasks.errors import RefitError
from tasks.files import read_json, sha256, write_json
from tests.tasks.bundle.changes import CHANGES, hashed
from tests.tasks.package.projects import TIMED, package, project


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return package(project(tmp_path_factory.mktemp("timed"), TIMED))


@pytest.fixture
def copy(made: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(made, tmp_path / "package"))


@pytest.mark.parametrize("what", CHANGES)
def test_a_changed_package_is_refused_by_its_identity_and_where_it_can_tell_by_itself(
    made: Path, copy: Path, what: str
) -> None:
    change, said = CHANGES[what]
    change(copy)
    with pytest.raises(
        RefitError,
        match=said
        if said and (copy / "bundle.json").read_bytes() == (made / "bundle.json").read_bytes()
        else "its identity is",
    ):
        Bundle.to_serve(copy, sha256(made / "bundle.json"))
    if said is None:
        assert examine(copy).identity != sha256(made / "bundle.json")
    else:
        with pytest.raises(RefitError, match=said):
            examine(copy)


def test_a_package_as_it_was_made_is_served_from_anywhere(made: Path, tmp_path: Path) -> None:
    """Through a link to its folder, too: its own files are no links."""
    (tmp_path / "link").symlink_to(made)
    digest = sha256(made / "bundle.json")
    assert Bundle.to_serve(tmp_path / "link", digest).identity == digest


def test_the_identity_is_that_of_what_was_read(copy: Path) -> None:
    bundle = Bundle.load(copy)
    before = bundle.identity
    write_json(copy / "bundle.json", read_json(copy / "bundle.json") | {"threshold": 0.1})
    assert bundle.identity == before
    assert bundle.threshold == 0.4


def test_files_put_in_their_place_while_they_are_read_are_noticed(copy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def meanwhile(bundle: Bundle) -> None:
        write_json(copy / "schema.json", read_json(copy / "schema.json") | {"table": "other"})
        hashed(copy)

    monkeypatch.setattr("tasks.bundle.replay", meanwhile)
    with pytest.raises(RefitError, match="another package was put there"):
        Bundle.to_serve(copy)


def change_golden(copy: Path, key: str, value: object) -> None:
    golden = read_json(copy / "golden.json")
    golden["rows"][3][key] = value
    write_json(copy / "golden.json", golden)
    hashed(copy)


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        ("scores", [0.25, 0.75], r"golden row 3 .*scores are \[0\.\d+, 0\.\d+\], and were \[0\.25, 0\.75\]"),
        ("batch_scores", [0.25, 0.75], "golden row 3 .*scores are"),
        ("decision", "2", "golden row 3 .*the decision is '[01]', and was '2'"),
        ("features", {"weight": 1e9}, "golden row 3 .*feature 'weight' is"),
        ("features", {"shop": "another"}, "golden row 3 .*feature 'shop' is"),
        ("features", {"no such": 1.0}, "golden row 3 .*feature 'no such' is None, and was 1.0"),
    ],
)
def test_a_package_that_answers_otherwise_than_when_it_was_made_is_refused(
    copy: Path, key: str, value: object, said: str
) -> None:
    change_golden(copy, key, value)
    with pytest.raises(RefitError, match=said):
        Bundle.to_serve(copy)


def test_last_bits_of_another_processor_are_no_other_answer(copy: Path) -> None:
    scores = read_json(copy / "golden.json")["rows"][3]["scores"]
    change_golden(copy, "scores", [score * (1 + 1e-12) for score in scores])
    assert Bundle.to_serve(copy).threshold == 0.4
    assert not close([1.0], [1.001])
    assert not close([1.0], [1.0, 1.0])
