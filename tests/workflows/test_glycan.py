"""The core of an N-glycan with its fucose, built by `burnish rebuild` on a simulated crystal, from files to files."""

from __future__ import annotations

import json
from types import SimpleNamespace

import gemmi
import numpy as np
import pytest
import torch
from tests.chemistry_models import peptide
from tests.workflows.command_line import burnish
from tests.workflows.small_crystal import GROUP, write_data

from burnish.chemistry.add_residues import make_residue, with_link, with_residue
from burnish.chemistry.library import read_library
from burnish.chemistry.residues import residue_views
from burnish.data.reflections import Crystal
from burnish.data.sampled_map import SampledMap
from burnish.io.models import atoms_of
from burnish.maps.sampling import spline_map
from burnish.rebuild.additions import settled
from burnish.rebuild.flexible import turned_positions
from burnish.rebuild.moves.sugars import open_sites, sugar_ranks, sugar_shape
from burnish.rebuild.zone import Target
from burnish.symmetry.images import images_near

CELL = (33.0, 35.0, 39.0, 90.0, 90.0, 90.0)
CRYSTAL = Crystal(cell=CELL, space_group=GROUP)
MONLIB = read_library(["ALA", "ASN", "THR", "NAG", "BMA", "MAN", "FUC"], environment={}, debian=None).monlib
# as they are built: carrier's rank in the glycan, link, sugar
GLYCAN = ((0, "pyr-ASN"), (1, "BETA1-4"), (2, "BETA1-4"), (1, "ALPHA1-6"), (3, "ALPHA1-3"), (3, "ALPHA1-6"))


def nothing() -> Target:
    """Density of zero everywhere."""
    empty = SampledMap(
        values=torch.zeros(8, 8, 8),
        to_grid=torch.eye(3, dtype=torch.float64) / 8.0,
        offset=torch.zeros(3),
        periodic=True,
    )
    return Target(spline=spline_map(empty), sigma=1.0)


def roomiest(shape, own: np.ndarray) -> np.ndarray:
    """The pose about the bond that is farthest from everything, symmetry mates among it. (m, 3)"""
    best, chosen = -1.0, shape.xyz[3:]
    for phi in np.radians(np.arange(-180.0, 180.0, 30.0)):
        for psi in np.radians(np.arange(-180.0, 180.0, 30.0)):
            turns = torch.zeros(1, len(shape.body.bonds), dtype=torch.float64)
            turns[0, 0], turns[0, 1] = float(psi), float(phi)
            placed = turned_positions(shape.body, torch.from_numpy(shape.xyz)[None], turns)[0, 3:].numpy()
            far = images_near(CRYSTAL, np.concatenate([own, placed]), placed[2:], 6.0)
            others = far.xyz[~(far.is_identity & (far.source >= len(own)))]
            away = float(np.sort(np.linalg.norm(others[:, None] - placed[None, 2:], axis=2).min(axis=0))[0])
            if away > best:
                best, chosen = away, placed
    assert best > 2.2
    return chosen


def with_glycan(bare: gemmi.Structure, links) -> gemmi.Structure:
    """The model with sugars bonded one to another, relaxed under the restraints of sugars and bonds alone."""
    structure = bare
    for rank, link in links:
        views = residue_views(structure[0])
        ranks = sugar_ranks(structure)
        site = next(
            s for s in open_sites(structure, views, ranks) if s.bond.link == link and ranks.get(s.label, 0) == rank
        )
        shape = sugar_shape(MONLIB, site)
        xyz = roomiest(shape, atoms_of(structure).xyz.numpy())
        residue = make_residue(site.bond.sugar, shape.names, shape.elements, xyz, 20.0)
        grown, label = with_residue(structure, residue, "A")
        ends = (f"{site.label} {site.bond.frame[2]}", f"{label} C1")
        with_link(grown, *(ends if site.bond.carrier_first else ends[::-1]), gemmi.ConnectionType.Covale, link)
        scene = SimpleNamespace(monlib=MONLIB, crystal=CRYSTAL)
        structure, _, _ = settled(scene, grown, {f"{label} {n}" for n in shape.names}, nothing())
    return structure


