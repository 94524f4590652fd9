"""A chat template in words that training needs: the text of a conversation, and where its answers stand in it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any, Literal

import jinja2
from transformers import PreTrainedTokenizerBase

from finesight.errors import ModelError, UserError
from finesight.schema import Turn

ContentStyle = Literal["string", "list"]
_PROBE = "finesight-probe"


@dataclass(frozen=True)
class Conversation:
    """A rendered conversation."""

    text: str
    answers: tuple[tuple[int, int], ...]
    """Where each learned answer begins and ends in `text`, in characters, with what the template puts behind it, but
    for blanks: a tokenizer joins them to what comes next."""


class ChatFormat:
    """One tokenizer's chat template, whichever way it takes its content.

    String templates get `<image>` written before the question (as LLaVA's own data has it); list templates get
    `{"type": "image"}` pieces. A model that sees no images has no image token.
    """

    def __init__(self, tokenizer: PreTrainedTokenizerBase, image_token: str | None, template: str | None) -> None:
        if template is not None:
            tokenizer.chat_template = template
        if tokenizer.chat_template is None:
            raise ModelError(
                "the tokenizer has no chat template",
                hint=f"give model.chat_template: one of {', '.join(builtin_templates())}, a .jinja file, or Jinja text",
            )
        self._tokenizer = tokenizer
        self._image_token = image_token
        self.content_style: ContentStyle = self._find_content_style()

    def render(self, turns: Sequence[Turn], images: int, *, ask: bool) -> str:
        """Return the text of a conversation; with `ask`, up to where the model's answer begins.

        A generation prompt's trailing blanks are left off: the tokenizer joins them to the answer's first word.
        """
        text = self._apply(self._messages(turns, images, self.content_style), ask=ask)
        return text.rstrip(" ") if ask else text

    def converse(self, turns: Sequence[Turn], images: int) -> Conversation:
        """Return the whole conversation and where its learned answers stand.

        Raises `ModelError` when the template rewrites earlier turns, so that no answer has a place of its own.
        """
        text = self.render(turns, images, ask=False)
        answers = []
        for index, turn in enumerate(turns):
            if turn.learned:
                before = self.render(turns[:index], images, ask=True)
                upto = self.render(turns[: index + 1], images, ask=False) if index + 1 < len(turns) else text
                if not (text.startswith(upto) and upto.startswith(before)):
                    raise ModelError(
                        "the chat template changes earlier turns when a later one is added",
                        hint="give a template that only appends, in model.chat_template",
                    )
                answers.append((len(before), len(upto.rstrip())))
        return Conversation(text, tuple(answers))

    def _messages(self, turns: Sequence[Turn], images: int, style: ContentStyle) -> list[dict[str, Any]]:
        messages: list[dict[str, Any]] = []
        unplaced = images
        for turn in turns:
            here, unplaced = (unplaced, 0) if turn.role == "user" else (0, unplaced)
            if style == "string":
                tags = "".join(f"{self._image_token}\n" for _ in range(here))
                messages.append({"role": turn.role, "content": tags + turn.text})
            else:
                pieces: list[dict[str, str]] = [{"type": "image"} for _ in range(here)]
                messages.append({"role": turn.role, "content": [*pieces, {"type": "text", "text": turn.text}]})
        return messages

    def _apply(self, messages: list[dict[str, Any]], *, ask: bool) -> str:
        try:
            return str(self._tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=ask))
        except jinja2.TemplateSyntaxError as error:
            raise ModelError(
                f"the chat template cannot be read as Jinja: line {error.lineno}: {error.message}",
                hint="correct it, or give another in model.chat_template",
            ) from error
        except (jinja2.TemplateError, TypeError) as error:  # e.g. a template that adds a list to a string
            raise ModelError(
                f"the chat template refuses a conversation of {', '.join(m['role'] for m in messages)}: {error}",
                hint="a template without a system turn takes no model.system_prompt; put it into data…prompt instead",
            ) from error

    def _find_content_style(self) -> ContentStyle:
        """Return which content the template shows in full: one image token, and the text as it was written."""
        turns = (Turn("user", _PROBE),)
        expected = (self._image_token, _PROBE) if self._image_token else (_PROBE,)
        shown, refusals = [], []
        styles: tuple[ContentStyle, ...] = ("list", "string")
        for style in styles:
            try:
                text = self._apply(self._messages(turns, len(expected) - 1, style), ask=False)
            except ModelError as error:
                refusals.append(error)
                continue
            if all(text.count(part) == 1 for part in expected) and "'type'" not in text:
                return style
            shown.append(text)
        if not shown:
            raise refusals[-1]
        dropped = "image" if self._image_token else "question"
        raise ModelError(
            f"the chat template drops the {dropped}: {expected[0]} does not come out of it ({shown[-1]!r})",
            hint="give a template that keeps the content of the user's turn, in model.chat_template",
        )


def builtin_templates() -> list[str]:
    """Return the names of the templates that come with finesight."""
    folder = resources.files("finesight.models") / "templates"
    return sorted(entry.name.removesuffix(".jinja") for entry in folder.iterdir() if entry.name.endswith(".jinja"))


def read_template(name_file_or_text: str, data_root: Path) -> str:
    """Return a template's Jinja text from its built-in name, a .jinja file, or the text itself."""
    if name_file_or_text in builtin_templates():
        return (resources.files("finesight.models") / "templates" / f"{name_file_or_text}.jinja").read_text("utf-8")
    if name_file_or_text.endswith(".jinja"):
        file = data_root / name_file_or_text
        if not file.is_file():
            raise UserError(f"{file}: no such chat template", hint="the path is relative to the data root")
        return file.read_text("utf-8")
    if "{" not in name_file_or_text:
        raise UserError(
            f"model.chat_template: {name_file_or_text!r} is neither a built-in name, a .jinja file nor Jinja text",
            hint=f"built in are {', '.join(builtin_templates())}",
        )
    return name_file_or_text
