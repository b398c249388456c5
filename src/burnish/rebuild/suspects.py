"""Where a model looks wrong: residues that moves are tried at, with the reasons."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from burnish.chemistry.residues import ResidueView
from burnish.rebuild.conformations import Graph
from burnish.rebuild.evidence import Evidence
from burnish.rebuild.move import Site
from burnish.rebuild.moves.backbone import is_wrong
from burnish.rebuild.moves.peptides import peptide_site
from burnish.rebuild.moves.rotamers import rotamer_site
from burnish.rebuild.settings import RebuildSettings
from burnish.validate.cbeta import validate_cbeta
from burnish.validate.density_fit import ResidueFit
from burnish.validate.peptides import validate_peptides
from burnish.validate.ramachandran import validate_ramachandran
from burnish.validate.rotamers import validate_rotamers

Array = NDArray[np.float64]

Propose = Callable[[Array, Sequence[ResidueView], dict[int, ResidueFit], Evidence, Graph, RebuildSettings], list[Site]]


def wrong_places(
    xyz: Array, views: Sequence[ResidueView], fits: dict[int, ResidueFit], *, allowed: bool = False
) -> list[tuple[int, str]]:
    """Residues where the backbone went wrong, the worst first and none next to a worse one, with why.

    Parameters
    ----------
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
        if reasons:
            site = rotamer_site(xyz, views, i, graph, ", ".join(reasons))
            if site is not None:
                sites.append(site)
    return sites


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
