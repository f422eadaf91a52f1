"""Numbers that somebody decided on are no accident of the code: they change here too, or not at all.

From how many rows on a verdict is given, what a file's format is called, how much a service takes on: the reason stands
beside each in its module, or in docs/. ``python -m tests.tasks.test_decided`` prints them as they are, for ``decided.txt``.
"""

from __future__ import annotations

from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

import pytest

DECIDED = Path(__file__).with_name("decided.txt")
NAMES = {
    "tasks.compare.evidence": "MATTERS FEWEST SHARES STEPS",
    "tasks.compare.guardrails": "LEAST_ROWS DOUBT",
    "tasks.compare.policy": "EMPTY ROUNDING",
    "tasks.compare.scores": "KNOWN",
    "tasks.compare.unseen": "LEAST LEAST_RARER FRESH FRESH_RARER",
    "tasks.paired.betting": "STAKED",
    "tasks.paired.discordant": "FEW",
    "tasks.paired.spending": "POWER ZETA CANDIDATE",
    "tasks.paired.tail": "CERTAIN",
    "tasks.metrics.curves": "POINTS",
    "tasks.evaluate.diagnosis": "POINTS CERTAIN",
    "tasks.evaluate.explain": "SHAP_ROWS BACKGROUND DRAWN SHOWN_ROWS SHOWN_FEATURES PDP_FEATURES PDP_ROWS GRID",
    "tasks.evaluate.learning": "SAMPLE MOST WATCHED STEPS DRAWS STRETCHES TIMES",
    "tasks.evaluate.shapley": "EXACT ERROR ROWS FEWEST BACKGROUND LEAST ROUNDS",
    "tasks.evaluate.slices": "LEAST_ROWS FOUND PROMISING SHOWN",
    "tasks.engine.ahead": "CHANCE AGREE FEWEST SHARP NEXT DAYS CENTRED UNITS",
    "tasks.engine.auto": "WINDOWS KEYS PAIRS SHARES MOST",
    "tasks.engine.draws": "KEYS ROWS MANY STRETCH FIRST",
    "tasks.engine.foresight": "LEVELS GLANCE",
    "tasks.engine.plan": "FORMAT",
    "tasks.engine.rhythm": "FILLED MORE SAMPLE",
    "tasks.engine.leak_scans": "LOOKED_AT CLOSER LATER SHARED",
    "tasks.engine.timed_tables": "MOST",
    "tasks.features.seasons": "ROUNDS SAME ZONE",
    "tasks.identity": "FORMAT COMMON",
    "tasks.package.contents": "REFERENCE_ROWS HELD_OUT_ROWS ALIKE_WINDOWS FEW",
    "tasks.package.golden": "ROWS NEWEST FIRST LATER AGES YEAR",
    "tasks.bundle.golden": "RELATIVE ABSOLUTE",
    "tasks.bundle.manifest": "FORMAT",
    "tasks.registry.history": "CLOCK_SLACK WAIT",
    "tasks.journal.commits": "MOST",
    "tasks.journal.database": "WAIT LOCK",
    "tasks.journal.schema": "VERSION",
    "flows.journal": "BATCH SHOWN AGAIN",
    "flows.packages": "RECENT",
    "flows.commands": "GRACE",
    "deploy.app": "UNREAD SECONDS",
    "deploy.shutdown": "LINGER GRACE LAST STARTS DEATHS WITHIN",
    "deploy.limits": "MOST_HELD BATCHES_HELD MOST_AT_ONCE SLOWEST AGAIN",
    "deploy.batches": "MOST_PROBLEMS DEEPEST SMALL",
    "deploy.predict": "SHOWN",
    "deploy.protocol": "MOST_HEAD MOST_HEADERS PATIENCE READER SPARE MOST_CONNECTIONS KEEP_ALIVE",
    "deploy.rows": "MOST_ERRORS SHORT",
}


def lines(module: str) -> Iterator[str]:
    for name in NAMES[module].split():
        yield f"{module}.{name} = {getattr(import_module(module), name)!r}"


@pytest.mark.parametrize("module", NAMES)
def test_what_was_decided_is_what_the_code_says(module: str) -> None:
    decided = DECIDED.read_text(encoding="utf-8").splitlines()
    assert list(lines(module)) == [line for line in decided if line.rpartition(" = ")[0].rpartition(".")[0] == module]


if __name__ == "__main__":
    print("\n".join(line for module in NAMES for line in lines(module)))
