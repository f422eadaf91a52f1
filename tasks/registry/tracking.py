"""What a run leaves in MLflow: a parent run with a nested run per family, and versions of the package.

Everything here may be repeated: a run is found again by its key, a version by the package's SHA-256. MLflow's
aliases mirror the history (:mod:`tasks.registry.history`), which alone says who is champion. A version's number means
something in its own registry only: what is looked for is a package's SHA-256 (:meth:`Registry.holding`).

SQLite and files below ``.refit``, unless ``MLFLOW_TRACKING_URI`` names a server or another database.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import shutil
import socket
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, overload

from tasks.artifacts import Best, Candidate, Failed, Metrics, Trials
from tasks.errors import RefitError, first_line, in_a_line, some
from tasks.files import read_json, replacing_dir, sha256, sweep, write_json
from tasks.hidden import hidden
from tasks.process import threads
from tasks.registry.embedded import make, move_in
from tasks.registry.history import local
from tasks.registry.mlmodel import FOLDER, write_model
from tasks.registry.mlmodel import PACKAGE as WITHIN
from tasks.registry.run_record import MOST, DataSet, curves, of_family, record
from tasks.registry.store import writable

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Metric, Run
    from mlflow.entities.model_registry import RegisteredModel

KEY, PACKAGE = "refit.key", "refit.package_sha256"
THREADS = "refit.threads"  # on which it was made
CHECKOUT = "refit.checkout"  # whose run it is: only its own checkout knows that a kill left it unfinished
DECISION = "refit.decision"  # of a registered model: mark of the history's row that its aliases followed last
PARENT, NOTE = "mlflow.parentRunId", "mlflow.note.content"  # MLflow's own tags
TRAINING = {"mlflow.experimentKind": "custom_model_development"}  # which of its pages MLflow opens


def tracking_uri(root: str | Path = ".") -> str:
    """``MLFLOW_TRACKING_URI``, or SQLite below the project's ``.refit``."""
    return os.environ.get("MLFLOW_TRACKING_URI") or local(root, "mlflow.db")


@dataclass(frozen=True)
class Registered:
    """A version of the package in the registry."""

    model: str
    version: str
    run_id: str
    package_sha256: str


@dataclass(frozen=True)
class TrackedRun:
    """What MLflow knows of a run.

    Attributes
    ----------
    at : ISO moment at which it was recorded, in UTC. versions : numbers of what it registered.
    test : value of ``metric`` on its own test rows. drifted, drifted_columns : None where drift was not judged.
    """

    run_id: str
    at: str
    as_of: str | None
    family: str
    metric: str
    test: float | None
    versions: tuple[str, ...] = ()
    drifted: bool | None = None
    drifted_columns: int | None = None
    drift: str = ""  # in a sentence


@dataclass(frozen=True)
class RegistryState:
    """What a registry says about a model: its alias ``champion``, and the mark of the decision that it followed."""

    champion: str | None
    decision: str | None


