"""What every family must do: CLIP and SigLIP encoders or none, every type of language model, sdpa and eager."""

from __future__ import annotations

import itertools
import json
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import LlavaProcessor

from finesight.branches.answer import answer_branches
from finesight.branches.contexts import share_contexts
from finesight.branches.images import image_arguments
from finesight.branches.layout import lay_out
from finesight.branches.loss import learned_losses
from finesight.models.encoded import UNLEARNED, Encoded
from finesight.models.hf.formatter import HfFormatter
from finesight.models.loaded import Loaded
from finesight.models.parts import bare_parameters
from finesight.opening import keep_model
from finesight.recipe.recipe import Stage
from finesight.schema import PART_NAMES, Example
from finesight.tune.prepare import merge_adapters, prepare_model
from finesight.tune.weights import save_trained

Family = tuple[str | None, str]
"""A vision encoder, or None of a text model, and a language model."""
ENCODERS = ("clip_vision_model", "siglip_vision_model")
SEEING: list[Family] = list(itertools.product(ENCODERS, ("llama", "gemma", "phi", "qwen2")))
READING: list[Family] = [(None, "llama"), (None, "gemma"), (None, "gemma2")]
CROSSED: list[Family] = [("clip_vision_model", "gemma"), ("siglip_vision_model", "llama")]
"""Every encoder once, for what is the same whichever come together."""
CROSSED_TOO: list[Family] = [("clip_vision_model", "qwen2"), ("siglip_vision_model", "phi")]
Case = tuple[Family, str]
"""A family, and how its attention is computed."""
SEEING_CASES: list[Case] = [
    *itertools.product(itertools.product(ENCODERS, ("llama", "gemma")), ("sdpa", "eager")),
    *zip(SEEING[2:4] + SEEING[6:8], ("sdpa", "eager", "eager", "sdpa"), strict=True),
    (("clip_vision_model", "gemma2"), "eager"),
]
CASES = [*SEEING_CASES, *itertools.product(READING[:2], ("sdpa", "eager")), ((None, "gemma2"), "eager")]
PACKED: list[Family] = [("nf4", "llama"), ("nf4", "gemma2")]
if find_spec("bitsandbytes") is not None:
    CASES += zip(PACKED, ("sdpa", "eager"), strict=True)
MOONDREAM: list[Family] = [("moondream", "2024"), ("moondream", "2025")]
CASES += itertools.product(MOONDREAM, ("sdpa", "eager"))
HF: list[Family] = [("hf", "qwen2_5_vl"), ("hf", "smolvlm")]
"""One family with positions of its own, and one without."""
CASES += itertools.product(HF, ("sdpa", "eager"))
LORA = {"method": "lora", "r": 2, "lora_alpha": 8}
Mixture = tuple[str, str, str]
"""How vision, projector and language are tuned."""
FEW_MIXTURES: list[Mixture] = [("lora", "full", "lora"), ("full", "frozen", "lora"), ("frozen", "lora", "full")]
READING_MIXTURES: list[Mixture] = [("frozen", "frozen", "lora"), ("frozen", "frozen", "full")]
MIXTURES: list[Mixture] = [
    mixture for mixture in itertools.product(("frozen", "lora", "full"), repeat=3) if {*mixture} != {"frozen"}
]


@pytest.fixture(scope="module", params=CASES, ids=str)
def loaded(
    request: pytest.FixtureRequest, make_model: Callable[..., Loaded], enliven: Callable[[Loaded], Loaded]
) -> Loaded:
    (vision, language), attention = request.param
    return enliven(make_model(vision, language, attn_implementation=attention))


def told(example: Example) -> Example:
    """Return the example with a text in place of its picture, whose beginning all texts share."""
    if not example.images:
        return example
    (image,) = example.images
    return replace(example, images=(), context=f"<svg>\n<rect class={image.name!r}/>\n</svg>\n")


def encode(loaded: Loaded, examples: Sequence[Example], *, answered: bool = True) -> list[Encoded]:
    if not loaded.traits.sees_images:
        examples = [told(example) for example in examples]
    return [loaded.formatter.encode(example, answered=answered) for example in examples]


def losses(loaded: Loaded, rows: Sequence[Encoded]) -> torch.Tensor:
    layout = lay_out(rows, padding_id=loaded.formatter.tokenizer.pad_token_id)
    images = [image for row in rows for image in row.images]
    return learned_losses(loaded.model, layout, loaded.formatter.pixels(images), loaded.model.dtype)


