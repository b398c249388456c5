"""What a refinement starts from."""

import torch
from tests.workflows.small_crystal import helix

from burnish.chemistry.hydrogens import place_hydrogens
from burnish.chemistry.library import read_library
from burnish.chemistry.topology import build_topology
from burnish.io.models import atoms_of
from burnish.workflows.refine_model import refinable_model


def test_hydrogens_start_where_every_step_puts_them() -> None:
    structure = helix(6)
    library = read_library(sorted({r.name for r in structure[0]["A"]}))
    topology = build_topology(structure, library.monlib, hydrogens="add")
    model, placed = refinable_model(topology, None), atoms_of(topology.structure)
    start = model.atoms.xyz
    assert len(model.riders) > 20
    assert torch.equal(start, place_hydrogens(start, model.riders))
    heavy = ~model.restraints.contacts.is_hydrogen
    assert torch.equal(start[heavy], placed.xyz[heavy])
    assert float((start - placed.xyz).norm(dim=1).max()) < 0.5  # the same conformation
