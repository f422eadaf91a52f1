"""The files between stages, each a frozen type with ``read`` and ``write``. CONTRIBUTING.md lists them by folder."""

from tasks.artifacts._artifact import Artifact as Artifact
from tasks.artifacts._artifact import Number as Number
from tasks.artifacts._artifact import Part as Part
from tasks.artifacts.leaks import Leaks as Leaks
from tasks.artifacts.leaks import Suspicion as Suspicion
