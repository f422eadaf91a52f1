"""The stage ``train``: the best parameters of a family, fitted."""
