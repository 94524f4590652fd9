"""Checkpoints of the families that `kind: hf` loads, tiny, in the layout that people have them in."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from tokenizers import Tokenizer, processors
from transformers import (
    AutoModelForImageTextToText,
    AutoTokenizer,
    Gemma3Config,
    Gemma3ImageProcessorPil,
    GotOcr2ImageProcessorPil,
    Idefics3Config,
    Idefics3ImageProcessorPil,
    InternVLConfig,
    LlavaNextConfig,
    LlavaNextImageProcessorPil,
    LlavaOnevisionConfig,
    LlavaOnevisionImageProcessorPil,
    PaliGemmaConfig,
    PreTrainedTokenizerFast,
    Qwen2_5_VLConfig,
    Qwen2VLConfig,
    Qwen2VLImageProcessorPil,
    SiglipImageProcessorPil,
    SmolVLMConfig,
    SmolVLMImageProcessorPil,
)

from finesight.models.load import load_model
from finesight.models.loaded import Loaded
from finesight.models.tokenizers import learn_tokenizer
from finesight.recipe.model import HfModel
from finesight.schema import Example, Turn

TEXTS = ("what colour is it?", "dark red", "is it a square? yes or no", "how many things are there? seven", "green")
LANGUAGE: dict[str, Any] = {
    "hidden_size": 48,
    "intermediate_size": 96,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 1024,
}
VISION: dict[str, Any] = {
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "image_size": 32,
    "patch_size": 8,
}
QWEN_VISION: dict[str, Any] = {"depth": 2, "num_heads": 4, "patch_size": 8, "spatial_merge_size": 2}
IDEFICS_TOKENS = (
    "<image>",
    "<fake_token_around_image>",
    "<global-img>",
    "<end_of_utterance>",
    "<|im_start|>",
    *(f"<row_{row}_col_{column}>" for row in range(1, 7) for column in range(1, 7)),
)
SMOLVLM_TEMPLATE = (
    "<|im_start|>{% for message in messages %}{{message['role'] | capitalize}}{% if message['content'][0]['type'] == "
    "'image' %}{{':'}}{% else %}{{': '}}{% endif %}{% for line in message['content'] %}{% if line['type'] == 'text' %}"
    "{{line['text']}}{% elif line['type'] == 'image' %}{{ '<image>' }}{% endif %}{% endfor %}<end_of_utterance>\n"
    "{% endfor %}{% if add_generation_prompt %}{{ 'Assistant:' }}{% endif %}"
)
QWEN_TEMPLATE = (
    "{% for message in messages %}{% if loop.first and message['role'] != 'system' %}<|im_start|>system\nYou are a "
    "helpful assistant.<|im_end|>\n{% endif %}<|im_start|>{{ message['role'] }}\n{% for content in message['content'] "
    "%}{% if content['type'] == 'image' %}<|vision_start|><|image_pad|><|vision_end|>{% elif 'text' in content %}"
    "{{ content['text'] }}{% endif %}{% endfor %}<|im_end|>\n{% endfor %}{% if add_generation_prompt %}"
    "<|im_start|>assistant\n{% endif %}"
)
LLAVA_TEMPLATE = (
    "{% for message in messages %}{{ message['role'] | upper + ': ' }}{% for piece in message['content'] %}"
    "{% if piece['type'] == 'image' %}{{ '<image>\n' }}{% else %}{{ piece['text'] + ' ' }}{% endif %}{% endfor %}"
    "{% if message['role'] == 'assistant' %}{{ eos_token }}{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}{{ 'ASSISTANT:' }}{% endif %}"
)
INTERNVL_TEMPLATE = QWEN_TEMPLATE.replace("<|vision_start|><|image_pad|><|vision_end|>", "<IMG_CONTEXT>\n")
GEMMA3_TEMPLATE = (
    "{{ bos_token }}{% for message in messages %}<start_of_turn>{{ 'model' if message['role'] == 'assistant' else "
    "message['role'] }}\n{% for piece in message['content'] %}{% if piece['type'] == 'image' %}<start_of_image>"
    "{% else %}{{ piece['text'] | trim }}{% endif %}{% endfor %}<end_of_turn>\n{% endfor %}"
    "{% if add_generation_prompt %}<start_of_turn>model\n{% endif %}"
)


@dataclass(frozen=True)
class Sample:
    """How a family's checkpoint is written."""

    config: Callable[[dict[str, Any], Callable[[str], int]], Any]
    """From the language model's settings and the ids of tokens to the configuration."""
    image_processor: Any
    tokens: tuple[str, ...]
    image_token: str
    """What an image feature's place is called in the vocabulary."""
    template: str | None
    processor: dict[str, Any] = field(default_factory=dict)
    """processor_config.json"""
    named: dict[str, str] = field(default_factory=dict)
    """Tokens that the tokenizer knows by name."""


