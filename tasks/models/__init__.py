"""What families make: a model of one or of several, fitted, saved, loaded, and measured."""

from tasks.models.check import check_kind, check_models
from tasks.models.model import Model, Prepared, fit_family, load_model, prepare, save_model

__all__ = ["Model", "Prepared", "check_kind", "check_models", "fit_family", "load_model", "prepare", "save_model"]
