"""``serving``, ``monitoring``, ``notify`` and ``orchestration``: how the champion answers, what is watched, who is told, how stages run."""

from __future__ import annotations

from typing import Annotated, Literal, get_args

from pydantic import Field, model_validator

from tasks.params.base import DurationField, StrictModel, refuse


class Limits(StrictModel):
    """What the service takes on; what is beyond is refused, with the bound."""

    row_mb: float = Field(default=1, gt=0, le=64, description="MiB of a row: the body of /predict, or a row of a batch")
    batch_mb: float = Field(default=64, gt=0, le=4096, description="MiB of a batch's body")
    batch_rows: int = Field(default=1000, ge=1, le=1_000_000, description="rows of a batch")
    patience: float = Field(
        default=15, gt=0, le=3600, description="seconds for a body to come, and one more for each 256 KiB of it"
    )


WhenStale = Literal["warn", "refuse"]


WHEN_STALE: tuple[WhenStale, ...] = get_args(WhenStale)


class Serving(StrictModel):
    """Where the service listens, and what it does at its limits."""

    host: str = Field(default="127.0.0.1", description="address to listen on; 0.0.0.0: on every one of the machine's")
    port: int = Field(default=3000, ge=1, le=65535, description="port to listen on")
    workers: int = Field(default=1, ge=1, description="processes that answer")
    stale: WhenStale = Field(
        default="warn",
        description="what happens to a row so late that what is known of a table is too old for it: answered with a "
        "warning, or refused (503)",
    )
    stale_after: DurationField | None = Field(
        default=None, description="how old is too old, for every table; unset: what the shortest of its windows says"
    )
    linger: float = Field(
        default=2,
        ge=0,
        le=600,
        description="seconds after SIGTERM, SIGINT or SIGHUP for which requests are still taken, and /readyz is 503",
    )
    grace: float = Field(
        default=20, ge=1, le=3600, description="seconds after those for which what was taken is finished"
    )
    limits: Limits = Field(default=Limits(), description="what the service takes on; what is beyond is refused")
    journal: bool = Field(
        default=True,
        description="every answer is kept before it is given, and events are taken (docs/live.md); false: neither",
    )


class Monitoring(StrictModel):
    """What drift looks at, and when it raises an alarm."""

    window: DurationField | None = Field(
        default=None, description="the newest rows that drift looks at; 7d where unset"
    )
    drift_share: float = Field(
        default=0.5,
        gt=0,
        le=1,
        description="share of drifted columns from which on the whole table is said to have drifted",
    )
    false_alarms: float = Field(
        default=1,
        gt=0,
        le=52,
        description="false alarms a year that the whole table may raise by chance; with fewer, less is seen",
    )
    rows: int = Field(
        default=50_000, ge=1000, description="rows of the window that are looked at, drawn where there are more"
    )
    least_rows: int = Field(default=30, ge=10, description="fewer new rows than this are not judged")
    alarm: Literal["tell", "exit"] = Field(
        default="tell", description="exit: a run that finds drift ends with exit status 3, after everything is done"
    )


class Notify(StrictModel):
    """Who is told of what, each once."""

    when: tuple[Literal["failure", "verdict", "alarm"], ...] = Field(
        default=("failure", "verdict", "alarm"),
        min_length=1,
        description="what is told: a run that failed, a verdict, drift",
    )
    to: tuple[Annotated[str, Field(pattern=r"^(log|[A-Z][A-Z0-9_]*)$")], ...] = Field(
        default=(),
        description="who is told: `log`, or by its name in capitals a variable of the environment that holds an address (docs/schedule.md)",
    )


class Orchestration(StrictModel):
    """How stages are run: how often again, how many at once, and where."""

    retries: int = Field(default=1, ge=0, description="how often a stage that failed is tried again")
    retry_seconds: float = Field(default=2, ge=0, description="seconds before it is tried again")
    parallel: int = Field(default=2, ge=1, description="stages that may run at once")
    wait_hours: float = Field(
        default=6,
        ge=0,
        description="hours that a scheduled run waits for another one that is at work in the project; then it fails",
    )
    pools: dict[str, str] = Field(
        default={},
        description="Prefect's work pools by the hardware that a stage asks for, as in `gpu: machines` (docs/machines.md)",
    )
    no_gpu: Literal["cpu", "wait"] = Field(
        default="cpu", description="where no worker with a GPU is alive: run on a cpu pool, or wait for one"
    )
    exchange: Literal["folder", "remote"] = Field(
        default="folder", description="workers share the project's folder, or only its DVC remote"
    )
    tuners: int = Field(
        default=1,
        ge=1,
        le=64,
        description="workers that share one search (exchange: remote, and REFIT_STUDIES_URL on each)",
    )

    @model_validator(mode="after")
    def _shared_searches(self) -> Orchestration:
        refuse(
            self.tuners > 1 and not (self.pools and self.exchange == "remote"),
            f"tuners: {self.tuners} workers can share a search only where each has its own checkout: set pools, and "
            "exchange: remote; else leave tuners out (tuning.workers is for one machine)",
        )
        return self
