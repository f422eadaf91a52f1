"""Whoever stands between a run and its watcher passes everything on."""

from __future__ import annotations

from flows.shown import OnServer
from flows.watcher import Watcher


def test_the_page_on_a_server_hides_nothing_from_the_watcher() -> None:
    told = {name for name in vars(Watcher) if not name.startswith("_")}
    assert told <= set(vars(OnServer)) | {"concluded"}
