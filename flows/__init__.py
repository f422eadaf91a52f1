"""Orchestration only: the walk of the DAG, the effects, the `refit` command. No machine learning here."""
