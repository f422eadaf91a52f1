"""Which distributions serving a package needs, transitive ones too, and at which versions."""

from __future__ import annotations

import re
from collections.abc import Iterable
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path

from tasks.errors import RefitError, some
from tasks.files import read_json

# What every service imports, and the HTTP stack that it was tested with: uvicorn takes other parts where these are absent.
ALWAYS = (
    "bentoml", "httptools", "numpy", "pandas", "prometheus-client", "pyarrow", "pydantic", "safetensors", "scikit-learn",
    "starlette", "uvicorn", "uvloop",
)  # fmt: skip
BY_FORMAT = {
    "xgboost": ("xgboost",), "lightgbm": ("lightgbm",), "network": ("torch",), "tabm": ("pytabkit", "torch"),
    "realmlp": ("pytabkit", "torch"),
    "skops": ("skops",),
}  # fmt: skip


def needed(package: Path) -> list[str]:
    """Distributions that serving a package imports, those that its members' members need included."""
    formats: set[str] = set()
    for path in package.glob("model/**/*.json"):
        if path.name in ("model.json", "bag.json"):
            about = read_json(path)
            formats |= {part["format"] for part in [about, *about.get("parts", [])] if "format" in part}
    extra = {name for form in formats for name in BY_FORMAT.get(form, ())}
    return sorted({*ALWAYS, *extra})


def closure(names: Iterable[str]) -> dict[str, str]:
    """These distributions and all that they need in this environment, with the versions that are installed.

    What a distribution asks for and this environment does without (torch's own builds differ by machine) is left out.

    Raises
    ------
    RefitError
        If one of the named ones is not installed.
    """
    from packaging.requirements import Requirement

    versions: dict[str, str] = {}
    waiting = [(canonical(name), "") for name in names]
    done: set[tuple[str, str]] = set()
    named = {name for name, _ in waiting}
    while waiting:
        name, extra = one = waiting.pop()
        if one in done:
            continue
        done.add(one)
        try:
            versions[name] = version(name)
        except PackageNotFoundError:
            if name in named:
                raise RefitError(f"{name} is needed to serve this package and is not installed") from None
            continue
        for text in requires(name) or []:
            wanted = Requirement(text)
            if wanted.marker is None or wanted.marker.evaluate({"extra": extra}):
                waiting += [(canonical(wanted.name), e) for e in ("", *wanted.extras)]
    return dict(sorted(versions.items()))


def pins(names: Iterable[str], lock: Path) -> list[str]:
    """``name==version`` of these and all that they need: by the lock where there is one, else as they are installed.

    Raises
    ------
    RefitError
        If another version is installed than the lock names: the package was made and checked with that one.
    """
    installed = closure(names)
    locked = read_lock(lock) if lock.is_file() else {}
    other = {n: (v, locked[n]) for n, v in installed.items() if n in locked and _public(v) != _public(locked[n])}
    if other:
        differing = some([f"{n} {v} ({lock.name}: {w})" for n, (v, w) in other.items()])
        raise RefitError(
            f"installed is {differing}: a Bento gets what the lock names, and the package was made with what is installed. "
            f"Install by the lock (`make run`, or `pip install -r {lock.name}`)."
        )
    return [f"{name}=={locked.get(name, version)}" for name, version in installed.items()]


def read_lock(path: Path) -> dict[str, str]:
    """Versions by name; of lines with conditions those that hold here.

    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "requirements.lock"
    >>> _ = path.write_text("Foo_Bar==1.2\\nold==3 ; python_version < '3.0'\\n")
    >>> read_lock(path)
    {'foo-bar': '1.2'}
    """
    from packaging.requirements import Requirement

    versions = {}
    for line in path.read_text(encoding="utf-8").splitlines():
        if line.strip() and not line.startswith(("#", "-")):
            one = Requirement(line.strip())
            (spec,) = one.specifier
            if one.marker is None or one.marker.evaluate():
                versions[canonical(one.name)] = spec.version
    return versions


def canonical(name: str) -> str:
    """A distribution's name as package indexes compare it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def _public(version: str) -> str:
    return version.partition("+")[0]  # torch 2.13.0+cpu is 2.13.0