def _idefics(config_class: Any) -> Callable[..., Any]:
    def make(language: dict[str, Any], id_of: Callable[[str], int]) -> Any:
        return config_class(
            text_config={"model_type": "llama", **language},
            vision_config=VISION,
            scale_factor=2,
            image_token_id=id_of("<image>"),
            pad_token_id=0,
        )

    return make


def _qwen(config_class: Any, width_of_features: str, **vision: Any) -> Callable[..., Any]:
    """`width_of_features` is what the vision encoder's configuration calls the width that it hands over."""

    def make(language: dict[str, Any], id_of: Callable[[str], int]) -> Any:
        frequencies = language["hidden_size"] // language["num_attention_heads"] // 2
        sections = [frequencies - 4, 2, 2]
        rotary = {"rope_type": "default", "rope_theta": 10000.0, "mrope_section": sections}
        return config_class(
            text_config={**language, "rope_parameters": rotary},
            vision_config={**QWEN_VISION, **vision, width_of_features: language["hidden_size"]},
            image_token_id=id_of("<|image_pad|>"),
            video_token_id=id_of("<|video_pad|>"),
            vision_start_token_id=id_of("<|vision_start|>"),
            vision_end_token_id=id_of("<|vision_end|>"),
        )

    return make


def _paligemma(language: dict[str, Any], id_of: Callable[[str], int]) -> Any:
    return PaliGemmaConfig(
        text_config={"model_type": "gemma", **language, "head_dim": 12},
        vision_config={"model_type": "siglip_vision_model", **VISION, "projection_dim": language["hidden_size"]},
        projection_dim=language["hidden_size"],
        image_token_id=id_of("<image>"),
    )


def _gemma3(language: dict[str, Any], id_of: Callable[[str], int]) -> Any:
    return Gemma3Config(
        text_config={"model_type": "gemma3_text", **language, "head_dim": 12, "sliding_window": 512},
        vision_config={"model_type": "siglip_vision_model", **VISION},
        mm_tokens_per_image=4,
        image_token_id=id_of("<image_soft_token>"),
        boi_token_index=id_of("<start_of_image>"),
        eoi_token_index=id_of("<end_of_image>"),
    )


def _any_resolution(config_class: Any, vision_type: str, language_type: str, **settings: Any) -> Callable[..., Any]:
    def make(language: dict[str, Any], id_of: Callable[[str], int]) -> Any:
        return config_class(
            text_config={"model_type": language_type, **language},
            vision_config={"model_type": vision_type, **VISION},
            image_grid_pinpoints=PINPOINTS,
            image_token_index=id_of("<image>"),
            **settings,
        )

    return make


def _internvl(language: dict[str, Any], id_of: Callable[[str], int]) -> Any:
    return InternVLConfig(
        text_config={"model_type": "qwen2", **language},
        vision_config={**VISION, "image_size": [32, 32], "patch_size": [8, 8]},
        image_token_id=id_of("<IMG_CONTEXT>"),
        image_seq_length=4,
    )


PINPOINTS = [[32, 64], [64, 32], [64, 64]]
QWEN_TOKENS = ("<|image_pad|>", "<|video_pad|>", "<|vision_start|>", "<|vision_end|>", "<|im_start|>", "<|im_end|>")
QWEN_PIXELS = Qwen2VLImageProcessorPil(min_pixels=16 * 16 * 2, max_pixels=16 * 16 * 12, patch_size=8)

