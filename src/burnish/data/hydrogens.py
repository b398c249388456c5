"""Hydrogens that follow the atoms they are bonded to."""

from __future__ import annotations

from dataclasses import dataclass, fields

from torch import Tensor


@dataclass(frozen=True, slots=True, kw_only=True)
class Riders:
    """Riding hydrogens: each position is a function of its parent and up to three atoms around it.

    The local frame of a hydrogen comes from unit vectors u_k = (x[tip_k] − x[base_k]) / |…|, k = 0, 1, 2:

        v₁ = Σ first_k u_k,   v₂ = Σ second_k u_k,   e₁ = v₁/|v₁|,   e₂ = (v₂ − e₁ e₁·v₂)/|…|,   e₃ = e₁ × e₂
        x[hydrogen] = x[parent] + Σ offset_i e_i

    Attributes
    ----------
    hydrogen, parent : indices of the atoms. (n,) int64
    tip, base : ends of the unit vectors; equal entries with zero weights where fewer vectors are needed. (n, 3) int64
    first, second : weights of the unit vectors in v₁ and v₂. (n, 3)
    offset : coordinates in the frame, Å. (n, 3)
    """

    hydrogen: Tensor
    parent: Tensor
    tip: Tensor
    base: Tensor
    first: Tensor
    second: Tensor
    offset: Tensor

    def __len__(self) -> int:
        return len(self.hydrogen)


def part_of(riders: Riders, part: slice) -> Riders:
    """Some of the hydrogens."""
    return Riders(**{field.name: getattr(riders, field.name)[part] for field in fields(Riders)})
