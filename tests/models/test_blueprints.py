"""Blueprints: what they say holds together, they stand in for configurations alone, and never for what is here."""

from __future__ import annotations

from pathlib import Path

import huggingface_hub.constants
import pytest
import torch
import transformers
import yaml
from pydantic import TypeAdapter
from transformers import AutoConfig, AutoTokenizer, CLIPImageProcessorPil, LlamaConfig, SiglipImageProcessorPil

from finesight.data.standins.places import Places
from finesight.errors import ModelError
from finesight.models.blueprint import Blueprint, expand_braces, find_blueprint, read_blueprints
from finesight.models.captioners import UNREAD_TENSORS
from finesight.models.configs import find_stand_in, read_blueprint_config
from finesight.models.load import load_model
from finesight.models.location import locate
from finesight.models.miniature import make_miniature
from finesight.models.moondream.checkpoint import compare_shapes
from finesight.models.moondream.config import moondream_config
from finesight.models.moondream.layouts import find_layout
from finesight.models.moondream.load import meta_moondream
from finesight.models.published import describe_stand_ins, fit_manifest, fit_published
from finesight.models.tokenizers_alike import learn_alike
from finesight.recipe.model import Model
from finesight.schema import Turn

MOONDREAM = "vikhyatk/moondream2"
TINY_LLAMA = "TinyLlama/TinyLlama-1.1B-Chat-v1.0"
CLIP = "openai/clip-vit-large-patch14-336"
SIGLIP = "google/siglip-so400m-patch14-384"
GEMMA_2 = "google/gemma-2-9b-it"
LLAMA = "meta-llama/Llama-3.1-8B-Instruct"
LLAVA_GEMMA = "deepvk/llava-gemma-2b-lora"
BLIP, VIT_GPT2 = "Salesforce/blip-image-captioning-large", "nlpconnect/vit-gpt2-image-captioning"
PARAMETERS = {
    TINY_LLAMA: 1_100_048_384,
    LLAMA: 8_030_261_248,
    GEMMA_2: 9_241_705_984,
    LLAVA_GEMMA: 2_816_106_496,
    BLIP: 446_290_492,
    VIT_GPT2: 239_195_904,
    "openai/clip-vit-base-patch32": 151_277_313,
    CLIP: 427_944_193,
    SIGLIP: 877_960_498,
}
NATIVE = [known for known in read_blueprints() if known.name != MOONDREAM]
SPOKEN_TO = [known for known in read_blueprints() if known.chat]
SEEING = [known for known in NATIVE if known.images and known.config["model_type"] in ("clip", "siglip", "llava")]
ASSEMBLED = {"kind": "assembled", "vision": {"name_or_path": CLIP}, "language": {"name_or_path": TINY_LLAMA}}
EVERY_KIND = {
    "assembled": ASSEMBLED,
    "siglip": {**ASSEMBLED, "vision": {"name_or_path": SIGLIP}, "image_token": "<unk>"},
    "llava": {"kind": "llava", "name_or_path": LLAVA_GEMMA},
    "llama": {"kind": "text", "name_or_path": LLAMA},
    "gemma-2": {"kind": "text", "name_or_path": GEMMA_2},
    "moondream": {"kind": "moondream", "name_or_path": MOONDREAM, "revision": "2024-08-26"},
}


def name_of(value: object) -> str:
    return value.name if isinstance(value, Blueprint) else str(value)


def spec_of(settings: dict[str, object]) -> Model:
    spec: Model = TypeAdapter(Model).validate_python(settings)
    return spec


@pytest.fixture(autouse=True)
def empty_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A hub's cache of the test's own, and no network."""
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    return tmp_path / "hub"


def keep_in_cache(hub: Path, name: str, config: LlamaConfig) -> None:
    """Put a configuration into the hub's cache, as a download leaves it."""
    folder = hub / f"models--{name.replace('/', '--')}"
    config.save_pretrained(folder / "snapshots" / "abc")
    (folder / "refs").mkdir()
    (folder / "refs" / "main").write_text("abc")


# What a blueprint says holds together.


