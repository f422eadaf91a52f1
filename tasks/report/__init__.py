"""The stage ``report``: one page that says all of it."""
