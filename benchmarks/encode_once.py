"""What encoding a context once is worth: training steps and answers, against plain transformers, in one process.

    python benchmarks/encode_once.py                   # the tables, then the plot: about 15 minutes on two cores
    python benchmarks/encode_once.py --without-curve   # the tables alone, about 6

All contenders see the same examples with the same weights, interleaved; the best of three is taken. A contender whose
loss or answers differ ends the benchmark with an error.
"""

from __future__ import annotations

import argparse
import ctypes
import gc
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import nn
from transformers import CLIPVisionConfig, LlamaConfig, LlavaConfig, LlavaForConditionalGeneration
from transformers.modeling_outputs import BaseModelOutputWithPooling
from transformers.utils import logging

from curve import draw_curve
from finesight.branches.answer import answer_branches
from finesight.branches.layout import lay_out
from finesight.branches.loss import learned_losses
from finesight.models.encoded import UNLEARNED, Branch, Encoded
from finesight.schema import Example, Turn

QUESTIONS_AN_IMAGE = (1, 5, 16, 30)
IMAGE_TOKENS = 256
QUESTION_TOKENS, ANSWER_TOKENS = 12, 3
IMAGE_TOKEN, VOCABULARY = 3, 32_000
ROUNDS = 3
CPU = torch.device("cpu")


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


def make_context(questions: int, *, answered: bool) -> Encoded:
    """Return one image with so many random questions behind it."""
    generator = np.random.default_rng(questions)
    branches = []
    for number in range(questions):
        ids = generator.integers(10, VOCABULARY, QUESTION_TOKENS + ANSWER_TOKENS * answered, dtype=np.int32)
        labels = np.full_like(ids, UNLEARNED)
        labels[QUESTION_TOKENS:] = ids[QUESTION_TOKENS:]
        turns = (Turn("user", ""), Turn("assistant", "", learned=True))
        branches.append(Branch(Example(str(number), "", (), turns, ()), ids, labels))
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


def train_contenders(model: LlavaForConditionalGeneration, questions: int, pixels: torch.Tensor) -> list[Contender]:
    """Return four ways to compute one image's loss and gradients; each returns the summed loss."""
    context = make_context(questions, answered=True)
    ids, labels = rows_of(context)
    layout = lay_out([context], padding_id=0)
    learned = torch.zeros_like(labels, dtype=torch.bool)
    learned[:, :-1] = labels[:, 1:] != UNLEARNED
    next_labels = labels[:, 1:][labels[:, 1:] != UNLEARNED]
    count = len(next_labels)

    def backward(loss: torch.Tensor) -> float:
        loss.backward()
        model.zero_grad(set_to_none=True)
        return float(loss.detach())

    def stock() -> float:
        loss = model(input_ids=ids, pixel_values=pixels.expand(questions, -1, -1, -1), labels=labels).loss
        return backward(loss * count)

    def learned_logits() -> float:
        logits = model(
            input_ids=ids, pixel_values=pixels.expand(questions, -1, -1, -1), logits_to_keep=learned, use_cache=False
        ).logits
        return backward(nn.functional.cross_entropy(logits, next_labels, reduction="sum"))

    def tower_once() -> float:
        features = model.get_image_features(pixel_values=pixels).pooler_output[0]
        encoded = BaseModelOutputWithPooling(pooler_output=[features] * questions)
        logits = model(
            input_ids=ids, mm_encoder_outputs={"image": encoded}, logits_to_keep=learned, use_cache=False
        ).logits
        return backward(nn.functional.cross_entropy(logits, next_labels, reduction="sum"))

    def branches() -> float:
        return backward(learned_losses(model, layout, pixels, torch.float32).sum())

    return [
        Contender("separate rows, stock", stock),
        Contender("separate rows, logits where learned", learned_logits),
        Contender("separate rows, tower once an image", tower_once),
        Contender("one row with branches", branches),
    ]


