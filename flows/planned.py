"""The deployments of a project, as `refit deploy` makes them on a server and as ``prefect.yaml`` says them for `prefect deploy`.

One list for both. Everything carries the problem's name; the flows are imported from the installed Refit.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import version
from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from tasks.errors import RefitError, first_line
from tasks.files import write_text

if TYPE_CHECKING:
    import pandas as pd
    from prefect.deployments.runner import RunnerDeployment
    from prefect.flows import Flow

    from tasks.params import Params

FILE = "prefect.yaml"
BEFORE = "prefect.before.yaml"  # what `refit deploy --write` replaced
HERE = "{{ here.stdout }}"  # in the file: the folder in which `prefect deploy` is called
NEWEST = 28  # days whose rows tell how fast rows come
SPANS = (  # how often, and how many days that is
    (1.0, "0 5 * * *", "every day at 5:00", "a day"),
    (7.0, "0 5 * * 1", "on Mondays at 5:00", "a week"),
    (365.25 / 12, "0 5 1 * *", "on the first of each month at 5:00", "a month"),
)


@dataclass(frozen=True)
class CronLine:
    """When runs are due: a cron line and its time zone; ``why``, in words, where Refit proposes it."""

    cron: str = "0 5 * * 1"
    timezone: str = "UTC"
    why: str = "on Mondays at 5:00"

    def schedule(self) -> Any:
        """As Prefect has it. Raises :class:`RefitError` for a cron line or a time zone that is none."""
        from prefect.client.schemas.schedules import CronSchedule

        try:
            return CronSchedule(cron=self.cron, timezone=self.timezone)
        except ValueError as error:
            raise RefitError(
                f"--cron, --timezone: not a cron line and a time zone such as '0 5 * * 1' and 'UTC'; found {self.cron!r} and "
                f"{self.timezone!r} ({str(error).splitlines()[-1].strip()})."
            ) from None


@dataclass(frozen=True)
class Planned:
    """One deployment: the flow by its module path, and what Prefect is told of it.

    ``here``: it runs in the project's folder; else wherever the worker is.
    """

    flow: str
    name: str
    tags: tuple[str, ...]
    pool: str
    description: str | None = None
    queue: str | None = None
    timing: CronLine | None = None
    alone: bool = False
    here: bool = True

    def apply(self, root: Path | None = None) -> None:
        """Make or renew it on the server, for the project in ``root``."""
        from prefect.client.schemas.objects import ConcurrencyLimitConfig, ConcurrencyLimitStrategy
        from prefect.flows import EntrypointType, load_flow_from_entrypoint
        from prefect.runner.storage import LocalStorage

        flow: Flow[..., object] = load_flow_from_entrypoint(self.flow)
        one = ConcurrencyLimitConfig(limit=1, collision_strategy=ConcurrencyLimitStrategy.ENQUEUE)
        made = flow.to_deployment(
            name=self.name,
            description=self.description,
            parameters={"root": str(root)} if self.here else None,
            schedules=[self.timing.schedule()] if self.timing else None,
            tags=list(self.tags),
            # a run that is due meanwhile waits: of all that wait the newest works (flows.due)
            concurrency_limit=one if self.alone else None,
            work_pool_name=self.pool,
            work_queue_name=self.queue,
            job_variables={"working_dir": str(root)} if self.here else None,
            entrypoint_type=EntrypointType.MODULE_PATH,
        )
        deployment = cast("RunnerDeployment", made)
        if self.here:  # without a step of its own Prefect copies the folder, data and all, for each run
            deployment.storage = LocalStorage(str(root))
        deployment.apply()

    def entry(self) -> dict[str, object]:
        """The same for ``prefect.yaml``."""
        from ruamel.yaml.scalarstring import DoubleQuotedScalarString as Quoted

        queue: dict[str, object] = {"work_queue_name": self.queue} if self.queue else {}
        folder: dict[str, object] = {"job_variables": {"working_dir": HERE}} if self.here else {}
        told: dict[str, object] = {"name": self.name}
        if self.description:
            told["description"] = self.description
        told["entrypoint"] = self.flow
        if self.here:
            told["parameters"] = {"root": HERE}
        else:
            told["pull"] = []
        told["tags"] = list(self.tags)
        if self.alone:
            told["concurrency_limit"] = {"limit": 1, "collision_strategy": "ENQUEUE"}
        if self.timing:
            told["schedules"] = [{"cron": Quoted(self.timing.cron), "timezone": self.timing.timezone, "active": True}]
        return {**told, "work_pool": {"name": self.pool, **queue, **folder}}


def planned(params: Params, timing: CronLine, pool: str | None = None) -> list[Planned]:
    """The deployments of a project: the retraining by a schedule, the rollback, and those that run stages in pools of their own."""
    name = params.problem.name
    tags, pool = ("refit", name), pool or f"refit-{name}"
    # Prefect takes a run's place back while it waits for a person, and ends the run minutes later since it has none. Such runs
    # wait for each other in the project instead (flows.patience).
    alone = not params.promotion.approval
    retrain = f"Retrain {name} on everything known by then, and promote if the verdict says so."
    undo = f"Put an earlier champion of {name} back."
    return [
        Planned("flows.retrain.retrain", name, tags, pool, retrain, queue=name, timing=timing, alone=alone),
        Planned("flows.undo.rollback", name, tags, pool, undo, queue=name),
        *(stage_runner(one, name) for one in sorted(set(params.orchestration.pools.values()))),
    ]


def stage_runner(pool: str, model: str) -> Planned:
    """The deployment that runs a model's stages in a pool."""
    return Planned("flows.worker.run_stage", f"{model}-{pool}", ("refit", model), pool, here=False)