def gradient(loaded: Loaded, loss: torch.Tensor) -> torch.Tensor:
    loaded.model.zero_grad()
    loss.backward()
    return torch.cat([p.grad.flatten() for p in loaded.model.parameters() if p.grad is not None])


def family_inputs(loaded: Loaded, single: Encoded, tokens: int) -> dict[str, torch.Tensor]:
    """Return what a row of a question and its answer so far takes beside ids and images, where we lay out none."""
    if not isinstance(loaded.formatter, HfFormatter):
        return {}
    inputs = loaded.formatter.in_own_row(single).row_inputs or {}
    return {
        name: torch.from_numpy(np.pad(values, (0, tokens - len(values)))).long()[None]
        for name, values in inputs.items()
    }


def generate_uncached(loaded: Loaded, single: Encoded, *, max_new_tokens: int) -> list[int]:
    """Greedy decoding as plainly as it can be written: the whole row anew for every token."""
    ids = [*single.prefix_ids.tolist(), *single.branches[0].ids.tolist()]
    seen = image_arguments(loaded.model, loaded.formatter.pixels(single.images))
    start = len(ids)
    while len(ids) < start + max_new_tokens and (len(ids) == start or ids[-1] not in loaded.formatter.end_ids):
        with torch.no_grad():
            own = family_inputs(loaded, single, len(ids))
            logits = loaded.model(input_ids=torch.tensor([ids]), use_cache=False, **own, **seen).logits
        if loaded.formatter.placeholder_id is not None:
            logits[..., loaded.formatter.placeholder_id] = -torch.inf
        ids.append(int(logits[0, -1].argmax()))
    return ids[start:]


def whole(single: Encoded) -> torch.Tensor:
    """Return a context with its branch as one row: int[1, tokens]."""
    return torch.from_numpy(np.concatenate([single.prefix_ids, single.branches[0].ids]).astype(np.int64))[None]


def test_generation_by_transformers_agrees(loaded: Loaded, examples: tuple[Example, ...]) -> None:
    placeholder = loaded.formatter.placeholder_id
    for single in encode(loaded, [example for example in examples if example.images], answered=False):
        ids = whole(single)
        generated = loaded.model.generate(
            input_ids=ids,
            attention_mask=torch.ones_like(ids),
            **image_arguments(loaded.model, loaded.formatter.pixels(single.images)),
            **family_inputs(loaded, single, ids.shape[1]),
            max_new_tokens=8,
            do_sample=False,
            suppress_tokens=None if placeholder is None else [placeholder],
            eos_token_id=sorted(loaded.formatter.end_ids),
            pad_token_id=loaded.formatter.tokenizer.pad_token_id,
        )[0, ids.shape[1] :].tolist()
        assert generated == generate_uncached(loaded, single, max_new_tokens=8)


def stage(vision: str, projector: str, language: str) -> Stage:
    spec = {"lora": LORA}
    tuned = {"vision": vision, "projector": projector, "language": language}
    return Stage.model_validate(
        {"tune": {part: spec.get(how, how) for part, how in tuned.items()}, "train": {"learning_rate": 1e-2}}
    )


def test_forward_and_backward_are_finite(loaded: Loaded, examples: tuple[Example, ...]) -> None:
    loss = losses(loaded, share_contexts(encode(loaded, examples)))
    assert torch.isfinite(loss).all()
    assert torch.isfinite(gradient(loaded, loss.sum())).all()


def test_parts_cover_every_parameter_exactly_once(loaded: Loaded) -> None:
    counted = [p.name for part in PART_NAMES for p in loaded.parts.parameters_of(loaded.model, part)]
    assert sorted(counted) == sorted(name for name, _ in loaded.model.named_parameters())


@pytest.mark.parametrize("loaded", SEEING_CASES, indirect=True, ids=str, scope="module")
def test_ids_equal_the_own_processor_of_the_family(loaded: Loaded, examples: tuple[Example, ...]) -> None:
    config = loaded.model.config
    clip = config.vision_config.model_type == "clip_vision_model"
    processor = LlavaProcessor(
        loaded.formatter.image_processor,
        loaded.formatter.tokenizer,
        patch_size=config.vision_config.patch_size,
        vision_feature_select_strategy=config.vision_feature_select_strategy,
        num_additional_image_tokens=int(clip),
    )
    for single, example in zip(encode(loaded, examples), examples, strict=True):
        turns = [{"role": turn.role, "content": turn.text} for turn in example.turns]
        if example.images:
            turns[0]["content"] = "<image>\n" + turns[0]["content"]
        text = loaded.formatter.tokenizer.apply_chat_template(turns, tokenize=False)
        own = processor(text=text, images=[image.open() for image in example.images] or None, add_special_tokens=False)[
            "input_ids"
        ]
        own = own[0] if isinstance(own[0], list) else own
        assert np.concatenate([single.prefix_ids, single.branches[0].ids]).tolist() == list(own)


