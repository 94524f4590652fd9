"""Before a model is asked: note what decides its answers, and take over those that an earlier run has of it."""

from __future__ import annotations

from dataclasses import dataclass

from finesight.errors import UserError
from finesight.evaluate.answer_key import AnswerKeys
from finesight.evaluate.measure import Thumbnails, TokenizedTask, keep_answers
from finesight.evaluate.reuse import note_key, note_origin, who_answered, why_not
from finesight.evaluate.stored_answers import StoredAnswers
from finesight.numerals import plural
from finesight.rundir import RunDir
from finesight.runtime import StopRequest, process_count, say


def require_one_process_to_reuse(earlier: RunDir | None) -> None:
    """Raise `UserError` where several processes were to take over answers of an earlier run."""
    if earlier is not None and process_count() > 1:
        raise UserError(
            "--reuse is for a run of one process: of several, each may hold a part of the weights, and the key of "
            "answers is a hash of them all",
            hint="leave --reuse out; the questions are shared among the processes",
        )


@dataclass(frozen=True)
class TakingOver:
    """Where answers go, and where those may come from that a model has given before."""

    keys: AnswerKeys
    run: RunDir
    predictor: str
    earlier: RunDir | None
    """None where every question is to be asked."""

    def begin(self, tokenized: TokenizedTask, *, thumbnails: Thumbnails, stop: StopRequest) -> None:
        """Note the key of the answers to a task, unless all are there already, and copy those that have the same.

        Says how many were taken over, or in what the earlier run's differ.
        """
        task = tokenized.task
        if len(self.run.records(self.predictor, task.name)) >= len(task.examples):
            return
        (entry,) = (entry for entry in self.run.tasks if entry.name == task.name)
        key = self.keys.of(tokenized, entry)
        note_key(self.run, self.predictor, task.name, key)
        if self.earlier is None:
            return
        given_by = who_answered(self.earlier, task.name, key)
        if given_by is None:
            reason = why_not(self.earlier, self.predictor, task.name, key)
            say(f"{self.predictor}: {task.name}: not reused: {reason}")
            return
        note_origin(self.run, self.predictor, task.name, self.earlier, given_by)
        answers = StoredAnswers.of(self.earlier.records(given_by, task.name))
        keep_answers(answers, task, self.run, name=self.predictor, thumbnails=thumbnails, stop=stop)
        taken = plural(len(answers.predictions), "answer")
        say(f"{self.predictor}: {task.name}: {taken} taken over from {self.earlier.path}")
