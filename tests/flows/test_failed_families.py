"""A family that fails leaves the others to win: the run, the receipt, the report and the registry say so."""

from __future__ import annotations

from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import pytest

from flows.commands import StageFailed
from flows.dag import Dag
from flows.node import Node, Outcome
from flows.stages import Without
from flows.walk import walk
from flows.watcher import Watcher
from tasks.artifacts import Failed
from tasks.files import read_json
from tasks.registry.tracking import PARENT, Registry
from tests.flows.project import copied, make_project, recorded, refit

pytestmark = pytest.mark.flows
MODEL = "iris-target"


def test_the_others_win_and_everything_says_so(iris: Path, tmp_path: Path, server: dict[str, str]) -> None:
    root = copied(iris, tmp_path / "copy")
    params = root / "params.yaml"
    whole = params.read_text()
    params.write_text(whole.replace("gradient_boosting: {}", "gradient_boosting: {params: {learning_rate: -1.0}}"))
    said = refit(root, "run", "--plain", env=server)
    assert "note      gradient_boosting failed in tune@gradient_boosting and was left out: " in said
    assert "family    logistic" in said
    why = Failed.find(root / "data" / "models" / "gradient_boosting")
    assert why is not None
    assert why == Failed.find(root / "data" / "tuning" / "gradient_boosting")
    assert why.stage == "tune"
    assert "learning_rate" in why.why
    assert not {name for name in recorded(root) if name.endswith("@gradient_boosting")}, "the next run tries again"
    assert read_json(root / "data" / "package" / "receipt.json")["failed"] == {"gradient_boosting": why.to_dict()}
    assert "failed in tuning and was left out: " in (root / "data" / "reports" / "report.html").read_text()
    registry = Registry(root)
    version = registry.versions(MODEL)[-1]
    runs = registry.client.search_runs([registry.experiment(MODEL)])
    nested = {r.info.run_name.partition(":")[0]: r for r in runs if r.data.tags.get(PARENT) == version.run_id}
    assert nested["gradient_boosting"].info.status == "FAILED"
    assert nested["gradient_boosting"].data.tags["failed"] == why.why
    told = refit(root, "verify", version.version, "--rebuild")
    assert "made without gradient_boosting, which failed in tune" in told
    assert "every byte the same" in told


DAG = """\
stages:
  tune:
    foreach: [logistic, ridge]
    do:
      cmd: python fit.py ${item}
      deps: [fit.py]
      outs: ["data/tuning/${item}"]
  evaluate:
    cmd: python fit.py evaluate
    deps: [fit.py, data/tuning]
    outs: [data/evaluation]
"""
FIT = """\
import pathlib, sys
name = sys.argv[1]
if (pathlib.Path("fail") / name).exists():
    print("a line of a traceback")
    sys.exit("ValueError: no number\\x1b[2J")
made = pathlib.Path("data/evaluation" if name == "evaluate" else f"data/tuning/{name}")
made.mkdir(parents=True)
(made / "said").write_text(name)
"""


@pytest.mark.parametrize("failing", [["logistic"], ["logistic", "ridge"], ["evaluate"]])
def test_all_fail_or_some_or_what_is_no_family(failing: list[str], tmp_path: Path) -> None:
    project = make_project(tmp_path)
    (project / "dvc.yaml").write_text(DAG)
    (project / "fit.py").write_text(FIT)
    text = (project / "params.yaml").read_text()
    (project / "params.yaml").write_text(text.replace("models: {logistic: {}}", "models: {logistic: {}, ridge: {}}"))
    for name in failing:
        (project / "fail").mkdir(exist_ok=True)
        (project / "fail" / name).touch()
    with Dag(project) as dag, ThreadPoolExecutor(1) as threads:
        without = Without(dag, dag.seal.params(), Watcher())

        def start(node: Node) -> Future[Outcome]:
            return threads.submit(dag.run, node.name, lambda line: None)

        def settle(node: Node, future: Future[Outcome]) -> BaseException | None:
            return without.settle(node, future.exception())

        if failing == ["logistic"]:
            walk(dag.nodes, start, 1, settle)
            record = Failed.find(project / "data" / "tuning" / "logistic")
            why = "the command failed with exit code 1. ValueError: no number\x1b[2J"
            assert record == Failed(family="logistic", stage="tune", why=why)
            assert set(recorded(project)) == {"tune@ridge", "evaluate"}
            return
        with pytest.raises(StageFailed) as told:
            walk(dag.nodes, start, 1, settle)
        every = "all families failed. logistic: the command failed with exit code 1. ValueError: no number"
        assert str(told.value).startswith(every if len(failing) > 1 else "evaluate: the command failed")
        assert ("ridge: " in str(told.value)) == (len(failing) > 1)


def test_what_is_given_up_is_no_result(tmp_path: Path) -> None:
    project = make_project(tmp_path)
    with Dag(project) as dag:
        for name in dag.nodes:
            dag.run(name, lambda line: None)
        dag.give_up("fit@p", Failed(family="p", stage="fit", why="no memory"))
        assert [path.name for path in (project / "data" / "fit_p").iterdir()] == [Failed.NAME]
        assert "fit@p" not in recorded(project)
        assert dag.changed("fit@p")
        assert dag.changed("join")
    with Dag(project) as dag:
        assert dag.run("fit@p", lambda line: None).how == "restored"
        assert Failed.find(project / "data" / "fit_p") is None
        assert dag.run("join", lambda line: None).how in ("restored", "unchanged")
