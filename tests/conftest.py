"""What many tests need: small models of every family, drawn pictures, and the shared real data where it is there."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

SHARED = Path(__file__).resolve().parents[2] / "shared"

VISION = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 3, "num_attention_heads": 4}
LANGUAGE = {
    "hidden_size": 48,
    "intermediate_size": 96,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 12,
    "vocab_size": 400,
    "max_position_embeddings": 512,
}
WITHOUT_HEAD_DIM = ("phi", "qwen2")
"""Language models whose configuration has no `head_dim`: their heads share the width evenly."""
TEXTS = ("what colour is it?", "red", "dark blue", "is it a square? yes or no", "how many things are there? seven")


@pytest.fixture(scope="session", autouse=True)
def one_thread() -> None:
    """Small models are slower on several threads than on one."""
    torch.set_num_threads(1)


@pytest.fixture(autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep a person's own cache out of the tests."""
    monkeypatch.setenv("FINESIGHT_CACHE", str(tmp_path_factory.getbasetemp() / "cache"))


@pytest.fixture
def shared() -> Path:
    """The folder of real data and fixtures beside the repository."""
    if not SHARED.is_dir():
        pytest.skip(f"{SHARED} is not there")
    return SHARED


@dataclass(frozen=True)
class Plain:
    """A picture of one colour."""

    colour: tuple[int, int, int]

    @property
    def name(self) -> str:
        return "plain-" + "-".join(map(str, self.colour))

    def open(self) -> Image.Image:
        return Image.new("RGB", (40, 30), self.colour)

    def content_hash(self) -> str:
        return self.name


@pytest.fixture(scope="session")
def make_spec(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Any]:
    """Returns the specification of a small assembled model, or without a vision encoder of a text model.

    For the vision encoder "moondream", of a small moondream2 in the layout of the year that stands for the language
    model; for "hf", of the family that stands there; for "nf4", of a text model in 4 bits. Keywords change it.
    """
    from finesight.recipe.model import AssembledModel, HfModel, MoondreamModel, TextModel
    from hf_making import save_hf
    from moondream_making import write_moondream
    from packed_making import write_language

    def make(
        vision: str | None = "clip_vision_model", language: str = "llama", **changes: Any
    ) -> AssembledModel | TextModel | HfModel | MoondreamModel:
        if vision == "moondream":
            folder = write_moondream(tmp_path_factory.getbasetemp() / f"moondream-{language}", language)
            return MoondreamModel.model_validate({"kind": "moondream", "name_or_path": str(folder), **changes})
        if vision == "hf":
            folder = save_hf(tmp_path_factory.getbasetemp() / f"hf-{language}", language, lively=False)
            return HfModel.model_validate({"kind": "hf", "name_or_path": str(folder), **changes})
        if vision == "nf4":
            folder = write_language(tmp_path_factory.getbasetemp() / f"language-{language}", language)
            packed = {"quantization": {"bnb_4bit_compute_dtype": "float32"}, **changes}
            return TextModel.model_validate({"kind": "text", "name_or_path": str(folder), **packed})
        config = {"model_type": language, **LANGUAGE}
        if language in WITHOUT_HEAD_DIM:
            del config["head_dim"]
        if language == "gemma2":
            config |= {"sliding_window": 12, "query_pre_attn_scalar": 2}  # a window shorter than most rows
        if vision is None:
            plain = {"kind": "text", "config": config, "tokenizer": {"vocab_size": 340}, "chat_template": "llava-1.5"}
            return TextModel.model_validate({**plain, **changes})
        settings: dict[str, Any] = {
            "kind": "assembled",
            "vision": {"config": {"model_type": vision, "image_size": 32, "patch_size": 8, **VISION}},
            "language": {"config": config},
            "tokenizer": {"vocab_size": 340},
            "chat_template": "llava-1.5",
        }
        return AssembledModel.model_validate({**settings, **changes})

    return make


@pytest.fixture(scope="session")
def make_model(make_spec: Callable[..., Any]) -> Callable[..., Any]:
    """Returns a small model, loaded."""
    from finesight.models.load import load_model

    def make(*args: Any, seed: int = 1, saved: Path | None = None, **changes: Any) -> Any:
        spec = make_spec(*args, **changes)
        return load_model(spec, data_root=Path(), seed=seed, texts=lambda: TEXTS * 20, saved=saved)

    return make


@pytest.fixture(scope="session")
def enliven() -> Callable[[Any], Any]:
    """Gives a model weights whose answers differ: freshly made ones answer one token, whatever they are asked."""

    from lively import make_lively

    def give(loaded: Any) -> Any:
        make_lively(loaded.model)
        return loaded

    return give


@pytest.fixture(scope="session")
def clip_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small CLIP with random weights, which tell captions apart. It reads 77 tokens; each is a byte."""
    from transformers import CLIPConfig, CLIPImageProcessorPil, CLIPModel

    from finesight.models.miniature_clip import spell_bytes

    folder, tokenizer = tmp_path_factory.mktemp("clip"), spell_bytes()
    sizes = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4}
    ends = {"bos_token_id": tokenizer.bos_token_id, "eos_token_id": tokenizer.eos_token_id}
    text = {**sizes, "vocab_size": len(tokenizer), "max_position_embeddings": 77, **ends}
    vision = {**sizes, "image_size": 32, "patch_size": 8}
    with torch.random.fork_rng():
        torch.manual_seed(1)
        model = CLIPModel(CLIPConfig(text_config=text, vision_config=vision, projection_dim=16))
        with torch.no_grad():
            for parameter in model.parameters():
                if parameter.ndim >= 2:
                    parameter.normal_(std=1 / parameter.shape[-1] ** 0.5)
            model.logit_scale.fill_(math.log(14.0))
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    side = {"height": 32, "width": 32}
    CLIPImageProcessorPil(size=side, crop_size=side).save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def examples() -> tuple[Any, ...]:
    """Seven questions about three pictures, one of them a conversation, one without a picture."""
    from finesight.schema import Example, Turn

    red, green = Plain((200, 20, 20)), Plain((20, 200, 20))

    def ask(name: str, image: Plain | None, *exchanges: tuple[str, str]) -> Example:
        turns = [
            turn for question, answer in exchanges for turn in (Turn("user", question), Turn("assistant", answer, True))
        ]
        images = (image,) if image else ()
        group = image.name if image else name
        return Example(name, group, images, tuple(turns), (exchanges[-1][1],), source="drawn")

    return (
        ask("1", red, ("what colour is it?", "dark red")),
        ask("2", red, ("is it a square?", "no")),
        ask("3", red, ("how many things are there?", "seven"), ("are you sure?", "yes")),
        ask("4", green, ("what colour is it?", "green")),
        ask("5", green, ("is it red? yes or no", "no")),
        ask("6", None, ("is seven a number?", "yes")),
        ask("7", Plain((20, 20, 200)), ("what colour is it?", "blue")),
    )
