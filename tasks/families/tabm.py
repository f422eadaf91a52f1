"""TabM (Gorishniy et al., 2024): many networks that share most weights, each scored by itself and averaged.

The module is pytabkit's, in its form TabM-mini with piecewise-linear embeddings; the loop around it is ours, since
a search has to see each epoch, stop a trial and keep its time.
"""

from __future__ import annotations

import math
import warnings
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, ClassVar, TypedDict

import numpy as np

from tasks.files import read_json, write_json
from tasks.fitting.activations import ACTIVATIONS, ELEMENTWISE, check_activation
from tasks.fitting.base import Curves, Fitted, Job, Notes, Turn
from tasks.fitting.checkpoint import Resumable
from tasks.fitting.networks import by_blocks, fewer_epochs, pytabkit, settled, varied
from tasks.fitting.space import Number, Settings, Space, as_float, as_int, whole
from tasks.kinds import MANY, NUMBER, TWO, find_kind, softmax

if TYPE_CHECKING:
    from torch import Tensor, nn

NAME = "tabm"
OUTPUTS = (TWO, MANY, NUMBER)
ALSO = (
    "activation",
    "k",
    "bins",
    "embedding",
    "epochs",
    "batch_size",
    "patience",
)  # parameters beside those of the space
NEEDS = "codes"
HARDWARE = "gpu"
STEPS = True
CHANGEABLE = ("lr", "weight_decay")  # the shape of the network may not
TURNED = ("epochs", "patience")
TURN = 2  # epochs

DEFAULTS: Settings = {
    "layers": 2,
    "width": 192,
    "dropout": 0.1,
    "activation": "relu",
    "lr": 2e-3,
    "weight_decay": 3e-3,
    "k": 16,  # networks in one
    "bins": 32,  # pieces of a number's embedding
    "embedding": 8,
    "epochs": None,
    "batch_size": None,
    "patience": 10,
}


def space(kind: str, rows: int, columns: int) -> Space:
    return {
        "layers": whole(1, 4, 2, limits=(1, 16)),
        "width": whole(64, 384, 192, log=True),
        "dropout": Number(0.0, 0.5, 0.1, limits=(0.0, 0.9)),
        "lr": Number(5e-4, 1e-2, 2e-3, log=True),
        "weight_decay": Number(1e-4, 0.1, 3e-3, log=True),
    }


def check(params: Settings) -> None:
    """Refuse what can be refused before any work."""
    if "activation" in params:
        check_activation("models.tabm.params.activation", params["activation"], ELEMENTWISE)


class TabMShape(TypedDict):
    """All that the layers depend on, as ``tabm.json`` holds it; ``numbers`` and ``codes`` are positions of columns."""

    numbers: list[int]
    codes: list[int]
    levels: list[int]
    outputs: int
    layers: int
    width: int
    dropout: float
    activation: str
    k: int
    embedding: int
    center: float
    spread: float


