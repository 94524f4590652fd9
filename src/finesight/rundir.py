"""The run folder: what a run leaves behind, and the only interface between running and reporting."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

from finesight.errors import UserError, command_line
from finesight.recipe.captioners import CaptionersRecipe
from finesight.recipe.evaluate import Task
from finesight.recipe.reading import AnyRecipe, dump_recipe, read_any_recipe
from finesight.recipe.recipe import Recipe
from finesight.run_lock import LOCK_FILE, held_alone
from finesight.runtime import is_first_process
from finesight.schema import ImageScores, Instrument, Record
from finesight.whole_files import bring_to_disk, written_whole

RECIPE_FILE = "recipe.yaml"
ENVIRONMENT_FILE = "environment.json"
REHEARSAL = "rehearsal"
"""The folder of a rehearsal's stand-ins, and the name of the file beside it that says what they replace."""
TRIAL_PREFIX = ".finesight-check-"
"""What the name of a folder begins with into which a check writes, and which it deletes."""
END = "end"
"""The file that says how a run ended which did not come to its end."""
RUNS = Path("runs")
"""Where runs lie when nobody says otherwise."""
_WRITTEN_ANEW = ("data", "verdict")
"""What a run writes anew when it goes on, whatever is there."""
_OF_LAST_START = ("data_root", "recipe", "recipe_changes")
"""What environment.json says of the last start, where all else is of the first."""
MEASURED = "model"
"""The predictor of a folder that `finesight evaluate` made: one model, measured and not tuned."""


def how_to_go_on(path: Path) -> str:
    """Return the command that goes on with the run in a folder, as a shell takes it."""
    return command_line("run", "--resume", path)


def how_to_measure_on(path: Path) -> str:
    """Return how to go on with an evaluation that was stopped: in another folder, from its answers."""
    taking_over = shlex.join(["--reuse", str(path)])
    return f"the same `finesight evaluate` with `{taking_over}` and another --output goes on from its answers"


def write_text(path: Path, text: str) -> None:
    """Write a file whole or not at all: a reader never sees half of it, a full disk leaves the old one."""
    with written_whole(path) as partial, _naming(path), partial.open("w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())


def read_lines(path: Path) -> Iterator[dict[str, Any]]:
    """Yield the complete lines of a JSON Lines file; a torn last line (an interrupted write) is left out."""
    if not path.exists():
        return
    with path.open(encoding="utf-8", newline="\n") as file:
        for line in file:
            if line.endswith("\n"):
                yield json.loads(line)


def write_records(path: Path, records: Iterable[Record]) -> None:
    """Write a predictions file, whole or not at all."""
    write_text(path, "".join(json.dumps(record.to_json(), ensure_ascii=False) + "\n" for record in records))


def append_lines(path: Path, rows: Iterable[Mapping[str, Any]]) -> None:
    """Append rows to a JSON Lines file, first cutting off what an interrupted write left of a line."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with _naming(path), path.open("ab+") as file:
        if file.tell() and not _ends_whole(file):
            file.seek(0)
            file.truncate(file.read().rfind(b"\n") + 1)
        for row in rows:
            file.write(json.dumps(row, ensure_ascii=False, allow_nan=True).encode() + b"\n")


def _ends_whole(file: BinaryIO) -> bool:
    file.seek(-1, os.SEEK_END)
    return file.read() == b"\n"


@contextmanager
def _naming(path: Path) -> Iterator[None]:
    """Name the file in what goes wrong when it is written: the system's own word for a full disk does not."""
    try:
        yield
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(path)) from error


