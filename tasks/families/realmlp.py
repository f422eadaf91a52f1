"""RealMLP (Holzmüller et al., 2024): a multilayer perceptron with the tuned defaults of pytabkit, trained by pytabkit.

Its fitted object is a tree of layers that only a pickle could hold. But which layers there are depends on the
configuration and the columns alone, and what was learnt is in their tensors: so a loaded model builds the same
tree over two made-up rows, and puts the stored tensors into it.
"""

from __future__ import annotations

import contextlib
import logging
import math
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, TypedDict

import numpy as np

from tasks.errors import RefitError, nearest, some
from tasks.files import read_json, write_json
from tasks.fitting.activations import check_activation
from tasks.fitting.base import Curves, Fitted, Job, Notes
from tasks.fitting.counts import Only
from tasks.fitting.estimators import refuse_weights
from tasks.fitting.networks import by_blocks, fewer_epochs, pytabkit, settled, varied
from tasks.fitting.space import Number, OneOf, Settings, Space, as_int, whole
from tasks.kinds import MANY, NUMBER, TWO, find_kind, softmax

if TYPE_CHECKING:
    from torch import Tensor

NAME = "realmlp"
OUTPUTS = (TWO, MANY, NUMBER)
ALSO = ("layers", "wd", "ls_eps", "act", "epochs", "batch_size")  # parameters beside those of the space
COUNTS = {"ls_eps": Only((TWO, MANY))}
NEEDS = "codes"
HARDWARE = "gpu"
STEPS = True
WEIGHS = False  # rows

# What pytabkit calls them; None: its own default for the kind of problem.
DEFAULTS: Settings = {
    "layers": 3,
    "width": 256,
    "lr": None,
    "p_drop": 0.15,
    "wd": 2e-2,
    "plr_sigma": 0.1,
    "ls_eps": None,
    "num_emb_type": "pbld",
    "act": None,
    "epochs": None,
    "batch_size": "auto",
}
SMOOTHING = 0.02  # of labels; pytabkit's 0.1 is for accuracy, and doubled the log loss where classes are clear
ACTIVATIONS = ("relu", "selu", "silu", "swish", "sswish", "mish", "smish", "gelu", "elu", "golu")  # pytabkit's
EMBEDDINGS = ("pbld", "pl", "plr", "none")


def space(kind: str, rows: int, columns: int) -> Space:
    low, high, start = (0.01, 0.2, 0.04) if find_kind(kind).output.classes else (0.02, 0.5, 0.2)
    return {
        "width": whole(64, 384, 256, log=True),
        "lr": Number(low, high, start, log=True),
        "p_drop": Number(0.0, 0.4, 0.15, limits=(0.0, 0.9)),
        "plr_sigma": Number(0.03, 1.0, 0.1, log=True),
        "num_emb_type": OneOf(EMBEDDINGS, "pbld"),
    }


def check(params: Settings) -> None:
    """Refuse what can be refused before any work."""
    if params.get("act") is not None:
        check_activation("models.realmlp.params.act", params["act"], ACTIVATIONS)


class RealMLPShape(TypedDict):
    """All that the tree of layers depends on, as ``realmlp.json`` holds it: positions of columns, and pytabkit's ``config``."""

    numbers: list[int]
    codes: list[int]
    levels: list[int]
    classes: int
    config: Settings


