"""Where the time of a test run went: processor seconds beside the clock's, by kind and by test (a plug-in of conftest).

Tests run side by side, so the clock also counts waiting for the others; processor seconds tell what to make quicker.
Those of processes that a test started count when it waits for them, as all tests do.
"""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Generator

import pytest

KINDS = ("flows", "service", "faults", "slow")
LONGEST = 25
_spent = [sum(os.times()[:4])]


def kind(item: pytest.Item) -> str:
    """The marker by which a test is chosen; ``unit`` where it has none."""
    return next((k for k in KINDS if item.get_closest_marker(k)), "unit")


def pytest_collection_finish() -> None:
    _spent[0] = sum(os.times()[:4])  # what collecting took belongs to no test


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Note the processor seconds since the last report; they travel with the report to the first process."""
    report = yield
    now = sum(os.times()[:4])
    report.cpu, report.kind = now - _spent[0], kind(item)  # type: ignore[attr-defined]
    _spent[0] = now
    return report


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print the sums by kind, and what took most."""
    kinds: dict[str, list[float]] = defaultdict(lambda: [0.0, 0.0])
    tests: dict[str, list[float]] = defaultdict(lambda: [0.0, 0.0])
    counted: dict[str, set[str]] = defaultdict(set)
    for report in (r for reports in terminalreporter.stats.values() for r in reports if hasattr(r, "cpu")):
        counted[report.kind].add(report.nodeid)
        for spent in (kinds[report.kind], tests[report.nodeid]):
            spent[0] += report.cpu
            spent[1] += report.duration
    if sum(clock for _, clock in kinds.values()) < 60:
        return
    terminalreporter.section("processor seconds (and seconds by the clock)")
    for name, (cpu, clock) in sorted(kinds.items(), key=lambda one: -one[1][0]):
        terminalreporter.write_line(f"{cpu:8.1f} {clock:8.1f}  {name}, {len(counted[name])} tests")
    for name, (cpu, clock) in sorted(tests.items(), key=lambda one: -one[1][0])[:LONGEST]:
        terminalreporter.write_line(f"{cpu:8.1f} {clock:8.1f}  {name}")
