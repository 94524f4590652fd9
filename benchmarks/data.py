"""Data: how fast rows are read, images hashed, decoded, packed and prepared, and how much memory 100,000 rows hold.

    python benchmarks/data.py FOLDER          # about ten minutes; FOLDER holds a folder of COCO-like JPEG images
    python benchmarks/data.py                 # pictures of the same size drawn here stand in for photographs

Every contender sees the same images in one run; the best of three counts, but for memory, which is measured in a
process of its own. Ratios are what travels to another machine.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from PIL import Image
from torch.utils.data import DataLoader

from finesight.branches.contexts import share_contexts
from finesight.data.images import verify_images
from finesight.data.look_alikes import find_look_alikes
from finesight.data.sources.read import read_source
from finesight.models.image_store import fill_store, open_store
from finesight.models.load import load_model
from finesight.models.loaded import Loaded
from finesight.recipe.model import AssembledModel
from finesight.recipe.sources import VqaJson
from finesight.recipe.train import Train
from finesight.schema import Example
from finesight.train.batches import PlannedSteps
from finesight.train.step_plan import plan_steps

IMAGES = 200
QUESTIONS = 5
HASHED = 5_000
ROWS = 100_000
REPEATS = 3
SIDE_PIXELS = (640, 480)
"""COCO's usual size."""
MODEL = {
    "kind": "assembled",
    "dtype": "float32",
    "vision": {"config": {"model_type": "clip_vision_model", "hidden_size": 512, "intermediate_size": 2048,
                          "num_hidden_layers": 8, "num_attention_heads": 8, "image_size": 224, "patch_size": 14}},
    "language": {"config": {"model_type": "llama", "hidden_size": 512, "intermediate_size": 1376,
                            "num_hidden_layers": 8, "num_attention_heads": 8, "num_key_value_heads": 8,
                            "vocab_size": 2000, "bos_token_id": 1, "eos_token_id": 2}},
    "tokenizer": {"vocab_size": 2000},
    "chat_template": "plain",
}  # fmt: skip
"""A vision encoder of 26 and a language model of 27 million parameters, 256 image tokens."""
MEMORY = """
import re, sys
from pathlib import Path
from finesight.data.sources.read import read_source
from finesight.recipe.sources import VqaJson
def held_kib():
    return int(re.search(r"RssAnon:\\s+(\\d+)", Path("/proc/self/status").read_text())[1])
before = held_kib()
rows = read_source(VqaJson(kind="vqa_json", file="rows.jsonl", images="images"), Path(sys.argv[1]))
print((held_kib() - before) // 1024)
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("folder", type=Path, nargs="?")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as made:
        os.environ["FINESIGHT_CACHE"] = str(Path(made) / "cache")
        root = Path(made) / "data"
        collect_images(arguments.folder, root / "images")
        print(f"{torch.get_num_threads()} threads, {os.cpu_count()} cores\n")
        examples = measure_reading(root)
        measure_hashing(root)
        measure_steps(examples)
        measure_memory(root)


def collect_images(folder: Path | None, target: Path) -> None:
    """Fill `target` with different JPEG images: re-encodings of those in `folder`, or drawn ones."""
    target.mkdir(parents=True)
    found = sorted(folder.rglob("*.jpg"))[:IMAGES] if folder else []
    for number in range(IMAGES):
        if found:
            picture = Image.open(found[number % len(found)]).convert("RGB").resize(SIDE_PIXELS)
        else:
            picture = Image.effect_noise(SIDE_PIXELS, 60).convert("RGB")
        picture.putpixel((0, 0), (number % 256, number // 256, 0))
        picture.save(target / f"{number}.jpg", quality=90)


def measure_reading(root: Path) -> list[Example]:
    """Print rows read a second, and return the examples."""
    write_rows(root, IMAGES * QUESTIONS)
    spec = VqaJson(kind="vqa_json", file="rows.jsonl", images="images")
    seconds = best(lambda: read_source(spec, root))
    print(f"reading: {IMAGES * QUESTIONS / seconds:,.0f} rows a second, images found and hashed")
    return read_source(spec, root)


def measure_hashing(root: Path) -> None:
    """Print what is paid once for every image, and what is paid when it was seen before."""
    folder = root / "many"
    folder.mkdir()
    for number in range(HASHED):
        # Other bytes, the same picture: what stands behind a JPEG's end is not decoded.
        stored = (root / "images" / f"{number % IMAGES}.jpg").read_bytes() + number.to_bytes(4, "little")
        (folder / f"{number}.jpg").write_bytes(stored)
    rows = ({"image": f"{number}.jpg", "question": "What?", "answer": "that"} for number in range(HASHED))
    (root / "many.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    spec = VqaJson(kind="vqa_json", file="many.jsonl", images="many")
    for when in ("first", "again"):
        began = time.perf_counter()
        images = [image for example in read_source(spec, root) for image in example.images]
        hashed = time.perf_counter()
        find_look_alikes(images)
        looked = time.perf_counter()
        verify_images(images)
        done = time.perf_counter()
        print(
            f"{HASHED:,} images, {when}: read and hashed in {hashed - began:.1f} s, look-alikes in "
            f"{looked - hashed:.1f} s, proven to decode in {done - looked:.1f} s"
        )


def measure_steps(examples: Sequence[Example]) -> None:
    """Print how fast steps are made with worker processes, and whole training steps with images kept or not."""
    loaded = load_model(
        AssembledModel.model_validate(MODEL),
        data_root=Path(),
        texts=lambda: (turn.text for example in examples for turn in example.turns),
    )
    contexts = share_contexts(loaded.formatter.encode(example, answered=True) for example in examples)
    train = Train(global_batch_size=40, max_branches_per_context=QUESTIONS)
    steps = plan_steps(contexts, train, seed=0)
    planned = PlannedSteps(steps, loaded.formatter, max_tokens=8192, rank=0, ranks=1)
    for workers in (0, 1, 2):
        loader = DataLoader(planned, batch_size=1, collate_fn=list, num_workers=workers)
        seconds = best(lambda loader=loader: list(loader))  # type: ignore[misc]
        print(f"decoding and packing, {workers} workers: {len(examples) / seconds:,.0f} examples a second")
    measure_kept(loaded, planned, examples)


def measure_kept(loaded: Loaded, planned: PlannedSteps, examples: Sequence[Example]) -> None:
    """Print the seconds of a training step of the language model behind a frozen encoder, images kept or not."""
    from finesight.branches.loss import learned_losses

    for parameter in loaded.parts.parameters_of(loaded.model, "vision"):
        parameter.parameter.requires_grad_(False)
    images = [image for example in examples for image in example.images]
    chosen = range(3)

    def train() -> None:
        for number in chosen:
            for batch in planned[number].batches:
                losses = learned_losses(loaded.model, batch.layout, batch.pixels, torch.float32)
                torch.autograd.backward(losses.sum())

    plain = best(train) / len(chosen)
    print(f"a step of 8 images and 40 questions, nothing kept: {plain:.2f} s")
    for kind in ("pixels", "features"):
        store = open_store(loaded, kind)  # type: ignore[arg-type]
        began = time.perf_counter()
        fill_store(store, loaded, images)
        filled = time.perf_counter() - began
        loaded.formatter.kept = store  # type: ignore[attr-defined]
        seconds = best(train) / len(chosen)
        size = sum(file.stat().st_size for file in store.folder.rglob("*.safetensors")) / IMAGES
        print(
            f"  {kind} kept: {seconds:.2f} s ({plain / seconds:.2f}×), {size / 2**10:,.0f} KiB an image, "
            f"{filled:.1f} s to write {IMAGES}"
        )
    loaded.formatter.kept = None  # type: ignore[attr-defined]


def measure_memory(root: Path) -> None:
    """Print what a process holds more after reading many rows."""
    write_rows(root, ROWS)
    done = subprocess.run([sys.executable, "-c", MEMORY, str(root)], capture_output=True, text=True, check=True)
    print(f"{ROWS:,} rows read: {re.sub('[^0-9]', '', done.stdout)} MiB held")


def write_rows(root: Path, count: int) -> None:
    rows = (
        {"image": f"{number % IMAGES}.jpg", "question": f"What is number {number}?", "answer": f"it is {number % 10}"}
        for number in range(count)
    )
    (root / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


def best(act: Callable[[], object]) -> float:
    """Return the seconds of the fastest of several tries."""

    def once() -> float:
        began = time.perf_counter()
        act()
        return time.perf_counter() - began

    return min(once() for _ in range(REPEATS))


if __name__ == "__main__":
    main()
