"""Waters that nothing holds, or that sit too close to something."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.spatial import cKDTree

from burnish.chemistry.residues import ResidueView
from burnish.data.particle_symmetry import Symmetry
from burnish.symmetry.images import images_near

FARTHEST_PARTNER = 3.6  # Å; a hydrogen bond of a water is 2.5–3.3 Å, its position uncertain by a few tenths
CLOSEST_PARTNER = 2.3  # Å; nearer than that only metals come
PARTNERS = ("N", "O", "F", "S", "Cl", "Br", "I", "Se")


@dataclass(frozen=True, slots=True, kw_only=True)
class WaterContact:
    """What a water touches.

    Attributes
    ----------
    view : index into the residue views.
    nearest_partner : distance to the nearest atom that can hold it, symmetry mates among them, Å; inf if none is near.
    nearest_atom : distance to the nearest atom of any kind, Å.
    """

    view: int
    nearest_partner: float
    nearest_atom: float

    @property
    def is_alone(self) -> bool:
        """No partner within reach of a hydrogen bond."""
        return self.nearest_partner > FARTHEST_PARTNER

    @property
    def is_too_close(self) -> bool:
        """Closer to an atom than a water can be."""
        return self.nearest_atom < CLOSEST_PARTNER


def water_contacts(
    xyz: np.ndarray, elements: Sequence[str], views: Sequence[ResidueView], crystal: Symmetry | None
) -> tuple[WaterContact, ...]:
    """Neighbours of every water, symmetry mates among them; conformers of other letters are not neighbours.

    Parameters
    ----------
    xyz : positions of all atoms, Å. (n, 3)
    elements : of all atoms; hydrogens are left out.
    views : residues by conformer.
    crystal : None for no symmetry.
    """
    waters = [(i, v, v.atoms["O"]) for i, v in enumerate(views) if v.kind == "water" and "O" in v.atoms]
    if not waters:
        return ()
    heavy = np.array([k for k, e in enumerate(elements) if e not in ("H", "D")])
    letter = _letters(len(elements), views)
    oxygen = np.array([a for _, _, a in waters])
    if crystal is None:
        around, source = xyz[heavy], heavy
        identity = np.ones(len(heavy), dtype=bool)
    else:
        images = images_near(crystal, xyz[heavy], xyz[oxygen], FARTHEST_PARTNER + 0.5)
        around, source, identity = images.xyz, heavy[images.source], images.is_identity
    holds = np.array([elements[s] in PARTNERS or _is_metal(elements[s]) for s in source])
    metal = np.array([_is_metal(elements[s]) for s in source])
    tree = cKDTree(around)
    found = []
    for i, view, atom in waters:
        near = [k for k in tree.query_ball_point(xyz[atom], 4.5) if not (source[k] == atom and identity[k])]
        near = [k for k in near if not letter[source[k]] or not view.altloc or letter[source[k]] == view.altloc]
        near = [
            k for k in near if np.linalg.norm(around[k] - xyz[atom]) > 0.5 or source[k] != atom
        ]  # special positions
        away = {k: float(np.linalg.norm(around[k] - xyz[atom])) for k in near}
        found.append(
            WaterContact(
                view=i,
                nearest_partner=min((d for k, d in away.items() if holds[k]), default=np.inf),
                nearest_atom=min((d for k, d in away.items() if not metal[k]), default=np.inf),
            )
        )
    return tuple(found)


def _letters(n: int, views: Sequence[ResidueView]) -> list[str]:
    """Conformer letter of each atom; "" for those that all conformers of a residue share."""
    seen: dict[int, set[str]] = {}
    for view in views:
        for atom in view.atoms.values():
            seen.setdefault(atom, set()).add(view.altloc)
    return [next(iter(seen[a])) if a in seen and len(seen[a]) == 1 else "" for a in range(n)]


def _is_metal(element: str) -> bool:
    return element in _METALS


_METALS = frozenset({
    "Li", "Na", "K", "Rb", "Cs", "Be", "Mg", "Ca", "Sr", "Ba", "Al", "Ti", "V", "Cr", "Mn", "Fe", "Co", "Ni", "Cu",
    "Zn", "Ga", "Mo", "Ru", "Rh", "Pd", "Ag", "Cd", "In", "Sn", "Pt", "Au", "Hg", "Tl", "Pb",
})  # fmt: skip