@pytest.mark.parametrize("known", NATIVE, ids=name_of)
def test_the_published_tensors_fit_the_configuration(known: Blueprint) -> None:
    model_class = getattr(transformers, known.architecture)
    config = read_blueprint_config(known)
    with torch.device("meta"):
        model = model_class(config)
    assert sum(parameter.numel() for parameter in model.parameters()) == PARAMETERS[known.name]
    # As captioners are loaded: ViT-GPT2's file has mask buffers of its time, and no summary of the image.
    allowances = {"may_hold_more": True, "may_lack": UNREAD_TENSORS} if known.name == VIT_GPT2 else {}
    assert fit_manifest(model_class, config, known.manifest(), **allowances) == []


@pytest.mark.parametrize(("revision", "region"), [("2024-08-26", 0), ("2025-06-21", 14), (None, 14)])
def test_the_published_tensors_of_moondream_fit_its_configuration(revision: str | None, region: int) -> None:
    known = find_blueprint(MOONDREAM, revision)
    assert known is not None
    model = meta_moondream(moondream_config(known.config, known.name))
    assert sum(parameter.numel() for parameter in model.parameters()) == 1_866_919_792
    shapes = {name: tensor.shape for name, tensor in known.manifest().items()}
    layout, prefix = find_layout(shapes)
    assert layout == model.config.layout
    assert compare_shapes(model, shapes, prefix) == []
    assert sum("region" in name for name in shapes) == region


@pytest.mark.parametrize(
    ("name", "tensors"), [(TINY_LLAMA, 201), (LLAMA, 291), (GEMMA_2, 464), (SIGLIP, 888), (LLAVA_GEMMA, 559)]
)
def test_the_manifest_names_every_tensor_of_the_checkpoint(name: str, tensors: int) -> None:
    known = find_blueprint(name)
    assert known is not None
    assert len(known.manifest()) == tensors


def test_a_manifest_that_differs_is_told_tensor_by_tensor() -> None:
    known = find_blueprint(TINY_LLAMA)
    assert known is not None
    manifest = dict(known.manifest())
    del manifest["model.norm.weight"]
    manifest["lm_head.weight"] = manifest["model.layers.0.mlp.down_proj.weight"]
    manifest["model.layers.22.mlp.down_proj.weight"] = manifest["lm_head.weight"]
    faults = fit_manifest(transformers.LlamaForCausalLM, read_blueprint_config(known), manifest)
    assert faults == [
        "missing: 1 (model.norm.weight)",
        "misshapen: 1 (lm_head.weight)",
        "left over: 1 (model.layers.22.mlp.down_proj.weight)",
    ]


@pytest.mark.parametrize(
    ("pattern", "names"),
    [
        ("norm.weight", ["norm.weight"]),
        ("h.{9..11}.w", ["h.9.w", "h.10.w", "h.11.w"]),
        ("{a,b}.{0..1}", ["a.0", "a.1", "b.0", "b.1"]),
        ("x.{weight,bias}", ["x.weight", "x.bias"]),
        ("x.{q}_proj", ["x.q_proj"]),
    ],
)
def test_braces_stand_for_several_names(pattern: str, names: list[str]) -> None:
    assert list(expand_braces(pattern)) == names


def test_a_tensor_that_stands_twice_in_a_manifest_is_a_mistake() -> None:
    known = find_blueprint(TINY_LLAMA)
    assert known is not None
    twice = known.model_copy(update={"tensors": {"h.{0..2}.w": (3,), "h.{2..4}.w": (3,)}})
    with pytest.raises(ValueError, match=r"h\.2\.w stands twice"):
        twice.manifest()


@pytest.mark.parametrize("known", read_blueprints(), ids=name_of)
def test_the_vocabulary_has_room_for_the_tokens(known: Blueprint) -> None:
    if known.tokenizer is not None:
        texts = yaml.safe_dump(known.config)
        sizes = [int(line.split()[-1]) for line in texts.splitlines() if "vocab_size" in line]
        assert max(known.tokenizer.ids.values()) < known.tokenizer.tokens <= max(sizes)
        special = {known.tokenizer.bos, known.tokenizer.eos, known.tokenizer.pad} - {None}
        assert special <= known.tokenizer.ids.keys()


