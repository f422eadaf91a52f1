"""With ``--no-skips`` a test that is skipped has failed, unless it needs a GPU (a plug-in of conftest).

On a person's machine a missing tool is no reason to hold everything up; on CI it would mean that nobody ever looks.
"""

from __future__ import annotations

from collections.abc import Generator
from typing import TypeVar

import pytest

MAY = "GPU"  # what the reason of a skip says that is one everywhere
Report = TypeVar("Report", bound=pytest.TestReport | pytest.CollectReport)


def judged(report: Report) -> Report:
    """A report of a skip as one of a failure; others, and tests that are expected to fail, as they are."""
    if report.skipped and not hasattr(report, "wasxfail"):
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
        if MAY not in reason:
            report.outcome = "failed"
            report.longrepr = f"{report.nodeid}: nothing may be skipped here (--no-skips), and this was: {reason}"
    return report


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    return judged((yield))


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report() -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    return judged((yield))