class RealMLP:
    """A trained RealMLP on encoded rows."""

    FORMAT: ClassVar[str] = "realmlp"

    def __init__(self, shape: RealMLPShape, module: Any, kind: str) -> None:
        """``shape`` says how to build the tree of layers that ``module`` (pytabkit's TabNNModule) holds."""
        self.shape, self.kind = shape, kind
        self.layers, self.still = module.model.eval(), module.creator.static_model.eval()
        self.history: Curves = {}
        self.notes: Notes = {}

    def predict(self, Z: np.ndarray) -> np.ndarray:
        return by_blocks(Z, self._scores)

    def _scores(self, Z: np.ndarray) -> np.ndarray:
        import torch

        with torch.inference_mode():
            batch = self.still(_inputs(Z, self.shape))
            found = self.layers({k: v[None] for k, v in batch.items()})["x_cont"][0].numpy()
        return _scores(found, self.kind)

    def save(self, folder: Path) -> None:
        from safetensors.torch import save_file

        state = {f"layers.{k}": v for k, v in self.layers.state_dict().items()}
        state |= {f"still.{k}": v for k, v in self.still.state_dict().items()}
        save_file({k: v.detach().cpu().contiguous().clone() for k, v in state.items()}, folder / "realmlp.safetensors")
        write_json(folder / "realmlp.json", self.shape)

    @classmethod
    def load(cls, folder: Path, kind: str, classes: int) -> RealMLP:
        from safetensors.torch import load_file

        shape, state = read_json(folder / "realmlp.json"), load_file(folder / "realmlp.safetensors")
        width = 1 + max((*shape["numbers"], *shape["codes"]))
        Z, y = np.zeros((2, width)), np.arange(2.0)
        Z[1, shape["numbers"]] = 1.0
        with _quiet():
            out = cls(shape, _module(shape, Z, y, 1, "cpu", 1, 0), kind)
        out.layers.load_state_dict({k.removeprefix("layers."): v for k, v in state.items() if k[:6] == "layers"})
        out.still.load_state_dict({k.removeprefix("still."): v for k, v in state.items() if k[:5] == "still"})
        return out


FORMATS = {RealMLP.FORMAT: RealMLP.load}


def fit(params: Settings, job: Job) -> Fitted:
    import torch

    from tasks.fitting.device import choose_device

    refuse_weights(job, NAME)
    how = settled(NAME, params, DEFAULTS)
    check(how)
    if how["num_emb_type"] not in EMBEDDINGS:
        raise RefitError(
            f"models.realmlp.params.num_emb_type: {how['num_emb_type']!r} is not one of {some(EMBEDDINGS)}."
            + nearest(str(how["num_emb_type"]), EMBEDDINGS)
        )
    torch.set_num_threads(job.threads)
    device = choose_device(job.device, "torch", job.log)
    shape = _shape(how, job)
    epochs = as_int(how["epochs"] or fewer_epochs(len(job.X), 24, 128))
    Z, y = np.concatenate([job.X, job.X_valid]), np.concatenate([job.y, job.y_valid])
    where = "cuda:0" if device == "cuda" else "cpu"
    with _quiet():
        module = _module(shape, Z, y, len(job.X), where, epochs, job.seed, threads=job.threads)
        watch = _watcher(job)
        # The same Lightning that pytabkit itself uses: there are two packages of that name.
        lightning = pytabkit("models.alg_interfaces.nn_interfaces", NAME).pl
        trainer = lightning.Trainer(
            accelerator="gpu" if device == "cuda" else "cpu",
            devices=1,
            callbacks=[*module.create_callbacks(), watch],
            max_epochs=epochs,
            logger=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            num_sanity_val_steps=0,
        )
        trainer.fit(model=module, train_dataloaders=module.train_dl, val_dataloaders=module.val_dl)
        module.to("cpu")
    fitted = RealMLP(shape, module, job.kind)
    fitted.history = {"valid_loss": watch.losses}
    fitted.notes = {"epochs": int(np.argmin(watch.losses)) + 1 if watch.losses else 0, "device": device}
    return fitted


def _shape(how: Settings, job: Job) -> RealMLPShape:
    """All that the tree of layers depends on: the columns, and pytabkit's configuration."""
    defaults = pytabkit("models.sklearn.default_params", NAME).DefaultParams
    config = dict(defaults.RealMLP_TD_CLASS if job.output.classes else defaults.RealMLP_TD_REG)
    own = ("lr", "p_drop", "wd", "plr_sigma", "ls_eps", "num_emb_type", "act", "batch_size")
    config |= {k: how[k] for k in own if how[k] is not None}
    config["hidden_sizes"] = [as_int(how["width"])] * as_int(how["layers"])
    if job.output.classes and how["ls_eps"] is None:
        config["ls_eps"] = SMOOTHING
    config["val_metric_name"] = "cross_entropy" if job.output.classes else "rmse"
    config.pop("n_epochs")
    numbers, codes = varied(job.X, job.coded, NAME)
    return {
        "numbers": numbers,
        "codes": codes,
        "levels": [job.coded[j] for j in codes],  # code 0, missing or unseen, is theirs too
        "classes": job.classes if job.output.classes else 0,
        "config": config,
    }


