"""Captioners of the Hugging Face hub: BLIP, ViT-GPT2, and whatever else turns images into text."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

import torch
from PIL import Image
from transformers import (
    AutoImageProcessor,
    AutoModelForImageTextToText,
    AutoProcessor,
    PreTrainedModel,
    PreTrainedTokenizerBase,
    ProcessorMixin,
)

from finesight.errors import ModelError, UserError
from finesight.models.load import choose_device, choose_dtype, silence_libraries
from finesight.models.location import Location, locate
from finesight.models.tokenizers import first_line, load_tokenizer
from finesight.models.weights import load_weights
from finesight.recipe.captioners import HuggingFaceCaptioner
from finesight.schema import Example, Prediction

UNREAD_TENSORS = ("encoder.pooler.",)
"""What checkpoints may lack: an encoder's summary of an image, which no decoder reads."""


class Asking(Protocol):
    """How a captioner is asked: what goes into it, and what of its tokens is the caption."""

    @property
    def tokenizer(self) -> PreTrainedTokenizerBase:
        """What turns tokens into text."""
        ...

    def inputs(self, pictures: Sequence[Image.Image], questions: Sequence[str]) -> dict[str, torch.Tensor]:
        """Return what `generate` takes: pixels float[images, …], and where a text is given its ids int[images, tokens].

        `pictures` are in RGB; to each belongs one of `questions`.
        """
        ...

    def caption(self, ids: torch.Tensor, given: int) -> str:
        """Return the caption in the tokens int[tokens] of one image, where `given` tokens of text were put in."""
        ...


@dataclass(frozen=True)
class Plainly:
    """The picture alone, or with a text that the caption goes on from, the same for all pictures."""

    image_processor: Any
    tokenizer: PreTrainedTokenizerBase
    processor: Any | None
    """What prepares picture and text together; None where the model takes a picture alone."""
    prompt: str | None

    def inputs(self, pictures: Sequence[Image.Image], questions: Sequence[str]) -> dict[str, torch.Tensor]:
        """Return the pixels, with the prompt's tokens where there is one. Nobody is asked the questions."""
        if self.processor is None or self.prompt is None:
            return dict(self.image_processor(images=list(pictures), return_tensors="pt"))
        return dict(self.processor(images=list(pictures), text=[self.prompt] * len(pictures), return_tensors="pt"))

    def caption(self, ids: torch.Tensor, given: int) -> str:
        """Return what was written behind the prompt."""
        written = self._text(ids)
        # Some models repeat the prompt and some do not. What they repeat is the prompt as their tokens spell it.
        return written.removeprefix(self._text(self.tokenizer(self.prompt)["input_ids"]) if self.prompt else "").strip()

    def _text(self, ids: Any) -> str:
        return str(self.tokenizer.decode(ids, skip_special_tokens=True)).strip()


@dataclass(frozen=True)
class InConversation:
    """As a person would ask: the model's chat template puts picture and question together."""

    processor: Any
    tokenizer: PreTrainedTokenizerBase
    prompt: str | None
    """None for each task's own question."""
    repeats_what_was_said: bool
    """Whether `generate` returns what was put in, before the answer."""

    def inputs(self, pictures: Sequence[Image.Image], questions: Sequence[str]) -> dict[str, torch.Tensor]:
        """Return the pixels and the tokens of each conversation, the shorter ones filled up on the left."""
        conversations = [
            [{"role": "user", "content": [{"type": "image", "image": picture}, {"type": "text", "text": question}]}]
            for picture, question in zip(pictures, self._asked(questions), strict=True)
        ]
        return dict(
            self.processor.apply_chat_template(
                conversations,
                add_generation_prompt=True,
                tokenize=True,
                return_dict=True,
                return_tensors="pt",
                processor_kwargs={"padding": True},
            )
        )

    def caption(self, ids: torch.Tensor, given: int) -> str:
        """Return the answer."""
        answer = ids[given:] if self.repeats_what_was_said else ids
        return str(self.tokenizer.decode(answer, skip_special_tokens=True)).strip()

    def _asked(self, questions: Sequence[str]) -> Sequence[str]:
        return questions if self.prompt is None else [self.prompt] * len(questions)


