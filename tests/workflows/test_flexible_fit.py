"""`burnish refine --flexible` brings a domain back that has moved; `--reference` is checked."""

from pathlib import Path

import gemmi
import numpy as np
import pytest
import torch
from tests.workflows.command_line import burnish
from tests.workflows.small_crystal import helix
from tests.workflows.small_map import SIZE, VOXEL, in_the_middle, potential_of, rms_distance

from burnish.data.density import DensityMap
from burnish.io.mrc import write_map
from burnish.workflows.flexible_fit import stages

HINGE = 9  # index of the residue about which the second half turns


@pytest.fixture(scope="module")
def case(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """truth.cif and half maps of it; model.cif, whose second half is turned by 25° about its middle."""
    folder = tmp_path_factory.mktemp("flexible")
    truth = helix(18)
    for site in truth[0].all():
        site.atom.b_iso = 40.0
    truth = in_the_middle(truth)
    potential, generator = potential_of(truth), np.random.default_rng(4)
    for half in (1, 2):
        noise = 0.3 * potential.std() * generator.standard_normal(potential.shape).astype(np.float32)
        density = DensityMap(values=torch.from_numpy(potential + noise), voxel_size=(VOXEL,) * 3)
        write_map(folder / f"half{half}.mrc", density)
    truth.make_mmcif_document().write_file(str(folder / "truth.cif"))
    moved = truth.clone()
    pivot = np.array(moved[0]["A"][HINGE]["CA"][0].pos.tolist())
    c, s = np.cos(np.radians(25.0)), np.sin(np.radians(25.0))
    axis = np.linalg.svd(np.array([a.atom.pos.tolist() for a in truth[0].all()]) - SIZE * VOXEL / 2)[2][2]
    cross = np.array([[0, -axis[2], axis[1]], [axis[2], 0, -axis[0]], [-axis[1], axis[0], 0]])
    turn = np.eye(3) + s * cross + (1 - c) * cross @ cross
    for k, residue in enumerate(moved[0]["A"]):
        for atom in residue:
            if k > HINGE or (k == HINGE and atom.name in ("C", "O")):
                atom.pos = gemmi.Position(*(turn @ (np.array(atom.pos.tolist()) - pivot) + pivot))
    moved.make_mmcif_document().write_file(str(folder / "model.cif"))
    return folder


def test_a_domain_that_has_turned_comes_back(case: Path, tmp_path: Path) -> None:
    halves = ("--half1", case / "half1.mrc", "--half2", case / "half2.mrc", "--resolution", "3.0")
    given = ("--flexible", "8", "--cycles", "6", "--reference", case / "truth.cif")
    assert burnish("refine", case / "model.cif", *halves, *given, "--out", tmp_path / "job") == 0
    before = rms_distance(case / "model.cif", case / "truth.cif")
    after = rms_distance(tmp_path / "job/refined.cif", case / "truth.cif")
    assert before > 2.0
    assert after < 0.3 * before


def test_stages_come_down() -> None:
    found = stages(10.0, 3.0)
    assert [s.resolution for s in found] == sorted((s.resolution for s in found), reverse=True)
    assert found[0].rigid_cycles > 0 == found[0].cycles
    assert all(s.mask_radius >= 3.0 for s in found)


@pytest.mark.parametrize(
    ("arguments", "said"), [(("--flexible", "2"), "coarser"), (("--reference", "other.cif"), "same molecule")]
)
def test_bad_input(
    case: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], said: str
) -> None:
    other = gemmi.read_structure(str(case / "truth.cif"))
    other[0]["A"].name = "Q"
    other.make_mmcif_document().write_file(str(tmp_path / "other.cif"))
    given = [str(tmp_path / a) if a == "other.cif" else a for a in arguments]
    status = burnish("refine", case / "model.cif", "--map", case / "half1.mrc", "--resolution", "3", *given,
                     "--out", tmp_path / "job")  # fmt: skip
    assert status == 2
    assert said in capsys.readouterr().err
    assert not (tmp_path / "job").exists()
