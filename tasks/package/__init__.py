"""The stage ``package``: the one folder that is promoted and served."""
