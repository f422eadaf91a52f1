"""Folders of a project, from its root: where each stage writes, and what the run's effects keep for it."""

from __future__ import annotations

from pathlib import Path

DATA = Path("data")
RAW = DATA / "raw"
SOURCES = DATA / "sources"
CONTEXT = DATA / "context"
CODE = DATA / "code"
EXPECTATIONS = DATA / "expectations"
ACCEPTED = EXPECTATIONS / "accepted"
VALIDATED = DATA / "validated"
QUARANTINE = DATA / "quarantine"
REFUSED = QUARANTINE / "refused"
FEATURES = DATA / "features"
LEAKS = DATA / "leaks"
START = DATA / "start"
TUNING = DATA / "tuning"
MODELS = DATA / "models"
EVALUATION = DATA / "evaluation"
PACKAGE = DATA / "package"
CHAMPION = DATA / "champion"
VERDICT = DATA / "verdict"
DRIFT = DATA / "drift"
REPORTS = DATA / "reports"

FEATURE_TABLE = FEATURES / "features.parquet"
PLAN = FEATURES / "plan.json"
