"""Which nitrogen of a histidine carries a hydrogen, beside neighbours that decide it."""

import gemmi
import numpy as np
import pytest

from burnish.chemistry.all_atom import all_atom_model
from burnish.chemistry.library import read_library
from burnish.validate.histidines import protonate_histidines

LIBRARY = read_library(["HIS", "ALA"], debian=None, environment={}).monlib


def histidine(oxygens: dict[str, float]) -> gemmi.Structure:
    """A histidine with carbonyl oxygens of other residues at distances in line with its N–H bonds."""
    component = LIBRARY.monomers["HIS"]
    ring = gemmi.Residue()
    ring.name, ring.seqid, ring.het_flag = "HIS", gemmi.SeqId("5"), "A"
    ring.entity_type = gemmi.EntityType.Polymer
    place = {a.id: np.array(a.xyz.tolist()) for a in component.atoms}
    for listed in component.atoms:
        if not listed.is_hydrogen() and listed.id != "OXT":
            ring.add_atom(atom(listed.id, listed.el.name, place[listed.id]))
    structure, model, chain = gemmi.Structure(), gemmi.Model(1), gemmi.Chain("A")
    chain.add_residue(ring)
    model.add_chain(chain)
    other = gemmi.Chain("B")
    carriers = {"ND1": "HD1", "NE2": "HE2"}
    for k, (nitrogen, distance) in enumerate(oxygens.items()):
        unit = place[carriers[nitrogen]] - place[nitrogen]
        unit /= np.linalg.norm(unit)
        made = gemmi.Residue()
        made.name, made.seqid, made.het_flag = "ALA", gemmi.SeqId(str(10 + k)), "H"
        made.entity_type = gemmi.EntityType.NonPolymer
        made.add_atom(atom("O", "O", place[nitrogen] + distance * unit))
        made.add_atom(atom("C", "C", place[nitrogen] + (distance + 1.23) * unit))
        other.add_residue(made)
    model.add_chain(other)
    structure.add_model(model)
    return structure


def atom(name, element, xyz):
    made = gemmi.Atom()
    made.name, made.element, made.occ, made.b_iso = name, gemmi.Element(element), 1.0, 20.0
    made.pos = gemmi.Position(*xyz)
    return made


@pytest.mark.parametrize(
    ("oxygens", "expected"),
    [
        ({"ND1": 2.8}, {"HD1"}),
        ({"NE2": 2.8}, {"HE2"}),
        ({"ND1": 2.8, "NE2": 2.8}, {"HD1", "HE2"}),
    ],
)
def test_the_nitrogen_that_has_an_acceptor_is_protonated(oxygens, expected):
    full = all_atom_model(histidine(oxygens), LIBRARY)
    before = full.occ.copy()
    made = protonate_histidines(full)
    names = [s.atom.name for s in made.structure[0].all()]
    kept = {n for n, occ, s in zip(names, made.occ, made.structure[0].all(), strict=True) if occ > 0.5}
    assert kept & {"HD1", "HE2"} == expected
    np.testing.assert_array_equal(full.occ, before)


def test_a_model_without_histidines_is_itself():
    structure = histidine({"ND1": 2.8})
    del structure[0]["A"]
    full = all_atom_model(structure, LIBRARY)
    assert protonate_histidines(full) is full
