"""How moondream2 is spoken to: its tokenizer, its prompt, and its image, seen whole or in crops as well."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import torch
from PIL import Image
from transformers import PreTrainedTokenizerBase, PreTrainedTokenizerFast, SiglipImageProcessorPil

from finesight.errors import DataError, ModelError
from finesight.models.chat import ChatFormat, read_template
from finesight.models.checkpoint_files import find_file
from finesight.models.encoded import Encoded
from finesight.models.image_formatter import ImageFormatter, ImageGeometry, open_image
from finesight.models.location import Location, locate
from finesight.models.moondream.config import MoondreamConfig
from finesight.models.moondream.crops import Grid, choose_grid_2024, choose_grid_2025, cut_crops
from finesight.models.pixels import Pixels
from finesight.models.tokenizers import IMAGE_TOKEN, ensure_special_tokens, first_line, require_vocabulary
from finesight.recipe.model import MoondreamModel
from finesight.schema import Example, ImageSource

END_TOKEN = "<|endoftext|>"
"""Before every conversation and behind every answer, in both tokenizers."""
STARMIE = "moondream/starmie-v1"
"""The tokenizer of the revisions from 2025-06-21 on."""
_STARMIE_TOKEN = "<|md_reserved_0|>"
"""A token that starmie has, and the tokenizer of the earlier revisions has not."""
TOKENIZER_FILE = "tokenizer.json"
CODE_FILE = "moondream.py"
"""The file of a revision's own code that names its tokenizer."""


