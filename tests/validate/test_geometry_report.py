"""Deviations from ideal stereochemistry: known values, invariance, and that nothing the topology lists is left out."""

import json
import os
import subprocess
import sys
from pathlib import Path

import gemmi
import numpy as np
import pytest
import roma
import torch

from burnish.chemistry.library import read_library
from burnish.chemistry.topology import Topology, build_topology
from burnish.data.restraints import Origin
from burnish.validate.geometry import (
    angle_deviations,
    bond_deviations,
    chiral_deviations,
    plane_deviations,
    report_geometry,
    torsion_deviations,
)
from chemistry_models import peptide


def made(names: list[str], stretch: float = 0.0) -> tuple[Topology, torch.Tensor, list[str]]:
    model = peptide(names)
    chain = model[0]["A"]
    bond = chain[1].find_atom("N", "*").pos - chain[0].find_atom("C", "*").pos
    for residue in list(chain)[1:]:
        for atom in residue:
            atom.pos += gemmi.Position(*(bond * (stretch / bond.length())).tolist())
    library = read_library(names, environment={}, debian=None)
    topology = build_topology(model, library.monlib)
    sites = list(topology.structure[0].all())
    return topology, torch.tensor(np.array([s.atom.pos.tolist() for s in sites])), [str(s) for s in sites]


def test_known_bond_and_chirality():
    topology, xyz, names = made(["ALA", "VAL"])
    restraints = topology.restraints
    bonds = bond_deviations(restraints, xyz)
    i, j = bonds.atoms[3].tolist()
    assert float(bonds.value[3]) == pytest.approx(float((xyz[i] - xyz[j]).norm()))
    mirrored = chiral_deviations(restraints, xyz * torch.tensor([1.0, 1.0, -1.0], dtype=torch.float64))
    assert bool((mirrored.z.abs() > 20).all())
    assert bool((chiral_deviations(restraints, xyz).z.abs() < 10).all())
    assert len(names) == restraints.n_atoms


def test_deviations_do_not_depend_on_the_frame():
    topology, xyz, _ = made(["ALA", "PHE", "PRO", "ASN"])
    turn = roma.random_rotmat(dtype=torch.float64, generator=torch.Generator().manual_seed(4))
    moved = xyz @ turn.T + 7.0
    for function in (bond_deviations, angle_deviations, torsion_deviations, chiral_deviations):
        torch.testing.assert_close(function(topology.restraints, moved).z, function(topology.restraints, xyz).z)
    torch.testing.assert_close(  # the plane's normal has no sign
        plane_deviations(topology.restraints, moved).z.abs(), plane_deviations(topology.restraints, xyz).z.abs()
    )


def test_torsions_go_to_the_nearest_minimum():
    topology, xyz, _ = made(["ALA", "VAL", "LYS", "ALA"])
    torsions = torsion_deviations(topology.restraints, xyz)
    period = topology.restraints.torsions.period[topology.restraints.torsions.restrained].clamp_min(1)
    assert bool((torsions.deviation.abs() <= torch.pi / period + 1e-9).all())


def test_planes_of_a_lifted_atom():
    topology, xyz, names = made(["ALA", "PHE", "ALA"])
    atom = next(k for k, name in enumerate(names) if name.endswith("PHE 2/CZ"))
    before = plane_deviations(topology.restraints, xyz)
    ring = next(k for k in range(len(before)) if int(before.atoms[k]) == atom)
    members = topology.restraints.planes.atoms[
        topology.restraints.planes.plane == topology.restraints.planes.plane[ring]
    ]
    normal = torch.linalg.svd(xyz[members] - xyz[members].mean(0)).Vh[2]
    lifted = xyz.clone()
    lifted[atom] += 0.3 * normal
    assert float(plane_deviations(topology.restraints, lifted).value[ring].abs()) > 0.15


def test_a_stretched_peptide_shows():
    topology, xyz, names = made(["ALA", "GLY", "SER"], stretch=1.5)
    report = report_geometry(topology.restraints, xyz, names)
    worst = next(outlier for outlier in report.outliers if outlier.kind == "bond")
    assert worst.link and worst.z == pytest.approx(1.5 / 0.0138, rel=0.05)
    assert {atom.split("/")[-1] for atom in worst.atoms} == {"C", "N"}
    assert report.summaries["bond_link"].count == 2
    assert int((topology.restraints.bonds.origin == Origin.PEPTIDE).sum()) == 2


def test_counts_split_by_hydrogens():
    topology, xyz, names = made(["ALA", "GLY", "SER"])
    report = report_geometry(topology.restraints, xyz, names)
    for kind, table in (("bond", topology.restraints.bonds), ("angle", topology.restraints.angles)):
        assert report.summaries[kind].count + report.summaries[f"{kind}_h"].count == len(table)


@pytest.mark.shared
def test_agrees_with_servalcat_on_a_deposited_model(shared_data):
    """Servalcat 0.4.142, no cycles, the same dictionary: counts and rms of bonds, angles and chirality."""
    if not os.environ.get("CLIBD_MON"):
        pytest.skip("CLIBD_MON names no monomer library")
    model = gemmi.read_structure(str(Path(shared_data) / "mx" / "5d5w" / "model.cif"))
    library = read_library(model[0].get_all_residue_names())
    topology = build_topology(model, library.monlib)
    sites = list(topology.structure[0].all())
    xyz = torch.tensor(np.array([s.atom.pos.tolist() for s in sites]))
    summaries = report_geometry(topology.restraints, xyz, [str(s) for s in sites]).summaries
    assert summaries["bond"].count == 1112
    assert summaries["bond"].rmsd == pytest.approx(0.009123, abs=1e-5)
    assert summaries["bond"].rmsz == pytest.approx(0.78178, abs=1e-3)
    assert summaries["angle"].count == 1544
    assert summaries["angle"].rmsd == pytest.approx(1.35883, abs=1e-3)
    assert summaries["angle"].rmsz == pytest.approx(0.79300, abs=1e-3)
    assert summaries["chiral"].rmsd == pytest.approx(0.1082, abs=1e-3)


def test_importing_it_brings_no_rdkit():
    code = "import burnish.validate.geometry, burnish.chemistry.topology, burnish.chemistry.library, sys, json;"
    code += "print(json.dumps('rdkit' in sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) is False
