"""Where nothing may be skipped, a skip is a failure that says its reason."""

from __future__ import annotations

import pytest

from tests.skips import judged

WHERE = "tests/test_it.py"


@pytest.mark.parametrize(
    ("reason", "outcome"),
    [("Skipped: numba is not there", "failed"), ("Skipped: no GPU on this machine", "skipped")],
)
def test_a_skip_is_a_failure_unless_it_needs_a_gpu(reason: str, outcome: str) -> None:
    one = pytest.TestReport(f"{WHERE}::test", (WHERE, 1, "test"), {}, "skipped", (WHERE, 1, reason), "call")
    whole = pytest.CollectReport(WHERE, "skipped", (WHERE, 1, reason), [])
    for report in (judged(one), judged(whole)):
        assert report.outcome == outcome
        assert ("nothing may be skipped here" in str(report.longrepr)) == (outcome == "failed")
        assert reason in str(report.longrepr)


def test_what_is_no_skip_stays_as_it_is() -> None:
    for outcome, said in (("passed", None), ("failed", "assert 1 == 2")):
        report = judged(pytest.TestReport(WHERE, (WHERE, 1, "test"), {}, outcome, said, "call"))  # type: ignore[arg-type]
        assert (report.outcome, report.longrepr) == (outcome, said)
    expected = pytest.TestReport(WHERE, (WHERE, 1, "test"), {}, "skipped", "assert 1 == 2", "call")
    expected.wasxfail = "known"  # type: ignore[attr-defined]
    assert judged(expected).outcome == "skipped"
