"""Restraints of small models: what is bonded, how stretched bonds, gaps, conformers and symmetry are treated."""

import gemmi
import numpy as np
import pytest
import torch

from burnish.chemistry.hydrogens import make_riders, place_hydrogens
from burnish.chemistry.library import read_library
from burnish.chemistry.topology import Topology, build_topology
from burnish.core.errors import DataError
from burnish.data.restraints import Origin
from chemistry_models import peptide, residue, structure

AMINO_ACIDS = [
    *("ALA", "ARG", "ASN", "ASP", "CYS", "GLN", "GLU", "GLY", "HIS", "ILE", "LEU"),
    *("LYS", "MET", "PHE", "PRO", "SER", "THR", "TRP", "TYR", "VAL", "MSE"),
]


def topology_of(model: gemmi.Structure, **options) -> Topology:
    library = read_library(model[0].get_all_residue_names(), environment={}, debian=None)
    return build_topology(model, library.monlib, **options)


def positions(topology: Topology) -> torch.Tensor:
    return torch.tensor(np.array([site.atom.pos.tolist() for site in topology.structure[0].all()]))


def labels(topology: Topology) -> list[str]:
    return [f"{site.residue.seqid}/{site.atom.name}" for site in topology.structure[0].all()]


def bond_names(topology: Topology, origin: Origin) -> set[frozenset[str]]:
    names = labels(topology)
    chosen = topology.restraints.bonds.atoms[topology.restraints.bonds.origin == origin]
    return {frozenset((names[i], names[j])) for i, j in chosen.tolist()}


def move(model: gemmi.Structure, chain: str, first: int, shift: tuple[float, float, float]) -> None:
    for one in model[0][chain]:
        if one.seqid.num >= first:
            for atom in one:
                atom.pos += gemmi.Position(*shift)


def test_all_amino_acids_in_one_chain():
    topology = topology_of(peptide(AMINO_ACIDS), hydrogens="remove")
    restraints, xyz = topology.restraints, positions(topology)
    assert int((restraints.bonds.origin == Origin.PEPTIDE).sum()) == len(AMINO_ACIDS) - 1
    assert topology.messages == ()
    omegas = [k for k, name in enumerate(restraints.torsions.names) if name == "omega"]
    assert len(omegas) == len(AMINO_ACIDS) - 1
    assert bool(restraints.torsions.restrained[omegas].all())
    i, j = restraints.bonds.atoms.T
    inside = restraints.bonds.origin == Origin.MONOMER
    error = ((xyz[i] - xyz[j]).norm(dim=1) - restraints.bonds.target)[inside].abs()
    assert float(error.square().mean().sqrt()) < 0.03  # the component dictionary's coordinates against Engh & Huber
    centre, a, b, c = (xyz[restraints.chirals.atoms[:, k]] for k in range(4))
    volume = ((a - centre) * torch.linalg.cross(b - centre, c - centre)).sum(1)
    hands = volume * restraints.chirals.target
    assert bool((hands[~restraints.chirals.either] > 0).all())


def test_inputs_are_unchanged():
    model = peptide(["ALA", "SER"])
    before = model.make_pdb_string()
    topology_of(model, hydrogens="add")
    assert model.make_pdb_string() == before


@pytest.mark.parametrize("stretch", [0.0, 1.5, 3.0])
def test_next_in_sequence_stays_bonded_when_stretched(stretch):
    model = peptide(["ALA", "GLY", "PRO", "SER"])
    n = model[0]["A"][2].find_atom("N", "*").pos
    c = model[0]["A"][1].find_atom("C", "*").pos
    along = (n - c) / n.dist(c)
    move(model, "A", 3, tuple(stretch * value for value in along.tolist()))
    topology = topology_of(model)
    assert frozenset(("2/C", "3/N")) in bond_names(topology, Origin.PEPTIDE)
    assert len(bond_names(topology, Origin.PEPTIDE)) == 3
    assert any("stretched" in line for line in topology.messages) == (stretch > 0)
    names = labels(topology)
    assert "3/H2" not in names  # a bonded proline has no hydrogen on N
    assert names.count("2/OXT") == 0


def test_gap_in_numbering_stays_a_gap():
    model = peptide(["ALA", "GLY", "SER", "ALA"])
    for number, one in enumerate(model[0]["A"]):
        one.seqid = gemmi.SeqId((1, 2, 9, 10)[number], " ")
    move(model, "A", 9, (3.0, 0.0, 0.0))
    assert len(bond_names(topology_of(model), Origin.PEPTIDE)) == 2


