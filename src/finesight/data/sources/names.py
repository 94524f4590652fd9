"""What sources are called, and what the ids of their examples begin with."""

from __future__ import annotations

from pathlib import PurePath

from finesight.data.sources.json_rows import JSON_SUFFIXES
from finesight.data.sources.parquet_files import PARQUET_SUFFIX
from finesight.data.sources.table_rows import TABLE_SUFFIXES
from finesight.recipe.sources import Source

_SUFFIXES = {*JSON_SUFFIXES, *TABLE_SUFFIXES, PARQUET_SUFFIX, ".txt", ".py"}


def source_name(spec: Source) -> str:
    """Return what a person calls the source: its file's name, the data set's, or its kind where it is in no file."""
    return PurePath(_named_by(spec)).name


def id_prefix(spec: Source) -> str:
    """Return what the ids of the source's examples begin with, before a colon."""
    name = PurePath(_named_by(spec))
    # A hub's name may hold a dot that ends nothing: `owner/data-v1.1`.
    return name.stem if name.suffix in _SUFFIXES else name.name


def _named_by(spec: Source) -> str:
    return str(getattr(spec, spec.path_fields[0] if spec.path_fields else "kind"))
