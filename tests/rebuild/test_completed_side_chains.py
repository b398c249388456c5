"""Side chains completed by what the data of a crystal say of each rotamer."""

import numpy as np
import pytest
from tests.rebuild.scenes import LIBRARY, peptide_with_side_chains
from tests.rebuild.test_waters import CRYSTAL, evidence_of

from burnish.chemistry.edit_model import with_positions, without_atoms
from burnish.chemistry.residues import residue_views
from burnish.chemistry.rotamers import rotamers_of
from burnish.io.models import atoms_of
from burnish.rebuild.conformations import with_chi
from burnish.rebuild.moves.alternates import component_graph
from burnish.rebuild.moves.side_chain_atoms import _paid_for, complete_side_chains
from burnish.rebuild.scene import Scene
from burnish.rebuild.side_chains import side_chain_template


@pytest.mark.parametrize("rotamer", ["mt", "tp"])
def test_the_data_of_a_crystal_say_which_rotamer_is_missing(rotamer):
    truth = peptide_with_side_chains(["ALA", "ALA", "LEU", "ALA", "ALA"])
    view = residue_views(truth[0])[2]
    xyz = atoms_of(truth).xyz.numpy()
    chi = next(r.chi for r in rotamers_of("LEU") if r.name == rotamer)
    truth = with_positions(truth, with_chi(xyz, view, component_graph(LIBRARY.monlib, view), chi))
    doomed = [view.atoms[n] for n in ("CG", "CD1", "CD2")]
    cut = without_atoms(truth, set(doomed))
    change = complete_side_chains(crystal_scene(cut, truth))
    (record,) = change.records
    assert record.accepted
    assert f"as {rotamer}:" in record.reason
    assert "log likelihood +" in record.reason
    places = {s.atom.name: np.array(s.atom.pos.tolist()) for s in change.structure[0].all() if s.residue.name == "LEU"}
    there = atoms_of(truth).xyz.numpy()
    assert max(np.linalg.norm(places[n] - there[view.atoms[n]]) for n in ("CG", "CD1", "CD2")) < 0.7
    unseen = complete_side_chains(crystal_scene(cut, cut))
    assert not unseen.records[0].accepted


def crystal_scene(model, truth) -> Scene:
    return Scene(
        structure=model,
        views=residue_views(model[0]),
        evidence=evidence_of(model, truth),
        crystal=CRYSTAL,
        monlib=LIBRARY.monlib,
    )


def test_steps_are_kept_as_far_as_they_pay():
    template = side_chain_template(LIBRARY.monlib, "LYS")
    assert template is not None
    assert not _paid_for(template, np.zeros(0)).any()
    assert not _paid_for(template, np.array([0.0, 1.0, 2.0, 3.0, 4.0])).any()
    kept = _paid_for(template, np.array([1.0, 9.0, 12.0, 12.5, 11.0]))
    assert [n for n, k in zip(template.side, kept, strict=True) if k] == ["CB", "CG", "CD"]
    ring = side_chain_template(LIBRARY.monlib, "PHE")
    assert ring is not None
    assert _paid_for(ring, np.array([0.0, 9.0, 9.0, 9.0, 9.0])).all()
    assert not _paid_for(ring, np.array([0.0, 9.0, 9.0, 9.0, 2.0])).any()
