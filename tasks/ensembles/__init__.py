"""Ensembles of candidates, from their predictions on validation rows alone.

Every way ends in members and weights, since the package predicts a weighted mean of its members' scores.
"""

from tasks.ensembles.mixes import METHODS, combine

__all__ = ["METHODS", "combine"]
