"""The model card and the recipe that are put beside an exported model's weights."""

from __future__ import annotations

import shutil
from pathlib import Path

import torch

from finesight.data.sources.read import put_questions
from finesight.evaluate.agreement import Agreement
from finesight.models.export import image_token_of
from finesight.models.loaded import Loaded
from finesight.report.card import CARD_FILE, RECIPE_COPY, ExportFacts, model_card
from finesight.report.files import read_files
from finesight.rundir import RECIPE_FILE, RunDir, write_text
from finesight.schema import Example, Turn

_QUESTION = "What is this?"
"""Any question will do for an example; one of the data would be made public with the card."""


def write_card(run: RunDir, loaded: Loaded, agreement: Agreement, dtype: torch.dtype, folder: Path) -> None:
    """Write README.md and the recipe into the exported folder. `loaded` is the model that was loaded from there."""
    facts = ExportFacts(
        questions=agreement.questions,
        same=agreement.same,
        nats_apart=agreement.nats_apart,
        dtype=str(dtype).removeprefix("torch."),
        question=_put(run),
        system_prompt=run.recipe.model.system_prompt,
        adds_special_tokens=_adds_special_tokens(loaded),
        takes_pieces=loaded.formatter.chat.content_style == "list",
        image_token=image_token_of(run.recipe.model, loaded),
    )
    write_text(folder / CARD_FILE, model_card(read_files(run), facts))
    shutil.copyfile(run.path / RECIPE_FILE, folder / RECIPE_COPY)


def _put(run: RunDir) -> str:
    """Return the example question in the words that the recipe puts around its own."""
    asked = Example("", "", (), (Turn("user", _QUESTION), Turn("assistant", "")), ("",))
    return put_questions(asked, run.recipe.data.train[0].prompt).question


def _adds_special_tokens(loaded: Loaded) -> bool:
    """Return whether the tokenizer has to put its bos before a prompt: not where the template has one already."""
    tokenizer = loaded.formatter.tokenizer
    asked = loaded.formatter.chat.render((Turn("user", _QUESTION),), 0, ask=True)
    return not (tokenizer.bos_token and asked.startswith(tokenizer.bos_token))
