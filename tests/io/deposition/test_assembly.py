"""Assemblies: operators of the refinement in, those of another model out."""

import gemmi
import numpy as np
from tests.workflows.small_crystal import helix

from burnish.io.deposition.assembly import check_assemblies, point_assembly
from burnish.io.deposition.categories import Categories, categories_of, one_row


def _categories(asym: str) -> Categories:
    return {
        "struct_asym": {"id": ["A", "B"]},
        "pdbx_struct_assembly": one_row({"id": "1", "oligomeric_count": "4"}),
        "pdbx_struct_assembly_gen": one_row({"assembly_id": "1", "oper_expression": "1", "asym_id_list": asym}),
        "pdbx_struct_oper_list": one_row({"id": "1"}),
    }


def test_assemblies_of_chains_that_are_not_there_go() -> None:
    stale, good = _categories("A,B,C"), _categories("A, B")
    check_assemblies(stale)
    assert set(stale) == {"struct_asym"}
    check_assemblies(good)
    assert "pdbx_struct_assembly" in good


def test_the_particle_is_every_chain_by_every_operator() -> None:
    structure = helix(4)
    structure.setup_entities()
    for k, turn in enumerate((np.eye(3), np.diag([-1.0, -1.0, 1.0]))):
        transform = gemmi.Transform()
        transform.mat.fromlist(turn.tolist())
        transform.vec.fromlist([60.0 * k, 60.0 * k, 0.0])
        structure.ncs.append(gemmi.NcsOp(transform, str(k + 1), k == 0))
    made = _categories("A")
    made["struct_asym"] = {"id": ["A"]}
    point_assembly(made, structure)
    assert made["pdbx_struct_assembly"]["oligomeric_details"] == ["dimeric"]
    assert made["pdbx_struct_assembly_gen"]["oper_expression"] == ["1-2"]
    block = gemmi.cif.Block("x")
    for name, category in made.items():
        block.set_mmcif_category(f"_{name}.", category)
    structure.make_mmcif_document()
    read = gemmi.make_structure_from_block(block).assemblies[0].generators[0]
    assert [op.transform.is_identity() for op in read.operators] == [True, False]
    moved = read.operators[1].transform.apply(gemmi.Position(1, 2, 3))
    assert moved.tolist() == [59.0, 58.0, 3.0]
    assert "-0.00000000" not in str(categories_of(block))
