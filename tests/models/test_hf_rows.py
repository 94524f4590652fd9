"""`kind: hf`: shared rows, rows of their own, and answers in both, against each family's own code."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from finesight.branches.contexts import share_contexts
from finesight.branches.images import image_arguments
from finesight.branches.layout import lay_out
from finesight.branches.loss import learned_losses
from finesight.evaluate.engine import Engine
from finesight.models.encoded import UNLEARNED, Encoded
from finesight.models.hf.formatter import HfFormatter
from finesight.models.loaded import Loaded
from finesight.schema import Example, Sampling, Turn
from finesight.train.checks.processor import TOLERANCE_NATS, check_image_tokens, check_rows, difference_of_rows
from hf_making import HIGH, QUESTIONS, SAMPLES, WIDE, ask, load_hf_folder, save_hf

OWN = {"paligemma", "gemma3"}
SAMPLING = Sampling(temperature=1.0, top_p=0.9, seed=3)
OPTIONS = ("red", "dark blue", "seven", "how many things are there?", "yes")


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Loaded]:
    root = tmp_path_factory.mktemp("hf")
    return {model_type: load_hf_folder(save_hf(root / model_type, model_type)) for model_type in SAMPLES}


def formatter_of(loaded: Loaded) -> HfFormatter:
    assert isinstance(loaded.formatter, HfFormatter)
    return loaded.formatter


def losses(loaded: Loaded, rows: Sequence[Encoded]) -> torch.Tensor:
    layout = lay_out(rows, padding_id=loaded.formatter.tokenizer.pad_token_id)
    pixels = loaded.formatter.pixels([image for row in rows for image in row.images])
    return learned_losses(loaded.model, layout, pixels, torch.float32)


def gradient(loaded: Loaded, loss: torch.Tensor) -> torch.Tensor:
    loaded.model.zero_grad()
    loss.backward()
    return torch.cat([p.grad.flatten() for p in loaded.model.parameters() if p.grad is not None])


def row_of(loaded: Loaded, single: Encoded) -> dict[str, torch.Tensor]:
    """Return a question as the family's own processor would give it to the model, by itself."""
    own = formatter_of(loaded).in_own_row(single)
    ids = np.concatenate([own.prefix_ids, own.branches[0].ids])
    inputs = {"input_ids": ids, "attention_mask": np.ones_like(ids), **(own.row_inputs or {})}
    tensors = {name: torch.from_numpy(values).long()[None] for name, values in inputs.items()}
    return {**tensors, **image_arguments(loaded.model, loaded.formatter.pixels(own.images))}


# Learning.


@pytest.mark.parametrize("model_type", SAMPLES)
def test_rows_give_what_the_family_computes_for_each_question(model_type: str, models: dict[str, Loaded]) -> None:
    loaded = models[model_type]
    singles = [loaded.formatter.encode(example, answered=True) for example in QUESTIONS]
    rows = share_contexts(singles)
    assert [len(row.branches) for row in rows] == ([1, 1, 1, 1] if model_type in OWN else [2, 1, 1])
    together = losses(loaded, rows)
    apart = []
    for single in singles:
        labels = np.concatenate([np.full_like(single.prefix_ids, UNLEARNED), single.branches[0].labels])
        wanted = torch.from_numpy(labels).long()[1:]
        logits = loaded.model(**row_of(loaded, single), use_cache=False).logits[0, :-1]
        apart.append(torch.nn.functional.cross_entropy(logits[wanted >= 0], wanted[wanted >= 0], reduction="none"))
    assert torch.allclose(together, torch.cat(apart), atol=1e-5)
    ours, theirs = gradient(loaded, together.sum()), gradient(loaded, torch.cat(apart).sum())
    assert (ours - theirs).norm() <= 1e-5 * theirs.norm()


def test_an_image_and_its_question_see_each_other_in_paligemma(models: dict[str, Loaded]) -> None:
    loaded = models["paligemma"]
    single = loaded.formatter.encode(QUESTIONS[0], answered=True)
    assert single.row_inputs is not None
    causal = replace(single, row_inputs={"token_type_ids": np.ones_like(single.row_inputs["token_type_ids"])})
    assert (losses(loaded, [single]) - losses(loaded, [causal])).abs().max() > 0.01


