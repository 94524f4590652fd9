"""CLIPScore, RefCLIPScore and CLIP's logit: the formulas worked by hand, and a small CLIP with random weights."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
import torch
from PIL import Image
from tokenizers.pre_tokenizers import ByteLevel
from transformers import CLIPConfig, CLIPImageProcessorPil, CLIPModel, CLIPTokenizer

from finesight.errors import DataError
from finesight.models.clip_scores import Clip, clip_score, embed_images, embed_texts, ref_clip_score, score_captions

CAPTIONS = ("a red dog", "", "Красный дом у реки", "dog " * 2500)
REFERENCES = (("a red dog", "a dog"), ("nothing",), (), ("dog dog", "a cat", "dog " * 2500))
LENGTH_TOKENS = 24


def _pictures() -> list[Image.Image]:
    generator = np.random.default_rng(1)
    return [Image.fromarray(generator.integers(0, 255, (40, 30 + side, 3), dtype=np.uint8)) for side in range(4)]


def _tokenizer() -> CLIPTokenizer:
    # The 256 bytes as CLIP writes them, within a word and at its end.
    letters = sorted(ByteLevel.alphabet())
    words = [*letters, *(f"{letter}</w>" for letter in letters), "<|startoftext|>", "<|endoftext|>"]
    return CLIPTokenizer(vocab={word: number for number, word in enumerate(words)}, merges=[])


@pytest.fixture(scope="module")
def clip() -> Clip:
    tokenizer = _tokenizer()
    sizes = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4}
    ends = {"bos_token_id": tokenizer.bos_token_id, "eos_token_id": tokenizer.eos_token_id}
    text = {**sizes, "vocab_size": len(tokenizer), "max_position_embeddings": LENGTH_TOKENS, **ends}
    vision = {**sizes, "image_size": 32, "patch_size": 8}
    torch.manual_seed(1)
    model = CLIPModel(CLIPConfig(text_config=text, vision_config=vision, projection_dim=16)).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim >= 2:
                parameter.normal_(std=1 / parameter.shape[-1] ** 0.5)
        model.logit_scale.fill_(np.log(14.0))
    side = {"height": 32, "width": 32}
    return Clip(model, CLIPImageProcessorPil(size=side, crop_size=side), tokenizer)


def test_clip_score_of_known_cosines() -> None:
    assert clip_score(np.array([0.3, 1.0, 0.0, -0.2])) == pytest.approx([0.75, 2.5, 0.0, 0.0])


@pytest.mark.parametrize(
    ("score", "cosine", "expected"),
    [
        (0.75, 0.75, 0.75),
        (0.75, 0.25, 2 * 0.75 * 0.25 / 1.0),
        (2.5, 1.0, 5 / 3.5),
        (0.0, 0.9, 0.0),
        (0.8, 0.0, 0.0),
        (0.8, -0.5, 0.0),
        (0.0, 0.0, 0.0),
        (0.8, np.nan, np.nan),
        # The published RefCLIPScore of the two good captions of the CLIPScore repository, from its CLIPScore.
        (0.8584, 0.83201, 0.8450),
    ],
)
def test_ref_clip_score_of_known_cosines(score: float, cosine: float, expected: float) -> None:
    assert ref_clip_score(np.array([score]), np.array([cosine])) == pytest.approx([expected], abs=1e-4, nan_ok=True)


def test_the_logit_is_the_models_own(clip: Clip) -> None:
    pictures = _pictures()
    scores = score_captions(clip, pictures, CAPTIONS, REFERENCES)
    tokens = clip.tokenizer(
        list(CAPTIONS), padding=True, truncation=True, max_length=LENGTH_TOKENS, return_tensors="pt"
    )
    pixels = clip.image_processor(images=pictures, return_tensors="pt")
    with torch.no_grad():
        own = clip.model(**tokens, **pixels).logits_per_image.diagonal()
    assert scores.clip_logit == pytest.approx(own.tolist(), rel=1e-5, abs=1e-5)
    assert np.ptp(scores.clip_logit) > 0.1  # the random model tells captions apart


def test_the_scores_follow_from_the_cosines(clip: Clip) -> None:
    pictures = _pictures()
    scores = score_captions(clip, pictures, CAPTIONS, REFERENCES)
    for number, (picture, caption, references) in enumerate(zip(pictures, CAPTIONS, REFERENCES, strict=True)):
        image = embed_images(clip, [picture])[0]
        said = embed_texts(clip, [f"A photo depicts {caption}"])[0]
        first = 2.5 * max(float(image @ said), 0)
        assert scores.clip_score[number] == pytest.approx(first, abs=1e-6)
        if not references:
            assert np.isnan(scores.ref_clip_score[number])
            continue
        best = max(float(embed_texts(clip, [f"A photo depicts {text}"])[0] @ said) for text in references)
        both = first + max(best, 0)
        expected = 2 * first * max(best, 0) / both if both else 0.0
        assert scores.ref_clip_score[number] == pytest.approx(expected, abs=1e-6)
    assert (scores.clip_score > 0).any()


def test_batches_change_nothing_and_hold_few_images(clip: Clip) -> None:
    opened = 0

    def one_by_one() -> Iterator[Image.Image]:
        nonlocal opened
        for picture in _pictures():
            opened += 1
            yield picture

    together = score_captions(clip, _pictures(), CAPTIONS, REFERENCES)
    single = score_captions(clip, one_by_one(), CAPTIONS, REFERENCES, batch_size=1)
    assert opened == 4
    for name in ("clip_score", "ref_clip_score", "clip_logit"):
        assert vars(single)[name] == pytest.approx(vars(together)[name], abs=1e-5, nan_ok=True)


def test_a_long_caption_is_cut_at_the_models_length(clip: Clip) -> None:
    exact, longer = embed_texts(clip, ["dog " * 2500, "dog " * 2500 + "cat"])
    assert exact == pytest.approx(longer)
    assert np.linalg.norm(exact) == pytest.approx(1.0)


def test_no_captions_have_no_scores(clip: Clip) -> None:
    assert score_captions(clip, [], [], []).clip_score.shape == (0,)


@pytest.mark.parametrize(("images", "captions", "references"), [(1, 2, 2), (2, 2, 1), (2, 1, 2)])
def test_unequal_numbers_are_refused(clip: Clip, images: int, captions: int, references: int) -> None:
    with pytest.raises(DataError, match=f"{images} images for {captions} captions with {references} sets"):
        score_captions(clip, _pictures()[:images], ["a dog"] * captions, [("a dog",)] * references)
