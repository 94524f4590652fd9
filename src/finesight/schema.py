"""The small frozen types that pass between rooms. Torch-free: types with tensors live with the models."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

from PIL import Image

PartName = Literal["vision", "projector", "language"]
"""The three parts of a model. Every parameter belongs to exactly one."""
PART_NAMES: tuple[PartName, ...] = ("vision", "projector", "language")

Role = Literal["train", "replay", "held_out", "forgetting", "memorization"]
"""Why an example is used. `train` and `replay` are learned from; the others are measured on."""
MeasuredRole = Literal["held_out", "forgetting", "memorization"]
"""Why a task is measured."""
AnswerBy = Literal["generation", "likelihood"]
"""How a question is answered: by a text that the model writes, or by the option that it finds likeliest."""


class ImageSource(Protocol):
    """An image that has not been decoded yet, so that 100,000 rows fit in memory."""

    @property
    def name(self) -> str:
        """Where the image is, in words a person can follow: a path, or a file and a row."""
        ...

    def open(self) -> Image.Image:
        """Return the decoded picture in RGB, upright. Raise `OSError` when it cannot be decoded."""
        ...

    def content_hash(self) -> str:
        """Return the hexadecimal hash of the stored bytes: equal for equal files, wherever they lie."""
        ...


@dataclass(frozen=True, slots=True)
class Turn:
    """One turn of a conversation."""

    role: Literal["system", "user", "assistant"]
    text: str
    learned: bool = False
    """Whether the tokens of this turn count in the loss. Only assistant turns may be learned."""


@dataclass(frozen=True, slots=True)
class Example:
    """One question or conversation about one context."""

    id: str
    """Unique within its set."""
    group: str
    """What is never divided between sets: the image's content hash, the document, the question alone."""
    images: tuple[ImageSource, ...]
    turns: tuple[Turn, ...]
    """Ends with an assistant turn: the answer that is learned, or that a prediction replaces."""
    references: tuple[str, ...]
    """The right answers, any of which counts."""
    source: str = ""
    """The name of the source it was read from."""
    role: Role = "train"
    weight: float = 1.0
    """How often it is learned from in an epoch: 2 is twice, 0.5 every other epoch."""
    group_as_read: str = ""
    """The group that it was read with, where it was joined with others since: `group` names all of them."""
    choices: tuple[str, ...] = ()
    letters: tuple[str, ...] = ()
    """What the choices are called, where the answer is a letter: one for each of them."""
    rotation_of: str = ""
    """The id of the question that this one repeats with its choices rotated."""
    question_type: str = ""
    answer_type: str = ""
    tags: Mapping[str, str] = field(default_factory=dict)
    context: str = ""
    """A text that all questions about it share, as the source of an SVG; it stands before the first question, without
    the blanks around it."""
    drawing: ImageSource | None = None
    """What `context` draws, where it is the text of a drawing. No model sees it; metrics of pictures do."""

    @property
    def picture(self) -> ImageSource | None:
        """Return the picture that the question is about, shown or drawn by its text; None where it is not just one."""
        if self.images:
            return self.images[0] if len(self.images) == 1 else None
        return self.drawing

    @property
    def has_context(self) -> bool:
        """Whether the question is about something that can be taken away: an image or a text."""
        return bool(self.images or self.context)

    @property
    def question(self) -> str:
        """Return the last thing the person asked."""
        return next(turn.text for turn in reversed(self.turns) if turn.role == "user")

    @property
    def answer(self) -> str:
        """Return the answer that is learned."""
        return self.turns[-1].text


@dataclass(frozen=True, slots=True)
class Prediction:
    """What a predictor answered to one example."""

    id: str
    text: str
    finish_reason: Literal["stop", "length"] = "stop"
    """`length` when the answer was cut at the token limit."""
    reference_log_likelihood: float | None = None
    """How likely the first reference was found, in nats over its tokens; None where it was not asked for."""
    reference_tokens: int = 0


@dataclass(frozen=True, slots=True)
class Instrument:
    """A model that scores answers. Two are the same when their weights are, wherever these lie."""

    name: str = field(compare=False)
    weights: str
    """A hash of them."""


