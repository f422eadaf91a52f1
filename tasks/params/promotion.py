"""``promotion``: by which evidence a challenger becomes champion, and what it must not do."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from tasks.params.base import StrictModel, refuse


class Guardrails(StrictModel):
    """What a challenger must not do, however good it is otherwise; an absent one is not checked."""

    slice_drop: float | None = Field(
        default=None, ge=0, description="largest loss of accuracy (of numbers: share of the mean error) in any slice"
    )
    slices: tuple[str, ...] = Field(default=(), description="columns of the problem table that make the slices")
    calibration: float | None = Field(default=None, ge=0, description="largest rise of the expected calibration error")
    latency_ms: float | None = Field(
        default=None, gt=0, description="largest time of one row's answer, features included"
    )
    size_mb: float | None = Field(default=None, gt=0, description="largest size of the package")


class Promotion(StrictModel):
    """By which evidence a challenger becomes champion."""

    metric: str = Field(default="", description="the metric that decides; the problem's own where unset")
    rule: Literal["superiority", "non_inferiority"] = Field(
        default="superiority", description="whether it must be better, or no worse than a margin"
    )
    alpha: float = Field(
        default=0.05, gt=0, lt=0.5, description="the chance ever to promote a model that is not better"
    )
    margin: float = Field(
        default=0.0,
        ge=0,
        lt=1,
        description="with rule: non_inferiority, how much worse is still acceptable, in the metric's unit (for "
        "log_loss, brier, rmse, mae and mape a share of the champion's)",
    )
    control: Literal["anytime", "each_run"] = Field(
        default="anytime", description="anytime: stays right however often one looks; each_run: a plain test each time"
    )
    evidence: Literal["challenger", "line"] = Field(
        default="challenger",
        description="judge each challenger by itself, or the line of them since the champion took office",
    )
    error: Literal["familywise", "fdr"] = Field(
        default="familywise",
        description="what alpha bounds: the chance of any wrong promotion, or their expected share",
    )
    fdr: Literal["lord", "saffron"] = Field(default="lord", description="with error: fdr, by which procedure")
    cluster: tuple[str, ...] = Field(
        default=(), description="columns of the problem table (or day) whose equal values are not independent"
    )
    accept: tuple[str, ...] = Field(
        default=(), description="columns (table.column of other tables) that look like a leak, and are known in time"
    )
    approval: bool = Field(default=False, description="wait for a person in the Prefect UI before promoting")
    guardrails: Guardrails = Field(
        default=Guardrails(), description="what it must not do, however good it is otherwise"
    )

    @model_validator(mode="after")
    def _fits(self) -> Promotion:
        refuse(
            self.rule == "non_inferiority" and self.margin == 0,
            "rule non_inferiority needs a margin above 0, as in margin: 0.005 (half a point of accuracy)",
        )
        refuse(
            self.rule == "superiority" and self.margin != 0,
            "margin counts only with rule: non_inferiority; set the rule, or remove the margin",
        )
        refuse(
            self.error == "fdr" and (self.control == "each_run" or self.evidence == "line"),
            "error: fdr judges each challenger over many looks; it needs control: anytime, evidence: challenger",
        )
        refuse(
            self.guardrails.slice_drop is not None and not self.guardrails.slices,
            "guardrails.slice_drop needs guardrails.slices: the columns that make the slices",
        )
        return self
