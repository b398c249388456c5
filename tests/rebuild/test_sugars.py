"""Sugars are bonded as their links say, at the sites where they belong."""

import math

import gemmi
import numpy as np
import pytest
import torch
from tests.chemistry_models import component, peptide
from tests.rebuild.test_zone import density_at

from burnish.chemistry.add_residues import make_residue, with_link, with_residue
from burnish.chemistry.library import read_library
from burnish.chemistry.residues import residue_views
from burnish.rebuild.flexible import turned_positions
from burnish.rebuild.moves.sugars import (
    ASPARAGINE,
    CORE,
    FUCOSE,
    open_sites,
    sequons,
    shows_start,
    sugar_ranks,
    sugar_shape,
)

MODEL = peptide(["ALA", "ASN", "GLY", "SER", "ASN", "PRO", "THR", "ASN", "ALA", "ALA"])
MONLIB = read_library(
    ["ASN", "ALA", "GLY", "SER", "PRO", "THR", "NAG", "BMA", "MAN", "FUC"], environment={}, debian=None
).monlib


def grown() -> tuple[gemmi.Structure, str]:
    (site,) = open_sites(MODEL, residue_views(MODEL[0]), {})
    shape = sugar_shape(MONLIB, site)
    residue = make_residue("NAG", shape.names, shape.elements, shape.xyz[3:], 20.0)
    structure, label = with_residue(MODEL, residue, "A")
    with_link(structure, f"{label} C1", "A 2 ASN ND2", gemmi.ConnectionType.Covale, "pyr-ASN")
    return structure, label


def test_sequons_leave_proline_out():
    assert [residue_views(MODEL[0])[k].label for k in sequons(residue_views(MODEL[0]))] == ["A 2 ASN"]


@pytest.mark.parametrize("bond", [ASPARAGINE, *CORE, *FUCOSE])
def test_a_sugar_comes_with_the_geometry_of_its_bond(bond):
    from burnish.rebuild.moves.sugars import SugarSite

    carrier = {a.id: np.array(a.xyz.tolist()) for a in component(bond.carrier).atoms}
    frame = np.array([carrier[n] for n in bond.frame])
    shape = sugar_shape(MONLIB, SugarSite(label="A 1 X", frame=frame, bond=bond, carrier=frame))
    assert "O1" not in shape.names
    at = dict(zip(shape.names, shape.xyz[3:], strict=True))
    assert np.linalg.norm(at["C1"] - frame[2]) == pytest.approx(bond.length, abs=1e-3)
    one, two = frame[1] - frame[2], at["C1"] - frame[2]
    cosine = one @ two / np.linalg.norm(one) / np.linalg.norm(two)
    assert math.degrees(math.acos(cosine)) == pytest.approx(bond.angle, abs=0.1)
    # the hand at C1 is that of the dictionary, with the carrier's atom in the place of O1
    own = {a.id: np.array(a.xyz.tolist()) for a in component(bond.sugar).atoms}
    before = np.linalg.det([own["O1"] - own["C1"], own["O5"] - own["C1"], own["C2"] - own["C1"]])
    after = np.linalg.det([frame[2] - at["C1"], at["O5"] - at["C1"], at["C2"] - at["C1"]])
    assert after == pytest.approx(before, rel=0.1)


def test_the_frame_stays_when_the_sugar_turns():
    (site,) = open_sites(MODEL, residue_views(MODEL[0]), {})
    shape = sugar_shape(MONLIB, site)
    start = torch.from_numpy(shape.xyz)[None]
    turned = turned_positions(shape.body, start, torch.full((1, len(shape.body.bonds)), 0.7, dtype=torch.float64))
    torch.testing.assert_close(turned[:, :3], start[:, :3])
    length = (turned[0, 3 + shape.names.index("C1")] - turned[0, 2]).norm()
    assert float(length) == pytest.approx(ASPARAGINE.length, abs=1e-3)
    assert (turned - start).norm(dim=-1).max() > 1.0


def test_a_glycan_opens_the_site_of_its_next_sugar():
    structure, label = grown()
    ranks = sugar_ranks(structure)
    assert ranks == {label: 1}
    sites = open_sites(structure, residue_views(structure[0]), ranks)
    assert [(s.label, s.bond.sugar, s.bond.link) for s in sites] == [
        (label, "NAG", "BETA1-4"),
        (label, "FUC", "ALPHA1-6"),
        (label, "FUC", "ALPHA1-3"),
    ]
    assert open_sites(structure, residue_views(structure[0]), {label: 2})[0].bond.sugar == "BMA"


def test_the_link_is_found_in_the_dictionary():
    from burnish.chemistry.topology import build_topology

    structure, _ = grown()
    topology = build_topology(structure, MONLIB, hydrogens="remove")
    assert [c.link_id for c in topology.structure.connections] == ["pyr-ASN"]
    lengths = topology.restraints.bonds.target
    assert bool((lengths - 1.432).abs().min() < 1e-3)


def test_a_fucose_is_tried_only_where_density_begins():
    structure, label = grown()
    site = next(s for s in open_sites(structure, residue_views(structure[0]), {label: 1}) if s.bond.link == "ALPHA1-6")
    shape = sugar_shape(MONLIB, site)
    c1 = shape.xyz[3 + shape.names.index("C1")]
    found = density_at(np.concatenate([site.frame, c1[None]]), c1[None])
    empty = density_at(np.concatenate([site.frame, c1[None]]), c1[None] + 6.0)
    assert shows_start(site, found.spline, found.sigma)
    assert not shows_start(site, empty.spline, empty.sigma)
    other = next(s for s in open_sites(structure, residue_views(structure[0]), {label: 1}) if s.bond.sugar == "NAG")
    assert shows_start(other, empty.spline, empty.sigma)
