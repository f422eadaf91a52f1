"""Where a fit computes: one rule of ``training.device`` for every family, and for the work pool of its stages.

A family's ``HARDWARE`` says what it can use: ``gpu`` (CUDA, and the CPU as well) or ``cpu`` (only that).
"""

from __future__ import annotations

import ctypes
from functools import cache
from typing import TYPE_CHECKING

from tasks.errors import RefitError, some
from tasks.fitting.base import Log

if TYPE_CHECKING:
    from tasks.params import Params


def choose_device(wanted: str, library: str = "torch", log: Log | None = None) -> str:
    """``cpu`` or ``cuda``, for a family that can use both: CUDA where there is a GPU, unless ``wanted`` is ``cpu``.

    ``library`` is what computes, ``torch`` or ``xgboost``. A GPU that is asked for and missing falls back, with a line
    that says so.
    """
    if wanted == "cpu":
        return "cpu"
    if _has_cuda(library):
        if log:
            log(f"training on the GPU, by {library}")
        return "cuda"
    if wanted == "cuda" and log:
        log(f"training.device is cuda, and {library} finds no GPU here: training on the CPU")
    return "cpu"


@cache
def gpus() -> int:
    """GPUs that CUDA's driver offers to this process (``CUDA_VISIBLE_DEVICES`` counts); 0 without a driver."""
    try:
        driver = ctypes.CDLL("libcuda.so.1")
    except OSError:
        return 0
    count = ctypes.c_int()
    if driver.cuInit(0) or driver.cuDeviceGetCount(ctypes.byref(count)):
        return 0
    return count.value


def _has_cuda(library: str) -> bool:
    """Whether a library was built for CUDA, and there is a GPU. XGBoost cannot tell the latter; torch is seconds of loading."""
    if library == "xgboost":
        import xgboost

        return gpus() > 0 and bool(xgboost.build_info()["USE_CUDA"])
    import torch

    return bool(torch.cuda.is_available())


def wants_gpu(hardware: str, device: str) -> bool:
    """Whether stages of a family go where a GPU is: those that can use one, unless ``training.device`` is ``cpu``."""
    return hardware == "gpu" and device != "cpu"


def check_device(params: Params, hardware: dict[str, str]) -> None:
    """Refuse ``device: cuda`` where nothing that is trained can use it. ``hardware``: by family.

    Raises
    ------
    RefitError
        If every family computes on the CPU alone, or Spark trains.
    """
    if params.training.device != "cuda":
        return
    if "gpu" not in hardware.values():
        raise RefitError(
            f"training.device: 'cuda', and {some(hardware)} can compute on the CPU only. Set auto or cpu, or add a family "
            "that can use a GPU: xgboost, mlp, realmlp, tabm, or auto."
        )
    if params.features.engine == "spark" and set(hardware) == {"xgboost"}:
        raise RefitError(
            "training.device: 'cuda', and with features.engine: spark xgboost is trained by Spark's tasks, on the CPU. "
            "Set device: auto or cpu, or engine: local."
        )