def test_no_two_blueprints_stand_for_the_same_revision() -> None:
    for name in {name for known in read_blueprints() for name in known.names}:
        for revision in (None, "2024-03-06", "2025-01-09", "main"):
            assert sum(known.stands_for(name, revision) for known in read_blueprints()) <= 1


@pytest.mark.parametrize(
    ("name", "revision", "year"),
    [
        (MOONDREAM, "2024-08-26", "2024"),
        (MOONDREAM, "2025-06-21", "2025"),
        (MOONDREAM, None, "2025"),
        (MOONDREAM, "main", "2025"),
        (MOONDREAM, "9f1c2d", None),
        ("vikhyatk/moondream1", None, None),
        ("parts/tinyllama", None, None),
    ],
)
def test_a_blueprint_is_found_by_name_and_revision(name: str, revision: str | None, year: str | None) -> None:
    known = find_blueprint(name, revision)
    assert (known and known.about[: len("moondream2 of 2024")]) == (year and f"moondream2 of {year}")


# How a published model is spoken to.


@pytest.mark.parametrize(
    ("name", "text"),
    [
        (TINY_LLAMA, "<|user|>\nRed?</s>\n<|assistant|>\nNo.</s>\n<|assistant|>\n"),
        (
            LLAVA_GEMMA,
            "<start_of_turn>user\nRed?<end_of_turn>\n<start_of_turn>model\nNo.<end_of_turn>\n<start_of_turn>model\n",
        ),
        (
            GEMMA_2,
            "<bos><start_of_turn>user\nRed?<end_of_turn>\n<start_of_turn>model\nNo.<end_of_turn>\n"
            "<start_of_turn>model\n",
        ),
        (
            LLAMA,
            "<|begin_of_text|><|start_header_id|>system<|end_header_id|>\n\nCutting Knowledge Date: December 2023\n"
            "Today Date: 26 Jul 2024\n\n<|eot_id|><|start_header_id|>user<|end_header_id|>\n\nRed?<|eot_id|>"
            "<|start_header_id|>assistant<|end_header_id|>\n\nNo.<|eot_id|>"
            "<|start_header_id|>assistant<|end_header_id|>\n\n",
        ),
    ],
)
def test_the_template_writes_what_the_published_one_does(name: str, text: str) -> None:
    known = find_blueprint(name)
    assert known is not None
    talk = [{"role": "user", "content": "Red?"}, {"role": "assistant", "content": "No."}]
    tokenizer = learn_alike(known)
    assert tokenizer.apply_chat_template(talk, tokenize=False, add_generation_prompt=True) == text


@pytest.mark.parametrize("known", SPOKEN_TO, ids=name_of)
def test_a_small_tokenizer_is_alike_once_it_is_saved(known: Blueprint, tmp_path: Path) -> None:
    learn_alike(known).save_pretrained(tmp_path)
    tokenizer = AutoTokenizer.from_pretrained(tmp_path)
    facts, chat = known.tokenizer, known.chat
    assert facts is not None and chat is not None
    assert (tokenizer.bos_token, tokenizer.eos_token, tokenizer.pad_token) == (facts.bos, facts.eos, facts.pad)
    for token in facts.ids:
        assert tokenizer(token, add_special_tokens=False)["input_ids"] == [tokenizer.convert_tokens_to_ids(token)]
    begins = tokenizer("red")["input_ids"][0] == tokenizer.bos_token_id
    assert begins == facts.adds_bos
    rendered = tokenizer.apply_chat_template([{"role": "user", "content": "red"}], tokenize=False)
    assert rendered.startswith(str(facts.bos)) == chat.has_bos


