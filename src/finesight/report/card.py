"""The model card of an exported model: what was done, what was measured, what that does not say, how to use it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from finesight import numerals
from finesight.recipe.model import AssembledModel, MoondreamModel
from finesight.report.files import Content, RunFiles
from finesight.report.tables import learning_summary
from finesight.report.tasks import size, statement

CARD_FILE = "README.md"
RECIPE_COPY = "recipe.yaml"
_LIMITS = (
    "The figures are of the data named above, asked in their own words. Of other images, questions or languages they "
    "say nothing.",
    "An interval that contains zero means that no difference was found, not that there is none.",
    "Greedy answers were measured. Drawn at random they are others.",
)

_MOONDREAM = (
    "The tensors have the names of the checkpoint that was tuned, and take its place wherever that is used. "
    "transformers has no class of its own for moondream2; finesight has, and a recipe names this folder:",
    "",
    "```yaml",
    "model: {kind: moondream, name_or_path: FOLDER}",
    "```",
)


@dataclass(frozen=True)
class ExportFacts:
    """What was found out while exporting."""

    questions: int
    """How many held-out questions the exported folder was asked."""
    same: int
    """How many of them it answered as the tuned model did, to the letter."""
    nats_apart: float
    """How far apart the two find the right answers, in nats a token, on average."""
    dtype: str
    """The number format of the weights."""
    question: str
    """A question in the words around it that the model was asked in."""
    system_prompt: str | None
    """What was said before every conversation."""
    adds_special_tokens: bool
    """Whether the tokenizer has to add its own: a template with a bos of its own must not get two."""
    takes_pieces: bool
    """Whether the chat template takes content as pieces, and not as one text."""
    image_token: str
    """What stands for an image in a text; nothing for a model that sees none."""

    @property
    def has_image(self) -> bool:
        """Whether the model sees images."""
        return bool(self.image_token)


def model_card(files: RunFiles, facts: ExportFacts) -> str:
    """Return the content of README.md: Markdown, with the header that the Hugging Face hub reads."""
    sections = (
        _header(files, facts),
        _done(files),
        _measured(files),
        _agrees(facts),
        _use(files, facts),
        _again(files),
    )
    return "\n\n".join("\n".join(section) for section in sections) + "\n"


def _header(files: RunFiles, facts: ExportFacts) -> Iterator[str]:
    yield "---"
    for name in _hub_names(files):
        yield f"base_model: {name}"
    yield "library_name: transformers"
    yield f"pipeline_tag: {'image-text-to-text' if facts.has_image else 'text-generation'}"
    yield "tags: [finesight]"
    yield "---"
    yield ""
    yield f"# {files.recipe.name}"
    yield ""
    yield from (f"- {sentence}" for sentence in files.verdict["headline"]["sentences"])
    yield from (f"- **Beware:** {warning}" for warning in files.verdict["headline"]["warnings"])


def _done(files: RunFiles) -> Iterator[str]:
    yield "## What was done"
    yield ""
    yield f"Tuned by finesight from {_base(files)}."
    yield ""
    yield "| set | examples | groups | from |"
    yield "|---|---|---|---|"
    for name, content in files.data["sets"].items():
        if content:
            sources = ", ".join(f"{source} {numerals.count(n)}" for source, n in content["by_source"].items())
            counts = f"{numerals.count(content['examples'])} | {numerals.count(content['groups'])}"
            yield f"| {name.removeprefix('task:')} | {counts} | {_in_table(sources)} |"
    yield ""
    yield "| stage | part | tuned | parameters that learn |"
    yield "|---|---|---|---|"
    for stage in files.parameters["stages"]:
        for part in stage["parts"]:
            yield f"| {stage['stage']} | {part['part']} | {part['tuning']} | {numerals.count(part['trainable'])} |"
    yield ""
    for stage in files.parameters["stages"]:
        best = files.best[stage["stage"]]
        chosen = f"{best['metric']} {best['score']:.4f} chose the state after step {numerals.count(best['step'])}"
        yield f"{stage['stage']}: {learning_summary(stage)} On the validation set, {chosen}."
    if continued := files.recipe.model.continue_from:
        yield ""
        yield f'The run continued an earlier one ({continued.run}), whose tuned model is its "before".'


def _measured(files: RunFiles) -> Iterator[str]:
    yield "## What was measured"
    yield ""
    yield "Before and after tuning, on the same examples, with 95 % intervals over groups (images, documents)."
    yield ""
    yield "| task | metric | before | after | difference | question alone | most frequent answer |"
    yield "|---|---|---|---|---|---|---|"
    yield from map(_task_row, files.judged_tasks)
    yield ""
    for task in files.judged_tasks:
        records = [record for answered in files.records[task["name"]].values() for record in answered]
        yield f"- {task['name']} ({size(task, records)}): {statement(task)}"
    yield ""
    yield "### What that does not say"
    yield ""
    yield from (f"- {limit}" for limit in _LIMITS)


def _task_row(task: Content) -> str:
    figures = numerals.figures_of(task)
    scores = (task["scores"].get(predictor) for predictor in ("before", "after", "blind", "majority"))
    before, after, blind, majority = (figures.score(score) if score else numerals.NOT_MEASURED for score in scores)
    change = task.get("difference")
    difference = figures.difference(change) if change else numerals.NOT_MEASURED
    return f"| {task['name']} | {task['metric']} | {before} | {after} | {difference} | {blind} | {majority} |"


def _agrees(facts: ExportFacts) -> Iterator[str]:
    yield "## This folder is the model that was measured"
    yield ""
    yield (
        f"The weights (in {facts.dtype}) were merged, written, loaded anew and asked {facts.questions} held-out "
        f"questions: {facts.same} were answered as by the tuned model, to the letter, and the right answers were found "
        f"as likely within {facts.nats_apart:.2g} nats a token on average."
    )


def _use(files: RunFiles, facts: ExportFacts) -> Iterator[str]:
    yield "## How to use it"
    yield ""
    if isinstance(files.recipe.model, MoondreamModel):
        yield from _MOONDREAM
        return
    yield "```python"
    yield from _seeing_snippet(facts) if facts.has_image else _reading_snippet(facts)
    yield "```"
    if not facts.has_image:
        yield ""
        yield "Where a question is about a text, the text stands before it, on lines of its own."


def _seeing_snippet(facts: ExportFacts) -> Iterator[str]:
    yield "from PIL import Image"
    yield "from transformers import AutoModelForImageTextToText, AutoProcessor"
    yield ""
    yield 'folder = "."  # this folder, or its name on the hub'
    yield 'image = Image.open("image.png").convert("RGB")'
    yield "processor = AutoProcessor.from_pretrained(folder)"
    yield 'model = AutoModelForImageTextToText.from_pretrained(folder, dtype="auto")'
    yield f"messages = {_messages(facts)!r}"
    yield from _prompt_lines("processor")
    arguments = f'images=image, text=prompt, add_special_tokens={facts.adds_special_tokens}, return_tensors="pt"'
    yield f"inputs = processor({arguments}).to(model.dtype)"
    yield from _answer_lines("processor")


def _reading_snippet(facts: ExportFacts) -> Iterator[str]:
    yield "from transformers import AutoModelForCausalLM, AutoTokenizer"
    yield ""
    yield 'folder = "."  # this folder, or its name on the hub'
    yield "tokenizer = AutoTokenizer.from_pretrained(folder)"
    yield 'model = AutoModelForCausalLM.from_pretrained(folder, dtype="auto")'
    yield f"messages = {_messages(facts)!r}"
    yield from _prompt_lines("tokenizer")
    yield f'inputs = tokenizer(prompt, add_special_tokens={facts.adds_special_tokens}, return_tensors="pt")'
    yield from _answer_lines("tokenizer")


def _messages(facts: ExportFacts) -> list[dict[str, object]]:
    """Return a conversation as the chat template takes it."""
    turns = [("system", facts.system_prompt)] if facts.system_prompt is not None else []
    turns.append(("user", facts.question))
    if not facts.takes_pieces:
        image = f"{facts.image_token}\n" if facts.has_image else ""
        return [{"role": role, "content": (image if role == "user" else "") + str(text)} for role, text in turns]
    return [
        {
            "role": role,
            "content": [
                *([{"type": "image"}] if facts.has_image and role == "user" else []),
                {"type": "text", "text": text},
            ],
        }
        for role, text in turns
    ]


def _prompt_lines(speaker: str) -> Iterator[str]:
    yield f"prompt = {speaker}.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)"
    yield 'prompt = prompt.rstrip(" ")  # the blank belongs to the answer\'s first token'


def _answer_lines(speaker: str) -> Iterator[str]:
    yield "generated = model.generate(**inputs, max_new_tokens=64, do_sample=False)"
    yield 'answer = generated[0, inputs["input_ids"].shape[1] :]'
    yield f"print({speaker}.decode(answer, skip_special_tokens=True).strip())"


def _again(files: RunFiles) -> Iterator[str]:
    packages = files.environment["packages"]
    yield "## How to do it again"
    yield ""
    yield f"With the same data below the folder that `{RECIPE_COPY}` starts its paths from:"
    yield ""
    yield "```"
    yield f"finesight run {RECIPE_COPY} --data-root DATA"
    yield "```"
    yield ""
    yield f"Seed {files.recipe.seed}, device {files.environment['device']}, and these versions:"
    yield f"{', '.join(f'{name} {version}' for name, version in packages.items())}."


def _base(files: RunFiles) -> str:
    """Return in words what was tuned; of folders only the last name, for a path is its owner's."""
    named = [
        f"`{_last(name)}`" + (f" (revision {revision})" if revision else "") for name, revision in _checkpoints(files)
    ]
    if not named:
        return "random numbers"
    packed = files.recipe.model.quantization
    return " and ".join(named) + (f", in 4 bits ({packed.bnb_4bit_quant_type})" if packed != "none" else "")


def _checkpoints(files: RunFiles) -> Sequence[tuple[str, str | None]]:
    """Return name and revision of every checkpoint that the model comes from."""
    model = files.recipe.model
    sources = (model.vision, model.language) if isinstance(model, AssembledModel) else (model,)
    return [(source.name_or_path, source.revision) for source in sources if source.name_or_path is not None]


def _hub_names(files: RunFiles) -> Iterator[str]:
    """Yield the names that are the hub's; the header takes no others."""
    data_root = Path(files.environment["data_root"])
    for name, _ in _checkpoints(files):
        is_name = re.fullmatch(r"[\w-][\w.-]*/[\w-][\w.-]*", name) and not name.startswith("finesight/")
        if is_name and not (data_root / name).exists():
            yield name


def _last(name: str) -> str:
    return name.rstrip("/").rsplit("/", 1)[-1] if name.startswith((".", "/", "~")) else name


def _in_table(text: str) -> str:
    return text.replace("|", "\\|")