@dataclass(frozen=True)
class RunResult:
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
            with hidden("pyspark"):
                from mlflow import MlflowClient

            for noisy in ("alembic", "mlflow.store"):
                logging.getLogger(noisy).setLevel(logging.WARNING)

            asked, own = self.uri, self.root / ".refit" / "mlflow.db"
            if self.uri == f"sqlite:///{own}":
                if own.exists() and not writable(own):
                    # MLflow would write even to read, and what was copied here is to be put right: so in a copy.
                    self._copy = tempfile.TemporaryDirectory(prefix="refit-registry-")
                    own = Path(shutil.copy(own, self._copy.name))
                    asked = f"sqlite:///{own}"
                else:
                    own.parent.mkdir(parents=True, exist_ok=True)
                    if not own.exists():
                        sweep(own.parent)
                move_in(self.root, own)
            make(asked)
            self.client: MlflowClient = MlflowClient(tracking_uri=asked, registry_uri=asked)

    # Runs --------------------------------------------------------------------------------------------------

    @property
    def shown(self) -> str:
        """The address without a password."""
        return self.uri.split("@")[-1]

    @property
    def checkout(self) -> str:
        """What names this folder among all that use the registry."""
        return f"{socket.gethostname()}:{self.root}"

    def experiment(self, model: str) -> str:
        """Id of the model's experiment, made if it is not there."""
        from mlflow.exceptions import MlflowException

        local = self.uri.startswith("sqlite")
        place = (self.root / ".refit" / "mlruns" / model).as_uri() if local else None
        if (experiment := self.client.get_experiment_by_name(model)) is None:
            try:
                return str(self.client.create_experiment(model, artifact_location=place, tags=TRAINING))
            except MlflowException as error:
                if error.error_code != "RESOURCE_ALREADY_EXISTS":
                    raise
                experiment = self.client.get_experiment_by_name(model)  # another checkout made it in this moment
                if experiment is None:
                    raise
        return str(experiment.experiment_id)

    def track(self, result: RunResult) -> str:
        """Log the result once: parent run, one nested run per family. Returns the parent's id.

        A run that a crash left unfinished is dropped and logged anew; one that another checkout has not finished may
        be at work, and is left alone.
        """
        with _plainly(self.uri):
            experiment = self.experiment(result.model)
            runs = self.client.search_runs([experiment], f"tags.`{KEY}` = '{result.key}'")
            for run in sorted(runs, key=lambda run: (run.info.start_time, run.info.run_id)):
                if run.info.status == "FINISHED":
                    return str(run.info.run_id)
            for run in runs:
                if run.data.tags.get(CHECKOUT, self.checkout) != self.checkout:
                    continue
                for child in self.client.search_runs([experiment], f"tags.`{PARENT}` = '{run.info.run_id}'"):
                    self.client.delete_run(child.info.run_id)
                self.client.delete_run(run.info.run_id)
            return self._log(experiment, result)

    def _log(self, experiment: str, result: RunResult) -> str:
        data = result.root / "data"
        about = record(result.root, result.model, result.as_of)
        tags = {KEY: result.key, CHECKOUT: self.checkout, THREADS: str(threads()), NOTE: about.description}
        if result.commit:
            tags["mlflow.source.git.commit"] = result.commit
        run = self.client.create_run(experiment, run_name=about.name, tags=tags | about.tags)
        parent = str(run.info.run_id)
        self._values(parent, about.params, about.figures)
        self._data(parent, about.data)
        metrics = Metrics.read(data / "evaluation")
        for family in result.families:
            self._family(experiment, parent, data / "models" / family, metrics, data / "tuning" / family, about.name)
        for name in ("evaluation", "verdict", "drift", "reports"):
            for path in sorted((data / name).rglob("*")):
                if path.is_file() and path.suffix in (".json", ".html", ".png", ".svg"):
                    self.client.log_artifact(parent, str(path), name)
        self.client.log_artifact(parent, str((result.start or result.root) / "params.yaml"))
        self.client.log_artifact(parent, str(result.root / "dvc.lock"))
        self.client.set_terminated(parent, "FINISHED")
        return parent

    def _data(self, run: str, tables: list[DataSet]) -> None:
        """Record the tables that a run was made from, as MLflow's data sets."""
        from mlflow.entities import Dataset, DatasetInput, InputTag
        from mlflow.utils.mlflow_tags import MLFLOW_DATASET_CONTEXT

        inputs = [
            DatasetInput(
                Dataset(
                    name=table.name,
                    digest=table.sha256[:36],
                    source_type="local",
                    source=json.dumps({"uri": table.source}),
                    profile=json.dumps({"num_rows": table.rows, "columns": table.columns}),
                ),
                [InputTag(MLFLOW_DATASET_CONTEXT, "source")],
            )
            for table in tables
        ]
        if inputs:
            self.client.log_inputs(run, inputs)

    def _family(self, experiment: str, parent: str, folder: Path, metrics: Metrics, tuning: Path, of: str) -> None:
        from mlflow.entities import Metric

        tags, name = {PARENT: parent}, f"{folder.name}: {of}"
        if (failed := Failed.find(folder)) is not None:
            run = self.client.create_run(
                experiment, run_name=name, tags={**tags, "failed": failed.why[:MOST]}
            ).info.run_id
            self.client.set_terminated(run, "FAILED")
            return
        candidate = Candidate.read(folder)
        run = self.client.create_run(experiment, run_name=name, tags=tags).info.run_id
        params, figures = of_family(candidate, metrics)
        lines = [
            Metric(f"curve/{_safe(name)}", float(value), 0, step)
            for name, curve in curves(candidate.history)
            for step, value in enumerate(curve)
        ]
        self._values(run, params, figures, lines)
        for path in (folder / Candidate.NAME, tuning / Best.NAME, tuning / Trials.NAME):
            if path.exists():
                self.client.log_artifact(run, str(path))
        try:
            figure = _figure(folder.name, candidate.history)
        except Exception as error:  # a picture ends no run
            self.client.set_tag(run, "left_out", f"curves.png: {in_a_line(error)}")
            figure = None
        if figure:
            self.client.log_figure(run, figure, "curves.png")
        self.client.set_terminated(run, "FINISHED")

    def _values(
        self, run: str, params: dict[str, str], figures: dict[str, float], curves: list[Metric] | None = None
    ) -> None:
        from mlflow.entities import Metric, Param

        logged = [Metric(_safe(name), value, 0, 0) for name, value in figures.items()] + (curves or [])
        self.client.log_batch(run, params=[Param(_safe(k), v) for k, v in params.items()][:100])
        for at in range(0, len(logged), 1000):
            self.client.log_batch(run, metrics=logged[at : at + 1000])

    def tracked(self, model: str) -> list[TrackedRun]:
        """All runs of a model that were recorded whole, oldest first; of several with one result, the oldest."""
        with _plainly(self.uri):
            experiment = self.client.get_experiment_by_name(model)
            if experiment is None:
                return []
            listed: list[Run] = []
            page = self.client.search_runs([experiment.experiment_id], max_results=1000)
            listed += page
            while page.token:
                page = self.client.search_runs([experiment.experiment_id], max_results=1000, page_token=page.token)
                listed += page
        made: dict[str, list[str]] = {}
        for registered in self.versions(model):
            made.setdefault(registered.run_id, []).append(registered.version)
        whole = [run for run in listed if "metric" in run.data.params and run.info.status == "FINISHED"]
        first: dict[str, TrackedRun] = {}
        for run in sorted(whole, key=lambda run: (run.info.start_time, run.info.run_id)):
            params, values, tags = run.data.params, run.data.metrics, run.data.tags
            if PARENT in tags or KEY not in tags:
                continue
            # Runs of before have these under other names.
            drifted = values.get("drift/drifted", values.get("drift.drifted"))
            columns = values.get("drift/columns", values.get("drift.columns"))
            one = TrackedRun(
                run_id=str(run.info.run_id),
                at=datetime.fromtimestamp(run.info.start_time / 1000, UTC).isoformat(),
                as_of=params.get("as_of") or None,
                family=params.get("family", ""),
                metric=params["metric"],
                test=values.get(f"test/{params['metric']}", values.get("test")),
                versions=tuple(made.get(str(run.info.run_id), ())),
                drifted=None if drifted is None else bool(drifted),
                drifted_columns=None if columns is None else int(columns),
                drift=tags.get("drift", ""),
            )
            first.setdefault(tags[KEY], one)
        return list(first.values())

    def artifact(self, run_id: str, name: str, into: Path) -> Path:
        """Copy one file that a run recorded into the folder ``into``."""
        with _plainly(self.uri):
            return Path(self.client.download_artifacts(run_id, name, str(into)))

    def has(self, run_id: str, name: str) -> bool:
        """Whether a run recorded a file of this name."""
        with _plainly(self.uri):
            folder = name.rpartition("/")[0]
            return any(file.path == name for file in self.client.list_artifacts(run_id, folder or None))

    def link(self, model: str, version: str, name: str) -> str | None:
        """Where MLflow's pages show a file that a version's run recorded; None where MLflow is no server."""
        if not self.uri.startswith("http"):
            return None
        run_id = self.version(model, version).run_id
        with _plainly(self.uri):
            experiment = self.client.get_run(run_id).info.experiment_id
        scheme, _, rest = self.uri.partition("://")
        server = rest.rpartition("@")[2].rstrip("/")  # without a user's password
        return f"{scheme}://{server}/#/experiments/{experiment}/runs/{run_id}/artifacts/{name}"

    def store(self, run_id: str, path: Path, place: str) -> None:
        """Record a file, or all files below a folder, with a run, in its folder ``place``."""
        with _plainly(self.uri):
            if path.is_dir():
                self.client.log_artifacts(run_id, str(path), place)
            else:
                self.client.log_artifact(run_id, str(path), place)

    # Versions ----------------------------------------------------------------------------------------------

    def versions(self, model: str) -> list[Registered]:
        """Registered versions, oldest first; those that a crash left without a package are not among them."""
        with _plainly(self.uri):
            versions = self.client.search_model_versions(f"name = '{model}'", max_results=10_000)
            listed = [
                Registered(model, str(v.version), str(v.run_id), v.tags[PACKAGE]) for v in versions if PACKAGE in v.tags
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

    def holding(self, model: str, package_sha256: str) -> Registered | None:
        """The version made of a package, the oldest if there are more; None: this registry has none."""
        return next((one for one in self.versions(model) if one.package_sha256 == package_sha256), None)

    def register(self, model: str, package: Path, run_id: str, above: int = 0) -> Registered:
        """Make a version of a package, or find the one made of the same package before.

        Its number is higher than ``above``, so that numbers that were given in another registry are not given again
        to other packages. Of several callers at once with one package, all get the same version.

        Raises
        ------
        RefitError
            If the package was made under another name: ``model`` would get what was never measured as its own.
        """
        from mlflow.exceptions import MlflowException

        from tasks.bundle.manifest import NAME

        named, digest = read_json(package / NAME)["name"], sha256(package / NAME)
        if named != model:
            raise RefitError(
                f"{package}: this package was made as {named!r} and cannot be registered as {model!r}. Put problem.name "
                "of params.yaml back, or `refit run` to make one of the new name."
            )
        if (one := self.holding(model, digest)) is not None:
            return one
        with _plainly(self.uri):
            try:
                self.client.create_registered_model(model)
            except MlflowException as error:
                if error.error_code != "RESOURCE_ALREADY_EXISTS":
                    raise
            # The files first: a version exists only once all of its package does.
            self.client.log_artifacts(run_id, str(package), f"{FOLDER}/{WITHIN}")
            with tempfile.TemporaryDirectory(prefix="refit-model-") as beside:
                write_model(Path(beside), package, digest)
                self.client.log_artifacts(run_id, beside, FOLDER)
            run = self.client.get_run(run_id)
            source = f"{run.info.artifact_uri}/{FOLDER}"
            self._use_up(model, source, above)
            tags = {name: run.data.tags[name] for name in ("verdict",) if name in run.data.tags} | {PACKAGE: digest}
            tags |= {name: run.data.params[name] for name in ("family", "as_of") if run.data.params.get(name)}
            made = self.client.create_model_version(
                model, source, run_id, tags=tags, description=run.data.tags.get(NOTE)
            )
            first = self.holding(model, digest)
            if first is not None and first.version != str(made.version):  # another checkout was quicker
                self.client.delete_model_version(model, str(made.version))
                return first
        return Registered(model, str(made.version), run_id, digest)

    def _use_up(self, model: str, source: str, above: int) -> None:
        """Take numbers up to ``above`` away: MLflow never gives the number of a deleted version again."""
        if above <= max((int(one.version) for one in self.versions(model)), default=0):
            return
        number = 0
        while number < above:
            number = int(self.client.create_model_version(model, source).version)
            self.client.delete_model_version(model, str(number))

    def restored(self, model: str, package_sha256: str) -> str:
        """Id of a run that stands for the one in which a package was made, and which this registry does not have."""
        key = f"restored:{package_sha256}"
        with _plainly(self.uri):
            experiment = self.experiment(model)
            for run in self.client.search_runs([experiment], f"tags.`{KEY}` = '{key}'"):
                return str(run.info.run_id)
            tags = {KEY: key, "mlflow.runName": f"{model}: package {package_sha256[:12]}, registered again"}
            run_id = str(self.client.create_run(experiment, tags=tags).info.run_id)
            self.client.set_terminated(run_id, "FINISHED")
            return run_id

    # The account of looks ----------------------------------------------------------------------------------

    def keep_account(self, model: str, package_sha256: str, since: int, state: Any, looks: dict[int, bytes]) -> None:
        """Keep what a promotion policy must remember about a champion: its state, and the rows that each look counted.

        All looks of a model are files of one run; those that are there already are left as they are.
        """
        with _plainly(self.uri):
            run_id = self._account_run(model, make=True)
            held = {Path(f.path).name for f in self.client.list_artifacts(run_id, "counted")}
            with tempfile.TemporaryDirectory(prefix="refit-account-") as name:
                files = {
                    f"{n:06d}-{hashlib.sha256(looks[n]).hexdigest()[:16]}.parquet": looks[n] for n in sorted(looks)
                }
                for file, rows in files.items():
                    if file not in held:
                        (Path(name) / file).write_bytes(rows)
                        self.client.log_artifact(run_id, str(Path(name) / file), "counted")
                about = Path(name) / "account.json"
                write_json(
                    about, {"package_sha256": package_sha256, "since": since, "state": state, "looks": list(files)}
                )
                self.client.log_artifact(run_id, str(about))

    def account(self, model: str, package_sha256: str) -> tuple[int, Any, dict[int, bytes]] | None:
        """``since``, state and looks of :meth:`keep_account`, if they are about this package."""
        with _plainly(self.uri):
            run_id = self._account_run(model, make=False)
            if run_id is None or not any(f.path == "account.json" for f in self.client.list_artifacts(run_id)):
                return None
            with tempfile.TemporaryDirectory(prefix="refit-account-") as name:
                about = read_json(self.client.download_artifacts(run_id, "account.json", name))
                if about["package_sha256"] != package_sha256:
                    return None
                looks = {}
                for file in about["looks"]:
                    local_path = self.client.download_artifacts(run_id, f"counted/{file}", name)
                    looks[int(file.partition("-")[0])] = Path(local_path).read_bytes()
                return int(about["since"]), about["state"], looks

    @overload
    def _account_run(self, model: str, make: Literal[True]) -> str: ...
    @overload
    def _account_run(self, model: str, make: bool) -> str | None: ...
    def _account_run(self, model: str, make: bool) -> str | None:
        experiment = self.client.get_experiment_by_name(model)
        if experiment is not None:
            runs = self.client.search_runs([experiment.experiment_id], f"tags.`{KEY}` = 'account'")
            if runs:  # several where two checkouts made the first at once: the oldest counts
                return str(min(runs, key=lambda run: (run.info.start_time, run.info.run_id)).info.run_id)
        if not make:
            return None
        about = "No model was made here: this keeps what later verdicts must know of earlier ones, so leave it."
        tags = {KEY: "account", "mlflow.runName": f"{model}: rows that looks counted", NOTE: about}
        self.client.set_terminated(self.client.create_run(self.experiment(model), tags=tags).info.run_id, "FINISHED")
        return self._account_run(model, make=True)

    def fetch(self, registered: Registered, into: Path) -> Path:
        """Copy a version's package to the folder ``into`` (replacing it), checked against its hashes."""
        from tasks.bundle.manifest import read_manifest

        with replacing_dir(into) as fresh:
            with tempfile.TemporaryDirectory(prefix=".download-", dir=fresh) as name:
                with _plainly(self.uri):
                    downloaded = self.client.download_artifacts(registered.run_id, self.place(registered), name)
                for path in Path(downloaded).iterdir():
                    shutil.move(path, fresh / path.name)
            what = f"version {registered.version} of {registered.model}"
            if not (fresh / "bundle.json").exists():
                raise RefitError(f"{what}: its package is missing from the registry ({self.uri}).")
            read_manifest(fresh)
            if sha256(fresh / "bundle.json") != registered.package_sha256:
                raise RefitError(f"{what}: its package in the registry is not the one registered (hash differs).")
        return into

    def place(self, registered: Registered) -> str:
        """Where among its run's artifacts a version's package lies: registries of before keep it at their root."""
        with _plainly(self.uri):
            beside = self.client.list_artifacts(registered.run_id, FOLDER)
        return f"{FOLDER}/{WITHIN}" if beside else WITHIN

    def _registered(self, model: str) -> RegisteredModel | None:
        """What MLflow has of a model; None where it has none of that name."""
        from mlflow.exceptions import MlflowException

        try:
            return self.client.get_registered_model(model)
        except MlflowException as error:
            if error.error_code != "RESOURCE_DOES_NOT_EXIST":
                raise
        return None

    def state(self, model: str) -> RegistryState:
        """Which version the alias ``champion`` names, and which decision it follows; both None where nobody set them."""
        with _plainly(self.uri):
            if (registered := self._registered(model)) is None:
                return RegistryState(None, None)
            champion = registered.aliases.get("champion")
            return RegistryState(None if champion is None else str(champion), registered.tags.get(DECISION))

    def follow(
        self,
        model: str,
        champion: str | None,
        challenger: str | None = None,
        decision: str | None = None,
        about: str = "",
    ) -> None:
        """Set MLflow's aliases as told; whatever moved ``champion`` elsewhere is put right by this.

        A challenger keeps its alias until there is another; a champion is none.

        ``decision``: the mark of the history's row that says so. ``about``: what the model's page says of it.
        """
        with _plainly(self.uri):
            if (registered := self._registered(model)) is None:
                return
            aliases = registered.aliases
            rival = None if challenger == champion else challenger
            for alias, version in (("champion", champion), ("challenger", rival)):
                if version is not None and str(aliases.get(alias)) != version:
                    self.client.set_registered_model_alias(model, alias, version)
            if champion is None and "champion" in aliases:
                self.client.delete_registered_model_alias(model, "champion")
            if rival is None and champion is not None and str(aliases.get("challenger")) == champion:
                self.client.delete_registered_model_alias(model, "challenger")
            if about and registered.description != about:
                self.client.update_registered_model(model, about)
            if decision is not None and registered.tags.get(DECISION) != decision:
                self.client.set_registered_model_tag(model, DECISION, decision)


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
        raise RefitError(
            f"the registry ({uri.split('@')[-1]}) cannot be used: {first_line(error)}. The champion is unchanged. "
            "Check MLFLOW_TRACKING_URI, and that the server or database is reachable and not locked; then repeat."
        ) from error


def _safe(name: str) -> str:
    """A name that MLflow accepts."""
    return "".join(c if c.isalnum() or c in "_-. /" else "_" for c in name)[:240]


def _figure(family: str, history: dict[str, Any]) -> Any:
    """Loss curves of a family as a matplotlib figure, or None where there are none."""
    lines = list(curves(history))
    if not lines:
        return None
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6, 4), layout="constrained")
    axes = figure.subplots()
    for name, curve in lines:
        axes.plot(range(1, len(curve) + 1), curve, label=name)
    axes.set(title=family, xlabel="step", ylabel="value")
    axes.legend()
    FigureCanvasAgg(figure).draw()  # what cannot be drawn is met here, not while it is stored
    return figure
