"""What is ordinary for a column: its reference, how its past windows differed, and what lies beyond that.

The package keeps the record (:mod:`tasks.ordinary.record`), and drift holds new rows against it
(:mod:`tasks.ordinary.checks`). Both reduce a column to counts over a few cells (:mod:`tasks.ordinary.cells`): counts of
short blocks add up to those of a window, and every check is the mean of a function of the cell.
"""
