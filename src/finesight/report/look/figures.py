"""What the page says of a source in words and figures."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from finesight import numerals
from finesight.report.look.tokens import visible
from finesight.report.words import shorten

Row = tuple[str, str]
"""A name, and what is said of it."""
LONGEST_ANSWER = 60
MOST_TYPES = 8


def sum_up(content: Mapping[str, Any]) -> list[str]:
    """Return the sentences that begin the page."""
    return list(_sum_up(content))


def figure_rows(figures: Mapping[str, Any], content: Mapping[str, Any]) -> list[Row]:
    """Return what is told of the examples of one source in one set; what is not there is left out."""
    return list(_figure_rows(figures, content))


def _sum_up(content: Mapping[str, Any]) -> Iterator[str]:
    train = content["sets"][0]["sources"]
    examples = sum(source["figures"]["examples"] for source in train)
    yield (
        f"{numerals.plural(examples, 'example')} of {numerals.plural(len(train), 'source')} to learn from, "
        f"{' then '.join(_stage(stage) for stage in content['stages'])}."
    )
    if content["image"]:
        side, tokens = content["image"]["side_pixels"], content["image"]["tokens"]
        yield f"An image is {side} × {side} pixels to this model, and {numerals.plural(tokens, 'token')}."


def _stage(stage: Mapping[str, Any]) -> str:
    steps = numerals.plural(stage["steps"], "step")
    return f"{steps} of {numerals.plural(stage['examples_a_step'], 'example')}"


def _figure_rows(figures: Mapping[str, Any], content: Mapping[str, Any]) -> Iterator[Row]:
    yield "Examples", _examples(figures)
    if figures["contexts"]:
        yield "Questions a context", _spread(figures["questions_a_context"])
        yield "Tokens an example", _spread(figures["tokens"])
    if "learned" in figures and figures["examples"]:
        share = numerals.percent(figures["learned_share"])
        yield "Learned tokens", f"{_spread(figures['learned'])}; {share} of all tokens"
    for name, field in (("Answer types", "answer_types"), ("Question types", "question_types")):
        if figures[field]:
            yield name, _types(figures[field])
    if figures["top_answers"]:
        yield "Top answers", _answers(figures)
    if figures["image_sizes"]:
        yield "Image sizes", _image_sizes(figures["image_sizes"])
    for name, field in (
        ("Without a learned token", "unlearned"),
        ("Empty answers", "empty_answers"),
        ("Answers of one token", "one_token_answers"),
    ):
        if field in figures and figures[field]["examples"]:
            yield name, _named(figures[field], figures["examples"])
    if figures["over_length"]["examples"]:
        becomes = "left out" if content["over_length"] == "drop" else "refused by check and run"
        yield (
            f"Over {numerals.count(content['max_length'])} tokens",
            f"{_named(figures['over_length'])}: {becomes} (data.over_length: {content['over_length']})",
        )


def _examples(figures: Mapping[str, Any]) -> str:
    contexts, groups = numerals.plural(figures["contexts"], "context"), numerals.plural(figures["groups"], "group")
    return f"{numerals.count(figures['examples'])} about {contexts}, in {groups}"


def _spread(spread: Mapping[str, float]) -> str:
    low, middle, most, high = (_number(spread[name]) for name in ("min", "median", "percentile_95", "max"))
    if low == high:
        return f"always {low}"
    return f"{low} to {high}, median {middle}, 95 % have at most {most}"


def _number(value: float) -> str:
    return f"{value:,.0f}" if value == int(value) else f"{value:,.1f}"


def _types(shares: Sequence[Mapping[str, Any]]) -> str:
    said = [f"{each['value']} {numerals.percent(each['share'])}" for each in shares[:MOST_TYPES]]
    further = [f"and {numerals.count(len(shares) - MOST_TYPES)} more"] if len(shares) > MOST_TYPES else []
    return " · ".join(said + further)


def _answers(figures: Mapping[str, Any]) -> str:
    top, distinct = figures["top_answers"], figures["distinct_answers"]
    if top[0]["count"] == 1:
        return f"none comes twice, as “{_short(top[0]['value'])}”"
    # In quotes, or figures among them would read as shares, and blanks would not be seen.
    said = [f"“{_short(each['value'])}” {numerals.percent(each['share'])}" for each in top]
    return f"{' · '.join(said)} ({numerals.plural(distinct, 'different answer')})"


def _short(answer: str) -> str:
    return shorten(visible(answer), LONGEST_ANSWER)


def _named(named: Mapping[str, Any], of: int | None = None) -> str:
    share = f" ({numerals.percent(named['examples'] / of)})" if of else ""
    return f"{numerals.count(named['examples'])}{share}, first {', '.join(named['first'])}"


def _image_sizes(sizes: Mapping[str, Any]) -> str:
    smallest, largest, frequent = (
        " × ".join(map(str, sizes[name])) for name in ("smallest", "largest", "most_frequent")
    )
    counted = numerals.plural(sizes["images"], "image")
    measured = counted if sizes["measured"] == sizes["images"] else f"{sizes['measured']} measured of {counted}"
    if smallest == largest:
        return f"{smallest} pixels ({measured})"
    share = numerals.percent(sizes["most_frequent_share"])
    return f"{smallest} to {largest} pixels, most often {frequent} ({share}) ({measured})"
