"""Tracking and registry: what a run leaves in MLflow, and which version is champion (no Prefect in here)."""