def test_a_text_stands_before_the_first_question(loaded: Loaded, examples: tuple[Example, ...]) -> None:
    tokenizer = loaded.formatter.tokenizer
    for example in map(told, examples):
        texts = [turn.text for turn in example.turns]
        if example.context:
            texts[0] = f"{example.context.strip()}\n{texts[0]}"
        listed = isinstance(loaded.formatter, HfFormatter)
        turns = [
            {"role": turn.role, "content": [{"type": "text", "text": text}] if listed else text}
            for turn, text in zip(example.turns, texts, strict=True)
        ]
        own = tokenizer(tokenizer.apply_chat_template(turns, tokenize=False), add_special_tokens=False)["input_ids"]
        assert whole(loaded.formatter.encode(example, answered=True))[0].tolist() == own


def test_labels_decode_to_the_answers(loaded: Loaded, examples: tuple[Example, ...]) -> None:
    for single, example in zip(encode(loaded, examples), examples, strict=True):
        (branch,) = single.branches
        learned = branch.labels[branch.labels != UNLEARNED]
        answers = [turn.text for turn in example.turns if turn.learned]
        # A template may end one answer and open the next without a blank.
        assert "".join(loaded.formatter.decode(learned).split()) == "".join("".join(answers).split())
        assert int(learned[-1]) in loaded.formatter.end_ids
        assert branch.labels[0] == UNLEARNED


def test_rows_with_branches_equal_separate_rows(loaded: Loaded, examples: tuple[Example, ...]) -> None:
    singles = encode(loaded, examples)
    shared = share_contexts(singles)
    assert [len(context.branches) for context in shared] == [3, 2, 1, 1]
    together, apart = losses(loaded, shared), torch.cat([losses(loaded, [single]) for single in singles])
    assert torch.allclose(together, apart, atol=1e-5)
    ours, theirs = gradient(loaded, together.sum()), gradient(loaded, apart.sum())
    assert (ours - theirs).norm() <= 1e-5 * theirs.norm()


def test_cached_answers_equal_uncached_generation(loaded: Loaded, examples: tuple[Example, ...]) -> None:
    questions = encode(loaded, examples, answered=False)
    contexts = share_contexts(questions)
    formatter = loaded.formatter
    answers = answer_branches(
        loaded.model,
        contexts,
        formatter.pixels([image for context in contexts for image in context.images]),
        max_new_tokens=8,
        end_ids=formatter.end_ids,
        padding_id=formatter.tokenizer.pad_token_id,
        placeholder_id=formatter.placeholder_id,
        dtype=loaded.model.dtype,
        device=loaded.device,
    )
    branches = [branch for context in contexts for branch in context.branches]
    by_id = {
        branch.example.id: answer
        for branch, answer in zip(branches, itertools.chain.from_iterable(answers), strict=True)
    }
    assert len({answer.ids for answer in by_id.values()}) > 3, "answers that are all alike prove little"
    for single in questions:
        (branch,) = single.branches
        generated = generate_uncached(loaded, single, max_new_tokens=8)
        answer = by_id[branch.example.id]
        assert generated == [*answer.ids, *(generated[-1:] if answer.ended else [])]
        assert answer.ended == (generated[-1] in formatter.end_ids)