def stage_runner_name(pool: str, model: str) -> str:
    """What the server calls it."""
    return f"refit-stage/{model}-{pool}"


# The file -------------------------------------------------------------------------------------------------------------


def text(params: Params, timing: CronLine, pool: str | None = None, path: str = FILE) -> str:
    """``prefect.yaml`` of a project; ``path`` is where it lies in its folder."""
    from ruamel.yaml import YAML
    from ruamel.yaml.comments import CommentedMap

    plan = planned(params, timing, pool)
    first, others = plan[0], sorted({one.pool for one in plan if one.pool != plan[0].pool})
    where = "" if path == FILE else f" --prefect-file {path}"
    head = [
        "What `refit deploy` makes, for `prefect deploy`; to be edited and kept in git (`refit deploy --write` makes it anew).",
        "In the project's folder, with PREFECT_API_URL set:",
        f"  prefect worker start --pool {first.pool} --work-queue {first.queue} --type process   (makes the pool, and stays)",
        *(f"  prefect worker start --pool {one} --type process   (runs stages)" for one in others),
        f"  prefect deploy --all{where}",
        "Runs work in the folder in which the last line was called; the worker must see it.",
    ]
    steps = {"prefect.deployments.steps.run_shell_script": {"id": "here", "script": "pwd -P", "stream_output": False}}
    pull = {"prefect.deployments.steps.set_working_directory": {"directory": HERE}}
    tree: dict[str, object] = {"name": "refit", "prefect-version": version("prefect")}
    tree |= {"build": [steps], "push": [], "pull": [pull], "deployments": [CommentedMap(one.entry()) for one in plan]}
    retrain = cast("list[CommentedMap]", tree["deployments"])[0]
    if timing.why:
        retrain.yaml_set_comment_before_after_key("schedules", before=timing.why, indent=4)
    yaml, out = YAML(), StringIO()
    yaml.width = 4096
    yaml.indent(mapping=2, sequence=4, offset=2)
    yaml.dump(tree, out)
    return "\n".join([*(f"# {line}" for line in head), out.getvalue()])


def write(root: Path, params: Params, timing: CronLine, pool: str | None = None) -> Iterator[str]:
    """Write ``prefect.yaml`` into the project's folder; what was there is kept beside it. Yields what was done."""
    path, new = root / FILE, text(params, timing, pool)
    if path.exists() and (old := path.read_text(encoding="utf-8", errors="replace")) != new:
        write_text(root / BEFORE, old)
        yield f"kept the {FILE} that was there as {BEFORE}"
    write_text(path, new)
    yield f"wrote {FILE}: due at {timing.cron!r} ({timing.timezone}), once it is deployed: prefect deploy --all"


def of_file(root: Path) -> tuple[CronLine, str | None]:
    """When the project's ``prefect.yaml`` says that runs are due, and in which pool (None: that of the problem's name).

    Without the file weekly. Raises :class:`RefitError` where it has no cron line that could be taken.
    """
    from ruamel.yaml import YAML, YAMLError

    path = root / FILE
    if not path.exists():
        return CronLine(), None
    try:
        tree = YAML(typ="safe").load(path.read_text(encoding="utf-8"))
        retrain = next(one for one in tree["deployments"] if str(one["entrypoint"]).endswith("retrain"))
        when = retrain["schedules"][0]
        pool = str(retrain["work_pool"]["name"])
        timing = CronLine(str(when["cron"]), str(when.get("timezone") or "UTC"), "")
        return timing, None if pool == f"refit-{retrain['name']}" else pool
    except YAMLError as error:
        raise RefitError(f"{path}: is no YAML: {first_line(error)}. Mend it, or give --cron.") from None
    except (KeyError, IndexError, TypeError, AttributeError, StopIteration, OSError, UnicodeDecodeError):
        raise RefitError(
            f"{path}: has no cron line for flows.retrain.retrain. Give --cron, or have it deployed by `prefect deploy --all`."
        ) from None


def proposed(moments: pd.Series | None) -> CronLine:
    """A schedule that fits a table, by the moments of its rows: as often as so many rows come as decide a verdict by themselves."""
    from tasks.compare.unseen import FRESH

    known = None if moments is None else moments.dropna()
    if known is None or len(known) == 0:
        return CronLine()
    span = (known.max() - known.min()).total_seconds() / 86400
    if span <= 0:
        return CronLine()
    newest = min(span, NEWEST)
    rate = int((known > known.max() - _days(newest)).sum()) / newest
    days, cron, when, each = next((one for one in SPANS if one[0] * rate >= FRESH), SPANS[-1])
    return CronLine(cron, "UTC", f"{when}: {each} brings about {days * rate:,.0f} rows")


def _days(count: float) -> Any:
    import pandas as pd

    return pd.Timedelta(days=count)
