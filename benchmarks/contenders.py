"""What the benchmarks share: a model of 70 million parameters, its questions, and contenders that take turns."""

from __future__ import annotations

import ctypes
import gc
import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from transformers import CLIPVisionConfig, LlamaConfig, LlavaConfig, LlavaForConditionalGeneration

from finesight.models.encoded import UNLEARNED, Branch, Encoded
from finesight.schema import Example, Turn

IMAGE_TOKENS = 256
QUESTION_TOKENS, ANSWER_TOKENS = 12, 3
IMAGE_TOKEN, VOCABULARY = 3, 32_000
ROUNDS = 3


def build_model() -> LlavaForConditionalGeneration:
    """Return a LLaVA of about 70 million random parameters with 256 image tokens."""
    torch.manual_seed(0)
    vision = CLIPVisionConfig(
        hidden_size=384,
        intermediate_size=1536,
        num_hidden_layers=7,
        num_attention_heads=6,
        image_size=224,
        patch_size=14,
        attn_implementation="sdpa",
    )
    language = LlamaConfig(
        hidden_size=512,
        intermediate_size=1376,
        num_hidden_layers=8,
        num_attention_heads=8,
        num_key_value_heads=8,
        vocab_size=VOCABULARY,
        attn_implementation="sdpa",
    )
    return LlavaForConditionalGeneration(
        LlavaConfig(vision_config=vision, text_config=language, image_token_index=IMAGE_TOKEN)
    ).eval()


def make_context(
    questions: int, *, answer_tokens: int = 0, question_tokens: int = QUESTION_TOKENS, image: int = 0
) -> Encoded:
    """Return one image with so many random questions behind it, with `answer_tokens` answered."""
    generator = np.random.default_rng([questions, image])
    branches = []
    for number in range(questions):
        ids = generator.integers(10, VOCABULARY, question_tokens + answer_tokens, dtype=np.int32)
        labels = np.full_like(ids, UNLEARNED)
        labels[question_tokens:] = ids[question_tokens:]
        turns = (Turn("user", ""), Turn("assistant", "", learned=True))
        branches.append(Branch(Example(f"{image}-{number}", "", (), turns, ()), ids, labels))
    prefix = np.array([1, *[IMAGE_TOKEN] * IMAGE_TOKENS], dtype=np.int32)
    return Encoded(prefix, (), tuple(branches))


@dataclass
class Contender:
    """A way to do the same work."""

    name: str
    work: Callable[[], object]
    seconds: float = float("inf")
    peak_mib: float = 0.0

    def take_turn(self) -> object:
        """Do the work once; keep the best time and the most memory above what was held before."""
        gc.collect()
        before = reset_peak_memory()
        started = time.perf_counter()
        result = self.work()
        self.seconds = min(self.seconds, time.perf_counter() - started)
        self.peak_mib = max(self.peak_mib, peak_memory() - before)
        return result


def reset_peak_memory() -> float:
    """Start counting the process's peak memory anew (Linux, glibc); return what it holds now, in MiB."""
    ctypes.CDLL("libc.so.6").malloc_trim(0)  # freed memory that the allocator keeps would hide the next peak
    Path("/proc/self/clear_refs").write_text("5")
    return _status("VmRSS")


def peak_memory() -> float:
    """Return the most memory held since the last reset, in MiB."""
    return _status("VmHWM")


def _status(field: str) -> float:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(f"{field}:")) / 1024


def rows_of(context: Encoded) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the same examples as rows of their own: ids and labels, int[rows, tokens]."""
    ids = [np.concatenate([context.prefix_ids, branch.ids]) for branch in context.branches]
    silent = np.full_like(context.prefix_ids, UNLEARNED)
    labels = [np.concatenate([silent, branch.labels]) for branch in context.branches]
    return torch.from_numpy(np.stack(ids)).long(), torch.from_numpy(np.stack(labels)).long()


def compete(contenders: Sequence[Contender], same: Callable[[object, object], bool], *, rounds: int = ROUNDS) -> None:
    """Let the contenders take turns, and make sure that they do the same work."""
    for _ in range(rounds):
        results = [contender.take_turn() for contender in contenders]
        for contender, result in zip(contenders, results, strict=True):
            if not same(results[-1], result):
                raise SystemExit(f"{contender.name} came to another result than {contenders[-1].name}")


def print_table(title: str, contenders: Sequence[Contender], work: Mapping[str, int] | None = None) -> None:
    """Print how much faster the last contender is than each, and how much of the `work` each does in a second."""
    ours = contenders[-1]
    amounts = work or {}
    rates = "".join(f"{f'{what}/s':>14}" for what in amounts)
    print(f"\n{title}   (load average {os.getloadavg()[0]:.2f})")
    print(f"  {'':38}{'seconds':>9}{'peak MiB':>10}{rates}{'ours is faster':>16}")
    for contender in contenders:
        ratio = f"{contender.seconds / ours.seconds:15.1f}×" if contender is not ours else ""
        rates = "".join(f"{amount / contender.seconds:14.1f}" for amount in amounts.values())
        print(f"  {contender.name:38}{contender.seconds:9.3f}{contender.peak_mib:10.0f}{rates}{ratio}")
