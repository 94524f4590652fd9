"""LLaVA checkpoints as they are found: other names, other heads, older scales, an adapter beside, pickles."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import huggingface_hub.constants
import pytest
import torch
from checkpoint_making import CLIP_PROCESSOR, load_folder, logits_of, rewrite_json, rewrite_tensors, save_folder
from safetensors.torch import load_file, save_file
from template_making import GEMMA, make_tokenizer
from transformers import LlavaForConditionalGeneration

from finesight.errors import ModelError
from finesight.models.convert import convert_checkpoint
from finesight.models.encoded import Encoded
from finesight.models.image_formatter import ImageFormatter
from finesight.models.load import load_model
from finesight.models.loaded import Loaded
from finesight.recipe.model import LlavaModel, TextModel
from finesight.schema import Example

Tensors = dict[str, torch.Tensor]
EMBEDDING, HEAD = "language_model.model.embed_tokens.weight", "language_model.lm_head.weight"


@pytest.fixture(scope="module")
def llama(make_model: Callable[..., Loaded], tmp_path_factory: pytest.TempPathFactory) -> tuple[Loaded, Path]:
    original = make_model("clip_vision_model", "llama")
    return original, save_folder(original, tmp_path_factory.mktemp("saved") / "llava")


@pytest.fixture(scope="module")
def gemma(make_model: Callable[..., Loaded], tmp_path_factory: pytest.TempPathFactory) -> tuple[Loaded, Path]:
    original = make_model("clip_vision_model", "gemma")
    return original, save_folder(original, tmp_path_factory.mktemp("saved") / "llava")


def copy(saved: Path, target: Path) -> Path:
    return Path(shutil.copytree(saved, target / "llava"))


def write_version(folder: Path, version: str | None) -> None:
    rewrite_json(folder / "config.json", lambda config: config.update(transformers_version=version))


# What a LLaVA-Gemma of 2024 is, in tiny.


@torch.no_grad()
def logits_as_in_2024(model: Any, single: Encoded, formatter: ImageFormatter) -> torch.Tensor:
    """Return logits as transformers 4 computed them: everything that enters a Gemma is multiplied, images included."""
    ids = torch.tensor([[*single.prefix_ids.tolist(), *single.branches[0].ids.tolist()]])
    (features,) = model.get_image_features(formatter.decode_images(single.images)).pooler_output
    entering = torch.nn.functional.embedding(ids, model.get_input_embeddings().weight)
    entering[ids == formatter.image_token_id] = features
    entering = entering * model.config.text_config.hidden_size**0.5
    hidden: torch.Tensor = model.model.language_model(inputs_embeds=entering).last_hidden_state
    logits: torch.Tensor = model.lm_head(hidden)[0]
    return logits


@pytest.fixture
def published(gemma: tuple[Loaded, Path], tmp_path: Path) -> Path:
    """The folder of a checkpoint as a person published it in 2024."""
    _, saved = gemma
    folder = copy(saved, tmp_path)
    write_version(folder, "4.39.1")
    rewrite_json(folder / "config.json", lambda config: config.pop("tie_word_embeddings", None))
    (folder / "preprocessor_config.json").write_text(json.dumps(CLIP_PROCESSOR))
    (folder / "processor_config.json").write_text(json.dumps({"processor_class": "LlavaProcessor"}))
    tokenizer = make_tokenizer("<start_of_turn>", "<end_of_turn>", template=GEMMA.removeprefix("{{ bos_token }}"))
    for file in (*folder.glob("tokenizer*"), *folder.glob("special_tokens*"), *folder.glob("chat_template*")):
        file.unlink()
    tokenizer.save_pretrained(folder)
    token = tokenizer.convert_tokens_to_ids("<image>")
    rewrite_json(folder / "config.json", lambda config: config.update(image_token_index=token))
    return folder


def test_a_llava_gemma_of_2024_sees_images_at_the_scale_it_was_tuned_with(
    published: Path, gemma: tuple[Loaded, Path], examples: tuple[Example, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    original, _ = gemma
    loaded = load_folder(published)
    assert "multiplied image features by 6.93" in " ".join(capsys.readouterr().err.split())
    formatter = loaded.formatter
    assert isinstance(formatter, ImageFormatter)
    expected = logits_as_in_2024(original.model, formatter.encode(examples[0], answered=True), formatter)
    assert torch.allclose(logits_of(loaded, examples[0]), expected, atol=1e-4)
    write_version(published, "5.4.0")
    assert (logits_of(load_folder(published), examples[0]) - expected).abs().max() > 1e-2


def test_its_template_of_strings_shows_image_and_turns(published: Path, examples: tuple[Example, ...]) -> None:
    formatter = load_folder(published).formatter
    single = formatter.encode(examples[0], answered=True)
    text = formatter.tokenizer.decode([*single.prefix_ids, *single.branches[0].ids])
    image = "<image>" * formatter.geometry.features
    question, answer = (turn.text for turn in examples[0].turns)
    assert text == (
        f"<start_of_turn>user\n{image}\n{question}<end_of_turn>\n<start_of_turn>model\n{answer}<end_of_turn>\n"
    )


@pytest.mark.parametrize(("kind", "version"), [("gemma", "5.4.0"), ("gemma", "5.23.0"), ("llama", "4.39.1")])
def test_what_needs_no_other_scale_is_left_alone(
    kind: str, version: str, tmp_path: Path, request: pytest.FixtureRequest, examples: tuple[Example, ...]
) -> None:
    original, saved = request.getfixturevalue(kind)
    folder = copy(saved, tmp_path)
    write_version(folder, version)
    assert torch.equal(logits_of(load_folder(folder), examples[0]), logits_of(original, examples[0]))


def test_a_gemma_whose_scale_is_not_known_is_refused(gemma: tuple[Loaded, Path], tmp_path: Path) -> None:
    folder = copy(gemma[1], tmp_path)
    rewrite_json(folder / "config.json", lambda config: config.pop("transformers_version"))
    with pytest.raises(ModelError, match="does not say which transformers wrote it") as caught:
        load_folder(folder)
    assert "transformers_version" in caught.value.hint


# Names of tensors.


def spelled(name: str, *, whole: bool, encoder: str) -> str:
    """Return a tensor's name in another generation of transformers; `whole` puts `model.` before the parts."""
    part, _, rest = name.partition(".")
    if part == "vision_tower":
        rest = encoder + rest.removeprefix("vision_model.")
    if whole:
        return (
            name.removeprefix("language_model.")
            if rest.startswith("lm_head")
            else f"model.{part}." + (rest.removeprefix("model.") if part == "language_model" else rest)
        )
    return f"{part}.{rest}"


