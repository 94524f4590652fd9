"""What decides a model's answers to a task, so that a model that has given them need not give them again."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from functools import cached_property
from typing import Any

import torch

from finesight.environment import package_versions
from finesight.evaluate.likelihood import options_of
from finesight.evaluate.measure import TokenizedTask, weighs_references
from finesight.models.encoded import Encoded
from finesight.models.fingerprint import (
    fingerprint_config,
    fingerprint_tokenizer,
    fingerprint_weights,
    hash_json,
)
from finesight.models.loaded import Loaded
from finesight.recipe.evaluate import Task
from finesight.schema import TaskExamples

COMPUTING_PACKAGES = ("finesight", "torch", "transformers", "pillow", "bitsandbytes")
"""Whose versions may change an answer: they decode pictures, compute and choose tokens. What others do before, as
tokenizing, shows in the tokens."""

AnswerKey = dict[str, Any]
"""What decides the answers to a task, by name: plain settings as they are, the rest as hashes."""


class AnswerKeys:
    """The keys of one model's answers. The weights are hashed once, and only when a key is asked for."""

    def __init__(self, loaded: Loaded, *, without_context: bool) -> None:
        self._loaded = loaded
        self._without_context = without_context

    def of(self, tokenized: TokenizedTask, entry: Task) -> AnswerKey:
        """Return the key of the answers to a task; `entry` is what the recipe says of it.

        Not in it is how much goes through the model at once, which changes no answer, and what only scoring looks at:
        references (but where they are weighed), metric and groups.
        """
        return {
            **self._of_model,
            **_of_questions(tokenized),
            **_of_answering(tokenized.task),
            "without_context": self._without_context,
            "benchmark": f"{entry.task} {entry.task_version}" if entry.task else None,
        }

    @cached_property
    def _of_model(self) -> AnswerKey:
        model, formatter, device = self._loaded.model, self._loaded.formatter, self._loaded.device
        return {
            "weights": fingerprint_weights(model),
            "configuration": fingerprint_config(model),
            "tokenizer": fingerprint_tokenizer(formatter.tokenizer),
            "image_processor": hash_json(formatter.image_settings()),
            "end_ids": sorted(formatter.end_ids),
            "dtype": str(model.dtype).removeprefix("torch."),
            "attn_implementation": model.config._attn_implementation,
            "device": torch.cuda.get_device_name(device) if device.type == "cuda" else device.type,
            **package_versions(COMPUTING_PACKAGES),
        }


def _of_questions(tokenized: TokenizedTask) -> AnswerKey:
    """Return what identifies the examples, and what is put to the model of each: its tokens, whatever made them."""
    questions = sorted(tokenized.questions, key=_identity)
    examples = [single.branches[0].example for single in questions]
    weighed = [example.references[:1] for example in examples] if weighs_references(tokenized.task) else None
    options = [options_of(example) for example in examples] if tokenized.task.answer_by == "likelihood" else None
    return {
        "examples": hash_json(
            [(_identity(single), [image.content_hash() for image in single.images]) for single in questions]
        ),
        "prompt": _hash(part for single in questions for part in _tokens(single)),
        "options": options and hash_json(options),
        "weighed_references": weighed and hash_json(weighed),
    }


def _of_answering(task: TaskExamples) -> AnswerKey:
    """Return how answers are given; what likelihood has no use for is left out there."""
    if task.answer_by == "likelihood":
        return {"answer_by": task.answer_by}
    sampling = task.sampling
    return {
        "answer_by": task.answer_by,
        "max_new_tokens": task.max_new_tokens,
        "stop": list(task.stop),
        "temperature": sampling.temperature if sampling else 0.0,
        "top_p": sampling.top_p if sampling else 1.0,
        "seed": sampling.seed if sampling else None,
    }


def _identity(single: Encoded) -> str:
    return single.branches[0].example.id


def _tokens(single: Encoded) -> Iterable[bytes]:
    (branch,) = single.branches
    for ids in (single.prefix_ids, branch.ids):
        yield len(ids).to_bytes(4, "little")
        yield ids.tobytes()


def _hash(parts: Iterable[bytes]) -> str:
    decisive = hashlib.sha256()
    for part in parts:
        decisive.update(part)
    return decisive.hexdigest()
