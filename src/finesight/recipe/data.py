"""The `data:` section: sources, their columns, the division into sets, and lengths."""

from __future__ import annotations

from typing import Annotated, Literal, get_args

from pydantic import Field, model_validator

from finesight.recipe.base import Spec
from finesight.schema import Role

SceneLanguage = Literal["en", "ru"]
SCENE_LANGUAGES: tuple[SceneLanguage, ...] = get_args(SceneLanguage)


class Source(Spec):
    """What every source has."""

    name: str | None = Field(default=None, pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$")
    """What it is called in figures and in `stages`. Default: its file's or data set's name, or `scenes`."""
    role: Role = "train"
    """`train`, or `replay`: general examples mixed in so that the model does not forget them."""
    max_samples: int | None = Field(default=None, gt=0)
    """Use at most this many examples, drawn by whole groups from the seed."""
    prompt: str = "{question}"
    """How a question is put, e.g. `"{question}\\nAnswer with one word."`."""

    @model_validator(mode="after")
    def _prompt_asks(self) -> Source:
        if "{question}" not in self.prompt:
            raise ValueError("prompt must contain {question}")
        return self


class LlavaJson(Source):
    """LLaVA's conversations: a JSON list, or JSON Lines, of {id, image, conversations: [{from, value}]}."""

    kind: Literal["llava_json"]
    """Conversations in LLaVA's JSON form; role/content is read as well as from/value."""
    file: str
    """The JSON or JSON Lines file."""
    images: str = "."
    """The folder that the rows' image paths start from."""


class VqaColumns(Spec):
    """Which column holds what. Only question, answer and image must exist."""

    id: str | None = None
    """The example's name. Default: its row number."""
    image: str = "image"
    """The image: a file name, or in parquet the stored bytes."""
    question: str = "question"
    """The question."""
    answer: str = "answer"
    """The answer that is learned, and counts as right."""
    answers: str | None = None
    """A list of further right answers."""
    question_type: str | None = None
    """A kind of question; scores are given for each."""
    answer_type: str | None = None
    """A kind of answer, as open and closed; scores are given for each."""
    group: str | None = None
    """What is never divided between sets, beside the image (e.g. a patient or a document)."""


class VqaJson(Source):
    """Questions about images: a JSON list or JSON Lines, beside a folder of images."""

    kind: Literal["vqa_json"]
    """Visual question answering rows in JSON or JSON Lines."""
    file: str
    """The JSON or JSON Lines file."""
    images: str = "."
    """The folder that the rows' image names start from."""
    columns: VqaColumns = VqaColumns()
    """Which column holds what."""


class VqaParquet(Source):
    """Questions with the images inside: parquet files, local or from the hub."""

    kind: Literal["vqa_parquet"]
    """Visual question answering rows in parquet, images as bytes."""
    dataset: str
    """A parquet file, a folder of them, or a hub name."""
    split: str = "train"
    """Which split; of a local folder, the files that are named after it, as train-00000-of-00002.parquet."""
    revision: str | None = None
    """Branch, tag or commit on the hub."""
    columns: VqaColumns = VqaColumns()
    """Which column holds what."""


class Scenes(Source):
    """Generated pictures of coloured shapes, with questions whose answers are known."""

    kind: Literal["scenes"]
    """Pictures and questions that finesight draws itself; no file is needed."""
    context: Literal["image", "svg"] = "image"
    """What the questions are about: the picture, or its objects as SVG text, a path a line."""
    world: Literal["general", "house"] = "general"
    """`general`: colours, shapes, sizes, sides; `house`: what the general world shows but never names."""
    languages: tuple[SceneLanguage, ...] = Field(default=("en",), min_length=1)
    """In which languages the same questions are asked."""
    scenes: int = Field(default=200, gt=0)
    """How many pictures."""
    questions_per_scene: int = Field(default=6, ge=0)
    """How many questions about each, at most: a picture of one object has fewer. The types take turns."""
    captions_per_scene: int = Field(default=0, ge=0, le=1)
    """1: ask for a caption too."""
    dialogues_per_scene: int = Field(default=0, ge=0)
    """How many short dialogues about each picture, at most."""
    image_size: int = Field(default=96, ge=16)
    """Side of a picture in pixels."""
    first_scene: int = Field(default=0, ge=0)
    """Number of the first picture: other numbers are other pictures."""
    most_objects: int = Field(default=6, ge=1, le=6)
    """Pass over pictures with more objects than that."""

    @model_validator(mode="after")
    def _each_language_once(self) -> Scenes:
        if len(set(self.languages)) < len(self.languages):
            raise ValueError("languages names one twice: every question would be asked twice")
        return self

    @model_validator(mode="after")
    def _house_asks_about_pictures(self) -> Scenes:
        if self.world == "house" and self.context == "svg":
            raise ValueError("the house world is about rims and sheets, which the SVG text does not hold")
        if self.world == "house" and (self.captions_per_scene or self.dialogues_per_scene):
            raise ValueError("the house world has questions only; captions and dialogues are the general world's")
        return self


AnySource = Annotated[LlavaJson | VqaJson | VqaParquet | Scenes, Field(discriminator="kind")]


class Split(Spec):
    """Shares of the training sources' groups that are set aside."""

    validation: float = Field(default=0.1, ge=0, lt=1)
    """Share that chooses the checkpoint."""
    test: float = Field(default=0.1, ge=0, lt=1)
    """Share that the verdict is on."""

    @model_validator(mode="after")
    def _leaves_something(self) -> Split:
        if self.validation + self.test >= 1:
            raise ValueError("validation and test together leave nothing to learn from")
        return self


class Data(Spec):
    """What is learned from, what chooses, what is reported on."""

    train: tuple[AnySource, ...] = Field(min_length=1)
    """Sources to learn from."""
    validation: tuple[AnySource, ...] = ()
    """Sources that choose the checkpoint. Default: a share of the training sources."""
    test: tuple[AnySource, ...] = ()
    """Sources that the verdict is on. Default: a share of the training sources."""
    split: Split = Split()
    """Shares set aside, always by whole groups; ignored for a set that has its own sources."""
    max_length: int = Field(default=2048, gt=0)
    """Tokens an example may have, image tokens counted."""
    over_length: Literal["fail", "drop"] = "fail"
    """What to do with a longer example: `fail`, or `drop` it and say how many. Nothing is ever cut."""
    allow_leakage: bool = False
    """Go on although an evaluation set overlaps the training set; the report's headline then says so."""

    @model_validator(mode="after")
    def _roles_are_of_sources(self) -> Data:
        for source in (*self.train, *self.validation, *self.test):
            if source.role not in ("train", "replay"):
                raise ValueError(
                    f"a source's role is train or replay, and not {source.role} (hint: {source.role} is the role of a "
                    "task in evaluate)"
                )
        return self
