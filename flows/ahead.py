"""What comes after a run, as it stands now: when the next is due, what it decides, and whose labels are awaited.

A schedule is Prefect's, and no input of any stage: the report's bytes would change with it. So this is said where what is there
now is shown: on the page over all runs, and on a run's page in Prefect's UI.
"""

from __future__ import annotations

import os
from pathlib import Path

from flows.status import schedule
from tasks.artifacts import Validation
from tasks.artifacts.columns import KNOWN, SPLIT, TARGET, TIME
from tasks.artifacts.folders import FEATURE_TABLE, VALIDATED
from tasks.errors import RefitError, first_line
from tasks.files import read_table
from tasks.params import Params
from tasks.report.coming import awaited, decides
from tasks.report.numbers import moment


def ahead(root: Path, params: Params, champion: str | None) -> list[str]:
    """Sentences on what comes next, commands between backticks; ``champion``: the version that is in service."""
    said = [due(root, params.problem.name), decides(champion, params.promotion.approval)]
    file, validated = root / FEATURE_TABLE, Validation.find(root / VALIDATED)
    if file.is_file():
        waiting = awaited(read_table(file, [TIME, KNOWN, SPLIT, TARGET]), validated.as_of if validated else None)
        said += [waiting.sentence()] if waiting else []
    return said


def due(root: Path, name: str) -> str:
    """When the next run is due, by the Prefect server that the environment names."""
    if not os.environ.get("PREFECT_API_URL"):
        return "No run is due by itself, as far as is known here: no Prefect server is named (PREFECT_API_URL)."
    try:
        found = schedule(name, root)
    except RefitError as error:
        return f"When the next run is due is not known: {first_line(error)}"
    if found is None or not found.crons:
        return "No run is due by itself: Prefect’s server has no schedule for it. `refit deploy` makes one."
    by = f"by the schedule {', '.join(found.crons)}{found.remark}"
    return (
        f"The next run is due on {moment(found.next)}, {by}." if found.next else f"Runs come {by}; none is planned yet."
    )
