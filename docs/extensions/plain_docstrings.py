"""Docstrings are written to be read in the source: bars mean amplitudes, an indented block is a formula."""

from __future__ import annotations

import re
from typing import Any

from sphinx.application import Sphinx

_ITEM = re.compile(r"\s*(:|\.\. |[-*] |>>>)")


def _as_restructured_text(app: Sphinx, what: str, name: str, obj: Any, options: Any, lines: list[str]) -> None:
    result: list[str] = []
    literal = False
    for number, line in enumerate(lines):
        indented = line.startswith("    ")
        after_text = number > 1 and not lines[number - 1].strip() and not lines[number - 2].startswith("  ")
        if indented and after_text and not literal and not _ITEM.match(line) and not _ITEM.match(lines[number - 2]):
            result += ["::", ""]
            literal = True
        elif line.strip() and not indented:
            literal = False
        result.append(line if literal else re.sub(r"(?<!\\)\|", r"\\|", line))
    lines[:] = result


def setup(app: Sphinx) -> dict[str, bool]:
    """Connect after napoleon, which turns numpydoc's sections into fields."""
    app.connect("autodoc-process-docstring", _as_restructured_text, priority=900)
    return {"parallel_read_safe": True}
