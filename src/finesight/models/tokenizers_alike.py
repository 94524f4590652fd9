"""A small tokenizer in the manner of a published one: its special tokens, its template, its beginning of texts."""

from __future__ import annotations

from tokenizers.processors import TemplateProcessing
from transformers import PreTrainedTokenizerBase

from finesight.data.standins.rows import stand_in_texts
from finesight.models.blueprint import Blueprint
from finesight.models.tokenizers import BOS_TOKEN, EOS_TOKEN, PAD_TOKEN, learn_tokenizer

_VOCABULARY = 400


def learn_alike(blueprint: Blueprint) -> PreTrainedTokenizerBase:
    """Return a tokenizer of a few words that differs from the blueprint's in nothing but its words and their ids.

    So a template that already has bos, or one that takes no system prompt, is met in a rehearsal as in the run.
    """
    facts = blueprint.tokenizer
    assert facts is not None, f"{blueprint.name}: its tokenizer is not described"
    always_there = (PAD_TOKEN, BOS_TOKEN, EOS_TOKEN)
    own = [token for token in facts.ids if token not in always_there]
    tokenizer = learn_tokenizer(stand_in_texts(), _VOCABULARY, own)
    tokenizer.bos_token, tokenizer.eos_token, tokenizer.pad_token = facts.bos, facts.eos, facts.pad
    if facts.adds_bos:
        tokenizer.backend_tokenizer.post_processor = TemplateProcessing(
            single=f"{facts.bos} $A",
            pair=f"{facts.bos} $A $B",
            special_tokens=[(facts.bos, tokenizer.convert_tokens_to_ids(facts.bos))],
        )
    if blueprint.chat is not None:
        tokenizer.chat_template = blueprint.chat.template
    return tokenizer
