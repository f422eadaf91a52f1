"""Which package and which tables answer a file's rows: ``refit predict``."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tasks.artifacts.columns import RECEIVED
from tasks.artifacts.folders import VALIDATED
from tasks.errors import RefitError

if TYPE_CHECKING:
    from deploy.predict import Answered
    from tasks.bundle import Bundle
    from tasks.bundle.horizon import Horizon


@dataclass(frozen=True)
class Answering:
    """What answers a file's rows: a package, what its answers call it, the tables, what these know, and whether late rows are refused."""

    bundle: Bundle
    version: str
    tables: dict[str, Path]
    horizon: Horizon
    refuse: bool = False


def answering(root: Path, version: str | None, package: Path | None, sha256: str | None) -> Answering:
    """A version (by default the champion) with the project's tables, or a package alone with its own history.

    Raises :class:`RefitError` for a version, package or table that is not there.
    """
    from flows.versions import vouched
    from tasks.bundle import Bundle
    from tasks.params import load

    if package is not None:
        if version is not None:
            raise RefitError(f"--version {version}: says which package, and so does --package. Leave one out.")
        called, digest = vouched(root, package, sha256)
        bundle = Bundle.load(package, digest)
        return Answering(bundle, called, history_of(bundle), bundle.horizon)
    if sha256 is not None:
        raise RefitError("--sha256: says what a package's folder must hold, so it needs --package DIR as well")
    params = load(root / "params.yaml")
    folder, called, digest = package_for(root, params.problem.name, version)
    bundle = Bundle.load(folder, digest)
    tables = tables_of(root, bundle)
    horizon = bundle.horizon if tables is None else horizon_of(bundle, tables)
    after, refuse = params.serving.stale_after, params.serving.stale == "refuse"
    horizon = horizon.within(after.micros) if after else horizon
    return Answering(bundle, called, history_of(bundle) if tables is None else tables, horizon, refuse)


def predict(by: Answering, source: Path, out: Path | None) -> Answered:
    """Answer a file's rows. Raises :class:`RefitError` for a file that cannot be read."""
    from deploy.predict import predict as answer

    return answer(by.bundle, by.version, source, out, by.tables, by.horizon, by.refuse)


def package_for(root: Path, model: str, version: str | None) -> tuple[Path, str, str]:
    """The package, what its answers call it, and its SHA-256: the champion's, or that of the version a person means."""
    from flows import champions, packages, versions
    from tasks.registry.history import named

    if version is None:
        return champions.to_serve(root, model)
    past = champions.decisions(root, model, None)
    digests = named(past, version)
    if len(digests) == 1:  # decided on here: the registry need not be asked, which takes seconds to load
        return packages.package_folder(root, model, digests[0], version), version, digests[0]
    from tasks.registry.tracking import Registry

    registry = Registry(root)
    one = versions.known(registry, model, version, past)
    return (
        packages.package_folder(root, model, one.package_sha256, one.version, registry),
        one.version,
        one.package_sha256,
    )


def tables_of(root: Path, bundle: Bundle) -> dict[str, Path] | None:
    """The project's tables that the features are made from; None where the project has none of them yet."""
    names = dict.fromkeys([bundle.plan.table, *(recipe.table for _, recipe in bundle.plan.asking)])
    paths = {name: root / VALIDATED / f"{name}.parquet" for name in names}
    return paths if all(path.is_file() for path in paths.values()) else None


def history_of(bundle: Bundle) -> dict[str, Path]:
    """The tables that a package keeps."""
    return {path.stem: path for path in sorted((bundle.path / "history").glob("*.parquet"))}


def horizon_of(bundle: Bundle, tables: dict[str, Path]) -> Horizon:
    """Whole tables answer for any time; what they know until when is told as of a package's history."""
    from tasks.bundle.horizon import Horizon, newest_known, shortest_windows
    from tasks.stored import Stored

    until = {}
    windows = shortest_windows(bundle.plan)
    for name in windows:
        table = bundle.plan.tables[name]
        columns = dict.fromkeys([time.column for time in (table.event_time, table.known_at) if time] + [RECEIVED])
        rows = Stored(tables[name])
        newest = newest_known(bundle.plan, name, rows[[column for column in columns if column in rows]].frame())
        if newest is not None:
            until[name] = newest
    return Horizon(None, until, windows)
