from __future__ import annotations

import pytest

from tests.tasks.report.runs import evaluated, stage, with_champion


@pytest.fixture(scope="session")
def finished(tmp_path_factory):
    """A finished binary run with times, history and a champion to compare with; its folder."""
    root = evaluated(tmp_path_factory.mktemp("run") / "orders", "orders")
    with_champion(root)
    stage(root, "compare")
    stage(root, "report")
    return root
