"""What a Bento lists: all that serving needs, at the lock's versions."""

from __future__ import annotations

from importlib.metadata import version
from pathlib import Path

import pytest

from deploy.needs import ALWAYS, closure, needed, pins, read_lock
from tasks.errors import RefitError
from tasks.files import write_json
from tests.projects import ROOT

LOCK = ROOT / "requirements.lock"


def test_formats_are_collected_from_members_within_members(tmp_path: Path) -> None:
    write_json(tmp_path / "model" / "auto" / "model.json", {"format": "bag"})
    parts = [{"format": form} for form in ("lightgbm", "linear", "realmlp")]
    write_json(tmp_path / "model" / "auto" / "bag.json", {"members": [], "parts": parts})
    write_json(tmp_path / "model" / "boost" / "model.json", {"format": "xgboost"})
    assert set(needed(tmp_path)) - set(ALWAYS) == {"lightgbm", "pytabkit", "torch", "xgboost"}


def test_everything_is_pinned_by_the_lock_transitive_ones_and_the_http_stack_too() -> None:
    listed = dict(one.split("==") for one in pins(["bentoml", "uvloop", "httptools"], LOCK))
    locked = read_lock(LOCK)
    assert {"bentoml", "uvloop", "httptools", "aiohttp", "multidict", "typing-extensions"} <= set(listed)
    # What drives a GPU is left out of the lock, so that each machine takes its own.
    assert all(found == locked[name] for name, found in listed.items() if not name.startswith("nvidia-"))
    assert not {"mlflow", "prefect", "dvc"} & set(listed)


def test_without_a_lock_the_installed_versions_are_listed(tmp_path: Path) -> None:
    listed = pins(["starlette"], tmp_path / "requirements.lock")
    assert f"starlette=={version('starlette')}" in listed
    assert any(one.startswith("anyio==") for one in listed)


def test_another_version_than_the_locks_is_refused(tmp_path: Path) -> None:
    lock = tmp_path / "requirements.lock"
    lock.write_text("starlette==0.0.1\nanyio==0.1 ; python_version < '3'\n")
    with pytest.raises(RefitError, match=r"starlette .* \(requirements.lock: 0\.0\.1\).*Install by the lock"):
        pins(["starlette"], lock)


def test_what_is_not_installed_is_named() -> None:
    with pytest.raises(RefitError, match="no-such-thing is needed"):
        closure(["no_such.thing"])
