"""−log probability of backbone and side-chain torsions near a residue, by which moves are judged."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from burnish.chemistry.ramachandran import ramachandran_nll
from burnish.chemistry.residues import ResidueView
from burnish.chemistry.rotamers import rotamer_nll
from burnish.geometry.torsions import torsion_angles
from burnish.rebuild.conformations import chi_of, torsion
from burnish.validate.ramachandran import backbone_torsions

Array = NDArray[np.float64]

CIS_NLL = 7.6  # −ln 0.0005
WORST_TORSION = 12.0  # −log density of "impossible": one outlier cannot buy all else


class TorsionEnergies:
    """−log probability of the torsions near a residue."""

    def __init__(self, xyz: Array, views: Sequence[ResidueView]) -> None:
        self.views = views
        self.backbone = backbone_torsions(torch.from_numpy(xyz), views)
        self.row = {v: k for k, v in enumerate(self.backbone.view)}
        self.peptide: dict[int, tuple[int, ...]] = {}
        for i, view in enumerate(views):
            if view.kind == "protein" and view.previous >= 0 and view.name != "PRO":
                ends = views[view.previous].indices("CA", "C"), view.indices("N", "CA")
                if ends[0] is not None and ends[1] is not None:
                    self.peptide[i] = (*ends[0], *ends[1])

    def near(self, index: int) -> Callable[[Array], float]:
        """Energy of the backbone of a residue and its neighbours, and of its side chain and the next one's."""
        view = self.views[index]
        around = [i for i in (view.previous, index, view.next) if i in self.row]
        if view.next >= 0 and self.views[view.next].next in self.row:
            around.append(self.views[view.next].next)
        peptides = [self.peptide[i] for i in (index, view.next, *around) if i in self.peptide]
        rows = torch.tensor([self.row[i] for i in around], dtype=torch.int64)
        kinds = [self.backbone.kind[self.row[i]] for i in around]

        def energy(xyz: Array) -> float:
            total = 0.0
            if kinds:
                positions = torch.from_numpy(xyz)
                atoms = self.backbone.phi_atoms[rows], self.backbone.psi_atoms[rows]
                angles = torch.stack([torsion_angles(*positions[a].unbind(1)) for a in atoms], 1)
                total += float(ramachandran_nll(kinds, angles).clamp(max=WORST_TORSION).sum())
            total += sum(peptide_nll(torsion(xyz, atoms)) for atoms in set(peptides))
            chi = chi_of(xyz, view)
            if chi is not None:
                value = rotamer_nll(view.name, torch.tensor([chi], dtype=torch.float64))
                total += float(value.clamp(max=WORST_TORSION).sum())
            return total

        return energy


def peptide_nll(omega: float) -> float:
    """−log probability of a peptide that is not before proline, relative to a flat trans one.

    5 in 10,000 are cis (Jabs et al. 1999, J. Mol. Biol. 286, 291: 0.03 %; more where the density was looked at); the
    spread of both is 6°.
    """
    from_cis = math.degrees(abs(omega))
    trans, cis = 0.5 * ((180.0 - from_cis) / 6.0) ** 2, CIS_NLL + 0.5 * (from_cis / 6.0) ** 2
    return min(trans, cis, WORST_TORSION)
