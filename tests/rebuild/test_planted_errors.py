"""The tool that plants errors and counts repairs: nothing is repaired in the damaged model, everything in the truth."""

import importlib.util
import sys
from pathlib import Path

import gemmi
import numpy as np
import pytest
from tests.rebuild.scenes import peptide_with_side_chains

from burnish.chemistry.edit_model import with_positions, with_waters
from burnish.io.models import atoms_of

PATH = Path(__file__).parents[2] / "benchmarks" / "planted_errors.py"
NAMES = ("ALA", "LEU", "SER", "PHE", "LYS", "VAL", "ASP", "GLY", "THR", "LEU", "GLU", "ILE", "LEU", "TRP") * 3


@pytest.fixture(scope="module")
def tool():
    spec = importlib.util.spec_from_file_location("planted_errors", PATH)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["planted_errors"] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def truth():
    chain = peptide_with_side_chains(NAMES, -120.0, 130.0)
    chain.setup_entities()
    xyz = atoms_of(chain).xyz.numpy()
    rng = np.random.default_rng(1)
    places = [tuple(x + 9.0 * d / np.linalg.norm(d)) for x, d in zip(xyz[::20], rng.normal(size=(99, 3)), strict=False)]
    return with_waters(chain, places, [20.0] * len(places))[0]


def test_every_kind_is_planted_and_counted(tool, truth):
    done = tool.damage(truth, 0)
    before, after = tool.count(truth, done, done.structure), tool.count(truth, done, truth)
    kinds = ["rotamers", "side chains cut", "peptides", "waters removed", "waters misplaced", "loops of 6"]
    for kind in kinds:
        assert before[kind]["planted"] >= 1
        assert before[kind]["repaired"] == 0, kind
        assert after[kind]["repaired"] == after[kind]["planted"], kind
    assert before["changed wrongly"]["repaired"] == after["changed wrongly"]["repaired"] == 0
    again = tool.damage(truth, 0)
    assert again.rotamers == done.rotamers
    assert (atoms_of(again.structure).xyz == atoms_of(done.structure).xyz).all()


def test_what_was_right_and_is_moved_counts_as_wrong(tool, truth):
    done = tool.damage(truth, 0)
    xyz = atoms_of(truth).xyz.numpy().copy()
    names = [(s.residue.seqid.num, s.atom.name, s.chain.name) for s in truth[0].all()]
    spared = next(k for k, n in enumerate(NAMES, 1) if n == "PHE" and f"A {k} PHE" not in {*done.rotamers, *done.cut})
    for k, (number, name, chain) in enumerate(names):
        if (number, chain) == (spared, "A") and name.startswith(("CD", "CE", "CZ", "CG")):
            xyz[k] += 3.0
    wrong = tool.count(truth, done, with_positions(truth, xyz))["changed wrongly"]
    assert wrong["repaired"] == 1
    assert f"A {spared} PHE" in wrong["names"]


def moved_phenylalanine(structure, number: int):
    """The ring of one phenylalanine carried 3 Å along each axis."""
    xyz = atoms_of(structure).xyz.numpy().copy()
    for k, s in enumerate(structure[0].all()):
        if s.residue.seqid.num == number and s.chain.name == "A" and s.atom.name[:2] in ("CG", "CD", "CE", "CZ"):
            xyz[k] += 3.0
    return with_positions(structure, xyz)


def test_only_what_was_well_determined_can_be_changed_wrongly(tool, truth):
    done = tool.damage(truth, 0)
    spared = next(k for k, n in enumerate(NAMES, 1) if n == "PHE" and f"A {k} PHE" not in {*done.rotamers, *done.cut})
    warm = truth.clone()
    for site in warm[0].all():
        if site.residue.seqid.num == spared and site.residue.name == "PHE":
            site.atom.b_iso = 90.0
    counted = {}
    for name, start in (("cool", truth), ("warm", warm)):
        table = tool.count(start, tool.damage(start, 0), moved_phenylalanine(start, spared))
        counted[name] = table["changed wrongly"]["repaired"], table["changed, all"]["repaired"]
        assert table["changed wrongly"]["planted"] <= table["changed, all"]["planted"]
    assert counted == {"cool": (1, 1), "warm": (0, 1)}


def test_a_water_is_found_at_a_symmetry_mate_and_an_ion_in_its_place_is_told(tool, truth):
    crystal = truth.clone()
    crystal.cell.set(400.0, 400.0, 400.0, 90.0, 90.0, 90.0)
    crystal.spacegroup_hm = "P 1 21 1"
    crystal.setup_cell_images()
    done = tool.damage(crystal, 0)
    image = crystal.clone()
    waters = [r for c in image[0] for r in c if r.is_water()]
    for residue in waters:
        at = residue[0].pos
        residue[0].pos = gemmi.Position(-at.x, at.y + 200.0, -at.z)
    table = tool.count(crystal, done, image)
    assert table["waters removed"]["repaired"] == len(done.removed) > 0
    assert table["changed wrongly"]["repaired"] == 0
    gone = {tuple(np.round(p, 3)) for p in done.removed}
    kept = next(r for c in crystal[0] for r in c if r.is_water() and tuple(np.round(r[0].pos.tolist(), 3)) not in gone)
    ion = crystal.clone()
    residue = next(r for c in ion[0] for r in c if r.is_water() and r.seqid == kept.seqid)
    residue.name = residue[0].name = "CL"
    table = tool.count(crystal, done, ion)
    assert table["changed wrongly"]["repaired"] == 0
    assert table["changed wrongly"]["ions"] == f"water {kept.seqid}"


def test_misplaced_waters_keep_away_from_atoms_their_mates_and_each_other(tool, truth):
    crystal = truth.clone()
    crystal.cell.set(60.0, 60.0, 170.0, 90.0, 90.0, 90.0)
    crystal.spacegroup_hm = "P 2 2 2"
    crystal.setup_cell_images()
    xyz = atoms_of(crystal).xyz.numpy()
    spots = tool.spots_without_water(crystal, xyz, np.random.default_rng(3), 12, None)
    for k, spot in enumerate(spots):
        others = np.concatenate([xyz, np.array(spots[:k]).reshape(-1, 3)])
        assert tool.away_from(crystal, spot, others) > 2.9
