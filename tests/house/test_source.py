"""What no file of the project may hold."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
SOURCE = ROOT / "src" / "finesight"

MACHINE_FOLDERS = ("work", "root", "home", "tmp", "opt", "mnt", "Users")
PATH_OF_ONE_MACHINE = re.compile(rf"(?<![\w.~$)}}/-])/({'|'.join(MACHINE_FOLDERS)})/")
REGISTRY_HOST = re.compile(r"pypi\.\w+|pythonhosted\.\w+|download\.pytorch\.\w+|conda\.anaconda\.\w+")


def files_of_the_project() -> Iterator[Path]:
    # In a git worktree, .git is a file that names a folder of the machine.
    yield from (path for path in ROOT.iterdir() if path.is_file() and path.name != ".git")
    for folder in ("src", "tests", "docs", "benchmarks", "tools", ".ci"):
        files = (path for path in (ROOT / folder).rglob("*") if path.is_file())
        yield from (path for path in files if "__pycache__" not in path.parts)


def lines_that_match(pattern: re.Pattern[str]) -> list[str]:
    """Return every matching line of the project's text files, with its place."""
    found = []
    for path in files_of_the_project():
        try:
            text = path.read_text(encoding="utf-8")
        except UnicodeDecodeError:  # a picture
            continue
        found += [
            f"{path.relative_to(ROOT)}:{number}: {line.strip()[:100]}"
            for number, line in enumerate(text.splitlines(), start=1)
            if pattern.search(line)
        ]
    return found


def test_no_file_names_a_folder_of_one_machine() -> None:
    assert PATH_OF_ONE_MACHINE.search(f"data_root: /{MACHINE_FOLDERS[0]}/data")
    assert lines_that_match(PATH_OF_ONE_MACHINE) == []


def test_no_file_names_the_host_of_a_package_registry() -> None:
    assert REGISTRY_HOST.search("https://" + "pypi" + ".org/simple")
    assert lines_that_match(REGISTRY_HOST) == []


def test_only_the_command_line_prints() -> None:
    printing = [
        f"{path.relative_to(ROOT)}:{node.lineno}"
        for path in SOURCE.rglob("*.py")
        if path.relative_to(SOURCE).parts[0] != "cli"
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "print"
    ]
    assert printing == []
