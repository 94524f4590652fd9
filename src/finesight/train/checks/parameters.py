"""The check of what learns, without weights."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from finesight.train.checks.check import Check


def check_parameters(table: Mapping[str, Any]) -> Check:
    """Say what learns in a stage; `table` is its entry of parameters.json."""
    name = f"parameters of {table['stage']}"
    if table["refusals"]:
        return Check(name, "failure", "; ".join(table["refusals"]))
    learning = ", ".join(f"{part['part']} {part['tuning']} {part['learning']:,}" for part in table["parts"])
    return Check(
        name,
        "pass",
        f"{table['learning']:,} of {table['total']:,} parameters learn ({learning}); "
        f"{table['unreachable']:,} lie where no gradient arrives and are left alone",
    )
