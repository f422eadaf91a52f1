"""The stage ``ingest``: tables as their sources have them."""
