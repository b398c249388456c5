"""The model that sites are judged on: restraints made for a part of it are those of the whole."""

import numpy as np
import pytest
import torch
from tests.rebuild.test_zone import density_at

from burnish.chemistry.library import read_library
from burnish.chemistry.residues import residue_views
from burnish.chemistry.topology import build_topology
from burnish.data.sampled_map import SampledMap
from burnish.io.models import atoms_of
from burnish.models.fit_maps import FitMaps
from burnish.models.restraints.ramachandran import CLASSES
from burnish.rebuild.bench import Bench, RebuildModel
from burnish.rebuild.evidence import Evidence
from burnish.rebuild.memory import Memory
from burnish.rebuild.moves.backbone import backbone_site, backbone_window
from burnish.rebuild.zone import make_zone, surroundings
from peptide_model import make_peptide

NAMES = ["ALA"] * 7 + ["PRO"] + ["ALA"] * 7


@pytest.fixture(scope="module")
def bench() -> Bench:
    structure = make_peptide(NAMES, -80.0, 150.0)
    structure.setup_entities()
    monlib = read_library(["ALA", "PRO"], environment={}, debian=None).monlib
    topology = build_topology(structure, monlib, hydrogens="remove")
    atoms = atoms_of(topology.structure)
    flat = SampledMap(
        values=torch.zeros(4, 4, 4),
        to_grid=torch.eye(3, dtype=torch.float64),
        offset=torch.zeros(3, dtype=torch.float64),
        periodic=True,
    )
    maps = FitMaps(density=flat, calculated=flat, difference=flat, d_min=3.0)
    evidence = Evidence(maps=maps, sigma=1.0, difference_sigma=1.0, own=lambda *_: flat, atoms=atoms)
    model = RebuildModel(
        structure=topology.structure, atoms=atoms, restraints=topology.restraints, crystal=None, monlib=monlib
    )
    return Bench(model, evidence, residue_views(topology.structure[0]), True, Memory())


def rows_of(zone, kind: str) -> list[tuple]:
    """Restraints of one kind as sorted rows of atoms and targets."""
    s = zone.restraints
    atoms, target = getattr(s, f"{kind}_atoms"), getattr(s, f"{kind}_target")
    return sorted((tuple(zone.local[a].tolist()), round(float(t), 6)) for a, t in zip(atoms, target, strict=True))


def test_restraints_of_a_turned_proline_made_for_a_part_are_those_of_the_whole(bench):
    window = backbone_window(bench.views, 7, 3)
    assert window is not None
    site = backbone_site(bench.xyz, bench.views, window, density_at(bench.xyz, bench.xyz), "test", 7)
    assert site is not None
    assert site.by_density
    there = bench.xyz.copy()
    there[site.atoms] = site.candidates[0].xyz
    structure = bench.model.structure.clone()
    for atom, place in zip(structure[0].all(), there, strict=True):
        atom.atom.pos.fromlist(place.tolist())
    whole = bench._system(build_topology(structure, bench.model.monlib, hydrogens="remove").restraints)
    part = bench.system_with(site)
    assert part is not None
    assert len(part.stereochemistry.bond_atoms) < len(whole.stereochemistry.bond_atoms)
    around = surroundings(bench.xyz, None)
    zones = {
        name: make_zone(system, around, site.atoms, there[site.atoms][None])
        for name, system in (("before", bench.system), ("whole", whole), ("part", part))
    }
    for kind in ("bond", "angle", "torsion", "chiral"):
        assert rows_of(zones["part"], kind) == rows_of(zones["whole"], kind)
    assert rows_of(zones["part"], "torsion") != rows_of(zones["before"], "torsion")  # ω is 0 now
    assert sum(len(b.atoms) for b in zones["part"].restraints.planes) == sum(
        len(b.atoms) for b in zones["whole"].restraints.planes
    )
    np.testing.assert_array_equal(zones["part"].distance, zones["whole"].distance)
    kinds = {CLASSES[k] for k in zones["part"].backbone.kind}
    assert "cis_proline" in kinds
