"""Evidently's page in a real browser: what stands in a table stays text there."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tasks.artifacts import DriftOfColumn
from tasks.drift.evidently_report import page
from tests.pages.browser import find, opened

pytestmark = [pytest.mark.slow, pytest.mark.skipif(find() is None, reason="no Chromium")]
HIT = "document.title='hit'"
NASTY = (
    f"</script><img src=x onerror={HIT}><script>{HIT}</script>",
    f"<script>{HIT}</script>",
    f'"onmouseover={HIT} x="',
    f"<!--<script>{HIT}//",
    f"<a href=\"javascript:{HIT}\">a</a><iframe srcdoc='<script>parent.{HIT}</script>'>",
)


def test_no_text_of_a_table_runs_as_a_script(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    words = pd.Series(rng.choice([*NASTY, "Oslo"], 300))
    numbers = pd.Series(rng.normal(size=300))
    pairs = {"words": (words, words[::-1])} | dict.fromkeys(NASTY, (numbers, numbers + 1))
    kinds = {name: "categorical" if name == "words" else "numeric" for name in pairs}
    entries = {
        name: DriftOfColumn(column=name, kind=kind, state="drifted", drifted=True, statistic=1.5)
        for name, kind in kinds.items()
    }
    file = tmp_path / "drift.html"
    file.write_text(page(pairs, entries)[1], encoding="utf-8")
    with opened() as browser:
        browser.look(file)
        drawn = "document.querySelectorAll('svg.main-svg').length"
        browser.run(f"new Promise(done => {{ const look = () => {drawn} ? done() : setTimeout(look, 50); look() }})")
        assert browser.run("document.title") != "hit"
        assert NASTY[0] in browser.run("document.body.innerText"), "it is shown as it is"
        assert browser.complaints == []
        assert browser.requests == [file.as_uri()]
