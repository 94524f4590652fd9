"""Tokenizers: loading one, or learning a small one from the training text."""

from __future__ import annotations

from collections.abc import Iterable

from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import AutoTokenizer, PreTrainedTokenizerBase, PreTrainedTokenizerFast

from finesight.errors import ModelError

IMAGE_TOKEN = "<image>"
BOS_TOKEN, EOS_TOKEN, PAD_TOKEN = "<s>", "</s>", "<pad>"


def learn_tokenizer(texts: Iterable[str], vocab_size: int) -> PreTrainedTokenizerFast:
    """Return a byte-level BPE of at most `vocab_size` tokens, image, bos, eos and pad tokens included.

    Every text can be written with it: the 256 byte tokens are always there.
    """
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size,
        special_tokens=[PAD_TOKEN, BOS_TOKEN, EOS_TOKEN, IMAGE_TOKEN],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token=BOS_TOKEN,
        eos_token=EOS_TOKEN,
        pad_token=PAD_TOKEN,
        extra_special_tokens=[IMAGE_TOKEN],
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
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token = tokenizer.eos_token
    return int(tokenizer.convert_tokens_to_ids(IMAGE_TOKEN))


def first_line(error: BaseException) -> str:
    """Return the first line of a library's error: the rest is rarely for the person who reads it."""
    return str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