class RunDir:
    """A run's folder. Reading needs nothing but the folder; writing goes through these methods alone.

    Where several processes are at one run, only the first one's writing is done.
    """

    def __init__(self, path: Path, recipe: AnyRecipe, data_root: Path) -> None:
        self.path = path
        self.asked = recipe
        self.data_root = data_root
        self._is_new = False

    @property
    def recipe(self) -> Recipe:
        """The recipe of the run. Raises `UserError` for an evaluation of captioners, which is none."""
        if isinstance(self.asked, CaptionersRecipe):
            raise UserError(
                f"{self.path}: an evaluation of captioners, and no run",
                hint=self.how_compared,
            )
        return self.asked

    @property
    def how_compared(self) -> str:
        """The hint that says where an evaluation's scores are or come from, or how those of captioners are compared."""
        if not isinstance(self.asked, CaptionersRecipe):
            return _where_its_scores_are(self.path)
        named = [f"{self.path}@{name}" for name in (*self.asked.names, "majority")[:2]]
        command = command_line("compare", *named, "--metric", self.tasks[0].metric)
        return f"compare its contenders, by any metric: {command}"

    @property
    def tasks(self) -> tuple[Task, ...]:
        """What is measured."""
        return self.asked.evaluate

    @classmethod
    def new(cls, recipe: AnyRecipe, output: Path | None, data_root: Path) -> RunDir:
        """Return a run folder that does not exist yet: nothing is written before `begin`.

        `output` defaults to `runs/<name>-<time>`. Raises `UserError` when the folder already holds something.
        """
        path = output or RUNS / f"{recipe.name}-{time.strftime('%Y%m%d-%H%M%S')}"
        _require_free(path)
        run = cls(path, recipe, data_root)
        run._is_new = True
        return run

    @classmethod
    def new_or_begun(cls, recipe: AnyRecipe, output: Path | None, data_root: Path) -> RunDir:
        """Return a run folder as `new` does, or the one in `output` that was begun by an equal recipe.

        Raises `UserError` for an evaluation of captioners that another recipe has begun.
        """
        if output is not None and cls.is_at(output):
            begun = cls.existing(output)
            if (begun.asked, begun.data_root) == (recipe, data_root.resolve()):
                return begun
            if isinstance(begun.asked, CaptionersRecipe):
                name = begun.asked.names[0]
                raise UserError(
                    f"{output}: begun by another recipe of captioners, or with another data root",
                    hint="give a new --output; a recipe takes over answers that are there already as "
                    f"`- {{kind: answers, name: {name}, answers: {output.resolve()}@{name}}}`",
                )
        return cls.new(recipe, output, data_root)

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Keep other runs out of the folder: to be held while it is written.

        Raises `UserError` when another process is at the run, or was while this one took the folder for a new run's.
        """
        if not is_first_process():
            yield
            return
        with held_alone(self.path):
            if self._is_new:
                _require_free(self.path)
                for left in filter(_is_left_over, self.path.iterdir()):
                    shutil.rmtree(left) if left.is_dir() else left.unlink()
            yield

    def begin(self, environment: Mapping[str, Any]) -> None:
        """Write what was asked and where, before anything else.

        A later start leaves the first one's as it was, but for where its data are and the recipe that it goes by.
        """
        if not is_first_process():
            return
        if self.has_begun:
            self._forget_end()
            begun = self.load("environment")
            now = {name: environment[name] for name in _OF_LAST_START if name in environment}
            if begun | now != begun:
                self.save("environment", begun | now)
            return
        is_new = not self.path.exists()
        try:
            write_text(self.path / ENVIRONMENT_FILE, json.dumps(environment, ensure_ascii=False, indent=1) + "\n")
            write_text(self.path / RECIPE_FILE, dump_recipe(self.asked))
        except OSError:
            # Half a beginning is no run: leave the place as it was.
            (self.path / ENVIRONMENT_FILE).unlink(missing_ok=True)
            if is_new and self.path.is_dir():
                self.path.rmdir()
            raise

    @property
    def has_begun(self) -> bool:
        """Whether the folder is there, so that the run can be resumed."""
        return (self.path / RECIPE_FILE).exists()

    @property
    def is_evaluation(self) -> bool:
        """Whether `finesight evaluate` made the folder: it holds no training and no verdict."""
        return isinstance(self.asked, CaptionersRecipe) or (self.path / "evaluation" / MEASURED).exists()

    @property
    def is_rehearsal(self) -> bool:
        """Whether the folder is a rehearsal's, whose figures mean nothing."""
        return (self.path / f"{REHEARSAL}.json").exists()

    @staticmethod
    def is_at(path: Path) -> bool:
        """Whether a run has made the folder; a recipe alone may be anybody's."""
        return not _lacking(path)

    @classmethod
    def existing(cls, path: Path) -> RunDir:
        """Open a folder that a run has made. Raises `UserError` when it is none."""
        if lacking := _lacking(path):
            raise UserError(
                f"{path}: not a run folder (it has no {lacking[0]})",
                hint="a model folder: `finesight evaluate` measures it, and a recipe starts from it by "
                "model.name_or_path"
                if (path / "config.json").is_file()
                else "give the folder that `finesight run` printed on its last line",
            )
        recipe = read_any_recipe(path / RECIPE_FILE)
        return cls(path, recipe, Path(_read_json(path / ENVIRONMENT_FILE)["data_root"]))

    def save(self, name: str, content: Mapping[str, Any]) -> None:
        """Write `<name>.json` whole."""
        if not is_first_process():
            return
        write_text(self.path / f"{name}.json", json.dumps(content, ensure_ascii=False, indent=1) + "\n")

    def load(self, name: str) -> dict[str, Any]:
        """Return the content of `<name>.json`, or an empty dictionary where the run has not come so far.

        Raises `UserError` when it is damaged.
        """
        return _read_json(self.path / f"{name}.json", self.path if name in _WRITTEN_ANEW else None)

    def note_end(self, content: Mapping[str, Any]) -> bool:
        """Write end.json, unless an earlier start's is there still: what was refused before `begin` changes nothing.

        A failure gives way to a later one, which is what keeps the run from going on. Returns whether it is this
        start's.
        """
        earlier = self.load(END)
        is_own = self.has_begun and (not earlier or earlier["how"] == content["how"] == "failed")
        if is_own:
            self.save(END, content)
        return is_own

    def _forget_end(self) -> None:
        (self.path / f"{END}.json").unlink(missing_ok=True)

    def save_stage(self, name: str, stage: str, content: Mapping[str, Any]) -> None:
        """Add one stage's entry to the `stages` list of `<name>.json`, replacing an earlier one of that name."""
        others = [entry for entry in self.load(name).get("stages", []) if entry["stage"] != stage]
        self.save(name, {"stages": [*others, {"stage": stage, **content}]})

    def append_metrics(self, row: Mapping[str, Any]) -> None:
        """Add a line to metrics.jsonl."""
        if not is_first_process():
            return
        append_lines(self.path / "metrics.jsonl", [row])

    def bring_metrics_to_disk(self) -> None:
        """Wait until metrics.jsonl would survive a power cut as it is now."""
        if is_first_process() and (self.path / "metrics.jsonl").exists():
            bring_to_disk(self.path / "metrics.jsonl")

    def metrics(self) -> list[dict[str, Any]]:
        """Return the lines of metrics.jsonl."""
        return list(read_lines(self.path / "metrics.jsonl"))

    def drop_metrics_after(self, stage: str, step: int) -> None:
        """Forget the lines of `stage` after `step`: a resumed run takes these steps again."""
        if not is_first_process():
            return
        rows = self.metrics()
        kept = [row for row in rows if row["stage"] != stage or row["step"] <= step]
        if len(kept) < len(rows):
            lines = (json.dumps(row, ensure_ascii=False) + "\n" for row in kept)
            write_text(self.path / "metrics.jsonl", "".join(lines))

    def records_file(self, predictor: str, task: str) -> Path:
        """Return where the records of `predictor` on `task` are kept."""
        return self.path / "evaluation" / predictor / f"{task}.jsonl"

    def records(self, predictor: str, task: str) -> list[Record]:
        """Return the records that are there, in the order in which they were answered."""
        return [record_from_json(row) for row in read_lines(self.records_file(predictor, task))]

    def append_records(self, predictor: str, task: str, records: Iterable[Record]) -> None:
        """Add records; each call's records are on disk when it returns."""
        if not is_first_process():
            return
        append_lines(self.records_file(predictor, task), (record.to_json() for record in records))

    def replace_records(self, predictor: str, task: str, records: Iterable[Record]) -> None:
        """Write a predictor's records on a task anew, all or none of them."""
        write_records(self.records_file(predictor, task), records)

    def save_answering(self, predictor: str, task: str, content: Mapping[str, Any]) -> None:
        """Keep how `predictor` has come to its answers to `task`, beside them."""
        self.save(f"evaluation/{predictor}/{task}", content)

    def answering(self, predictor: str, task: str) -> dict[str, Any]:
        """Return what `save_answering` has kept, or an empty dictionary."""
        return self.load(f"evaluation/{predictor}/{task}")

    def predictors(self, task: str) -> list[str]:
        """Return the names of the predictors that have answered `task`."""
        return sorted(file.parent.name for file in (self.path / "evaluation").glob(f"*/{task}.jsonl"))

    def checkpoints(self, stage: str) -> Path:
        """Return the folder of a stage's checkpoints."""
        return self.path / "checkpoints" / stage

    @property
    def model_folder(self) -> Path:
        """Where the tokenizer, the processor and what began as random numbers are kept."""
        return self.path / "model"


