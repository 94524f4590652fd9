"""Answering a benchmark's questions: finesight against transformers' generate, one by one and batched.

    python benchmarks/evaluation.py            # the best of three; some minutes on two cores
    python benchmarks/evaluation.py --smoke    # one image and one question each: does it run, are answers equal

All contenders see the same questions with the same weights, take turns, and must give the same answers.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from transformers import LlavaForConditionalGeneration
from transformers.utils import logging

from contenders import (
    IMAGE_TOKEN,
    IMAGE_TOKENS,
    ROUNDS,
    Contender,
    build_model,
    compete,
    make_context,
    print_table,
    rows_of,
)
from finesight.branches.answer import answer_branches
from finesight.models.encoded import Encoded

CPU = torch.device("cpu")


@dataclass(frozen=True)
class Geometry:
    """How a benchmark's questions lie about its images."""

    name: str
    images: int
    """So many are answered together."""
    questions: int
    """About each image."""
    question_tokens: int
    answer_tokens: int
    wanted: float | None = None
    """How many times as fast as the faster of the others finesight has to be."""


GEOMETRIES = (
    Geometry("GQA-ru", images=1, questions=31, question_tokens=12, answer_tokens=3, wanted=10),
    Geometry("GQA-ru, longer questions", images=1, questions=31, question_tokens=24, answer_tokens=3, wanted=8),
    Geometry("MMBench", images=16, questions=1, question_tokens=80, answer_tokens=2),
)


def answer_contenders(
    model: LlavaForConditionalGeneration, contexts: Sequence[Encoded], pixels: torch.Tensor, answer_tokens: int
) -> list[Contender]:
    """Return three ways to answer all questions of contexts, which all have one length; `pixels` has an image each.

    Each returns the answers' tokens, question by question.
    """
    rows = torch.cat([rows_of(context)[0] for context in contexts])
    counts = torch.tensor([len(context.branches) for context in contexts])
    limits = {"max_new_tokens": answer_tokens, "min_new_tokens": answer_tokens, "do_sample": False, "pad_token_id": 0}
    limits["suppress_tokens"] = [IMAGE_TOKEN]

    def generate(ids: torch.Tensor, images: torch.Tensor) -> list[list[int]]:
        generated = model.generate(input_ids=ids, attention_mask=torch.ones_like(ids), pixel_values=images, **limits)
        return generated[:, ids.shape[1] :].tolist()

    def one_by_one() -> list[list[int]]:
        images = torch.arange(len(contexts)).repeat_interleave(counts).tolist()
        return [generate(rows[row : row + 1], pixels[image : image + 1])[0] for row, image in enumerate(images)]

    def batched() -> list[list[int]]:
        return generate(rows, pixels.repeat_interleave(counts, dim=0))

    def together() -> list[list[int]]:
        answers = answer_branches(
            model,
            contexts,
            {"pixel_values": pixels},
            max_new_tokens=answer_tokens,
            end_ids=frozenset(),
            padding_id=0,
            placeholder_id=IMAGE_TOKEN,
            dtype=torch.float32,
            device=CPU,
        )
        return [list(answer.ids) for of_context in answers for answer in of_context]

    return [
        Contender("generate, one by one", one_by_one),
        Contender("generate, batched", batched),
        Contender("finesight", together),
    ]


def measure(model: LlavaForConditionalGeneration, geometry: Geometry, rounds: int) -> None:
    """Print the table of one geometry, and whether finesight is as fast as it has to be."""
    contexts = [
        make_context(geometry.questions, question_tokens=geometry.question_tokens, image=image)
        for image in range(geometry.images)
    ]
    pixels = torch.randn(geometry.images, 3, 224, 224, generator=torch.Generator().manual_seed(1))
    contenders = answer_contenders(model, contexts, pixels, geometry.answer_tokens)
    compete(contenders, lambda first, second: first == second, rounds=rounds)
    asked = geometry.images * geometry.questions
    print_table(
        f"{geometry.name}: {geometry.questions} questions an image, {geometry.question_tokens} tokens each, "
        f"answers of {geometry.answer_tokens}; {geometry.images} images at once",
        contenders,
        {"questions": asked, "tokens": asked * geometry.answer_tokens},
    )
    if geometry.wanted is not None:
        *others, ours = contenders
        times = min(other.seconds for other in others) / ours.seconds
        print(f"  {times:.1f} times the faster of the two; wanted: {geometry.wanted:g}")


def main() -> None:
    """Print the table of every geometry."""
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--smoke", action="store_true", help="as little as possible, to see that it runs")
    smoke = arguments.parse_args().smoke
    logging.set_verbosity_error()
    model = build_model()
    size = sum(parameter.numel() for parameter in model.parameters()) / 1e6
    print(f"{size:.0f} million parameters, {IMAGE_TOKENS} image tokens; torch {torch.__version__}, ", end="")
    print(f"{torch.get_num_threads()} threads, float32")
    for geometry in GEOMETRIES:
        if smoke:
            geometry = replace(geometry, images=1, questions=1, wanted=None)
        measure(model, geometry, 1 if smoke else ROUNDS)


if __name__ == "__main__":
    main()