@dataclass(frozen=True, slots=True)
class ImageScores:
    """How well CLIP finds that an answer fits its picture. Kept: scoring has neither the picture nor CLIP at hand."""

    clip: Instrument
    answer: str
    """A hash of the answer and of the references that the values are of."""
    values: Mapping[str, float]
    """By metric: `clip_score`, `ref_clip_score`, `clip_logit`."""
    is_cut: bool = False
    """Whether the answer is longer than CLIP reads; then the values are of its beginning."""

    def to_json(self) -> dict[str, Any]:
        """Return a plain dictionary."""
        plain = {"clip": self.clip.name, "weights": self.clip.weights, "answer": self.answer, **self.values}
        return {**plain, "is_cut": True} if self.is_cut else plain


@dataclass(frozen=True, slots=True)
class Record:
    """One line of a predictions file: all that scoring, comparison and report ever need."""

    id: str
    prediction: str
    references: tuple[str, ...]
    group: str = ""
    question: str = ""
    choices: tuple[str, ...] = ()
    letters: tuple[str, ...] = ()
    """What the choices are called; A, B, C … where it is not said."""
    rotation_of: str = ""
    question_type: str = ""
    answer_type: str = ""
    image: str = ""
    """The image's file name where it has one; the run folder keeps a small copy under `thumbs/`."""
    thumbnail: str = ""
    """Path of the small copy, relative to the run folder."""
    finish_reason: str = "stop"
    reference_log_likelihood: float | None = None
    """How likely the model found the first reference, in nats, summed over its tokens; None where it was not asked."""
    reference_tokens: int = 0
    """How many tokens those are, the one that ends the answer included."""
    image_scores: ImageScores | None = None
    """None where no metric has asked for them."""
    tags: Mapping[str, str] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """Return a plain dictionary without the empty fields."""
        plain: dict[str, Any] = {"id": self.id, "prediction": self.prediction, "references": list(self.references)}
        for name in ("group", "question", "rotation_of", "question_type", "answer_type", "image", "thumbnail"):
            if value := getattr(self, name):
                plain[name] = value
        if self.choices:
            plain["choices"] = list(self.choices)
        if self.letters:
            plain["letters"] = list(self.letters)
        if self.finish_reason != "stop":
            plain["finish_reason"] = self.finish_reason
        if self.reference_log_likelihood is not None:
            plain["reference_log_likelihood"] = self.reference_log_likelihood
            plain["reference_tokens"] = self.reference_tokens
        if self.image_scores is not None:
            plain["image_scores"] = self.image_scores.to_json()
        if self.tags:
            plain["tags"] = dict(self.tags)
        return plain


@dataclass(frozen=True, slots=True)
class Judged:
    """A record, and what one metric says of it."""

    record: Record
    score: float
    """In the metric's own numbers; not a number where it gives none, as for a copy that is scored with another."""
    outcome: str
    """`right`, `wrong`, or which kind between them; nothing where the metric judges no answers, as perplexity."""


OWN_SETS = ("test", "validation", "train")
"""What a task may be drawn from beside a source of its own."""


@dataclass(frozen=True, slots=True)
class Sampling:
    """How answers are drawn at random. Each example's answer follows from the seed and its id alone."""

    temperature: float
    """Above 0; at 1 tokens are drawn with the probabilities that the model gives them."""
    top_p: float
    """Above 0 and up to 1: the share of the probability that the likeliest tokens have together, which may be drawn."""
    seed: int


@dataclass(frozen=True)
class TaskExamples:
    """One evaluation task, with the examples it is measured on."""

    name: str
    role: Role
    metric: str
    max_new_tokens: int
    examples: tuple[Example, ...]
    drawn_from: str
    """`test`, `validation`, `train`, or the source's own name: what the majority baseline may look at."""
    also: tuple[str, ...] = ()
    """Metrics that are shown beside `metric`; no verdict rests on them."""
    repeats: int = 0
    """How many examples are left out that ask what one of `examples` asks, with the same several right answers."""
    answer_by: AnswerBy = "generation"
    stop: tuple[str, ...] = ()
    """Texts before the first of which an answer ends."""
    sampling: Sampling | None = None
    """None for the greedy answer."""


@dataclass(frozen=True)
class Sets:
    """Everything a run reads: what is learned, what chooses the checkpoint, what is reported."""

    train: tuple[Example, ...]
    validation: tuple[Example, ...]
    test: tuple[Example, ...]
    tasks: tuple[TaskExamples, ...]
