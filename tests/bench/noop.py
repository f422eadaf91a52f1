"""What a command costs that has nothing to do: `refit run` where nothing changed, and `refit --help`.

``python -m tests.bench.noop [--quick]``. Each command is a process of its own, from its start to its end, several times over, beside
`dvc repro` of the same project. No Prefect server is set, and none may be started. The last line is one
JSON object of medians:

``seconds``, ``cpu_seconds``    of `refit run`, by the clock and of the processor
``help_seconds``                of `refit --help`
``dvc_seconds``, ``dvc_cpu_seconds``  of `dvc repro`, which knows no effects
``stages``                      that were looked at

Full: this project's own pipeline on the flights, which is run first; quick: iris with one family.
"""

from __future__ import annotations

import argparse
import os
import tempfile
from pathlib import Path
from statistics import median

from tests.bench._flights import emit
from tests.bench._runs import REFIT, REPRO, RUN, Spent, flights, seconds
from tests.bench.overhead import iris
from tests.flows.project import recorded

TIMES = 7


def several(command: list[str], root: Path) -> Spent:
    """Medians of several runs of a command, after one that does not count."""
    spent = [seconds(command, root) for _ in range(TIMES + 1)][1:]
    return Spent(median(one.wall for one in spent), median(one.cpu for one in spent))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="iris with one family")
    quick = parser.parse_args().quick
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)  # what is installed is compiled once
    with tempfile.TemporaryDirectory() as name:
        root = Path(name) / "project"
        (iris if quick else flights)(root)
        seconds(RUN, root)
        kept = (root / ".refit" / "prefect" / "prefect.db").stat().st_mtime_ns
        again, helped, repro = (several(command, root) for command in (RUN, [*REFIT, "--help"], REPRO))
        assert (root / ".refit" / "prefect" / "prefect.db").stat().st_mtime_ns == kept, "a server was started"
        stages = len(recorded(root))
    emit(
        {
            "seconds": round(again.wall, 2),
            "cpu_seconds": round(again.cpu, 2),
            "help_seconds": round(helped.wall, 2),
            "dvc_seconds": round(repro.wall, 2),
            "dvc_cpu_seconds": round(repro.cpu, 2),
            "stages": stages,
        }
    )


if __name__ == "__main__":
    main()
