"""Random small changes to the code: do the unit tests notice? ``python -m tests.mutants``, see ``__main__.py``."""
