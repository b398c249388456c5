"""Distances to metals, and that a link record without a dictionary gets them."""

import gemmi
import pytest
import torch

from burnish.chemistry.library import read_library
from burnish.chemistry.metals import metal_distance
from burnish.chemistry.topology import build_topology
from burnish.data.restraints import Origin
from chemistry_models import residue, structure


@pytest.mark.parametrize(
    ("metal", "name", "atom", "expected"),
    [
        ("ZN", "HIS", "NE2", 2.03),
        ("ZN", "CYS", "SG", 2.31),
        ("CA", "ASP", "OD1", 2.36),
        ("CA", "GLY", "O", 2.36),
        ("MG", "HOH", "O", 2.07),
        ("MG", "HIS", "NE2", None),
        ("SR", "HOH", "O", None),
    ],
)
def test_table(metal, name, atom, expected):
    one = residue(name, 1)
    assert metal_distance(residue(metal, 2)[0], one, one.find_atom(atom, "*")) == expected


def test_link_record_to_a_metal():
    model = structure({"A": [residue("ASP", 1)], "B": [residue("MN", 2)]})
    oxygen = model[0]["A"][0].find_atom("OD1", "*")
    metal = model[0]["B"][0][0]
    metal.pos = oxygen.pos + gemmi.Position(0.0, 0.0, 2.6)
    link = gemmi.Connection()
    link.type, link.asu, link.name = gemmi.ConnectionType.MetalC, gemmi.Asu.Same, "m1"
    link.partner1 = gemmi.AtomAddress("A", gemmi.SeqId(1, " "), "ASP", "OD1")
    link.partner2 = gemmi.AtomAddress("B", gemmi.SeqId(2, " "), "MN", "MN")
    model.connections.append(link)
    monlib = read_library(["ASP", "MN"], environment={}, debian=None).monlib
    metal.pos = oxygen.pos + gemmi.Position(0.0, 0.0, 9.0)
    far = build_topology(model, monlib)
    assert not bool((far.restraints.bonds.origin == Origin.METAL).any())
    assert any("9.0 Å long; ignored" in line for line in far.messages)
    metal.pos = oxygen.pos + gemmi.Position(0.0, 0.0, 2.6)
    n_links = len(monlib.links)
    bonds = build_topology(model, monlib).restraints.bonds
    metal_bonds = bonds.origin == Origin.METAL
    assert int(metal_bonds.sum()) == 1
    torch.testing.assert_close(bonds.target[metal_bonds], torch.tensor([2.15], dtype=torch.float64))
    assert len(monlib.links) == n_links  # the library given is left as it was
