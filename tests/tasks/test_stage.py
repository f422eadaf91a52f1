"""What every stage and command sets before anything heavy is imported."""

from __future__ import annotations

import os

import pytest

from tasks.process import FORCED, SETTINGS, settle


def test_telemetry_is_off_whatever_the_environment_says(monkeypatch: pytest.MonkeyPatch) -> None:
    off = {
        "DO_NOT_TRACK": "true",  # Evidently, Prefect's client, MLflow
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "GX_ANALYTICS_ENABLED": "false",
        "BENTOML_DO_NOT_TRACK": "True",
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "DVC_NO_ANALYTICS": "1",
    }
    assert set(off) == FORCED
    for name in off:
        monkeypatch.setenv(name, "on, please")
    settle()
    assert {name: os.environ[name] for name in off} == off


def test_what_a_user_sets_for_speed_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_WAIT_POLICY", "ACTIVE")
    monkeypatch.delenv("MPLBACKEND", raising=False)
    settle()
    assert os.environ["OMP_WAIT_POLICY"] == "ACTIVE"
    assert os.environ["MPLBACKEND"] == SETTINGS["MPLBACKEND"]
