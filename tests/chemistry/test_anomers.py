"""A sugar that is bonded keeps the anomer that its name says."""

import gemmi
import numpy as np
import pytest
from tests.chemistry_models import component

from burnish.chemistry.add_residues import make_residue, with_link, with_residue
from burnish.chemistry.library import read_library
from burnish.chemistry.topology import build_topology
from burnish.rebuild.moves.sugars import CORE, FUCOSE, SugarBond, SugarSite, sugar_shape

MONLIB = read_library(["NAG", "BMA", "MAN", "FUC"], environment={}, debian=None).monlib


def bonded(bond: SugarBond) -> tuple[gemmi.Structure, str]:
    """A carrier as its dictionary draws it, and the next sugar at its bond."""
    heavy = [a for a in component(bond.carrier).atoms if not a.is_hydrogen() and a.id != "O1"]
    at = {a.id: np.array(a.xyz.tolist()) for a in heavy}
    carrier = make_residue(bond.carrier, list(at), [a.el.name for a in heavy], np.array(list(at.values())), 20.0)
    structure = gemmi.Structure()
    model, chain = gemmi.Model(1), gemmi.Chain("A")
    carrier.seqid = gemmi.SeqId(1, " ")
    chain.add_residue(carrier)
    model.add_chain(chain)
    structure.add_model(model)
    frame = np.array([at[name] for name in bond.frame])
    label = f"A 1 {bond.carrier}"
    shape = sugar_shape(MONLIB, SugarSite(label=label, frame=frame, bond=bond, carrier=frame))
    sugar = make_residue(bond.sugar, shape.names, shape.elements, shape.xyz[3:], 20.0)
    grown, new = with_residue(structure, sugar, "A")
    with_link(grown, f"{label} {bond.frame[2]}", f"{new} C1", gemmi.ConnectionType.Covale, bond.link)
    return grown, f"{new} C1"


@pytest.mark.parametrize("bond", [*CORE, *FUCOSE], ids=lambda b: f"{b.sugar} {b.link}")
def test_the_hand_of_the_anomeric_carbon_is_that_of_the_dictionary(bond):
    grown, name = bonded(bond)
    topology = build_topology(grown, MONLIB, hydrogens="remove")
    sites = list(topology.structure[0].all())
    xyz = np.array([s.atom.pos.tolist() for s in sites])
    labels = [f"{s.chain.name} {s.residue.seqid} {s.residue.name} {s.atom.name}" for s in sites]
    chirals = topology.restraints.chirals
    found = []
    for row, target, either in zip(
        chirals.atoms.tolist(), chirals.target.tolist(), chirals.either.tolist(), strict=True
    ):
        if labels[row[0]] == name and not either:
            centre = xyz[row[0]]
            found.append((np.linalg.det(xyz[row[1:]] - centre), target))
    assert found
    for volume, target in found:  # the dictionary's sugar was put there: its own volume is what is asked of it
        assert volume == pytest.approx(target, abs=0.25)


def test_a_link_that_agrees_is_left_alone():
    from burnish.chemistry.anomers import anomer_signs

    def signs(bond: SugarBond) -> dict[int, gemmi.ChiralityType]:
        grown, _ = bonded(bond)
        grown.setup_entities()
        own = MONLIB.clone()
        return anomer_signs(gemmi.prepare_topology(grown, own, 0, gemmi.HydrogenChange.Remove), own)

    assert all(signs(bond) == {} for bond in CORE)
    assert all(list(signs(bond).values()) == [gemmi.ChiralityType.Positive] for bond in FUCOSE)
