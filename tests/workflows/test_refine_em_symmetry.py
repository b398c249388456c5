"""`burnish refine --symmetry`, `--twist-deg --rise`: one asymmetric unit against a map of many."""

import json
import math
from pathlib import Path

import gemmi
import numpy as np
import pytest
import torch
from tests.workflows.command_line import burnish
from tests.workflows.small_crystal import disturbed, helix
from tests.workflows.small_map import rms_distance

from burnish.data.density import DensityMap
from burnish.data.particle_symmetry import ParticleSymmetry
from burnish.io.mrc import read_map, write_map
from burnish.symmetry.particle import helical_symmetry, point_symmetry

VOXEL, SIZE = 0.9, 48
MIDDLE = np.full(3, VOXEL * (SIZE // 2))
NAMES = {"C3": ("--symmetry", "C3"), "helix": ("--twist-deg", "75", "--rise", "11")}


def _symmetry(kind: str) -> ParticleSymmetry:
    if kind == "helix":
        return helical_symmetry(math.radians(75.0), 11.0, tuple(MIDDLE), range(-1, 2))
    return point_symmetry(kind, tuple(MIDDLE))


def _copied(unit: gemmi.Structure, particle: ParticleSymmetry) -> gemmi.Structure:
    every = unit.clone()
    del every[0]["A"]
    for k, (rotation, shift) in enumerate(zip(particle.rotation, particle.shift, strict=True)):
        chain = unit[0]["A"].clone()
        chain.name = "ABCDEFGHIJ"[k]
        for residue in chain:
            for atom in residue:
                atom.pos = gemmi.Position(*(rotation @ np.array(atom.pos.tolist()) + shift))
        every[0].add_chain(chain)
    return every


@pytest.fixture(scope="module", params=["C3", "helix"])
def case(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder with truth.cif, model.cif (one unit), all.cif, half1.mrc, half2.mrc of a symmetric assembly."""
    folder = tmp_path_factory.mktemp(request.param)
    (folder / "kind").write_text(request.param)
    unit = helix(8)
    xyz = np.array([site.atom.pos.tolist() for site in unit[0].all()])
    flat = np.linalg.svd(xyz - xyz.mean(0))[2]  # its long axis along y, beside the axis of the particle
    turn = np.array([flat[1], flat[0], np.cross(flat[1], flat[0])])
    away = np.array([9.0 if request.param == "C3" else 13.0, 0.0, 0.0])
    for site in unit[0].all():
        new = turn @ (np.array(site.atom.pos.tolist()) - xyz.mean(0)) + away + MIDDLE
        site.atom.pos, site.atom.b_iso = gemmi.Position(*new), 30.0
    unit.spacegroup_hm, unit.cell = "P 1", gemmi.UnitCell(1, 1, 1, 90, 90, 90)
    every = _copied(unit, _symmetry(request.param))
    density = gemmi.DensityCalculatorE()
    density.grid.set_unit_cell(gemmi.UnitCell(SIZE * VOXEL, SIZE * VOXEL, SIZE * VOXEL, 90, 90, 90))
    density.d_min, density.rate = 2.0, 0.999 / VOXEL
    density.put_model_density_on_grid(every[0])
    potential = np.array(density.grid.array).transpose(2, 1, 0).astype(np.float32)
    generator = np.random.default_rng(4)
    for half in (1, 2):
        noise = 0.3 * potential.std() * generator.standard_normal(potential.shape).astype(np.float32)
        write_map(
            folder / f"half{half}.mrc", DensityMap(values=torch.from_numpy(potential + noise), voxel_size=(VOXEL,) * 3)
        )
    unit.make_mmcif_document().write_file(str(folder / "truth.cif"))
    every.make_mmcif_document().write_file(str(folder / "all.cif"))
    disturbed(unit).make_mmcif_document().write_file(str(folder / "model.cif"))
    return folder


def _arguments(case: Path) -> tuple[str | Path, ...]:
    kind = (case / "kind").read_text()
    halves = ("--half1", case / "half1.mrc", "--half2", case / "half2.mrc", "--resolution", "2.4")
    return (*halves, *NAMES[kind])


def test_one_unit_comes_back(case: Path, tmp_path: Path) -> None:
    assert burnish("refine", case / "model.cif", *_arguments(case), "--cycles", "8", "--out", tmp_path / "job") == 0
    before = rms_distance(case / "model.cif", case / "truth.cif")
    after = rms_distance(tmp_path / "job/refined.cif", case / "truth.cif")
    assert after < 0.4 * before
    final = json.loads((tmp_path / "job/refined.json").read_text())["final"]
    assert final["copies"] == len(_symmetry((case / "kind").read_text()))
    assert final["fsc_average"] > 0.93
    refined = gemmi.read_structure(str(tmp_path / "job/refined.cif"))
    assert len(refined.ncs) == final["copies"] - 1  # gemmi leaves the identity out
    whole = gemmi.read_structure(str(tmp_path / "job/refined_expanded.cif"))
    truth = gemmi.read_structure(str(case / "all.cif"))
    there = np.array([s.atom.pos.tolist() for s in truth[0].all() if s.atom.name == "CA"])
    here = np.array([s.atom.pos.tolist() for s in whole[0].all() if s.atom.name == "CA"])
    assert len(here) == len(there)
    assert np.linalg.norm(here[:, None] - there[None], axis=2).min(axis=1).max() < 0.4


@pytest.mark.parametrize("case", ["C3"], indirect=True)  # validate takes point groups
def test_one_unit_is_judged_as_the_whole(case: Path, tmp_path: Path) -> None:
    halves = ("--half1", case / "half1.mrc", "--half2", case / "half2.mrc", "--resolution", "2.5")
    assert burnish("validate", case / "truth.cif", *halves, "--symmetry", "C3", "--out", tmp_path / "unit") == 0
    assert burnish("validate", case / "all.cif", *halves, "--out", tmp_path / "all") == 0
    unit, every = (json.loads((tmp_path / k / "validation.json").read_text())["map"] for k in ("unit", "all"))
    for name in ("cc_mask", "cc_volume", "cc_peaks"):
        assert unit["cc"][name] == pytest.approx(every["cc"][name], abs=0.003), name
    assert unit["atom_inclusion"]["contour"] == pytest.approx(every["atom_inclusion"]["contour"], rel=0.01)
    assert unit["q_score"]["mean"] == pytest.approx(every["q_score"]["mean"], abs=0.01)
    assert unit["fsc"]["average"] == pytest.approx(every["fsc"]["average"], abs=0.002)


def test_what_contradicts_the_symmetry_is_refused(
    case: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    kind = (case / "kind").read_text()
    assert burnish("refine", case / "all.cif", *_arguments(case), "--out", tmp_path / "a") == 2
    assert "one asymmetric unit" in capsys.readouterr().err
    wrong = ("--symmetry", "C2") if kind == "C3" else ("--twist-deg", "15", "--rise", "11")
    assert (
        burnish("refine", case / "model.cif", *_arguments(case)[: -len(NAMES[kind])], *wrong, "--out", tmp_path / "b")
        == 2
    )
    assert "correlates" in capsys.readouterr().err
    assert not (tmp_path / "b").exists()


@pytest.mark.parametrize("case", ["C3"], indirect=True)
def test_axes_that_meet_elsewhere_are_found_and_named(
    case: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A map with ten more columns on one side has its middle voxel beside the axis."""
    for half in (1, 2):
        density = read_map(case / f"half{half}.mrc")
        wider = torch.nn.functional.pad(density.values, (0, 10))
        write_map(tmp_path / f"half{half}.mrc", DensityMap(values=wider, voxel_size=density.voxel_size))
    maps = ("--half1", tmp_path / "half1.mrc", "--half2", tmp_path / "half2.mrc", "--resolution", "2.5")
    asked = (case / "truth.cif", *maps, "--symmetry", "C3")
    for command in ("refine", "validate", "cycle"):
        assert burnish(command, *asked, "--out", tmp_path / command) == 2
        said = capsys.readouterr().err
        assert "its axes meet elsewhere" in said
        named = [float(x) for x in said.split("--centre ")[1].split(" (now")[0].split()]
        assert named[:2] == pytest.approx(MIDDLE[:2], abs=0.3)  # along its own axis a rotation may be anywhere
    centre = ("--centre", *(str(x) for x in named))
    assert burnish("validate", *asked, *centre, "--out", tmp_path / "right") == 0


def test_symmetry_options_are_checked(case: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    halves = _arguments(case)[:6]
    for wrong, said in ((("--symmetry", "X3"), "point group"), (("--rise", "4"), "go together")):
        assert burnish("refine", case / "model.cif", *halves, *wrong, "--out", tmp_path / "c") == 2
        assert said in capsys.readouterr().err
