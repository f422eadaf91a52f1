"""Shared by all tests: quiet settings before any heavy import, and the size of sweeps."""

import pytest

import tasks.stage  # noqa: F401  (applies the settings)

collect_ignore = ["bench"]  # programs, one of them for another environment; doctests would import them


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--full", action="store_true", help="run sweeps at their full size")


@pytest.fixture
def full(request: pytest.FixtureRequest) -> bool:
    """True where sweeps shall run at their full size."""
    return bool(request.config.getoption("--full"))
