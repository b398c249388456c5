"""What refinement varies and how long; the engine's side of the options."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from burnish.models.restraints.weights import GeometryWeights


@dataclass(frozen=True, slots=True, kw_only=True)
class RefinementSettings:
    """Settings of one refinement.

    Attributes
    ----------
    cycles : number of Gauss–Newton cycles; 0 only scores.
    weight : fixed weight of the data against geometry; None for automatic.
    first_weight : where the automatic weight starts; None for the usual value at the resolution of a crystal.
    xyz : refine positions.
    adp : displacement parameters: isotropic, anisotropic, by the ratio of data to parameters, or not refined.
    occupancies : refine occupancies of alternate conformers, each group as one number, together one.
    ncs : local restraints between copies of a chain, found by sequence; None for automatic (on from 2 Å on when
        there are copies).
    jelly_body : σ of the restraints that hold present distances, Å; None for automatic (.05 Å beyond 2.8 Å).
    secondary_structure : hold hydrogen bonds and torsions of the helices and strands that the model starts with.
    reference_weight : factor on the restraints to a reference model.
    ramachandran_weight : factor on the −log density of φ and ψ (`restraints.ramachandran`); 0 for none.
    rotamer_weight : the same of χ (`restraints.side_chains`).
    tls : refine TLS groups beside residual B: none, one for each chain, or as given in `tls_groups`.
    tls_groups : atoms of each group when `tls` is "given".
    rigid_cycles : cycles that move rigid bodies before the others.
    domain_cycles : cycles that then move the domains of chains as rigid bodies; none where every chain is one domain.
    rigid_groups : atoms of each rigid body; empty for one body for each chain.
    hydrogens : ride on their atoms ("ride") or are refined as the others ("free").
    adp_weight : factor on the restraints of B.
    geometry : factors on the kinds of geometrical restraints.
    ridge : first damping, relative: how much the curvature of the data is raised.
    largest_move : of one atom in one cycle, Å; None for 1 Å.
    seed : of everything random.
    """

    cycles: int = 10
    weight: float | None = None
    first_weight: float | None = None
    xyz: bool = True
    adp: Literal["auto", "iso", "aniso", "fixed"] = "auto"
    occupancies: bool = True
    ncs: bool | None = None
    jelly_body: float | None = None
    secondary_structure: bool = False
    reference_weight: float = 1.0
    ramachandran_weight: float = 0.0
    rotamer_weight: float = 0.0
    tls: Literal["none", "chain", "given"] = "none"
    tls_groups: tuple[tuple[int, ...], ...] = ()
    rigid_cycles: int = 0
    domain_cycles: int = 0
    rigid_groups: tuple[tuple[int, ...], ...] = ()
    hydrogens: Literal["ride", "free"] = "ride"
    adp_weight: float = 1.0
    geometry: GeometryWeights = field(default_factory=GeometryWeights)
    ridge: float = 0.0
    largest_move: float | None = None
    seed: int = 0
