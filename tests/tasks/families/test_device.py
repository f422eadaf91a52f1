"""`training.device`: one rule for every family, seen in what is passed on, and in the pool that its stages go to."""

import json
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

import lightgbm
import numpy as np
import pytest
import torch
import xgboost

from flows.node import Node
from flows.pools import wanted
from tasks.errors import RefitError
from tasks.families import find_family
from tasks.families.xgboost import memory as memory
from tasks.families.xgboost.batches import fit_batches
from tasks.fitting.base import Job
from tasks.fitting.device import choose_device, gpus
from tasks.fitting.encoded import encode_to, outline
from tasks.fitting.setup import Setup
from tasks.kinds import kinds_of
from tasks.listed import family_names
from tasks.models import check_models
from tasks.params import Params, loads
from tests.samples import features_folder

GPU = ("auto", "mlp", "realmlp", "tabm", "xgboost")  # what can use one
OPTIONAL = (
    pytest.mark.skipif(find_spec("pytabkit") is None, reason="pytabkit is not installed (extra: networks)"),
    pytest.mark.slow,
)
FAMILIES = [pytest.param(n, marks=OPTIONAL if n in ("realmlp", "tabm") else ()) for n in family_names() if n != "auto"]
DEVICES = ("auto", "cpu", "cuda")


class Passed(Exception):
    """What a family passes on, before a GPU would have to be there."""


@pytest.fixture
def a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine with a GPU, as far as the rule can see."""
    monkeypatch.setattr("tasks.fitting.device.gpus", lambda: 1)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)


@pytest.fixture
def passed_on(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each library's own entry tells what it got, in place of computing."""

    def boost(params: dict, *_: object, **__: object) -> None:
        raise Passed(params.get("device", params.get("device_type", "cpu")))

    def move(module: torch.nn.Module, device: object, *_: object, **__: object) -> None:
        raise Passed(str(device))

    def trainer(*_: object, accelerator: str, **__: object) -> None:
        raise Passed({"gpu": "cuda"}.get(accelerator, accelerator))

    monkeypatch.setattr(xgboost, "train", boost)
    monkeypatch.setattr(lightgbm, "train", boost)
    monkeypatch.setattr(torch.nn.Module, "to", move)
    if find_spec("pytabkit") is not None:
        from tasks.families import realmlp

        monkeypatch.setattr(
            realmlp, "_module", lambda shape, Z, y, cut, device, *_, **__: trainer(accelerator=device[:4])
        )


def job(kind: str, device: str) -> Job:
    rng = np.random.default_rng(0)
    X, y = rng.random((60, 3)), np.arange(60.0) % 2
    return Job(
        kind,
        0 if kind == "regression" else 2,
        X[:40],
        y[:40],
        X[40:],
        y[40:],
        coded={},
        device=device,
        names=list("abc"),
    )


def device_of(name: str, device: str) -> str:
    """Where a family would compute; one that has passed on nothing and is fitted has used the CPU."""
    family = find_family(name)
    kind = "binary" if "binary" in kinds_of(*family.OUTPUTS) else "regression"
    one = job(kind, device)
    if name == "mixed_effects":
        one = replace(one, X=one.X.round(), coded={0: 2})
    try:
        family.fit({}, one)
    except Passed as found:
        return str(found)
    return "cpu"


@pytest.mark.parametrize("name", FAMILIES)
def test_every_family_computes_where_the_rule_says(name: str, a_gpu: None, passed_on: None):
    assert (find_family(name).HARDWARE == "gpu") == (name in GPU)
    asked = DEVICES if name in GPU else ("cuda",)
    assert {d: device_of(name, d) for d in asked} == {d: "cuda" if name in GPU and d != "cpu" else "cpu" for d in asked}


