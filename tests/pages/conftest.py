from __future__ import annotations

from pathlib import Path

import pytest

from tests.tasks.report import runs


@pytest.fixture(scope="session")
def finished() -> Path:
    """Folder of a finished run."""
    return runs.finished()
