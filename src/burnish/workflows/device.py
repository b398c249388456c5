"""Where a job computes."""

from __future__ import annotations

import torch

from burnish.core.errors import ResourceError


def chosen_device(name: str) -> str:
    """The device by its name; `auto` is the first CUDA device if there is one."""
    available = torch.cuda.is_available()
    if name == "auto":
        return "cuda" if available else "cpu"
    if name.startswith("cuda"):
        count = torch.cuda.device_count() if available else 0
        if not available or int(name.partition(":")[2] or 0) >= count:
            raise ResourceError(f"--device {name}: {count} CUDA devices found; use --device cpu or auto")
    return name
