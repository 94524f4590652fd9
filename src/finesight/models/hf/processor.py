"""A checkpoint's processor, for images and text alone: what it needs for videos is left out."""

from __future__ import annotations

import difflib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, cast

import torch
import transformers
from PIL import Image
from transformers import AutoImageProcessor, BatchFeature, PreTrainedTokenizerBase, ProcessorMixin
from transformers.utils import cached_file

from finesight.errors import ModelError
from finesight.models.location import Location
from finesight.models.tokenizers import first_line, load_tokenizer

PROCESSOR_FILE = "processor_config.json"
VIDEO_FILE = "video_preprocessor_config.json"
_TEXT_INPUTS = ("input_ids", "attention_mask", "token_type_ids", "mm_token_type_ids", "labels")
_NEVER_AN_ARGUMENT = ("num_crops", "num_patches", "batch_num_images", "rows", "cols")


@dataclass(frozen=True)
class Expansion:
    """What stands in the text for a picture of one size."""

    text: str
    grid: tuple[int, int, int] | None
    """Patches along time, height and width, for families that count positions along them."""


class PictureProcessor:
    """A processor that shows one picture at a time, so that a picture is shown alike whatever else is in a batch."""

    def __init__(self, processor: ProcessorMixin) -> None:
        self.processor = processor
        self.image_token: str = processor.image_token
        """What stands for a picture in a conversation, before it is expanded."""

    def expand(self, picture: Image.Image) -> Expansion:
        """Return what the processor puts in place of the picture's token.

        Raises `ModelError` for a processor that leaves it as it is.
        """
        shown = self.processor(images=[picture], text=[self.image_token], return_text_replacement_offsets=True)
        ((replaced,),) = shown["text_replacement_offsets"]
        text = str(replaced["replacement"])
        if text == self.image_token:
            raise ModelError(
                f"{type(self.processor).__name__} leaves {self.image_token} as it is, and says nowhere how many tokens "
                "an image takes",
                hint="model.kind: hf needs a processor that expands image tokens; is this one of the checkpoint's own?",
            )
        grid = shown.get("image_grid_thw")
        return Expansion(text, None if grid is None else cast(tuple[int, int, int], tuple(map(int, grid[0]))))

    def show(self, picture: Image.Image) -> dict[str, torch.Tensor]:
        """Return the picture as the model's forward pass takes it, by name."""
        shown = self.processor(images=[picture], text=[self.image_token])
        left_out = (*_TEXT_INPUTS, *_NEVER_AN_ARGUMENT)
        kept = {name: values for name, values in shown.items() if name not in left_out}
        return dict(BatchFeature(kept, tensor_type="pt"))


def load_processor(
    class_name: str, location: Location, settings: Mapping[str, Any]
) -> tuple[PictureProcessor, PreTrainedTokenizerBase, str | None]:
    """Return a checkpoint's processor, its tokenizer, and its chat template where it has one.

    `settings` change the image processor. Raises `ModelError` where something is missing, or a setting is unknown.
    """
    tokenizer = load_tokenizer(location.name_or_path, location.revision)
    try:
        image_processor = AutoImageProcessor.from_pretrained(location.name_or_path, revision=location.revision)
        _require_known(settings, image_processor)
        image_processor = AutoImageProcessor.from_pretrained(
            location.name_or_path, revision=location.revision, **settings
        )
        processor_class = _without_videos(class_name)
        written, _ = processor_class.get_processor_dict(location.name_or_path, revision=location.revision)
        parts = {"image_processor": image_processor, "tokenizer": tokenizer, "video_processor": None}
        arguments = [parts[name] for name in processor_class.get_attributes()]
        processor = processor_class.from_args_and_dict(arguments, written)
        processor.files = {PROCESSOR_FILE: written, VIDEO_FILE: _read_video_settings(location)}
    except (OSError, ValueError, TypeError) as error:
        raise ModelError(
            f"{location}: no {class_name} can be made ({first_line(error)})",
            hint="a checkpoint needs preprocessor_config.json, and processor_config.json where its family has one",
        ) from error
    template = processor.chat_template or tokenizer.chat_template
    # Of several templates the others are for tools.
    return PictureProcessor(processor), tokenizer, template["default"] if isinstance(template, dict) else template


@cache
def _without_videos(class_name: str) -> type[ProcessorMixin]:
    """Return transformers' class of this name, which need not be given a video processor: that needs torchvision."""
    processor_class: type[ProcessorMixin] = getattr(transformers, class_name)

    class ImagesOnly(processor_class):  # type: ignore[misc]
        files: dict[str, dict[str, Any]]

        def check_argument_for_proper_class(self, argument_name: str, argument: Any) -> Any:
            if argument_name == "video_processor" and argument is None:
                return type(None)
            return super().check_argument_for_proper_class(argument_name, argument)

        def save_pretrained(self, save_directory: str | Path, **kwargs: Any) -> None:
            """Write tokenizer, image processor, and what else the checkpoint came with, that of videos as it was."""
            folder = Path(save_directory)
            self.tokenizer.save_pretrained(folder)
            self.image_processor.save_pretrained(folder)
            for name, settings in self.files.items():
                # The image processor has a file of its own, the template one beside the tokenizer.
                kept = {
                    key: value for key, value in settings.items() if key not in ("image_processor", "chat_template")
                }
                if kept:
                    (folder / name).write_text(json.dumps(kept, indent=2), encoding="utf-8")

        def __reduce__(self) -> tuple[Any, ...]:
            return _revive, (class_name, self.__dict__)

    ImagesOnly.__name__ = class_name
    return ImagesOnly


def _revive(class_name: str, state: dict[str, Any]) -> ProcessorMixin:
    """Return a processor as it was: in a worker process the class has to be made anew."""
    processor: ProcessorMixin = object.__new__(_without_videos(class_name))
    processor.__dict__.update(state)
    return processor


def _read_video_settings(location: Location) -> dict[str, Any]:
    """Return what a checkpoint says in a file of its own of how it takes videos, or nothing."""
    file = cached_file(
        location.name_or_path, VIDEO_FILE, revision=location.revision, _raise_exceptions_for_missing_entries=False
    )
    return dict(json.loads(Path(file).read_text("utf-8"))) if file else {}


def _require_known(settings: Mapping[str, Any], image_processor: Any) -> None:
    """Raise `ModelError` for a setting that the image processor has not: it would take it and do nothing."""
    known = image_processor.to_dict().keys() | set(image_processor.valid_kwargs.__annotations__)
    if unknown := sorted(settings.keys() - known):
        close = difflib.get_close_matches(unknown[0], known, n=1)
        raise ModelError(
            f"model.image_processor: {type(image_processor).__name__} has no {', '.join(unknown)}",
            hint=f"did you mean {close[0]}?" if close else f"it has {', '.join(sorted(known))}",
        )
