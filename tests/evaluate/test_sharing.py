"""Questions are dealt onto processes, those of a group together."""

from __future__ import annotations

import pytest

from finesight.evaluate.sharing import deal_groups, share_of_process
from finesight.schema import Example


def asked(groups: str) -> list[Example]:
    return [Example(f"{group}{number}", group, (), (), ()) for number, group in enumerate(groups)]


@pytest.mark.parametrize(
    ("groups", "processes", "dealt"),
    [
        ("abc", 1, ["a0 b1 c2"]),
        ("aabbcc", 3, ["a0 a1", "b2 b3", "c4 c5"]),
        ("ababac", 2, ["a0 a2 a4", "b1 b3 c5"]),
        ("abbb", 2, ["b1 b2 b3", "a0"]),
        ("aa", 3, ["a0 a1", "", ""]),
        ("", 2, ["", ""]),
    ],
)
def test_groups_are_dealt_whole_and_evenly(groups: str, processes: int, dealt: list[str]) -> None:
    shares = deal_groups(asked(groups), processes)
    assert [" ".join(example.id for example in share) for share in shares] == dealt


def test_every_process_takes_its_own_share(monkeypatch: pytest.MonkeyPatch) -> None:
    examples = asked("abcabd")
    assert share_of_process(examples) == [example for group in "abcd" for example in examples if example.group == group]
    taken = []
    monkeypatch.setenv("WORLD_SIZE", "3")
    for rank in range(3):
        monkeypatch.setenv("RANK", str(rank))
        taken += share_of_process(examples)
    assert sorted(example.id for example in taken) == sorted(example.id for example in examples)
