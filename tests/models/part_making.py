"""Vision encoders and language models saved as people have them, to assemble a LLaVA from."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from transformers import (
    CLIPConfig,
    CLIPImageProcessorPil,
    CLIPModel,
    Gemma2Config,
    Gemma2ForCausalLM,
    GemmaConfig,
    GemmaForCausalLM,
    LlamaConfig,
    LlamaForCausalLM,
    PhiConfig,
    PhiForCausalLM,
    PreTrainedModel,
    Qwen2Config,
    Qwen2ForCausalLM,
    SiglipConfig,
    SiglipImageProcessorPil,
    SiglipModel,
)

from finesight.recipe.model import AssembledModel

VISION_KINDS = {
    "clip_vision_model": (CLIPConfig, CLIPModel, CLIPImageProcessorPil),
    "siglip_vision_model": (SiglipConfig, SiglipModel, SiglipImageProcessorPil),
}
LANGUAGE_KINDS = {
    "llama": (LlamaConfig, LlamaForCausalLM),
    "gemma": (GemmaConfig, GemmaForCausalLM),
    "gemma2": (Gemma2Config, Gemma2ForCausalLM),
    "phi": (PhiConfig, PhiForCausalLM),
    "qwen2": (Qwen2Config, Qwen2ForCausalLM),
}
VISION = {
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "image_size": 32,
    "patch_size": 8,
}
TEXT = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "vocab_size": 9}
ENDS = {"bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 0}
LANGUAGE = {
    "hidden_size": 48,
    "intermediate_size": 96,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 12,
    "max_position_embeddings": 512,
}


def save_vision(folder: Path, kind: str, *, whole: bool = True) -> PreTrainedModel:
    """Save a CLIP or SigLIP, whole or its vision half, and return the vision encoder that is in it."""
    torch.manual_seed(7)
    config_class, model_class, processor_class = VISION_KINDS[kind]
    model = model_class(config_class(vision_config=VISION, text_config={**TEXT, **ENDS})).eval()
    (model if whole else model.vision_model).save_pretrained(folder)
    processor_class(size={"height": 32, "width": 32}, do_center_crop=False).save_pretrained(folder)
    return model.vision_model


def save_language(folder: Path, kind: str, tokenizer: Any, *, dtype: torch.dtype = torch.float32) -> PreTrainedModel:
    """Save a language model whose vocabulary is the tokenizer's, and return it."""
    torch.manual_seed(8)
    config_class, model_class = LANGUAGE_KINDS[kind]
    model = model_class(config_class(vocab_size=len(tokenizer), **LANGUAGE, **ENDS)).to(dtype).eval()
    if kind == "phi":
        torch.nn.init.normal_(model.lm_head.bias)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return model


def assembled(vision: Any, language: Any, **settings: Any) -> AssembledModel:
    """Return the specification of a model of two parts: a folder's name, or a configuration."""
    sources = [{"name_or_path": part} if isinstance(part, str) else {"config": part} for part in (vision, language)]
    return AssembledModel.model_validate(
        {"kind": "assembled", "vision": sources[0], "language": sources[1], "chat_template": "llava-1.5", **settings}
    )
