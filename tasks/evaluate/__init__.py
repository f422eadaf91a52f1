"""Measures every candidate on rows that none has seen, and chooses the challenger."""
