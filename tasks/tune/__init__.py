"""The stage ``tune``: the search for a family's parameters."""
