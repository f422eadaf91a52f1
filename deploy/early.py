"""Imported before ``prometheus_client``, which looks once where metrics go: a worker takes its room there now."""

from __future__ import annotations

from deploy.scratch import reserve

reserve()
