"""Where a model looks wrong: residues that moves are tried at, with the reasons."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace

import gemmi
import numpy as np
import torch
from numpy.typing import NDArray

from burnish.chemistry.residues import ResidueView
from burnish.chemistry.rotamers import rotamers_of
from burnish.data.restraints import Restraints
from burnish.maps.sampling import SplineMap, sample, spline_map
from burnish.rebuild.conformations import BACKBONE, Graph, chi_of, with_chi
from burnish.rebuild.evidence import Evidence
from burnish.rebuild.move import Site, shown_elsewhere
from burnish.rebuild.moves.backbone import is_wrong
from burnish.rebuild.moves.peptides import peptide_site
from burnish.rebuild.moves.rotamers import LEAST_FREQUENCY, new_side_chain_site, rotamer_site
from burnish.rebuild.settings import RebuildSettings
from burnish.rebuild.side_chains import side_chain_template
from burnish.validate.cbeta import validate_cbeta
from burnish.validate.density_fit import ResidueFit
from burnish.validate.geometry import chiral_deviations
from burnish.validate.peptides import validate_peptides
from burnish.validate.ramachandran import validate_ramachandran
from burnish.validate.rotamers import validate_rotamers

Array = NDArray[np.float64]


WORTH_A_TRY = 2.0  # σ of mFo − DFc where another rotamer would lie: what it is worth the trial tells
WRONG_HAND = 8.0  # σ; a centre of the other hand is 35 to 40 from its target, a flat one half of that


def wrong_hands(xyz: Array, views: Sequence[ResidueView], restraints: Restraints) -> tuple[set[int], set[int]]:
    """Residues whose Cα, and residues whose side chain, has a centre of the other hand or flat.

    Parameters
    ----------
    xyz : positions of all atoms, Å. (n, 3)
    views : residues.
    restraints : with the chirality of the same atoms.
    """
    found = chiral_deviations(restraints, torch.from_numpy(xyz))
    centres = set(found.atoms[found.z.abs() > WRONG_HAND, 0].tolist())
    proteins = [(i, v) for i, v in enumerate(views) if v.kind == "protein"]
    main = {i for i, v in proteins if v.atoms.get("CA") in centres}
    side = {i for i, v in proteins if any(a in centres for n, a in v.atoms.items() if n not in BACKBONE)}
    return main, side


def wrong_places(
    xyz: Array,
    views: Sequence[ResidueView],
    fits: dict[int, ResidueFit],
    *,
    allowed: bool = False,
    hands: Collection[int] = (),
) -> list[tuple[int, str]]:
    """Residues where the backbone went wrong, the worst first and none next to a worse one, with why.

    Parameters
    ----------
    hands : residues whose Cα has the wrong hand.
    allowed : count residues whose φ and ψ are allowed but not favoured as well.
    """
    positions = torch.from_numpy(xyz)
    verdict = {r.view: r.verdict for r in validate_ramachandran(positions, views)}
    omega = {p.view: p.omega for p in validate_peptides(positions, views)}
    taken: set[int] = set()
    found = []
    scored = []
    deviation = {d.view: d.deviation for d in validate_cbeta(positions, views)}
    for i, view in enumerate(views):
        if view.kind != "protein" or i not in fits:
            continue
        off = deviation.get(i, 0.0)
        reasons = is_wrong(
            off,
            omega.get(i),
            verdict.get(i, "favoured"),
            fits[i].correlation,
            proline=view.name == "PRO",
        )
        if i in hands:
            reasons.append("wrong hand of Cα")
        if allowed and not reasons and verdict.get(i) == "allowed":
            reasons = ["φ, ψ not favoured"]
        if reasons:
            scored.append((len(reasons) + off, i, f"{view.label}: {', '.join(reasons)}"))
    for _, index, why in sorted(scored, reverse=True):
        if index not in taken:
            found.append((index, why))
            taken.update({views[index].previous, index, views[index].next})
    return found


def suspicious_side_chains(
    xyz: Array,
    views: Sequence[ResidueView],
    fits: dict[int, ResidueFit],
    evidence: Evidence,
    graph: Graph,
    settings: RebuildSettings,
) -> list[Site]:
    if not settings.rotamers:
        return []
    rarity = {r.view: r for r in validate_rotamers(torch.from_numpy(xyz), views)}
    difference = spline_map(evidence.maps.difference)
    sites = []
    for i, view in enumerate(views):
        if i not in rarity or view.altloc:
            continue
        fit, reasons = fits[i], []
        if rarity[i].verdict != "favoured":
            reasons.append(f"rotamer {rarity[i].verdict}")
        if fit.correlation < settings.poor_fit:
            reasons.append(f"correlation {fit.correlation:.2f}")
        if abs(fit.worst_z) > 3.5:
            reasons.append(f"difference density {fit.worst_z:+.1f} σ")
        if not reasons:
            elsewhere = density_elsewhere(xyz, views, i, graph, difference, evidence.difference_sigma)
            if elsewhere > WORTH_A_TRY:
                reasons.append(f"difference density {elsewhere:+.1f} σ where another rotamer would lie")
        if reasons:
            site = rotamer_site(xyz, views, i, graph, ", ".join(reasons))
            if site is not None:
                sites.append(replace(site, for_density=rarity[i].verdict == "favoured"))
    return sites


def handless_side_chains(
    xyz: Array, views: Sequence[ResidueView], restraints: Restraints, monlib: gemmi.MonLib
) -> list[Site]:
    """Side chains with a centre of the wrong hand, to be made anew."""
    sites = []
    for i in sorted(wrong_hands(xyz, views, restraints)[1]):
        template = None if views[i].altloc else side_chain_template(monlib, views[i].name)
        if template is not None:
            site = new_side_chain_site(xyz, views, i, template, "wrong hand of the side chain")
            sites += [site] if site is not None else []
    return sites


def density_elsewhere(
    xyz: Array, views: Sequence[ResidueView], index: int, graph: Graph, difference: SplineMap, sigma: float
) -> float:
    """Mean difference density, σ, where the rotamer that has most of it would put atoms; 0 where none has any.

    A wrong rotamer need not show at its own atoms: refinement raises their B until no hole is left there. What it
    leaves is the density of the right one, which for a valine turned by a third is that of a single atom.

    Parameters
    ----------
    xyz, views, index, graph : positions, residues, which one, bonds.
    difference, sigma : mFo − DFc and its rms.
    """
    view = views[index]
    if view.name == "PRO" or chi_of(xyz, view) is None:
        return 0.0
    side = [a for n, a in view.atoms.items() if n not in BACKBONE]
    usual = [r for r in rotamers_of(view.name) if r.frequency > LEAST_FREQUENCY]
    places = np.stack([with_chi(xyz, view, graph, r.chi)[side] for r in usual])
    own = xyz[list(view.atoms.values())]
    shown = shown_elsewhere(own, places, lambda at: sample(difference, torch.from_numpy(at)).numpy() / sigma)
    return float(shown.max(initial=0.0))


def suspicious_peptides(
    xyz: Array,
    views: Sequence[ResidueView],
    fits: dict[int, ResidueFit],
    evidence: Evidence,
    graph: Graph,
    settings: RebuildSettings,
) -> list[Site]:
    if not settings.peptides:
        return []
    positions = torch.from_numpy(xyz)
    verdict = {r.view: r.verdict for r in validate_ramachandran(positions, views)}
    twisted = {p.view for p in validate_peptides(positions, views) if p.kind == "twisted"}
    sites = []
    for i, view in enumerate(views):
        if view.kind != "protein" or view.next < 0 or view.altloc:
            continue
        reasons = [
            f"{views[k].label} Ramachandran {verdict[k]}"
            for k in (i, view.next)
            if verdict.get(k, "favoured") != "favoured"
        ]
        if view.next in twisted:
            reasons.append("twisted")
        worst = min(fits[i].correlation, fits[view.next].correlation if view.next in fits else 1.0)
        if worst < settings.poor_fit - 0.1:
            reasons.append(f"correlation {worst:.2f}")
        if reasons:
            site = peptide_site(xyz, views, i, ", ".join(reasons))
            if site is not None:
                sites.append(site)
    return sites
