"""MolProbity's Ramachandran contours as they are, where cctbx-base is installed (an extra).

That package has the backbone contours compiled in; those of side chains are not in it. It runs in a process of its own:
loaded after PyTorch its extension modules end the process with a segmentation fault.
"""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys

from burnish.chemistry.exact_contours import Contours

_PROGRAM = """
import json, sys
sys.path += json.loads(sys.argv[1])
import boost_adaptbx.boost.python as boost
score = boost.import_ext("mmtbx_validation_ramachandran_ext").rama_eval().get_score
print(json.dumps([score(name, phi, psi) for name, phi, psi in json.load(sys.stdin)]))
"""
_LONGEST = 120.0  # s


def cctbx_contours() -> Contours | None:
    """Levels by cctbx, None where cctbx-base is not installed or does not answer."""
    if importlib.util.find_spec("boost_adaptbx") is None or _ask([("general", -60.0, -45.0)]) is None:
        return None
    return lambda asked: _ask(asked) or []


def _ask(asked: list[tuple[str, float, float]]) -> list[float] | None:
    """One level for each question, None when cctbx fails."""
    command = [sys.executable, "-c", _PROGRAM, json.dumps(sys.path)]
    try:
        said = subprocess.run(command, input=json.dumps(asked), capture_output=True, text=True, timeout=_LONGEST)
        found = json.loads(said.stdout) if said.returncode == 0 else None
    except (OSError, ValueError, subprocess.TimeoutExpired):
        return None
    return found if found is not None and len(found) == len(asked) else None
