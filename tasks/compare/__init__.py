"""Challenger against champion on identical rows, the promotion policy, and the verdict."""
