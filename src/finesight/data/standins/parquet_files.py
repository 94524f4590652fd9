"""The parquet files of stand-ins, and where they lie in a data set's folder."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from finesight.data.sources.parquet_files import PARQUET_SUFFIX
from finesight.data.standins.pictures import draw_picture, picture_name

if TYPE_CHECKING:
    from pyarrow import Array, DataType

_FILE = "0000.parquet"


def file_of_split(dataset: Path, config: str | None, split: str) -> Path:
    """Return the file of a split: the data set itself where it is called a parquet file, else one in its folder, below
    that of the configuration where there is one.
    """
    if config is None:
        return dataset if dataset.suffix.lower() == PARQUET_SUFFIX else dataset / split / _FILE
    return dataset / config / split / _FILE


def write_parquet(file: Path, columns: Mapping[str, Array]) -> None:
    """Write a table of these columns, which are equally long."""
    import pyarrow
    from pyarrow import parquet

    file.parent.mkdir(parents=True, exist_ok=True)
    parquet.write_table(pyarrow.table(dict(columns)), file)


def write_image_table(file: Path, id_column: str, image_column: str, numbers: Sequence[int]) -> None:
    """Write a table of pictures, each with its name as its id, beside those that are in the file already: two sets of
    questions may point into one table.
    """
    import pyarrow
    from pyarrow import parquet

    written = [parquet.read_table(file)] if file.exists() else []
    there = [table for table in written if table.column_names == [id_column, image_column]]
    known = {name for table in there for name in table[id_column].to_pylist()}
    new = [number for number in numbers if picture_name(number) not in known]
    columns = {
        id_column: pyarrow.array([picture_name(number) for number in new], pyarrow.string()),
        image_column: pyarrow.array([stored_picture(number) for number in new], image_type()),
    }
    together = pyarrow.concat_tables([*there, pyarrow.table(columns)])
    write_parquet(file, dict(zip(together.column_names, together.columns, strict=True)))


def image_type() -> DataType:
    """Return the Arrow type in which the hub stores images: the bytes beside the file's name."""
    import pyarrow

    return pyarrow.struct([("bytes", pyarrow.binary()), ("path", pyarrow.string())])


def stored_picture(number: int) -> dict[str, Any]:
    """Return a picture as a cell of `image_type`."""
    return {"bytes": draw_picture(number), "path": picture_name(number)}
