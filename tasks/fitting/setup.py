"""What all fits of one problem have in common, made once from the parameters and the features' summary."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from tasks.fitting.space import Setting

if TYPE_CHECKING:
    from tasks.params import Params


@dataclass(frozen=True)
class Setup:
    """What fits of one problem share.

    Attributes
    ----------
    kind, classes : the problem's kind, and how many classes it has (0 for numbers).
    columns : feature name to numeric, categorical or text; None: by the dtypes.
    encode : as ``features.encode`` of params. imbalance, calibration, device : as ``training``.
    """

    kind: str
    classes: int = 2
    columns: Mapping[str, str] | None = None
    encode: Mapping[str, Setting] = field(default_factory=dict)
    imbalance: str = "none"
    calibration: str = "none"
    seed: int = 0
    device: str = "cpu"

    @classmethod
    def of(cls, params: Params, kind: str, classes: int, columns: Mapping[str, str]) -> Setup:
        """The setup of a project's problem."""
        training, encode = params.training, params.features.encoding
        return cls(
            kind, classes, columns, encode, training.imbalance, training.calibration, params.seed, training.device
        )
