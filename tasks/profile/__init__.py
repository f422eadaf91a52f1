"""What is in a file: reading CSV and Parquet, values to declared kinds, and a first ``params.yaml`` from both."""

from tasks.profile.inference import infer, to_yaml
from tasks.profile.kinds import coerce
from tasks.profile.reading import read_columns, read_content

__all__ = ["coerce", "infer", "read_columns", "read_content", "to_yaml"]
