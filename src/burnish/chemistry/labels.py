"""Labels of the atoms of a gemmi structure."""

from __future__ import annotations

import gemmi

from burnish.data.labels import AtomLabels


def atom_labels(structure: gemmi.Structure) -> AtomLabels:
    """Names of the atoms of the first model, in its order."""
    sites = list(structure[0].all())
    return AtomLabels(
        chain=tuple(site.chain.name for site in sites),
        number=tuple(site.residue.seqid.num or 0 for site in sites),
        insertion=tuple(site.residue.seqid.icode.strip() for site in sites),
        residue_name=tuple(site.residue.name for site in sites),
        atom_name=tuple(site.atom.name for site in sites),
    )


def atom_name(site: gemmi.CRA) -> str:
    """What a person calls an atom: chain, number, residue, atom, conformer ("A 27 LEU CD1 B")."""
    letter = f" {site.atom.altloc}" if site.atom.altloc != "\0" else ""
    return f"{site.chain.name} {site.residue.seqid} {site.residue.name} {site.atom.name}{letter}"


def atom_names(structure: gemmi.Structure) -> tuple[str, ...]:
    """Every atom of the first model as a person calls it."""
    return tuple(atom_name(site) for site in structure[0].all())
