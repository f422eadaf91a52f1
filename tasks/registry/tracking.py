"""What a run leaves in MLflow: a parent run with a nested run per family, and versions of the package.

Everything here may be repeated: a run is found again by its key, a version by the package's SHA-256. MLflow's
aliases mirror the history (:mod:`tasks.registry.history`), which alone says who is champion.

SQLite and files below ``.refit``, unless ``MLFLOW_TRACKING_URI`` names a server or another database.
"""

from __future__ import annotations

import logging
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tasks.errors import RefitError, some
from tasks.files import read_json, replacing_dir, sha256

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Metric

KEY, PACKAGE = "refit.key", "refit.package_sha256"
PARENT = "mlflow.parentRunId"


def tracking_uri(root: str | Path = ".") -> str:
    """``MLFLOW_TRACKING_URI``, or SQLite below the project's ``.refit``."""
    return os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{Path(root).resolve() / '.refit' / 'mlflow.db'}"


@dataclass(frozen=True)
class Registered:
    """A version of the package in the registry."""

    model: str
    version: str
    run_id: str
    package_sha256: str


@dataclass(frozen=True)
class Result:
    """What a walk left in ``data/``, with what identifies it: the MD5s of ``dvc.lock`` and the git commit.

    ``families``: those of ``params.yaml``; the folder of one that was dropped from there may still lie in ``data/models``.
    """

    root: Path
    model: str
    key: str
    as_of: str | None
    data_versions: dict[str, str]
    commit: str | None
    families: tuple[str, ...]
    start: Path | None = None  # the folder with params.yaml as the run began with it; None: the project's own


