"""Side chains built on a backbone from the dictionary, in every rotamer, and how well each lies in density."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import gemmi
import numpy as np
import torch
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from burnish.chemistry.residues import ResidueView
from burnish.chemistry.rotamers import CHI_ATOMS, rotamers_of
from burnish.geometry.torsions import place_atoms
from burnish.maps.sampling import SplineMap, sample
from burnish.rebuild.conformations import BACKBONE, bond_graph, with_chi
from burnish.validate.cbeta import ideal_cbeta

Array = NDArray[np.float64]

LEAST_FREQUENCY = 0.002
SPREAD = (-1.0, 0.0, 1.0)
CLASH = 2.9  # Å between heavy atoms that are not bonded; polar contacts are shorter, hence the soft penalty
RICHEST = 2.5  # σ; more density at an atom than that says no more for it
PUCKERS_DEG = (29.0, -26.0)  # χ1 of proline, Cγ-endo and Cγ-exo
PER_ATOM = 1.0  # σ; density that an atom must have to be better than none


@dataclass(frozen=True, slots=True, kw_only=True)
class Template:
    """The heavy atoms of an amino acid as in its dictionary.

    Attributes
    ----------
    name : three-letter code.
    names, elements : of the atoms N, CA, C, then the side chain from CB on. n
    xyz : Å, in the dictionary's frame. (n, 3)
    bonds : pairs of indices. (m, 2)
    """

    name: str
    names: tuple[str, ...]
    elements: tuple[str, ...]
    xyz: Array
    bonds: NDArray[np.int64]

    @property
    def side(self) -> tuple[str, ...]:
        """Names of the side-chain atoms, CB first."""
        return self.names[3:]


def side_chain_template(monlib: gemmi.MonLib, name: str) -> Template | None:
    """The template of an amino acid; None for components that are none or have no coordinates."""
    if name not in monlib.monomers:
        return None
    component = monlib.monomers[name]
    positions = {a.id: np.array(a.xyz.tolist()) for a in component.atoms if a.el.name not in ("H", "D")}
    if not {"N", "CA", "C"} <= set(positions) or not np.isfinite(np.array(list(positions.values()))).all():
        return None
    if np.ptp(np.array(list(positions.values())), axis=0).max() < 1.0:
        return None  # a dictionary without coordinates
    elements = {a.id: a.el.name for a in component.atoms}
    side = [n for n in positions if n not in BACKBONE]
    names = ("N", "CA", "C", *sorted(side, key=lambda n: (n != "CB", list(positions).index(n))))
    index = {n: k for k, n in enumerate(names)}
    if name == "ARG" and _is_turned(positions):  # NH1 is on the side of CD by its definition
        positions["NH1"], positions["NH2"] = positions["NH2"], positions["NH1"]
    pairs = [
        (index[b.id1.atom], index[b.id2.atom])
        for b in component.rt.bonds
        if b.id1.atom in index and b.id2.atom in index
    ]
    return Template(
        name=name,
        names=names,
        elements=tuple(elements[n] for n in names),
        xyz=np.stack([positions[n] for n in names]),
        bonds=np.array(pairs, dtype=np.int64).reshape(-1, 2),
    )


def _is_turned(positions: Mapping[str, Array]) -> bool:
    return float(np.linalg.norm(positions["NH1"] - positions["CD"])) > float(
        np.linalg.norm(positions["NH2"] - positions["CD"])
    )


def frame(origin: Array, along: Array, third: Array) -> Array:
    """Right-handed orthonormal axes as columns: x from origin to `along`, y towards `third`. (3, 3)"""
    x = (along - origin) / np.linalg.norm(along - origin)
    y = (third - origin) - ((third - origin) @ x) * x
    y = y / np.linalg.norm(y)
    return np.stack([x, y, np.cross(x, y)], axis=1)


def side_chain_rotamers(
    template: Template, backbone: Array, present: Mapping[str, Array] | None = None, *, spread: bool = True
) -> tuple[list[str], list[float], Array]:
    """The side chain in every rotamer on a backbone.

    Parameters
    ----------
    template : of the amino acid.
    backbone : N, CA, C, Å. (3, 3)
    present : positions of a Cβ that is there; the ideal one otherwise.
    spread : also the first torsion ± its spread, and the second.

    Returns
    -------
    Name and −log frequency of each, and positions of the atoms `template.side`. n, n, (n, m, 3)
    """
    n, ca, c = (torch.from_numpy(x)[None] for x in backbone)
    cb = ideal_cbeta(n, ca, c, template.name)[0].numpy()
    if present is not None and "CB" in present:
        cb = present["CB"]
    if not template.side:
        return [""], [0.0], np.zeros((1, 0, 3))
    own = {name: k for k, name in enumerate(template.names)}
    rotation = frame(backbone[1], cb, backbone[0]) @ frame(*(template.xyz[own[k]] for k in ("CA", "CB", "N"))).T
    placed = (template.xyz - template.xyz[own["CB"]]) @ rotation.T + cb
    placed[:3] = backbone
    view = _local_view(template)
    graph = bond_graph(template.bonds)
    if template.name == "PRO":
        return _proline(template, placed)
    torsions = CHI_ATOMS.get(template.name, ())
    if not torsions or any(view.indices(*names) is None for names in torsions):
        return [""], [0.0], placed[None, 3:]
    labels, costs, found = [], [], []
    for rotamer in rotamers_of(template.name):
        if rotamer.frequency < LEAST_FREQUENCY:
            continue
        for steps in itertools.product(SPREAD if spread else (0.0,), repeat=min(2, len(torsions))):
            moved = zip(rotamer.chi, rotamer.esd, (*steps, 0.0, 0.0, 0.0), strict=False)
            chi = [a + s * e for a, e, s in moved]
            labels.append(rotamer.name)
            costs.append(-float(np.log(rotamer.frequency)) + 0.5 * sum(s * s for s in steps))
            found.append(with_chi(placed, view, graph, chi)[3:])
    return labels, costs, np.stack(found)


def _proline(template: Template, placed: Array) -> tuple[list[str], list[float], Array]:
    """The two puckers of proline: its ring turns about no bond, so that it is built atom by atom."""
    n, ca, cb = (torch.from_numpy(placed[template.names.index(k)])[None] for k in ("N", "CA", "CB"))
    one, found = torch.ones(1, dtype=torch.float64), []
    for chi in PUCKERS_DEG:
        cg = place_atoms(n, ca, cb, one * 1.496, one * math.radians(104.2), one * math.radians(chi))
        cd = place_atoms(ca, cb, cg, one * 1.505, one * math.radians(105.0), one * math.radians(-1.3 * chi))
        ring = {"CB": cb, "CG": cg, "CD": cd}
        found.append(np.concatenate([ring[k].numpy() for k in template.side]))
    return ["endo", "exo"], [-math.log(0.5)] * 2, np.stack(found)


def _local_view(template: Template) -> ResidueView:
    return ResidueView(
        chain="",
        number="1",
        name=template.name,
        altloc="",
        is_primary=True,
        kind="protein",
        atoms={n: k for k, n in enumerate(template.names)},
        elements=dict(zip(template.names, template.elements, strict=True)),
        previous=-1,
        next=-1,
        residue=0,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Fitted:
    """A side chain in its best rotamer.

    Attributes
    ----------
    rotamer : its name.
    xyz : of the atoms `template.side`. (m, 3)
    density : at each of them, σ. (m,)
    score : higher is better: density beyond what an atom must have, less clashes and rarity.
    """

    rotamer: str
    xyz: Array
    density: Array
    score: float


def clashes(candidates: Array, others: cKDTree | None) -> Array:
    """What overlaps of each candidate beyond Cβ with other atoms cost, of positions (c, m, 3). (c,)"""
    count, m = candidates.shape[:2]
    if others is None or m < 2:
        return np.zeros(count)
    near, _ = others.query(candidates[:, 1:].reshape(-1, 3))
    overlap = np.clip(CLASH - np.asarray(near).reshape(count, m - 1), 0.0, None)
    cost: Array = (4.0 * overlap**2).sum(axis=1)
    return cost


def fit_side_chain(
    template: Template,
    backbone: Array,
    spline: SplineMap,
    sigma: float,
    others: cKDTree | None,
    present: Mapping[str, Array] | None = None,
    counted: Sequence[bool] | None = None,
) -> Fitted:
    """The rotamer that lies best in density.

    Parameters
    ----------
    template, backbone, present : as for `side_chain_rotamers`.
    spline, sigma : density and its rms.
    others : atoms that must not be hit; None without.
    counted : which side-chain atoms are compared with the density; all when not given.
    """
    labels, costs, candidates = side_chain_rotamers(template, backbone, present)
    count, m = candidates.shape[:2]
    if m == 0:
        return Fitted(rotamer="", xyz=np.zeros((0, 3)), density=np.zeros(0), score=0.0)
    density = (sample(spline, torch.from_numpy(candidates.reshape(-1, 3))).numpy() / sigma).reshape(count, m)
    use = np.ones(m, dtype=bool) if counted is None else np.array(counted)
    weight = np.array([{"S": 2.7, "SE": 5.7}.get(e.upper(), 1.0) for e in template.elements[3:]])
    score = ((np.clip(density, -2.0, RICHEST * weight) - PER_ATOM) * use).sum(axis=1)
    score -= 0.3 * np.array(costs)
    score -= clashes(candidates, others)
    best = int(score.argmax())
    return Fitted(rotamer=labels[best], xyz=candidates[best], density=density[best], score=float(score[best]))
