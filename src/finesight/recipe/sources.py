"""The sources of examples: every form of data that can be read, each kind with its own fields."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal, get_args

from pydantic import Field, model_validator

from finesight.recipe.base import Spec
from finesight.schema import Role

SceneLanguage = Literal["en", "ru"]
SCENE_LANGUAGES: tuple[SceneLanguage, ...] = get_args(SceneLanguage)
_COLUMN = re.compile(r"\{([^{}]+)\}")
"""A column's name in a file name, as `{hexcode}.svg` has it."""
OPTIONS = "{options}"
"""Stands in a prompt for the lettered options of a multiple-choice question, a line each."""


class Source(Spec):
    """What every source has."""

    path_fields: ClassVar[tuple[str, ...]] = ()
    """Fields that hold a path below the data root, a list of paths, or a hub's name. The first names the source."""
    row_fields: ClassVar[tuple[str, ...]] = ()
    """Fields that decide which rows are read: two specs that agree in them, and in their kind, are one source."""
    prompt_fields: ClassVar[tuple[str, ...]] = ("{question}",)
    """What the prompt must say a place for."""

    name: str | None = Field(default=None, pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$")
    """What it is called in figures and in `stages`. Default: its file's or data set's name, or `scenes`."""
    role: Role = "train"
    """`train`, or `replay`: general examples mixed in so that the model does not forget them."""
    max_samples: int | None = Field(default=None, gt=0)
    """Use at most this many examples, drawn by whole groups from the seed."""
    weight: float = Field(default=1.0, gt=0, le=1000)
    """How often an example of `data.train` is learned from in an epoch: 2 is twice, 0.5 every other epoch."""
    prompt: str = "{question}"
    """How a question is put, e.g. `"{question}\\nAnswer with one word."`."""

    @model_validator(mode="after")
    def _prompt_asks(self) -> Source:
        for field in self.prompt_fields:
            if field not in self.prompt:
                raise ValueError(f"prompt must contain {field}")
        if OPTIONS in self.prompt and OPTIONS not in self.prompt_fields:
            raise ValueError(f"prompt contains {OPTIONS}, which only kind: multiple_choice has")
        return self


class LlavaJson(Source):
    """LLaVA's conversations: rows of {id, image, conversations: [{from, value}]}, in JSON or parquet."""

    path_fields: ClassVar[tuple[str, ...]] = ("file", "images")
    row_fields: ClassVar[tuple[str, ...]] = ("file", "config", "split", "revision")

    kind: Literal["llava_json"]
    """Conversations in LLaVA's form, in JSON or parquet; role/content is read as well as from/value."""
    file: str
    """The JSON or JSON Lines file, a parquet file, a folder of them, or a hub name."""
    config: str | None = None
    """Which configuration on the hub, or folder of that name."""
    split: str = "train"
    """Which split of a data set."""
    revision: str | None = None
    """Branch, tag or commit on the hub."""
    images: str = "."
    """The folder that the rows' image paths start from."""


class VqaColumns(Spec):
    """Which column holds what. Only question, answer and image must exist. `types.detailed` is an entry of `types`."""

    id: str | None = None
    """The example's name. Default: its row number."""
    image: str = "image"
    """The image: a file name, or in parquet the stored bytes."""
    question: str = "question"
    """The question."""
    answer: str = "answer"
    """The answer that is learned, and counts as right."""
    answers: str | None = None
    """A list of further right answers; in CSV and TSV written as JSON: ["cat", "kitten"]."""
    question_type: str | None = None
    """A kind of question; scores are given for each."""
    answer_type: str | None = None
    """A kind of answer, as open and closed; scores are given for each."""
    group: str | None = None
    """What is never divided between sets, beside the image (e.g. a patient or a document)."""


class VqaJson(Source):
    """Questions about images: a JSON list or JSON Lines, beside a folder of images."""

    path_fields: ClassVar[tuple[str, ...]] = ("file", "images")
    row_fields: ClassVar[tuple[str, ...]] = ("file",)

    kind: Literal["vqa_json"]
    """Visual question answering rows in JSON or JSON Lines."""
    file: str
    """The JSON or JSON Lines file."""
    images: str = "."
    """The folder that the rows' image names start from."""
    columns: VqaColumns = VqaColumns()
    """Which column holds what."""


class VqaCsv(Source):
    """Questions about images: a table as CSV or TSV, beside a folder of images."""

    path_fields: ClassVar[tuple[str, ...]] = ("file", "images")
    row_fields: ClassVar[tuple[str, ...]] = ("file",)

    kind: Literal["vqa_csv"]
    """Visual question answering rows in a table with a line of column names."""
    file: str
    """The table: `.csv`, or `.tsv` with tabs."""
    images: str = "."
    """The folder that the rows' image names start from."""
    columns: VqaColumns = VqaColumns()
    """Which column holds what."""


class ImageTable(Spec):
    """A table of images that rows of another table point into, as GQA's are published."""

    dataset: str | None = None
    """A parquet file, a folder of them, or a hub name. Default: the data set of the questions."""
    config: str | None = None
    """Which configuration on the hub, or folder of that name."""
    split: str | None = None
    """Which split. Default: the split of the questions."""
    id: str = "id"
    """The column that the questions' image column points to."""
    image: str = "image"
    """The column with the stored bytes."""


class VqaParquet(Source):
    """Questions with the images inside: parquet files, local or from the hub."""

    path_fields: ClassVar[tuple[str, ...]] = ("dataset",)
    row_fields: ClassVar[tuple[str, ...]] = ("dataset", "config", "split", "revision")

    kind: Literal["vqa_parquet"]
    """Visual question answering rows in parquet, images as bytes."""
    dataset: str
    """A parquet file, a folder of them, or a hub name."""
    config: str | None = None
    """Which configuration on the hub, or folder of that name."""
    split: str = "train"
    """Which split; of a local folder, the files that are named after it, as train-00000-of-00002.parquet."""
    revision: str | None = None
    """Branch, tag or commit on the hub."""
    columns: VqaColumns = VqaColumns()
    """Which column holds what."""
    image_table: ImageTable | None = None
    """Where the images are, when the questions' own table holds only their names."""

    @model_validator(mode="after")
    def _images_lie_in_another_table(self) -> VqaParquet:
        images = self.image_table
        own = (self.dataset, self.config, self.split)
        if images and (images.dataset or self.dataset, images.config, images.split or self.split) == own:
            raise ValueError("image_table is the questions' own table: give its dataset, config or split")
        return self


class ChoiceColumns(Spec):
    """Which column holds what of a multiple-choice question. A cell that says "nan" is empty."""

    question: str = "question"
    """The question."""
    options: str | tuple[str, ...] = ("A", "B", "C", "D")
    """A column for each option, or one column with a list of them. An option that is missing is left out."""
    answer: str = "answer"
    """The right option: its letter, or the option's own text."""
    image: str = "image"
    """The image: a file name, stored bytes, or base64."""
    hint: str | None = None
    """A text that stands before the question."""
    id: str | None = None
    """The example's name. Default: its row number."""
    question_type: str | None = None
    """A kind of question; scores are given for each."""
    group: str | None = None
    """What is never divided between sets, beside the image."""


class MultipleChoice(Source):
    """Questions with options to choose from, as MMBench and PuzzleVQA have them."""

    path_fields: ClassVar[tuple[str, ...]] = ("file", "images")
    row_fields: ClassVar[tuple[str, ...]] = ("file", "config", "split", "revision")
    prompt_fields: ClassVar[tuple[str, ...]] = ("{question}", OPTIONS)

    kind: Literal["multiple_choice"]
    """Multiple choice, in JSON, JSON Lines, CSV, TSV or parquet."""
    file: str
    """The file, a folder of parquet files, or a hub name."""
    config: str | None = None
    """Which configuration on the hub, or folder of that name."""
    split: str = "train"
    """Which split of a data set."""
    revision: str | None = None
    """Branch, tag or commit on the hub."""
    images: str = "."
    """The folder that the rows' image names start from."""
    columns: ChoiceColumns = ChoiceColumns()
    """Which column holds what."""
    circular_step: int | None = Field(default=None, gt=0)
    """Copies of a question with its options rotated have its id plus a multiple of this (MMBench: 1000000)."""
    prompt: str = "{question}\n{options}\nAnswer with the letter of the right option."
    """How a question is put: {options} stands for the lettered options, a line each."""

    @model_validator(mode="after")
    def _copies_have_ids(self) -> MultipleChoice:
        if self.circular_step is not None and self.columns.id is None:
            raise ValueError("circular_step tells copies by their ids: map the column of the ids to columns.id")
        return self


class CocoCaptions(Source):
    """Captions of images in COCO's form: {images: [{id, file_name}], annotations: [{image_id, caption}]}."""

    path_fields: ClassVar[tuple[str, ...]] = ("file", "images")
    row_fields: ClassVar[tuple[str, ...]] = ("file",)

    kind: Literal["coco_captions"]
    """Captions in COCO's JSON; all captions of an image share it, and any of them is right."""
    file: str
    """The annotations' JSON file."""
    images: str = "."
    """The folder that the file names start from."""
    question: str = "Describe the image."
    """What is asked of every image."""


class CldrNames(Spec):
    """Names of characters in another language, as Unicode's CLDR publishes them."""

    files: tuple[str, ...] = Field(min_length=1)
    """CLDR's annotations JSON files of one language."""
    column: str = "emoji"
    """The rows' column that holds the character."""
    question: str
    """What is asked for in that language."""


class SvgCaptions(Source):
    """Captions of SVG drawings, which the model reads as short text, or sees as a picture."""

    path_fields: ClassVar[tuple[str, ...]] = ("file", "folder")
    row_fields: ClassVar[tuple[str, ...]] = ("file",)

    kind: Literal["svg_captions"]
    """Rows of an SVG, or of its file's name, and a caption."""
    file: str
    """The rows: a JSON list, JSON Lines, CSV or TSV."""
    folder: str = "."
    """The folder that file names of drawings start from."""
    xml: str | None = "xml"
    """The column with the drawing itself: SVG, or the path-a-line text. null: the drawings are files."""
    file_name: str = "{file}"
    """A drawing's file, with columns in braces, as `color/svg/{hexcode}.svg`; used where `xml` is null."""
    caption: str = "caption"
    """The column with the caption, or a list of captions, any of which is right."""
    question: str = "Describe the drawing."
    """What is asked of every drawing."""
    names: tuple[CldrNames, ...] = ()
    """Names in other languages, asked for beside the caption."""
    context: Literal["svg", "image", "both"] = "svg"
    """What the model gets: the drawing as path-a-line text, or rendered as a picture (extra `svg`). `both`, in a recipe
    of captioners: text models get the text, and the others the picture."""
    image_size: int = Field(default=336, ge=16, le=4096)
    """Side of a rendered picture in pixels."""

    @model_validator(mode="after")
    def _files_lie_in_the_folder(self) -> SvgCaptions:
        if self.xml is None:
            if not self.drawing_columns:
                raise ValueError("file_name names no column, as {file} does: every row would have the same drawing")
            pieces = self.file_name.replace("\\", "/").split("/")
            if not pieces[0] or ".." in pieces:
                raise ValueError("file_name starts from `folder` and lies below it: give the rest of its way there")
        return self

    @property
    def drawing_columns(self) -> tuple[str, ...]:
        """The columns that say which drawing a row is about."""
        return (self.xml,) if self.xml is not None else tuple(dict.fromkeys(_COLUMN.findall(self.file_name)))

    def drawing_file(self, cells: Mapping[str, str]) -> str:
        """Return the path below `folder` of the drawing of a row with these cells."""
        # Not str.format, to which more than a column's name has a meaning.
        return _COLUMN.sub(lambda found: cells[found[1]], self.file_name).replace("\\", "/")


class PythonSource(Source):
    """A user's own function: the door for data that no other kind reads."""

    path_fields: ClassVar[tuple[str, ...]] = ("file", "images")
    row_fields: ClassVar[tuple[str, ...]] = ("file", "function", "arguments")

    kind: Literal["python"]
    """Rows that a function of a Python file returns. It runs with your rights: read it before you use it."""
    file: str
    """The Python file."""
    function: str = "read"
    """The function. It is given `arguments`, and yields dictionaries in the columns below."""
    arguments: dict[str, Any] = Field(default_factory=dict)
    """What the function is called with."""
    images: str = "."
    """The folder that the rows' image names start from."""
    columns: VqaColumns = VqaColumns()
    """Which entry of a dictionary holds what."""


GeneralType = Literal["exist", "count", "colour", "shape", "size", "relation", "comparison", "choice"]
"""What a question of the general world asks about."""


class Scenes(Source):
    """Generated pictures of coloured shapes, with questions whose answers are known."""

    kind: Literal["scenes"]
    """Pictures and questions that finesight draws itself; no file is needed."""
    context: Literal["image", "svg", "both"] = "image"
    """What the questions are about: the picture, or its objects as SVG text, a path a line. `both`, in a recipe of
    captioners: text models read the text, and the others see the picture."""
    world: Literal["general", "house"] = "general"
    """`general`: colours, shapes, sizes, sides; `house`: what the general world shows but never names."""
    languages: tuple[SceneLanguage, ...] = Field(default=("en",), min_length=1)
    """In which languages the same questions are asked."""
    scenes: int = Field(default=200, gt=0)
    """How many pictures."""
    questions_per_scene: int = Field(default=6, ge=0)
    """How many questions about each, at most: a picture of one object has fewer. The types take turns."""
    question_types: tuple[GeneralType, ...] = ()
    """Only these types of the general world's questions, as `[relation]`. Default: all."""
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
        if self.world == "house" and self.context != "image":
            raise ValueError("the house world is about rims and sheets, which the SVG text does not hold")
        if self.world == "house" and (self.captions_per_scene or self.dialogues_per_scene or self.question_types):
            raise ValueError(
                "the house world has questions only, of all its types; captions, dialogues and question_types are the "
                "general world's"
            )
        return self


AnySource = Annotated[
    LlavaJson | VqaJson | VqaCsv | VqaParquet | MultipleChoice | CocoCaptions | SvgCaptions | PythonSource | Scenes,
    Field(discriminator="kind"),
]