class Registry:
    """MLflow for one project. Made lazily by the functions that need it: importing MLflow takes seconds."""

    def __init__(self, root: str | Path = ".") -> None:
        self.root = Path(root).resolve()
        self.uri = tracking_uri(root)
        if self.uri.startswith("http"):
            # An unreachable server is told within seconds instead of MLflow's minutes of retries.
            os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "2")
            os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "30")
        with _plainly(self.uri):
            os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
            from mlflow import MlflowClient

            for noisy in ("alembic", "mlflow.store"):
                logging.getLogger(noisy).setLevel(logging.WARNING)

            (self.root / ".refit").mkdir(parents=True, exist_ok=True)
            self.client: MlflowClient = MlflowClient(tracking_uri=self.uri, registry_uri=self.uri)

    # Runs --------------------------------------------------------------------------------------------------

    def experiment(self, model: str) -> str:
        """Id of the model's experiment, made if it is not there."""
        found = self.client.get_experiment_by_name(model)
        if found is not None:
            return str(found.experiment_id)
        local = self.uri.startswith("sqlite")
        place = (self.root / ".refit" / "mlruns" / model).as_uri() if local else None
        return str(self.client.create_experiment(model, artifact_location=place))

    def track(self, result: Result) -> str:
        """Log the result once: parent run, one nested run per family. Returns the parent's id.

        A run that a crash left unfinished is dropped and logged anew.
        """
        with _plainly(self.uri):
            experiment = self.experiment(result.model)
            for run in self.client.search_runs([experiment], f"tags.`{KEY}` = '{result.key}'"):
                if run.info.status == "FINISHED":
                    return str(run.info.run_id)
                for child in self.client.search_runs([experiment], f"tags.`{PARENT}` = '{run.info.run_id}'"):
                    self.client.delete_run(child.info.run_id)
                self.client.delete_run(run.info.run_id)
            return self._log(experiment, result)

    def _log(self, experiment: str, result: Result) -> str:
        data = result.root / "data"
        choice, metrics = (
            read_json(data / "evaluation" / "choice.json"),
            read_json(data / "evaluation" / "metrics.json"),
        )
        tags = {KEY: result.key, "mlflow.runName": f"{result.model} {result.as_of or ''}".strip()}
        if result.commit:
            tags["mlflow.source.git.commit"] = result.commit
        tags |= {f"dvc.{path}": md5 for path, md5 in result.data_versions.items()}
        parent = self.client.create_run(experiment, tags=tags).info.run_id
        known = {"family": choice["family"], "metric": choice["metric"], "as_of": result.as_of or ""}
        self._values(
            parent, known, _numbers({k: choice[k] for k in ("valid", "test", "baseline", "threshold") if k in choice})
        )
        for family in result.families:
            self._family(experiment, parent, data / "models" / family, metrics, data / "tuning" / family)
        for name in ("evaluation", "verdict", "drift", "reports"):
            for path in sorted((data / name).rglob("*")):
                if path.is_file() and path.suffix in (".json", ".html", ".png", ".svg"):
                    self.client.log_artifact(parent, str(path), name)
        self.client.log_artifact(parent, str((result.start or result.root) / "params.yaml"))
        self.client.log_artifact(parent, str(result.root / "dvc.lock"))
        self.client.set_terminated(parent, "FINISHED")
        return str(parent)

    def _family(self, experiment: str, parent: str, folder: Path, metrics: dict[str, Any], tuning: Path) -> None:
        from mlflow.entities import Metric

        candidate = read_json(folder / "candidate.json")
        tags = {PARENT: parent, "mlflow.runName": folder.name}
        run = self.client.create_run(experiment, tags=tags).info.run_id
        values = _numbers({"valid": candidate.get("valid")}) | _numbers(_of_family(metrics, folder.name))
        params = {"family": folder.name, **{k: str(v)[:500] for k, v in candidate.get("params", {}).items()}}
        curves = [
            Metric(f"curve.{_safe(name)}", float(value), 0, step)
            for name, curve in _curves(candidate.get("history", {}))
            for step, value in enumerate(curve)
        ]
        self._values(run, params, values, curves)
        for path in (folder / "candidate.json", tuning / "best.json", tuning / "trials.json"):
            if path.exists():
                self.client.log_artifact(run, str(path))
        if figure := _figure(folder.name, candidate.get("history", {})):
            self.client.log_figure(run, figure, "curves.png")
        self.client.set_terminated(run, "FINISHED")

    def _values(
        self, run: str, params: dict[str, Any], metrics: dict[str, float], curves: list[Metric] | None = None
    ) -> None:
        from mlflow.entities import Metric, Param

        logged = [Metric(_safe(name), value, 0, 0) for name, value in metrics.items()] + (curves or [])
        self.client.log_batch(run, params=[Param(_safe(k), str(v)) for k, v in params.items()][:100])
        for at in range(0, len(logged), 1000):
            self.client.log_batch(run, metrics=logged[at : at + 1000])

    def artifact(self, run_id: str, name: str, into: Path) -> Path:
        """Copy one file that a run recorded into the folder ``into``."""
        with _plainly(self.uri):
            return Path(self.client.download_artifacts(run_id, name, str(into)))

    # Versions ----------------------------------------------------------------------------------------------

    def versions(self, model: str) -> list[Registered]:
        """Registered versions, oldest first; those that a crash left without a package are not among them."""
        with _plainly(self.uri):
            found = self.client.search_model_versions(f"name = '{model}'", max_results=10_000)
            listed = [
                Registered(model, str(v.version), str(v.run_id), v.tags[PACKAGE]) for v in found if PACKAGE in v.tags
            ]
        return sorted(listed, key=lambda r: int(r.version))

    def version(self, model: str, version: str) -> Registered:
        """One version; :class:`RefitError` lists those there are."""
        listed = self.versions(model)
        for one in listed:
            if one.version == str(version):
                return one
        there = f"there are {some([r.version for r in listed], 20)}" if listed else "there is none yet"
        raise RefitError(f"{model}: no version {version!r} in the registry; {there}. See `refit history`.")

    def register(self, model: str, package: Path, run_id: str) -> Registered:
        """Make a version of a package, or find the one made of the same package before."""
        from mlflow.exceptions import MlflowException

        digest = sha256(package / "bundle.json")
        for one in self.versions(model):
            if one.package_sha256 == digest:
                return one
        with _plainly(self.uri):
            try:
                self.client.create_registered_model(model)
            except MlflowException as error:
                if error.error_code != "RESOURCE_ALREADY_EXISTS":
                    raise
            # The files first: a version exists only once all of its package does.
            self.client.log_artifacts(run_id, str(package), "package")
            source = f"{self.client.get_run(run_id).info.artifact_uri}/package"
            made = self.client.create_model_version(model, source, run_id, tags={PACKAGE: digest})
        return Registered(model, str(made.version), run_id, digest)

    def fetch(self, registered: Registered, into: Path) -> Path:
        """Copy a version's package to the folder ``into`` (replacing it), checked against its hashes."""
        from tasks.bundle.manifest import read_manifest

        with replacing_dir(into) as fresh:
            with _plainly(self.uri):
                found = self.client.download_artifacts(registered.run_id, "package", str(fresh))
            for path in Path(found).iterdir():
                shutil.move(path, fresh / path.name)
            Path(found).rmdir()
            what = f"version {registered.version} of {registered.model}"
            if not (fresh / "bundle.json").exists():
                raise RefitError(f"{what}: its package is missing from the registry ({self.uri}).")
            read_manifest(fresh)
            if sha256(fresh / "bundle.json") != registered.package_sha256:
                raise RefitError(f"{what}: its package in the registry is not the one registered (hash differs).")
        return into

    def follow(self, model: str, champion: str | None, challenger: str | None = None) -> None:
        """Set MLflow's aliases as told; whatever moved ``champion`` elsewhere is put right by this."""
        from mlflow.exceptions import MlflowException

        with _plainly(self.uri):
            try:
                aliases = self.client.get_registered_model(model).aliases
            except MlflowException as error:
                if error.error_code == "RESOURCE_DOES_NOT_EXIST":
                    return
                raise
            for alias, version in (("champion", champion), ("challenger", challenger)):
                if version is not None and str(aliases.get(alias)) != version:
                    self.client.set_registered_model_alias(model, alias, version)
            if champion is None and "champion" in aliases:
                self.client.delete_registered_model_alias(model, "champion")


