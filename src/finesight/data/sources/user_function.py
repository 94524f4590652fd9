"""Calling a function of a user's own file. Whatever goes wrong in it is told with their file and line."""

from __future__ import annotations

import contextlib
import hashlib
import inspect
import sys
import traceback
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from types import ModuleType, TracebackType
from typing import Any

from finesight.data.sources.faults import did_you_mean, missing_file
from finesight.errors import DataError, FinesightError

_YIELD_HINT = "return a list of dictionaries, or yield them one by one"


def call_function(path: Path, name: str, arguments: Mapping[str, Any], data_root: Path) -> Iterator[object]:
    """Yield what the function `name` of the Python file returns, one item at a time.

    What it prints goes to the log (stderr). Raises `DataError` when the file or the function is not there, when the
    arguments do not fit, when nothing is returned that can be gone through, and for whatever the user's code raises.
    """
    if not path.is_file():
        raise missing_file("Python file", path, data_root)
    with contextlib.redirect_stdout(sys.stderr), _TheirCode(path):
        function = _find_function(_load(path), name, path)
        _check_arguments(function, name, arguments, path)
        returned = function(**arguments)
        if not isinstance(returned, Iterable) or isinstance(returned, str | bytes | Mapping):
            raise DataError(f"{path}: {name} returns {_named(returned)}, not rows", hint=_YIELD_HINT)
        yield from returned


class _TheirCode:
    """Turns what the user's code raises into a `DataError` that names their file, their line and their own words.

    Their code may raise anything, so no list of types could be caught; what a block raises is seen when it is left.
    Nothing of ours runs in the block but what raises a `FinesightError`, which passes, as does Ctrl-C.
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    def __enter__(self) -> None:
        return None

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        # SystemExit is no Exception; a script's own sys.exit() must not end the run without a word.
        if isinstance(error, Exception | SystemExit) and not isinstance(error, FinesightError):
            words = f"{type(error).__name__}: {_words(error)}".removesuffix(": ")
            hint = "this is raised by the function's own file; with --traceback you see the whole way to it"
            raise DataError(f"{self._place(error)}: {words}", hint=hint) from error

    def _place(self, error: BaseException) -> str:
        if isinstance(error, SyntaxError) and error.filename == str(self._path):
            return f"{self._path}, line {error.lineno}"
        frames = traceback.walk_tb(error.__traceback__)
        lines = [line for frame, line in frames if frame.f_code.co_filename == str(self._path)]
        return f"{self._path}, line {lines[-1]}" if lines else str(self._path)


def _words(error: BaseException) -> str:
    return str(error.msg) if isinstance(error, SyntaxError) else str(error)


def _load(path: Path) -> ModuleType:
    name = f"finesight_function_{hashlib.sha256(str(path.resolve()).encode()).hexdigest()[:12]}"
    module = ModuleType(name)
    module.__file__ = str(path)
    # Dataclasses and worker processes look their module up by its name.
    sys.modules[name] = module
    # Not by importlib's loader: it would write compiled files into the user's data.
    code = compile(path.read_bytes(), str(path), "exec", dont_inherit=True)
    exec(code, module.__dict__)
    return module


def _find_function(module: ModuleType, name: str, path: Path) -> Callable[..., Any]:
    found = module.__dict__.get(name)
    if callable(found):
        function: Callable[..., Any] = found
        return function
    functions = [other for other, value in module.__dict__.items() if inspect.isfunction(value)]
    listed = f"its functions are {', '.join(functions)}" if functions else "the file defines no function"
    hint = f"{did_you_mean(name, functions)} name it in the source's `function`".strip()
    raise DataError(f"{path}: no function `{name}`; {listed}", hint=hint)


def _check_arguments(function: Callable[..., Any], name: str, arguments: Mapping[str, Any], path: Path) -> None:
    signature = inspect.signature(function)
    try:
        signature.bind(**arguments)
    except TypeError as error:
        raise DataError(
            f"{path}: {name}{signature} cannot be called with the recipe's arguments: {error}",
            hint="they are given by name in the source's `arguments`",
        ) from error


def _named(value: object) -> str:
    return "nothing" if value is None else f"one {type(value).__name__}"