def test_a_ter_record_inside_a_chain_does_not_end_the_polymer():
    text = peptide(["ALA", "GLY", "SER", "ALA", "GLY"]).make_pdb_string()
    lines = [line for line in text.splitlines() if not line.startswith("TER")]
    third = next(k for k, line in enumerate(lines) if line.startswith("ATOM") and int(line[22:26]) == 3)
    model = gemmi.read_pdb_string("\n".join([*lines[:third], "TER      10      GLY A   2", *lines[third:]]))
    topology = topology_of(model)
    assert len(bond_names(topology, Origin.PEPTIDE)) == 4
    assert topology.messages[0].startswith("chain A: 3 residues from SER 3 on follow a TER record")


def test_numbering_that_jumps_without_a_gap_is_bonded():
    model = peptide(["ALA", "GLY", "SER", "ALA"])
    for number, one in enumerate(model[0]["A"]):
        one.seqid = gemmi.SeqId((1, 2, 9, 10)[number], " ")
    assert len(bond_names(topology_of(model), Origin.PEPTIDE)) == 3


def test_far_neighbours_in_sequence_are_left_open_with_a_message():
    model = peptide(["ALA", "GLY", "SER", "ALA"])
    move(model, "A", 3, (40.0, 0.0, 0.0))
    topology = topology_of(model)
    assert len(bond_names(topology, Origin.PEPTIDE)) == 2
    assert any("left open" in line for line in topology.messages)


def test_conformers_are_bonded_among_themselves():
    model = peptide(["ALA", "SER", "ALA"])
    serine = model[0]["A"][1]
    for index in range(len(serine)):
        twin = serine[index].clone()
        serine[index].altloc = "A"
        twin.altloc, twin.pos = "B", twin.pos + gemmi.Position(0.3, 0.0, 0.0)
        serine.add_atom(twin)
    restraints = topology_of(model, hydrogens="remove").restraints
    letters = restraints.contacts.conformer[restraints.bonds.atoms]
    both = (letters > 0).all(1)
    assert bool((letters[both, 0] == letters[both, 1]).all())
    assert int((restraints.bonds.origin == Origin.PEPTIDE).sum()) == 4


def test_disulphide_is_found_by_distance():
    model = structure({"A": [residue("CYS", 1)], "B": [residue("CYS", 20)]})
    sulphur = model[0]["A"][0].find_atom("SG", "*").pos
    other = model[0]["B"][0]
    shift = sulphur + gemmi.Position(0.0, 0.0, 2.05) - other.find_atom("SG", "*").pos
    for atom in other:
        atom.pos += gemmi.Position(*shift.tolist())
    topology = topology_of(model)
    assert bond_names(topology, Origin.DISULPHIDE) == {frozenset(("1/SG", "20/SG"))}
    assert not any(name.endswith("/HG") for name in labels(topology))


def test_disulphide_across_symmetry_carries_its_operation():
    model = structure({"A": [residue("CYS", 1)]}, cell=(40, 40, 40, 90, 90, 90))
    model.spacegroup_hm = "P 1 2 1"
    cysteine = model[0]["A"][0]
    start = cysteine.find_atom("SG", "*").pos
    for atom in cysteine:  # SG 1.02 Å off the dyad along b, the rest away from it
        atom.pos = gemmi.Position(*(np.array(atom.pos.tolist()) - np.array(start.tolist()) + [1.02, 7.0, 0.0]))
    if cysteine.find_atom("CB", "*").pos.x < 1.02:
        for atom in cysteine:
            atom.pos = gemmi.Position(2.04 - atom.pos.x, atom.pos.y, -atom.pos.z)
    topology = topology_of(model, hydrogens="remove")
    bonds, images = topology.restraints.bonds, topology.restraints.images
    across = bonds.image > 0
    assert int(across.sum()) == 1
    i, j = bonds.atoms[across][0].tolist()
    xyz = positions(topology)
    k = int(bonds.image[across][0])
    mate = images.rotation[k] @ xyz[j] + images.shift[k]
    assert float((xyz[i] - mate).norm()) == pytest.approx(2.04, abs=1e-3)


