"""The work of Refit: one package a stage, and the modules that stages share."""

import gc

# Loading the libraries of a stage makes a million objects that stay: looking through them for garbage after each 700
# takes a tenth of the processor time of a stage on a small table.
gc.set_threshold(10_000, *gc.get_threshold()[1:])
