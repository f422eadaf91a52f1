"""The work of Refit: one package a stage, and the modules that stages share."""