def record_from_json(row: Mapping[str, Any]) -> Record:
    """Return the record that a predictions file's line describes. Raises `KeyError` when a field is missing."""
    optional = {
        name: str(row[name])
        for name in (
            "group", "question", "rotation_of", "question_type", "answer_type", "image", "thumbnail", "finish_reason",
        )
        if row.get(name) is not None
    }  # fmt: skip
    likelihood = row.get("reference_log_likelihood")
    return Record(
        id=str(row["id"]),
        prediction=str(row["prediction"]),
        references=tuple(str(reference) for reference in row["references"]),
        choices=tuple(str(choice) for choice in row.get("choices", ())),
        letters=tuple(str(letter) for letter in row.get("letters", ())),
        reference_log_likelihood=None if likelihood is None else float(likelihood),
        reference_tokens=int(row.get("reference_tokens", 0)),
        image_scores=_image_scores_from_json(row["image_scores"]) if "image_scores" in row else None,
        tags=row.get("tags", {}),
        **optional,
    )


def _image_scores_from_json(row: Mapping[str, Any]) -> ImageScores:
    told = ("clip", "weights", "answer", "is_cut")
    values = {str(name): float(value) for name, value in row.items() if name not in told}
    clip = Instrument(str(row["clip"]), str(row["weights"]))
    return ImageScores(clip, str(row["answer"]), values, bool(row.get("is_cut", False)))


