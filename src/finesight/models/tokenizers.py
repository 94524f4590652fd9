"""Tokenizers: loading one, or learning a small one from the training text."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import AutoTokenizer, PreTrainedTokenizerBase, PreTrainedTokenizerFast

from finesight.errors import ModelError

IMAGE_TOKEN = "<image>"
BOS_TOKEN, EOS_TOKEN, PAD_TOKEN = "<s>", "</s>", "<pad>"


def learn_tokenizer(
    texts: Iterable[str], vocab_size: int, extra_tokens: Sequence[str] = (IMAGE_TOKEN,)
) -> PreTrainedTokenizerFast:
    """Return a byte-level BPE of at most `vocab_size` tokens, bos, eos, pad and `extra_tokens` included.

    Every text can be written with it: the 256 byte tokens are always there.
    """
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size,
        special_tokens=[PAD_TOKEN, BOS_TOKEN, EOS_TOKEN, *extra_tokens],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token=BOS_TOKEN,
        eos_token=EOS_TOKEN,
        pad_token=PAD_TOKEN,
        extra_special_tokens=list(extra_tokens),
    )


def load_tokenizer(name_or_path: str, revision: str | None) -> PreTrainedTokenizerBase:
    """Return a tokenizer from a folder or the hub."""
    try:
        tokenizer: PreTrainedTokenizerBase = AutoTokenizer.from_pretrained(name_or_path, revision=revision)
    except (OSError, ValueError, KeyError) as error:
        raise ModelError(
            f"{name_or_path}: no tokenizer can be loaded ({first_line(error)})",
            hint="a folder needs tokenizer.json and tokenizer_config.json; a hub name needs the network",
        ) from error
    return tokenizer


def ensure_special_tokens(tokenizer: PreTrainedTokenizerBase) -> int:
    """Give the tokenizer an image token and a pad token where it lacks them, and return the image token's id."""
    if IMAGE_TOKEN not in tokenizer.get_vocab():
        tokenizer.add_tokens([IMAGE_TOKEN], special_tokens=True)
    ensure_pad_token(tokenizer)
    return int(tokenizer.convert_tokens_to_ids(IMAGE_TOKEN))


def ensure_pad_token(tokenizer: PreTrainedTokenizerBase) -> None:
    """Give the tokenizer a pad token where it lacks one: padding is never seen, so eos will do."""
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token = tokenizer.eos_token


def require_vocabulary(tokenizer: PreTrainedTokenizerBase, size: int) -> None:
    """Raise `ModelError` when the tokenizer has tokens that the language model has no embedding for."""
    if len(tokenizer) > size:
        raise ModelError(
            f"the tokenizer has {len(tokenizer)} tokens, the language model only {size}",
            hint=f"use the checkpoint's own tokenizer; in a config, set vocab_size: {len(tokenizer)} or more",
        )


def first_line(error: BaseException) -> str:
    """Return the first line of a library's error: the rest is rarely for the person who reads it."""
    return str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
