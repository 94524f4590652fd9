"""Captioners as the hub has them, with a few random weights: BLIP, ViT-GPT2, and a LLaVA that is spoken to."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from transformers import (
    BertTokenizer,
    BlipConfig,
    BlipForConditionalGeneration,
    BlipImageProcessorPil,
    BlipProcessor,
    CLIPImageProcessorPil,
    CLIPVisionConfig,
    GPT2Config,
    LlamaConfig,
    LlavaConfig,
    LlavaForConditionalGeneration,
    LlavaProcessor,
    PreTrainedModel,
    VisionEncoderDecoderConfig,
    VisionEncoderDecoderModel,
    ViTConfig,
    ViTImageProcessorPil,
)

from finesight.models.tokenizers import learn_tokenizer

SIZE = {"height": 16, "width": 16}
SMALL = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2}
WORDS = ["a", "photo", "of", "the", "red", "blue", "green", "small", "square", "circle", "on", "left", "two", "three"]
TEXTS = [" ".join(WORDS[place:] + WORDS[:place]) for place in range(len(WORDS))]


def save_blip(folder: Path) -> Path:
    """Write a BLIP. As on the hub, the token that a caption begins with is none that the tokenizer knows."""
    tokenizer = BertTokenizer(vocab={word: number for number, word in enumerate(_BERT_TOKENS + WORDS)})
    text = {
        **SMALL, "vocab_size": len(tokenizer) + 2, "encoder_hidden_size": 16, "projection_dim": 16,
        "bos_token_id": len(tokenizer), "pad_token_id": tokenizer.pad_token_id,
        "eos_token_id": tokenizer.sep_token_id, "sep_token_id": tokenizer.sep_token_id,
    }  # fmt: skip
    vision = {**SMALL, "image_size": 16, "patch_size": 8}
    config = BlipConfig(text_config=text, vision_config=vision, projection_dim=16)
    _save(BlipForConditionalGeneration, config, folder)
    BlipProcessor(BlipImageProcessorPil(size=SIZE), tokenizer).save_pretrained(folder)
    return folder


def save_vit_gpt2(folder: Path) -> Path:
    """Write a ViT-GPT2: an image processor and a tokenizer, and no processor that knows both."""
    tokenizer = learn_tokenizer(TEXTS, 300, extra_tokens=())
    encoder = ViTConfig(**SMALL, image_size=16, patch_size=8)
    decoder = GPT2Config(
        vocab_size=len(tokenizer), n_embd=16, n_layer=2, n_head=2, n_positions=64, bos_token_id=1, eos_token_id=2
    )
    config = VisionEncoderDecoderConfig.from_encoder_decoder_configs(encoder, decoder)
    config.decoder_start_token_id, config.pad_token_id, config.eos_token_id = 1, 0, 2
    _save(VisionEncoderDecoderModel, config, folder)
    ViTImageProcessorPil(size=SIZE).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def save_llava(folder: Path) -> Path:
    """Write a LLaVA with a processor and a chat template."""
    tokenizer = learn_tokenizer(TEXTS, 320)
    vision = CLIPVisionConfig(**SMALL, image_size=16, patch_size=8)
    text = LlamaConfig(**SMALL, num_key_value_heads=2, vocab_size=len(tokenizer), max_position_embeddings=128)
    image_token = tokenizer.convert_tokens_to_ids("<image>")
    config = LlavaConfig(vision_config=vision, text_config=text, image_token_id=image_token)
    _save(LlavaForConditionalGeneration, config, folder)
    LlavaProcessor(
        CLIPImageProcessorPil(size=SIZE, crop_size=SIZE),
        tokenizer,
        patch_size=8,
        vision_feature_select_strategy="default",
        num_additional_image_tokens=1,
        chat_template=_CHAT,
    ).save_pretrained(folder)
    return folder


SAVE: dict[str, Callable[[Path], Path]] = {"blip": save_blip, "vit-gpt2": save_vit_gpt2, "llava": save_llava}

_BERT_TOKENS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
_CHAT = (
    "{% for message in messages %}{% for part in message.content %}"
    "{{ '<image>\n' if part.type == 'image' else part.text }}{% endfor %}: {% endfor %}"
)


def _save(model_class: type[PreTrainedModel], config: Any, folder: Path) -> None:
    torch.manual_seed(5)
    model = model_class(config)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim >= 2:
                parameter.normal_(std=1.5 / parameter.shape[-1] ** 0.5)
    model.save_pretrained(folder)
