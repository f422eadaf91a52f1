"""FLAML's CFO, in an environment of its own; called by ``tests.bench._plain_tuning``, knows nothing of Refit.

Reads one line of JSON: ``space``, ``start``, ``trials``, ``seed``. Writes a line with a configuration for each trial, and
reads its loss.
"""

from __future__ import annotations

import json
import sys
import warnings
from typing import Any

warnings.simplefilter("ignore")  # of parts of FLAML that are not used

from flaml import CFO, tune  # noqa: E402


def domain(dim: dict[str, Any]) -> Any:
    if "options" in dim:
        return tune.choice(dim["options"])
    low, high = dim["low"], dim["high"]
    if dim["whole"]:
        return (tune.lograndint if dim["log"] else tune.randint)(int(low), int(high) + 1)
    return (tune.loguniform if dim["log"] else tune.uniform)(low, high)


def main() -> None:
    asked = json.loads(sys.stdin.readline())
    out, sys.stdout = sys.stdout, sys.stderr  # what FLAML prints is not an answer

    def evaluate(config: dict[str, Any]) -> dict[str, float]:
        print(json.dumps(config, default=float), file=out, flush=True)
        return {"loss": float(sys.stdin.readline())}

    space = {name: domain(dim) for name, dim in asked["space"].items()}
    search = CFO(metric="loss", mode="min", space=space, points_to_evaluate=[asked["start"]], seed=asked["seed"])
    tune.run(evaluate, search_alg=search, num_samples=asked["trials"], metric="loss", mode="min", verbose=0)


if __name__ == "__main__":
    main()
