"""What finesight knows of each family that `kind: hf` loads. To add one: a line here, and a name in its tests."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from transformers import PreTrainedConfig

from finesight.errors import ModelError
from finesight.models.parts import PartMap

Join = Literal["first", "tiles", "padded tiles"]
"""How the tensors of several images become one: along the first axis; tiles behind each other in one row of tiles; or
image by image along the first axis, those with fewer tiles filled up with zeros."""
TokenTypes = Literal["images", "answers"]
"""What is marked with 1, everything else with 0."""


@dataclass(frozen=True)
class Family:
    """How a family's parts are called, and how its rows are laid out."""

    parts: PartMap
    processor: str
    """The class that expands an image's token, as transformers names it."""
    join: Join
    shares_contexts: bool = True
    """Whether questions can stand behind one image: every token sees what is before it, and takes the mask it is
    given."""
    why: str = "every token sees what stands before it"
    """Why questions share their image, or why they cannot."""
    token_types: Mapping[str, TokenTypes] = field(default_factory=dict)
    """What the forward pass takes beside the ids when it makes mask and positions by itself, by name."""
    has_grid_positions: bool = False
    """Whether an image's tokens are counted along time, height and width (Qwen2-VL's 3-axis rotary positions)."""
    takes_several_images: bool = True
    chat_template: str | None = None
    """The built-in template of a family whose checkpoints have none."""


def _parts(vision: str, projector: str, language: str) -> PartMap:
    """Return the map of parts that are named below `model`, several of a part divided by blanks."""

    def below(names: str) -> tuple[str, ...]:
        return tuple(f"model.{name}" for name in names.split())

    return PartMap({"vision": below(vision), "projector": below(projector), "language": (*below(language), "lm_head")})


_LLAVA = _parts("vision_tower", "multi_modal_projector", "language_model")
_ANY_RESOLUTION = _parts("vision_tower", "multi_modal_projector image_newline", "language_model")
_IDEFICS = _parts("vision_model", "connector", "text_model")


def _qwen_vl(processor: str) -> Family:
    """Return a family in which a picture keeps its proportions, and its tokens their places in it."""
    return Family(
        _parts("visual.patch_embed visual.blocks", "visual.merger", "language_model"),
        processor,
        "first",
        token_types={"mm_token_type_ids": "images"},
        has_grid_positions=True,
    )


FAMILIES: dict[str, Family] = {
    "idefics3": Family(_IDEFICS, "Idefics3Processor", "tiles"),
    # The same expansion as SmolVLMProcessor's, without what that needs for videos: torchvision and num2words.
    "smolvlm": Family(_IDEFICS, "Idefics3Processor", "tiles"),
    "qwen2_vl": _qwen_vl("Qwen2VLProcessor"),
    "qwen2_5_vl": _qwen_vl("Qwen2_5_VLProcessor"),
    "llava_next": Family(_ANY_RESOLUTION, "LlavaNextProcessor", "padded tiles"),
    # Of several images its processor shows each with fewer tokens than of one alone.
    "llava_onevision": Family(_ANY_RESOLUTION, "LlavaOnevisionProcessor", "padded tiles", takes_several_images=False),
    "internvl": Family(_LLAVA, "InternVLProcessor", "first"),
    "paligemma": Family(
        _LLAVA,
        "PaliGemmaProcessor",
        "first",
        shares_contexts=False,
        why="image and question see each other both ways, so an image is another one behind each question",
        token_types={"token_type_ids": "answers"},
        chat_template="paligemma",
    ),
    "gemma3": Family(
        _LLAVA,
        "Gemma3Processor",
        "first",
        shares_contexts=False,
        why="tokens of an image see each other both ways, in the midst of text, which no mask of ours says",
        token_types={"token_type_ids": "images"},
    ),
}


def family_of(config: PreTrainedConfig, where: str) -> Family:
    """Return what is known of a configuration's family; `where` is the checkpoint. Raises `ModelError` for others."""
    if config.model_type in FAMILIES:
        return FAMILIES[config.model_type]
    raise ModelError(
        f"{where}: a model of type {config.model_type!r}, which model.kind: hf does not know",
        hint=_other_kind(config.model_type)
        or f"known are {', '.join(sorted(FAMILIES))}; another whose processor expands its image tokens needs a line in "
        "finesight/models/hf/families.py (which modules are vision, projector and language) and its name in "
        "tests/hf_making.py",
    )


def _other_kind(model_type: str) -> str:
    """Return what to write where another kind loads the model."""
    if model_type == "llava":
        return "model.kind: llava loads it"
    if model_type in ("llama", "gemma", "gemma2", "phi", "qwen2"):
        return "a language model by itself, which model.kind: text loads; it sees no images"
    return ""