def test_nucleotides_are_linked():
    first, second = residue("DA", 1), residue("DT", 2)
    anchor = first.find_atom("O3'", "*").pos
    shift = anchor + gemmi.Position(1.3, 0.9, 0.2) - second.find_atom("P", "*").pos
    for atom in second:
        atom.pos += gemmi.Position(*shift.tolist())
    second.remove_atom("OP3", "\0", gemmi.Element("O"))
    topology = topology_of(structure({"A": [first, second]}))
    assert bond_names(topology, Origin.NUCLEIC) == {frozenset(("1/O3'", "2/P"))}


def glycosylated_asparagine() -> gemmi.Structure:
    asparagine, sugar = residue("ASN", 5), residue("NAG", 401)
    sugar.remove_atom("O1", "\0", gemmi.Element("O"))
    carbon = sugar.find_atom("C1", "*").pos
    anchor = asparagine.find_atom("ND2", "*").pos
    for atom in sugar:
        atom.pos += gemmi.Position(*(anchor - carbon).tolist()) + gemmi.Position(0.8, 0.9, 0.8)
    return structure({"A": [asparagine], "B": [sugar]})


def test_n_glycan_is_linked_and_beta():
    topology = topology_of(glycosylated_asparagine(), hydrogens="remove")
    assert bond_names(topology, Origin.GLYCOSIDIC) == {frozenset(("5/ND2", "401/C1"))}


@pytest.mark.parametrize("link_id", ["", "pyr-ASN", "no such link", "BETA1-4"])
def test_links_survive_however_their_record_is_written(link_id):
    model = glycosylated_asparagine()
    asparagine, sugar = model[0]["A"][0], model[0]["B"][0]
    record = gemmi.Connection()
    record.type, record.asu, record.link_id = gemmi.ConnectionType.Covale, gemmi.Asu.Same, link_id
    record.partner1 = gemmi.AtomAddress("A", asparagine.seqid, "ASN", "ND2", "\0")  # the link names the sugar first
    record.partner2 = gemmi.AtomAddress("B", sugar.seqid, "NAG", "C1", "\0")
    model.connections.append(record)
    once = topology_of(model)
    again = topology_of(once.structure)
    for topology in (once, again):
        assert bond_names(topology, Origin.GLYCOSIDIC) == {frozenset(("5/ND2", "401/C1"))}
        assert not topology.messages
        assert "5/HD21" in labels(topology) and "5/HD22" not in labels(topology)  # the link takes it away
    assert labels(again) == labels(once)


def test_riding_hydrogens_follow():
    topology = topology_of(peptide(AMINO_ACIDS))
    xyz = positions(topology)
    riders = make_riders(topology.restraints, xyz)
    is_hydrogen = topology.restraints.contacts.is_hydrogen
    assert len(riders) == int(is_hydrogen.sum()) > 100
    placed = place_hydrogens(xyz, riders)
    moved = (placed - xyz)[is_hydrogen].norm(dim=1)
    assert float(moved.square().mean().sqrt()) < 0.1  # as gemmi places them, idealised
    lengths = (placed[riders.hydrogen] - placed[riders.parent]).norm(dim=1)
    assert float(lengths.min()) > 0.7 and float(lengths.max()) < 1.25


def test_hydrogens_of_the_file_are_kept_but_those_with_strange_names():
    model = topology_of(peptide(["ALA", "SER"])).structure
    kept = topology_of(model, hydrogens="keep")
    assert labels(kept) == labels(topology_of(peptide(["ALA", "SER"])))
    model[0]["A"][1].find_atom("HA", "*").name = "HX"
    some = topology_of(model, hydrogens="keep")
    assert some.restraints.n_atoms == kept.restraints.n_atoms - 1
    assert some.messages == ("1 hydrogens unknown to the dictionaries were left out, as A/SER 2/HX",)


def test_empty_model():
    model = structure({})
    library = read_library(["ALA"], environment={}, debian=None)
    with pytest.raises(DataError, match="no atoms"):
        build_topology(model, library.monlib)


def test_pairs_near_through_bonds():
    restraints = topology_of(peptide(["ALA", "ALA"]), hydrogens="remove").restraints
    near = {
        tuple(pair): steps
        for pair, steps in zip(restraints.contacts.near.tolist(), restraints.contacts.near_bonds.tolist(), strict=True)
    }
    for i, j in restraints.bonds.atoms.tolist():
        assert near[(min(i, j), max(i, j))] == 1
    for i, _, j in restraints.angles.atoms.tolist():
        assert near[(min(i, j), max(i, j))] == 2
    assert 3 in near.values()