class TabM:
    """A trained TabM on encoded rows."""

    FORMAT: ClassVar[str] = "tabm"

    def __init__(self, shape: TabMShape, bins: list[Tensor], kind: str) -> None:
        """``shape`` says how to build the module; ``bins`` are the edges of each number's pieces, as tensors."""
        module = pytabkit("models.nn_models.tabm", NAME)
        self.shape, self.bins, self.kind = shape, bins, kind
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # a flag has two edges, which it calls unusual
            self.network = self._network(module)
        self.history: Curves = {}
        self.notes: Notes = {}

    def _network(self, module: ModuleType) -> nn.Module:
        shape, bins = self.shape, self.bins
        pieces = {
            "type": "PiecewiseLinearEmbeddings",
            "d_embedding": shape["embedding"],
            "activation": False,
            "version": "B",
        }
        return module.Model(
            n_num_features=len(shape["numbers"]),
            cat_cardinalities=shape["levels"],
            n_classes=shape["outputs"],
            backbone={
                "type": "MLP",
                "n_blocks": shape["layers"],
                "d_block": shape["width"],
                "dropout": shape["dropout"],
                "activation": ACTIVATIONS[shape.get("activation", "relu")],  # older packages name none
            },
            bins=bins or None,
            num_embeddings=pieces if bins else None,
            arch_type="tabm-mini",
            k=shape["k"],
            share_training_batches=True,
        )

    def place(self, device: str) -> TabM:
        """Move the weights to ``cpu`` or ``cuda``."""
        self.network.to(device)
        return self

    def tensors(self, Z: np.ndarray, device: str = "cpu") -> tuple[Tensor | None, Tensor | None]:
        """Numbers float32 and codes of encoded rows; None where there are none.

        A level that training has not seen (our code 0) becomes the one past the last, which means none of them.
        """
        import torch

        x = torch.from_numpy(np.ascontiguousarray(Z[:, self.shape["numbers"]], dtype=np.float32)).to(device)
        codes = Z[:, self.shape["codes"]].astype(np.int64) - 1
        codes = np.where(codes < 0, np.asarray(self.shape["levels"], dtype=np.int64), codes)
        c = torch.from_numpy(codes).to(device)
        return (x if x.shape[1] else None), (c if c.shape[1] else None)

    def margins(self, x: Tensor | None, c: Tensor | None) -> np.ndarray:
        """``(n, k, outputs)`` float64, in batches that fit memory."""
        import torch

        self.network.eval()
        known = x if x is not None else c
        assert known is not None
        shape, n = self.shape, len(known)
        wide = max(shape["width"], len(shape["numbers"]) * shape["embedding"] + sum(shape["levels"]))
        rows = max(1, 20_000_000 // (shape["k"] * wide))
        found = []
        with torch.inference_mode():
            for start in range(0, n, rows):
                part = slice(start, start + rows)
                found.append(self.network(x if x is None else x[part], c if c is None else c[part]).cpu().numpy())
        return np.concatenate(found).astype(float)

    def scores(self, margins: np.ndarray) -> np.ndarray:
        """Mean over the ``k`` networks: of the numbers, or of the probabilities."""
        if not find_kind(self.kind).output.classes:
            return margins[:, :, 0].mean(axis=1) * self.shape["spread"] + self.shape["center"]
        n, k, outputs = margins.shape
        return softmax(margins.reshape(n * k, outputs)).reshape(n, k, outputs).mean(axis=1)

    def predict(self, Z: np.ndarray) -> np.ndarray:
        return by_blocks(Z, lambda block: self.scores(self.margins(*self.tensors(block))))

    def save(self, folder: Path) -> None:
        from safetensors.torch import save_file

        state = {f"network.{k}": v.contiguous() for k, v in self.network.state_dict().items()}
        state |= {f"bins.{i}": edges.contiguous() for i, edges in enumerate(self.bins)}
        save_file(state, folder / "tabm.safetensors")
        write_json(folder / "tabm.json", self.shape)

    @classmethod
    def load(cls, folder: Path, kind: str, classes: int) -> TabM:
        from safetensors.torch import load_file

        shape, state = read_json(folder / "tabm.json"), load_file(folder / "tabm.safetensors")
        bins = [state[f"bins.{i}"] for i in range(sum(k.startswith("bins.") for k in state))]
        out = cls(shape, bins, kind)
        out.network.load_state_dict({k.removeprefix("network."): v for k, v in state.items() if k[:4] != "bins"})
        return out


class TabMTrainer(Resumable):
    """Trains one TabM, epoch by epoch."""

    def __init__(self, params: Settings, job: Job) -> None:
        import torch

        from tasks.fitting.device import choose_device

        self.how = how = settled(NAME, params, DEFAULTS)
        check(how)
        self.job = job
        module = pytabkit("models.nn_models.tabm", NAME)
        rows = len(job.X)
        torch.set_num_threads(job.threads)
        torch.manual_seed(job.seed)
        self.device = device = choose_device(job.device, "torch", job.log)
        self.model = _model(how, job).place(device)
        self.network = self.model.network
        self.x, self.c = self.model.tensors(job.X, device)
        self.valid = self.model.tensors(job.X_valid, device)
        self.y, y_valid = (_target(values, self.model.shape, job.kind).to(device) for values in (job.y, job.y_valid))
        self.y_valid = y_valid.cpu().numpy()
        self.weight = None if job.weight is None else torch.from_numpy(job.weight.astype(np.float32)).to(device)
        self.optimizer = torch.optim.AdamW(
            module.make_parameter_groups(self.network),
            lr=as_float(how["lr"]),
            weight_decay=as_float(how["weight_decay"]),
        )
        self.decayed = [group["weight_decay"] > 0 for group in self.optimizer.param_groups]
        self.generator = torch.Generator().manual_seed(job.seed)
        self.size = as_int(how["batch_size"] or min(1024, max(32, 2 ** round(math.log2(max(rows, 32) / 40)))))
        self.best, self.best_epoch, self.best_state = math.inf, 0, _weights(self.network)
        self.history: dict[str, list[float]] = {"train_loss": [], "valid_loss": []}

    def epoch(self) -> np.ndarray:
        """One pass over the training rows; returns the margins of the validation rows. Remembers the best weights."""
        import torch

        network, x, c, rows = self.network, self.x, self.c, len(self.job.X)
        network.train()
        total = 0.0
        for batch in torch.randperm(rows, generator=self.generator).split(self.size):
            batch = batch.to(self.device)
            out = network(None if x is None else x[batch], None if c is None else c[batch])
            losses = _losses(out, self.y[batch], self.job.kind)
            part = None if self.weight is None else self.weight[batch]
            loss = losses.mean() if part is None else (losses * part).sum() / part.sum()
            self.optimizer.zero_grad(set_to_none=True)
            loss.backward()
            torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
            self.optimizer.step()
            total += float(loss.detach()) * len(batch)
            if self.job.late:
                break
        margins = self.model.margins(*self.valid)
        valid = _valid_loss(margins, self.y_valid, self.job.kind)
        self.history["train_loss"].append(total / rows)
        self.history["valid_loss"].append(valid)
        if valid < self.best:
            self.best, self.best_epoch, self.best_state = valid, len(self.history["valid_loss"]), _weights(network)
        return margins

    def run(self) -> TabM:
        """Train until the epochs, the patience or the time is over; the best weights are restored."""
        epochs = as_int(self.how["epochs"] or fewer_epochs(len(self.job.X), 12, 200))
        for number in range(1, epochs + 1):
            margins = self.epoch()
            if not math.isfinite(self.history["valid_loss"][-1]):
                break
            self.job.step(number, lambda margins=margins: self.model.scores(margins))  # type: ignore[misc]
            if self.job.late or number - self.best_epoch >= as_int(self.how["patience"]):
                break
        self.network.load_state_dict(self.best_state)
        return self.present(self.best_epoch)

    def steer(self) -> None:
        """After a state was read, let this trainer's own rate and weight decay count."""
        for group, decayed in zip(self.optimizer.param_groups, self.decayed, strict=True):
            group["lr"] = self.how["lr"]
            group["weight_decay"] = self.how["weight_decay"] if decayed else 0.0

    def present(self, epochs: int) -> TabM:
        """The model with the network's weights, ``epochs`` into its training."""
        model = self.model.place("cpu")
        model.history = self.history
        model.notes = {"epochs": epochs, "device": self.device}
        return model


FORMATS = {TabM.FORMAT: TabM.load}


def fit(params: Settings, job: Job) -> Fitted:
    return TabMTrainer(params, job).run()


def go_on(params: Settings, job: Job, turn: Turn) -> Fitted:
    trainer = TabMTrainer(params, job)
    trainer.take_turn(turn, TURN, job)
    model = trainer.present(len(trainer.history["valid_loss"]))
    model.history = {name: curve[-TURN:] for name, curve in model.history.items()}
    return model


def _model(how: Settings, job: Job) -> TabM:
    """A model to be trained: the columns it uses, the edges of its pieces, and first weights by torch's seed."""
    import torch

    embeddings = pytabkit("models.nn_models.rtdl_num_embeddings", NAME)
    numbers, codes = varied(job.X, job.coded, NAME)
    regression = not job.output.classes
    shape: TabMShape = {
        "numbers": numbers,
        "codes": codes,
        "levels": [job.coded[j] - 1 for j in codes],
        "outputs": 1 if regression else job.classes,
        "layers": as_int(how["layers"]),
        "width": as_int(how["width"]),
        "dropout": as_float(how["dropout"]),
        "activation": str(how["activation"]),
        "k": as_int(how["k"]),
        "embedding": as_int(how["embedding"]),
        "center": float(job.y.mean()) if regression else 0.0,
        "spread": (float(job.y.std()) or 1.0) if regression else 1.0,
    }
    bins = []
    if numbers:
        X = torch.from_numpy(np.ascontiguousarray(job.X[:, numbers], dtype=np.float32))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # as above
            bins = embeddings.compute_bins(X, n_bins=max(2, min(as_int(how["bins"]), len(X) - 1)))
    return TabM(shape, bins, job.kind)


def _target(y: np.ndarray, shape: TabMShape, kind: str) -> Tensor:
    import torch

    if not find_kind(kind).output.classes:
        return torch.from_numpy(((y - shape["center"]) / shape["spread"]).astype(np.float32))
    return torch.from_numpy(y.astype(np.int64))


def _losses(out: Tensor, y: Tensor, kind: str) -> Tensor:
    """Loss of each row ``(n,)``: the mean over its ``k`` networks, since each of them is to be good by itself."""
    from torch.nn import functional as F

    n, k, outputs = out.shape
    if not find_kind(kind).output.classes:
        return ((out[:, :, 0] - y[:, None]) ** 2).mean(dim=1)
    return F.cross_entropy(out.reshape(n * k, outputs), y.repeat_interleave(k), reduction="none").view(n, k).mean(dim=1)


def _valid_loss(margins: np.ndarray, y: np.ndarray, kind: str) -> float:
    """Squared error (in spreads) or log loss of the average of the networks."""
    if not find_kind(kind).output.classes:
        return float(np.mean((margins[:, :, 0].mean(axis=1) - y) ** 2))
    n, k, outputs = margins.shape
    mean = softmax(margins.reshape(n * k, outputs)).reshape(n, k, outputs).mean(axis=1)
    return float(-np.log(np.clip(mean[np.arange(n), y], 1e-15, None)).mean())


def _weights(network: nn.Module) -> dict[str, Tensor]:
    return {k: v.detach().clone() for k, v in network.state_dict().items()}