@contextmanager
def _plainly(uri: str) -> Iterator[None]:
    """MLflow's and its database's own errors become one plain line."""
    try:
        yield
    except RefitError:
        raise
    except Exception as error:
        module = type(error).__module__.split(".")[0]
        if module not in ("mlflow", "sqlalchemy", "requests", "urllib3", "sqlite3", "alembic") and not isinstance(
            error, OSError
        ):
            raise
        what = str(error).split("\n")[0][:300]
        raise RefitError(
            f"the registry ({uri.split('@')[-1]}) cannot be used: {what}. The champion is unchanged. "
            "Check MLFLOW_TRACKING_URI, and that the server or database is reachable and not locked; then repeat."
        ) from error


def _safe(name: str) -> str:
    """A name that MLflow accepts."""
    return "".join(c if c.isalnum() or c in "_-. /" else "_" for c in name)[:240]


def _numbers(tree: Any, prefix: str = "") -> dict[str, float]:
    """Numbers of a JSON tree by dotted path; anything else is left out.

    >>> _numbers({"test": {"roc_auc": 0.7, "name": "x"}, "n": 3})
    {'test.roc_auc': 0.7, 'n': 3.0}
    """
    if isinstance(tree, bool) or tree is None or isinstance(tree, str | list):
        return {}
    if isinstance(tree, int | float):
        return {prefix or "value": float(tree)}
    found: dict[str, float] = {}
    for key, value in tree.items():
        found |= _numbers(value, f"{prefix}.{key}" if prefix else str(key))
    return found


def _of_family(metrics: dict[str, Any], family: str) -> Any:
    """A family's part of ``metrics.json``, wherever it keeps its candidates."""
    for place in (metrics.get("candidates"), metrics):
        if isinstance(place, dict) and isinstance(place.get(family), dict):
            return place[family]
    return {}


def _curves(history: dict[str, Any]) -> Iterator[tuple[str, list[float]]]:
    for name, curve in history.items():
        if isinstance(curve, list) and curve and all(isinstance(v, int | float) for v in curve):
            yield name, curve


def _figure(family: str, history: dict[str, Any]) -> Any:
    """Loss curves of a family as a matplotlib figure, or None where there are none."""
    curves = list(_curves(history))
    if not curves:
        return None
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6, 4), layout="constrained")
    axes = figure.subplots()
    for name, curve in curves:
        axes.plot(range(1, len(curve) + 1), curve, label=name)
    axes.set(title=family, xlabel="step", ylabel="value")
    axes.legend()
    return figure