@pytest.mark.parametrize("known", SEEING, ids=name_of)
def test_a_stand_in_processor_prepares_images_as_the_published_one(known: Blueprint) -> None:
    """The miniature takes its family's usual one: here it is seen to be the published one, but for the size."""
    facts = known.images
    assert facts is not None
    kind = SiglipImageProcessorPil if known.config["model_type"] == "siglip" else CLIPImageProcessorPil
    written = kind().to_dict()
    assert written["image_mean"] == pytest.approx(list(facts.mean))
    assert written["image_std"] == pytest.approx(list(facts.std))
    assert {2: "bilinear", 3: "bicubic"}[int(written["resample"])] == facts.resample
    assert ("center" if written.get("do_center_crop") else "none") == facts.crop
    vision = known.config["vision_config"]
    assert vision["image_size"] == facts.size


# It stands in for what is not here, and for configurations alone.


@pytest.mark.parametrize("settings", EVERY_KIND.values(), ids=EVERY_KIND)
def test_every_checkpoint_that_is_not_here_is_named(settings: dict[str, object], tmp_path: Path) -> None:
    spec = spec_of(settings)
    names = [words.split(" is not on this machine")[0] for words in describe_stand_ins(spec, tmp_path)]
    assert names == ([spec.vision.name_or_path, TINY_LLAMA] if spec.kind == "assembled" else [spec.name_or_path])
    fitted = list(fit_published(spec, tmp_path))
    assert [each.faults for each in fitted] == [()] * len(names)
    assert all(each.stands_in for each in fitted)


def test_a_folder_of_the_name_goes_before_the_blueprint(tmp_path: Path) -> None:
    LlamaConfig(hidden_size=64).save_pretrained(tmp_path / TINY_LLAMA)
    spec = spec_of({"kind": "text", "name_or_path": TINY_LLAMA})
    assert find_stand_in(locate(TINY_LLAMA, None, tmp_path)) is None
    assert list(describe_stand_ins(spec, tmp_path)) == []
    assert list(fit_published(spec, tmp_path)) == []


def test_what_lies_in_the_cache_goes_before_the_blueprint_and_is_held_against_it(
    tmp_path: Path, empty_cache: Path
) -> None:
    known = find_blueprint(TINY_LLAMA)
    assert known is not None
    config = read_blueprint_config(known)
    config.num_hidden_layers = 23
    keep_in_cache(empty_cache, TINY_LLAMA, config)
    spec = spec_of({"kind": "text", "name_or_path": TINY_LLAMA})
    assert list(describe_stand_ins(spec, tmp_path)) == []
    (fitted,) = fit_published(spec, tmp_path)
    assert not fitted.stands_in
    (fault,) = fitted.faults
    assert fault.startswith("missing: 9 (model.layers.22.input_layernorm.weight, ")


@pytest.mark.parametrize("settings", EVERY_KIND.values(), ids=EVERY_KIND)
def test_weights_never_come_from_a_blueprint(settings: dict[str, object], tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="no model can be found there"):
        load_model(spec_of(settings), data_root=tmp_path)


@pytest.mark.parametrize("settings", EVERY_KIND.values(), ids=EVERY_KIND)
def test_a_miniature_is_the_blueprint_with_its_widths_and_depths_cut(
    settings: dict[str, object], tmp_path: Path
) -> None:
    spec = spec_of(settings)
    miniature = make_miniature(spec, data_root=tmp_path, folder=tmp_path / "small", places=Places(tmp_path), seed=1)
    assert not [words for words in miniature.words if "ASSUMED" in words]
    assert any("its blueprint stands in" in words for words in miniature.words)
    loaded = load_model(miniature.spec, data_root=tmp_path / "small")
    assert sum(parameter.numel() for parameter in loaded.model.parameters()) < 4_000_000
    asked = (Turn("user", "What is it?"),)
    assert "What is it?" in loaded.formatter.chat.render(asked, 0, ask=True)


def test_a_configuration_is_complete_for_transformers() -> None:
    """No setting of a blueprint is one that transformers does not know: it would be kept, and do nothing."""
    for known in NATIVE:
        settings = known.config
        parts = [value for value in settings.values() if isinstance(value, dict) and "model_type" in value]
        for written in (settings, *parts):
            unknown = written.keys() - AutoConfig.for_model(written["model_type"]).to_dict().keys()
            # Names that transformers takes beside those that it writes.
            assert unknown <= {"model_type", "encoder", "decoder", "image_token_index"}
