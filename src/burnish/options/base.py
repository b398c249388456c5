"""What all options models share."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import ClassVar

from pydantic import AliasChoices, BaseModel, Field
from pydantic.fields import FieldInfo

ANGPIX = AliasChoices("angpix", "pixel_size")  # RELION's name for the pixel size of a map, and the plain one
DEVICE = r"^(cpu|cuda(:\d+)?|auto)$"
ENTRY = r"^[A-Za-z0-9_]*$"
PATTERNS = {DEVICE: "cpu, cuda, cuda:N or auto", ENTRY: "letters, digits and _"}  # what a message says for each


def names_of(name: str, field: FieldInfo) -> tuple[str, ...]:
    """Every name by which an option may be given, the first of them the one that is written."""
    alias = field.validation_alias
    return tuple(str(c) for c in alias.choices) if isinstance(alias, AliasChoices) else (name,)


def refuse_others(options: BaseModel, names: Iterable[str], why: str) -> None:
    """Refuse options of this kind that were given: left unsaid, they would do nothing.

    Raises
    ------
    ValueError : for the first whose value is not its default.
    """
    for name in names:
        field = type(options).model_fields[name]
        if getattr(options, name) != field.get_default(call_default_factory=True):
            raise ValueError(f"--{names_of(name, field)[0].replace('_', '-')} {why}")


class JobOptions(BaseModel, frozen=True, extra="forbid"):
    """Options of one job; frozen, since the job record keeps them as they were."""

    hidden: ClassVar[tuple[str, ...]] = ()  # options of a base class that mean nothing here: not in help or forms

    out: Path = Field(description="Folder of the job; made when the inputs have been read and found good.")
