"""A recipe's model in miniature: checkpoints of its own architecture that are small enough for a minute on a laptop.

What the checkpoint at hand says of itself is kept: its classes, activations, geometry, tokenizer, template and image
processor. Weights are random, and never read. For a checkpoint that is not on this machine its blueprint stands in; one
that has none is assumed; either is said.
"""

from __future__ import annotations

from copy import deepcopy
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from transformers import (
    AutoConfig,
    AutoModel,
    AutoModelForCausalLM,
    AutoModelForImageTextToText,
    CLIPImageProcessorPil,
    LlavaConfig,
    LlavaForConditionalGeneration,
    PreTrainedConfig,
    PreTrainedTokenizerBase,
    SiglipImageProcessorPil,
)

from finesight.data.standins.places import Places
from finesight.data.standins.rows import stand_in_texts
from finesight.errors import ModelError
from finesight.models.assemble import assembled_config
from finesight.models.at_hand import IMAGE_PROCESSOR_FILES, TOKENIZER_FILES, Checkpoint, find_checkpoint
from finesight.models.blueprint import Blueprint, find_blueprint
from finesight.models.chat import read_template
from finesight.models.configs import read_blueprint_config
from finesight.models.hf.families import family_of
from finesight.models.hf.load import read_hf_config
from finesight.models.hf.narrow import narrow_config
from finesight.models.llava import read_llava_config
from finesight.models.load import silence_libraries
from finesight.models.location import Location
from finesight.models.moondream.config import MoondreamConfig, read_moondream_config
from finesight.models.moondream.miniature import find_tokenizer, smaller_moondream, write_random
from finesight.models.shrink import (
    WIDTH,
    Settings,
    smaller_causal,
    smaller_checkpoint,
    smaller_feature_layer,
    smaller_image_size,
    smaller_language,
    smaller_llava,
    smaller_vision,
)
from finesight.models.text import read_text_config
from finesight.models.tokenizers import IMAGE_TOKEN, learn_tokenizer
from finesight.models.tokenizers_alike import learn_alike
from finesight.recipe.model import (
    AssembledModel,
    HfModel,
    LlavaModel,
    Loading,
    Model,
    MoondreamModel,
    PartSource,
    TextModel,
    TokenizerSpec,
)

ASSUMED_VISION: dict[str, Settings] = {
    "CLIP": {"model_type": "clip_vision_model", "hidden_size": 1024, "intermediate_size": 4096,
             "num_hidden_layers": 24, "num_attention_heads": 16, "image_size": 336, "patch_size": 14},
    "SigLIP": {"model_type": "siglip_vision_model", "hidden_size": 1152, "intermediate_size": 4304,
               "num_hidden_layers": 27, "num_attention_heads": 16, "image_size": 384, "patch_size": 14},
}  # fmt: skip
ASSUMED_LANGUAGE: dict[str, Settings] = {"Llama": {"model_type": "llama"}, "Gemma": {"model_type": "gemma"}}
_ASSUMED_VOCABULARY = 400


@dataclass(frozen=True)
class Miniature:
    """The `model:` section of a rehearsal."""

    spec: Model
    words: tuple[str, ...]
    """What was replaced by what; what had to be assumed begins with "warning"."""


def make_miniature(spec: Model, *, data_root: Path, folder: Path, places: Places, seed: int) -> Miniature:
    """Write the recipe's model in miniature into `folder`, the new data root, and return what loads it from there.

    Nothing is downloaded. Raises `ModelError` for faults of what is on this machine.
    """
    silence_libraries()
    torch.manual_seed(seed)
    maker = _Maker(data_root, folder, places)
    match spec:
        case LlavaModel():
            small: Model = maker.llava(spec)
        case AssembledModel():
            small = maker.assembled(spec)
        case TextModel():
            small = maker.text(spec)
        case HfModel():
            small = maker.hf(spec)
        case MoondreamModel():
            small = maker.moondream(spec)
    return Miniature(small, tuple(maker.words))