def _require_free(path: Path) -> None:
    """Raise `UserError` for a folder that a new run would share with something else."""
    if not path.exists() or (path.is_dir() and not any(path.iterdir())):
        return
    # Whoever was killed before its run began has left its lock, and nothing that anybody could go on with.
    if (path / LOCK_FILE).exists() and all(file.name == LOCK_FILE or _is_left_over(file) for file in path.iterdir()):
        return
    is_run = (path / RECIPE_FILE).exists()
    if is_run and (path / "evaluation" / MEASURED).exists():
        hint = f"{_where_its_scores_are(path)}; one from the start needs another --output too"
        raise UserError(f"{path}: the output folder holds an evaluation", hint=hint)
    going_on = f"continue that run with `{how_to_go_on(path)}`, or " if is_run else ""
    raise UserError(
        f"{path}: the output folder holds {'another run' if is_run else 'something else'}",
        hint=f"{going_on}give another --output",
    )


def _where_its_scores_are(path: Path) -> str:
    """Return the hint for an evaluation of one model: where its scores are, or how it comes to have them."""
    scores = path / "scores.json"
    return f"its scores are in {scores}" if scores.exists() else how_to_measure_on(path)


def _is_left_over(file: Path) -> bool:
    """Return whether a file of a folder without a run is what is written before one has begun."""
    is_whole = file.name in (ENVIRONMENT_FILE, REHEARSAL, f"{REHEARSAL}.json")
    return is_whole or file.name.startswith(TRIAL_PREFIX) or file.suffix == ".partial"


def _lacking(path: Path) -> list[str]:
    """Return what a folder lacks of the files that a run begins with."""
    return [name for name in (RECIPE_FILE, ENVIRONMENT_FILE) if not (path / name).is_file()]


def _read_json(path: Path, written_anew_by: Path | None = None) -> dict[str, Any]:
    if not path.exists():
        return {}
    try:
        content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as fault:
        raise damaged(path, fault, written_anew_by) from fault
    return content


def damaged(path: Path, fault: ValueError, written_anew_by: Path | None = None) -> UserError:
    """Return the error for a JSON file that is damaged; the run that is given writes it anew when it goes on."""
    return UserError(
        f"{path}: damaged, it cannot be read as JSON ({fault})",
        hint=f"it is written anew by: {how_to_go_on(written_anew_by)}"
        if written_anew_by
        else "finesight writes its files whole; restore this one from a copy, or run again",
    )
