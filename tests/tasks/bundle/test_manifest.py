"""What ``bundle.json`` may say, field by field: the smallest step beyond each rule is refused, and what just holds is read."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest

from tasks.artifacts import Manifest
from tasks.bundle.manifest import NAME, REQUIRED, _inner, _name, examine, write_manifest
from tasks.errors import RefitError
from tasks.files import read_json, sha256, write_json
from tests.tasks.registry.packages import make_package

SHA = "a" * 64
DAY = "2024-01-01T00:00:00Z"
BINARY: dict[str, Any] = {"kind": "binary", "classes": ["0", "1"], "threshold": 0.5}
HIGHEST = math.nextafter(1, 2)


@pytest.fixture
def package(tmp_path: Path) -> Path:
    return make_package(tmp_path / "package", "it")


def says(package: Path, **changed: Any) -> None:
    about = {k: v for k, v in (read_json(package / NAME) | changed).items() if v != "left out"}
    write_json(package / NAME, about)


@pytest.mark.parametrize(
    "changed",
    [
        {}, {"threshold": 0}, {"threshold": 1}, {"threshold": HIGHEST}, {"threshold": None},
        {"kind": "multiclass", "threshold": None}, {"kind": "multiclass", "classes": list("abc"), "threshold": None},
        {"kind": "regression", "classes": [], "threshold": None}, {"name": "a.b_c-1"}, {"weights": [2]},
        {"members": ["a", "b"], "weights": [0, 1.5]}, {"calibration": None}, {"calibration": {}},
        {"answers_from": None, "known_until": {}}, {"answers_from": DAY, "known_until": {"t": DAY, "u": DAY}},
    ],
    ids=str,
)  # fmt: skip
def test_what_just_holds_is_read(package: Path, changed: dict[str, Any]) -> None:
    says(package, **changed)
    about = examine(package).about.to_dict()
    assert {name: about[name] for name in changed} == changed


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"format": 2}, "package format 1 is read here, found 2"), ({"format": "1"}, "found '1'"), ({"format": 1.0}, "found 1.0"),
        ({"format": "left out"}, "found None"),
        ({"name": ""}, "name must be"), ({"name": ".a"}, "name must be"), ({"name": "a b"}, "name must be"), ({"name": 3}, "name must be"),
        ({"family": "a/b"}, "family must be a family's name"), ({"kind": "Binary"}, "kind must be binary, multiclass or regression"),
        ({"kind": None}, "kind must be"),
        ({"classes": ["0"]}, "classes must be"), ({"classes": ["0", 1]}, "classes must be"), ({"classes": ["a", "a"]}, "classes must be"),
        ({"classes": "01"}, "classes must be"), ({"kind": "multiclass", "classes": ["a"], "threshold": None}, "classes must be"),
        ({"kind": "regression", "threshold": None}, "classes must be"),
        ({"threshold": -0.001}, "threshold must be"), ({"threshold": 1.001}, "threshold must be"), ({"threshold": "0.5"}, "threshold must be"),
        ({"threshold": True}, "threshold must be"), ({"kind": "multiclass"}, "threshold must be"),
        ({"members": []}, "members must be"), ({"members": ["a", "a"]}, "members must be"), ({"members": ["a", ".."]}, "members must be"),
        ({"members": {"a": 1}}, "members must be"),
        ({"weights": []}, "weights must be"), ({"weights": [1, 1]}, "weights must be"), ({"weights": [0]}, "weights must be"),
        ({"weights": [-1]}, "weights must be"), ({"weights": ["1"]}, "weights must be"), ({"weights": [True]}, "weights must be"),
        ({"weights": {"a": 1}}, "weights must be"), ({"members": ["a", "b"], "weights": [1, None]}, "weights must be"),
        ({"calibration": []}, "calibration must be an object or null"), ({"metrics": []}, "metrics must be an object"),
        ({"files": {"a": SHA[1:]}}, "files must be"), ({"files": {"a": SHA.upper()}}, "files must be"), ({"files": {NAME: SHA}}, "files must be"),
        ({"files": {"a": SHA, "b//c": SHA}}, "files must be"), ({"files": {"a": 3}}, "files must be"), ({"files": [["a", SHA]]}, "files must be"),
        ({"answers_from": None}, "answers_from must be a moment or null, beside known_until"),
        ({"known_until": {}}, "known_until must be an object of moments, by table, beside answers_from"),
        ({"answers_from": "2024-01-01", "known_until": {}}, "answers_from must be"), ({"answers_from": 3, "known_until": {}}, "answers_from must be"),
        ({"answers_from": None, "known_until": []}, "known_until must be"),
        ({"answers_from": None, "known_until": {"a": DAY, "b": "soon"}}, "known_until must be"),
        ({"metrics": "x" * 200}, "metrics must be an object, found 'x{76}\\.\\.\\.\\. Make it again"),
        *[({field: "left out"}, f"lacks '{field}'") for field in ("name", "kind", "classes", "threshold", "members", "files")],
    ],
    ids=str,
)  # fmt: skip
def test_the_smallest_step_beyond_a_rule_is_refused(package: Path, changed: dict[str, Any], said: str) -> None:
    says(package, **changed)
    with pytest.raises(RefitError, match=said):
        examine(package)


def test_a_manifest_that_is_no_object_is_refused(package: Path) -> None:
    for text in ("[]", "3", "null", '"a"'):
        (package / NAME).write_text(text)
        with pytest.raises(RefitError, match="package format 1 is read here, found None"):
            examine(package)


def test_every_file_is_there_as_listed_and_no_other(package: Path, tmp_path: Path) -> None:
    whole = read_json(package / NAME)
    assert set(whole["files"]) == {*REQUIRED, "accepted/t.json"}
    (package / "accepted" / "t.json").write_text("other")
    (package / "schema.json").unlink()
    (package / "more.txt").write_text("x")
    with pytest.raises(RefitError) as told:
        examine(package)
    assert "missing: 'schema.json'; damaged: 'accepted/t.json'; not part of it: 'more.txt'. Make it again" in str(
        told.value
    )
    (package / "more.txt").unlink()
    (package / "schema.json").symlink_to(tmp_path / "elsewhere.json")
    with pytest.raises(
        RefitError, match=r"links, and a package holds its files itself .*: 'schema\.json'\. Make it again"
    ):
        examine(package)
    about = {k: v for k, v in whole.items() if k not in ("format", "files")}
    (package / "schema.json").unlink()
    identity = write_manifest(package, Manifest.of_json(about))
    assert identity == sha256(package / NAME)
    with pytest.raises(RefitError, match=r"missing: 'schema\.json'"):  # which every package must have, listed or not
        examine(package)


def test_the_identity_is_asked_for_before_anything_is_believed(package: Path) -> None:
    identity = sha256(package / NAME)
    assert examine(package).identity == examine(package, identity).identity == identity
    with pytest.raises(
        RefitError, match=f"its identity is {identity[:12]}, and the package to be used is 000000000000"
    ):
        examine(package, "0" * 64)
    for nowhere in (package / "gone", package / "schema.json"):
        with pytest.raises(RefitError, match=r"no package here \(bundle\.json is missing\)"):
            examine(nowhere)


def test_names_and_paths_have_one_form() -> None:
    assert [_name(n) for n in ("a", "A1", "a-b_c.d", "", "-a", "a/b", "a\n", None)] == [True] * 3 + [False] * 5
    assert [_inner(p) for p in ("a", "a/b.c", "ä b")] == [True] * 3
    assert not any(_inner(p) for p in ("", "/a", "a/", "a//b", ".", "./a", "a/..", "a\\b", "a\x00", "a/b\x1b", 3))
