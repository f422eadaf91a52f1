"""Both ends of every key that has bounds: the last value that is taken, and the first one that is not."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import BaseModel, ValidationError

from tasks.params import Params
from tasks.params.data import Data
from tasks.params.features import Encode, Polynomial, Select
from tasks.params.models import Compression, Cost, FamilyParams, MetricGoal, Training, Tuning
from tasks.params.operation import Limits, Monitoring, Orchestration, Serving
from tasks.params.promotion import Guardrails, Promotion

SMALL = 1e-9
ENDS: list[tuple[type[BaseModel], str, list[Any], list[Any]]] = [  # a section, a key, what is taken, what is refused
    (Params, "seed", [0, 2**31 - 1], [-1, 2**31]),
    (Data, "max_quarantined", [0, 1], [-SMALL, 1 + SMALL]),
    (Polynomial, "degree", [2, 4], [1, 5]),
    (Encode, "bins", [2, 256], [1, 257]),
    (Encode, "max_levels", [1, 10**6], [0]),
    (Encode, "words", [1, 10**6], [0]),
    (Select, "correlation", [SMALL, 1 - SMALL], [0, 1]),
    (Select, "time_auc", [0.5 + SMALL, 1 - SMALL], [0.5, 1]),
    (Select, "univariate", [1, 10**6], [0]),
    (Select, "l1", [SMALL, 1e6], [0]),
    (Select, "importance", [1, 10**6], [0]),
    (Select, "rfe", [1, 10**6], [0]),
    (FamilyParams, "trials", [1, 10**6], [0]),
    (FamilyParams, "seconds", [SMALL, 1e6], [0]),
    (Tuning, "trials", [1, 10**6], [0]),
    (Tuning, "seconds", [SMALL, 1e6], [0]),
    (Tuning, "rows", [100, 10**9], [99]),
    (Tuning, "workers", [1, 64], [0]),
    (Tuning, "folds", [2, 20], [1, 21]),
    (MetricGoal, "within", [0, 1 - SMALL], [-SMALL, 1]),
    (Cost, "at_most", [SMALL, 1e6], [0]),
    (Cost, "weight", [SMALL, 1e6], [0]),
    (Training, "precision", [SMALL, 1 - SMALL], [0, 1]),
    (Training, "memory_gb", [SMALL, 1e6], [0]),
    (Compression, "prune", [SMALL, 1 - SMALL], [0, 1]),
    (Compression, "tolerance", [0, 1 - SMALL], [-SMALL, 1]),
    (Promotion, "alpha", [SMALL, 0.5 - SMALL], [0, 0.5]),
    (Promotion, "margin", [0, 1 - SMALL], [-SMALL, 1]),
    (Guardrails, "slice_drop", [0, 10], [-SMALL]),
    (Guardrails, "calibration", [0, 10], [-SMALL]),
    (Guardrails, "latency_ms", [SMALL, 1e6], [0]),
    (Guardrails, "size_mb", [SMALL, 1e6], [0]),
    (Serving, "port", [1, 65535], [0, 65536]),
    (Serving, "workers", [1, 64], [0]),
    (Serving, "linger", [0, 600], [-SMALL, 600 + SMALL]),
    (Serving, "grace", [1, 3600], [1 - SMALL, 3600 + SMALL]),
    (Limits, "row_mb", [SMALL, 64], [0, 64 + SMALL]),
    (Limits, "batch_mb", [SMALL, 4096], [0, 4096 + SMALL]),
    (Limits, "batch_rows", [1, 10**6], [0, 10**6 + 1]),
    (Limits, "patience", [SMALL, 3600], [0, 3600 + SMALL]),
    (Monitoring, "drift_share", [SMALL, 1], [0, 1 + SMALL]),
    (Monitoring, "false_alarms", [SMALL, 52], [0, 52 + SMALL]),
    (Monitoring, "rows", [1000, 10**9], [999]),
    (Monitoring, "least_rows", [10, 10**6], [9]),
    (Orchestration, "retries", [0, 100], [-1]),
    (Orchestration, "retry_seconds", [0, 100], [-SMALL]),
    (Orchestration, "parallel", [1, 64], [0]),
    (Orchestration, "tuners", [1, 64], [0, 65]),
]


def told(section: type[BaseModel], key: str, value: Any) -> set[str]:
    """What is said of this key where it has this value; of keys beside it something else may be said."""
    try:
        section.model_validate({key: value})
    except ValidationError as error:
        return {one["type"] for one in error.errors() if one["loc"][:1] == (key,)}
    return set()


BEYOND = {"greater_than", "greater_than_equal", "less_than", "less_than_equal"}


@pytest.mark.parametrize(("section", "key", "taken", "refused"), ENDS, ids=[f"{s.__name__}.{k}" for s, k, *_ in ENDS])
def test_a_key_takes_what_lies_within_its_bounds_and_nothing_else(
    section: type[BaseModel], key: str, taken: list[Any], refused: list[Any]
) -> None:
    for value in taken:
        assert told(section, key, value) == set(), value
    for value in refused:
        assert told(section, key, value) <= BEYOND, value
        assert told(section, key, value), value
