"""What a model is, in a few letters: two that have the same are the same, wherever they were loaded from."""

from __future__ import annotations

import hashlib
import json
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase

_THREADS = 4
"""Hashing lets go of Python's lock: four tensors at a time take a quarter of the time where there are the cores."""
_ASIDE = ("_name_or_path", "transformers_version", "use_cache")
"""What a configuration says of where it was found and how it was last used, and nothing of what the model computes."""


def fingerprint_weights(model: PreTrainedModel) -> str:
    """Return a hash of everything that a model holds: the name, number format, shape and bytes of each tensor.

    Of packed (quantised) weights their constants count too, of adapters their own weights. It is the model in memory
    that is hashed, not the files that it was loaded from: so a checkpoint that was moved, converted or fetched again
    stays the same, and random parts, another number format or a file that was changed in place do not.
    """
    with ThreadPoolExecutor(_THREADS) as threads:
        digests = list(threads.map(_digest, sorted(model.state_dict().items(), key=lambda named: named[0])))
    return hashlib.sha256(b"".join(digests)).hexdigest()


def fingerprint_config(model: PreTrainedModel) -> str:
    """Return a hash of what a model's configuration says of how it computes."""
    return hash_json(_decisive(model.config.to_dict()))


def fingerprint_tokenizer(tokenizer: PreTrainedTokenizerBase) -> str:
    """Return a hash of a tokenizer's vocabulary: what its tokens are called."""
    return hash_json(sorted(tokenizer.get_vocab().items()))


def hash_json(content: object) -> str:
    """Return a hash of what can be written as JSON; of what cannot, its text stands for it."""
    return hashlib.sha256(json.dumps(content, sort_keys=True, default=str).encode()).hexdigest()


def tensor_bytes(tensor: torch.Tensor) -> memoryview:
    """Return a tensor's bytes, in the order of its elements."""
    plain = tensor.detach().cpu().contiguous().reshape(-1)
    stored: memoryview = plain.view(torch.uint8).numpy().data
    return stored


def _digest(named: tuple[str, torch.Tensor]) -> bytes:
    name, tensor = named
    decisive = hashlib.sha256(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
    decisive.update(tensor_bytes(tensor))
    return decisive.digest()


def _decisive(config: dict[str, Any]) -> dict[str, Any]:
    return {
        name: _decisive(value) if isinstance(value, dict) else value
        for name, value in config.items()
        if name not in _ASIDE
    }