def answer_contenders(model: LlavaForConditionalGeneration, questions: int, pixels: torch.Tensor) -> list[Contender]:
    """Return three ways to answer all questions about one image; each returns the answers' tokens."""
    context = make_context(questions, answered=False)
    ids, _ = rows_of(context)
    limits = {"max_new_tokens": ANSWER_TOKENS, "min_new_tokens": ANSWER_TOKENS, "do_sample": False, "pad_token_id": 0}
    limits["suppress_tokens"] = [IMAGE_TOKEN]

    def one_by_one() -> list[list[int]]:
        return [generate(ids[index : index + 1], pixels)[0] for index in range(questions)]

    def batched() -> list[list[int]]:
        return generate(ids, pixels.expand(questions, -1, -1, -1))

    def generate(rows: torch.Tensor, images: torch.Tensor) -> list[list[int]]:
        mask = torch.ones_like(rows)
        generated = model.generate(input_ids=rows, attention_mask=mask, pixel_values=images, **limits)
        return generated[:, rows.shape[1] :].tolist()

    def together() -> list[list[int]]:
        (answers,) = answer_branches(
            model,
            [context],
            pixels,
            max_new_tokens=ANSWER_TOKENS,
            end_ids=frozenset(),
            padding_id=0,
            placeholder_id=IMAGE_TOKEN,
            dtype=torch.float32,
            device=CPU,
        )
        return [list(answer.ids) for answer in answers]

    return [
        Contender("generate, one by one", one_by_one),
        Contender("generate, batched", batched),
        Contender("one row with branches", together),
    ]


def compete(contenders: Sequence[Contender], same: Callable[[object, object], bool]) -> None:
    """Let the contenders take turns, and make sure that they do the same work."""
    for _ in range(ROUNDS):
        results = [contender.take_turn() for contender in contenders]
        for contender, result in zip(contenders, results, strict=True):
            if not same(results[-1], result):
                raise SystemExit(f"{contender.name} came to another result than {contenders[-1].name}")


def equal_losses(first: object, second: object) -> bool:
    """Return whether two losses agree to 1e-5 of their size."""
    assert isinstance(first, float) and isinstance(second, float)
    return abs(first - second) <= 1e-5 * abs(second)


def print_table(title: str, contenders: Sequence[Contender]) -> None:
    """Print how much faster the last contender is than each."""
    ours = contenders[-1]
    print(f"\n{title}   (load average {os.getloadavg()[0]:.2f})")
    print(f"  {'':38}{'seconds':>9}{'peak MiB':>10}{'ours is faster':>16}")
    for contender in contenders:
        ratio = f"{contender.seconds / ours.seconds:15.1f}×" if contender is not ours else ""
        print(f"  {contender.name:38}{contender.seconds:9.3f}{contender.peak_mib:10.0f}{ratio}")


def main() -> None:
    """Print the tables and draw the curve."""
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--plot", type=Path, default=Path("docs/encode_once.png"), help="where to draw the curve")
    arguments.add_argument("--without-tables", action="store_true", help="draw the curve alone")
    arguments.add_argument("--without-curve", action="store_true", help="print the tables alone")
    options = arguments.parse_args()
    logging.set_verbosity_error()
    if not options.without_tables:
        model = build_model()
        size = sum(parameter.numel() for parameter in model.parameters()) / 1e6
        print(f"{size:.0f} million parameters, {IMAGE_TOKENS} image tokens, {QUESTION_TOKENS} tokens a question,")
        print(f"{ANSWER_TOKENS} an answer; torch {torch.__version__}, {torch.get_num_threads()} threads, float32")
        pixels = torch.randn(1, 3, 224, 224, generator=torch.Generator().manual_seed(1))
        for questions in QUESTIONS_AN_IMAGE:
            contenders = train_contenders(model, questions, pixels)
            compete(contenders, equal_losses)
            print_table(f"Loss and gradients, {questions} questions an image", contenders)
        contenders = answer_contenders(model, 31, pixels)
        compete(contenders, lambda first, second: first == second)
        print_table("Answers to 31 questions about an image", contenders)
    if not options.without_curve:
        draw_curve(options.plot)


if __name__ == "__main__":
    main()
