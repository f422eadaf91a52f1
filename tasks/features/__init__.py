"""The stage ``features``: the plan, its features, and the split."""
