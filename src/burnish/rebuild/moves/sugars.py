"""Sugars on N-glycosylation sites: one after another along the core of the glycan, each at its bond."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import gemmi
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from burnish.chemistry.conformers import Shapes, ligand_shapes
from burnish.chemistry.residues import ResidueView
from burnish.data.particle_symmetry import Symmetry
from burnish.geometry.torsions import place_atoms
from burnish.maps.sampling import SplineMap, sample
from burnish.rebuild.blobs import THRESHOLD, box_map, evened, near_atoms
from burnish.rebuild.flexible import FlexibleBody, climb, distinct, flexible_body, pose_scores, turned_positions
from burnish.rebuild.pose_search import polished
from burnish.rebuild.side_chains import frame

Array = NDArray[np.float64]
Index = NDArray[np.int64]

PHI_STEPS, PSI_STEPS = 24, 24
BOX_RADIUS = 11.0  # Å; about the bond, a sugar with its acetamide reaches 8 Å
LEAVING = "O1"  # of the sugar that is added: its place is taken by the atom that it is bonded to
CLIMBERS = 60
RELEASED = 12  # poses that leave their bond a little: the atom that they hang on may be some tenths of an Å off
STRETCH = 30.0  # what a bond off by 1 Å costs a pose, in σ at carbon atoms


@dataclass(frozen=True, slots=True, kw_only=True)
class SugarBond:
    """How a sugar is bonded to what carries it.

    Attributes
    ----------
    carrier : residue that carries it.
    frame : three atoms of the carrier, the last of which is bonded to C1.
    sugar : component that comes.
    link : name in the dictionary.
    length : Å; angle : at the last atom of the frame, °.
    psi : angles that the first torsion may have, °, and how far from them; None for any.
    carrier_first : whether the dictionary names the carrier first.
    least_start : density somewhere on the circle of C1, σ, without which the sugar is not tried; for those that most
        glycans lack.
    """

    carrier: str
    frame: tuple[str, str, str]
    sugar: str
    link: str
    length: float
    angle: float
    psi: tuple[float, float] | None = None
    carrier_first: bool = True
    least_start: float | None = None


ASPARAGINE = SugarBond(
    carrier="ASN",
    frame=("CB", "CG", "ND2"),
    sugar="NAG",
    link="pyr-ASN",
    length=1.432,
    angle=122.6,
    psi=(180.0, 25.0),
    carrier_first=False,
)
# Along the core that all N-glycans share: GlcNAc–GlcNAc–Man(–Man)–Man (Varki et al. 2022, Essentials of Glycobiology).
CORE: tuple[SugarBond, ...] = (
    SugarBond(carrier="NAG", frame=("C5", "C4", "O4"), sugar="NAG", link="BETA1-4", length=1.43, angle=116.5),
    SugarBond(carrier="NAG", frame=("C5", "C4", "O4"), sugar="BMA", link="BETA1-4", length=1.43, angle=116.5),
    SugarBond(carrier="BMA", frame=("C2", "C3", "O3"), sugar="MAN", link="ALPHA1-3", length=1.43, angle=115.5),
    SugarBond(carrier="BMA", frame=("C5", "C6", "O6"), sugar="MAN", link="ALPHA1-6", length=1.43, angle=113.0),
)
# On the GlcNAc at the asparagine: α1-6 in animals, α1-3 in plants and insects.
FUCOSE: tuple[SugarBond, ...] = (
    SugarBond(
        carrier="NAG", frame=("C5", "C6", "O6"), sugar="FUC", link="ALPHA1-6", length=1.43, angle=113.0, least_start=2.0
    ),
    SugarBond(
        carrier="NAG", frame=("C2", "C3", "O3"), sugar="FUC", link="ALPHA1-3", length=1.43, angle=115.5, least_start=2.0
    ),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class SugarSite:
    """A place for a sugar.

    Attributes
    ----------
    label : residue that carries it, as a person writes it.
    frame : positions of the three atoms, Å. (3, 3)
    bond : how it is bonded.
    carrier : atoms of the carrier, which are no hindrance, by name. Å
    """

    label: str
    frame: Array
    bond: SugarBond
    carrier: Array


def sequons(views: Sequence[ResidueView]) -> list[int]:
    """Asparagines of Asn-X-Ser/Thr, X not proline, by index of their view."""
    found = []
    for i, view in enumerate(views):
        if view.name != "ASN" or view.altloc or view.next < 0 or "ND2" not in view.atoms:
            continue
        middle = views[view.next]
        if middle.name != "PRO" and middle.next >= 0 and views[middle.next].name in ("SER", "THR"):
            found.append(i)
    return found


def open_sites(structure: gemmi.Structure, views: Sequence[ResidueView], taken: Mapping[str, int]) -> list[SugarSite]:
    """Sequons and sugars of the core whose next sugar is missing.

    Parameters
    ----------
    structure, views : the model.
    taken : rank of each sugar in its glycan by label ("A 901 NAG": 1 at the asparagine).
    """
    carbons = np.array(
        [a.pos.tolist() for c in structure[0] for r in c for a in r if a.name == "C1" and not r.is_water()]
    ).reshape(-1, 3)
    wanted = [(i, ASPARAGINE) for i in sequons(views)]
    for i, view in enumerate(views):
        rank = taken.get(view.label, 0)
        bonds = {1: (CORE[0], *FUCOSE), 2: CORE[1:2], 3: CORE[2:]}.get(rank, ())
        wanted += [(i, bond) for bond in bonds if bond.carrier == view.name and not view.altloc]
    places = {str(k): a for k, a in enumerate(structure[0].all())}
    sites = []
    for i, bond in wanted:
        view = views[i]
        atoms = view.indices(*bond.frame)
        if atoms is None:
            continue
        frame = np.array([places[str(a)].atom.pos.tolist() for a in atoms])
        own = np.array([places[str(a)].atom.pos.tolist() for a in view.atoms.values()])
        others = (
            carbons[np.linalg.norm(carbons[:, None] - own[None], axis=2).min(axis=1) > 0.1] if len(carbons) else carbons
        )
        if len(others) and np.linalg.norm(others - frame[2], axis=1).min() < 2.0:
            continue
        sites.append(SugarSite(label=view.label, frame=frame, bond=bond, carrier=own))
    return sites


def sugar_ranks(structure: gemmi.Structure) -> dict[str, int]:
    """How far along its glycan each sugar is: 1 at the asparagine, 2 on that, 3 on that; by links or distance."""
    sites = {f"{c.chain.name} {c.residue.seqid} {c.residue.name} {c.atom.name}": c for c in structure[0].all()}
    ends = {
        name: np.array(c.atom.pos.tolist())
        for name, c in sites.items()
        if c.atom.name == "C1" and c.residue.name in ("NAG", "BMA")
    }
    ranks: dict[str, int] = {}
    carriers = [(name, np.array(c.atom.pos.tolist())) for name, c in sites.items() if c.atom.name in ("ND2", "O4")]
    for _ in range(3):
        for name, position in ends.items():
            label = " ".join(name.split()[:3])
            for carrier, at in carriers:
                place = " ".join(carrier.split()[:3])
                if place == label or np.linalg.norm(at - position) > 2.0:
                    continue
                if carrier.endswith("ND2"):
                    ranks[label] = 1
                elif place in ranks:
                    ranks[label] = ranks[place] + 1
    return ranks


def shows_start(site: SugarSite, spline: SplineMap, sigma: float) -> bool:
    """Whether density stands where C1 of the next sugar may be: on a circle about the carrier's bond."""
    if site.bond.least_start is None:
        return True
    a, b, c = (torch.from_numpy(x)[None].expand(PHI_STEPS, -1) for x in site.frame)
    turn = torch.arange(PHI_STEPS, dtype=torch.float64) * (2.0 * math.pi / PHI_STEPS)
    flat = torch.ones(PHI_STEPS, dtype=torch.float64)
    circle = place_atoms(a, b, c, flat * site.bond.length, flat * math.radians(site.bond.angle), turn)
    return float(sample(spline, circle).max()) > site.bond.least_start * sigma