@dataclass(frozen=True)
class _Maker:
    data_root: Path
    folder: Path
    places: Places
    words: list[str] = field(default_factory=list)

    def llava(self, spec: LlavaModel) -> LlavaModel:
        """Write the checkpoint in miniature."""
        found = self._find(spec.name_or_path, spec.revision)
        if found:
            real = read_llava_config(Location(str(found.folder), None, is_folder=True))
        elif find_blueprint(spec.name_or_path, spec.revision):
            self._stand_in(spec.name_or_path)
            real = read_llava_config(Location(spec.name_or_path, spec.revision, is_folder=False), may_stand_in=True)
        else:
            self._assume(spec.name_or_path, "LLaVA 1.5's architecture (CLIP and Llama)")
            vision, text = ASSUMED_VISION["CLIP"], ASSUMED_LANGUAGE["Llama"]
            real = LlavaConfig(vision_config=dict(vision), text_config=dict(text))
        config, target = smaller_llava(real), self._target(spec.name_or_path)
        if tokenizer := self._stand_in_tokenizer(spec.name_or_path, spec.revision, found, "llava-1.5", IMAGE_TOKEN):
            _fit(config.text_config, tokenizer)
            config.image_token_id = tokenizer.convert_tokens_to_ids(IMAGE_TOKEN)
        self._save(LlavaForConditionalGeneration(config), target, found, tokenizer)
        self._stand_in_processor(spec.name_or_path, found, config.vision_config, target)
        return spec.model_copy(
            update={
                **self._spoken_to(spec),
                **self._packed(spec),
                "name_or_path": self.places.of(spec.name_or_path),
                "image_size": smaller_image_size(spec.image_size, real.vision_config),
            }
        )

    def assembled(self, spec: AssembledModel) -> AssembledModel:
        """Write the parts that are checkpoints in miniature, and cut those that are configurations."""
        vision = self._find_part(spec.vision, ASSUMED_VISION, "SigLIP" if _names(spec.vision, "siglip") else "CLIP")
        language = self._find_part(spec.language, ASSUMED_LANGUAGE, _language_kind(spec.language))
        real = assembled_config(
            spec.model_copy(update={"vision": vision.known, "language": language.known}), self.data_root
        )
        return spec.model_copy(
            update={
                **self._spoken_to(spec),
                "vision": self._vision(vision, real.vision_config),
                "language": self._language(language, real.text_config, "llava-1.5", spec.image_token),
                "tokenizer": self._tokenizer(spec.tokenizer, "llava-1.5", spec.image_token),
                "vision_feature_layer": smaller_feature_layer(
                    spec.vision_feature_layer, real.vision_config.num_hidden_layers
                ),
                "image_size": smaller_image_size(spec.image_size, real.vision_config),
            }
        )

    def text(self, spec: TextModel) -> TextModel:
        """Write the checkpoint in miniature, or cut the configuration."""
        part = self._find_part(spec, ASSUMED_LANGUAGE, _language_kind(spec))
        known = {"config": part.known.config, "name_or_path": part.known.name_or_path, "revision": None}
        real = read_text_config(spec.model_copy(update=known), self.data_root)
        small = self._language(part, real, "plain")
        return spec.model_copy(
            update={
                **self._spoken_to(spec),
                **(self._packed(spec) if spec.config is None else {}),
                "config": small.config,
                "name_or_path": small.name_or_path,
                "tokenizer": self._tokenizer(spec.tokenizer, "plain"),
            }
        )

    def hf(self, spec: HfModel) -> HfModel:
        """Write the checkpoint in miniature: its pictures and tokens as they are, or without tiles, its widths cut."""
        found = self._find(spec.name_or_path, spec.revision)
        if found is None or found.lacks(TOKENIZER_FILES) or found.lacks(IMAGE_PROCESSOR_FILES):
            raise ModelError(
                f"{spec.name_or_path}: its configuration, tokenizer and processor are not on this machine, and none of "
                "them can be assumed",
                hint=f"hf download {spec.name_or_path} --exclude '*.safetensors' '*.bin' fetches a few MB",
            )
        real = read_hf_config(Location(str(found.folder), None, is_folder=True))
        family_of(real, spec.name_or_path)
        target = self._target(spec.name_or_path)
        self._save(AutoModelForImageTextToText.from_config(narrow_config(real, shallow=True)), target, found)
        return spec.model_copy(
            update={
                **self._spoken_to(spec),
                **self._packed(spec),
                "name_or_path": self.places.of(spec.name_or_path),
                "image_processor": {**spec.image_processor, **self._fewer_tiles(real, spec)},
            }
        )

    def moondream(self, spec: MoondreamModel) -> MoondreamModel:
        """Write the revision in miniature, in the layout that it has."""
        found = self._find(spec.name_or_path, spec.revision)
        if found:
            real = read_moondream_config(Location(str(found.folder), None, is_folder=True))
        elif find_blueprint(spec.name_or_path, spec.revision):
            self._stand_in(spec.name_or_path)
            location = Location(spec.name_or_path, spec.revision, is_folder=False)
            real = read_moondream_config(location, may_stand_in=True)
        else:
            self._assume(spec.name_or_path, "moondream2 of 2024")
            real = MoondreamConfig()
        tokenizer, is_own = find_tokenizer(spec, found, self.data_root)
        if found and not is_own:
            self._assume(f"{spec.name_or_path}: its tokenizer", "a small one")
        target = self._target(spec.name_or_path)
        size = write_random(smaller_moondream(real, None if is_own else len(tokenizer)), tokenizer, target)
        self._say_size(target, size)
        place = self.places.of(spec.name_or_path)
        return spec.model_copy(update={**self._spoken_to(spec), "name_or_path": place, "tokenizer": None})

    def _fewer_tiles(self, config: PreTrainedConfig, spec: HfModel) -> dict[str, Any]:
        """Return what spares an Idefics its up to 17 tiles a picture, which are minutes even in miniature."""
        if "Idefics3" not in family_of(config, spec.name_or_path).processor:
            return {}
        self.words.append("model: pictures are not split into tiles (do_image_splitting: false)")
        return {"do_image_splitting": False}

    def _vision(self, part: _Part, real: PreTrainedConfig) -> PartSource:
        if part.written is not None:
            # A whole CLIP's configuration is cut to its vision half, the one that is used.
            inner = part.written.get("vision_config", part.written)
            return PartSource(config={**inner, "model_type": real.model_type, **smaller_vision(real)})
        target = self._target(part.name)
        if part.found:
            whole = AutoConfig.from_pretrained(part.found.folder)
        else:
            whole = read_blueprint_config(part.blueprint) if part.blueprint else real
        self._save(AutoModel.from_config(smaller_checkpoint(whole)), target, part.found)
        self._stand_in_processor(part.name, part.found, real, target)
        return PartSource(name_or_path=self.places.of(part.name), revision=part.revision)

    def _language(self, part: _Part, real: PreTrainedConfig, template: str, *extra_tokens: str) -> PartSource:
        if part.written is not None:
            return PartSource(config={**part.written, **smaller_language(real)})
        config, target = smaller_causal(real), self._target(part.name)
        if tokenizer := self._stand_in_tokenizer(part.name, part.revision, part.found, template, *extra_tokens):
            _fit(config, tokenizer)
        self._save(AutoModelForCausalLM.from_config(config), target, part.found, tokenizer)
        return PartSource(name_or_path=self.places.of(part.name), revision=part.revision)

    def _tokenizer(self, spec: TokenizerSpec, template: str, *extra_tokens: str) -> TokenizerSpec:
        if spec.name_or_path is None:
            return spec
        found = find_checkpoint(spec.name_or_path, None, self.data_root, file=TOKENIZER_FILES[0])
        target = self._target(spec.name_or_path)
        if found:
            found.copy_settings(target)
        elif (blueprint := find_blueprint(spec.name_or_path)) and blueprint.tokenizer:
            self._learn_alike(blueprint).save_pretrained(target)
        else:
            self._assume(spec.name_or_path, "a small tokenizer")
            _learn(template, *extra_tokens).save_pretrained(target)
        return spec.model_copy(update={"name_or_path": self.places.of(spec.name_or_path)})

    def _find(self, name: str, revision: str | None) -> Checkpoint | None:
        return find_checkpoint(name, revision, self.data_root)

    def _find_part(self, source: PartSource, assumed: dict[str, Settings], kind: str) -> _Part:
        if source.config is not None:
            self.words.append(
                f"model: {source.config.get('model_type', 'a part')} by its configuration, at most {WIDTH} wide"
            )
            return _Part("", None, source.config, None, None, source)
        name = str(source.name_or_path)
        found = self._find(name, source.revision)
        if found:
            return _Part(name, source.revision, None, found, None, PartSource(name_or_path=str(found.folder)))
        if blueprint := find_blueprint(name, source.revision):
            self._stand_in(name)
            return _Part(name, source.revision, None, None, blueprint, PartSource(config=deepcopy(blueprint.config)))
        self._assume(name, f"{'an' if kind[0] in 'AEIOU' else 'a'} {kind}")
        return _Part(name, source.revision, None, None, None, PartSource(config=dict(assumed[kind])))

    def _stand_in_tokenizer(
        self, name: str, revision: str | None, found: Checkpoint | None, template: str, *extra_tokens: str
    ) -> PreTrainedTokenizerBase | None:
        """Return a small tokenizer where the checkpoint's own is not on this machine."""
        if found is not None and not found.lacks(TOKENIZER_FILES):
            return None
        if (blueprint := find_blueprint(name, revision)) and blueprint.tokenizer:
            return self._learn_alike(blueprint)
        if found is not None:
            self._assume(f"{name}: its tokenizer", "a small one")
        return _learn(template, *extra_tokens)

    def _stand_in_processor(self, name: str, found: Checkpoint | None, vision: PreTrainedConfig, target: Path) -> None:
        """Write an image processor where the checkpoint's own is not on this machine."""
        if found is not None and not found.lacks(IMAGE_PROCESSOR_FILES):
            return
        if found is not None:
            self._assume(f"{name}: its image processor", "its family's usual one")
        is_siglip = vision.model_type == "siglip_vision_model"
        (SiglipImageProcessorPil if is_siglip else CLIPImageProcessorPil)().save_pretrained(target)

    def _save(
        self,
        model: Any,
        target: Path,
        found: Checkpoint | None,
        tokenizer: PreTrainedTokenizerBase | None = None,
    ) -> None:
        model.save_pretrained(target)
        if found:
            found.copy_settings(target)
        if tokenizer is not None:
            tokenizer.save_pretrained(target)
        self._say_size(target, sum(parameter.numel() for parameter in model.parameters()))

    def _say_size(self, target: Path, size: int) -> None:
        name = target.relative_to(self.folder).as_posix()
        self.words.append(f"model: {name}: a miniature of {size:,} parameters, random ones")

    def _spoken_to(self, spec: Loading) -> dict[str, Any]:
        """Return a template that lies in a file of its own as text: a rehearsal needs nothing outside of its folder."""
        if spec.chat_template is None or not spec.chat_template.endswith(".jinja"):
            return {}
        return {"chat_template": read_template(spec.chat_template, self.data_root)}

    def _packed(self, spec: Loading) -> dict[str, Any]:
        if spec.quantization == "none" or find_spec("bitsandbytes") is not None:
            return {}
        self.words.append("warning: model.quantization is left out: bitsandbytes is not installed on this machine")
        return {"quantization": "none"}

    def _learn_alike(self, blueprint: Blueprint) -> PreTrainedTokenizerBase:
        self.words.append(f"model: {blueprint.name}: a small tokenizer, with its special tokens and template")
        return learn_alike(blueprint)

    def _stand_in(self, name: str) -> None:
        self.words.append(f"model: {name} is not on this machine: its blueprint stands in")

    def _assume(self, name: str, what: str) -> None:
        self.words.append(f"warning: {name} is not on this machine: {what} is ASSUMED, which may not be what it is")

    def _target(self, name: str) -> Path:
        return self.folder / self.places.of(name)


