"""What encoding a context once is worth: training steps and answers, against plain transformers, in one process.

    python benchmarks/encode_once.py                   # the tables, then the plot: about 15 minutes on two cores
    python benchmarks/encode_once.py --without-curve   # the tables alone, about 6

All contenders see the same examples with the same weights, interleaved; the best of three is taken. A contender whose
loss or answers differ ends the benchmark with an error.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch
from torch import nn
from transformers import LlavaForConditionalGeneration
from transformers.modeling_outputs import BaseModelOutputWithPooling
from transformers.utils import logging

from contenders import (
    ANSWER_TOKENS,
    IMAGE_TOKENS,
    QUESTION_TOKENS,
    Contender,
    build_model,
    compete,
    make_context,
    print_table,
    rows_of,
)
from curve import draw_curve
from evaluation import answer_contenders
from finesight.branches.layout import lay_out
from finesight.branches.loss import learned_losses
from finesight.models.encoded import UNLEARNED

QUESTIONS_AN_IMAGE = (1, 5, 16, 30)


def train_contenders(model: LlavaForConditionalGeneration, questions: int, pixels: torch.Tensor) -> list[Contender]:
    """Return four ways to compute one image's loss and gradients; each returns the summed loss."""
    context = make_context(questions, answer_tokens=ANSWER_TOKENS)
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
        return backward(learned_losses(model, layout, {"pixel_values": pixels}, torch.float32).sum())

    return [
        Contender("separate rows, stock", stock),
        Contender("separate rows, logits where learned", learned_logits),
        Contender("separate rows, tower once an image", tower_once),
        Contender("one row with branches", branches),
    ]


def equal_losses(first: object, second: object) -> bool:
    """Return whether two losses agree to 1e-5 of their size."""
    assert isinstance(first, float) and isinstance(second, float)
    return abs(first - second) <= 1e-5 * abs(second)


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
        contenders = answer_contenders(model, [make_context(31)], pixels, ANSWER_TOKENS)
        compete(contenders, lambda first, second: first == second)
        print_table("Answers to 31 questions about an image", contenders)
    if not options.without_curve:
        draw_curve(options.plot)


if __name__ == "__main__":
    main()
