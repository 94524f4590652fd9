"""peft's own deprecation warning, kept from every user's log."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def without_renaming_warning() -> Iterator[None]:
    """Hide the warning that peft 0.21 causes in transformers 5 on every run, by asking for a renamed property."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="`is_gradient_checkpointing` is deprecated", category=FutureWarning)
        yield
