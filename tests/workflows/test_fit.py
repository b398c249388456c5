"""`burnish fit`: a moved helix is found again, bad input is one line."""

import json
from dataclasses import replace
from pathlib import Path

import gemmi
import numpy as np
import pytest
import torch
from tests.workflows.command_line import burnish
from tests.workflows.small_crystal import helix
from tests.workflows.small_map import VOXEL, in_the_middle, moved, potential_of, rms_distance

from burnish.data.density import DensityMap
from burnish.io.mrc import write_map

ORIGIN = (-8.0, 24.0, 4.0)


@pytest.fixture(scope="module")
def case(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder with truth.cif and map.mrc, the model turned and moved away, and maps that are of no use."""
    folder = tmp_path_factory.mktemp("fit")
    truth = helix(12)
    for site in truth[0].all():
        site.atom.b_iso = 40.0
    truth = in_the_middle(truth)
    density = DensityMap(values=torch.from_numpy(potential_of(truth)), voxel_size=(VOXEL,) * 3, origin=ORIGIN)
    write_map(folder / "map.mrc", density)
    write_map(folder / "flat.mrc", replace(density, values=torch.ones_like(density.values)))
    write_map(folder / "oblong.mrc", replace(density, voxel_size=(VOXEL, VOXEL, 0.9)))
    framed = moved(truth, np.array(ORIGIN))
    framed.make_mmcif_document().write_file(str(folder / "truth.cif"))
    moved(framed, np.array([0.6, -0.5, 0.4])).make_mmcif_document().write_file(str(folder / "near.cif"))
    turned = framed.clone()
    turned[0].transform_pos_and_adp(
        gemmi.Transform(gemmi.Mat33([[0, -1, 0], [1, 0, 0], [0, 0, 1]]), gemmi.Vec3(90, 5, 7))
    )
    turned.cell, turned.spacegroup_hm = gemmi.UnitCell(60, 70, 80, 90, 90, 90), "P 21 21 21"
    document = turned.make_mmcif_document()
    document.sole_block().set_pair("_citation.title", "'of the model that is placed'")
    document.sole_block().set_pair("_atom_sites.fract_transf_matrix[1][1]", "0.01666")
    document.write_file(str(folder / "turned.cif"))
    return folder


def test_a_turned_model_is_found_again(case: Path, tmp_path: Path) -> None:
    given = ("--resolution", "2.5", "--candidates", "10", "--out", tmp_path / "job")
    assert burnish("fit", case / "turned.cif", case / "map.mrc", *given) == 0
    assert rms_distance(tmp_path / "job/fitted.cif", case / "truth.cif") < 0.3
    block = gemmi.cif.read(str(tmp_path / "job/fitted.cif")).sole_block()
    assert block.find_value("_citation.title") == "'of the model that is placed'"
    assert block.find_value("_atom_sites.fract_transf_matrix[1][1]") is None
    placed = gemmi.read_structure(str(tmp_path / "job/fitted.cif"))
    assert (placed.spacegroup_hm, placed.cell.a) == ("P 1", 1.0)


def test_alternate_conformers_share_their_electrons(case: Path, tmp_path: Path) -> None:
    """A copy of every atom with no occupancy changes nothing."""
    given = ("--resolution", "2.5", "--local", "--out")
    assert burnish("fit", case / "near.cif", case / "map.mrc", *given, tmp_path / "one") == 0
    model = gemmi.read_structure(str(case / "near.cif"))
    for residue in model[0][0]:
        atoms = [atom.clone() for atom in residue]
        for at in reversed(range(len(residue))):
            del residue[at]
        for atom in atoms:
            for letter, share in (("A", 1.0), ("B", 0.0)):
                atom.altloc, atom.occ = letter, share
                residue.add_atom(atom)
            atom.pos = gemmi.Position(atom.pos.x + 3.0, atom.pos.y, atom.pos.z)
    model.make_mmcif_document().write_file(str(tmp_path / "two.cif"))
    assert burnish("fit", tmp_path / "two.cif", case / "map.mrc", *given, tmp_path / "two") == 0
    one, two = (json.loads((tmp_path / n / "fit.json").read_text())["places"][0]["correlation"] for n in ("one", "two"))
    assert one > 0.6
    assert two == pytest.approx(one, abs=1e-3)


@pytest.mark.parametrize(
    ("model", "density", "given", "said"),
    [
        ("near.cif", "map.mrc", ("--resolution", "1.2"), "ends at 1.6 Å"),
        ("near.cif", "map.mrc", ("--resolution", "30"), "expected at most 19 Å"),
        ("near.cif", "map.mrc", ("--resolution", "4", "--search-resolution", "3"), "finer than --resolution 4"),
        ("near.cif", "oblong.mrc", ("--resolution", "3"), "voxels of 0.8 × 0.8 × 0.9 Å; expected cubic ones"),
        ("near.cif", "flat.mrc", ("--resolution", "3"), "every value is 1"),
        ("turned.cif", "map.mrc", ("--resolution", "3", "--local"), "0% of its atoms lie in the map's box"),
        ("map.mrc", "near.cif", ("--resolution", "3"), "map.mrc: holds a map (MRC), expected a model"),
        ("near.cif", "truth.cif", ("--resolution", "3"), "truth.cif: holds a model (mmCIF), expected a map"),
    ],
)
def test_bad_input_is_one_line_and_leaves_no_folder(
    case: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    model: str,
    density: str,
    given: tuple[str, ...],
    said: str,
) -> None:
    monkeypatch.chdir(case)
    assert burnish("fit", model, density, *given, "--out", tmp_path / "job") == 2
    lines = capsys.readouterr().err.strip().splitlines()
    assert len(lines) == 1
    assert said in lines[0]
    assert not (tmp_path / "job").exists()
