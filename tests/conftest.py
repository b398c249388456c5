"""What all tests share: where the measured cases are, and a visible skip where they are not."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import torch

ROOT = Path(__file__).resolve().parents[1]


def pytest_configure() -> None:
    """One thread a worker: the suite runs on several workers, and thread pools fight."""
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Folder of measured and simulated cases, named by BURNISH_SHARED (its `data` folder)."""
    folder = Path(os.environ.get("BURNISH_SHARED", ROOT.parent / "shared")) / "data"
    if not folder.is_dir():
        pytest.skip(f"no measured cases at {folder}; set BURNISH_SHARED to the folder that holds data/")
    return folder