@dataclass(frozen=True, slots=True, kw_only=True)
class SugarShape:
    """A sugar ready to be bonded: its atoms without the one that leaves, and the frame that it is bonded to.

    Attributes
    ----------
    names, elements : of the atoms, without the frame.
    body : frame first (3 atoms), then the sugar; anchored at the frame.
    free : the sugar alone.
    xyz : with the frame, in a standard position. (3 + m, 3)
    """

    names: tuple[str, ...]
    elements: tuple[str, ...]
    body: FlexibleBody
    free: FlexibleBody
    xyz: Array


def sugar_shape(monlib: gemmi.MonLib, site: SugarSite) -> SugarShape:
    """Put the sugar of the dictionary at its bond, both torsions at 180°."""
    shapes = ligand_shapes(monlib.monomers[site.bond.sugar], 0, 0)
    keep = [k for k, name in enumerate(shapes.atoms) if name != LEAVING]
    names = tuple(shapes.atoms[k] for k in keep)
    own = shapes.xyz[0]
    c1, o1, o5 = (own[shapes.atoms.index(n)] for n in ("C1", LEAVING, "O5"))
    bond = site.bond

    def t(x: Array) -> Tensor:
        return torch.from_numpy(np.asarray(x, dtype=np.float64))[None]

    def one(value: float) -> Tensor:
        return torch.tensor([value], dtype=torch.float64)

    a, b, c = (t(x) for x in site.frame)
    angle = math.radians(bond.angle)
    at_c1 = place_atoms(a, b, c, one(bond.length), one(angle), one(math.pi))
    cosine = (o1 - c1) @ (o5 - c1) / np.linalg.norm(o1 - c1) / np.linalg.norm(o5 - c1)
    length = float(np.linalg.norm(o5 - c1))
    at_o5 = place_atoms(b, c, at_c1, one(length), one(math.acos(cosine)), one(math.pi))
    # the frame (C1, towards the carrier, towards O5) of the dictionary's sugar goes onto that of the model
    old = frame(c1, o1, o5)
    new = frame(at_c1[0].numpy(), site.frame[2], at_o5[0].numpy())
    placed = (own[keep] - c1) @ (new @ old.T).T + at_c1[0].numpy()
    return SugarShape(
        names=names,
        elements=tuple(shapes.elements[k] for k in keep),
        body=_bonded_body(shapes, names),
        free=_free_body(shapes, names),
        xyz=np.concatenate([site.frame, placed]),
    )


