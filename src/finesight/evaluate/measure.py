"""Answering a task and keeping the records, so that an interrupted evaluation goes on where it stopped."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path

from finesight.evaluate.engine import Engine
from finesight.evaluate.predictor import Predictor
from finesight.evaluate.sharing import share_of_process
from finesight.models.encoded import Encoded
from finesight.processes import in_rounds, once
from finesight.rundir import RunDir
from finesight.runtime import StopRequest, progress
from finesight.schema import Example, Prediction, Record, TaskExamples

Thumbnails = Mapping[str, str]
"""The small copy of an image, as a path inside the run folder, by its content hash: two images may share a name."""


@dataclass(frozen=True)
class TokenizedTask:
    """A task, with its questions as tokens."""

    task: TaskExamples
    questions: tuple[Encoded, ...]


def measure(
    engine: Engine,
    tokenized: TokenizedTask,
    run: RunDir,
    *,
    predictor: str,
    thumbnails: Thumbnails,
    stop: StopRequest,
) -> None:
    """Answer a task as `predictor` and keep the records; those that are on disk already are not answered again.

    Raises `Interrupted` between batches when asked to stop; what was answered by then is on disk.
    """
    keep_answers(_Asked(engine, tokenized), tokenized.task, run, name=predictor, thumbnails=thumbnails, stop=stop)


def keep_answers(
    predictor: Predictor, task: TaskExamples, run: RunDir, *, name: str, thumbnails: Thumbnails, stop: StopRequest
) -> None:
    """Ask a predictor about a task and keep its answers as records of `name`; what is on disk is not asked again.

    Raises `Interrupted` between batches when asked to stop, and whatever the predictor raises; what was answered by
    then is on disk. Several processes share the questions, and each batch of theirs is written by the first.
    """
    examples = {example.id: example for example in task.examples}
    done = once(lambda: {record.id for record in run.records(name, task.name)})
    missing = [example for example in task.examples if example.id not in done]
    mine = share_of_process(missing)
    with progress(f"{name}: {task.name}", len(examples)) as bar, closing(predictor.answer(mine)) as answers:
        bar.advance(len(examples) - len(missing))
        for predictions in in_rounds(answers, stop):
            if predictions:
                run.append_records(name, task.name, make_records(predictions, examples, thumbnails))
                bar.advance(len(predictions))


@dataclass(frozen=True)
class _Asked:
    """The engine as a predictor of one task."""

    engine: Engine
    tokenized: TokenizedTask

    def answer(self, examples: Sequence[Example]) -> Generator[list[Prediction], None, None]:
        wanted = {example.id for example in examples}
        questions = {
            single.branches[0].example.id: single
            for single in self.tokenized.questions
            if single.branches[0].example.id in wanted
        }
        task = self.tokenized.task
        weighs = weighs_references(task)
        for predictions in answer_task(self.engine, task, list(questions.values())):
            asked = [questions[prediction.id] for prediction in predictions]
            yield _with_likelihoods(predictions, self.engine, asked) if weighs else predictions


def weighs_references(task: TaskExamples) -> bool:
    """Return whether a task asks how likely the model finds the references, beside its answers."""
    return "perplexity" in (task.metric, *task.also)


def _with_likelihoods(
    predictions: Sequence[Prediction], engine: Engine, questions: Sequence[Encoded]
) -> list[Prediction]:
    """Return predictions that also say how likely the model finds the reference."""
    found = {each.id: each for each_batch in engine.score_references(questions) for each in each_batch}
    return [
        replace(
            prediction,
            reference_log_likelihood=found[prediction.id].log_likelihood,
            reference_tokens=found[prediction.id].tokens,
        )
        for prediction in predictions
    ]


def answer_task(engine: Engine, task: TaskExamples, questions: Sequence[Encoded]) -> Iterator[list[Prediction]]:
    """Yield the answers to questions of `task`, some at a time, in the way that the task wants them given."""
    if task.answer_by == "likelihood":
        return engine.choose(questions)
    return engine.answer(questions, max_new_tokens=task.max_new_tokens, stop=task.stop, sampling=task.sampling)


def make_records(
    predictions: Iterable[Prediction], examples: Mapping[str, Example], thumbnails: Thumbnails
) -> list[Record]:
    """Return predictions as records: with all that scoring, comparison and report need."""
    records = []
    for prediction in predictions:
        example = examples[prediction.id]
        image = example.images[0] if example.images else None
        records.append(
            Record(
                id=example.id,
                prediction=prediction.text,
                references=example.references,
                group=example.group,
                question=example.question,
                choices=example.choices,
                letters=example.letters,
                rotation_of=example.rotation_of,
                question_type=example.question_type,
                answer_type=example.answer_type,
                image=Path(image.name).name if image else "",
                thumbnail=thumbnails.get(image.content_hash(), "") if image else "",
                finish_reason=prediction.finish_reason,
                reference_log_likelihood=prediction.reference_log_likelihood,
                reference_tokens=prediction.reference_tokens,
                tags=example.tags,
            )
        )
    return records