@dataclass(frozen=True)
class _Part:
    """A part of the recipe's model, and what is known of it here."""

    name: str
    revision: str | None
    written: Settings | None
    """The recipe's own configuration."""
    found: Checkpoint | None
    """The checkpoint, where it is on this machine."""
    blueprint: Blueprint | None
    """What stands in for it, where it is not."""
    known: PartSource
    """Where its real configuration can be read without the network."""


def _language_kind(source: PartSource) -> str:
    return "Gemma" if _names(source, "gemma") else "Llama"


def _names(source: PartSource, family: str) -> bool:
    return family in (source.name_or_path or "").lower()


def _learn(template: str, *extra_tokens: str) -> PreTrainedTokenizerBase:
    tokenizer = learn_tokenizer(stand_in_texts(), _ASSUMED_VOCABULARY, extra_tokens)
    tokenizer.chat_template = read_template(template, Path())
    return tokenizer


def _fit(config: PreTrainedConfig, tokenizer: PreTrainedTokenizerBase) -> None:
    """Give a language model's configuration the vocabulary of a tokenizer."""
    config.vocab_size = len(tokenizer)
    config.bos_token_id, config.eos_token_id = tokenizer.bos_token_id, tokenizer.eos_token_id
    config.pad_token_id = tokenizer.pad_token_id
