"""A LLaVA assembled from parts: each part is the one it was, in one number format, and fits the others."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from checkpoint_making import load_folder, logits_of, rewrite_tensors, save_folder
from part_making import LANGUAGE, VISION, assembled, save_language, save_vision
from template_making import bare_llama_tokenizer, make_tokenizer
from transformers import CLIPVisionConfig, MistralConfig, SiglipVisionConfig

from finesight.errors import ModelError
from finesight.models.families import image_geometry, right_strategy
from finesight.models.load import describe_model, load_model
from finesight.models.loaded import Loaded
from finesight.recipe.model import AssembledModel
from finesight.schema import Example

VISION_TYPES = ("clip_vision_model", "siglip_vision_model")
CLIP = {"model_type": "clip_vision_model", **VISION}
LLAMA = {"model_type": "llama", "vocab_size": 400, **LANGUAGE}


def load(spec: AssembledModel, root: Path, seed: int = 1) -> Loaded:
    return load_model(spec, data_root=root, seed=seed, texts=lambda: ["what colour is it? dark red"] * 20)


# Parts from checkpoints.


@pytest.mark.parametrize("whole", [True, False], ids=["whole", "vision half"])
@pytest.mark.parametrize("kind", VISION_TYPES)
def test_the_vision_encoder_is_the_checkpoints(
    kind: str, whole: bool, tmp_path: Path, examples: tuple[Example, ...]
) -> None:
    encoder = save_vision(tmp_path / "vision", kind, whole=whole)
    loaded = load(assembled("vision", LLAMA, tokenizer={"vocab_size": 340}), tmp_path)
    pixels = loaded.formatter.decode_images(examples[0].images)
    with torch.no_grad():
        ours = loaded.model.model.vision_tower(pixels, output_hidden_states=True).hidden_states[-2]
        theirs = encoder(pixels, output_hidden_states=True).hidden_states[-2]
    assert torch.equal(ours, theirs)
    assert loaded.random_parts == {"projector", "language"}


@pytest.mark.parametrize("kind", ["llama", "gemma", "phi", "qwen2"])
def test_text_logits_are_the_bare_language_models(kind: str, tmp_path: Path) -> None:
    tokenizer = make_tokenizer()
    language = save_language(tmp_path / "language", kind, tokenizer)
    loaded = load(assembled(CLIP, "language"), tmp_path)
    ids = torch.arange(3, 40)[None]
    with torch.no_grad():
        assert torch.equal(loaded.model(input_ids=ids).logits, language(input_ids=ids).logits)
    tied = loaded.model.lm_head.weight is loaded.model.get_input_embeddings().weight
    assert tied == (kind == "gemma")
    assert loaded.random_parts == {"projector", "vision"}


@pytest.mark.parametrize("kind", ["llama", "gemma", "phi"])
def test_a_language_model_without_image_token_grows_by_one_and_says_the_same(kind: str, tmp_path: Path) -> None:
    language = save_language(tmp_path / "language", kind, bare_llama_tokenizer())
    loaded = load(assembled(CLIP, "language"), tmp_path)
    old, new = language.config.vocab_size, loaded.model.config.text_config.vocab_size
    assert (new, loaded.formatter.image_token_id) == (old + 1, old)
    assert loaded.model.lm_head.weight.shape[0] == loaded.model.get_input_embeddings().weight.shape[0] == new
    assert loaded.formatter.tokenizer.pad_token_id == loaded.model.config.text_config.pad_token_id == 2
    ids = torch.arange(3, 40)[None]
    with torch.no_grad():
        assert torch.equal(loaded.model(input_ids=ids).logits[..., :old], language(input_ids=ids).logits)
    if kind == "gemma":
        assert loaded.model.lm_head.weight is loaded.model.get_input_embeddings().weight
    described, _ = describe_model(assembled(CLIP, "language"), data_root=tmp_path)
    assert described.num_parameters() == loaded.model.num_parameters()


def test_in_a_llava_gemma_2_says_the_same_and_leaves_its_last_logits_uncapped(tmp_path: Path) -> None:
    """As transformers' own LLaVA does; the cap changes no order, so no answer either."""
    language = save_language(tmp_path / "language", "gemma2", make_tokenizer())
    loaded = load(assembled(CLIP, "language"), tmp_path)
    cap = language.config.final_logit_softcapping
    ids = torch.arange(3, 40)[None]
    with torch.no_grad():
        uncapped = loaded.model(input_ids=ids).logits
        assert torch.allclose(cap * torch.tanh(uncapped / cap), language(input_ids=ids).logits, atol=1e-6)


