"""Centres of the wrong hand: refining the zone alone mends what refinement of the whole leaves flat."""

from dataclasses import replace

import numpy as np
from tests.rebuild.scenes import LIBRARY, peptide_with_side_chains
from tests.rebuild.test_cis_trans import zone_system
from tests.rebuild.test_zone import density_at

from burnish.chemistry.residues import residue_views
from burnish.chemistry.topology import build_topology
from burnish.io.models import atoms_of
from burnish.rebuild.move import SETTLED, Judges, Whole, judge_site
from burnish.rebuild.suspects import handless_side_chains, wrong_hands
from burnish.rebuild.zone import surroundings

TRUTH = peptide_with_side_chains(["ALA", "ALA", "LEU", "ALA", "ALA"])
VIEWS, XYZ = residue_views(TRUTH[0]), atoms_of(TRUTH).xyz.numpy()
TOPOLOGY = build_topology(TRUTH, LIBRARY.monlib, hydrogens="remove")
RESTRAINTS = TOPOLOGY.restraints


def flat_leucine() -> np.ndarray:
    """The truth with Cγ of Leu 3 in the plane of its neighbours."""
    xyz = XYZ.copy()
    view = VIEWS[2]
    cb, one, two, cg = (XYZ[view.atoms[n]] for n in ("CB", "CD1", "CD2", "CG"))
    normal = np.cross(one - cb, two - cb)
    normal /= np.linalg.norm(normal)
    xyz[view.atoms["CG"]] = cg - ((cg - cb) @ normal) * normal
    return xyz


def test_a_flat_centre_is_mended_though_hardly_anything_moves():
    wrong = flat_leucine()
    assert wrong_hands(wrong, VIEWS, RESTRAINTS) == (set(), {2})
    (site,) = handless_side_chains(wrong, VIEWS, RESTRAINTS, LIBRARY.monlib)
    system, around = zone_system(TOPOLOGY, atoms_of(TOPOLOGY.structure)), surroundings(wrong, None)

    def free(batch: np.ndarray) -> np.ndarray:
        return np.zeros(len(batch))

    whole = Whole(system=system, around=around, xyz=wrong, names=[str(k) for k in range(len(wrong))])
    judges = Judges(target=density_at(XYZ, XYZ), torsion_energy=free)
    judged = [judge_site(s, whole, judges) for s in (site, replace(site, settled=SETTLED))]
    record, moved = judged[0]
    assert record.accepted
    assert moved is not None
    assert wrong_hands(moved, VIEWS, RESTRAINTS) == (set(), set())
    assert np.linalg.norm(moved - XYZ, axis=1).max() < 0.4
    assert not judged[1][0].accepted
