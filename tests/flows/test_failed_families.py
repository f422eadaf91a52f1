"""A family that fails leaves the others to win: the run, the receipt, the report and the registry say so."""

from __future__ import annotations

from pathlib import Path

import pytest

from flows.dag import Dag
from tasks.files import FAILED, failure_of, read_json
from tasks.registry.tracking import PARENT, Registry
from tests.flows.project import copied, make_project, recorded, refit

pytestmark = pytest.mark.flows
MODEL = "iris-target"
WHY = "models.gradient_boosting"


def test_the_others_win_and_everything_says_so(iris: Path, tmp_path: Path, server: dict[str, str]) -> None:
    root = copied(iris, tmp_path / "copy")
    params = root / "params.yaml"
    whole = params.read_text()
    params.write_text(whole.replace("gradient_boosting: {}", "gradient_boosting: {params: {learning_rate: -1.0}}"))
    said = refit(root, "run", "--plain", env=server)
    assert "note      gradient_boosting failed in tune@gradient_boosting and was left out: " in said
    assert "family    logistic" in said
    why = failure_of(root / "data" / "models" / "gradient_boosting")
    assert why is not None
    assert why == failure_of(root / "data" / "tuning" / "gradient_boosting")
    assert why["stage"] == "tune"
    assert "learning_rate" in why["why"]
    assert not {name for name in recorded(root) if name.endswith("@gradient_boosting")}, "the next run tries again"
    assert read_json(root / "data" / "package" / "receipt.json")["failed"] == {"gradient_boosting": why}
    assert "failed in tuning and was left out: " in (root / "data" / "reports" / "report.html").read_text()
    registry = Registry(root)
    version = registry.versions(MODEL)[-1]
    runs = registry.client.search_runs([registry.experiment(MODEL)])
    nested = {r.info.run_name: r for r in runs if r.data.tags.get(PARENT) == version.run_id}
    assert nested["gradient_boosting"].info.status == "FAILED"
    assert nested["gradient_boosting"].data.tags["failed"] == why["why"]
    told = refit(root, "verify", version.version, "--rebuild")
    assert "made without gradient_boosting, which failed in tune" in told
    assert "every byte the same" in told


def test_where_all_fail_the_run_fails_with_every_reason(iris: Path, tmp_path: Path, server: dict[str, str]) -> None:
    root = copied(iris, tmp_path / "copy")
    params = root / "params.yaml"
    text = params.read_text().replace("gradient_boosting: {}", "gradient_boosting: {params: {learning_rate: -1.0}}")
    params.write_text(text.replace("logistic: {}", "logistic: {params: {C: -1.0}}"))
    said = refit(root, "run", "--plain", env=server, code=1)
    last = next(line for line in said.splitlines() if line.startswith("error: "))
    assert "all families failed" in last
    assert "gradient_boosting: " in last
    assert "logistic: " in last


def test_what_is_given_up_is_no_result(tmp_path: Path) -> None:
    project = make_project(tmp_path)
    with Dag(project) as dag:
        for name in dag.nodes:
            dag.run(name, lambda line: None)
        dag.give_up("fit@p", {"family": "p", "stage": "fit", "why": "no memory"})
        assert [path.name for path in (project / "data" / "fit_p").iterdir()] == [FAILED]
        assert "fit@p" not in recorded(project)
        assert dag.changed("fit@p")
        assert dag.changed("join")
    with Dag(project) as dag:
        assert dag.run("fit@p", lambda line: None).how == "restored"
        assert failure_of(project / "data" / "fit_p") is None
        assert dag.run("join", lambda line: None).how in ("restored", "unchanged")