@pytest.mark.parametrize("vision", [*VISION_TYPES, None])
def test_gemma_2_is_eager_by_itself_and_sdpa_is_refused(vision: str | None, make_model: Callable[..., Loaded]) -> None:
    config = make_model(vision, "gemma2").model.config
    assert config.get_text_config()._attn_implementation == "eager"
    assert vision is None or config.vision_config._attn_implementation == "sdpa"
    with pytest.raises(ModelError, match="caps its attention scores, which sdpa cannot") as caught:
        make_model(vision, "gemma2", attn_implementation="sdpa")
    assert "eager" in caught.value.hint


@pytest.mark.parametrize("kind", ["gemma", "phi", "qwen2"])
def test_what_was_assembled_and_saved_loads_as_a_llava(
    kind: str, tmp_path: Path, examples: tuple[Example, ...]
) -> None:
    save_vision(tmp_path / "vision", "siglip_vision_model")
    save_language(tmp_path / "language", kind, bare_llama_tokenizer())
    loaded = load(assembled("vision", "language"), tmp_path)
    again = load_folder(save_folder(loaded, tmp_path / "llava"))
    assert torch.equal(logits_of(again, examples[0]), logits_of(loaded, examples[0]))


def test_parts_saved_in_different_formats_become_one(tmp_path: Path, examples: tuple[Example, ...]) -> None:
    save_vision(tmp_path / "vision", "clip_vision_model")
    save_language(tmp_path / "language", "llama", make_tokenizer(), dtype=torch.bfloat16)
    for dtype in (torch.float32, torch.bfloat16):
        loaded = load(assembled("vision", "language", dtype=str(dtype).removeprefix("torch.")), tmp_path)
        assert {parameter.dtype for parameter in loaded.model.parameters()} == {dtype}
    assert torch.isfinite(logits_of(load(assembled("vision", "language"), tmp_path), examples[0])).all()


def test_in_bfloat16_positions_are_those_of_the_saved_model(tmp_path: Path) -> None:
    save_vision(tmp_path / "vision", "clip_vision_model")
    save_language(tmp_path / "language", "llama", make_tokenizer())
    loaded = load(assembled("vision", "language", dtype="bfloat16"), tmp_path)
    again = load_folder(save_folder(loaded, tmp_path / "llava"), dtype="bfloat16")
    turned, expected = (each.model.get_buffer("model.language_model.rotary_emb.inv_freq") for each in (loaded, again))
    assert turned.dtype == torch.float32
    assert torch.equal(turned, expected)


@pytest.mark.parametrize("part", ["vision", "language"])
def test_a_part_with_a_missing_tensor_is_refused(part: str, tmp_path: Path) -> None:
    save_vision(tmp_path / "vision", "clip_vision_model")
    save_language(tmp_path / "language", "llama", make_tokenizer())
    lost: list[str] = []

    def lose(tensors: dict[str, torch.Tensor]) -> None:
        lost.append(next(name for name in sorted(tensors) if "vision_model.encoder" in name or "model.layers" in name))
        tensors.pop(lost[0])

    rewrite_tensors(tmp_path / part, lose)
    with pytest.raises(ModelError, match="missing: 1") as caught:
        load(assembled("vision", "language"), tmp_path)
    assert lost[0].split(".", 1)[1] in caught.value.message
    assert str(tmp_path / part) in caught.value.message


@pytest.mark.parametrize("part", ["vision", "language"])
def test_a_part_without_weights_is_refused(part: str, tmp_path: Path) -> None:
    save_vision(tmp_path / "vision", "clip_vision_model")
    save_language(tmp_path / "language", "llama", make_tokenizer())
    (tmp_path / part / "model.safetensors").unlink()
    with pytest.raises(ModelError, match=f"{part}: the folder has no weights"):
        load(assembled("vision", "language"), tmp_path)


# Parts from configurations.


def test_random_parts_are_the_seeds(make_model: Callable[..., Loaded], examples: tuple[Example, ...]) -> None:
    first, again, other = (logits_of(make_model(seed=seed), examples[0]) for seed in (1, 1, 2))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


