"""What a moondream2 checkpoint says of itself: its sizes, and which of the two published layouts it has."""

from __future__ import annotations

import json
from typing import Any, Literal

from huggingface_hub.dataclasses import strict
from huggingface_hub.errors import StrictDataclassError
from PIL import Image
from transformers import PhiConfig, PreTrainedConfig, SiglipVisionConfig

from finesight.errors import ModelError
from finesight.models.checkpoint_files import find_file, no_model_there
from finesight.models.configs import find_stand_in
from finesight.models.location import Location

Layout = Literal["2024", "2025"]
"""The year of a revision. It decides how tensors are named (`text_model.transformer.h.N.mixer.Wqkv`, or
`text.blocks.N.attn.qkv`), and how images are seen."""
CONFIG_FILE = "config.json"
_PUBLISHED_TYPE = "moondream1"
"""What moondream2 calls itself in every revision's config.json."""
_OVERLAP_PATCHES = 4
_MOST_CROPS = 12


@strict
class MoondreamConfig(PreTrainedConfig):  # type: ignore[misc]
    """A moondream2: a SigLIP vision encoder, a projector of two layers, and a Phi-1.5 text model."""

    model_type = "moondream2"
    sub_configs = {"vision_config": SiglipVisionConfig, "text_config": PhiConfig}  # noqa: RUF012

    vision_config: Any = None
    """A `SiglipVisionConfig`; given, also its settings, or None for the published one's."""
    text_config: Any = None
    """A `PhiConfig`, likewise."""
    generation: Layout = "2024"
    """Whose code the revision brings: config.json tells."""
    layout: Layout = "2024"
    """Whose names the tensors have: they tell themselves."""
    projector_hidden_size: int = 8192
    projector_views: int = 2
    """How many features of a patch the projector takes beside each other: of the whole image, and of the crops."""
    overlap_patches: int = 0
    """By so many patches on each side a crop reaches into its neighbour."""
    most_crops: int = 4
    image_token_id: int = 51200
    tie_word_embeddings: bool = False

    def __post_init__(self, **kwargs: Any) -> None:
        """Make configurations of what is given as plain settings; what is not given is the published model's."""
        self.vision_config = _vision_config(self.vision_config)
        self.text_config = _text_config(self.text_config)
        super().__post_init__(**kwargs)

    @property
    def two_way(self) -> bool:
        """Whether the tokens of an image and the bos before them see each other, whichever comes first."""
        return self.generation == "2025"

    @property
    def resample(self) -> Image.Resampling:
        """How images are resized."""
        return Image.Resampling.BICUBIC if self.generation == "2024" else Image.Resampling.LANCZOS


def read_moondream_config(location: Location, *, may_stand_in: bool = False) -> MoondreamConfig:
    """Return the checkpoint's configuration. Raises `ModelError` where there is none, or of another model.

    With `may_stand_in`, its blueprint's where it is not on this machine.
    """
    return moondream_config(read_published(location, may_stand_in=may_stand_in), str(location))


def read_published(location: Location, *, may_stand_in: bool = False) -> dict[str, Any]:
    """Return what config.json holds. Raises `ModelError` where there is none."""
    if may_stand_in and (blueprint := find_stand_in(location)):
        return blueprint.config
    try:
        file = find_file(location, CONFIG_FILE)
        if file is None:
            raise FileNotFoundError(f"there is no {CONFIG_FILE}")
        settings: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        hint = "give a folder with config.json, relative to the data root, or a hub name and revision (which need the "
        raise no_model_there(location, error, hint=f"{hint}network)") from error
    return settings


def moondream_config(published: dict[str, Any], where: str) -> MoondreamConfig:
    """Return what a published config.json means: of 2024 with a `text_config`, of 2025 with a `config`."""
    kind = published.get("model_type")
    if kind != _PUBLISHED_TYPE:
        raise ModelError(
            f"{where}: a model of type {kind!r}, not moondream2",
            hint="kind: moondream loads the revisions of vikhyatk/moondream2",
        )
    try:
        return _config_of_2025(published["config"], where) if "config" in published else _config_of_2024(published)
    except (StrictDataclassError, TypeError, ValueError, KeyError) as error:
        raise ModelError(
            f"{where}: config.json does not describe a moondream2 ({' '.join(str(error).split())})",
            hint="is the download complete, and of one revision?",
        ) from error


