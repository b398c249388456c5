"""Second conformers of side chains where the difference map shows them, and conformers that hardly exist dropped."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import gemmi
import numpy as np
import torch
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from burnish.chemistry.edit_conformers import Split
from burnish.chemistry.residues import ResidueView
from burnish.chemistry.rotamers import CHI_ATOMS, Rotamer, rotamers_of
from burnish.maps.peaks import find_peaks
from burnish.maps.sampling import SplineMap, points_near, sample, spline_map
from burnish.rebuild.conformations import BACKBONE, Graph, bond_graph, with_chi
from burnish.rebuild.evidence import Evidence, own_density
from burnish.rebuild.scene import Scene
from burnish.symmetry.images import images_near, nearest_images
from burnish.validate.density_fit import mask_radius

Array = NDArray[np.float64]
Index = NDArray[np.int64]

LEAST_FREQUENCY = 0.005
SPREAD = (-1.0, 0.0, 1.0)
BESIDE = 3.0  # Å; the oxygens of a second Glu may be that far from every atom of the first
# The last χ of these has a broad distribution (Lovell et al. 2000, Proteins 40, 389), with a period of 180° in acids; °
FREE_END = {
    **dict.fromkeys(("ASP", "GLU"), tuple(math.radians(k) for k in range(-90, 90, 30))),
    **dict.fromkeys(("ASN", "GLN", "HIS"), tuple(math.radians(k) for k in range(-180, 180, 30))),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class AlternateRules:
    """What a second conformer must show.

    Attributes
    ----------
    peak : a peak of mFo − DFc beside the side chain, σ, that makes it worth a look.
    mean_z : mean mFo − DFc at the atoms that are apart from the first conformer, σ.
    least_z : the lowest of them.
    first_mean_z, first_least_z : the same before the conformer is refined, which rotamers only come near to.
    apart : from every atom of the first conformer, Å.
    nearest, nearest_polar : other atoms may not be nearer than that to carbons and to N and O before refinement, Å.
    least_occupancy, most_occupancy : of the second conformer.
    clear_z : the mean below which .05 more of occupancy is asked for: weak and faint at once is noise.
    worst_d_min : beyond this resolution, Å, nothing is proposed.
    least_waters : for each residue of the polymer; before waters are there, difference density may be anything.
    """

    peak: float = 3.0
    mean_z: float = 2.8
    least_z: float = 1.2
    first_mean_z: float = 2.2
    first_least_z: float = 0.3
    apart: float = 0.9
    nearest: float = 2.7
    nearest_polar: float = 2.4
    least_occupancy: float = 0.15
    most_occupancy: float = 0.85
    clear_z: float = 4.0
    worst_d_min: float = 2.2
    least_waters: float = 0.25


@dataclass(frozen=True, slots=True, kw_only=True)
class Alternate:
    """A second conformer with its evidence.

    Attributes
    ----------
    view : of the residue.
    rotamer : name of the rotamer it came from.
    names : its atoms.
    xyz : Å. (m, 3)
    mean_z, least_z : mFo − DFc at the atoms apart from the first conformer, σ.
    apart : how many those are.
    occupancy : estimated.
    """

    view: int
    rotamer: str
    names: tuple[str, ...]
    xyz: Array
    mean_z: float
    least_z: float
    apart: int
    occupancy: float = 0.0


def find_alternates(scene: Scene, rules: AlternateRules) -> list[Alternate]:
    """The best second conformer of every side chain that has density for one, not yet refined."""
    evidence = scene.evidence
    waters = sum(v.kind == "water" for v in scene.views)
    residues = sum(v.kind in ("protein", "nucleic") and v.is_primary for v in scene.views)
    if evidence.maps.d_min > rules.worst_d_min or waters < rules.least_waters * residues:
        return []
    xyz = evidence.atoms.xyz.numpy()
    spline = spline_map(evidence.maps.difference)
    heavy = np.array([k for k, e in enumerate(evidence.atoms.elements) if e not in ("H", "D")])
    mates = images_near(scene.crystal, xyz[heavy], xyz, 6.0)
    source, tree = heavy[mates.source], cKDTree(mates.xyz)
    found = []
    for index in _suspects(scene, rules):
        view = scene.views[index]
        side = [n for n in view.atoms if n not in BACKBONE]
        graph = component_graph(scene.monlib, view)
        own = np.isin(source, list(view.atoms.values())) & mates.is_identity
        best = None
        for name, moved in _conformations(xyz, view, graph):
            at = moved[[view.atoms[n] for n in side]]
            alternate = _judged(spline, evidence, view, index, name, side, at, xyz, rules)
            if alternate is None or (best is not None and alternate.mean_z <= best.mean_z):
                continue
            beyond = [k for k, n in enumerate(side) if n != "CB"]  # Cβ is two bonds from the neighbours' atoms
            polar = [side[k][0] in "NO" for k in beyond]
            near = [
                list(tree.query_ball_point(p, rules.nearest_polar if is_polar else rules.nearest))
                for p, is_polar in zip(at[beyond], polar, strict=True)
            ]
            if any(not own[k] for ks in near for k in ks):
                continue
            best = alternate
        if best is not None:
            found.append(best)
    return found


def _suspects(scene: Scene, rules: AlternateRules) -> list[int]:
    """Complete side chains of one conformer with a peak of difference density beside them."""
    evidence = scene.evidence
    peaks = find_peaks(evidence.maps.difference, rules.peak * evidence.difference_sigma)
    xyz = evidence.atoms.xyz.numpy()
    where, _, _ = nearest_images(scene.crystal, peaks.xyz.numpy(), xyz)
    if len(where) == 0:
        return []
    tree = cKDTree(where)
    found = []
    for i, view in enumerate(scene.views):
        torsions = CHI_ATOMS.get(view.name, ())
        if view.kind != "protein" or view.altloc or not torsions or view.name == "PRO":
            continue
        if any(view.indices(*names) is None for names in torsions):
            continue
        side = [a for n, a in view.atoms.items() if n not in BACKBONE]
        if any(len(near) for near in tree.query_ball_point(xyz[side], BESIDE)):
            found.append(i)
    return found


def component_graph(monlib: gemmi.MonLib, view: ResidueView) -> Graph:
    """Bonds inside a residue, by atom index."""
    bonds = monlib.monomers[view.name].rt.bonds
    pairs = [
        (view.atoms[b.id1.atom], view.atoms[b.id2.atom])
        for b in bonds
        if b.id1.atom in view.atoms and b.id2.atom in view.atoms
    ]
    return bond_graph(np.array(pairs, dtype=np.int64).reshape(-1, 2))


def _conformations(xyz: Array, view: ResidueView, graph: Graph) -> list[tuple[str, Array]]:
    """All rotamers of a residue with their spread. The other atoms of the model stay."""
    made = []
    for rotamer in rotamers_of(view.name):
        if rotamer.frequency < LEAST_FREQUENCY:
            continue
        for chi in spread_angles(view.name, rotamer):
            made.append((rotamer.name, with_chi(xyz, view, graph, chi)))
    return made


def spread_angles(name: str, rotamer: Rotamer) -> list[list[float]]:
    """χ of a rotamer and about it: one esd either way of the first two, all directions where the last has none."""
    values = [
        [c + s * e for s in SPREAD] if k < 2 else [c]
        for k, (c, e) in enumerate(zip(rotamer.chi, rotamer.esd, strict=True))
    ]
    if name in FREE_END:
        values[-1] = [rotamer.chi[-1] + step for step in FREE_END[name]]
    return [list(chi) for chi in itertools.product(*values)]


def _judged(
    spline: SplineMap,
    evidence: Evidence,
    view: ResidueView,
    index: int,
    rotamer: str,
    side: Sequence[str],
    at: Array,
    xyz: Array,
    rules: AlternateRules,
) -> Alternate | None:
    """Difference density of one conformation at the atoms that are apart from the first conformer."""
    first = xyz[list(view.atoms.values())]
    apart = np.linalg.norm(at[:, None] - first[None], axis=2).min(axis=1) > rules.apart
    if not apart.any():
        return None
    z = sample(spline, torch.from_numpy(np.ascontiguousarray(at[apart]))).numpy() / evidence.difference_sigma
    if z.mean() < rules.first_mean_z or z.min() < rules.first_least_z:
        return None
    return Alternate(
        view=index,
        rotamer=rotamer,
        names=tuple(side),
        xyz=at,
        mean_z=float(z.mean()),
        least_z=float(z.min()),
        apart=int(apart.sum()),
    )


def occupancies_of(evidence: Evidence, firsts: Sequence[Index], seconds: Sequence[Array]) -> list[float]:
    """Occupancy of second conformers, from the difference density where they and the first ones lie.

    Twice the slope of mFo − DFc on D (F_second − F_first): of what a model lacks, a difference map shows half (Luzzati
    1953, Acta Cryst. 6, 142), since its phases are the model's.

    Parameters
    ----------
    evidence : maps of the model with the first conformers alone.
    firsts : their atoms, residues far from each other, so that two transforms serve all.
    seconds : positions of the same atoms in the second conformers, Å. (m, 3) each
    """
    atoms, maps = evidence.atoms, evidence.maps
    share, moved = np.zeros(len(atoms)), atoms.xyz.clone()
    for first, second in zip(firsts, seconds, strict=True):
        share[first] = 1.0
        moved[torch.from_numpy(first)] = torch.from_numpy(second)
    here = own_density(evidence, atoms, share).values
    there = own_density(evidence, replace(atoms, xyz=moved), share).values
    found = []
    for first, second in zip(firsts, seconds, strict=True):
        centres = torch.cat([atoms.xyz[torch.from_numpy(first)], torch.from_numpy(second)])
        _, points, _ = points_near(maps.difference, centres, mask_radius(maps.d_min))
        points = torch.unique(points)
        change = (there - here).reshape(-1)[points].double()
        left = maps.difference.values.reshape(-1)[points].double()
        found.append(2.0 * float((change * left).sum() / change.square().sum().clamp(min=1e-12)))
    return found


def split_of(alternate: Alternate, view: ResidueView, occupancy: float) -> Split:
    """The change of the model that a second conformer is."""
    positions = {
        n: (float(p[0]), float(p[1]), float(p[2])) for n, p in zip(alternate.names, alternate.xyz, strict=True)
    }
    return Split(chain=view.chain, number=view.number, name=view.name, positions=positions, occupancy=occupancy)


def decide_alternate(alternate: Alternate, occupancy: float, rules: AlternateRules) -> tuple[bool, str]:
    """Whether a second conformer stays, from its numbers alone, after its refinement."""
    numbers = (
        f"{alternate.rotamer}: difference density {alternate.mean_z:.1f} σ in the mean, {alternate.least_z:.1f} σ at "
        f"least, at {alternate.apart} atoms; occupancy about {occupancy:.2f}"
    )
    if alternate.apart == 0 or alternate.mean_z < rules.mean_z:
        return False, f"{numbers}; {rules.mean_z:.1f} σ are needed"
    if alternate.least_z < rules.least_z:
        return False, f"{numbers}; {rules.least_z:.1f} σ are needed at every atom"
    least = rules.least_occupancy if alternate.mean_z >= rules.clear_z else rules.least_occupancy + 0.05
    if not least <= occupancy <= rules.most_occupancy:
        return False, f"{numbers}; {least:.2f} to {rules.most_occupancy:.2f} is believed"
    return True, numbers


def faint_conformers(scene: Scene, least: float = 0.1) -> list[tuple[ResidueView, float]]:
    """Conformers whose occupancy refinement has driven below `least`."""
    found = []
    for view in scene.views:
        if not view.altloc:
            continue
        letters = {v.altloc for v in scene.views if v.residue == view.residue}
        own = [a for a in view.atoms.values() if scene.evidence.atoms.altloc[a] == view.altloc]
        if len(letters) < 2 or not own:
            continue
        occupancy = float(scene.evidence.atoms.occ[own].mean())
        if occupancy < least:
            found.append((view, occupancy))
    return found
