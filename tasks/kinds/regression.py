"""One number a row, such as a price or a duration."""

from __future__ import annotations

from typing import ClassVar

from tasks.kinds._numbers import Numbers


class Regression(Numbers):
    """Fitted by squared errors."""

    name: ClassVar[str] = "regression"
    usual: ClassVar[bool] = True
    metrics: ClassVar[tuple[str, ...]] = ("rmse", "mae", "r2", "mape", "median_absolute_error", "max_error", "bias")
    decisive: ClassVar[tuple[str, ...]] = ("rmse", "mae", "r2", "mape")


KIND = Regression()
