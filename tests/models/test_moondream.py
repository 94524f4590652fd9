"""moondream2 against a forward pass written from its description, in both layouts; and back into its layout."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from moondream_reference import Reference, put_together
from PIL import Image
from safetensors.torch import load_file, save_file

from finesight.branches.contexts import share_contexts
from finesight.branches.images import image_arguments
from finesight.branches.layout import lay_out
from finesight.branches.loss import learned_losses
from finesight.branches.mask import Places, attention_mask
from finesight.errors import DataError, ModelError
from finesight.models.image_store import fill_store, open_store
from finesight.models.load import describe_model, load_formatter, load_model
from finesight.models.loaded import Loaded
from finesight.models.moondream.checkpoint import moondream_state_dict, save_moondream
from finesight.models.moondream.crops import choose_grid_2024, choose_grid_2025
from finesight.models.pixels import Pixels
from finesight.recipe.model import MoondreamModel
from finesight.recipe.recipe import Stage
from finesight.schema import Example, Turn
from finesight.tune.prepare import describe_parameters, merge_adapters, prepare_model
from moondream_making import SIDE, learn_tokenizer, random_tensors, write_moondream

YEARS = ("2024", "2025")
LORA = {"method": "lora", "r": 16, "target_modules": ["Wqkv", "out_proj"]}


class Noise:
    """A picture of random points, of any size."""

    def __init__(self, width: int, height: int) -> None:
        self.size = (width, height)
        self.name = f"noise-{width}-{height}"

    def open(self) -> Image.Image:
        width, height = self.size
        points = np.random.default_rng(width + height).integers(0, 256, (height, width, 3), dtype=np.uint8)
        return Image.fromarray(points)

    def content_hash(self) -> str:
        return self.name


def load(folder: Path, **settings: Any) -> Loaded:
    return load_model(spec(folder, **settings), data_root=folder.parent)


def spec(folder: Path, **settings: Any) -> MoondreamModel:
    return MoondreamModel.model_validate({"kind": "moondream", "name_or_path": folder.name, **settings})


def ask(*images: Any, question: str = "what colour is it?", answer: str = "dark blue") -> Example:
    turns = (Turn("user", question), Turn("assistant", answer, learned=True))
    return Example("1", "group", images, turns, (answer,))


def logits_of(loaded: Loaded, example: Example) -> torch.Tensor:
    """The logits of a whole conversation as training computes them, through the mask of `branches`."""
    single = loaded.formatter.encode(example, answered=True)
    layout = lay_out([single], padding_id=0)
    places = Places.of(layout)
    with torch.no_grad():
        logits: torch.Tensor = loaded.model(
            input_ids=layout.input_ids,
            position_ids=layout.position_ids,
            attention_mask=attention_mask(loaded.model, places, places, loaded.model.dtype),
            **image_arguments(loaded.model, loaded.formatter.pixels(single.images)),
        ).logits[0]
    return logits


def reference_logits(folder: Path, year: str, pixels: Pixels | None, text: str) -> torch.Tensor:
    reference = Reference(load_file(folder / "model.safetensors"), year)
    behind = learn_tokenizer().encode(text).ids
    image = None
    if pixels is not None:
        whole = reference.features(pixels["pixel_values"][0])
        local = whole
        if "crop_grids" in pixels and pixels["crop_grids"].any():
            rows, columns = pixels["crop_grids"][0].tolist()
            crops = [reference.features(crop) for crop in pixels["crop_values"]]
            local = put_together(crops, rows, columns, 1 if year == "2025" else 0, SIDE)
        image = reference.project(whole, local)
    return reference.logits(image, [0], behind)


def assert_near(logits: torch.Tensor, reference: torch.Tensor) -> None:
    assert logits.shape == reference.shape
    assert (logits - reference).abs().max() <= 1e-5 * reference.abs().max()


@pytest.mark.parametrize("attention", ["sdpa", "eager"])
@pytest.mark.parametrize("year", YEARS)
def test_the_forward_pass_is_the_published_one(year: str, attention: str, tmp_path: Path) -> None:
    folder = write_moondream(tmp_path / "moondream", year)
    loaded = load(folder, attn_implementation=attention)
    text = "\n\nQuestion: what colour is it?\n\nAnswer: dark blue<|endoftext|>"
    image = Noise(50, 40)
    shown = reference_logits(folder, year, loaded.formatter.pixels([image]), text)
    assert_near(logits_of(loaded, ask(image)), shown)
    assert_near(logits_of(loaded, ask()), reference_logits(folder, year, None, text))
    # By itself, as `generate` calls it, the model makes the same mask.
    single = loaded.formatter.encode(ask(image), answered=True)
    ids = torch.tensor([[*single.prefix_ids.tolist(), *single.branches[0].ids.tolist()]])
    with torch.no_grad():
        alone = loaded.model(input_ids=ids, **(loaded.formatter.pixels([image]) or {})).logits[0]
    assert_near(alone, shown)


@pytest.mark.parametrize(("width", "height"), [(900, 380), (70, 700), (640, 600), (20, 20)])
@pytest.mark.parametrize("year", YEARS)
def test_crops_are_seen_as_the_published_code_sees_them(year: str, width: int, height: int, tmp_path: Path) -> None:
    folder = write_moondream(tmp_path / "moondream", year)
    loaded = load(folder, crops="several")
    image = Noise(width, height)
    pixels = loaded.formatter.pixels([image])
    assert pixels is not None
    text = "\n\nQuestion: what colour is it?\n\nAnswer: dark blue<|endoftext|>"
    assert_near(logits_of(loaded, ask(image)), reference_logits(folder, year, pixels, text))


def test_images_of_a_batch_keep_their_own_crops(tmp_path: Path) -> None:
    loaded = load(write_moondream(tmp_path / "moondream", "2025"), crops="several")
    images = [Noise(900, 380), Noise(20, 20), Noise(640, 600)]
    pixels = loaded.formatter.pixels(images)
    assert pixels is not None
    assert pixels["crop_grids"].prod(dim=1).sum() == len(pixels["crop_values"])
    with torch.no_grad():
        together = loaded.model.get_image_features(**pixels).pooler_output
        alone = [
            loaded.model.get_image_features(**loaded.formatter.pixels([image])).pooler_output[0] for image in images
        ]
    assert torch.allclose(torch.stack(together), torch.stack(alone), atol=1e-5)


@pytest.mark.parametrize(
    ("width", "height", "grid"),
    [
        (400, 300, (0, 0)),  # under 512 pixels: whole alone
        (520, 512, (0, 0)),  # nearer to 378 pixels than to 756
        (800, 600, (2, 2)),
        (1600, 700, (1, 2)),
        (600, 1300, (2, 1)),
    ],
)
def test_grids_of_2024(width: int, height: int, grid: tuple[int, int]) -> None:
    assert choose_grid_2024(width, height, 378) == grid


@pytest.mark.parametrize(
    ("width", "height", "grid"),
    [
        (378, 378, (0, 0)),
        (2000, 300, (0, 0)),  # too flat for two rows
        (640, 480, (2, 4)),
        (1200, 420, (2, 6)),
        (4000, 3000, (2, 4)),  # 165 would be needed
        (500, 500, (3, 3)),
    ],
)
def test_grids_of_2025(width: int, height: int, grid: tuple[int, int]) -> None:
    assert choose_grid_2025(width, height, 378, 56, 12) == grid


@pytest.mark.parametrize("year", YEARS)
def test_the_image_comes_behind_bos_and_the_question_behind_it(year: str, tmp_path: Path) -> None:
    loaded = load(write_moondream(tmp_path / "moondream", year))
    single = loaded.formatter.encode(ask(Noise(30, 30)), answered=True)
    image_token = loaded.formatter.placeholder_id
    assert single.prefix_ids.tolist() == [0, *[image_token] * SIDE**2]
    assert single.two_way_tokens == (1 + SIDE**2 if year == "2025" else 0)
    text = loaded.formatter.tokenizer.decode(single.branches[0].ids)
    assert text == "\n\nQuestion: what colour is it?\n\nAnswer: dark blue<|endoftext|>"
    assert loaded.formatter.encode(ask(), answered=True).two_way_tokens == 0


def test_the_image_token_may_lie_outside_of_the_vocabulary(tmp_path: Path) -> None:
    folder = write_moondream(tmp_path / "moondream", "2025")
    tensors = random_tensors("2025")
    for name in ("model.text.wte", "model.text.lm_head.weight", "model.text.lm_head.bias"):
        tensors[name] = tensors[name][: learn_tokenizer().get_vocab_size()]
    save_file(tensors, folder / "model.safetensors")
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    config["config"]["text"]["vocab_size"] = learn_tokenizer().get_vocab_size()
    (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")
    loaded = load(folder)
    assert loaded.formatter.placeholder_id == len(tensors["model.text.wte"])
    logits = logits_of(loaded, ask(Noise(30, 30)))
    assert logits.isfinite().all()
    save_moondream(loaded, tmp_path / "saved")  # with the tokenizer as it was: one token more would have no embedding
    assert torch.equal(logits_of(load(tmp_path / "saved"), ask(Noise(30, 30))), logits)
    assert (tmp_path / "saved" / "tokenizer.json").read_bytes() == (folder / "tokenizer.json").read_bytes()


def test_an_example_with_two_images_is_refused(tmp_path: Path) -> None:
    loaded = load(write_moondream(tmp_path / "moondream", "2024"))
    with pytest.raises(DataError, match="2 images, but moondream2 takes one"):
        loaded.formatter.encode(ask(Noise(30, 30), Noise(20, 20)), answered=True)


@pytest.mark.parametrize(("year", "prefix"), [("2024", ""), ("2025", "model."), ("2025", "")])
def test_what_was_loaded_is_saved_as_it_was(year: str, prefix: str, tmp_path: Path) -> None:
    folder = write_moondream(tmp_path / "moondream", year, prefix=prefix)
    loaded = load(folder)
    published = load_file(folder / "model.safetensors")
    state = moondream_state_dict(loaded)
    assert state.keys() == published.keys()
    assert [name for name in published if not torch.equal(state[name], published[name])] == []
    save_moondream(loaded, tmp_path / "saved")
    again = load(tmp_path / "saved")
    example = ask(Noise(30, 30))
    assert torch.equal(logits_of(again, example), logits_of(loaded, example))


@pytest.mark.parametrize("year", YEARS)
def test_merged_adapters_are_saved_in_the_published_layout(year: str, tmp_path: Path) -> None:
    folder = write_moondream(tmp_path / "moondream", year)
    loaded = load(folder)
    stage = Stage.model_validate(
        {"tune": {"vision": {"method": "lora", "r": 2}, "projector": "full", "language": LORA}, "train": {}}
    )
    prepare_model(loaded, stage.tune, stage.train)
    with torch.no_grad():
        for parameter in loaded.model.parameters():
            if parameter.requires_grad:
                parameter.add_(torch.randn_like(parameter) * 0.05)
    loaded.model.eval()
    example = ask(Noise(30, 30))
    tuned = logits_of(loaded, example)
    with pytest.raises(ModelError, match="adapters have no place"):
        moondream_state_dict(loaded)
    merge_adapters(loaded)
    save_moondream(loaded, tmp_path / "saved")
    assert torch.allclose(logits_of(load(tmp_path / "saved"), example), tuned, atol=1e-4)
    published, saved = (load_file(where / "model.safetensors") for where in (folder, tmp_path / "saved"))
    assert published.keys() == saved.keys()
    changed = {name for name in published if not torch.equal(published[name], saved[name])}
    assert not {name for name in changed if "region" in name}
    assert changed


def test_sizes_are_the_published_ones(tmp_path: Path) -> None:
    folder = tmp_path / "moondream"
    folder.mkdir()
    stage = Stage.model_validate({"tune": {"vision": "frozen", "projector": "frozen", "language": LORA}, "train": {}})
    for published in ({"model_type": "moondream1"}, {"model_type": "moondream1", "config": {}}):
        (folder / "config.json").write_text(json.dumps(published), encoding="utf-8")
        table = describe_parameters(*describe_model(spec(folder), data_root=tmp_path), stage)
        totals = {part["part"]: part["total"] - part["adapters"] for part in table["parts"]}
        assert totals == {"vision": 412_987_248, "projector": 35_661_824, "language": 1_418_270_720}
        assert table["trainable"] == 4_718_592
        assert table["total"] == 1_871_638_384
        assert table["unreachable"] == 0
        assert not table["refusals"]


@pytest.mark.parametrize("year", YEARS)
@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_half_precision_is_near_to_full(year: str, dtype: str, tmp_path: Path) -> None:
    folder = write_moondream(tmp_path / "moondream", year)
    example = ask(Noise(30, 30))
    full, half = (logits_of(load(folder, dtype=name), example).float() for name in ("float32", dtype))
    assert (full - half).abs().max() < 0.05 * full.abs().max()


@pytest.mark.parametrize("year", YEARS)
def test_checkpointed_activations_give_the_same_gradients(
    year: str, examples: tuple[Example, ...], tmp_path: Path
) -> None:
    loaded = load(write_moondream(tmp_path / "moondream", year))
    rows = share_contexts(loaded.formatter.encode(example, answered=True) for example in examples)

    def gradients() -> list[torch.Tensor | None]:
        loaded.model.train()
        layout = lay_out(rows, padding_id=0)
        pixels = loaded.formatter.pixels([image for row in rows for image in row.images])
        losses = learned_losses(loaded.model, layout, pixels, torch.float32)
        return list(torch.autograd.grad(losses.sum(), list(loaded.model.parameters())))

    plain = gradients()
    loaded.model.activation_checkpointing_enable({"use_reentrant": False})
    for one, other in zip(gradients(), plain, strict=True):
        assert torch.allclose(one, other, atol=1e-5)


@pytest.mark.parametrize("year", YEARS)
def test_a_padded_batch_is_generated_as_each_alone(
    year: str, enliven: Callable[[Loaded], Loaded], tmp_path: Path
) -> None:
    loaded = enliven(load(write_moondream(tmp_path / "moondream", year)))
    image = Noise(30, 30)
    questions = ("what colour is it?", "is it a square? yes or no", "red?")
    rows = []
    for question in questions:
        single = loaded.formatter.encode(ask(image, question=question), answered=False)
        rows.append([*single.prefix_ids.tolist(), *single.branches[0].ids.tolist()])

    def generate(batch: list[list[int]]) -> list[list[int]]:
        longest = max(map(len, batch))
        ids = torch.tensor([[0] * (longest - len(row)) + row for row in batch])
        mask = torch.tensor([[0] * (longest - len(row)) + [1] * len(row) for row in batch])
        pixels = loaded.formatter.pixels([image] * len(batch)) or {}
        made = loaded.model.generate(input_ids=ids, attention_mask=mask, **pixels, max_new_tokens=6, do_sample=False)
        end = loaded.formatter.tokenizer.eos_token_id
        answers = [row[longest:].tolist() for row in made]
        return [answer[: answer.index(end)] if end in answer else answer for answer in answers]

    assert generate(rows) == [generate([row])[0] for row in rows]


def test_kept_features_give_the_losses_of_the_pictures(
    examples: tuple[Example, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FINESIGHT_CACHE", str(tmp_path / "cache"))
    loaded = load(write_moondream(tmp_path / "moondream", "2024"))
    rows = share_contexts(loaded.formatter.encode(example, answered=True) for example in examples)
    images = [image for row in rows for image in row.images]

    def losses() -> torch.Tensor:
        layout = lay_out(rows, padding_id=0)
        return learned_losses(loaded.model, layout, loaded.formatter.pixels(images), torch.float32)

    plain = losses()
    store = open_store(loaded, "features")
    fill_store(store, loaded, images)
    loaded.formatter.kept = store  # type: ignore[attr-defined]
    assert torch.allclose(losses(), plain, atol=1e-5)


def test_early_revisions_see_the_whole_image_alone(tmp_path: Path) -> None:
    folder = write_moondream(tmp_path / "moondream", "2024")
    tensors = random_tensors("2024")
    name = "vision_encoder.projection.mlp.fc1.weight"
    wide = tensors[name]
    tensors[name] = wide[:, : wide.shape[1] // 2].contiguous()
    save_file(tensors, folder / "model.safetensors")
    loaded = load(folder)
    assert loaded.model.config.projector_views == 1
    assert logits_of(loaded, ask(Noise(30, 30))).isfinite().all()
    assert moondream_state_dict(loaded)[name].equal(tensors[name])
    with pytest.raises(ModelError, match="sees the whole image alone"):
        load(folder, crops="several")


def test_the_formatter_needs_no_weights(tmp_path: Path) -> None:
    folder = write_moondream(tmp_path / "moondream", "2025")
    whole = load(folder).formatter.encode(ask(Noise(30, 30)), answered=True)
    (folder / "model.safetensors").unlink()
    formatter = load_formatter(spec(folder), data_root=tmp_path)
    assert np.array_equal(formatter.encode(ask(Noise(30, 30)), answered=True).branches[0].ids, whole.branches[0].ids)