def test_a_shared_family_may_have_rows_of_its_own(models: dict[str, Loaded]) -> None:
    loaded = load_hf_folder_of(models["qwen2_5_vl"], rows="own")
    singles = [loaded.formatter.encode(example, answered=True) for example in QUESTIONS]
    assert [len(row.branches) for row in share_contexts(singles)] == [1, 1, 1, 1]
    shared = share_contexts(models["qwen2_5_vl"].formatter.encode(example, answered=True) for example in QUESTIONS)
    assert torch.allclose(losses(loaded, singles), losses(models["qwen2_5_vl"], shared), atol=1e-5)


def load_hf_folder_of(loaded: Loaded, **settings: str) -> Loaded:
    """Return the same checkpoint loaded anew, with some settings."""
    return load_hf_folder(Path(loaded.model.name_or_path), **settings)


# Answering.


def answers(engine: Engine, examples: Sequence[Example] = QUESTIONS, **how: object) -> dict[str, str]:
    asked = [engine.loaded.formatter.encode(example, answered=False) for example in examples]
    batches = engine.answer(asked, **{"max_new_tokens": 8, **how})  # type: ignore[arg-type]
    return {prediction.id: prediction.text for batch in batches for prediction in batch}


def generated(loaded: Loaded, example: Example, max_new_tokens: int = 8) -> str:
    """Return what `generate` answers to one question, in no batch."""
    formatter = formatter_of(loaded)
    row = row_of(loaded, formatter.encode(example, answered=False))
    with torch.inference_mode():
        ids = loaded.model.generate(
            **row,
            max_new_tokens=max_new_tokens,
            do_sample=False,
            suppress_tokens=[formatter.placeholder_id],
            eos_token_id=sorted(formatter.end_ids),
            pad_token_id=formatter.tokenizer.pad_token_id,
        )
    return formatter.decode(ids[0, row["input_ids"].shape[1] :].tolist())


@pytest.mark.parametrize("model_type", SAMPLES)
def test_answers_are_those_of_generate(model_type: str, models: dict[str, Loaded]) -> None:
    loaded = models[model_type]
    given = answers(Engine(loaded))
    assert given == {example.id: generated(loaded, example) for example in QUESTIONS}
    if model_type != "gemma3":  # whose random weights end every answer at once
        assert len(set(given.values())) == len(QUESTIONS), "answers that are all alike prove little"


@pytest.mark.parametrize("model_type", ["paligemma", "qwen2_5_vl"])
def test_answers_depend_neither_on_the_batch_nor_on_how_rows_are_laid_out(
    model_type: str, models: dict[str, Loaded]
) -> None:
    loaded = load_hf_folder_of(models[model_type], rows="own")
    for how in ({}, {"sampling": SAMPLING}, {"stop": ("r",)}, {"max_new_tokens": 1}):
        together = answers(Engine(loaded), **how)
        assert together == answers(Engine(loaded, max_tokens=1), **how)
        assert together == answers(Engine(models[model_type]), **how)
    assert answers(Engine(loaded), sampling=SAMPLING) != answers(Engine(loaded))


def test_an_answer_ends_before_a_stop_text(models: dict[str, Loaded]) -> None:
    loaded = models["paligemma"]
    plain = answers(Engine(loaded))
    stop = next(text[2] for text in plain.values() if len(text) > 3)
    stopped = answers(Engine(loaded), stop=(stop,))
    assert stopped == {name: text.split(stop)[0].strip() for name, text in plain.items()}
    assert stopped != plain


def test_what_a_checkpoint_recommends_for_its_chat_is_not_followed(models: dict[str, Loaded]) -> None:
    loaded = load_hf_folder_of(models["paligemma"])
    plain = answers(Engine(loaded))
    recommended = loaded.model.generation_config
    recommended.repetition_penalty, recommended.no_repeat_ngram_size = 50.0, 1
    assert {example.id: generated(loaded, example) for example in QUESTIONS} != plain
    assert answers(Engine(loaded)) == plain
    assert loaded.model.generation_config is recommended


