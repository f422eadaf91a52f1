"""What becomes of stages and effects in Prefect: the states that they end in, and what is tried again."""

from __future__ import annotations

import pytest
from prefect.states import Failed

from flows.commands import Cancelled, CommandFailed, StageFailed
from flows.effect_tasks import worth_repeating
from flows.node import How, Outcome
from flows.stages import completed
from tasks.errors import RefitError


@pytest.mark.parametrize(
    ("how", "name", "message"),
    [
        ("ran", "Completed", "ran, 1.50 s"),
        ("restored", "Cached", "restored from the run cache, 1.50 s"),
        ("unchanged", "Cached", "nothing changed, 1.50 s"),
    ],
)
def test_a_stage_that_had_nothing_to_run_is_shown_as_cached(how: How, name: str, message: str) -> None:
    state = completed(Outcome("load", how, 1.5))
    assert (state.is_completed(), state.name, state.message) == (True, name, message)


@pytest.mark.parametrize(
    ("error", "again"),
    [
        (Cancelled("stopped"), False),
        (RefitError("a mistake"), False),
        (StageFailed("no such program", mistake=True), False),
        (CommandFailed("killed by signal 9"), True),
        (OSError("no route to host"), True),
    ],
)
def test_what_may_go_well_the_next_time_is_tried_again(error: Exception, again: bool) -> None:
    assert worth_repeating(None, None, Failed(data=error)) is again
