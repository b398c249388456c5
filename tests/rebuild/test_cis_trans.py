"""Peptides between cis and trans: what is proposed, and under whose restraints it is judged."""

import math
from dataclasses import replace

import gemmi
import numpy as np
import pytest
from tests.rebuild.test_zone import density_at

from burnish.chemistry.library import read_library
from burnish.chemistry.residues import residue_views
from burnish.chemistry.topology import build_topology
from burnish.io.models import atoms_of
from burnish.models.restraints.stereochemistry import stereochemistry
from burnish.rebuild.move import Judges, Whole, judge_site
from burnish.rebuild.moves.backbone import backbone_site, backbone_window, is_to_be_cis, omega_before
from burnish.rebuild.zone import ZoneSystem, surroundings
from peptide_model import make_peptide, positions

NAMES = ["ALA", "ALA", "ALA", "PRO", "ALA", "ALA", "ALA", "ALA"]
CHAIN = make_peptide(NAMES, -80.0, 150.0)
VIEWS, XYZ = residue_views(CHAIN[0]), positions(CHAIN).numpy()


def omegas(xyz: np.ndarray, window: tuple[int, ...]) -> dict[int, float]:
    last = VIEWS[window[-1]].next
    found = {k: omega_before(xyz, VIEWS, k) for k in (*window, last)}
    return {k: abs(v) for k, v in found.items() if v is not None}


def test_which_peptides_are_to_be_cis():
    cis = positions(make_peptide(NAMES, -80.0, 150.0, 0.0)).numpy()
    assert not is_to_be_cis(XYZ, VIEWS, 3, None)
    assert is_to_be_cis(XYZ, VIEWS, 3, 3)
    assert is_to_be_cis(cis, VIEWS, 3, None)  # a proline stays as it is
    assert not is_to_be_cis(cis, VIEWS, 2, None)  # nothing else does
    assert omega_before(XYZ, VIEWS, 0) is None


@pytest.mark.parametrize("turned", [None, 3])
def test_candidates_have_the_peptide_that_was_asked_for(turned):
    window = backbone_window(VIEWS, 3, 3)
    assert window == (2, 3, 4)
    density = density_at(XYZ, XYZ)
    site = backbone_site(XYZ, VIEWS, window, density, "test", turned)
    assert site is not None
    assert site.kind == ("backbone" if turned is None else "cis/trans")
    for candidate in site.candidates:
        moved = XYZ.copy()
        moved[site.atoms] = candidate.xyz
        found = omegas(moved, window)
        assert (found[3] < math.radians(30.0)) is (turned == 3)
        assert all(found[k] > math.radians(150.0) for k in (2, 4, 5))


def test_a_wrong_cis_peptide_is_mended_only_under_the_restraints_of_trans():
    monlib = read_library(["ALA", "PRO"], environment={}, debian=None).monlib
    truth = make_peptide(["ALA"] * 8, -80.0, 150.0)
    truth.setup_entities()
    views, right = residue_views(truth[0]), positions(truth).numpy()
    window = backbone_window(views, 3, 3)
    assert window is not None
    target = density_at(right, right)
    bent = backbone_site(right, views, window, target, "bend", 3)
    assert bent is not None
    wrong = right.copy()
    wrong[bent.atoms] = bent.candidates[0].xyz
    site = backbone_site(wrong, views, window, target, "mend")
    assert site is not None
    systems = []
    for xyz in (wrong, with_candidate(wrong, site)):
        structure = truth.clone()
        for s, row in zip(structure[0].all(), xyz, strict=True):
            s.atom.pos = gemmi.Position(*row)
        topology = build_topology(structure, monlib, hydrogens="remove")
        systems.append(zone_system(topology, atoms_of(topology.structure)))
    names = [str(k) for k in range(len(wrong))]

    def free(batch: np.ndarray) -> np.ndarray:
        return np.zeros(len(batch))

    around = surroundings(wrong, None)
    whole = Whole(system=systems[0], around=around, xyz=wrong, names=names)
    judges = Judges(target=target, torsion_energy=free)
    kept, _ = judge_site(site, whole, judges)
    record, moved = judge_site(site, replace(whole, system_after=systems[1]), judges)
    assert record.accepted
    assert moved is not None
    omega = omega_before(moved, views, 3)
    assert omega is not None
    assert abs(omega) > math.radians(150.0)
    assert kept.after is not None
    assert record.after is not None
    assert kept.after.geometry > record.after.geometry + 4.0


def with_candidate(xyz: np.ndarray, site) -> np.ndarray:
    moved = xyz.copy()
    moved[site.atoms] = site.candidates[0].xyz
    return moved


def zone_system(topology, atoms):
    return ZoneSystem(
        stereochemistry=stereochemistry(topology.restraints),
        contacts=topology.restraints.contacts,
        electrons=np.array([{"C": 6.0, "N": 7.0, "O": 8.0}[e] for e in atoms.elements]),
        occ=np.ones(len(atoms)),
        crystal=None,
    )
