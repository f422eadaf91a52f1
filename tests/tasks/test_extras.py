"""What is told of an extra that is not installed: a command that works however Refit was installed."""

from __future__ import annotations

import tomllib
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError

import pytest

from tasks import extras
from tests.projects import ROOT

DECLARED = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def test_the_distribution_is_the_one_of_pyproject() -> None:
    assert DECLARED["name"] == extras.DISTRIBUTION


@pytest.mark.parametrize("extra", DECLARED["optional-dependencies"])
def test_an_extra_is_installed_by_what_it_names(extra: str, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = [
        f'{one}; extra == "{name}"' for name, all_of in DECLARED["optional-dependencies"].items() for one in all_of
    ]
    monkeypatch.setattr(extras, "requires", lambda name: ["numpy", *asked])
    (one,) = DECLARED["optional-dependencies"][extra]
    assert extras.install(extra) == f'pip install "{one}"'


def test_a_checkout_that_nobody_installed_is_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    def absent(name: str) -> list[str]:
        raise PackageNotFoundError(name)

    for one in (absent, lambda name: None):
        one: Callable[[str], list[str] | None]
        monkeypatch.setattr(extras, "requires", one)
        assert extras.install("spark") == 'pip install -e ".[spark]"'
