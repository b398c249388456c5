"""Puts this folder's simulated experiment, `ctf_blobs`, where the tests beside it can import it."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
