"""Checkpoints of small language models whose layers can be packed into 4 bits: their widths are multiples of 64."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from transformers import AutoConfig, AutoModelForCausalLM

from finesight.models.chat import read_template
from finesight.models.tokenizers import learn_tokenizer
from lively import make_lively

PACKABLE: dict[str, Any] = {
    "hidden_size": 64,
    "intermediate_size": 128,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 4,
    "head_dim": 16,
    "vocab_size": 400,
    "max_position_embeddings": 512,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "pad_token_id": 0,
}
GEMMA_2 = {"sliding_window": 16, "query_pre_attn_scalar": 1}
SVG = "style=fill:3,84,76;stroke:None;stroke-width:1;opacity:1\td=M11,471 A14,28,0,1,0,40,471"
TEXTS = ("what colour is it?", "dark red", SVG, "a red square")


def write_language(folder: Path, kind: str) -> Path:
    """Write a language model and its tokenizer, once, and return the folder."""
    if not folder.is_dir():
        torch.manual_seed(1)
        settings = PACKABLE | (GEMMA_2 if kind == "gemma2" else {})
        model = AutoModelForCausalLM.from_config(AutoConfig.for_model(kind, **settings))
        make_lively(model)
        model.save_pretrained(folder)
        tokenizer = learn_tokenizer(TEXTS * 20, 340, ())
        tokenizer.chat_template = read_template("llava-1.5", Path())
        tokenizer.save_pretrained(folder)
    return folder
