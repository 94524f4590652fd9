"""Processes that began together end together: on a request that reached one of them, on an error, on a kill."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest
import yaml
from shared_runs import FEW_TOKENS, PROCESSES, RECIPE, Pair, Sent, answers, rows

pytestmark = pytest.mark.distributed

RESUME_ME = 75
SMALL = ("--max-tokens-per-device", FEW_TOKENS)
RUN, VALIDATION = "finesight.rundir:RunDir", "finesight.train.validation"
STOPS = (
    (Sent(signal.SIGTERM, RUN, "append_records", 1), "stopped on request"),
    (Sent(signal.SIGUSR1, RUN, "append_metrics", 2), "stopped at step 2 of 2 of stage warm"),
    (Sent(signal.SIGTERM, VALIDATION, "make_batch", 1), "stopped on request"),
    (Sent(signal.SIGUSR1, RUN, "append_metrics", 2), "stopped at step 2 of 4 of stage joint"),
)
"""While answering, in the last step of a stage, in the validation that was put off, while training."""
FAILS_ON_THE_SECOND = """
import os

def rows(**_):
    if os.environ["RANK"] == "1":
        raise ValueError("no disk here")
    from PIL import Image
    for number in range(20):
        image = Image.new("RGB", (32, 32), (number, 0, 0))
        yield {"image": image, "question": f"Which shade is {number}?", "answer": str(number)}
"""


def test_all_stop_together_when_one_is_asked_to_or_killed_and_nothing_is_lost(
    recipe_file: Path, alone: Path, tmp_path: Path, pair: Pair
) -> None:
    run = tmp_path / "run"
    arguments: tuple[object, ...] = (recipe_file, "--output", run)
    for sent, told in STOPS:
        ended = pair(*arguments, *SMALL, before=sent)
        assert ended.codes == (RESUME_ME, RESUME_ME), ended.told
        assert ended.told.count(told) == 1, ended.told
        assert ended.told.count(f"hint: go on with: finesight launch --resume {run} --processes {PROCESSES}\n") == 1
        assert "Traceback" not in ended.told
        arguments = ("--resume", run)
    last = run / "checkpoints/joint/checkpoint-2"
    assert len(list(last.glob("rng_state_*.pth"))) == PROCESSES

    ended = pair(*arguments, *SMALL, before=Sent(signal.SIGKILL, RUN, "append_metrics", 1, to=1))
    assert ended.codes == (2, -signal.SIGKILL), ended.told
    assert ended.told.count("another process of the run has ended without a word: it was killed, or ") == 1
    assert f"then go on with: finesight launch --resume {run} --processes {PROCESSES}\n" in ended.told
    assert "Traceback" not in ended.told
    ended = pair(*arguments, *SMALL, before=Sent(signal.SIGKILL, RUN, "append_metrics", 1, to=0))
    assert ended.codes[0] == -signal.SIGKILL and ended.codes[1] not in (0, None), ended
    assert "Traceback" not in ended.told

    ended = pair(*arguments, *SMALL)
    assert ended.codes == (0, 0), ended.told
    found, wanted = rows(run), rows(alone)
    assert [(row["kind"], row["stage"], row["step"]) for row in found] == [
        (row["kind"], row["stage"], row["step"]) for row in wanted
    ]
    assert [row["loss"] for row in found] == pytest.approx([row["loss"] for row in wanted], rel=1e-6)
    assert answers(run) == answers(alone)


def test_the_error_of_one_process_ends_all_and_is_told_once(tmp_path: Path, pair: Pair) -> None:
    (tmp_path / "mine.py").write_text(FAILS_ON_THE_SECOND, encoding="utf-8")
    data = {
        "train": [{"kind": "python", "file": "mine.py", "function": "rows"}],
        "split": {"validation": 0.2, "test": 0.2},
    }
    recipe = tmp_path / "recipe.yaml"
    content = {**RECIPE, "data": data, "evaluate": [{"name": "held_out", "from": "test"}]}
    recipe.write_text(yaml.safe_dump(content), encoding="utf-8")
    ended = pair(recipe, "--output", tmp_path / "run")
    assert ended.codes == (2, 2), ended.told
    assert ended.told.count("no disk here") == 1, ended.told
    assert "Connection" not in ended.told and "killed" not in ended.told, "what the others then met is not told"
    assert not (tmp_path / "run").exists(), "nothing was written"