@pytest.mark.parametrize(
    ("part", "config", "message"),
    [
        ("language", {**LLAMA, "hidden_sise": 64}, "hidden_sise"),
        ("vision", {**CLIP, "pacth_size": 8}, "pacth_size"),
        ("language", {**LLAMA, "hidden_size": "many"}, "expected int"),
        ("language", {**LLAMA, "num_attention_heads": 5}, "multiple of the number of attention heads"),
        ("language", {**LLAMA, "model_type": "lama"}, "lama"),
        ("language", LANGUAGE, "no model_type"),
        ("language", {**LLAMA, "model_type": "mistral"}, "type 'mistral' is not supported"),
        ("vision", {"model_type": "vit", "image_size": 32, "patch_size": 8}, "type 'vit' is not supported"),
    ],
)
def test_a_configuration_that_is_wrong_is_refused(
    part: str, config: dict[str, Any], message: str, tmp_path: Path
) -> None:
    parts = {"vision": CLIP, "language": LLAMA, part: config}
    with pytest.raises(ModelError, match=message) as caught:
        load(assembled(**parts, tokenizer={"vocab_size": 340}), tmp_path)
    assert caught.value.hint


def test_a_checkpoint_of_an_unsupported_kind_is_refused(tmp_path: Path) -> None:
    MistralConfig(**LANGUAGE).save_pretrained(tmp_path / "language")
    with pytest.raises(ModelError, match="type 'mistral' is not supported"):
        load(assembled(CLIP, "language"), tmp_path)


def test_a_tokenizer_larger_than_a_configured_vocabulary_is_refused(tmp_path: Path) -> None:
    make_tokenizer().save_pretrained(tmp_path / "tokenizer")
    with pytest.raises(ModelError, match=r"tokens, model\.language\.config a vocab_size of 300") as caught:
        load(assembled(CLIP, {**LLAMA, "vocab_size": 300}, tokenizer={"name_or_path": "./tokenizer"}), tmp_path)
    assert f"vocab_size: {len(make_tokenizer())}" in caught.value.hint


def test_a_configured_language_model_needs_a_tokenizer(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="brings no tokenizer") as caught:
        load(assembled(CLIP, LLAMA), tmp_path)
    assert "model.tokenizer" in caught.value.hint


def test_an_assembled_model_is_not_quantised(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="cannot be quantised"):
        load(assembled(CLIP, LLAMA, tokenizer={"vocab_size": 340}, quantization={}), tmp_path)


# Image tokens.


def test_an_image_token_of_the_tokenizers_own_leaves_the_vocabulary_as_it_is(
    tmp_path: Path, examples: tuple[Example, ...]
) -> None:
    save_vision(tmp_path / "vision", "clip_vision_model")
    language = save_language(tmp_path / "language", "llama", bare_llama_tokenizer())
    spec = assembled("vision", "language", image_token="<unk>")
    loaded = load(spec, tmp_path)
    assert loaded.model.config.text_config.vocab_size == language.config.vocab_size
    assert loaded.formatter.image_token_id == loaded.formatter.tokenizer.unk_token_id
    described, _ = describe_model(spec, data_root=tmp_path)
    assert described.num_parameters() == loaded.model.num_parameters()
    single = loaded.formatter.encode(examples[0], answered=True)
    assert int((single.prefix_ids == loaded.formatter.image_token_id).sum()) == loaded.formatter.geometry.features
    again = load_folder(save_folder(loaded, tmp_path / "llava"))
    assert torch.equal(logits_of(again, examples[0]), logits_of(loaded, examples[0]))


@pytest.mark.parametrize(
    ("image_token", "why"),
    [("<picture>", "the tokenizer has no token '<picture>'"), ("</s>", "'</s>' begins, ends or")],
)
def test_an_image_token_that_cannot_be_one_is_refused(image_token: str, why: str, tmp_path: Path) -> None:
    save_language(tmp_path / "language", "llama", bare_llama_tokenizer())
    with pytest.raises(ModelError, match=f"model.image_token: {why}") as caught:
        load(assembled(CLIP, "language", image_token=image_token), tmp_path)
    assert "<image> is added" in caught.value.hint


@pytest.mark.parametrize(
    ("config", "features"),
    [
        (CLIPVisionConfig(image_size=336, patch_size=14), {"default": 576, "full": 577}),
        (CLIPVisionConfig(image_size=224, patch_size=32), {"default": 49, "full": 50}),
        (SiglipVisionConfig(image_size=384, patch_size=14), {"full": 729}),
        (SiglipVisionConfig(image_size=224, patch_size=16), {"full": 196}),
    ],
)
def test_published_encoders_give_the_number_of_features_they_are_known_for(
    config: Any, features: dict[str, int]
) -> None:
    assert {strategy: image_geometry(config, strategy).features for strategy in features} == features  # type: ignore[arg-type]
    assert right_strategy(config) == next(iter(features))


