"""The benchmarks of promotion and DeLong, at their quick size."""

import json
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]


def bench(name: str) -> dict:
    command = [sys.executable, "-m", f"tests.bench.{name}", "--quick"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])


def test_promotion():
    found = bench("promotion")
    assert found["false_promotion_rate"] <= 0.05
    assert found["naive_rate"] > 0.5
    assert found["power"] > 0.9
    for how in found["rates"].values():
        assert max(how[policy] for policy in ("challenger", "line", "lord", "saffron")) <= 0.05


def test_delong():
    found = bench("delong")
    assert found["seconds"] < 1
    assert found["error"] <= 1e-10