@pytest.mark.parametrize("encoder", ["vision_model.", ""])
@pytest.mark.parametrize("whole", [False, True])
def test_every_generation_of_names_is_read(
    whole: bool, encoder: str, llama: tuple[Loaded, Path], tmp_path: Path, examples: tuple[Example, ...]
) -> None:
    original, saved = llama
    folder = copy(saved, tmp_path)
    tensors = load_file(folder / "model.safetensors")
    renamed = {spelled(name, whole=whole, encoder=encoder): tensor for name, tensor in tensors.items()}
    assert any(name.startswith("model.vision_tower" if whole else "language_model.model.") for name in renamed)
    save_file(renamed, folder / "model.safetensors", metadata={"format": "pt"})
    assert torch.equal(logits_of(load_folder(folder), examples[0]), logits_of(original, examples[0]))


# Heads.


def head_alone(tensors: Tensors) -> None:
    tensors[HEAD] = tensors.pop(EMBEDDING)


def head_beside(tensors: Tensors) -> None:
    tensors[HEAD] = tensors[EMBEDDING].clone()


@pytest.mark.parametrize("change", [lambda tensors: None, head_beside, head_alone], ids=["left out", "beside", "alone"])
def test_a_tied_head_may_be_in_the_file_or_not(
    change: Callable[[Tensors], None], gemma: tuple[Loaded, Path], tmp_path: Path, examples: tuple[Example, ...]
) -> None:
    original, saved = gemma
    folder = copy(saved, tmp_path)
    rewrite_tensors(folder, change)
    loaded = load_folder(folder)
    assert loaded.model.lm_head.weight is loaded.model.get_input_embeddings().weight
    assert torch.equal(logits_of(loaded, examples[0]), logits_of(original, examples[0]))


def test_a_head_that_is_tied_and_yet_another_is_refused(gemma: tuple[Loaded, Path], tmp_path: Path) -> None:
    folder = copy(gemma[1], tmp_path)
    rewrite_tensors(folder, lambda tensors: tensors.update({HEAD: tensors[EMBEDDING] + 1}))
    with pytest.raises(ModelError, match="tie_word_embeddings") as caught:
        load_folder(folder)
    assert "tie_word_embeddings: false" in caught.value.hint
    rewrite_json(folder / "config.json", untie)
    loaded = load_folder(folder)
    assert torch.equal(loaded.model.lm_head.weight, loaded.model.get_input_embeddings().weight + 1)


def untie(config: dict[str, Any]) -> None:
    config["tie_word_embeddings"] = False
    config["text_config"]["tie_word_embeddings"] = False


def test_a_head_of_its_own_that_is_not_in_the_file_is_refused(llama: tuple[Loaded, Path], tmp_path: Path) -> None:
    folder = copy(llama[1], tmp_path)
    rewrite_tensors(folder, lambda tensors: tensors.pop(HEAD))
    with pytest.raises(ModelError, match=r"missing: 1 \(lm_head\.weight\)"):
        load_folder(folder)


def test_a_phi_without_a_bias_in_its_head_answers_as_transformers_own_class(
    make_model: Callable[..., Loaded], tmp_path: Path, examples: tuple[Example, ...]
) -> None:
    original = make_model("clip_vision_model", "phi")
    with torch.no_grad():
        original.model.lm_head.bias.normal_()
    folder = save_folder(original, tmp_path / "llava")
    assert torch.equal(logits_of(load_folder(folder), examples[0]), logits_of(original, examples[0]))
    rewrite_tensors(folder, lambda tensors: tensors.pop("language_model.lm_head.bias"))
    loaded = load_folder(folder)
    assert not loaded.model.lm_head.bias.any()
    own = replace(loaded, model=LlavaForConditionalGeneration.from_pretrained(folder))
    assert torch.equal(logits_of(loaded, examples[0]), logits_of(own, examples[0]))


