"""A hundred thousand rows fit in memory, because images stay on the disk."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pyarrow
import pytest
from data_files import IMAGES, picture_bytes, write_lines
from pyarrow import parquet

ROWS = 100_000
IMAGE_BYTES = 50_000
"""Held for every row, images would take 5 GB."""
BOUND_MIB = 300

READ = """
import re, sys
from pathlib import Path
import datasets, pyarrow
from finesight.data.sources.read import read_source
from finesight.recipe.sources import VqaJson, VqaParquet

def held_kib():
    # Memory of the process's own: pages of a memory-mapped file come and go as the system has room for them.
    return int(re.search(r"RssAnon:\\s+(\\d+)", Path("/proc/self/status").read_text())[1])

before = held_kib()
if sys.argv[2] == "json":
    spec = VqaJson(kind="vqa_json", file="rows.jsonl", images=sys.argv[3])
else:
    spec = VqaParquet(kind="vqa_parquet", dataset="rows.parquet")
examples = read_source(spec, Path(sys.argv[1]))
print(len(examples), (held_kib() - before) // 1024)
"""

pytestmark = pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="asks Linux how much memory is held")


def read_apart(root: Path, kind: str) -> tuple[int, int]:
    """Read in a process of its own; return the number of examples, and how many MiB more it holds."""
    command = [sys.executable, "-c", READ, str(root), kind, IMAGES]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    count, grown_mib = done.stdout.split()
    return int(count), int(grown_mib)


def picture(number: int) -> bytes:
    return picture_bytes(number) + bytes(IMAGE_BYTES)


def test_json_rows(tmp_path: Path) -> None:
    (tmp_path / IMAGES).mkdir()
    for number in range(4):
        (tmp_path / IMAGES / f"{number}.png").write_bytes(picture(number))
    row = {"question": "What is it?", "extra": "x" * 50}
    write_lines(
        tmp_path / "rows.jsonl", (row | {"image": f"{number % 4}.png", "answer": number} for number in range(ROWS))
    )
    count, grown_mib = read_apart(tmp_path, "json")
    assert count == ROWS
    assert grown_mib < BOUND_MIB


def test_parquet_rows(tmp_path: Path) -> None:
    # 600 MB in the table; the file itself is small, for the same images return.
    count = 12_000
    some = pyarrow.array([picture(number) for number in range(4)] * 250)
    schema = pyarrow.schema({"image": pyarrow.binary(), "question": pyarrow.string(), "answer": pyarrow.int64()})
    with parquet.ParquetWriter(tmp_path / "rows.parquet", schema, compression="zstd") as writer:
        for first in range(0, count, 1000):
            numbers = list(range(first, first + 1000))
            writer.write_table(pyarrow.table([some, ["What is it?"] * 1000, numbers], schema=schema))
    read, grown_mib = read_apart(tmp_path, "parquet")
    assert read == count
    assert grown_mib < BOUND_MIB
