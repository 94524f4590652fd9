"""Each metric against a table of known cases."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import get_args

import numpy as np
import pytest
from record_making import seen

from finesight.errors import UserError
from finesight.evaluate.metrics.metric import Metric
from finesight.evaluate.metrics.metrics import METRICS, metric_named
from finesight.recipe.evaluate import MetricName
from finesight.schema import Record

KNOWN_CASES: dict[str, list[tuple[str, list[str], float]]] = {
    "exact_match": [
        ("yes", ["yes"], 1),
        ("Yes.", ["yes"], 1),
        ("  YES \n", ["yes"], 1),
        ("yes", ["no"], 0),
        ("yes", ["no", "yes"], 1),
        ("yes it is", ["yes"], 0),
        ("the cat", ["cat"], 0),
        ("left   lung", ["left lung"], 1),
        ("left\u00a0lung", ["left lung"], 1),
        ("x-ray", ["xray"], 1),
        ("\u201cda\u201d", ["da"], 1),
        # Unicode
        ("ЁЖ", ["ёж"], 1),
        ("еж", ["ёж"], 0),
        ("е\u0308ж", ["ёж"], 1),
        ("caf\u00e9", ["cafe\u0301"], 1),
        ("cafe", ["caf\u00e9"], 0),
        ("\uff11\uff12", ["12"], 1),
        ("\uff21\uff22\uff23", ["abc"], 1),
        ("STRASSE", ["stra\u00dfe"], 1),
        ("\u0130", ["i\u0307"], 1),
        ("de\u00adtail", ["detail"], 1),
        # numbers
        ("2.5 cm", ["25 cm"], 0),
        ("2.5 cm.", ["2.5 cm"], 1),
        ("1/2", ["12"], 0),
        ("\u00bd", ["1\u20442"], 1),
        ("-5", ["5"], 0),
        ("\u22125", ["-5"], 1),
        ("5%", ["5"], 1),
        ("L4-5", ["L45"], 0),
        # nothing left after normalisation
        ("", [""], 1),
        ("", ["yes"], 0),
        ("   ", [""], 1),
        ("?", [""], 0),
        ("", ["\U0001f44d"], 0),
        ("\U0001f44d", ["\U0001f44d"], 1),
        ("\U0001f44d", ["\U0001f44e"], 0),
    ],
}


def test_a_recipe_can_name_every_metric_and_no_other() -> None:
    assert set(get_args(MetricName)) == set(METRICS)


@pytest.mark.parametrize("metric", METRICS.values(), ids=METRICS)
def test_every_metric_says_its_rule_and_whose_it_is(metric: Metric) -> None:
    assert metric.rule.endswith(".")
    assert metric.source
    assert metric.scale.low < metric.scale.high


NEED_JAVA = ("bleu_1", "bleu_2", "bleu_3", "bleu_4", "rouge_l", "cider", "meteor")


@pytest.mark.parametrize("metric", METRICS.values(), ids=METRICS)
def test_every_metric_keeps_the_contract(metric: Metric) -> None:
    """A score follows from sums; the order does not matter; the best answers score higher than the worst."""
    if metric.name in NEED_JAVA:
        pytest.importorskip("pycocoevalcap")
        if shutil.which("java") is None:
            pytest.skip("java is not installed")
    texts = [
        "a red ball on the grass",
        "two small dogs asleep",
        "the old house by the sea",
        "some green apples in a bowl",
    ]
    options = ("A", "B", "C", "D")

    def answered(shift: int) -> list[Record]:
        said = [texts[(place + shift) % 4] for place in range(4)]
        answers = [
            Record(str(place), text, (right,), choices=tuple(texts), letters=options,
                   reference_log_likelihood=-2.0 - shift, reference_tokens=2)
            for place, (text, right) in enumerate(zip(said, texts, strict=True))
        ]  # fmt: skip
        return [seen(record, 0.9 - 0.5 * shift) for record in answers]

    right, wrong = metric.measure(answered(0)), metric.measure(answered(1))
    assert right.items.shape == (4,)
    assert right.statistics.shape[0] == 4
    assert right.score == pytest.approx(float(right.combine(right.statistics.sum(axis=0))))
    assert metric.scale.low <= wrong.score
    assert right.score <= metric.scale.high + 1e-9
    assert (right.score > wrong.score) is metric.scale.higher_is_better
    turned = metric.measure(answered(1)[::-1])
    assert turned.score == pytest.approx(wrong.score)
    assert turned.items[::-1] == pytest.approx(wrong.items)
    drawn = np.stack([right.statistics, right.statistics]).sum(axis=1)
    assert right.combine(drawn).shape == (2,)


@pytest.mark.parametrize(
    ("name", "prediction", "references", "score"),
    [(name, *case) for name, cases in KNOWN_CASES.items() for case in cases],
)
def test_a_metric_gives_the_known_score(name: str, prediction: str, references: list[str], score: float) -> None:
    assert METRICS[name].measure([Record("1", prediction, tuple(references))]).score == score


def test_exact_match_gives_the_published_figures_on_gqa_ru(shared: Path) -> None:
    answered = shared / "fixtures" / "gqa_ru_predictions" / "eval_testdev_final_300.jsonl"
    rows = [json.loads(line) for line in answered.read_text("utf-8").splitlines()]
    items = METRICS["exact_match"].measure([Record(row["id"], row["pred"], (row["gold"],)) for row in rows]).items
    right = {row["id"]: item for row, item in zip(rows, items, strict=True)}
    assert (sum(right.values()), len(right)) == (139, 300)
    yes_or_no = [row["id"] for row in rows if row["gold"] in ("да", "нет")]
    assert round(sum(right[name] for name in yes_or_no) / len(yes_or_no), 4) == 0.6496


def test_an_unknown_metric_is_told() -> None:
    with pytest.raises(UserError) as refused:
        metric_named("luck")
    assert refused.value.hint is not None
    assert refused.value.hint.startswith("the metrics are exact_match, gqa_ru, ")
