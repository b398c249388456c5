"""Options of `burnish rcomplete`, `paired` and `bmodel`: refinements repeated to judge one."""

from __future__ import annotations

from itertools import pairwise
from typing import ClassVar, Self

from pydantic import Field, field_validator, model_validator

from burnish.options.refine import MAPS_ONLY, RefineOptions


def falling_limits(value: str) -> str:
    """Resolution limits as text, checked: numbers in Å, coarse to fine."""
    try:
        numbers = [float(part) for part in value.split(",") if part.strip()]
    except ValueError:
        raise ValueError(f"numbers in Å with commas expected, found {value}") from None
    if len(numbers) < 2 or any(b >= a for a, b in pairwise(numbers)) or numbers[-1] <= 0:
        raise ValueError(f"two limits or more expected, coarse to fine, found {value}")
    return value


class RepeatedOptions(RefineOptions, frozen=True):
    """What repeated refinements share: they need diffraction data."""

    hidden: ClassVar[tuple[str, ...]] = (*MAPS_ONLY, "continue_from")

    @model_validator(mode="after")
    def _needs_reflections(self) -> Self:
        if self.data is None:
            raise ValueError("DATA: diffraction data are needed")
        if self.continue_from is not None:
            raise ValueError("--continue-from: not for repeated refinements")
        return self


class RCompleteOptions(RepeatedOptions, frozen=True):
    """Complete cross-validation: every reflection is held out of one refinement.

    The data are divided into --folds sets, mates under the lattice's symmetry together; the model is moved a little and
    refined without each. R-complete is the R factor of all held-out reflections: R-free with the precision of all data.
    """

    folds: int = Field(10, ge=2, le=100, description="Number of sets, and of refinements.")
    shake: float = Field(0.1, ge=0.0, le=1.0, description="Random move of the start, Å rms, to forget old fits.")


class PairedOptions(RepeatedOptions, frozen=True):
    """Paired refinement: to which resolution do the data improve the model?

    The model is refined to each limit in turn, coarse to fine, each from the last one's result; neighbours are compared
    on the data that both have. The folder gets the model refined to the limit that was found.
    """

    limits: str = Field(description="Resolution limits, Å, coarse to fine, as 2.2,2.0,1.85.")

    @field_validator("limits")
    @classmethod
    def _falling_numbers(cls, value: str) -> str:
        return falling_limits(value)

    @property
    def resolution_limits(self) -> tuple[float, ...]:
        """The limits as numbers, Å."""
        return tuple(float(part) for part in self.limits.split(",") if part.strip())


class BModelOptions(RepeatedOptions, frozen=True):
    """Which displacement parameters do the data pay for: one B, isotropic, TLS and isotropic, anisotropic?

    The model is refined with each. A larger model is taken where Hamilton's test does not reject it and the likelihood
    of the free data is better by more than its standard error. The folder gets the model refined with the one chosen.
    """

    include: str = Field("one,iso,tls,aniso", description="Models to try, small to large.")

    @field_validator("include")
    @classmethod
    def _known_models(cls, value: str) -> str:
        names = [part.strip() for part in value.split(",") if part.strip()]
        order = [n for n in ("one", "iso", "tls", "aniso") if n in names]
        if names != order or len(names) < 2:
            raise ValueError(f"two or more of one,iso,tls,aniso in this order expected, found {value}")
        return value
