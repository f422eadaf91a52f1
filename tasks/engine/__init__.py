"""The feature engine: time-aware features of rows, batch and online by the same primitives."""

from tasks.engine.plan import Feature, Plan

__all__ = ["Feature", "Plan"]