def published_settings(config: MoondreamConfig) -> dict[str, Any]:
    """Return what a config.json of the configuration's generation says, so that `moondream_config` gives it again."""
    vision, text = config.vision_config.to_dict(), config.text_config.to_dict()
    if config.generation == "2024":
        return {
            "model_type": _PUBLISHED_TYPE,
            "vision_config": {name: vision[name] for name in _VISION_OF_2025.values()},
            "text_config": {name: text[name] for name in _TEXT_OF_2025.values()},
            "projector_hidden_size": config.projector_hidden_size,
            "projector_views": config.projector_views,
        }
    crops = {
        "proj_inner_dim": config.projector_hidden_size,
        "overlap_margin": config.overlap_patches,
        "max_crops": config.most_crops,
    }
    settings = {
        "vision": {theirs: vision[ours] for theirs, ours in _VISION_OF_2025.items()} | crops,
        "text": {theirs: text[ours] for theirs, ours in _TEXT_OF_2025.items()},
    }
    return {"model_type": _PUBLISHED_TYPE, "config": settings}


def _config_of_2024(published: dict[str, Any]) -> MoondreamConfig:
    # Published revisions say nothing of the vision encoder and the projector: there is but one.
    return MoondreamConfig(
        vision_config=published.get("vision_config"),
        text_config=published.get("text_config"),
        **{name: published[name] for name in ("projector_hidden_size", "projector_views") if name in published},
    )


def _config_of_2025(published: dict[str, Any], where: str) -> MoondreamConfig:
    text, vision = published.get("text", {}), published.get("vision", {})
    if text.get("group_size") is not None:
        raise ModelError(
            f"{where}: its weights are packed into 4 bits, which cannot be tuned",
            hint="take a revision of full weights",
        )
    return MoondreamConfig(
        vision_config=_renamed(vision, _VISION_OF_2025),
        text_config=_renamed(text, _TEXT_OF_2025),
        generation="2025",
        layout="2025",
        projector_hidden_size=vision.get("proj_inner_dim", 8192),
        overlap_patches=vision.get("overlap_margin", _OVERLAP_PATCHES),
        most_crops=vision.get("max_crops", _MOST_CROPS),
    )


_VISION_OF_2025 = {
    "enc_dim": "hidden_size",
    "enc_ff_dim": "intermediate_size",
    "enc_n_layers": "num_hidden_layers",
    "enc_n_heads": "num_attention_heads",
    "crop_size": "image_size",
    "enc_patch_size": "patch_size",
}
_TEXT_OF_2025 = {
    "dim": "hidden_size",
    "ff_dim": "intermediate_size",
    "n_layers": "num_hidden_layers",
    "n_heads": "num_attention_heads",
    "n_kv_heads": "num_key_value_heads",
    "vocab_size": "vocab_size",
    "max_context": "max_position_embeddings",
}


def _renamed(settings: dict[str, Any], names: dict[str, str]) -> dict[str, Any]:
    return {ours: settings[theirs] for theirs, ours in names.items() if theirs in settings}


def _vision_config(given: dict[str, Any] | PreTrainedConfig | None) -> PreTrainedConfig:
    """Return the configuration of SigLIP-so400m/14 at 378 pixels, changed as is given."""
    if isinstance(given, PreTrainedConfig):
        return given
    published = {
        "hidden_size": 1152,
        "intermediate_size": 4304,
        "num_hidden_layers": 27,
        "num_attention_heads": 16,
        "image_size": 378,
        "patch_size": 14,
        # The features of the patches are used, never the pooled head: it would be a ghost.
        "vision_use_head": False,
    }
    # The original normalises with torch's own epsilon everywhere; SigLIP's would be 1e-6.
    return SiglipVisionConfig(**{**published, "layer_norm_eps": 1e-5, **_plain(given)})


def _text_config(given: dict[str, Any] | PreTrainedConfig | None) -> PreTrainedConfig:
    """Return the configuration of Phi-1.5, whose defaults are transformers' own, changed as is given."""
    if isinstance(given, PreTrainedConfig):
        return given
    return PhiConfig(**{"hidden_act": "gelu_new", **_plain(given)})


def _plain(given: dict[str, Any] | None) -> dict[str, Any]:
    return {name: value for name, value in (given or {}).items() if name != "model_type"}
