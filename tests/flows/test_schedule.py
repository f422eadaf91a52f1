"""Several projects on one Prefect server: each has a deployment, a pool and a queue of its own name, and runs where it is."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.flows.conftest import running
from tests.flows.project import alone, diary, dvc, make_project, refit

pytestmark = pytest.mark.flows


def named(root: Path, name: str) -> Path:
    make_project(root)
    params = root / "params.yaml"
    params.write_text(params.read_text().replace("name: toy", f"name: {name}"))
    return root


@pytest.fixture(scope="module")
def projects(tmp_path_factory: pytest.TempPathFactory, server: dict[str, str]) -> list[Path]:
    """Two scheduled projects of other names."""
    home = tmp_path_factory.mktemp("scheduled")
    made = [named(home / name, name) for name in ("apples", "pears")]
    for root in made:
        said = refit(root, "deploy", "--cron", "0 5 1 1 *", env=server)
        assert f"prefect worker start --pool refit-{root.name} --work-queue {root.name}" in said
    return made


def test_the_second_project_leaves_the_first_alone(projects: list[Path], server: dict[str, str]) -> None:
    from prefect.client.orchestration import SyncPrefectClient

    with SyncPrefectClient(server["PREFECT_API_URL"]) as client:
        for root in projects:
            found = client.read_deployment_by_name(f"retrain/{root.name}")
            assert found.parameters == {"root": str(root)}
            assert (found.work_pool_name, found.work_queue_name) == (f"refit-{root.name}", root.name)
            assert [s.schedule.cron for s in found.schedules] == ["0 5 1 1 *"]
            assert "\nschedule  0 5 1 1 * (UTC)" in refit(root, "status", env=server)
            undo = client.read_deployment_by_name(f"rollback/{root.name}")
            assert (undo.parameters, undo.schedules, undo.work_queue_name) == ({"root": str(root)}, [], root.name)
            for one, names in ((found, ["as_of", "root"]), (undo, ["reason", "to", "root"])):
                asked = one.parameter_openapi_schema["properties"]
                assert [name for name in asked if asked[name]["description"]] == names  # explained in Prefect's UI


def test_a_name_that_another_folder_has_is_not_taken_over_unasked(
    projects: list[Path], tmp_path: Path, server: dict[str, str]
) -> None:
    other = named(tmp_path / "elsewhere", "pears")
    said = refit(other, "deploy", code=1, env=server)
    assert f"retrain/pears: is deployed on this server for the folder {projects[1]}" in said
    refit(other, "deploy", "--replace", env=server)
    assert f"for the folder {other}" in refit(projects[1], "deploy", "--remove", code=1, env=server)
    assert "no longer deployed" in refit(other, "deploy", "--remove", env=server)
    assert "retrain/pears: is not deployed" in refit(other, "deploy", "--remove", code=1, env=server)


def test_a_worker_elsewhere_runs_it_in_its_folder(projects: list[Path], server: dict[str, str]) -> None:
    from prefect.client.orchestration import SyncPrefectClient

    prefect, root = [sys.executable, "-m", "prefect"], projects[0]
    words = ["worker", "start", "--pool", "refit-apples", "--work-queue", "apples"]
    with running([*prefect, *words], server), SyncPrefectClient(server["PREFECT_API_URL"]) as client:
        run = client.create_flow_run_from_deployment(client.read_deployment_by_name("retrain/apples").id)
        deadline = time.monotonic() + 240
        while not (run.state is not None and run.state.is_final()) and time.monotonic() < deadline:
            time.sleep(1)
            run = client.read_flow_run(run.id)
        undo = client.read_deployment_by_name("rollback/apples").id
        asked = client.create_flow_run_from_deployment(undo, parameters={"root": str(root), "reason": "complaints"})
        while not (asked.state is not None and asked.state.is_final()) and time.monotonic() < deadline:
            time.sleep(1)
            asked = client.read_flow_run(asked.id)
    assert asked.state is not None
    assert "there is no champion yet, so nothing can be rolled back" in str(asked.state.message)
    assert run.state is not None
    assert run.state.is_completed(), run.state.message
    assert sorted(diary(root)) == ["fit_p", "fit_q", "join", "load"]
    assert dvc(root, "status").strip() == "Data and pipelines are up to date."
    assert diary(projects[1]) == []
    assert not (root / "data" / "context" / "as_of.json").exists()  # no table of it knows of time


@pytest.mark.parametrize(
    ("arguments", "said"),
    [(["--cron", "often"], "not a cron line"), (["--timezone", "Mars"], "found '0 5 * * 1' and 'Mars'")],
)
def test_what_is_no_schedule_is_told(
    projects: list[Path], server: dict[str, str], arguments: list[str], said: str
) -> None:
    assert said in refit(projects[0], "deploy", *arguments, code=1, env=server)


def test_without_a_server_the_message_says_what_to_start(tmp_path: Path) -> None:
    said = refit(named(tmp_path / "p", "p"), "deploy", code=1, env=alone())
    assert "prefect server start" in said


def test_prefect_yaml_makes_what_refit_deploy_makes(projects: list[Path], server: dict[str, str]) -> None:
    """Of a project with pools of its own, by Prefect's own command, as the file's first lines say."""
    from prefect.client.orchestration import SyncPrefectClient

    root = projects[1]
    params = root / "params.yaml"
    params.write_text(params.read_text().replace("{parallel", "{pools: {cpu: orchard}, parallel"))
    said = refit(root, "deploy", "--write", "--cron", "30 4 * * *", "--timezone", "Europe/Berlin", env=alone())
    assert "wrote prefect.yaml: due at '30 4 * * *' (Europe/Berlin)" in said
    assert "prefect.before.yaml" not in said
    refit(root, "deploy", env=server)
    names = [f"{flow}/pears" for flow in ("retrain", "rollback", "refit-stage")]
    names[2] += "-orchard"
    with SyncPrefectClient(server["PREFECT_API_URL"]) as client:

        def made() -> list[dict[str, object]]:
            found = [client.read_deployment_by_name(name) for name in names]
            for one in found:
                assert one.created is not None
            changing = {"id", "created", "updated", "last_polled", "status"}
            own = {"schedules", "global_concurrency_limit", "version_info", "version_id", "branch"}
            return [
                one.model_dump(mode="json", exclude=changing | own)
                | {"schedules": [(each.schedule, each.active) for each in one.schedules]}
                for one in found
            ]

        by_refit = made()
        for name in names:
            client.delete_deployment(client.read_deployment_by_name(name).id)
        command = [sys.executable, "-m", "prefect", "deploy", "--all"]
        subprocess.run(command, cwd=root, env=server, check=True, stdin=-3, stdout=-3)
        by_prefect = made()
    assert by_prefect == by_refit
    step = {"prefect.deployments.steps.set_working_directory": {"directory": str(root)}}
    assert (by_refit[0]["parameters"], by_refit[0]["pull_steps"]) == ({"root": str(root)}, [step]), "nothing is copied"