@pytest.fixture(scope="module", params=["core with fucose", pytest.param("core alone", marks=pytest.mark.slow)])
def case(request, tmp_path_factory):
    """Data of a helix with a glycan, the helix alone, and the truth."""
    folder = tmp_path_factory.mktemp("glycan")
    bare = peptide(["ALA", "ALA", "ASN", "ALA", "THR", "ALA", "ALA", "ALA", "ALA", "ALA"])
    for site in bare[0].all():
        site.atom.b_iso = 18.0
    bare.cell, bare.spacegroup_hm = gemmi.UnitCell(*CELL), GROUP
    links = [g for g in GLYCAN if request.param == "core with fucose" or g != (1, "ALPHA1-6")]
    truth = with_glycan(bare, links)
    for structure in (bare, truth):
        structure.setup_cell_images()
    write_data(folder, truth, 2.0)
    bare.make_mmcif_document().write_file(str(folder / "model.cif"))
    return folder, truth, request.param


def sugars_of(structure: gemmi.Structure) -> list[gemmi.Residue]:
    return [r for chain in structure[0] for r in chain if r.name in ("NAG", "BMA", "MAN", "FUC")]


def hand(residue: gemmi.Residue, carrier: np.ndarray) -> float:
    """Signed volume at the anomeric carbon, Å³, with the atom that it is bonded to in the place of O1."""
    at = {a.name: np.array(a.pos.tolist()) for a in residue}
    return float(np.linalg.det([carrier - at["C1"], at["O5"] - at["C1"], at["C2"] - at["C1"]]))


def test_the_glycan_is_built_bond_by_bond(case, tmp_path, capsys):
    folder, truth, kind = case
    arguments = ["--no-peptides", "--no-rotamers", "--no-waters", "--no-flips", "--no-ions", "--out", tmp_path / "out"]
    assert burnish("rebuild", folder / "model.cif", folder / "data.mtz", *arguments, "--json") == 0
    capsys.readouterr()
    moves = [json.loads(line) for line in (tmp_path / "out" / "moves.jsonl").read_text().splitlines()]
    rebuilt = gemmi.read_structure(str(tmp_path / "out" / "rebuilt.cif"))
    found, wanted = sugars_of(rebuilt), sugars_of(truth)
    assert [r["reason"] for r in moves if r["kind"] == "sugar"]
    for residue in wanted:
        near = min(found, key=lambda r: r["C1"][0].pos.dist(residue["C1"][0].pos))
        assert near.name == residue.name
        away = [near[a.name][0].pos.dist(a.pos) for a in residue]
        assert float(np.sqrt(np.mean(np.square(away)))) < 0.5, str(residue)
    assert len(found) == len(wanted)
    assert any(r.name == "FUC" for r in found) == (kind == "core with fucose")
    # every sugar is bonded, by the link of its anomer, with the hand that the link says
    assert sorted(c.link_id for c in rebuilt.connections) == sorted(c.link_id for c in truth.connections)
    for structure in (rebuilt, truth):
        for connection in structure.connections:
            one, two = (structure[0].find_cra(p) for p in (connection.partner1, connection.partner2))
            assert one.atom.pos.dist(two.atom.pos) == pytest.approx(1.43, abs=0.05)
            end, carrier = (one, two) if one.atom.name == "C1" else (two, one)
            value = hand(end.residue, np.array(carrier.atom.pos.tolist()))
            assert value == pytest.approx(reference_hand(end.residue.name), abs=0.6), connection


def reference_hand(name: str) -> float:
    """The same of the dictionary's sugar, whose name says its anomer."""
    at = {a.id: np.array(a.xyz.tolist()) for a in MONLIB.monomers[name].atoms}
    return float(np.linalg.det([at["O1"] - at["C1"], at["O5"] - at["C1"], at["C2"] - at["C1"]]))