class MoondreamFormatter(ImageFormatter):
    """moondream2's tokenizer, prompt and image preparation as one."""

    def __init__(
        self,
        tokenizer: PreTrainedTokenizerBase,
        chat: ChatFormat,
        config: MoondreamConfig,
        *,
        tokenizer_file: Path,
        image_token_id: int,
        crops: Literal["single", "several"],
        system_prompt: str | None,
    ) -> None:
        size, patch = config.vision_config.image_size, config.vision_config.patch_size
        processor = SiglipImageProcessorPil(size={"height": size, "width": size}, resample=config.resample)
        super().__init__(
            tokenizer,
            processor,
            chat,
            image_token_id=image_token_id,
            geometry=ImageGeometry(size=size, features=(size // patch) ** 2),
            system_prompt=system_prompt,
        )
        self.tokenizer_file = tokenizer_file
        """What the tokenizer was read from: as published, without the image token that it was given here."""
        self._config = config
        self._crops = crops

    def encode(self, example: Example, *, answered: bool) -> Encoded:
        """Return an example as a context with one branch; in revisions of 2025 its image is a two-way prefix.

        Raises `DataError` for more than one image: moondream2 has only ever seen one.
        """
        if len(example.images) > 1:
            raise DataError(
                f"{example.id}: {len(example.images)} images, but moondream2 takes one",
                hint="use a model of another kind, or leave such examples out",
            )
        encoded = super().encode(example, answered=answered)
        if not (example.images and self._config.two_way):
            return encoded
        return replace(encoded, two_way_tokens=1 + self.geometry.features)

    def pixels(self, images: Sequence[ImageSource], *, blank: bool = False) -> Pixels | None:
        """Return the images as the model takes them; None for no images.

        They are `pixel_values`, float[images, 3, size, size]; with several crops also `crop_values`, the crops of all
        of them, and `crop_grids`, int[images, 2], the rows and columns of each. Raises `DataError` when one cannot be
        decoded.
        """
        if blank or self._crops == "single" or not images:
            return super().pixels(images, blank=blank)
        whole, cut, grids = [], [], []
        for image in map(open_image, images):
            grid = self._choose_grid(image)
            crops = self._cut(image, grid)
            whole.append(self._whole(image, grid))
            cut.append(crops)
            grids.append(grid)
        return {
            "pixel_values": torch.cat(whole),
            "crop_values": torch.cat(cut),
            "crop_grids": torch.tensor(grids, dtype=torch.long),
        }

    def image_settings(self) -> dict[str, Any]:
        """Return the image processor's settings, and whether it looks closer."""
        return {**super().image_settings(), "crops": self._crops}

    def _choose_grid(self, image: Image.Image) -> Grid:
        size = self.geometry.size
        if self._config.generation == "2024":
            return choose_grid_2024(image.width, image.height, size)
        return choose_grid_2025(image.width, image.height, size, self._margin, self._config.most_crops)

    @property
    def _margin(self) -> int:
        """How many pixels a crop reaches into its neighbours."""
        return int(self._config.overlap_patches * self._config.vision_config.patch_size)

    def _cut(self, image: Image.Image, grid: Grid) -> torch.Tensor:
        """Return the crops of an image: float[crops, 3, size, size]."""
        crops = cut_crops(
            image.convert("RGB"), grid, size=self.geometry.size, margin=self._margin, resample=self._config.resample
        )
        return self._prepare(crops) if crops else self.blank_pixels(0)

    def _whole(self, image: Image.Image, grid: Grid) -> torch.Tensor:
        """Return the whole image: float[1, 3, size, size]."""
        if self._config.generation == "2025" or grid == (0, 0):
            return self._prepare([image])
        # As the original: what is cut is then halved again, bilinearly and without smoothing.
        size, (rows, columns) = self.geometry.size, grid
        resized = image.convert("RGB").resize((columns * size, rows * size), self._config.resample)
        large: torch.Tensor = self.image_processor(images=[resized], do_resize=False, return_tensors="pt")[
            "pixel_values"
        ]
        return torch.nn.functional.interpolate(large, size=(size, size), mode="bilinear")

    def _prepare(self, images: list[Image.Image]) -> torch.Tensor:
        pixels: torch.Tensor = self.image_processor(images=images, return_tensors="pt")["pixel_values"]
        return pixels


def moondream_formatter(spec: MoondreamModel, config: MoondreamConfig, data_root: Path) -> MoondreamFormatter:
    """Return how the checkpoint is spoken to. Raises `ModelError` where tokenizer, prompt and model do not fit."""
    if spec.crops == "several" and config.projector_views == 1:
        raise ModelError(
            f"{spec.name_or_path}: this revision, of before May 2024, sees the whole image alone",
            hint="set model.crops: single, or take a later revision",
        )
    file = find_tokenizer_file(spec, data_root)
    tokenizer = read_tokenizer(file)
    require_vocabulary(tokenizer, config.text_config.vocab_size)
    own_template = "moondream-starmie" if is_starmie(tokenizer) else "moondream"
    template = read_template(spec.chat_template or own_template, data_root)
    image_token_id = ensure_special_tokens(tokenizer)
    return MoondreamFormatter(
        tokenizer,
        ChatFormat(tokenizer, IMAGE_TOKEN, template),
        config,
        tokenizer_file=file,
        image_token_id=image_token_id,
        crops=spec.crops,
        system_prompt=spec.system_prompt,
    )


def find_tokenizer_file(spec: MoondreamModel, data_root: Path) -> Path:
    """Return the file of the tokenizer that the weights were trained with. Raises `ModelError` where it is not there.

    Revisions from 2025-06-21 on still bring the files of the old one; which tokenizer is theirs only their own code
    says. It is read as a text, and never run.
    """
    if spec.tokenizer is not None:
        return _require_file(locate(spec.tokenizer, None, data_root))
    location = locate(spec.name_or_path, spec.revision, data_root)
    code = find_file(location, CODE_FILE)
    if code is None or STARMIE not in code.read_text(encoding="utf-8"):
        return _require_file(location)
    own = find_file(location, TOKENIZER_FILE)
    return own if own and is_starmie(read_tokenizer(own)) else _require_file(locate(STARMIE, None, data_root))


def _require_file(location: Location) -> Path:
    try:
        file = find_file(location, TOKENIZER_FILE)
        if file is None:
            raise FileNotFoundError(f"there is no {TOKENIZER_FILE}")
    except OSError as error:
        raise ModelError(
            f"{location}: no tokenizer can be found there ({first_line(error)})",
            hint="give model.tokenizer, a folder or a hub name (which needs the network) that has one",
        ) from error
    return file


def is_starmie(tokenizer: PreTrainedTokenizerBase) -> bool:
    """Return whether a tokenizer is that of the revisions from 2025-06-21 on, whose prompt is made of its tokens."""
    return _STARMIE_TOKEN in tokenizer.get_vocab()


def read_tokenizer(file: Path) -> PreTrainedTokenizerBase:
    """Return a tokenizer of moondream2, told what ends a text. Raises `ModelError` for another model's."""
    tokenizer = PreTrainedTokenizerFast(tokenizer_file=str(file))
    if END_TOKEN not in tokenizer.get_vocab():
        raise ModelError(
            f"{file}: a tokenizer without {END_TOKEN}, which begins and ends moondream2's texts",
            hint="give model.tokenizer, a folder or a hub name of moondream2's own",
        )
    tokenizer.bos_token = tokenizer.eos_token = tokenizer.pad_token = END_TOKEN
    return tokenizer
