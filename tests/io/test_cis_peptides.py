"""The list of cis peptides follows the atoms."""

import math

import gemmi
import numpy as np
import pytest
from scipy.spatial.transform import Rotation
from tests.workflows.small_crystal import helix

from burnish.io.cis_peptides import list_cis_peptides


def _turned(structure: gemmi.Structure, after: int, angle: float) -> gemmi.Structure:
    """All residues from `after` on turned about C–N before it."""
    chain = structure[0][0]
    c, n = (np.array(p.tolist()) for p in (chain[after - 1]["C"][0].pos, chain[after]["N"][0].pos))
    turn = Rotation.from_rotvec(angle * (n - c) / np.linalg.norm(n - c))
    for residue in list(chain)[after:]:
        for atom in residue:
            atom.pos = gemmi.Position(*(n + turn.apply(np.array(atom.pos.tolist()) - n)))
    return structure


def test_a_helix_has_none_whatever_its_file_said() -> None:
    structure = helix(6)
    structure.cispeps = [gemmi.CisPep()]
    list_cis_peptides(structure)
    assert structure.cispeps == []


def test_a_peptide_turned_over_is_listed_with_its_angle() -> None:
    structure = helix(6)
    structure.setup_entities()
    atoms = [
        structure[0][0][2]["CA"][0],
        structure[0][0][2]["C"][0],
        structure[0][0][3]["N"][0],
        structure[0][0][3]["CA"][0],
    ]
    omega = gemmi.calculate_dihedral(*(a.pos for a in atoms))
    structure = _turned(structure, 3, math.radians(12.0) - omega)
    list_cis_peptides(structure)
    (found,) = structure.cispeps
    assert found.partner_c.res_id.seqid.num == structure[0][0][2].seqid.num
    assert found.partner_n.res_id.seqid.num == structure[0][0][3].seqid.num
    assert abs(found.reported_angle) == pytest.approx(12.0, abs=0.1)
    row = structure.make_mmcif_block().find_mmcif_category("_struct_mon_prot_cis.")[0]
    assert float(row["pdbx_omega_angle"]) == pytest.approx(found.reported_angle)


def test_residues_apart_make_no_peptide() -> None:
    structure = helix(6)
    structure.setup_entities()
    structure = _turned(structure, 3, math.pi)
    for residue in list(structure[0][0])[3:]:
        for atom in residue:
            atom.pos = gemmi.Position(atom.pos.x + 5.0, atom.pos.y, atom.pos.z)
    list_cis_peptides(structure)
    assert structure.cispeps == []