SAMPLES: dict[str, Sample] = {
    "smolvlm": Sample(
        _idefics(SmolVLMConfig),
        SmolVLMImageProcessorPil(size={"longest_edge": 64}, max_image_size={"longest_edge": 32}),
        IDEFICS_TOKENS,
        "<image>",
        SMOLVLM_TEMPLATE,
        {"image_seq_len": 4, "processor_class": "SmolVLMProcessor"},
    ),
    "idefics3": Sample(
        _idefics(Idefics3Config),
        Idefics3ImageProcessorPil(size={"longest_edge": 64}, max_image_size={"longest_edge": 32}),
        IDEFICS_TOKENS,
        "<image>",
        SMOLVLM_TEMPLATE,
        {"image_seq_len": 4, "processor_class": "Idefics3Processor"},
    ),
    "qwen2_vl": Sample(
        _qwen(Qwen2VLConfig, "hidden_size", embed_dim=32, mlp_ratio=2),
        QWEN_PIXELS,
        QWEN_TOKENS,
        "<|image_pad|>",
        QWEN_TEMPLATE,
    ),
    "qwen2_5_vl": Sample(
        _qwen(
            Qwen2_5_VLConfig,
            "out_hidden_size",
            hidden_size=32,
            intermediate_size=64,
            window_size=32,
            fullatt_block_indexes=[1],
        ),
        QWEN_PIXELS,
        QWEN_TOKENS,
        "<|image_pad|>",
        QWEN_TEMPLATE,
    ),
    "paligemma": Sample(
        _paligemma,
        SiglipImageProcessorPil(size={"height": 32, "width": 32}, image_seq_length=16),
        ("<image>",),
        "<image>",
        None,
        {"processor_class": "PaliGemmaProcessor"},
    ),
    "gemma3": Sample(
        _gemma3,
        Gemma3ImageProcessorPil(size={"height": 32, "width": 32}, do_pan_and_scan=False),
        ("<start_of_image>", "<end_of_image>", "<image_soft_token>", "<start_of_turn>", "<end_of_turn>"),
        "<image_soft_token>",
        GEMMA3_TEMPLATE,
        {"image_seq_length": 4, "processor_class": "Gemma3Processor"},
        {"boi_token": "<start_of_image>", "eoi_token": "<end_of_image>", "image_token": "<image_soft_token>"},
    ),
    "llava_next": Sample(
        _any_resolution(LlavaNextConfig, "clip_vision_model", "llama", vision_feature_layer=-2),
        LlavaNextImageProcessorPil(
            size={"shortest_edge": 32}, crop_size={"height": 32, "width": 32}, image_grid_pinpoints=PINPOINTS
        ),
        ("<image>",),
        "<image>",
        LLAVA_TEMPLATE,
        {
            "patch_size": 8,
            "vision_feature_select_strategy": "default",
            "num_additional_image_tokens": 1,
            "processor_class": "LlavaNextProcessor",
        },
    ),
    "llava_onevision": Sample(
        _any_resolution(
            LlavaOnevisionConfig,
            "siglip_vision_model",
            "qwen2",
            vision_feature_layer=-1,
            vision_feature_select_strategy="full",
        ),
        LlavaOnevisionImageProcessorPil(size={"height": 32, "width": 32}, image_grid_pinpoints=PINPOINTS),
        ("<image>", "<video>"),
        "<image>",
        LLAVA_TEMPLATE,
        {
            "num_image_tokens": 16,
            "vision_feature_select_strategy": "full",
            "processor_class": "LlavaOnevisionProcessor",
        },
    ),
    "internvl": Sample(
        _internvl,
        GotOcr2ImageProcessorPil(size={"height": 32, "width": 32}, crop_to_patches=True, max_patches=4),
        ("<IMG_CONTEXT>", "<img>", "</img>", "<video>", "<|im_start|>", "<|im_end|>"),
        "<IMG_CONTEXT>",
        INTERNVL_TEMPLATE,
        {"image_seq_length": 4, "processor_class": "InternVLProcessor"},
        {
            "start_image_token": "<img>",
            "end_image_token": "</img>",
            "context_image_token": "<IMG_CONTEXT>",
            "video_token": "<video>",
        },
    ),
}