def _inputs(Z: np.ndarray, shape: RealMLPShape) -> dict[str, Tensor]:
    import torch

    x = torch.from_numpy(np.ascontiguousarray(Z[:, shape["numbers"]], dtype=np.float32))
    return {"x_cont": x, "x_cat": torch.from_numpy(Z[:, shape["codes"]].astype(np.int64))}


def _scores(margins: np.ndarray, kind: str) -> np.ndarray:
    return softmax(margins.astype(float)) if find_kind(kind).output.classes else margins[:, 0].astype(float)


def _module(
    shape: RealMLPShape, Z: np.ndarray, y: np.ndarray, cut: int, device: str, epochs: int, seed: int, threads: int = 1
) -> Any:
    """pytabkit's module over rows whose first ``cut`` train and whose others validate; not trained yet."""
    import torch

    base, data = pytabkit("models.alg_interfaces.base", NAME), pytabkit("models.data.data", NAME)
    learner = pytabkit("models.training.lightning_modules", NAME)
    quiet = pytabkit("models.training.logging", NAME).StdoutLogger(-1)
    classes = shape["classes"]
    target = torch.from_numpy(y.astype(np.int64 if classes else np.float32))[:, None]
    infos = {
        "x_cont": data.TensorInfo(feat_shape=[len(shape["numbers"])]),
        "x_cat": data.TensorInfo(cat_sizes=shape["levels"]),
        "y": data.TensorInfo(cat_sizes=[classes]) if classes else data.TensorInfo(feat_shape=[1]),
    }
    rows = data.DictDataset(_inputs(Z, shape) | {"y": target}, infos, device="cpu")
    order = torch.arange(len(Z))
    split = base.SplitIdxs(order[None, :cut], order[None, cut:], None, seed, [seed], 0)
    module = learner.TabNNModule(n_epochs=epochs, logger=quiet, **shape["config"])
    resources = base.InterfaceResources(threads, [device] if device != "cpu" else [])
    with torch.random.fork_rng(devices=[]):  # it sets torch's seed itself; nobody else's draws are to change
        module.compile_model(rows.to(device), [split], resources)
    torch.manual_seed(seed)
    return module


def _watcher(job: Job) -> Any:
    """A callback of the trainer that tells the tuner about each epoch and stops when time is up."""
    callback = pytabkit("models.training.lightning_callbacks", NAME).Callback

    class Watch(callback):  # type: ignore[misc, valid-type]
        def __init__(self) -> None:
            self.losses: list[float] = []

        def on_train_batch_end(self, trainer: Any, *_: Any) -> None:
            trainer.should_stop = trainer.should_stop or job.late  # validation still runs, and the best is restored

        def on_validation_end(self, trainer: Any, module: Any) -> None:
            margins = np.concatenate([part[0].float().cpu().numpy() for part in module.val_preds])
            self.losses.append(_loss(margins, job))
            job.step(len(self.losses), lambda: _scores(margins, job.kind))
            trainer.should_stop = trainer.should_stop or not math.isfinite(self.losses[-1])

    return Watch()


def _loss(margins: np.ndarray, job: Job) -> float:
    """Root mean squared error, or log loss, of the validation rows."""
    scores = _scores(margins, job.kind)
    if not job.output.classes:
        return float(np.sqrt(np.mean((scores - job.y_valid) ** 2)))
    return float(-np.log(np.clip(scores[np.arange(len(scores)), job.y_valid.astype(int)], 1e-15, None)).mean())


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Without Lightning's lines about devices, and its own deprecation warnings."""
    loggers = [logging.getLogger(name) for name in ("lightning.pytorch", "pytorch_lightning", "lightning")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
