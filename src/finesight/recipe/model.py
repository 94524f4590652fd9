"""The `model:` section: which model, how it is loaded, how it is spoken to."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from finesight.recipe.base import Spec

SUPPORTED_VISION_TYPES = ("clip_vision_model", "siglip_vision_model")
SUPPORTED_LANGUAGE_TYPES = ("llama", "gemma", "gemma2", "phi", "qwen2")


class Quantization(Spec):
    """4-bit or 8-bit weights for the language model, by bitsandbytes. Field names are `BitsAndBytesConfig`'s."""

    load_in_8bit: bool = False
    """8-bit weights (LLM.int8) instead of 4-bit ones: twice the memory, and closer to the unquantised model."""
    bnb_4bit_quant_type: Literal["nf4", "fp4"] = "nf4"
    """The 4-bit number format; nf4 fits normally distributed weights best."""
    bnb_4bit_use_double_quant: bool = True
    """Quantise the quantisation constants too: about 0.4 bit a parameter less."""
    bnb_4bit_compute_dtype: Literal["float32", "bfloat16", "float16"] = "bfloat16"
    """The number format in which the unpacked weights are multiplied."""

    @model_validator(mode="after")
    def _one_width(self) -> Quantization:
        # By their values: a run folder's recipe has every default written out.
        if self.load_in_8bit and self.model_copy(update={"load_in_8bit": False}) != Quantization():
            raise ValueError("load_in_8bit takes none of the bnb_4bit settings")
        return self


class Continuation(Spec):
    """An earlier run of the same model, whose tuned state is where this run starts. A path alone is its `run`."""

    run: str
    """The earlier run's folder, relative to the data root. It is read once: a run folder needs no other."""
    adapters: Literal["merge", "train"] = "merge"
    """`merge`: what the earlier adapters learned goes into the weights, and the recipe's own begin anew. `train`: the
    earlier adapters themselves are trained on, and the recipe describes them as the earlier one did."""

    @model_validator(mode="before")
    @classmethod
    def _path_alone(cls, given: Any) -> Any:
        return {"run": given} if isinstance(given, str) else given


class Loading(Spec):
    """How any model is loaded and spoken to."""

    dtype: Literal["auto", "float32", "bfloat16", "float16"] = "auto"
    """One number format for all weights. `auto`: bfloat16 on a GPU that has it, else float32."""
    attn_implementation: Literal["sdpa", "eager"] | None = None
    """How attention is computed. Default: `sdpa`, but `eager` for Gemma-2, whose capped scores `sdpa` does not have."""
    quantization: Literal["none"] | Quantization = "none"
    """`none`, or 4-bit or 8-bit weights for the language model."""
    chat_template: str | None = None
    """A template's built-in name, a .jinja file or Jinja text. Default: the tokenizer's own."""
    system_prompt: str | None = None
    """Said before every conversation. It is part of the context, so it is encoded once for all questions."""
    continue_from: Continuation | None = None
    """An earlier run to start from, as runs/first. Default: start from the model as it was published."""


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


class HfModel(Loading):
    """An image-text model of one of nine further families, whose processor expands its own image tokens."""

    kind: Literal["hf"]
    """SmolVLM, Idefics3, Qwen2-VL, Qwen2.5-VL, LLaVA-NeXT, LLaVA-OneVision, InternVL, PaliGemma or Gemma 3."""
    name_or_path: str
    """A folder (relative to the data root) or a hub name."""
    revision: str | None = None
    """Branch, tag or commit on the hub."""
    image_processor: dict[str, Any] = Field(default_factory=dict)
    """Settings of the checkpoint's image processor that are changed, by their own names: `do_image_splitting: false`
    for SmolVLM, `max_pixels: 401408` for Qwen2.5-VL. They decide how many tokens an image takes."""
    rows: Literal["auto", "own"] = "auto"
    """`auto`: questions share their image in a row where the family allows it. `own`: each has a row of its own."""


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
    """A Llama-, Gemma-, Phi- or Qwen2-type language model."""
    tokenizer: TokenizerSpec = TokenizerSpec()
    """Default: the language model's own."""
    image_token: str = Field(default="<image>", min_length=1)
    """Stands in the text for each feature of an image. `<image>` is added where the tokenizer lacks it, and the
    vocabulary grows; another must be a token that it has, as `<unk>`: then nothing grows."""
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
    """A Llama-, Gemma-, Phi- or Qwen2-type language model by itself."""
    tokenizer: TokenizerSpec = TokenizerSpec()
    """Default: the checkpoint's own."""

    @model_validator(mode="after")
    def _tokenizer_fits(self) -> TextModel:
        if fault := tokenizer_fault(self.tokenizer, self):
            raise ValueError(fault)
        return self


class MoondreamModel(Loading):
    """A revision of moondream2, from 2024 or 2025: a folder or a hub name. None of its own code is run."""

    kind: Literal["moondream"]
    """A moondream2."""
    name_or_path: str
    """A folder (relative to the data root) or a hub name, as vikhyatk/moondream2."""
    revision: str | None = None
    """Branch, tag or commit on the hub, as 2024-08-26. Name one: `main` moves."""
    crops: Literal["single", "several"] = "single"
    """`single`: an image is seen whole. `several`: in crops as well, cut as the revision's own code does: up to 4 of
    378 pixels in 2024, up to 12 that overlap in 2025. Small writing needs it; each is a pass of the encoder."""
    tokenizer: str | None = None
    """A folder or a hub name. Default: the one that the revision's own code names."""


Model = Annotated[LlavaModel | AssembledModel | TextModel | HfModel | MoondreamModel, Field(discriminator="kind")]
