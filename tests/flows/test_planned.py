"""The deployments of a project as `prefect.yaml` has them, and the schedule that `init` proposes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from ruamel.yaml import YAML

from flows import planned
from flows.deployments import deploy
from flows.planned import FILE, CronLine, of_file, proposed, text
from tasks.errors import RefitError
from tasks.params import load, parse
from tests.flows.project import PARAMS
from tests.projects import ROOT


def read(path: Path) -> dict[str, Any]:
    found: dict[str, Any] = YAML(typ="safe").load(path)
    return found


def test_the_checkouts_file_is_what_refit_writes() -> None:
    assert (ROOT / "deploy" / FILE).read_text() == text(
        load(ROOT / "params.yaml"), CronLine(), path=f"deploy/{FILE}"
    ), "python -m tests.flows.test_planned writes it anew"


def test_everything_carries_the_problems_name_and_nothing_a_path() -> None:
    tree: dict[str, Any] = YAML(typ="safe").load(
        text(parse(YAML(typ="safe").load(PARAMS)), CronLine("* * * * *", "Asia/Tokyo", "often"))
    )
    retrain, undo = tree["deployments"]
    assert (retrain["name"], retrain["entrypoint"]) == ("toy", "flows.retrain.retrain")
    assert (undo["name"], undo["entrypoint"]) == ("toy", "flows.undo.rollback")
    pool = {"name": "refit-toy", "work_queue_name": "toy", "job_variables": {"working_dir": "{{ here.stdout }}"}}
    assert retrain["work_pool"] == undo["work_pool"] == pool
    assert retrain["schedules"] == [{"cron": "* * * * *", "timezone": "Asia/Tokyo", "active": True}]
    assert "schedules" not in undo
    assert retrain["concurrency_limit"] == {"limit": 1, "collision_strategy": "ENQUEUE"}


def test_a_run_that_waits_for_a_person_keeps_no_place_that_prefect_would_take_back() -> None:
    asking = parse(YAML(typ="safe").load(PARAMS + "promotion: {approval: true}\n"))
    retrain = YAML(typ="safe").load(text(asking, CronLine()))["deployments"][0]
    assert "concurrency_limit" not in retrain


def test_stages_that_run_in_pools_have_deployments_there() -> None:
    pools = PARAMS.replace("{parallel", "{pools: {cpu: small, gpu: 'our machines'}, parallel")
    whole = text(parse(YAML(typ="safe").load(pools)), CronLine())
    of_stages = YAML(typ="safe").load(whole)["deployments"][2:]
    assert [one["name"] for one in of_stages] == ["toy-our machines", "toy-small"]
    assert all("parameters" not in one and one["work_pool"] == {"name": one["name"][4:]} for one in of_stages)
    assert "#   prefect worker start --pool small --type process " in whole


def project(root: Path) -> Path:
    (root / "params.yaml").write_text(PARAMS)
    return root


def test_what_the_file_says_counts_where_nothing_else_is_said(tmp_path: Path) -> None:
    root = project(tmp_path)
    assert of_file(root) == (CronLine(), None)
    said = list(deploy(root, "30 2 * * *", "Europe/Berlin", "common", write=True))
    assert said == [
        "wrote prefect.yaml: due at '30 2 * * *' (Europe/Berlin), once it is deployed: prefect deploy --all"
    ]
    assert of_file(root) == (CronLine("30 2 * * *", "Europe/Berlin", ""), "common")
    whole = (root / FILE).read_text()
    assert list(deploy(root, None, None, None, write=True)) == said, "the file's own"
    assert (root / FILE).read_text() == whole
    assert not (root / planned.BEFORE).exists()
    said = list(deploy(root, "0 6 * * *", None, None, write=True))
    assert said[0] == "kept the prefect.yaml that was there as prefect.before.yaml"
    assert (root / planned.BEFORE).read_text() == whole
    assert of_file(root) == (CronLine("0 6 * * *", "UTC", ""), None)


@pytest.mark.parametrize(
    ("was", "becomes", "said"),
    [
        ("schedules:", "schedules: [", "is no YAML: .*Mend it, or give --cron"),
        ("cron:", "interval:", "has no cron line for flows.retrain.retrain"),
        ("flows.retrain.retrain", "other.py:flow", "has no cron line"),
        ("deployments:", "others:", "has no cron line"),
    ],
)
def test_a_file_that_says_no_cron_line_is_told(tmp_path: Path, was: str, becomes: str, said: str) -> None:
    root = project(tmp_path)
    list(deploy(root, "0 6 * * *", None, None, write=True))
    path = root / FILE
    path.write_text(path.read_text().replace(was, becomes, 1))
    with pytest.raises(RefitError, match=said):
        of_file(root)


def test_what_is_no_schedule_is_not_written(tmp_path: Path) -> None:
    with pytest.raises(RefitError, match=r"--cron, --timezone: not a cron line .* found 'often' and 'UTC'"):
        list(deploy(project(tmp_path), "often", None, None, write=True))
    assert not (tmp_path / FILE).exists()


@pytest.mark.parametrize(
    ("rows", "each", "cron", "why"),
    [
        (30_000, "1min", "0 5 * * *", "every day at 5:00: a day brings about 1,440 rows"),
        (30_000, "20min", "0 5 * * 1", "on Mondays at 5:00: a week brings about 504 rows"),
        (30_000, "21min", "0 5 1 * *", "on the first of each month at 5:00: a month brings about 2,087 rows"),
        (60, "7D", "0 5 1 * *", "on the first of each month at 5:00: a month brings about 4 rows"),
        (1, "1h", "0 5 * * 1", "on Mondays at 5:00"),
        (0, "1h", "0 5 * * 1", "on Mondays at 5:00"),
    ],
)
def test_a_schedule_is_proposed_by_how_fast_rows_come(rows: int, each: str, cron: str, why: str) -> None:
    moments = pd.Series(pd.date_range("2026-01-01", periods=rows, freq=each, tz="UTC"))
    assert proposed(moments) == CronLine(cron, "UTC", why)


def test_the_newest_rows_tell_how_fast_they_come() -> None:
    old = pd.date_range("2010-01-01", "2026-01-01", freq="7D", tz="UTC")
    new = pd.date_range("2026-01-01", "2026-03-01", freq="1min", tz="UTC")
    assert proposed(pd.Series([*old, *new, pd.NaT])).cron == "0 5 * * *"
    assert proposed(None) == CronLine()


if __name__ == "__main__":
    (ROOT / "deploy" / FILE).write_text(text(load(ROOT / "params.yaml"), CronLine(), path=f"deploy/{FILE}"))
