"""Batches take turns in their thread, and step aside for whoever goes first."""

from __future__ import annotations

import asyncio
import threading

import pytest

from deploy.turns import Steps, Turns


def steps(name: str, n: int, log: list[str]) -> Steps[str]:
    for i in range(n):
        log.append(f"{name}{i}")
        yield
    return name


def test_batches_take_turns() -> None:
    """A short one is not held up by a long one that came before."""
    turns, log = Turns(), []
    started = threading.Event()

    def first() -> Steps[str]:
        started.set()
        yield from steps("long", 50, log)
        return "long"

    async def both() -> list[str]:
        turns.begin()  # nothing moves faster than one step each PATIENCE until both are there
        long = asyncio.create_task(turns.run(first()))
        short = asyncio.create_task(turns.run(steps("short", 3, log)))
        await asyncio.sleep(0)
        turns.end()
        return [await short, await long]

    assert asyncio.run(both()) == ["short", "long"]
    assert log.index("short2") < log.index("long49")
    turns.stop()


def test_a_batch_steps_aside_and_goes_on_under_any_load() -> None:
    turns, log = Turns(), []

    async def busy() -> str:
        turns.begin()
        task = asyncio.create_task(turns.run(steps("a", 1_000_000, log)))
        await asyncio.sleep(0.04)
        held = len(log)
        turns.end()
        await asyncio.sleep(0.04)
        task.cancel()
        free = len(log) - held
        assert 0 < held < free
        return "done"

    assert asyncio.run(busy()) == "done"
    turns.stop()
    assert len(log) < 1_000_000  # cancelled: no more turns


def test_an_error_is_the_callers() -> None:
    turns = Turns()

    def broken() -> Steps[None]:
        yield
        raise ValueError("row 7")

    with pytest.raises(ValueError, match="row 7"):
        asyncio.run(turns.run(broken()))
    turns.stop()