@dataclass(frozen=True)
class HuggingFacePredictor:
    """A checkpoint as a predictor of captions.

    Raises `UserError` when a batch does not fit into the memory.
    """

    name: str
    """What errors call it."""
    model: Any
    asking: Asking
    num_beams: int
    batch_size: int
    max_new_tokens: int = 32

    def up_to(self, max_new_tokens: int) -> HuggingFacePredictor:
        """Return the same captioner, whose captions are cut after so many tokens."""
        return replace(self, max_new_tokens=max_new_tokens)

    def answer(self, examples: Sequence[Example]) -> Generator[list[Prediction], None, None]:
        """Yield captions a batch at a time. Each example has one image and one question."""
        for first in range(0, len(examples), self.batch_size):
            batch = examples[first : first + self.batch_size]
            try:
                written = list(self._describe(batch))
            except torch.OutOfMemoryError as error:
                raise UserError(
                    f"{self.name}: the memory is too small for {len(batch)} pictures at once",
                    hint="lower its batch_size, or num_beams",
                ) from error
            yield written

    @torch.inference_mode()
    def _describe(self, batch: Sequence[Example]) -> Iterator[Prediction]:
        pictures = [example.images[0].open() for example in batch]
        inputs = self._placed(self.asking.inputs(pictures, [example.question for example in batch]))
        rows = self.model.generate(
            **inputs, max_new_tokens=self.max_new_tokens, num_beams=self.num_beams, do_sample=False
        )
        given = inputs["input_ids"].shape[1] if "input_ids" in inputs else 0
        ends = self._ends()
        for example, ids in zip(batch, rows.cpu(), strict=True):
            # A caption that ended by itself ends with a token that says so, or is filled up to the longest beside it.
            whole = int(ids[-1]) in ends
            yield Prediction(example.id, self.asking.caption(ids, given), "stop" if whole else "length")

    def _placed(self, inputs: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        device, dtype = self.model.device, self.model.dtype
        return {
            name: tensor.to(device, dtype) if tensor.is_floating_point() else tensor.to(device)
            for name, tensor in inputs.items()
        }

    def _ends(self) -> set[int]:
        """Return the tokens that end a caption or fill up a row."""
        tokenizer, configured = self.asking.tokenizer, self.model.generation_config.eos_token_id
        named = [tokenizer.eos_token_id, tokenizer.sep_token_id, tokenizer.pad_token_id]
        several = configured if isinstance(configured, list) else [configured]
        return {token for token in (*named, *several) if token is not None}


def load_captioner(spec: HuggingFaceCaptioner, *, data_root: Path) -> HuggingFacePredictor:
    """Return the captioner on the device that this machine offers.

    Raises `ModelError` when the checkpoint is incomplete, or no model that turns images into text.
    """
    silence_libraries()
    location = locate(spec.name_or_path, spec.revision, data_root)
    model = load_weights(
        AutoModelForImageTextToText,
        location,
        may_hold_more=True,
        may_lack=UNREAD_TENSORS,
        dtype=choose_dtype(spec.dtype),
    )
    model.to(choose_device()).eval()
    asking = _choose_asking(spec, location, model)
    return HuggingFacePredictor(spec.name, model, asking, spec.num_beams, spec.batch_size)


def _choose_asking(spec: HuggingFaceCaptioner, location: Location, model: PreTrainedModel) -> Asking:
    processor = _load_processor(location)
    if processor is None:
        if spec.prompt is not None:
            raise ModelError(
                f"{spec.name}: {location} describes pictures, and takes no text beside them",
                hint="take its prompt out",
            )
        tokenizer = load_tokenizer(location.name_or_path, location.revision)
        return Plainly(_load_image_processor(location), tokenizer, None, None)
    if processor.chat_template is None:
        return Plainly(processor.image_processor, processor.tokenizer, processor, spec.prompt)
    processor.tokenizer.padding_side = "left"  # answers begin behind the longest question
    return InConversation(processor, processor.tokenizer, spec.prompt, not model.config.is_encoder_decoder)


def _load_processor(location: Location) -> Any | None:
    """Return what prepares picture and text together; None where a checkpoint brings the two apart, as ViT-GPT2's."""
    try:
        processor = AutoProcessor.from_pretrained(location.name_or_path, revision=location.revision)
    except (OSError, ValueError) as error:
        raise ModelError(
            f"{location}: no processor can be loaded ({first_line(error)})",
            hint="a checkpoint needs preprocessor_config.json and tokenizer.json; a hub name needs the network",
        ) from error
    return processor if isinstance(processor, ProcessorMixin) else None


def _load_image_processor(location: Location) -> Any:
    try:
        return AutoImageProcessor.from_pretrained(location.name_or_path, revision=location.revision)
    except (OSError, ValueError) as error:
        raise ModelError(
            f"{location}: no image processor ({first_line(error)})", hint="a checkpoint needs preprocessor_config.json"
        ) from error
