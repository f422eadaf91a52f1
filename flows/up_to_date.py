"""A run that has nothing to do, found out before Prefect is loaded and a server started for it.

The same is asked as in a run, of the same DVC, in the same order: is the history whole, what do stages read that an effect
writes, has any stage changed, are all effects of this very result done. One no is enough: the flow then does what is left.
"""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from pathlib import Path

from flows import champions, context, sources, standing
from flows.carried import carry
from flows.dag import Dag
from flows.expected import Expected
from flows.node import Outcome
from flows.packages import PACKAGE
from flows.preflight.parameters import remarks
from flows.promotion import VERDICT
from flows.standing import Standing
from flows.watcher import Watcher
from tasks.artifacts.folders import CHAMPION
from tasks.params import Params

SNAPSHOTS = "take snapshots"


@dataclass(frozen=True)
class UpToDate:
    """What a run with nothing to do comes to: how each stage stands, and where the registry does."""

    params: Params
    expected: Expected
    outcomes: tuple[Outcome, ...]
    notes: tuple[str, ...]
    standing: Standing | None

    def tell(self, root: Path, watcher: Watcher) -> None:
        """Tell a watcher what it would have been told by the flow."""
        watcher.began(self.params)
        for note in self.notes:
            watcher.note(note)
        watcher.expects(self.expected)
        for outcome in self.outcomes:
            watcher.ended(outcome.stage, outcome)
        watcher.concluded(root, self.standing)


def up_to_date(dag: Dag, as_of: str | None, done: set[str]) -> UpToDate | None:
    """What the run comes to if no stage and no effect is left to do; None: something is.

    What effects write before the stages is written here too. Each may be repeated; ``done`` names those that need not be.
    """
    from dvc.exceptions import DvcException

    root, params = dag.root, dag.seal.params()
    if not _nothing_decided_since(root, params.problem.name):
        return None
    standing.check_ready(root, params.problem.name)
    context.write_as_of(root, as_of)
    if sources.asked(params):
        try:
            list(sources.take(root, params))
        except sources.Unreachable:  # the flow asks once more
            return None
        done.add(SNAPSHOTS)
    outcomes, fetched = [], False
    for node in dag.nodes.values():
        began = time.perf_counter()
        if not fetched and any(dep.startswith(CHAMPION.as_posix()) for dep in node.deps):
            context.write_champion(root, params.problem.name)
            with dag.dvc() as repo:
                carry(repo)
            fetched = True
        try:
            if dag.changed(node.name):
                return None
        except DvcException:  # whoever runs the stage says what is wrong
            return None
        outcomes.append(Outcome(node.name, "unchanged", time.perf_counter() - began))
    stand = None
    if made_a_verdict(root):
        stand = standing.concluded(root, standing.result(root, params, dag.seal.folder))
        if stand is None:
            return None
    needs = {node.name: node.needs for node in dag.nodes.values()}
    none_due = Expected(needs, frozenset(), {}, params.orchestration.parallel)
    return UpToDate(params, none_due, tuple(outcomes), (*dag.notes, *remarks(params)), stand)


def made_a_verdict(root: Path) -> bool:
    """Whether the stages left a package and a verdict about it; a DAG that was cut down to some stages does not."""
    return all((root / path).exists() for path in (PACKAGE, VERDICT))


def _nothing_decided_since(root: Path, model: str) -> bool:
    """Whether history and registry are as the last run left them, so that MLflow need not be asked."""
    return standing.settled(root, model) or not champions.reachable(root)


def server_named(root: Path) -> bool:
    """Whether the user has a Prefect server, which then is to know of every run.

    Where a file could name one Prefect's own settings are asked, which takes a second.
    """
    if os.environ.get("PREFECT_API_URL"):
        return True
    home = Path(os.environ.get("PREFECT_HOME") or root.resolve() / ".refit" / "prefect")
    could = [
        (home / "profiles.toml", ""),
        (Path("prefect.toml"), ""),
        (Path(".env"), "PREFECT_"),
        (Path("pyproject.toml"), "tool.prefect"),
    ]
    if not any(path.is_file() and marks in path.read_text(encoding="utf-8", errors="replace") for path, marks in could):
        return False
    from prefect.settings import Settings

    return bool(Settings().api.url)