def test_an_option_is_as_likely_as_in_a_row_of_its_own(models: dict[str, Loaded]) -> None:
    loaded = models["paligemma"]
    asked = [replace(example, choices=OPTIONS) for example in QUESTIONS]
    engine = Engine(loaded)
    questions = [loaded.formatter.encode(example, answered=False) for example in asked]
    chosen = {prediction.id: prediction.text for batch in engine.choose(questions) for prediction in batch}
    for example in asked:
        likelihoods = {}
        for option in OPTIONS:
            told = replace(example, turns=(example.turns[0], Turn("assistant", option, learned=True)))
            weighed = losses(loaded, [loaded.formatter.encode(told, answered=True)]).detach()
            likelihoods[option] = -float(weighed.mean())
        assert chosen[example.id] == max(OPTIONS, key=likelihoods.__getitem__)
    scored = [score for batch in engine.score_references(questions) for score in batch]
    assert {score.id for score in scored} == {example.id for example in asked}


@pytest.mark.parametrize("model_type", ["paligemma", "smolvlm"])
def test_without_its_image_a_question_is_answered_from_itself_alone(model_type: str, models: dict[str, Loaded]) -> None:
    engine = Engine(models[model_type], without_context=True)
    same = [ask(str(number), "what is it?", "red", image) for number, image in enumerate((WIDE, HIGH))]
    assert len(set(answers(engine, same).values())) == 1
    assert len(set(answers(Engine(models[model_type]), same).values())) == 2


# What `check` says.


@pytest.mark.parametrize("model_type", SAMPLES)
def test_check_says_how_questions_stand_in_rows(model_type: str, models: dict[str, Loaded]) -> None:
    loaded = models[model_type]
    assert check_image_tokens(loaded, formatter_of(loaded)).status == "pass"
    check = check_rows(loaded, formatter_of(loaded))
    assert check.status == "pass"
    said = "each question is a row of its own: " if model_type in OWN else "questions share their image ("
    assert check.message.startswith(said)


def test_check_says_that_the_recipe_has_rows_of_their_own(models: dict[str, Loaded]) -> None:
    loaded = load_hf_folder_of(models["smolvlm"], rows="own")
    check = check_rows(loaded, formatter_of(loaded))
    assert (check.status, check.message) == ("pass", "each question is a row of its own: as model.rows says")


def test_check_finds_positions_that_are_silently_off(models: dict[str, Loaded]) -> None:
    """1-axis positions are taken by Qwen2.5-VL without a word."""
    loaded = load_hf_folder_of(models["qwen2_5_vl"])
    formatter = formatter_of(loaded)
    assert difference_of_rows(loaded, formatter) < TOLERANCE_NATS[torch.float32]
    formatter.family = replace(formatter.family, has_grid_positions=False)
    check = check_rows(loaded, formatter)
    assert check.status == "failure"
    assert "nats apart" in check.message
    assert "model.rows: own" in check.hint


@pytest.mark.parametrize("model_type", sorted(OWN))
def test_check_finds_a_family_that_cannot_share(model_type: str, models: dict[str, Loaded]) -> None:
    loaded = load_hf_folder_of(models[model_type])
    formatter = formatter_of(loaded)
    formatter.own_rows = False
    formatter.family = replace(formatter.family, shares_contexts=True)
    assert check_rows(loaded, formatter).status == "failure"


def test_check_finds_tokens_that_do_not_fit_the_features(models: dict[str, Loaded]) -> None:
    loaded = load_hf_folder_of(models["smolvlm"])
    formatter = formatter_of(loaded)
    formatter.processor.processor.image_seq_len = 5
    formatter._expansions.clear()
    formatter._expansions_by_size.clear()
    check = check_image_tokens(loaded, formatter)
    assert check.status == "failure"
    assert "the processor puts 25 image tokens into the text, the model makes 20 features" in check.message
