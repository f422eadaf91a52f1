"""``promotion``: by which evidence a challenger becomes champion, and what it must not do."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from tasks.params.base import StrictModel, refuse


class Guardrails(StrictModel):
    """What a challenger must not do, however good it is otherwise; an absent one is not checked."""

    slice_drop: float | None = Field(
        default=None, ge=0, description="largest loss of accuracy (regression: share of MAE) in any slice"
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
    rule: Literal["superiority", "non_inferiority"] = "superiority"
    alpha: float = Field(default=0.05, gt=0, lt=0.5)
    margin: float = Field(
        default=0.0, ge=0, lt=1, description="non_inferiority: how much worse is still acceptable, in the metric's unit"
    )
    control: Literal["anytime", "each_run"] = "anytime"
    evidence: Literal["challenger", "line"] = Field(
        default="challenger",
        description="judge each challenger by itself, or the line of them since the champion took office",
    )
    error: Literal["familywise", "fdr"] = "familywise"
    fdr: Literal["lord", "saffron"] = "lord"
    cluster: tuple[str, ...] = Field(
        default=(), description="columns of the problem table (or day) whose equal values are not independent"
    )
    accept: tuple[str, ...] = Field(
        default=(), description="columns (table.column of other tables) that look like a leak, and are known in time"
    )
    approval: bool = Field(default=False, description="wait for a person in the Prefect UI before promoting")
    guardrails: Guardrails = Guardrails()

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
