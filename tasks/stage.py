"""What every ``python -m tasks.<stage>`` shares: quiet, fast settings first, then plain errors."""

from __future__ import annotations

import sys
from collections.abc import Callable
from contextlib import suppress

import tasks.process  # noqa: F401  (settles this process before anything heavy is imported)


def log(message: str) -> None:
    """One line of progress on standard output, at once (the flow reads it line by line)."""
    from tasks.errors import visible

    print(visible(message), flush=True)


def run(main: Callable[[], None]) -> None:
    """Run a stage's ``main``; a user's mistake is printed as its message and exits with 1."""
    from tasks.code import check
    from tasks.errors import RefitError, visible

    module = sys.modules["__main__"].__spec__
    try:
        if module is not None and (module.name or "").startswith("tasks."):
            check(module.name.split(".")[1])
            _sparing()
        main()
    except RefitError as error:
        print(visible(f"error: {error}"), file=sys.stderr, flush=True)
        raise SystemExit(1) from None
    except KeyboardInterrupt:
        print("interrupted; nothing half-written is left", file=sys.stderr, flush=True)
        raise SystemExit(130) from None


def _sparing() -> None:
    """Hold the stage to ``training.memory_gb``."""
    from tasks.errors import RefitError
    from tasks.memory import limit_to
    from tasks.params import load

    with suppress(RefitError):  # which the stage tells itself, if it needs parameters
        if (gigabytes := load().training.memory_gb) is not None:
            limit_to(gigabytes)
