"""Side chains in another rotamer, with and without a backrub of the residue."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence

import numpy as np

from burnish.chemistry.residues import ResidueView
from burnish.chemistry.rotamers import CHI_ATOMS, rotamers_of
from burnish.rebuild.conformations import BACKBONE, Array, Graph, chi_positions, with_backrub
from burnish.rebuild.move import Candidate, Site
from burnish.rebuild.side_chains import Template, side_chain_rotamers
from burnish.validate.flips import SWAPS

SPREAD = (-1.0, 0.0, 1.0)  # spreads of χ1 and χ2 about each listed rotamer that are tried
BACKRUBS_DEG = (-8.0, 8.0)
LEAST_FREQUENCY = 0.002
SAME_PLACES = 0.75  # Å rms
REFINED = 4  # conformations that are refined: one is often that which the side chain has
MOST = 400  # candidates a residue


def rotamer_site(
    xyz: Array, views: Sequence[ResidueView], index: int, graph: Graph, why: str, *, spread: bool = True
) -> Site | None:
    """All rotamers of one residue as candidates; None for residues without any or with missing atoms.

    Parameters
    ----------
    xyz : positions of all atoms, Å. (n, 3)
    views, index : residues, and which one.
    graph : bonds.
    why : what is wrong with it.
    spread : also the listed angles ± their spread.
    """
    view = views[index]
    torsions = CHI_ATOMS.get(view.name, ())
    if not torsions or view.name == "PRO" or any(view.indices(*names) is None for names in torsions):
        return None
    atoms = _zone(views, index)
    side = np.array([a in view.atoms.values() and _name(view, a) not in BACKBONE for a in atoms.tolist()])
    bases: list[tuple[str, Array]] = [("", xyz)]
    for angle in BACKRUBS_DEG:
        rubbed = with_backrub(xyz, views, index, math.radians(angle))
        if rubbed is not None:
            bases.append((f" backrub {angle:+.0f}°", rubbed))
    named: list[tuple[str, list[float], int]] = []
    for rotamer in rotamers_of(view.name):
        if rotamer.frequency < LEAST_FREQUENCY:
            continue
        variants = itertools.product(SPREAD, repeat=min(2, len(torsions))) if spread else [(0.0, 0.0)]
        for steps in variants:
            shifted = zip(rotamer.chi, rotamer.esd, (*steps, 0.0, 0.0, 0.0), strict=False)
            chi = [c + s * e for c, e, s in shifted]
            named += [(rotamer.name, chi, k) for k in range(len(bases) if not any(steps) else 1)]
    own = list(view.atoms.values())
    row = {a: k for k, a in enumerate(atoms.tolist())}
    angles = np.array([chi for _, chi, _ in named])
    placed = [chi_positions(base, view, graph, angles) for _, base in bases]
    candidates = []
    for k, (name, _, base) in enumerate(named):
        if not _only_swaps(xyz, placed[base][k], view):
            moved = bases[base][1][atoms]
            moved[[row[a] for a in own]] = placed[base][k]
            candidates.append(Candidate(name=name + bases[base][0], xyz=moved))
    return Site(
        kind="rotamer",
        residue=view.label,
        view=index,
        atoms=atoms,
        judged=side,
        candidates=tuple(candidates[:MOST]),
        why=why,
        refined=REFINED,
        apart=SAME_PLACES,
    )


def new_side_chain_site(
    xyz: Array, views: Sequence[ResidueView], index: int, template: Template, why: str
) -> Site | None:
    """One residue with a side chain from the dictionary, in every rotamer; None where atoms are missing.

    For side chains with a wrong hand: turning about bonds leaves a centre as it is, and on the way to the other hand it
    is flat, where refinement of the whole remains. Where refining the zone alone mends it, that is taken.

    Parameters
    ----------
    xyz, views, index, why : as for `rotamer_site`.
    template : of the residue's kind.
    """
    view = views[index]
    if any(n not in view.atoms for n in template.names):
        return None
    atoms = _zone(views, index)
    row = {a: k for k, a in enumerate(atoms.tolist())}
    side = np.array([row[view.atoms[n]] for n in template.side], dtype=np.int64)
    labels, _, placed = side_chain_rotamers(template, xyz[[view.atoms[n] for n in template.names[:3]]])
    candidates = []
    for label, places in zip(labels, placed, strict=True):
        moved = xyz[atoms]
        moved[side] = places
        candidates.append(Candidate(name=f"{label} anew".strip(), xyz=moved))
    judged = np.zeros(len(atoms), dtype=bool)
    judged[side] = True
    return Site(
        kind="rotamer",
        residue=view.label,
        view=index,
        atoms=atoms,
        judged=judged,
        candidates=tuple(candidates),
        why=why,
        refined=REFINED,
        apart=SAME_PLACES,
        settled=0.0,
    )


def _only_swaps(old: Array, new: Array, view: ResidueView) -> bool:
    """Whether a side chain takes the places that it has, its amide or imidazole turned over.

    Density hardly tells these apart; their contacts do, which is what the amide flips go by. Without this the two kinds
    of moves would undo each other.

    Parameters
    ----------
    old : positions of all atoms, Å. (n, 3)
    new : of the residue's, in the order of `view.atoms`. (m, 3)
    """
    if view.name not in SWAPS:
        return False
    place = dict(zip(view.atoms, new, strict=True))
    side = [n for n in view.atoms if n not in BACKBONE]
    swapped = {n: SWAPS[view.name].get(n, n) for n in side}

    def apart(partner: Mapping[str, str]) -> float:
        square = [((old[view.atoms[n]] - place[partner[n]]) ** 2).sum() for n in side]
        return math.sqrt(float(np.mean(square)))

    return apart(swapped) < SAME_PLACES and apart({n: n for n in side}) > SAME_PLACES


def _name(view: ResidueView, atom: int) -> str:
    return next(n for n, a in view.atoms.items() if a == atom)


def _zone(views: Sequence[ResidueView], index: int) -> np.ndarray:
    """The residue with the peptides on both sides."""
    view = views[index]
    atoms = list(view.atoms.values())
    if view.previous >= 0:
        atoms += [a for n, a in views[view.previous].atoms.items() if n in ("C", "O")]
    if view.next >= 0:
        atoms += [a for n, a in views[view.next].atoms.items() if n == "N"]
    return np.array(sorted(set(atoms)), dtype=np.int64)