# Files of weights.


def test_shards_in_float32_come_as_bfloat16(llama: tuple[Loaded, Path], tmp_path: Path) -> None:
    original, saved = llama
    folder = copy(saved, tmp_path)
    original.model.save_pretrained(folder, max_shard_size="100KB")
    (folder / "model.safetensors").unlink()
    assert len(list(folder.glob("model-*.safetensors"))) > 2
    for name, parameter in load_folder(folder, dtype="bfloat16").model.named_parameters():
        assert torch.equal(parameter, original.model.get_parameter(name).bfloat16()), name


def test_a_shard_that_is_missing_is_named(llama: tuple[Loaded, Path], tmp_path: Path) -> None:
    original, saved = llama
    folder = copy(saved, tmp_path)
    original.model.save_pretrained(folder, max_shard_size="100KB")
    (folder / "model.safetensors").unlink()
    lost = sorted(folder.glob("model-*.safetensors"))[1]
    lost.unlink()
    with pytest.raises(ModelError, match=lost.name):
        load_folder(folder)


class Malicious:
    """Touches a file when it is unpickled."""

    def __init__(self, file: Path) -> None:
        self.file = file

    def __reduce__(self) -> tuple[Callable[[str], int], tuple[str]]:
        return os.system, (f"touch {self.file}",)


def test_a_pickle_that_would_run_code_is_refused(llama: tuple[Loaded, Path], tmp_path: Path) -> None:
    folder = copy(llama[1], tmp_path)
    torch.save(
        {**load_file(folder / "model.safetensors"), "x": Malicious(tmp_path / "ran")}, folder / "pytorch_model.bin"
    )
    (folder / "model.safetensors").unlink()
    with pytest.raises(ModelError, match=r"would run \w+\.system when it is opened"):
        load_folder(folder)
    assert not (tmp_path / "ran").exists()


# Adapters.


def write_adapter(folder: Path) -> None:
    folder.mkdir(exist_ok=True)
    adapter = {"peft_type": "LORA", "base_model_name_or_path": "owner/base", "r": 2, "target_modules": ["q_proj"]}
    (folder / "adapter_config.json").write_text(json.dumps(adapter))
    save_file({"base_model.model.x.lora_A.weight": torch.zeros(2, 2)}, folder / "adapter_model.safetensors")


@pytest.mark.parametrize(
    "spec",
    [LlavaModel(kind="llava", name_or_path="model"), TextModel(kind="text", name_or_path="model")],
    ids=["llava", "text"],
)
def test_an_adapter_alone_is_named_as_one(spec: LlavaModel | TextModel, tmp_path: Path) -> None:
    write_adapter(tmp_path / "model")
    with pytest.raises(ModelError, match=r"a LoRA adapter alone, without the model .*\(owner/base\)") as caught:
        load_model(spec, data_root=tmp_path)
    assert "merge" in caught.value.hint


def test_an_adapter_beside_weights_is_not_added_to_them_in_silence(llama: tuple[Loaded, Path], tmp_path: Path) -> None:
    folder = copy(llama[1], tmp_path)
    write_adapter(folder)
    with pytest.raises(ModelError, match=r"a LoRA adapter .* beside weights") as caught:
        load_folder(folder)
    assert "adapter_config.json" in caught.value.hint


# The hub.


class NoSuchRevision(BaseHTTPRequestHandler):
    """A hub that knows the repository, and not the revision."""

    def do_GET(self) -> None:
        self.send_response(404)
        self.send_header("X-Error-Code", "RevisionNotFound")
        self.send_header("Content-Length", "0")
        self.end_headers()

    do_HEAD = do_GET

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), NoSuchRevision)
    Thread(target=server.serve_forever, daemon=True).start()
    address = f"http://127.0.0.1:{server.server_port}"
    monkeypatch.setattr(huggingface_hub.constants, "ENDPOINT", address)
    monkeypatch.setattr(
        huggingface_hub.constants, "HUGGINGFACE_CO_URL_TEMPLATE", address + "/{repo_id}/resolve/{revision}/{filename}"
    )
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", False)
    yield
    server.shutdown()
    server.server_close()


@pytest.mark.usefixtures("hub")
def test_a_revision_that_is_not_there_is_named(tmp_path: Path) -> None:
    spec = LlavaModel(kind="llava", name_or_path="owner/name", revision="v9")
    with pytest.raises(ModelError, match=r"owner/name \(revision v9\): no model can be found there \(v9 is not"):
        load_model(spec, data_root=tmp_path)


@pytest.mark.usefixtures("hub")
def test_converting_names_a_revision_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"owner/name \(revision v9\): cannot be downloaded"):
        convert_checkpoint("owner/name", tmp_path / "safe", revision="v9")
    assert not (tmp_path / "safe").exists()