def test_without_a_gpu_all_is_computed_by_the_cpu_and_said_where_one_was_asked_for(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("tasks.fitting.device.gpus", lambda: 0)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    for library in ("torch", "xgboost"):
        lines: list[str] = []
        assert [choose_device(d, library, lines.append) for d in DEVICES] == ["cpu"] * 3
        assert lines == [f"training.device is cuda, and {library} finds no GPU here: training on the CPU"]


def test_the_driver_is_asked_for_gpus():
    assert gpus() == torch.cuda.device_count()


def test_rows_in_batches_keep_the_device_and_rows_on_disk_say_why_not(tmp_path: Path, a_gpu: None, passed_on: None):
    folder = features_folder(tmp_path, "binary")
    rows = outline(folder)
    names = [f["name"] for f in json.loads((folder / "summary.json").read_text())["features"]]
    encoder, made = encode_to(tmp_path, rows, names, Setup("binary", 2, rows.kinds, seed=1))

    def device(gigabytes: float, wish: str, lines: list[str]) -> str:
        limit = memory.Memory(int(gigabytes * memory.GB), "said so")
        with pytest.raises(Passed) as found:
            fit_batches({}, Setup("binary", device=wish), encoder, made, tmp_path, limit=limit, log=lines.append)
        return str(found.value)

    lines: list[str] = []
    assert [device(8, wish, lines) for wish in DEVICES] == ["cuda", "cpu", "cuda"]
    assert not any("GPU cannot read" in line for line in lines)
    assert [device(1e-6, wish, lines) for wish in DEVICES] == ["cpu"] * 3
    assert sum("a GPU cannot read rows from disk" in line for line in lines) == 2


def test_rows_that_a_gpu_has_no_room_for_are_trained_on_by_the_cpu(a_gpu: None, monkeypatch: pytest.MonkeyPatch):
    real, asked = xgboost.train, []

    def full(how: dict, *rest: object, **more: object) -> object:
        asked.append(how["device"])
        if how["device"] == "cuda":
            raise xgboost.core.XGBoostError("Memory allocation error: cudaErrorMemoryAllocation: out of memory")
        return real(how, *rest, **more)

    lines: list[str] = []
    plain = find_family("xgboost").fit({"rounds": 5}, job("binary", "cpu"))
    monkeypatch.setattr(xgboost, "train", full)
    fitted = find_family("xgboost").fit({"rounds": 5}, replace(job("binary", "auto"), log=lines.append))
    assert asked == ["cuda", "cpu"]
    assert lines[-1] == "the rows do not fit in the GPU's memory: training xgboost on the CPU"
    X = job("binary", "cpu").X_valid
    assert np.array_equal(fitted.predict(X), plain.predict(X))


def params(models: str, device: str = "auto", pools: str = "{}", more: str = "") -> Params:
    return loads(
        f"""
problem: {{name: t, kind: regression, table: t, target: y}}
data: {{tables: {{t: {{source: t.csv, columns: {{y: numeric, x: numeric}}}}}}}}
models: {models}
training: {{device: {device}}}
orchestration: {{pools: {pools}}}
{more}
""",
        "params.yaml",
    )


def node(name: str, **meta: str) -> Node:
    return Node(name, "true", "", dict(meta), (), (), (), None)  # type: ignore[arg-type]


BOTH, CPU_ONLY = "{cpu: a, gpu: b}", "{cpu: a}"


@pytest.mark.parametrize("name", family_names())
def test_the_stages_of_a_family_go_to_the_pool_that_the_same_rule_says(name: str):
    def goes(stage: str, device: str, pools: str) -> str:
        return wanted(node(f"{stage}@{name}"), params("{ridge: {}}", device, pools))

    for stage in ("tune", "train"):
        for device in DEVICES:
            able = name in GPU and device != "cpu"
            assert goes(stage, device, BOTH) == ("gpu" if able else "cpu")
            # Without a pool for GPUs: `auto` leaves all to the pool there is, `cuda` keeps what can use one here.
            assert goes(stage, device, CPU_ONLY) == ("gpu" if able and device == "cuda" else "cpu")


def test_what_is_said_in_the_dag_and_what_spark_trains_go_their_own_way():
    assert wanted(node("train@xgboost", pool="cpu"), params("{xgboost: {}}", "auto", BOTH)) == "cpu"
    assert wanted(node("features", pool="gpu"), params("{ridge: {}}", "cpu", BOTH)) == "gpu"
    assert wanted(node("evaluate"), params("{mlp: {}}", "cuda", BOTH)) == "cpu"
    spark = params("{xgboost: {}}", "auto", BOTH, "features: {engine: spark}")
    assert [wanted(node(f"{stage}@xgboost"), spark) for stage in ("tune", "train")] == ["gpu", "cpu"]


def test_a_gpu_that_nothing_can_use_is_refused_beforehand():
    check_models(params("{ridge: {}, mlp: {}}", "cuda"))
    check_models(params("{ridge: {}, lightgbm: {}}", "auto"))
    with pytest.raises(
        RefitError, match=r"training.device: 'cuda', and 'ridge', 'lightgbm' can compute on the CPU only. Set auto"
    ):
        check_models(params("{ridge: {}, lightgbm: {}}", "cuda"))
    with pytest.raises(
        RefitError, match=r"xgboost is trained by Spark's tasks, on the CPU. Set device: auto or cpu, or engine"
    ):
        check_models(params("{xgboost: {}}", "cuda", more="features: {engine: spark}"))
