"""`burnish rebuild --ligand` against half maps: the ligand comes where it was, and not where nothing is."""

import json
from pathlib import Path

import gemmi
import numpy as np
import pytest
import torch
from tests.workflows.command_line import burnish
from tests.workflows.small_crystal import helix
from tests.workflows.small_map import VOXEL, in_the_middle, potential_of

from burnish.chemistry.conformers import ligand_shapes
from burnish.chemistry.library import read_library
from burnish.data.density import DensityMap
from burnish.io.mrc import write_map

NAME = "BEN"  # benzamidine


def _beside(structure: gemmi.Structure) -> gemmi.Residue:
    """The ligand at 3.4 Å from the nearest atom, on the side where the box has most room."""
    shapes = ligand_shapes(read_library([NAME]).monlib.monomers[NAME], 1, 0)
    atoms = np.array([s.atom.pos.tolist() for s in structure[0].all()])
    axis = np.linalg.svd(atoms - atoms.mean(axis=0))[2][0]
    away = np.cross(axis, [0.3, 0.5, 0.8])
    away /= np.linalg.norm(away)
    own = shapes.xyz[0] - shapes.xyz[0].mean(axis=0)
    far = next(
        d for d in np.arange(4.0, 20.0, 0.1)
        if np.linalg.norm((own + atoms.mean(axis=0) + d * away)[:, None] - atoms, axis=2).min() > 3.4
    )  # fmt: skip
    residue = gemmi.Residue()
    residue.name, residue.seqid, residue.het_flag = NAME, gemmi.SeqId("101"), "H"
    for name, element, place in zip(shapes.atoms, shapes.elements, own + atoms.mean(axis=0) + far * away, strict=True):
        atom = gemmi.Atom()
        atom.name, atom.element, atom.b_iso = name, gemmi.Element(element), 30.0
        atom.pos = gemmi.Position(*place)
        residue.add_atom(atom)
    return residue


def _half_maps(structure: gemmi.Structure, folder: Path) -> tuple[str | Path, ...]:
    potential, generator = potential_of(structure), np.random.default_rng(4)
    for half in (1, 2):
        noise = 0.2 * potential.std() * generator.standard_normal(potential.shape).astype(np.float32)
        density = DensityMap(values=torch.from_numpy(potential + noise), voxel_size=(VOXEL,) * 3)
        write_map(folder / f"half{half}.mrc", density)
    return ("--half1", folder / "half1.mrc", "--half2", folder / "half2.mrc", "--resolution", "2.2")


@pytest.fixture
def bare(tmp_path: Path) -> gemmi.Structure:
    """A helix, also as model.cif."""
    structure = helix(10)
    for site in structure[0].all():
        site.atom.b_iso = 30.0
    structure = in_the_middle(structure)
    structure.make_mmcif_document().write_file(str(tmp_path / "model.cif"))
    return structure


def _rebuilt(tmp_path: Path, maps: tuple[str | Path, ...]) -> tuple[dict, gemmi.Structure]:
    """The ligand's line of moves.jsonl, and the model."""
    plain = ("--ligand", NAME, "--no-waters", "--no-rotamers", "--no-peptides", "--no-flips", "--no-alternates")
    assert burnish("rebuild", tmp_path / "model.cif", *maps, *plain, "--out", tmp_path / "job") == 0
    lines = [json.loads(line) for line in (tmp_path / "job/moves.jsonl").read_text().splitlines()]
    found = [line for line in lines if line["kind"] == "ligand"]
    assert len(found) == 1
    return found[0], gemmi.read_structure(str(tmp_path / "job/rebuilt.cif"))


def test_a_ligand_is_placed_where_it_was(bare: gemmi.Structure, tmp_path: Path) -> None:
    truth, ligand = bare.clone(), _beside(bare)
    truth[0]["A"].add_residue(ligand)
    move, rebuilt = _rebuilt(tmp_path, _half_maps(truth, tmp_path))
    assert move["accepted"], move["reason"]
    there = np.array([a.pos.tolist() for a in ligand])
    here = np.array([s.atom.pos.tolist() for s in rebuilt[0].all() if s.residue.name == NAME])
    assert len(here) == len(there)
    assert np.linalg.norm(here.mean(axis=0) - there.mean(axis=0)) < 0.4
    # the ring may be turned over: each atom lies on one of the true ones
    assert np.linalg.norm(here[:, None] - there, axis=2).min(axis=1).max() < 0.6


def test_no_ligand_where_nothing_is(bare: gemmi.Structure, tmp_path: Path) -> None:
    move, rebuilt = _rebuilt(tmp_path, _half_maps(bare, tmp_path))
    assert not move["accepted"]
    assert not any(s.residue.name == NAME for s in rebuilt[0].all())