@pytest.mark.parametrize(
    ("vision", "strategy", "features"),
    [
        ("clip_vision_model", None, 16),
        ("clip_vision_model", "default", 16),
        ("clip_vision_model", "full", 17),
        ("siglip_vision_model", None, 16),
        ("siglip_vision_model", "full", 16),
    ],
)
def test_an_image_has_as_many_tokens_as_features(
    vision: str, strategy: str, features: int, make_model: Callable[..., Loaded], examples: tuple[Example, ...]
) -> None:
    loaded = make_model(vision, vision_feature_select_strategy=strategy)
    single = loaded.formatter.encode(examples[0], answered=True)
    assert int((single.prefix_ids == loaded.formatter.image_token_id).sum()) == features
    assert loaded.model.config.image_seq_length == features
    assert torch.isfinite(logits_of(loaded, examples[0])).all()


def test_siglip_without_its_first_patch_is_refused(make_model: Callable[..., Loaded]) -> None:
    with pytest.raises(ModelError, match="every image would lose a patch"):
        make_model("siglip_vision_model", vision_feature_select_strategy="default")


@pytest.mark.parametrize("layer", [0, 4, -5])
def test_features_of_a_layer_that_is_not_there_are_refused(layer: int, make_model: Callable[..., Loaded]) -> None:
    with pytest.raises(ModelError, match=f"vision_feature_layer is {layer}, but the vision encoder has 3 layers"):
        make_model(vision_feature_layer=layer)


@pytest.mark.parametrize(("vision", "kept"), [("clip_vision_model", 1), ("siglip_vision_model", 0)])
def test_another_image_size_changes_positions_and_tokens(
    vision: str, kept: int, make_model: Callable[..., Loaded], examples: tuple[Example, ...]
) -> None:
    own, larger = make_model(vision), make_model(vision, image_size=48)
    before, after = (
        next(p for name, p in loaded.model.named_parameters() if "position_embedding" in name)
        for loaded in (own, larger)
    )
    assert (len(before), len(after)) == (16 + kept, 36 + kept)
    assert torch.equal(before[:kept], after[:kept])
    assert after.requires_grad
    assert torch.allclose(before[kept:].mean(0), after[kept:].mean(0), atol=0.02)
    assert larger.formatter.geometry.features == 36
    assert larger.formatter.pixels(examples[0].images)["pixel_values"].shape[-2:] == (48, 48)
    assert torch.isfinite(logits_of(larger, examples[0])).all()
    assert [p.shape for p in larger.meta_twin().parameters()] == [p.shape for p in larger.model.parameters()]


def test_the_encoders_own_image_size_changes_nothing(
    make_model: Callable[..., Loaded], examples: tuple[Example, ...]
) -> None:
    own, same = (logits_of(make_model(image_size=size), examples[0]) for size in (None, 32))
    assert torch.equal(own, same)


def test_an_image_size_between_patches_is_refused_with_what_fits(make_model: Callable[..., Loaded]) -> None:
    with pytest.raises(ModelError, match="30 is not a multiple") as caught:
        make_model(image_size=30)
    assert "24 or 32" in caught.value.hint


def test_a_saved_folder_takes_another_image_size(
    make_model: Callable[..., Loaded], tmp_path: Path, examples: tuple[Example, ...]
) -> None:
    folder = save_folder(make_model(), tmp_path / "llava")
    larger = load_folder(folder, image_size=40)
    assert larger.formatter.pixels(examples[0].images)["pixel_values"].shape == (1, 3, 40, 40)
    assert torch.isfinite(logits_of(larger, examples[0])).all()


@pytest.mark.parametrize("vision", VISION_TYPES)
def test_parameters_without_weights_are_those_of_the_model(
    vision: str, make_spec: Callable[..., AssembledModel], make_model: Callable[..., Loaded]
) -> None:
    for changes in ({}, {"image_size": 48}):
        described, _ = describe_model(make_spec(vision, **changes), data_root=Path())
        model = make_model(vision, **changes).model
        assert {name: p.shape for name, p in described.named_parameters()} == {
            name: p.shape for name, p in model.named_parameters()
        }
