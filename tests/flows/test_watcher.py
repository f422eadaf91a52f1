"""Whoever stands between a run and its watcher passes everything on."""

from __future__ import annotations

import inspect
import threading
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from flows.run_page import OnServer
from flows.watcher import Watcher
from tasks.params import parse
from tests.flows.project import PARAMS

STEPS = sorted(name for name in vars(Watcher) if not name.startswith("_"))


class Everything(Watcher):
    """Keeps what it is told."""

    def __init__(self) -> None:
        self.told: list[tuple[str, tuple[object, ...]]] = []

    def __getattribute__(self, name: str) -> object:
        if name not in STEPS:
            return super().__getattribute__(name)
        return lambda *given: self.told.append((name, given))


@pytest.mark.parametrize("step", STEPS)
def test_the_page_on_a_server_hides_nothing_from_the_watcher(step: str, tmp_path: Path) -> None:
    other, page = Everything(), OnServer.__new__(OnServer)  # without a server, and so without a page
    page._other, page._lock, page._progress, page._done, page._stages = other, threading.Lock(), None, 0, 1
    page._model = "toy"
    page._params = parse(YAML(typ="safe").load(PARAMS))
    names = list(inspect.signature(getattr(Watcher, step)).parameters)[1:]
    given = tuple(tmp_path if name == "root" else None if name == "standing" else object() for name in names)
    getattr(page, step)(*given)
    assert other.told == [(step, given)]
