"""An exported folder on the Hugging Face hub."""

from __future__ import annotations

from pathlib import Path

from huggingface_hub import HfApi
from huggingface_hub.errors import HFValidationError
from huggingface_hub.errors import HTTPError as NetworkError  # type: ignore[attr-defined]  # its HTTP library's own

from finesight.errors import UserError


def push_folder(folder: Path, name: str, *, private: bool) -> str:
    """Put a folder on the hub as the model `name`, made where there is none, and return its address.

    Raises `UserError` when the hub refuses, cannot be reached, or shows everybody what should be private.
    """
    hub = HfApi()
    try:
        created = hub.create_repo(name, private=private, exist_ok=True)
        if private and not hub.model_info(created.repo_id).private:
            raise UserError(
                f"{created.repo_id} is there already, and public", hint="give another name, or no --private"
            )
        hub.upload_folder(folder_path=folder, repo_id=created.repo_id, commit_message="Exported by finesight")
    except (NetworkError, HFValidationError, OSError) as error:
        raise UserError(
            f"{name}: the hub does not take it ({str(error).strip().splitlines()[0]})",
            hint=f"`hf auth login` says who you are; the export itself is complete: hf upload {name} {folder}",
        ) from error
    return str(created)
