"""A file that is one JSON value, as COCO's and CLDR's are published."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from finesight.data.sources.json_rows import read_text
from finesight.errors import DataError


def read_document(path: Path, data_root: Path) -> Any:
    """Return the JSON value that a file holds. Raises `DataError` when the file is missing, or not JSON in UTF-8."""
    text = read_text(path, data_root)
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        where = f"line {error.lineno:,}, column {error.colno:,}"
        raise DataError(f"{path}: bad JSON: {where}: {error.msg}") from error
    except RecursionError as error:
        raise DataError(f"{path}: bad JSON: nested too deeply") from error
    except ValueError as error:
        # Python reads no whole numbers of more than some thousand digits.
        raise DataError(f"{path}: bad JSON: a number of too many digits") from error
