"""The BentoML service and the files that deploy it."""
