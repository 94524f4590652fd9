"""A LLaVA whose language model is a Phi: the one whose head has a bias, for which transformers' own class has no place.

Without it a Phi would answer otherwise than it does by itself. So these weights need this class: transformers' own
reads them too, but leaves out `lm_head.bias`.
"""

from __future__ import annotations

from torch import nn
from transformers import LlavaConfig, LlavaForConditionalGeneration
from transformers.conversion_mapping import get_checkpoint_conversion_mapping, register_checkpoint_conversion_mapping

HEAD_BIAS = "lm_head.bias"


class LlavaPhiForConditionalGeneration(LlavaForConditionalGeneration):  # type: ignore[misc]
    """transformers' LLaVA with Phi's head. Of a checkpoint that has no such bias it begins as zeros, which is none."""

    def __init__(self, config: LlavaConfig) -> None:
        super().__init__(config)
        self.lm_head = nn.Linear(config.text_config.hidden_size, config.text_config.vocab_size, bias=True)
        self.post_init()


# transformers knows the older names of a LLaVA's tensors for its own classes alone.
register_checkpoint_conversion_mapping(
    LlavaPhiForConditionalGeneration.__name__, get_checkpoint_conversion_mapping("llava"), overwrite=True
)


def llava_class(config: LlavaConfig) -> type[LlavaForConditionalGeneration]:
    """Return the class that computes what the configuration describes."""
    return LlavaPhiForConditionalGeneration if config.text_config.model_type == "phi" else LlavaForConditionalGeneration
