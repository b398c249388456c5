"""Ligands placed by `burnish rebuild`, on a small simulated crystal, from files to files."""

import json

import gemmi
import numpy as np
import pytest
import torch
from scipy.optimize import linear_sum_assignment
from tests.chemistry_models import component, peptide
from tests.workflows.command_line import burnish
from tests.workflows.small_crystal import CELL, GROUP, helix, write_data

from burnish.chemistry.add_residues import make_residue, with_residue
from burnish.chemistry.library import read_library
from burnish.chemistry.residues import residue_views
from burnish.core.errors import InputError
from burnish.data.reflections import Crystal
from burnish.io.models import atoms_of, read_model
from burnish.rebuild.flexible import turned_positions
from burnish.rebuild.moves.sugars import open_sites, sugar_shape
from burnish.symmetry.images import images_near
from burnish.workflows.ligand_requests import ligand_requests

CRYSTAL = Crystal(cell=CELL, space_group=GROUP)


def room_for(xyz: np.ndarray, atoms: np.ndarray) -> np.ndarray:
    """A molecule moved to where it is farthest from atoms, their mates and its own."""
    best, place = -1.0, xyz
    for shift in np.random.default_rng(7).uniform(0.0, CELL[:3], (400, 3)):
        moved = xyz - xyz.mean(0) + shift
        together = np.concatenate([atoms, moved])
        mates = images_near(CRYSTAL, together, moved, 5.0)
        others = mates.xyz[~(mates.is_identity & (mates.source >= len(atoms)))]
        away = np.linalg.norm(others[:, None] - moved[None], axis=2).min(initial=5.0)
        if away > best:
            best, place = away, moved
    assert best > 2.8
    return place


@pytest.fixture(scope="module")
def case(tmp_path_factory):
    """Data of a helix with benzamidine, and the helix alone."""
    folder = tmp_path_factory.mktemp("additions")
    bare = helix()
    heavy = [a for a in component("BEN").atoms if not a.is_hydrogen()]
    start = np.array([a.xyz.tolist() for a in heavy])
    xyz = room_for(start, atoms_of(bare).xyz.numpy())
    residue = make_residue("BEN", [a.id for a in heavy], [a.el.name for a in heavy], xyz, 15.0)
    truth, label = with_residue(bare, residue, "A")
    assert label == "A 9 BEN"
    truth.setup_cell_images()
    write_data(folder, truth)
    bare.make_mmcif_document().write_file(str(folder / "model.cif"))
    return folder, xyz, tuple(a.el.name for a in heavy)


def deviation(found: np.ndarray, truth: np.ndarray, elements: tuple[str, ...]) -> float:
    """Rms, Å, over the nearest image, atoms of one element being exchangeable."""
    mates = images_near(CRYSTAL, truth, found, 4.0)
    away = np.full((len(found), len(truth)), np.inf)
    for k, source in enumerate(mates.source):
        square = ((found - mates.xyz[k]) ** 2).sum(-1)
        away[:, source] = np.minimum(away[:, source], square)
    away = np.where(np.array(elements)[:, None] == np.array(elements)[None], np.minimum(away, 1e3), 1e4)
    return float(np.sqrt(away[linear_sum_assignment(away)].mean()))


def test_a_ligand_is_placed_by_its_code(case, tmp_path, capsys):
    folder, truth, elements = case
    arguments = ["--ligand", "BEN", "--no-peptides", "--no-rotamers", "--out", tmp_path / "out", "--json"]
    assert burnish("rebuild", folder / "model.cif", folder / "data.mtz", *arguments) == 0
    json.loads(capsys.readouterr().out)
    moves = [json.loads(line) for line in (tmp_path / "out" / "moves.jsonl").read_text().splitlines()]
    (placed,) = [m for m in moves if m["kind"] == "ligand"]
    assert placed["accepted"]
    rebuilt = read_model(tmp_path / "out" / "rebuilt.cif").structure
    (residue,) = [r for chain in rebuilt[0] for r in chain if r.name == "BEN"]
    assert sorted(placed["added"]) == sorted(f"{placed['residue']} {a.name}" for a in residue)
    found = np.array([residue[a.id][0].pos.tolist() for a in component("BEN").atoms if not a.is_hydrogen()])
    assert deviation(found, truth, elements) < 0.5
    # each change has its picture and the command that takes it back
    page = (tmp_path / "out" / "moves.html").read_text()
    picture = (tmp_path / "out" / placed["picture"]).read_bytes()
    assert picture.startswith(b"\x89PNG")
    assert page.count("data:image/png") == sum(bool(m.get("picture")) for m in moves)
    assert f"burnish undo {tmp_path / 'out'} {placed['round']}.{placed['move']}" in page


