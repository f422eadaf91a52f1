"""The benchmarks of promotion and DeLong, at their quick size."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]


def bench(name: str) -> dict:
    command = [sys.executable, "-m", f"tests.bench.{name}", "--quick"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.slow
def test_promotion():
    found = bench("promotion")
    assert found["false_promotion_rate"] <= 0.05
    assert found["worse_rate"] <= 0.05
    assert found["tail"] <= 2
    assert max(found["plain_tail"]["log_loss"].values()) > 5
    assert found["naive_rate"] > 0.5
    for name, two in found["power_by_metric"].items():
        assert two["promoted"] <= two["plain"] + 0.05
        if (
            ", 20 " not in name
        ):  # with 20 positives, or clusters, the plain test is too bold and ours sees large gains only
            assert two["promoted"] > two["plain"] - 0.3
    assert found["power"] > 0.9
    for how in found["rates"].values():
        assert max(how[policy] for policy in ("challenger", "line", "lord", "saffron")) <= 0.05


def test_delong():
    found = bench("delong")
    assert found["seconds"] < 1
    assert found["error"] <= 1e-10
