"""Drift: do the newest rows, and the model's answers to them, still look like what it was trained on?"""