def test_a_placed_ligand_is_taken_back(case, tmp_path, capsys):
    folder, _, _ = case
    out = tmp_path / "out"
    arguments = ["--ligand", "BEN", "--no-peptides", "--no-rotamers", "--no-waters", "--out", out]
    assert burnish("rebuild", folder / "model.cif", folder / "data.mtz", *arguments) == 0
    moves = [json.loads(line) for line in (out / "moves.jsonl").read_text().splitlines()]
    name = next(f"{m['round']}.{m['move']}" for m in moves if m["kind"] == "ligand")
    capsys.readouterr()
    assert burnish("undo", out, name, "--json") == 0
    assert json.loads(capsys.readouterr().out)["taken_back"] == [name]
    undone = read_model(out / "undone.cif").structure
    before = read_model(folder / "model.cif").structure
    np.testing.assert_allclose(atoms_of(undone).xyz, atoms_of(before).xyz, atol=2e-3)
    # errors name the move, and nothing is written
    assert burnish("undo", out, "7.1", "--out", out / "other.cif") == 2
    assert "7.1" in capsys.readouterr().err
    assert burnish("undo", folder, name) == 2
    assert not (out / "other.cif").exists()


def test_what_is_not_there_is_not_placed(case, tmp_path, capsys):
    folder, _, _ = case
    arguments = [
        "--ligand",
        "NAD",
        "--no-peptides",
        "--no-rotamers",
        "--no-waters",
        "--out",
        tmp_path / "out",
        "--json",
    ]
    assert burnish("rebuild", folder / "model.cif", folder / "data.mtz", *arguments) == 0
    capsys.readouterr()
    moves = [json.loads(line) for line in (tmp_path / "out" / "moves.jsonl").read_text().splitlines()]
    (tried,) = [m for m in moves if m["kind"] == "ligand"]
    assert not tried["accepted"]
    assert tried["reason"]


def glycosylated() -> tuple[gemmi.Structure, gemmi.Structure]:
    """A helix with a sequon, without and with a sugar on it, in a crystal with room for it."""
    bare = peptide(["ALA", "ALA", "ASN", "ALA", "THR", "ALA", "ALA", "ALA"])
    for site in bare[0].all():
        site.atom.b_iso = 15.0
    bare.cell, bare.spacegroup_hm = gemmi.UnitCell(26.0, 27.0, 29.0, 90, 90, 90), GROUP
    monlib = read_library(["ALA", "ASN", "THR", "NAG"], environment={}, debian=None).monlib
    (site,) = open_sites(bare, residue_views(bare[0]), {})
    shape = sugar_shape(monlib, site)
    turns = torch.zeros(1, len(shape.body.bonds), dtype=torch.float64)
    best, chosen = -1.0, shape.xyz[3:]
    own = atoms_of(bare).xyz.numpy()
    for phi in np.radians(np.arange(0.0, 360.0, 15.0)):
        turns[0, 1] = float(phi)
        placed = turned_positions(shape.body, torch.from_numpy(shape.xyz)[None], turns)[0, 3:].numpy()
        away = np.sort(np.linalg.norm(own[:, None] - placed[None], axis=2).ravel())[4]  # beyond the bond itself
        if away > best:
            best, chosen = float(away), placed
    residue = make_residue("NAG", shape.names, shape.elements, chosen, 18.0)
    truth, _ = with_residue(bare, residue, "A")
    for structure in (bare, truth):
        structure.setup_cell_images()
    return bare, truth


def test_a_sugar_is_built_with_its_bond(tmp_path, capsys):
    bare, truth = glycosylated()
    write_data(tmp_path, truth)
    bare.make_mmcif_document().write_file(str(tmp_path / "model.cif"))
    arguments = ["--no-peptides", "--no-rotamers", "--no-waters", "--no-flips", "--out", tmp_path / "out", "--json"]
    assert burnish("rebuild", tmp_path / "model.cif", tmp_path / "data.mtz", *arguments) == 0
    capsys.readouterr()
    moves = [json.loads(line) for line in (tmp_path / "out" / "moves.jsonl").read_text().splitlines()]
    sugars = [m for m in moves if m["kind"] == "sugar" and m["accepted"]]
    assert [m["residue"] for m in sugars] == ["A 9 NAG"]
    rebuilt = gemmi.read_structure(str(tmp_path / "out" / "rebuilt.cif"))
    (link,) = [c for c in rebuilt.connections if c.type == gemmi.ConnectionType.Covale]
    assert {link.partner1.atom_name, link.partner2.atom_name} == {"C1", "ND2"}
    away = [a.pos.dist(truth[0]["A"]["9"][0][a.name][0].pos) for a in rebuilt[0]["A"]["9"][0]]
    assert float(np.sqrt(np.mean(np.square(away)))) < 0.5


def test_requests_are_files_codes_or_smiles(tmp_path):
    file = tmp_path / "XYZ.cif"
    file.write_text("data_comp_XYZ\nloop_\n_chem_comp_atom.comp_id\n_chem_comp_atom.atom_id\nXYZ C1\nXYZ C2\n")
    asked = ligand_requests([str(file), "gol", "CC(=O)Oc1ccccc1", "ASP2=CC(=O)O"])
    assert asked.files == (file,)
    assert asked.names == ("XYZ", "GOL", "LIG", "ASP2")
    assert asked.smiles == {"LIG": "CC(=O)Oc1ccccc1", "ASP2": "CC(=O)O"}
    with pytest.raises(InputError, match=r"none\.cif: no such file"):
        ligand_requests(["none.cif"])
