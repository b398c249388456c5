"""−log probability of backbone and side-chain torsions near a residue, by which moves are judged."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from burnish.chemistry.ramachandran import ramachandran_nll
from burnish.chemistry.residues import ResidueView
from burnish.chemistry.rotamers import CHI_ATOMS, rotamer_nll
from burnish.geometry.torsions import torsion_angles
from burnish.validate.ramachandran import backbone_torsions

Array = NDArray[np.float64]

# −ln of the share of cis peptides (Jabs et al. 1999, J. Mol. Biol. 286, 291): 0.03 % of those not before proline, more
# where the density was looked at, here 5 in 10,000; 5.2 % of those before proline
CIS_NLL, CIS_PROLINE_NLL = 7.6, 2.9
WORST_TORSION = 12.0  # −log density of "impossible": one outlier cannot buy all else


class TorsionEnergies:
    """−log probability of the torsions near a residue."""

    def __init__(self, xyz: Array, views: Sequence[ResidueView]) -> None:
        self.views = views
        self.backbone = backbone_torsions(torch.from_numpy(xyz), views)
        self.row = {v: k for k, v in enumerate(self.backbone.view)}
        self.peptide: dict[int, tuple[int, ...]] = {}
        for i, view in enumerate(views):
            if view.kind == "protein" and view.previous >= 0:
                ends = views[view.previous].indices("CA", "C"), view.indices("N", "CA")
                if ends[0] is not None and ends[1] is not None:
                    self.peptide[i] = (*ends[0], *ends[1])

    def near(self, index: int, xyz: Array, atoms: NDArray[np.int64]) -> Callable[[Array], Array]:
        """Energy of the backbone of a residue and its neighbours, and of its side chain.

        Parameters
        ----------
        index : of the residue's view.
        xyz : positions of all atoms; those that do not move are held there. (n, 3)
        atoms : that move; the energy is a function of their positions (c, m, 3) → (c,).
        """
        view = self.views[index]
        around = [i for i in (view.previous, index, view.next) if i in self.row]
        if view.next >= 0 and self.views[view.next].next in self.row:
            around.append(self.views[view.next].next)
        rows = [self.row[i] for i in around]
        kinds = [self.backbone.kind[r] for r in rows]
        peptides = {self.peptide[i] for i in (index, view.next, *around) if i in self.peptide}
        chi = [view.indices(*names) for names in CHI_ATOMS.get(view.name, ())]
        four = [tuple(self.backbone.phi_atoms[r].tolist()) for r in rows]
        four += [tuple(self.backbone.psi_atoms[r].tolist()) for r in rows]
        prolines = {self.peptide[i] for i in self.peptide if self.views[i].name == "PRO"}
        cis = [CIS_PROLINE_NLL if p in prolines else CIS_NLL for p in sorted(peptides)]
        four += sorted(peptides)
        has_side = bool(chi) and all(c is not None for c in chi)
        four += [c for c in chi if c is not None] if has_side else []
        quadruples = np.array(four, dtype=np.int64).reshape(-1, 4)
        needed, local = np.unique(quadruples, return_inverse=True)
        local = local.reshape(quadruples.shape)
        place = {a: k for k, a in enumerate(atoms.tolist())}
        moving = np.array([k for k, a in enumerate(needed.tolist()) if a in place], dtype=np.int64)
        source = np.array([place[a] for a in needed.tolist() if a in place], dtype=np.int64)
        held = xyz[needed]

        def energy(batch: Array) -> Array:
            count = len(batch)
            total = np.zeros(count)
            if len(quadruples) == 0:
                return total
            points = np.repeat(held[None], count, axis=0)
            points[:, moving] = batch[:, source]
            ends = torch.from_numpy(points[:, local].reshape(-1, 4, 3))
            angles = torsion_angles(*ends.unbind(1)).reshape(count, -1)
            n = len(rows)
            for k, kind in enumerate(kinds):
                pair = torch.stack([angles[:, k], angles[:, n + k]], 1)
                total += ramachandran_nll([kind] * count, pair).clamp(max=WORST_TORSION).numpy()
            for k, rarity in enumerate(cis, start=2 * n):
                total += np.array([peptide_nll(a, rarity) for a in angles[:, k].tolist()])
            if has_side:
                value = rotamer_nll(view.name, angles[:, 2 * n + len(peptides) :])
                total += value.clamp(max=WORST_TORSION).numpy()
            return total

        return energy


def peptide_nll(omega: float, cis_nll: float = CIS_NLL) -> float:
    """−log probability of a peptide relative to a flat trans one; `cis_nll` is that of a flat cis one.

    The spread of both is 6°.
    """
    from_cis = math.degrees(abs(omega))
    trans, cis = 0.5 * ((180.0 - from_cis) / 6.0) ** 2, cis_nll + 0.5 * (from_cis / 6.0) ** 2
    return min(trans, cis, WORST_TORSION)
