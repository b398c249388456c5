"""Side chains that a glycan or a metal holds are not turned, however close these are."""

import gemmi
import numpy as np

from burnish.chemistry.all_atom import all_atom_model
from burnish.chemistry.library import read_library
from burnish.validate import flips
from burnish.validate.flips import find_flips

LIBRARY = read_library(["ASN", "HIS", "NAG", "ZN"], debian=None, environment={}).monlib


def residue(name: str, number: int) -> gemmi.Residue:
    """The heavy atoms of a component."""
    made = gemmi.Residue()
    made.name, made.seqid = name, gemmi.SeqId(str(number))
    protein = name in ("ASN", "HIS")
    made.het_flag = "A" if protein else "H"
    made.entity_type = gemmi.EntityType.Polymer if protein else gemmi.EntityType.NonPolymer
    for listed in LIBRARY.monomers[name].atoms:
        if not listed.is_hydrogen() and listed.id not in ("OXT", "O1"):
            atom = gemmi.Atom()
            atom.name, atom.element, atom.occ, atom.b_iso, atom.pos = listed.id, listed.el, 1.0, 20.0, listed.xyz
            made.add_atom(atom)
    return made


def model_of(first: gemmi.Residue, second: gemmi.Residue) -> gemmi.Structure:
    structure, model = gemmi.Structure(), gemmi.Model(1)
    for name, made in (("A", first), ("B", second)):
        chain = gemmi.Chain(name)
        chain.add_residue(made)
        model.add_chain(chain)
    structure.add_model(model)
    return structure


def glycan() -> gemmi.Structure:
    asparagine, sugar = residue("ASN", 5), residue("NAG", 401)
    nitrogen = asparagine["ND2"][0].pos
    outwards = np.array((nitrogen - asparagine["CG"][0].pos).tolist())
    shift = np.array((nitrogen - sugar["C1"][0].pos).tolist()) + 1.43 * outwards / np.linalg.norm(outwards)
    for atom in sugar:
        atom.pos += gemmi.Position(*shift)
    return model_of(asparagine, sugar)


def metal() -> gemmi.Structure:
    histidine, zinc = residue("HIS", 5), residue("ZN", 401)
    ring = histidine["NE2"][0].pos - (histidine["CD2"][0].pos + histidine["CE1"][0].pos) / 2.0
    outwards = np.array(ring.tolist())
    place = np.array(histidine["NE2"][0].pos.tolist()) + 2.0 * outwards / np.linalg.norm(outwards)
    zinc[0].pos = gemmi.Position(*place)
    return model_of(histidine, zinc)


def test_a_glycan_keeps_its_asparagine(monkeypatch):
    full = all_atom_model(glycan(), LIBRARY)
    assert find_flips(full) == ()
    monkeypatch.setattr(flips, "_held_elsewhere", lambda model: np.zeros(len(model.xyz), dtype=bool))
    assert len(find_flips(full)) == 1  # without the rule the sugar would turn it


def test_atoms_beside_a_metal_are_held():
    full = all_atom_model(metal(), LIBRARY)
    held = flips._held_elsewhere(full)
    names = {s.atom.name for s, h in zip(full.structure[0].all(), held, strict=True) if h}
    assert {"NE2", "ZN"} <= names and not {"N", "CA", "O"} & names
