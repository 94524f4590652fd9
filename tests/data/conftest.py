"""What the data room's tests share."""

from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture(autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give each test a cache of its own."""
    folder = tmp_path_factory.mktemp("cache")
    monkeypatch.setenv("FINESIGHT_CACHE", str(folder))
    return folder


@pytest.fixture
def vqa_rad() -> Path:
    """Return the folder of the real radiology questions."""
    folder = Path(__file__).parents[3] / "shared" / "data" / "vqa_rad"
    if not folder.is_dir():
        pytest.skip("the real data, ../shared/data/vqa_rad, is not there")
    return folder
