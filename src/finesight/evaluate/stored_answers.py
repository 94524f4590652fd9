"""Answers that are there already, as a predictor: whoever gave them, nobody is asked again."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Sequence
from dataclasses import dataclass

from finesight.schema import Example, Prediction, Record


@dataclass(frozen=True)
class StoredAnswers:
    """Gives the answer that was stored for an example, by its id, and none where none was."""

    predictions: dict[str, Prediction]

    @classmethod
    def of(cls, records: Iterable[Record]) -> StoredAnswers:
        """Return the answers of these records; of what else they say, examples say it better."""
        return cls({record.id: _prediction(record) for record in records})

    def answer(self, examples: Sequence[Example]) -> Generator[list[Prediction], None, None]:
        """Yield the stored answers to `examples`, all at once."""
        yield [self.predictions[example.id] for example in examples if example.id in self.predictions]


def _prediction(record: Record) -> Prediction:
    return Prediction(
        record.id,
        record.prediction,
        "length" if record.finish_reason == "length" else "stop",
        record.reference_log_likelihood,
        record.reference_tokens,
    )
