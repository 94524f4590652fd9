"""Llama and Gemma-2 reading drawings as text: 4 bits, adapters, checkpointed activations, eager attention."""

from __future__ import annotations

import json
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import torch
from training_setup import contexts_of, stage_of, train_stage

from finesight.branches.contexts import share_contexts
from finesight.branches.layout import lay_out
from finesight.branches.loss import learned_losses
from finesight.data.sources.svg_captions import read_svg_captions
from finesight.models.encoded import UNLEARNED
from finesight.models.load import load_model
from finesight.models.loaded import Loaded
from finesight.recipe.model import TextModel
from finesight.recipe.sources import SvgCaptions
from finesight.schema import Example
from finesight.tune.prepare import prepare_model
from packed_making import write_language

QUESTION = "Describe the drawing in a sentence."
STYLE = "style=fill:{};stroke:None;stroke-width:1;opacity:1"
ROWS = [
    {
        "xml": f"{STYLE.format('3,84,76')}\td=M11,471 A14,28,0,1,0,40,471\n{STYLE.format('9,9,9')}\td=M1,2 L3,4 L5,60",
        "caption": ["a dark green arc over a line", "an arc", "two shapes, one of them bent"],
    },
    {"xml": f"{STYLE.format('200,0,0')}\td=M10,10 L500,10 L500,500", "caption": "a red corner"},
]
FORMATS: dict[str, Any] = {
    "float32": {"dtype": "float32"},
    "nf4": {
        "dtype": "float32",
        "quantization": {
            "bnb_4bit_quant_type": "nf4", "bnb_4bit_use_double_quant": True, "bnb_4bit_compute_dtype": "bfloat16"
        },
    },
}  # fmt: skip
needs_bitsandbytes = pytest.mark.skipif(find_spec("bitsandbytes") is None, reason="bitsandbytes is not installed")
BOTH_FORMATS = pytest.mark.parametrize("weights", ["float32", pytest.param("nf4", marks=needs_bitsandbytes)])
BOTH_KINDS = pytest.mark.parametrize("kind", ["llama", "gemma2"])
LORA = {"language": {"method": "lora", "r": 2, "lora_alpha": 4, "target_modules": ["q_proj", "v_proj"]}}


@pytest.fixture(scope="session")
def languages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("languages")
    for kind in ("llama", "gemma2"):
        write_language(folder / kind, kind)
    return folder


@pytest.fixture
def drawings(tmp_path: Path) -> list[Example]:
    (tmp_path / "captions.json").write_text(json.dumps(ROWS))
    spec = SvgCaptions(kind="svg_captions", file="captions.json", question=QUESTION)
    return read_svg_captions(spec, tmp_path)


def load(languages: Path, kind: str, **settings: Any) -> Loaded:
    spec = TextModel.model_validate({"kind": "text", "name_or_path": kind, **settings})
    return load_model(spec, data_root=languages)


def gradients(loaded: Loaded, drawings: list[Example]) -> dict[str, torch.Tensor]:
    """Return the gradient of every parameter that learns."""
    layout = lay_out(contexts_of(loaded, drawings), padding_id=loaded.formatter.tokenizer.pad_token_id)
    loaded.model.train()
    loaded.model.zero_grad()
    learned_losses(loaded.model, layout, None, loaded.model.dtype).mean().backward()
    learning = {name: p for name, p in loaded.model.named_parameters() if p.requires_grad}
    found = {name: p.grad.clone() for name, p in learning.items() if p.grad is not None}
    assert found.keys() == learning.keys(), "what learns has a gradient"
    return found


@BOTH_KINDS
def test_captions_of_one_drawing_stand_behind_it_and_they_alone_are_learned(
    kind: str, languages: Path, drawings: list[Example]
) -> None:
    formatter = load(languages, kind).formatter
    contexts = share_contexts(formatter.encode(drawing, answered=True) for drawing in drawings)
    assert [len(context.branches) for context in contexts] == [3, 1]
    for context, row in zip(contexts, ROWS, strict=True):
        assert formatter.tokenizer.decode(context.prefix_ids).endswith(row["xml"])
        for branch in context.branches:
            learned = formatter.decode(branch.labels[branch.labels != UNLEARNED])
            assert learned == branch.example.turns[-1].text
            assert learned in row["caption"]
            assert QUESTION in formatter.tokenizer.decode(branch.ids)


