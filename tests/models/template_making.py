"""Chat templates of the shapes that real checkpoints have, and tokenizers to go with them."""

from __future__ import annotations

import functools
import json

from tokenizers import Tokenizer, models, pre_tokenizers, processors, trainers
from transformers import LlamaTokenizer, PreTrainedTokenizerFast

from finesight.models.chat import ChatFormat
from finesight.models.image_formatter import ImageFormatter, ImageGeometry
from finesight.models.tokenizers import IMAGE_TOKEN, ensure_special_tokens, learn_tokenizer
from finesight.schema import Example, Turn

FEATURES = 3
TEXTS = ("what colour is it?", "dark red", "USER: are you sure? ASSISTANT: yes", "<start_of_turn>model user assistant")

LLAVA_LIST = (
    "{% for message in messages %}{{ message['role'] | upper + ': ' }}"
    "{% for piece in message['content'] %}{% if piece['type'] == 'image' %}{{ '<image>\n' }}{% endif %}{% endfor %}"
    "{% for piece in message['content'] %}{% if piece['type'] == 'text' %}{{ piece['text'] + ' ' }}{% endif %}"
    "{% endfor %}{% endfor %}{% if add_generation_prompt %}{{ 'ASSISTANT:' }}{% endif %}"
)
VICUNA = (
    "{% for message in messages %}{% if message['role'] == 'assistant' %}"
    "{{ 'ASSISTANT: ' + message['content'] + eos_token }}{% else %}{{ 'USER: ' + message['content'] + ' ' }}{% endif %}"
    "{% endfor %}{% if add_generation_prompt %}{{ 'ASSISTANT: ' }}{% endif %}"
)
GEMMA = (
    "{{ bos_token }}{% if messages[0]['role'] == 'system' %}{{ raise_exception('System role not supported') }}"
    "{% endif %}{% for message in messages %}"
    "{% set role = 'model' if message['role'] == 'assistant' else message['role'] %}"
    "{{ '<start_of_turn>' + role + '\n' + message['content'] | trim + '<end_of_turn>\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<start_of_turn>model\n' }}{% endif %}"
)
LLAMA_3 = (
    "{% for message in messages %}{% if loop.first %}{{ bos_token }}{% endif %}"
    "{{ '<|start_header_id|>' + message['role'] + '<|end_header_id|>\n\n' + message['content'] | trim + '<|eot_id|>' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|start_header_id|>assistant<|end_header_id|>\n\n' }}{% endif %}"
)
CHATML = (
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>\n' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
ENDLESS = (
    "{% for message in messages %}{{ 'Q: ' if message['role'] == 'user' else 'A: ' }}{{ message['content'] + '\n' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ 'A:' }}{% endif %}"
)
TEMPLATES = {
    "llava list": (LLAVA_LIST, ()),
    "vicuna": (VICUNA, ()),
    "gemma": (GEMMA, ("<start_of_turn>", "<end_of_turn>")),
    "llama 3": (LLAMA_3, ("<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>")),
    "chatml": (CHATML, ("<|im_start|>", "<|im_end|>")),
    "endless": (ENDLESS, ()),
}


@functools.cache
def _learned() -> str:
    return str(learn_tokenizer(TEXTS * 20, 340).backend_tokenizer.to_str())


def make_tokenizer(*special: str, adds_bos: bool = False, template: str | None = None) -> PreTrainedTokenizerFast:
    """Return a byte-level tokenizer; `adds_bos` as Llama's, which put the bos before every text by themselves."""
    core = Tokenizer.from_str(_learned())
    if adds_bos:
        core.post_processor = processors.TemplateProcessing(
            single="<s> $A", special_tokens=[("<s>", core.token_to_id("<s>"))]
        )
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=core,
        bos_token="<s>",
        eos_token="</s>",
        pad_token="<pad>",
        extra_special_tokens=[IMAGE_TOKEN, *special],
    )
    tokenizer.chat_template = template
    return tokenizer


@functools.cache
def _learned_blanks() -> tuple[dict[str, int], list[tuple[str, str]]]:
    core = Tokenizer(models.BPE(byte_fallback=True, unk_token="<unk>"))
    core.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="never")
    special = ["<unk>", "<s>", "</s>", *(f"<0x{byte:02X}>" for byte in range(256))]
    core.train_from_iterator(
        TEXTS * 20, trainers.BpeTrainer(vocab_size=340, special_tokens=special, show_progress=False)
    )
    model = json.loads(core.to_str())["model"]
    return model["vocab"], [(left, right) for left, right in model["merges"]]


def bare_llama_tokenizer() -> LlamaTokenizer:
    """Return a tokenizer as Llama 2 has it: blanks joined to the word behind them, bos added by itself.

    It has neither a pad nor an image token.
    """
    vocabulary, merges = _learned_blanks()
    return LlamaTokenizer(vocab=vocabulary, merges=merges, add_bos_token=True)


def make_llama_tokenizer(template: str | None = None) -> LlamaTokenizer:
    """Return the same with the tokens that a LLaVA needs."""
    tokenizer = bare_llama_tokenizer()
    tokenizer.chat_template = template
    ensure_special_tokens(tokenizer)
    return tokenizer


def make_formatter(tokenizer: PreTrainedTokenizerFast, *, system_prompt: str | None = None) -> ImageFormatter:
    """Return a formatter of an encoder that gives three features an image."""
    return ImageFormatter(
        tokenizer,
        image_processor=None,
        chat=ChatFormat(tokenizer, IMAGE_TOKEN, None),
        image_token_id=tokenizer.convert_tokens_to_ids(IMAGE_TOKEN),
        geometry=ImageGeometry(size=8, features=FEATURES),
        system_prompt=system_prompt,
    )


def ask(*texts: str, images: tuple[object, ...] = (), learned: bool = True) -> Example:
    """Return a conversation whose texts are questions and answers in turn."""
    turns = tuple(
        Turn("assistant" if number % 2 else "user", text, learned=bool(number % 2) and learned)
        for number, text in enumerate(texts)
    )
    return Example("17", "17", images, turns, (texts[-1],))  # type: ignore[arg-type]