@pytest.mark.parametrize(
    ("family", "mixture"),
    [
        *itertools.product(SEEING + MOONDREAM + HF, FEW_MIXTURES),
        *itertools.product(READING, READING_MIXTURES),
    ],
    ids=str,
)
def test_a_step_changes_what_should_learn_and_nothing_else(
    family: Family,
    mixture: Mixture,
    make_model: Callable[..., Loaded],
    examples: tuple[Example, ...],
) -> None:
    loaded = make_model(*family)
    chosen = stage(*mixture)
    prepare_model(loaded, chosen.tune, chosen.train)
    with torch.no_grad():
        for parameter in bare_parameters(loaded.model):
            if ".lora_B." in parameter.name:  # at zero, lora_A has no gradient in the first step
                parameter.parameter.normal_(std=0.02)
    before = {p.name: p.parameter.detach().clone() for p in bare_parameters(loaded.model)}
    learning = {p.name for p in bare_parameters(loaded.model) if p.parameter.requires_grad}
    optimizer = torch.optim.AdamW([p for p in loaded.model.parameters() if p.requires_grad], lr=1e-2)
    losses(loaded, share_contexts(encode(loaded, examples))).sum().backward()
    optimizer.step()
    changed = {p.name for p in bare_parameters(loaded.model) if not torch.equal(before[p.name], p.parameter)}
    assert changed <= learning
    # The gradient of a key's bias is truly zero: it moves all scores of a query alike.
    assert {name for name in learning - changed if not name.endswith("k_proj.bias")} == set()
    assert learning, "nothing learned"


LOAD_AND_COMPARE = """
import json, sys, warnings
from pathlib import Path
import torch
from pydantic import TypeAdapter
from finesight.models.load import load_model
from finesight.recipe.model import Model
from finesight.tune.weights import load_parts, load_trained

torch.set_num_threads(1)  # as in the tests: sums over more threads differ in their last bits
cases = json.loads(Path(sys.argv[1]).read_text())
worst = {}
for case in cases:
    spec = TypeAdapter(Model).validate_python(case["spec"])
    loaded = load_model(spec, data_root=Path(), seed=999, saved=Path(case["kept"]))
    load_parts(loaded, Path(case["kept"]))
    load_trained(loaded, Path(case["trained"]))
    loaded.model.eval()
    inputs = torch.load(case["inputs"])
    with torch.no_grad():
        logits = loaded.model(**inputs).logits
    worst[case["name"]] = float((logits - torch.load(case["logits"])).abs().max())
print(json.dumps(worst))
"""


def test_every_mixture_is_saved_and_loaded_in_a_fresh_process(
    make_spec: Callable[..., Any], make_model: Callable[..., Loaded], examples: tuple[Example, ...], tmp_path: Path
) -> None:
    cases = []
    mixed = [
        *itertools.product(CROSSED, MIXTURES),
        *itertools.product(CROSSED_TOO + MOONDREAM + HF, FEW_MIXTURES),
        *itertools.product(READING, READING_MIXTURES),
    ]
    for (vision, language), mixture in mixed:
        loaded = make_model(vision, language)
        kept, trained = tmp_path / f"{vision}-{language}", tmp_path / f"{vision}-{language}-{'-'.join(mixture)}"
        keep_model(loaded, kept)
        chosen = stage(*mixture)
        prepare_model(loaded, chosen.tune, chosen.train)
        with torch.no_grad():
            for parameter in loaded.model.parameters():
                if parameter.requires_grad:
                    parameter.add_(torch.randn_like(parameter) * 0.05)
        save_trained(loaded, trained)
        loaded.model.eval()
        single = encode(loaded, examples)[0]
        inputs = {"input_ids": whole(single), **image_arguments(loaded.model, loaded.formatter.pixels(single.images))}
        with torch.no_grad():
            logits = loaded.model(**inputs).logits
            merge_adapters(loaded)
            merged = loaded.model(**inputs).logits
        assert torch.allclose(merged, logits, atol=1e-4), f"merging {mixture} changes the answers"
        assert torch.equal(merged.argmax(-1), logits.argmax(-1))
        torch.save(logits, trained / "logits.pt")
        torch.save(inputs, trained / "inputs.pt")
        cases.append(
            {
                "name": trained.name,
                "spec": make_spec(vision, language).model_dump(mode="json"),
                "kept": str(kept),
                "trained": str(trained),
                "inputs": str(trained / "inputs.pt"),
                "logits": str(trained / "logits.pt"),
            }
        )
    (tmp_path / "cases.json").write_text(json.dumps(cases))
    done = subprocess.run(
        [sys.executable, "-c", LOAD_AND_COMPARE, str(tmp_path / "cases.json")],
        capture_output=True,
        text=True,
        check=False,
        timeout=200,
    )
    assert done.returncode == 0, done.stderr
    worst = json.loads(done.stdout.splitlines()[-1])
    assert len(worst) == len(mixed)
    assert {name: difference for name, difference in worst.items() if difference > 1e-6} == {}
