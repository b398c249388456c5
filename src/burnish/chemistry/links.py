"""What is bonded across residues: links that the file names, that the sequence implies, or that distance shows."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

import gemmi

from burnish.data.restraints import Origin

PEPTIDE_LINKS = {"TRANS", "CIS", "PTRANS", "PCIS", "NMTRANS", "NMCIS"}
MAX_CIS_OMEGA_DEG = 30.0
GEMMI_MAX_PEPTIDE = 2.0  # Å; below, gemmi itself makes the peptide bond
GEMMI_MAX_NUCLEIC = 2.4  # Å; the same for O3′–P


@dataclass(frozen=True, slots=True, kw_only=True)
class Linking:
    """Distances that decide on links.

    Attributes
    ----------
    max_stretched : longest C–N or O3′–P, Å, that is still bonded where the sequence says so.
    max_record : longest bond, Å, that a record is believed.
    found_margin : a link that no record names is made when its atoms are closer than this times the ideal distance.
    find : look for links that no record names.
    """

    max_stretched: float = 5.0
    max_record: float = 6.0
    found_margin: float = 1.3
    find: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Linked:
    """What was done about links."""

    messages: tuple[str, ...]


def complete_links(model: gemmi.Structure, library: gemmi.MonLib, linking: Linking) -> Linked:
    """Add to `model.connections` the links that no record names; the structure given is changed.

    Parameters
    ----------
    model : entities and symmetry images already set up.
    library : dictionaries of its components, with links.
    linking : distances that decide.
    """
    messages = _check_records(model, linking)
    match_link_names(model, library)
    messages += _bridge_stretched(model, linking)
    if linking.find:
        messages += _find_links(model, library, linking)
    return Linked(messages=tuple(messages))


def mend_polymers(model: gemmi.Structure) -> list[str]:
    """Take residues of a polymer that follow a TER record in the middle of their chain for part of it.

    Some programs write TER at every gap; gemmi then takes all that follows for ligands, without a single link.

    Parameters
    ----------
    model : its entities are set up; the structure given is changed.
    """
    messages = []
    for chain in model[0]:
        strays = [
            residue
            for residue in chain
            if residue.entity_type == gemmi.EntityType.NonPolymer and residue.het_flag == "A" and _is_standard(residue)
        ]
        for residue in strays:
            residue.entity_type = gemmi.EntityType.Polymer
        if strays:
            messages.append(
                f"chain {chain.name}: {len(strays)} residues from {strays[0].name} {strays[0].seqid} on follow a TER"
                " record or are marked as ligands; taken for part of the polymer"
            )
    if messages:
        model.assign_subchains(force=True)
        model.ensure_entities()
    return messages


def _is_standard(residue: gemmi.Residue) -> bool:
    info = gemmi.find_tabulated_residue(residue.name)
    return info.is_standard() and (info.is_amino_acid() or info.is_nucleic_acid())


def link_origin(link_id: str, atoms: Sequence[gemmi.Atom]) -> Origin:
    """Kind of a link from its name and its bonded atoms."""
    if link_id in PEPTIDE_LINKS:
        return Origin.PEPTIDE
    if link_id == "p":
        return Origin.NUCLEIC
    if any(atom.element.is_metal for atom in atoms):
        return Origin.METAL
    names = {atom.name for atom in atoms}
    if link_id == "disulf" or names == {"SG"}:
        return Origin.DISULPHIDE
    if names & {"C1", "C2"} and any(atom.element.name in ("O", "N", "S") for atom in atoms):
        return Origin.GLYCOSIDIC
    return Origin.OTHER_LINK


def _address(chain: gemmi.Chain, residue: gemmi.Residue, atom: gemmi.Atom) -> gemmi.AtomAddress:
    return gemmi.AtomAddress(chain.name, residue.seqid, residue.name, atom.name, atom.altloc)


def _check_records(model: gemmi.Structure, linking: Linking) -> list[str]:
    """Drop records that are no covalent link, name missing atoms or lie far apart."""
    messages: list[str] = []
    kept = []
    for connection in model.connections:
        if connection.type == gemmi.ConnectionType.Hydrog:
            continue
        first, second = model[0].find_cra(connection.partner1, True), model[0].find_cra(connection.partner2, True)
        if first.atom is None or second.atom is None:
            messages.append(
                f"link {connection.partner1} – {connection.partner2} names an atom that the model lacks; ignored"
            )
            continue
        if connection.asu != gemmi.Asu.Same:
            image = model.cell.find_nearest_image(first.atom.pos, second.atom.pos, connection.asu)
            connection.asu = gemmi.Asu.Same if image.same_asu() else gemmi.Asu.Different
            distance = image.dist()
        else:
            distance = first.atom.pos.dist(second.atom.pos)
        if distance > linking.max_record:
            messages.append(
                f"link {connection.partner1} – {connection.partner2} is {distance:.1f} Å long;"
                f" ignored (links are kept up to {linking.max_record:g} Å)"
            )
            continue
        if first.atom.element.is_metal or second.atom.element.is_metal:
            connection.type = gemmi.ConnectionType.MetalC
        kept.append(connection)
    model.connections = gemmi.ConnectionList(kept)
    return messages


def match_link_names(model: gemmi.Structure, library: gemmi.MonLib) -> None:
    """Put the partners of every record that names a link into the link's order; drop names that do not fit.

    gemmi matches a record without a name in either order and writes the name of the link into it, but passes over a
    record with a name whose partners stand in the other order: without this, a model would lose its glycans' bonds
    when its topology is made a second time.
    """
    for connection in model.connections:
        if not connection.link_id:
            continue
        first, second = model[0].find_cra(connection.partner1, True), model[0].find_cra(connection.partner2, True)
        best, swapped, _, _ = library.match_link(
            first.residue, first.atom.name, first.atom.altloc, second.residue, second.atom.name, second.atom.altloc
        )
        if best is None or best.id != connection.link_id:
            swapped = False
            named = library.get_link(connection.link_id)
            ends = [(b.id1.atom, b.id2.atom) for b in named.rt.bonds[:1]] if named is not None else []
            if (second.atom.name, first.atom.name) in ends:
                swapped = True
            elif (first.atom.name, second.atom.name) not in ends:
                connection.link_id = ""
        if swapped:
            connection.partner1 = _address(second.chain, second.residue, second.atom)
            connection.partner2 = _address(first.chain, first.residue, first.atom)


def _bridge_stretched(model: gemmi.Structure, linking: Linking) -> list[str]:
    """Connect neighbours in sequence whose bond is too long for gemmi to see."""
    messages: list[str] = []
    for chain, first, second, kind in _sequence_neighbours(model):
        names = ("C", "N") if kind == "peptide" else ("O3'", "P")
        reach = GEMMI_MAX_PEPTIDE if kind == "peptide" else GEMMI_MAX_NUCLEIC
        for one, two in _conformer_pairs(first, names[0], second, names[1]):
            distance = one.pos.dist(two.pos)
            if distance <= reach:
                continue
            place = f"{chain.name}/{first.name} {first.seqid}/{names[0]} – {second.name} {second.seqid}/{names[1]}"
            if distance > linking.max_stretched:
                messages.append(
                    f"{place}: {distance:.1f} Å apart though next in sequence; left open"
                    f" (bonded up to {linking.max_stretched:g} Å)"
                )
                continue
            connection = gemmi.Connection()
            connection.name = f"stretched{len(model.connections) + 1}"
            connection.type = gemmi.ConnectionType.Covale
            connection.asu = gemmi.Asu.Same
            connection.link_id = "p" if kind == "nucleic" else _peptide_link(first, one, two, second)
            connection.partner1 = _address(chain, first, one)
            connection.partner2 = _address(chain, second, two)
            model.connections.append(connection)
            messages.append(f"{place}: stretched to {distance:.2f} Å, bonded because next in sequence")
    return messages


def _peptide_link(first: gemmi.Residue, c: gemmi.Atom, n: gemmi.Atom, second: gemmi.Residue) -> str:
    """Name of the peptide link from the residue and the present ω."""
    ca1, ca2 = first.find_atom("CA", c.altloc or "*"), second.find_atom("CA", n.altloc or "*")
    cis = False
    if ca1 is not None and ca2 is not None:
        omega = gemmi.calculate_dihedral(ca1.pos, c.pos, n.pos, ca2.pos)
        cis = abs(omega) * 57.29578 < MAX_CIS_OMEGA_DEG
    prefix = "P" if second.name in ("PRO", "HYP") else ""
    return prefix + ("CIS" if cis else "TRANS")


def _conformer_pairs(
    first: gemmi.Residue, name1: str, second: gemmi.Residue, name2: str
) -> list[tuple[gemmi.Atom, gemmi.Atom]]:
    """Atoms of both names whose conformers see each other."""
    ones = [atom for atom in first if atom.name == name1]
    twos = [atom for atom in second if atom.name == name2]
    return [(one, two) for one in ones for two in twos if "\0" in (one.altloc, two.altloc) or one.altloc == two.altloc]


def _sequence_neighbours(model: gemmi.Structure) -> Iterator[tuple[gemmi.Chain, gemmi.Residue, gemmi.Residue, str]]:
    """Pairs of residues that are next to each other in the sequence of a polymer."""
    kinds = {
        gemmi.PolymerType.PeptideL: "peptide",
        gemmi.PolymerType.PeptideD: "peptide",
        gemmi.PolymerType.Dna: "nucleic",
        gemmi.PolymerType.Rna: "nucleic",
        gemmi.PolymerType.DnaRnaHybrid: "nucleic",
    }
    for chain in model[0]:
        polymer = chain.get_polymer()
        if len(polymer) < 2:
            continue
        kind = kinds.get(polymer.check_polymer_type())
        if kind is None:
            continue
        groups = [list(group) for group in polymer.residue_groups()]
        for before, after in pairwise(groups):
            if follows(before[0], after[0]):
                for first in before:
                    for second in after:
                        yield chain, first, second, kind


def follows(first: gemmi.Residue, second: gemmi.Residue) -> bool:
    """Whether the second residue is next in sequence, by mmCIF's sequence numbers, else by the author's."""
    if first.label_seq is not None and second.label_seq is not None:
        return second.label_seq == first.label_seq + 1
    step = int(second.seqid.num or 0) - int(first.seqid.num or 0)
    if step == 0:
        return second.seqid.icode != first.seqid.icode
    return step == 1


def _find_links(model: gemmi.Structure, library: gemmi.MonLib, linking: Linking) -> list[str]:
    """Make the links of the library whose atoms lie close enough."""
    messages: list[str] = []
    known = {_key(connection.partner1, connection.partner2) for connection in model.connections}
    search = gemmi.NeighborSearch(model[0], model.cell, 4.0).populate(include_h=False)
    contacts = gemmi.ContactSearch(3.0)
    contacts.ignore = gemmi.ContactSearch.Ignore.AdjacentResidues
    for contact in contacts.find_contacts(search):
        one, two = contact.partner1, contact.partner2
        if one.residue.is_water() or two.residue.is_water():
            continue
        link, swapped, _, _ = library.match_link(
            one.residue, one.atom.name, one.atom.altloc, two.residue, two.atom.name, two.atom.altloc
        )
        if link is None or not link.rt.bonds:
            continue
        ideal = link.rt.bonds[0].value
        if contact.dist > linking.found_margin * ideal or link.id in PEPTIDE_LINKS or link.id == "gap":
            continue
        if swapped:
            one, two = two, one
        partner1, partner2 = _address(one.chain, one.residue, one.atom), _address(two.chain, two.residue, two.atom)
        if _key(partner1, partner2) in known:
            continue
        known.add(_key(partner1, partner2))
        connection = gemmi.Connection()
        connection.name = f"found{len(model.connections) + 1}"
        connection.type = gemmi.ConnectionType.Disulf if link.id == "disulf" else gemmi.ConnectionType.Covale
        connection.link_id = link.id
        connection.asu = gemmi.Asu.Same if contact.image_idx == 0 else gemmi.Asu.Different
        connection.partner1, connection.partner2 = partner1, partner2
        model.connections.append(connection)
        messages.append(f"link {link.id} found: {partner1} – {partner2}, {contact.dist:.2f} Å")
    return messages


def _key(partner1: gemmi.AtomAddress, partner2: gemmi.AtomAddress) -> frozenset[str]:
    return frozenset((str(partner1), str(partner2)))
