"""CLIPScore, RefCLIPScore and CLIP's logit: the formulas worked by hand, and a small CLIP with random weights."""

from __future__ import annotations

import shutil
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest
from checkpoint_making import rewrite_tensors
from PIL import Image

from finesight.errors import DataError, ModelError
from finesight.models.clip import Clip, embed_images, embed_texts, load_clip
from finesight.models.clip_scores import CaptionScorer, clip_score, ref_clip_score

CAPTIONS = ("a red dog", "", "Красный дом у реки", "dog " * 2500)
REFERENCES = (("a red dog", "a dog"), ("nothing",), (), ("dog dog", "a cat", "dog " * 2500))
LENGTH_TOKENS = 77


@dataclass
class Noise:
    """A picture of noise that counts how often it is opened."""

    number: int
    opened: list[int] = field(default_factory=list)

    @property
    def name(self) -> str:
        return f"noise {self.number}"

    def open(self) -> Image.Image:
        self.opened.append(self.number)
        generator = np.random.default_rng(self.number)
        return Image.fromarray(generator.integers(0, 255, (40, 30 + self.number, 3), dtype=np.uint8))

    def content_hash(self) -> str:
        return self.name


PICTURES = [Noise(number) for number in range(4)]


@pytest.fixture(scope="module")
def clip(clip_folder: Path) -> Clip:
    return load_clip(str(clip_folder), None, Path())


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
    import torch

    scores = CaptionScorer(clip).score(PICTURES, CAPTIONS, REFERENCES)
    tokens = clip.tokenizer(
        list(CAPTIONS), padding=True, truncation=True, max_length=LENGTH_TOKENS, return_tensors="pt"
    )
    pixels = clip.image_processor(images=[picture.open() for picture in PICTURES], return_tensors="pt")
    with torch.no_grad():
        own = clip.model(**tokens, **pixels).logits_per_image.diagonal()
    assert scores.clip_logit == pytest.approx(own.tolist(), rel=1e-5, abs=1e-5)
    assert np.ptp(scores.clip_logit) > 0.1  # the random model tells captions apart


def test_the_scores_follow_from_the_cosines(clip: Clip) -> None:
    scores = CaptionScorer(clip).score(PICTURES, CAPTIONS, REFERENCES)
    for number, (picture, caption, references) in enumerate(zip(PICTURES, CAPTIONS, REFERENCES, strict=True)):
        image = embed_images(clip, [picture.open()])[0]
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


def test_batches_change_nothing_and_each_picture_is_opened_once(clip: Clip) -> None:
    opened: list[int] = []
    pictures = [Noise(number, opened) for number in range(4)]
    single = CaptionScorer(clip, batch_size=1)
    alone = single.score(pictures, CAPTIONS, REFERENCES)
    again = single.score(pictures[::-1], CAPTIONS[::-1], REFERENCES[::-1])
    assert opened == [0, 1, 2, 3]
    together = CaptionScorer(clip).score(PICTURES, CAPTIONS, REFERENCES)
    for name in ("clip_score", "ref_clip_score", "clip_logit", "is_cut"):
        assert vars(alone)[name] == pytest.approx(vars(together)[name], abs=1e-5, nan_ok=True)
        assert vars(again)[name][::-1] == pytest.approx(vars(alone)[name], abs=1e-12, nan_ok=True)


def test_a_long_caption_is_cut_at_the_models_length_and_told(clip: Clip) -> None:
    exact, longer = embed_texts(clip, ["dog " * 2500, "dog " * 2500 + "cat"])
    assert exact == pytest.approx(longer)
    assert np.linalg.norm(exact) == pytest.approx(1.0)
    # Begin, end and "Aphotodepicts" are 15 of the 77 tokens.
    captions = ["x" * 61, "x" * 62, "x" * 63, "dog " * 2500]
    scores = CaptionScorer(clip).score(PICTURES, captions, [("dog",)] * 4)
    assert scores.is_cut.tolist() == [False, False, True, True]
    assert scores.clip_logit[3] != 0.0


def test_no_captions_have_no_scores(clip: Clip) -> None:
    assert CaptionScorer(clip).score([], [], []).clip_score.shape == (0,)


@pytest.mark.parametrize(("images", "captions", "references"), [(1, 2, 2), (2, 2, 1), (2, 1, 2)])
def test_unequal_numbers_are_refused(clip: Clip, images: int, captions: int, references: int) -> None:
    with pytest.raises(DataError, match=f"{images} images for {captions} captions with {references} sets"):
        CaptionScorer(clip).score(PICTURES[:images], ["a dog"] * captions, [("a dog",)] * references)


def test_a_clip_is_known_by_its_weights_and_not_by_its_name(clip: Clip, clip_folder: Path, tmp_path: Path) -> None:
    shutil.copytree(clip_folder, tmp_path / "copy")
    copied = load_clip("copy", None, tmp_path).instrument
    assert (copied, copied.name) == (clip.instrument, "copy")
    rewrite_tensors(tmp_path / "copy", lambda tensors: tensors["logit_scale"].add_(0.1))
    assert load_clip("copy", None, tmp_path).instrument != copied


def test_what_is_no_clip_is_refused(clip_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(ModelError, match="openai/no-such-clip: no CLIP can be found there") as offline:
        load_clip("openai/no-such-clip", None, tmp_path)
    assert "name a folder that holds a CLIP" in offline.value.hint
    with pytest.raises(ModelError, match="no CLIP, but llava"):
        load_clip("finesight/starter", None, tmp_path)
    shutil.copytree(clip_folder, tmp_path / "half")
    rewrite_tensors(tmp_path / "half", lambda tensors: tensors.pop("text_projection.weight"))
    with pytest.raises(ModelError, match=r"missing: 1 \(text_projection.weight\)"):
        load_clip("half", None, tmp_path)
