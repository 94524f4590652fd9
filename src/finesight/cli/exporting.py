"""The verb that makes a folder of a run's tuned model: export."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from finesight.cli.options import FittingTokensOption, RunArgument


def export(
    run: RunArgument,
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="The folder to make; it must not exist yet.")],
    dtype: Annotated[
        Literal["float32", "bfloat16", "float16"] | None,
        typer.Option(help="Number format of the weights. Default: that of the checkpoint that was tuned."),
    ] = None,
    data_root: Annotated[
        Path | None,
        typer.Option(metavar="FOLDER", help="Where the run's data and model lie now. Default: where they lay."),
    ] = None,
    questions: Annotated[int, typer.Option(min=1, help="Held-out questions to ask the exported model.")] = 100,
    push_to_hub: Annotated[
        str | None, typer.Option(metavar="NAME", help="Put the folder on the Hugging Face hub, as NAME or owner/NAME.")
    ] = None,
    private: Annotated[bool, typer.Option("--private", help="On the hub, show it to nobody else.")] = False,
    max_tokens_per_device: FittingTokensOption = None,
) -> None:
    """Write the tuned model as a folder that transformers loads.

    Adapters are merged, 4-bit weights unpacked. A model card says what was done and measured. The folder is loaded anew
    and asked held-out questions; where it does not answer as the tuned model did, the exit code is 1.
    """
    from finesight.errors import UserError
    from finesight.rundir import RunDir

    if private and push_to_hub is None:
        raise UserError("--private is about the hub", hint="give --push-to-hub NAME with it")
    if data_root is not None and not data_root.is_dir():
        raise UserError(f"--data-root {data_root}: no such folder")
    tuned = RunDir.existing(run)
    if data_root is not None:
        tuned = RunDir(tuned.path, tuned.asked, data_root.resolve())
    from finesight.export import export_run

    agreement = export_run(tuned, folder, dtype=dtype, questions=questions, max_tokens=max_tokens_per_device)
    print(
        f"{agreement.same} of {agreement.questions} held-out questions answered as by the tuned model, to the letter; "
        f"right answers as likely within {agreement.nats_apart:.2g} nats a token"
    )
    if push_to_hub is not None:
        from finesight.exporting.push import push_folder

        print(push_folder(folder, push_to_hub, private=private))
    print(folder)