@BOTH_KINDS
@BOTH_FORMATS
def test_checkpointed_activations_give_the_adapters_the_same_gradients(
    weights: str, kind: str, languages: Path, drawings: list[Example]
) -> None:
    loaded, stage = load(languages, kind, **FORMATS[weights]), stage_of(LORA)
    prepare_model(loaded, stage.tune, stage.train)
    with torch.no_grad():
        for name, parameter in loaded.model.named_parameters():
            if ".lora_B." in name:
                parameter.normal_(std=0.02)
    kept = gradients(loaded, drawings)
    assert all(gradient.abs().max() > 0 for gradient in kept.values())
    loaded.model.activation_checkpointing_enable({"use_reentrant": False})
    computed_twice = gradients(loaded, drawings)
    assert all(torch.equal(computed_twice[name], gradient) for name, gradient in kept.items())


@BOTH_KINDS
@BOTH_FORMATS
def test_a_run_with_checkpointed_activations_learns(
    weights: str, kind: str, languages: Path, drawings: list[Example], tmp_path: Path
) -> None:
    loaded = load(languages, kind, **FORMATS[weights])
    stage = stage_of(
        LORA, gradient_checkpointing=True, learning_rate=2e-2, max_steps=6, eval_steps=3, weight_decay=0.01
    )
    run = train_stage(loaded, drawings, stage, tmp_path / "run")
    losses = [row["loss"] for row in run.metrics() if row["kind"] == "validation"]
    assert len(losses) == 2
    assert losses[1] < losses[0]


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_eager_attention_computes_no_nan_where_rows_are_padded(
    dtype: str, languages: Path, drawings: list[Example]
) -> None:
    loaded = load(languages, "gemma2", dtype=dtype)
    assert loaded.model.config._attn_implementation == "eager"
    rows = contexts_of(loaded, [*drawings, replace(drawings[0], context="x", id="short")])
    layout = lay_out(rows, padding_id=loaded.formatter.tokenizer.pad_token_id)
    assert (layout.branch_numbers < 0).float().mean() > 0.2, "there is padding"
    losses = learned_losses(loaded.model, layout, None, loaded.model.dtype)
    assert torch.isfinite(losses).all()
    losses.sum().backward()
    assert all(torch.isfinite(p.grad).all() for p in loaded.model.parameters() if p.grad is not None)


def test_a_short_window_reaches_as_far_back_as_in_a_row_of_its_own(languages: Path, drawings: list[Example]) -> None:
    """The third caption stands far behind the drawing in its row: cut by index, the window would miss it."""
    loaded = load(languages, "gemma2")
    window = loaded.model.config.sliding_window
    singles = [loaded.formatter.encode(drawing, answered=True) for drawing in drawings[:3]]
    (shared,) = share_contexts(singles)
    assert window < min(len(shared.prefix_ids), *(len(branch.ids) for branch in shared.branches))
    padding = loaded.formatter.tokenizer.pad_token_id
    with torch.no_grad():
        together = learned_losses(loaded.model, lay_out([shared], padding_id=padding), None, torch.float32)
        apart = [
            learned_losses(loaded.model, lay_out([row], padding_id=padding), None, torch.float32) for row in singles
        ]
    assert torch.allclose(together, torch.cat(apart), atol=1e-5)


def test_a_window_of_any_length_is_transformers_own(languages: Path, drawings: list[Example]) -> None:
    loaded = load(languages, "gemma2")
    single = loaded.formatter.encode(drawings[0], answered=True)
    layout = lay_out([single], padding_id=0)
    with torch.no_grad():
        ours = learned_losses(loaded.model, layout, None, torch.float32)
        logits = loaded.model(input_ids=layout.input_ids).logits[layout.learned]
    theirs = torch.nn.functional.cross_entropy(logits, layout.next_labels[layout.learned], reduction="none")
    assert torch.allclose(ours, theirs, atol=1e-5)
