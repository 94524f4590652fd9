"""Tokenizers: loading one, or learning a small one from the training text."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import AutoTokenizer, PreTrainedTokenizerBase, PreTrainedTokenizerFast, TokenizersBackend
from transformers.models.auto.tokenization_auto import get_tokenizer_config

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
    """Return a tokenizer from a folder or the hub.

    One that says of itself that it is its tokenizer.json and no more is taken at its word: beside a Qwen2,
    `AutoTokenizer` would make a Qwen2's of it, which divides texts otherwise and has a token more.
    """
    try:
        class_name = get_tokenizer_config(name_or_path, revision=revision).get("tokenizer_class")
        tokenizer_class = TokenizersBackend if class_name == TokenizersBackend.__name__ else AutoTokenizer
        tokenizer: PreTrainedTokenizerBase = tokenizer_class.from_pretrained(name_or_path, revision=revision)
    except (OSError, ValueError, KeyError) as error:
        raise ModelError(
            f"{name_or_path}: no tokenizer can be loaded ({first_line(error)})",
            hint="a folder needs tokenizer.json and tokenizer_config.json; a hub name needs the network",
        ) from error
    return tokenizer


def ensure_special_tokens(tokenizer: PreTrainedTokenizerBase, image_token: str = IMAGE_TOKEN) -> int:
    """Give the tokenizer an image token and a pad token where it lacks them, and return the image token's id.

    Only `<image>` is added. Raises `ModelError` for another that it lacks, or that means something else already.
    """
    if image_token not in tokenizer.get_vocab():
        if image_token != IMAGE_TOKEN:
            raise ModelError(
                f"model.image_token: the tokenizer has no token {image_token!r}",
                hint=f"name a token that it has and no text holds, or leave it out: then {IMAGE_TOKEN} is added",
            )
        tokenizer.add_tokens([IMAGE_TOKEN], special_tokens=True)
    ensure_pad_token(tokenizer)
    image_token_id = int(tokenizer.convert_tokens_to_ids(image_token))
    if image_token_id in (tokenizer.bos_token_id, tokenizer.eos_token_id, tokenizer.pad_token_id):
        raise ModelError(
            f"model.image_token: {image_token!r} begins, ends or pads texts already, and cannot be an image's",
            hint=f"name another token, or leave it out: then {IMAGE_TOKEN} is added",
        )
    return image_token_id


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
