"""Features to the numbers that an estimator takes, fitted on training rows only."""

from tasks.encoding.encoder import Encoder

__all__ = ["Encoder"]