def _bonded_body(shapes: Shapes, names: tuple[str, ...]) -> FlexibleBody:
    """The three atoms of the frame and the sugar, which turns about the last two bonds and its own."""
    place = {name: 3 + k for k, name in enumerate(names)}
    weight = torch.cat([torch.zeros(3), _weights(shapes, names)])
    pairs = [(0, 1), (1, 2), (2, place["C1"]), *_among(shapes, shapes.bonds, place)]
    axes = [(1, 2), (2, place["C1"]), *_among(shapes, shapes.turning, place)]
    return flexible_body(weight, np.array(pairs), np.array(axes), anchor=0, is_anchored=True)


def _free_body(shapes: Shapes, names: tuple[str, ...]) -> FlexibleBody:
    """The sugar alone."""
    place = {name: k for k, name in enumerate(names)}
    pairs, axes = (np.array(_among(shapes, x, place)).reshape(-1, 2) for x in (shapes.bonds, shapes.turning))
    return flexible_body(_weights(shapes, names), pairs, axes)


def _weights(shapes: Shapes, names: tuple[str, ...]) -> Tensor:
    """Electrons of each atom, those of carbon being 1."""
    electrons = [gemmi.Element(shapes.elements[shapes.atoms.index(n)]).atomic_number for n in names]
    return torch.tensor([float(e) / 6.0 for e in electrons])


def _among(shapes: Shapes, bonds: Index, place: Mapping[str, int]) -> list[tuple[int, int]]:
    """Bonds between atoms that have a place, as places."""
    ends = [(shapes.atoms[i], shapes.atoms[j]) for i, j in bonds.tolist()]
    return [(place[i], place[j]) for i, j in ends if i in place and j in place]


def sugar_poses(
    shape: SugarShape,
    site: SugarSite,
    spline: SplineMap,
    sigma: float,
    crystal: Symmetry | None,
    keep: Array,
    most: int = 2,
) -> list[Array]:
    """The best places of a sugar at its bond, the frame left out. (m, 3) each

    Parameters
    ----------
    shape, site : what goes where.
    spline, sigma : difference density and its unit.
    crystal : for symmetry mates.
    keep : atoms of the model that it may not touch, Å; those of the carrier are taken out here. (k, 3)
    """
    apart = np.linalg.norm(keep[:, None] - site.carrier[None], axis=2).min(axis=1) > 0.05
    centre = site.frame[2]
    box = box_map(spline, sigma, centre, BOX_RADIUS, near_atoms(crystal, keep[apart], centre, BOX_RADIUS + 3.0))
    box = evened(box, box.values[box.values > THRESHOLD].numpy())
    start = torch.from_numpy(shape.xyz).float()[None]
    phi = torch.arange(PHI_STEPS) * (2.0 * math.pi / PHI_STEPS)
    if site.bond.psi is None:
        psi = torch.arange(PSI_STEPS) * (2.0 * math.pi / PSI_STEPS)
    else:
        middle, spread = site.bond.psi
        psi = torch.deg2rad(torch.tensor([middle - 180.0 + k * spread for k in (-1.0, -0.5, 0.0, 0.5, 1.0)]))
    grid = torch.cartesian_prod(psi, phi)
    turns = torch.zeros(len(grid), len(shape.body.bonds))
    order = [_axis_of(shape.body, pair) for pair in ((1, 2), (2, 3 + shape.names.index("C1")))]
    turns[:, order[0]], turns[:, order[1]] = grid[:, 0], grid[:, 1]
    posed = turned_positions(shape.body, start.expand(len(grid), -1, -1), turns)
    first = pose_scores(shape.body, box, posed)
    best = distinct(posed, first, least=0.8, most=CLIMBERS)
    xyz, scores = climb(shape.body, box, posed[best], steps=40)
    near = distinct(xyz, scores, least=0.8, most=RELEASED)
    xyz, scores = climb(shape.free, box, xyz[near, 3:], steps=25)
    ranked = torch.argsort(scores, descending=True)
    xyz, scores = polished(shape.free, box, xyz[ranked], scores[ranked])
    length = (xyz[:, shape.names.index("C1")] - torch.from_numpy(site.frame[2]).to(xyz)).norm(dim=1)
    scores = scores - STRETCH * (length - site.bond.length).square()
    return [xyz[k].double().numpy() for k in distinct(xyz, scores, least=0.8, most=most)]


def _axis_of(body: FlexibleBody, pair: tuple[int, int]) -> int:
    return next(k for k, axis in enumerate(body.bonds.tolist()) if tuple(axis) == pair)
