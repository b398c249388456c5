"""Residues beside the polymer: made, added to a model, linked, renamed."""

from __future__ import annotations

from collections.abc import Sequence

import gemmi
import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


def make_residue(name: str, atoms: Sequence[str], elements: Sequence[str], xyz: Array, b_iso: float) -> gemmi.Residue:
    """A residue without a number, of full occupancy; `xyz` in Å (m, 3)."""
    residue = gemmi.Residue()
    residue.name, residue.het_flag, residue.entity_type = name, "H", gemmi.EntityType.NonPolymer
    for label, element, position in zip(atoms, elements, xyz, strict=True):
        atom = gemmi.Atom()
        atom.name, atom.element = label, gemmi.Element(element)
        atom.pos, atom.b_iso, atom.occ = gemmi.Position(*position), b_iso, 1.0
        residue.add_atom(atom)
    return residue


def with_residue(structure: gemmi.Structure, residue: gemmi.Residue, chain_name: str) -> tuple[gemmi.Structure, str]:
    """The model with a residue more at the end of a chain, with the next free number.

    Returns
    -------
    The model, and what the residue is called ("A 501 NAG").
    """
    grown = structure.clone()
    chain = grown[0][chain_name]
    added = residue.clone()
    last = max((r.seqid.num for r in chain if r.seqid.num is not None and not r.is_water()), default=0)
    taken = {r.seqid.num for r in chain}
    number = next(n for n in range(int(last) + 1, 100_000) if n not in taken)
    added.seqid = gemmi.SeqId(number, " ")
    added.subchain = ""
    chain.add_residue(added)
    grown.setup_entities()
    return grown, f"{chain_name} {number} {residue.name}"


def nearest_chain(structure: gemmi.Structure, xyz: Array) -> str:
    """Chain with most polymer atoms within 5 Å of some positions, else the first.

    Parameters
    ----------
    xyz : Å. (m, 3)
    """
    counts: dict[str, int] = {}
    for chain in structure[0]:
        polymer = [a.pos.tolist() for r in chain if not r.is_water() and r.het_flag != "H" for a in r]
        if not polymer:
            continue
        away = np.linalg.norm(np.array(polymer)[:, None] - xyz[None], axis=2).min(axis=1)
        counts[chain.name] = int((away < 5.0).sum())
    return max(counts, key=lambda name: counts[name]) if counts else str(structure[0][0].name)


def with_link(structure: gemmi.Structure, first: str, second: str, kind: gemmi.ConnectionType, link: str = "") -> None:
    """Record a bond between two atoms, named as "A 27 ASN ND2"; the structure given is changed.

    Parameters
    ----------
    link : name of the link in the dictionary, "" for none.
    """
    connection = gemmi.Connection()
    partners = [_address(structure, name) for name in (first, second)]
    connection.partner1, connection.partner2 = partners
    connection.name = f"{'metalc' if kind == gemmi.ConnectionType.MetalC else 'covale'}{len(structure.connections) + 1}"
    connection.type, connection.link_id = kind, link
    one, two = (structure[0].find_cra(p).atom for p in partners)
    image = structure.cell.find_nearest_image(one.pos, two.pos, gemmi.Asu.Any)
    connection.asu = gemmi.Asu.Same if image.same_asu() else gemmi.Asu.Different
    connection.reported_distance = image.dist()
    structure.connections.append(connection)


def _address(structure: gemmi.Structure, name: str) -> gemmi.AtomAddress:
    chain, number, residue, atom = name.split()[:4]
    seqid = gemmi.SeqId(number)
    return gemmi.AtomAddress(chain, seqid, residue, atom, "\0")
