"""The `model:` section: which model, how it is loaded, how it is spoken to."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from finesight.recipe.base import Spec

SUPPORTED_VISION_TYPES = ("clip_vision_model", "siglip_vision_model")
SUPPORTED_LANGUAGE_TYPES = ("llama", "gemma")


class Quantization(Spec):
    """4-bit weights for the language model, by bitsandbytes. Field names are `BitsAndBytesConfig`'s."""

    bnb_4bit_quant_type: Literal["nf4", "fp4"] = "nf4"
    """The 4-bit number format; nf4 fits normally distributed weights best."""
    bnb_4bit_use_double_quant: bool = True
    """Quantise the quantisation constants too: about 0.4 bit a parameter less."""
    bnb_4bit_compute_dtype: Literal["float32", "bfloat16", "float16"] = "bfloat16"
    """The number format in which the unpacked weights are multiplied."""


class Loading(Spec):
    """How any model is loaded and spoken to."""

    dtype: Literal["auto", "float32", "bfloat16", "float16"] = "auto"
    """One number format for all weights. `auto`: bfloat16 on a GPU that has it, else float32."""
    attn_implementation: Literal["sdpa", "eager"] = "sdpa"
    """How attention is computed. Both take the mask that rows with branches need."""
    quantization: Literal["none"] | Quantization = "none"
    """`none`, or 4-bit weights for the language model."""
    chat_template: str | None = None
    """A template's built-in name, a .jinja file or Jinja text. Default: the tokenizer's own."""
    system_prompt: str | None = None
    """Said before every conversation. It is part of the context, so it is encoded once for all questions."""


class ImageLoading(Loading):
    """How a model that sees images is loaded and spoken to."""

    image_size: int | None = Field(default=None, gt=0)
    """Side in pixels that images are resized to, instead of the vision encoder's own (positions are interpolated)."""


class LlavaModel(ImageLoading):
    """A checkpoint of `LlavaForConditionalGeneration`: a folder or a hub name."""

    kind: Literal["llava"]
    """A LLaVA checkpoint."""
    name_or_path: str
    """A folder (relative to the data root) or a hub name."""
    revision: str | None = None
    """Branch, tag or commit on the hub."""


class PartSource(Spec):
    """Where a part comes from: a checkpoint, or a configuration alone (random weights)."""

    name_or_path: str | None = None
    """A folder (relative to the data root) or a hub name."""
    revision: str | None = None
    """Branch, tag or commit on the hub."""
    config: dict[str, Any] | None = None
    """A transformers configuration with its `model_type`; the weights are then random."""

    @model_validator(mode="after")
    def _one_origin(self) -> PartSource:
        if (self.name_or_path is None) == (self.config is None):
            raise ValueError("give either name_or_path (a checkpoint) or config (random weights), not both or neither")
        return self


class ProjectorSpec(Spec):
    """The two-layer network between the vision encoder and the language model."""

    hidden_act: str = "gelu"
    """The activation between its two layers."""
    bias: bool = True
    """Whether its two layers have biases."""


class TokenizerSpec(Spec):
    """The tokenizer, when the language model brings none."""

    name_or_path: str | None = None
    """A folder or a hub name. Default: the language model's own."""
    vocab_size: int | None = Field(default=None, ge=300)
    """Instead: learn a byte-level BPE of this many tokens from the training text."""

    @model_validator(mode="after")
    def _one_origin(self) -> TokenizerSpec:
        if self.name_or_path is not None and self.vocab_size is not None:
            raise ValueError("give either name_or_path (an existing tokenizer) or vocab_size (a new one), not both")
        return self


def tokenizer_fault(tokenizer: TokenizerSpec, language: PartSource) -> str:
    """Return what is wrong between a tokenizer and the language model that is to use it, or an empty text."""
    if tokenizer.vocab_size is not None and language.name_or_path is not None:
        return (
            "tokenizer.vocab_size learns a new tokenizer, but the language model's name_or_path brings embeddings of "
            "its own tokens; leave out one of them"
        )
    return ""


class AssembledModel(ImageLoading):
    """A LLaVA put together from a vision encoder, a projector and a language model."""

    kind: Literal["assembled"]
    """A model assembled from parts."""
    vision: PartSource
    """A CLIP or SigLIP vision encoder."""
    projector: ProjectorSpec = ProjectorSpec()
    """The projector; its weights are random at first, so it has to be tuned."""
    language: PartSource
    """A Llama- or Gemma-type language model."""
    tokenizer: TokenizerSpec = TokenizerSpec()
    """Default: the language model's own."""
    vision_feature_layer: int = -2
    """Which layer of the vision encoder gives the features; layers behind it are unreachable."""
    vision_feature_select_strategy: Literal["default", "full"] | None = None
    """`default` drops the first feature (CLIP's class token), `full` keeps all. Default: what the encoder needs."""

    @model_validator(mode="after")
    def _tokenizer_fits_language(self) -> AssembledModel:
        if fault := tokenizer_fault(self.tokenizer, self.language):
            raise ValueError(fault)
        return self


class TextModel(PartSource, Loading):
    """A language model that reads texts, as the source of an SVG, and sees no images."""

    kind: Literal["text"]
    """A Llama- or Gemma-type language model by itself."""
    tokenizer: TokenizerSpec = TokenizerSpec()
    """Default: the checkpoint's own."""

    @model_validator(mode="after")
    def _tokenizer_fits(self) -> TextModel:
        if fault := tokenizer_fault(self.tokenizer, self):
            raise ValueError(fault)
        return self


Model = Annotated[LlavaModel | AssembledModel | TextModel, Field(discriminator="kind")]
