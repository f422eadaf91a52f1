"""The network of the family ``mlp`` in plain PyTorch, as quick as one writes it by hand: the rival of the stage ``train``.

``python -m tests.bench._plain_torch EPOCHS DEVICE`` in a project that has its features: reads them, trains the same layers with
the same batches, optimiser, schedule and early stopping, and writes the scores of validation and test rows.
"""

import copy
import sys
from typing import Any

import tasks.stage  # noqa: F401  (threads, before torch loads)

# isort: split
import numpy as np
import pandas as pd
import torch
from torch import nn

WIDTH, RATE, DECAY = 128, 2e-3, 1e-2


class Plain(nn.Module):
    def __init__(self, numbers: int, levels: list[int]) -> None:
        super().__init__()
        self.tables = nn.ModuleList(nn.Embedding(n, min(16, (n + 3) // 4 + 1)) for n in levels)
        width = numbers + sum(table.embedding_dim for table in self.tables)  # type: ignore[misc]
        hidden: list[nn.Module] = []
        for inside in (width, WIDTH):
            hidden += [nn.Linear(inside, WIDTH), nn.BatchNorm1d(WIDTH), nn.SiLU(), nn.Dropout(0.1)]
        self.body = nn.Sequential(*hidden, nn.Linear(WIDTH, 1))

    def forward(self, numbers: torch.Tensor, codes: torch.Tensor) -> Any:
        parts = [table(codes[:, i]) for i, table in enumerate(self.tables)]
        return self.body(torch.cat([numbers, *parts], dim=1))[:, 0]


def main() -> None:
    epochs, device = int(sys.argv[1]), sys.argv[2]
    torch.manual_seed(0)
    frame = pd.read_parquet("data/features/features.parquet")
    part, y = frame["__split__"], torch.tensor(frame["__target__"].to_numpy(), dtype=torch.float32)
    X = frame.drop(columns=[c for c in frame if c.startswith("__")])
    texts = X.select_dtypes(exclude="number").columns
    values = X.drop(columns=texts).to_numpy(np.float32)
    train = np.flatnonzero(part == "train")
    values = (values - values[train].mean(0)) / values[train].std(0)
    codes = np.column_stack([pd.factorize(X[c], sort=True)[0] for c in texts])
    levels = [int(n) + 1 for n in codes.max(0)]
    every = torch.from_numpy(values).to(device), torch.from_numpy(codes).to(device), y.to(device)
    rows = {
        name: tuple(t[torch.from_numpy(np.flatnonzero(part == name)).to(device)] for t in every)
        for name in ("train", "valid")
    }

    net = Plain(values.shape[1], levels).to(device)
    optimizer = torch.optim.AdamW(net.parameters(), lr=RATE, weight_decay=DECAY, fused=True)
    size = min(1024, max(16, 2 ** round(np.log2(len(train) / 40))))
    steps = -(-len(train) // size)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, RATE, total_steps=epochs * steps)
    loss, best, state = nn.BCEWithLogitsLoss(), np.inf, net.state_dict()
    for _ in range(epochs):
        net.train()
        for at in torch.randperm(len(train), device=device).split(size):
            optimizer.zero_grad(set_to_none=True)
            loss(net(rows["train"][0][at], rows["train"][1][at]), rows["train"][2][at]).backward()
            nn.utils.clip_grad_norm_(net.parameters(), 1.0)
            optimizer.step()
            schedule.step()
        net.eval()
        with torch.inference_mode():
            valid = float(loss(net(*rows["valid"][:2]), rows["valid"][2]))
        if valid < best:
            best, state = valid, copy.deepcopy(net.state_dict())
    net.load_state_dict(state)
    net.eval()
    held = np.flatnonzero(part != "train")
    with torch.inference_mode():
        scores = torch.sigmoid(net(*(t[torch.from_numpy(held).to(device)] for t in every[:2]))).cpu().numpy()
    pd.DataFrame({"__row__": held, "__split__": part.iloc[held].to_numpy(), "score_1": scores}).to_parquet(
        "plain.parquet"
    )


if __name__ == "__main__":
    main()
