"""Captioners of the hub: they say what `generate` says to one picture at a time."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from captioner_making import SAVE
from checkpoint_making import rewrite_tensors
from PIL import Image
from transformers import AutoModelForImageTextToText, AutoTokenizer, BlipProcessor, LlavaProcessor, ViTImageProcessorPil

from finesight.data.scenes.draw import SceneImage
from finesight.errors import ModelError, UserError
from finesight.models.captioners import HuggingFacePredictor, load_captioner
from finesight.recipe.captioners import HuggingFaceCaptioner
from finesight.schema import Example, Prediction, Turn

NEW_TOKENS = 12
QUESTIONS = ("what is in the photo", "left", "two or three", "is the small square on the left of the circle")


def shown(number: int) -> Example:
    turns = (Turn("user", QUESTIONS[number % 4]), Turn("assistant", "a square", learned=True))
    return Example(str(number), str(number), (SceneImage(number, 24),), turns, ("a square",))


EXAMPLES = [shown(number) for number in range(5)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Holds a checkpoint of each kind."""
    path = tmp_path_factory.mktemp("captioners")
    for name, save in SAVE.items():
        save(path / name)
    return path


def load(folder: Path, name: str, **settings: Any) -> HuggingFacePredictor:
    spec = HuggingFaceCaptioner(kind="huggingface", name=name, name_or_path=name, dtype="float32", **settings)
    return load_captioner(spec, data_root=folder).up_to(NEW_TOKENS)


def answers(captioner: HuggingFacePredictor) -> dict[str, Prediction]:
    return {one.id: one for some in captioner.answer(EXAMPLES) for one in some}


@pytest.mark.parametrize("beams", [1, 3])
@pytest.mark.parametrize(
    ("name", "prompt"),
    [("blip", None), ("blip", "a photo of"), ("vit-gpt2", None), ("llava", None), ("llava", "what is red")],
)
def test_captions_are_those_of_one_picture_at_a_time(folder: Path, name: str, prompt: str | None, beams: int) -> None:
    captions = answers(load(folder, name, prompt=prompt, num_beams=beams, batch_size=2))
    assert len({caption.text for caption in captions.values()}) > 1
    for example in EXAMPLES:
        picture = example.images[0].open()
        assert captions[example.id].text == plainly(folder / name, picture, prompt, example.question, beams)


def plainly(folder: Path, picture: Image.Image, prompt: str | None, question: str, beams: int) -> str:
    """Return the caption as the model's own page makes it."""
    model = AutoModelForImageTextToText.from_pretrained(folder)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    how: dict[str, Any] = {"max_new_tokens": NEW_TOKENS, "num_beams": beams, "do_sample": False}
    match folder.name:
        case "blip":
            inputs = BlipProcessor.from_pretrained(folder)(picture, prompt, return_tensors="pt")
            (ids,) = model.generate(**inputs, **how)
            # What a caption begins with, and the prompt's words.
            ids = ids[1 + len(prompt.split()) if prompt else 1 :]
        case "vit-gpt2":
            pixels = ViTImageProcessorPil.from_pretrained(folder)(picture, return_tensors="pt").pixel_values
            (ids,) = model.generate(pixels, **how)
        case _:
            asked = f"<image>\n{prompt or question}: "
            inputs = LlavaProcessor.from_pretrained(folder)(images=picture, text=asked, return_tensors="pt")
            ids = model.generate(**inputs, **how)[0, inputs["input_ids"].shape[1] :]
    return str(tokenizer.decode(ids, skip_special_tokens=True)).strip()


@pytest.mark.parametrize("name", SAVE)
def test_what_was_cut_is_told_from_what_ended(folder: Path, name: str) -> None:
    whole = answers(load(folder, name).up_to(60))
    ended = {key: caption for key, caption in whole.items() if caption.finish_reason == "stop"}
    for tokens in (1, NEW_TOKENS):
        for key, caption in answers(load(folder, name).up_to(tokens)).items():
            assert whole[key].text.startswith(caption.text)
            same = caption.text == whole[key].text and key in ended
            assert caption.finish_reason == "stop" if same else caption.finish_reason == "length"


def test_a_checkpoint_without_what_nobody_reads_is_whole_and_one_without_more_is_not(
    folder: Path, tmp_path: Path
) -> None:
    shutil.copytree(folder / "vit-gpt2", tmp_path / "vit-gpt2")
    rewrite_tensors(
        tmp_path / "vit-gpt2", lambda tensors: [tensors.pop(name) for name in list(tensors) if "pooler" in name]
    )
    assert answers(load(tmp_path, "vit-gpt2")) == answers(load(folder, "vit-gpt2"))
    rewrite_tensors(tmp_path / "vit-gpt2", lambda tensors: tensors.pop("decoder.transformer.ln_f.weight"))
    with pytest.raises(ModelError, match=r"missing: 1 \(decoder.transformer.ln_f.weight\)"):
        load(tmp_path, "vit-gpt2")


def test_what_cannot_describe_is_refused(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="vit-gpt2 describes pictures, and takes no text beside them"):
        load(folder, "vit-gpt2", prompt="a photo of")
    shutil.copytree(folder / "blip", tmp_path / "blip")
    for file in ("preprocessor_config.json", "processor_config.json"):
        (tmp_path / "blip" / file).unlink(missing_ok=True)
    with pytest.raises(ModelError, match="no processor can be loaded"):
        load(tmp_path, "blip")


def test_a_batch_that_does_not_fit_says_what_to_change(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    captioner = load(folder, "vit-gpt2", batch_size=4)

    def full(*_: object, **__: object) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(captioner.model, "generate", full)
    with pytest.raises(UserError, match="too small for 4 pictures at once") as refused:
        next(captioner.answer(EXAMPLES))
    assert "batch_size" in refused.value.hint