def make_hf_tokenizer(sample: Sample, *, adds_bos: bool = False) -> PreTrainedTokenizerFast:
    """Return a byte-level tokenizer with a family's special tokens."""
    core = Tokenizer.from_str(learn_tokenizer(TEXTS * 20, 360, sample.tokens).backend_tokenizer.to_str())
    if adds_bos:
        core.post_processor = processors.TemplateProcessing(
            single="<s> $A", special_tokens=[("<s>", core.token_to_id("<s>"))]
        )
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=core,
        bos_token="<s>",
        eos_token="</s>",
        pad_token="<pad>",
        extra_special_tokens=sample.named or list(sample.tokens),
    )
    tokenizer.chat_template = sample.template
    return tokenizer


@dataclass(frozen=True)
class Gradient:
    """A picture in which no two places are alike."""

    width: int
    height: int
    turned: bool = False

    @property
    def name(self) -> str:
        return f"gradient-{self.width}-{self.height}-{self.turned}"

    def open(self) -> Image.Image:
        gradient = Image.linear_gradient("L").transpose(Image.Transpose.ROTATE_180 if self.turned else FLIPPED)
        return gradient.resize((self.width, self.height)).convert("RGB")

    def content_hash(self) -> str:
        return self.name


FLIPPED = Image.Transpose.FLIP_TOP_BOTTOM
WIDE, HIGH = Gradient(90, 60), Gradient(40, 70)


def ask(name: str, question: str, answer: str, *pictures: Gradient) -> Example:
    """Return a question about pictures of different sizes, or about none."""
    turns = (Turn("user", question), Turn("assistant", answer, learned=True))
    return Example(name, pictures[0].name if pictures else name, pictures, turns, (answer,), source="drawn")


QUESTIONS = (
    ask("1", "what colour is it?", "dark red", WIDE),
    ask("2", "is it a square?", "no", WIDE),
    ask("3", "how many things are there?", "seven", HIGH),
    ask("4", "what colour?", "green", Gradient(90, 60, turned=True)),
)
"""Two questions about a wide picture, one about a high one, and one about a wide one upside down."""


def save_hf(folder: Path, model_type: str, *, lively: bool = True, **language_changes: Any) -> Path:
    """Write a checkpoint of random weights; with `lively`, of weights whose answers differ."""
    sample = SAMPLES[model_type]
    tokenizer = make_hf_tokenizer(sample)
    tokenizer.save_pretrained(folder)
    sample.image_processor.save_pretrained(folder)
    if sample.processor:
        (folder / "processor_config.json").write_text(json.dumps(sample.processor), encoding="utf-8")
    # PaliGemma's processor adds tokens of its own.
    vocabulary = len(AutoTokenizer.from_pretrained(folder)) + (1200 if model_type == "paligemma" else 0)
    ids = {"bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 0}
    language = {**LANGUAGE, "vocab_size": vocabulary, **ids, **language_changes}
    torch.manual_seed(5)
    model = AutoModelForImageTextToText.from_config(sample.config(language, tokenizer.convert_tokens_to_ids))
    if lively:
        enliven(model)
    model.save_pretrained(folder)
    return folder


def load_hf_folder(folder: Path, **settings: Any) -> Loaded:
    """Return the model in `folder`."""
    return load_model(HfModel(kind="hf", name_or_path=folder.name, **settings), data_root=folder.parent)


@torch.no_grad()
def enliven(model: torch.nn.Module) -> None:
    """Give a model weights whose answers differ: freshly made ones answer one token, whatever they are asked."""
    generator = torch.Generator().manual_seed(3)
    for parameter in model.parameters():
        if parameter.ndim >= 2:
            parameter.normal_(std=2 / parameter[0].numel() ** 0.5, generator=generator)
