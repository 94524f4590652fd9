"""Answers in any script, however they are typed: scored as what a reader sees, and never as their neighbour's."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from finesight.evaluate.comparison import compare
from finesight.evaluate.metrics.metrics import METRICS
from finesight.evaluate.predictions import read_predictions
from finesight.rundir import write_records
from finesight.schema import Record

LONG = "a brown dog " * 834
TYPED = {
    # what was said, and the right answer as another would type it
    "Russian": ("чёрный кот", "чёрный кот"),
    "Greek": ("γάτα και σκύλος", "γάτα και σκύλος"),
    "decomposed accent": ("cafe\u0301 au lait", "caf\u00e9 au lait"),
    "decomposed ё": ("е\u0308лка в лесу", "ёлка в лесу"),
    "full-width digits": ("\uff11\uff12 cups", "12 cups"),
    "emoji": ("a smile 👍🏽", "a smile 👍🏽"),
    "right to left": ("שלום עולם טוב", "שלום עולם טוב"),
    "marks of direction": ("\u202bחתול שחור\u202c", "חתול שחור"),
    "10,008 characters": (LONG, LONG.strip()),
    "carriage return": ("left\rlung", "left lung"),
    "line separator": ("upper\u2028right lobe", "upper right lobe"),
    "next line": ("no\u0085effusion", "no effusion"),
}
BY_ITS_OFFICIAL_RULE = {
    "decomposed accent", "decomposed ё", "full-width digits", "marks of direction", "carriage return",
    "line separator", "next line",
}  # fmt: skip
NEED_JAVA = ("bleu_1", "bleu_2", "bleu_3", "bleu_4", "rouge_l", "cider", "meteor")
TAKEN_AS_TYPED = {
    "gqa_ru": BY_ITS_OFFICIAL_RULE,
    "vqa_accuracy_official": BY_ITS_OFFICIAL_RULE,
    **{name: {"full-width digits"} for name in NEED_JAVA},
    **{name: {"full-width digits", "marks of direction"} for name in ("sacrebleu", "chrf")},
}
"""Which differences of typing count for a metric: published figures are compared with no others."""
METRICS_OF_TEXT = (
    "exact_match", "gqa_ru", "lemma_match", "token_f1", "vqa_accuracy", "vqa_accuracy_official", "sacrebleu", "chrf",
    *NEED_JAVA,
)  # fmt: skip


def write(path: Path, said: dict[str, str]) -> Path:
    write_records(path, [Record(name, said[name], (right,)) for name, (_, right) in TYPED.items() if name in said])
    return path


def answers(path: Path) -> tuple[Path, Path, Path]:
    """Write three files: answers as they were typed, those typed as the right ones are, and each the next one's."""
    names = list(TYPED)
    following = dict(zip(names, names[1:] + names[:1], strict=True))
    return (
        write(path / "typed.jsonl", {name: said for name, (said, _) in TYPED.items()}),
        write(path / "plain.jsonl", {name: right for name, (_, right) in TYPED.items()}),
        write(path / "shifted.jsonl", {name: TYPED[following[name]][0] for name in names}),
    )


@pytest.mark.parametrize("name", METRICS_OF_TEXT)
def test_a_metric_sees_what_a_reader_sees(tmp_path: Path, name: str) -> None:
    if name in NEED_JAVA:
        pytest.importorskip("pycocoevalcap")
        if shutil.which("java") is None:
            pytest.skip("java is not installed")
    # METEOR needs minutes to align thousands of words with as many; test_meteor.py has a long answer alone.
    cases = [case for case in TYPED if name != "meteor" or case != "10,008 characters"]
    typed, plain, shifted = (
        [record for record in read_predictions(path) if record.id in cases] for path in answers(tmp_path)
    )
    if name == "meteor":
        shifted = [record for record in shifted if len(record.prediction) < len(LONG)]
    # All at once: CIDEr weighs words by the others, and METEOR reads its tables at every start.
    items = METRICS[name].measure([*typed, *plain, *shifted]).items
    of_typed, of_plain, of_shifted = np.split(items, [len(typed), len(typed) + len(plain)])
    unequal = {case for case, one, other in zip(cases, of_typed, of_plain, strict=True) if not np.isclose(one, other)}
    assert unequal == TAKEN_AS_TYPED.get(name, set())
    right = dict(zip((record.id for record in plain), of_plain, strict=True))
    assert all(score < 0.7 * right[record.id] for record, score in zip(shifted, of_shifted, strict=True))


def test_files_with_such_answers_are_compared_line_by_line(tmp_path: Path) -> None:
    typed, _, shifted = answers(tmp_path)
    (task,) = compare([str(shifted), str(typed)])["tasks"]
    assert {name: score["right"] for name, score in task["scores"].items()} == {
        "shifted.jsonl": 0, "typed.jsonl": len(TYPED),
    }  # fmt: skip
    assert task["differences"]["typed.jsonl"]["better"] == len(TYPED)
