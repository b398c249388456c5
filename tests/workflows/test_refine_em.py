"""`burnish refine` against half maps: a disturbed helix comes back, outputs agree, bad input is refused."""

import itertools
import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import gemmi
import mrcfile
import numpy as np
import pytest
import torch
from scipy.ndimage import map_coordinates
from tests.workflows.command_line import burnish
from tests.workflows.small_crystal import disturbed, helix
from tests.workflows.small_map import VOXEL, in_the_middle, moved, potential_of, rms_distance

from burnish.data.density import DensityMap
from burnish.io.mrc import read_map, write_map
from burnish.models.refinement import RefinementState, iterate

NOISE = 0.02
SHIFT = (-12.0, 30.4, 5.6)  # of the whole frame, in whole voxels, so that nothing works by chance at the origin


@pytest.fixture(scope="module")
def case(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder with truth.cif, model.cif, half1.mrc, half2.mrc."""
    folder = tmp_path_factory.mktemp("em")
    truth = helix(12)
    for site in truth[0].all():
        site.atom.b_iso = 30.0
    truth = in_the_middle(truth)
    potential, generator = potential_of(truth), np.random.default_rng(4)
    sigma = NOISE * float(potential.std()) * 10
    for half in (1, 2):
        noisy = potential + sigma * generator.standard_normal(potential.shape).astype(np.float32)
        write_map(
            folder / f"half{half}.mrc",
            DensityMap(values=torch.from_numpy(noisy), voxel_size=(VOXEL,) * 3, origin=SHIFT),
        )
    framed = moved(truth, np.array(SHIFT))
    framed.make_mmcif_document().write_file(str(folder / "truth.cif"))
    moved(disturbed(framed), np.zeros(3)).make_mmcif_document().write_file(str(folder / "model.cif"))
    return folder


@pytest.fixture(scope="module")
def refined(case: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("out") / "job"
    halves = ("--half1", case / "half1.mrc", "--half2", case / "half2.mrc")
    given = ("--resolution", "2.2", "--cycles", "12", "--cross-validation", "--json")
    assert burnish("refine", case / "model.cif", *halves, *given, "--out", out) == 0
    return out


def test_a_model_in_another_place_is_told_of(case: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    given = ("--map", case / "half1.mrc", "--resolution", "2.2", "--cycles", "0")
    assert burnish("refine", case / "model.cif", *given, "--out", tmp_path / "right") == 0
    assert "hardly agrees" not in capsys.readouterr().err
    shifted = moved(gemmi.read_structure(str(case / "model.cif")), np.array([4.0, 3.0, 2.5]))
    shifted.make_mmcif_document().write_file(str(tmp_path / "shifted.cif"))
    assert burnish("refine", tmp_path / "shifted.cif", *given, "--out", tmp_path / "wrong") == 0
    assert "the model hardly agrees with the map" in capsys.readouterr().err


def test_a_disturbed_model_comes_back(case: Path, refined: Path) -> None:
    before, after = (
        rms_distance(case / "model.cif", case / "truth.cif"),
        rms_distance(refined / "refined.cif", case / "truth.cif"),
    )
    assert before > 0.2
    assert after < 0.35 * before


def test_statistics(refined: Path) -> None:
    record = json.loads((refined / "refined.json").read_text())
    final = record["final"]
    assert 1.0 - final["fsc_average"] < 0.4 * (1.0 - final["fsc_average_start"])
    assert final["fsc_free"] > 0.9
    assert -0.005 < final["fsc_work"] - final["fsc_free"] < 0.02  # next to no noise is fitted
    assert (refined / "refined_local.mrc").exists()
    assert (refined / "refined_half1.cif").exists()
    assert final["fsc_expected"] > 0.9
    assert final["fsc_average"] < final["fsc_expected"] + 0.01
    assert 0.2 < final["bond_rmsz"] < 1.2
    assert len(record["cycles"]) == final["cycles"] + 1


def test_a_stopped_run_goes_on_to_the_same_end(
    case: Path, refined: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    halves = ("--half1", case / "half1.mrc", "--half2", case / "half2.mrc", "--resolution", "2.2")
    assert burnish("refine", case / "model.cif", *halves, "--cycles", "5", "--out", tmp_path / "a") == 0
    further = ("--cycles", "12", "--continue-from", tmp_path / "a/checkpoint.npz", "--out", tmp_path / "b")
    assert burnish("refine", case / "model.cif", *halves, *further) == 0
    one, other = (json.loads((p / "refined.json").read_text()) for p in (refined, tmp_path / "b"))
    assert [c["cycle"] for c in other["cycles"]] == list(range(13))
    assert other["cycles"] == one["cycles"]
    assert (tmp_path / "b/refined.cif").read_bytes() == (refined / "refined.cif").read_bytes()
    capsys.readouterr()
    shorter = gemmi.read_structure(str(case / "model.cif"))
    del shorter[0][0][-1]
    shorter.make_mmcif_document().write_file(str(tmp_path / "shorter.cif"))
    assert burnish("refine", tmp_path / "shorter.cif", *halves, *further[:-1], tmp_path / "c") == 2
    assert "of another model" in capsys.readouterr().err
    assert burnish("refine", refined / "refined.cif", *halves, *further[:-1], tmp_path / "c") == 2
    assert "started from atoms up to" in capsys.readouterr().err
    swapped = ("--half1", case / "half2.mrc", "--half2", case / "half1.mrc", "--resolution", "2.2")
    assert burnish("refine", case / "model.cif", *swapped, *further[:-1], tmp_path / "c") == 2
    assert "against other data, or to another resolution" in capsys.readouterr().err
    further = ("--cycles", "12", "--continue-from", case / "model.cif", "--out", tmp_path / "c")
    assert burnish("refine", case / "model.cif", *halves, *further) == 2
    assert "model.cif: is no checkpoint; name the checkpoint.npz" in capsys.readouterr().err
    assert not (tmp_path / "c").exists()


def _stopping(at: int) -> Callable[..., Iterator[RefinementState]]:
    """`iterate` that the user stops in the first cycle of the refinement of this number."""
    started = itertools.count(1)

    def iterate_until(*given: Any) -> Iterator[RefinementState]:
        if next(started) == at:
            raise KeyboardInterrupt
        yield from iterate(*given)

    return iterate_until


def test_a_stopped_cross_validation_leaves_the_refined_model(
    case: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    halves = ("--half1", case / "half1.mrc", "--half2", case / "half2.mrc", "--resolution", "2.2", "--cross-validation")
    given = ("--cycles", "2", "--out", tmp_path / "job")
    with monkeypatch.context() as patch:
        patch.setattr("burnish.workflows.refine_em.iterate", _stopping(2))
        assert burnish("refine", case / "model.cif", *halves, *given) == 130
    record = json.loads((tmp_path / "job/refined.json").read_text())
    assert record["interrupted"]
    assert record["final"]["cycles"] == 2
    assert "fsc_free" not in record["final"]
    with monkeypatch.context() as patch:
        patch.setattr("burnish.workflows.refine_em.iterate", _stopping(1))
        assert burnish("validate", case / "model.cif", *halves, "--out", tmp_path / "judged") == 130
        patch.setattr("burnish.workflows.refine_em.iterate", _stopping(1))
        flexible = ("--flexible", "6", "--cycles", "1", "--out", tmp_path / "flexible")
        assert burnish("refine", case / "model.cif", *halves, *flexible) == 130
    assert not (tmp_path / "judged/validation.json").exists()
    assert not (tmp_path / "flexible/refined.cif").exists()


def test_a_closer_fit_is_paid_for_by_the_other_half_map(case: Path, tmp_path: Path) -> None:
    generator = torch.Generator().manual_seed(8)
    for name in ("half1.mrc", "half2.mrc"):
        half = read_map(case / name)
        noise = 1.5 * float(half.values.std()) * torch.randn(half.values.shape, generator=generator)
        write_map(tmp_path / name, replace(half, values=half.values + noise))
    halves = ("--half1", tmp_path / "half1.mrc", "--half2", tmp_path / "half2.mrc", "--cross-validation")
    usual, close = tmp_path / "tight", tmp_path / "usual"
    for out, given in ((usual, ("--closeness", "0.1")), (close, ())):
        assert (
            burnish("refine", case / "model.cif", *halves, "--resolution", "2.6", "--cycles", "6", *given, "--out", out)
            == 0
        )
    one, other = (json.loads((out / "refined.json").read_text())["final"] for out in (usual, close))
    assert other["fsc_average"] > one["fsc_average"]
    assert other["fsc_work"] - other["fsc_free"] > one["fsc_work"] - one["fsc_free"]


def test_a_mask_of_ones_own(case: Path, tmp_path: Path) -> None:
    """A wide mask: the box holds all of it, and the model comes back as well."""
    half = read_map(case / "half1.mrc")
    mask = torch.zeros_like(half.values)
    mask[4:-4, 4:-4, 6:-6] = 1.0
    write_map(tmp_path / "mask.mrc", replace(half, values=mask))
    halves = ("--half1", case / "half1.mrc", "--half2", case / "half2.mrc", "--mask", tmp_path / "mask.mrc")
    assert burnish("refine", case / "model.cif", *halves, "--resolution", "2.2", "--out", tmp_path / "job") == 0
    assert min(read_map(tmp_path / "job/refined_fo.mrc").values.shape) >= 40
    after = rms_distance(tmp_path / "job/refined.cif", case / "truth.cif")
    assert after < 0.5 * rms_distance(case / "model.cif", case / "truth.cif")


def test_a_mask_without_origin_or_pixel_size_counts_by_its_grid(case: Path, tmp_path: Path) -> None:
    half = read_map(case / "half1.mrc")
    mask = torch.zeros_like(half.values)
    mask[8:-8, 8:-8, 8:-8] = 1.0
    whole, bare = replace(half, values=mask), replace(half, values=mask, origin=(0.0, 0.0, 0.0))
    write_map(tmp_path / "whole.mrc", whole)
    write_map(tmp_path / "bare.mrc", bare)
    with mrcfile.open(tmp_path / "bare.mrc", "r+") as file:
        file.voxel_size = 0.0
    found = []
    for name in ("whole", "bare"):
        given = (
            "--map",
            case / "half1.mrc",
            "--resolution",
            "2.2",
            "--cycles",
            "0",
            "--mask",
            tmp_path / f"{name}.mrc",
        )
        assert burnish("refine", case / "model.cif", *given, "--out", tmp_path / name) == 0
        found.append(json.loads((tmp_path / name / "refined.json").read_text())["final"]["fsc_average"])
    assert found[0] == found[1]


def test_what_the_map_does_not_hold_is_told_of(case: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Atoms outside of the box, density of the wrong sign, a model without scattering."""
    half = read_map(case / "half1.mrc")
    model = gemmi.read_structure(str(case / "model.cif"))
    low = min(s.atom.pos.z for s in model[0].all())
    sections = round((low - half.origin[2]) / VOXEL) + 4
    cut = replace(half, values=half.values[sections:], origin=(*SHIFT[:2], SHIFT[2] + sections * VOXEL))
    write_map(tmp_path / "cut.mrc", cut)
    write_map(tmp_path / "negative.mrc", replace(half, values=-half.values))
    given = ("--resolution", "2.2", "--cycles", "0", "--out")
    assert burnish("refine", case / "model.cif", "--map", tmp_path / "cut.mrc", *given, tmp_path / "a") == 0
    assert "atoms lie outside the map's box" in capsys.readouterr().err
    assert burnish("refine", case / "model.cif", "--map", tmp_path / "negative.mrc", *given, tmp_path / "b") == 0
    assert "density is negative where the atoms are" in capsys.readouterr().err
    for site in model[0].all():
        site.atom.occ = 0.0
    model.make_mmcif_document().write_file(str(tmp_path / "nothing.cif"))
    assert burnish("refine", tmp_path / "nothing.cif", "--map", case / "half1.mrc", *given, tmp_path / "c") == 2
    assert "every atom has occupancy 0" in capsys.readouterr().err
    assert not (tmp_path / "c").exists()


def test_half_maps_that_do_not_go_together_are_told_of(
    case: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    half = read_map(case / "half2.mrc")
    write_map(tmp_path / "mirrored.mrc", replace(half, values=half.values.flip(2)))
    write_map(tmp_path / "raised.mrc", replace(half, values=half.values + 3.0 * half.values.std()))
    model, given = case / "model.cif", ("--resolution", "2.2", "--cycles", "0", "--half1", case / "half1.mrc")
    assert burnish("refine", model, *given, "--half2", tmp_path / "mirrored.mrc", "--out", tmp_path / "a") == 0
    assert "the half maps hardly agree with each other near the model" in capsys.readouterr().err
    found = []
    for name, path in (("b", tmp_path / "raised.mrc"), ("c", case / "half2.mrc")):
        assert burnish("refine", model, *given, "--half2", path, "--out", tmp_path / name) == 0
        said = capsys.readouterr().err
        assert ("raised.mrc: its background of" in said) == (name == "b")
        assert "hardly agree" not in said
        found.append(json.loads((tmp_path / name / "refined.json").read_text())["final"]["fsc_average"])
    assert found[0] == pytest.approx(found[1], abs=1e-3)


def test_a_trace_of_one_atom_a_residue_is_refined(case: Path, tmp_path: Path) -> None:
    model = gemmi.read_structure(str(case / "model.cif"))
    for residue in model[0][0]:
        for at in reversed(range(len(residue))):
            if residue[at].name != "CA":
                del residue[at]
    model.make_mmcif_document().write_file(str(tmp_path / "trace.cif"))
    given = ("--map", case / "half1.mrc", "--resolution", "2.2", "--cycles", "1", "--out", tmp_path / "job")
    assert burnish("refine", tmp_path / "trace.cif", *given) == 0


def test_a_crystals_cell_does_not_go_with_a_model_in_a_map(case: Path, tmp_path: Path) -> None:
    model = gemmi.read_structure(str(case / "model.cif"))
    given = ("--map", case / "half1.mrc", "--resolution", "2.2", "--cycles", "0", "--out")
    for group, edge in (("P 21 21 21", 1.0), ("P 1", 70.0)):
        model.cell, model.spacegroup_hm = gemmi.UnitCell(70, 60, 50, 90, 90, 90), group
        model.make_mmcif_document().write_file(str(tmp_path / "in_cell.cif"))
        assert burnish("refine", tmp_path / "in_cell.cif", *given, tmp_path / "job") == 0
        for name in ("refined.cif", "refined.pdb"):
            again = gemmi.read_structure(str(tmp_path / "job" / name))
            assert again.spacegroup_hm == "P 1"
            assert again.cell.a == edge


def test_nothing_of_an_earlier_run_stays_in_the_folder(case: Path, tmp_path: Path) -> None:
    halves = ("--half1", case / "half1.mrc", "--half2", case / "half2.mrc", "--resolution", "2.2")
    given = ("--cycles", "1", "--cross-validation", "--out", tmp_path / "job")
    assert burnish("refine", case / "model.cif", *halves, *given) == 0
    sometimes = {"refined_local.mrc", "refined_half1.cif", "checkpoint.npz"}
    assert sometimes <= {path.name for path in (tmp_path / "job").iterdir()}
    given = ("--map", case / "half1.mrc", "--resolution", "2.2", "--cycles", "0", "--out", tmp_path / "job")
    assert burnish("refine", case / "model.cif", *given) == 0
    assert not sometimes & {path.name for path in (tmp_path / "job").iterdir()}


def test_names_of_phenix_in_the_mtz(case: Path, tmp_path: Path) -> None:
    given = ("--map", case / "half1.mrc", "--resolution", "2.2", "--cycles", "0", "--map-labels", "phenix")
    assert burnish("refine", case / "model.cif", *given, "--out", tmp_path / "job") == 0
    labels = gemmi.read_mtz_file(str(tmp_path / "job/refined.mtz")).column_labels()
    assert {"2FOFCWT", "PH2FOFCWT", "FOFCWT", "PHFOFCWT"} <= set(labels)
    assert "FWT" not in labels


def test_maps_lie_on_the_model(case: Path, refined: Path) -> None:
    """Density at the atoms, from the MRC map by its origin and from the MTZ in the model's own frame."""
    structure = gemmi.read_structure(str(case / "truth.cif"))
    positions = [s.atom.pos for s in structure[0].all() if s.atom.element.name in "NCO"]
    density = read_map(refined / "refined_fo.mrc")
    place = np.array([p.tolist() for p in positions])
    voxel = (place - np.array(density.origin)) / np.array(density.voxel_size)
    at_atoms = map_coordinates(density.values.numpy(), voxel[:, ::-1].T, order=3)
    assert float(at_atoms.mean()) > 1.0  # σ of the density inside the mask
    by_starts = gemmi.read_ccp4_map(str(refined / "refined_fo.mrc"), setup=True).grid  # which knows n*start alone
    as_ccp4 = np.array([by_starts.tricubic_interpolation(p) for p in positions])
    assert np.corrcoef(as_ccp4, at_atoms)[0, 1] > 0.97  # of two ways to interpolate
    mtz = gemmi.read_mtz_file(str(refined / "refined.mtz"))
    grid = mtz.transform_f_phi_to_map("FWT", "PHWT", sample_rate=4.0)
    from_mtz = np.array([grid.tricubic_interpolation(p) for p in positions])
    assert float(from_mtz.mean() / np.array(grid.array).std()) > 1.0
    assert np.corrcoef(from_mtz, at_atoms)[0, 1] > 0.98


def test_hands_work_in_either_map(refined: Path, tmp_path: Path) -> None:
    (tmp_path / "commands").write_text('{"tool": "refine", "chain": "A", "number": "5", "extent": "residue"}\n')
    for name in ("refined.mtz", "refined_fo.mrc"):
        given = (refined / "refined.cif", refined / name, "--commands", tmp_path / "commands")
        assert burnish("edit", *given, "--out", tmp_path / name) == 0
        assert (tmp_path / name / "rebuilt.cif").exists()


def test_the_report_says_what_was_found(refined: Path) -> None:
    text = (refined / "report.html").read_text()
    assert "Average model–map correlation" in text
    assert "half map 2" in text


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--half1", "half1.mrc", "--resolution", "2.2"), "--half1 and --half2 go together"),
        (("--half1", "half1.mrc", "--half2", "half2.mrc"), "--resolution"),
        (("--map", "half1.mrc", "--resolution", "1.0"), "1.6"),
        (("--map", "half1.mrc", "--resolution", "32"), "38 Å wide where it is narrowest; expected at most 19 Å"),
        (("--map", "half1.mrc", "--resolution", "2.2", "--cross-validation"), "two half maps"),
        (("--map", "half1.mrc", "--resolution", "2.2", "--closeness", "0.3"), "two half maps"),
        (("--half1", "half1.mrc", "--half2", "small.mrc", "--resolution", "2.2"), "grid"),
        (("--map", "far.mrc", "--resolution", "2.2"), "place the model"),
        (("--map", "none.mrc", "--resolution", "2.2"), "none.mrc"),
        (("--map", "half1.mrc", "--resolution", "2.2", "--mask", "small.mrc"), "small.mrc: its grid"),
        (("--map", "half1.mrc", "--resolution", "2.2", "--mask", "closed.mrc"), "no value above"),
        (("--half1", "half1.mrc", "--half2", "shifted.mrc", "--resolution", "2.2"), "shifted.mrc: its origin is"),
        (("--half1", "half1.mrc", "--half2", "copy.mrc", "--resolution", "2.2"), "the same density as half1.mrc"),
        (("--half1", "half1.mrc", "--half2", "strong.mrc", "--resolution", "2.2"), "have the same scale"),
        (("--half1", "half1.mrc", "--half2", "half1.mrc", "--resolution", "2.2"), "given as both half maps"),
        (("--map", "closed.mrc", "--resolution", "2.2"), "closed.mrc: every value is 0"),
        (("--map", "half1.mrc", "--resolution", "2.2", "--mask", "half1.mrc"), "a mask lies between 0 and 1"),
        (
            ("--map", "half1.mrc", "--resolution", "2.2", "--mask", "other_pixel.mrc"),
            "pixel size 1 Å, that of the maps",
        ),
        (("--map", "half1.mrc", "--resolution", "2.2", "--mask", "shifted_mask.mrc"), "shifted_mask.mrc: its origin"),
        (("--map", "truth.cif", "--resolution", "2.2"), "holds a model (mmCIF), expected a map"),
        (("--map", "half1.mrc", "--resolution", "2.2", "--twin"), "--twin is for diffraction data"),
        (("--map", "half1.mrc", "--resolution", "2.2", "--d-min", "3"), "--d-min is for diffraction data"),
        (("--map", "half1.mrc", "--resolution", "2.2", "--radiation", "neutron"), "neutron is for diffraction data"),
        (("--map", "half1.mrc", "--resolution", "2.2", "--centre", "1", "2", "3"), "where the axes of --symmetry"),
        (
            ("--map", "half1.mrc", "--resolution", "2.2", "--twist-deg", "9", "--rise", "400"),
            "no copy of the model lies in the map",
        ),
        ((), "--map"),
    ],
)
def test_bad_input_is_one_line_and_leaves_no_folder(
    case: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: tuple[str, ...],
    said: str,
) -> None:
    monkeypatch.chdir(case)
    half = read_map(case / "half1.mrc")
    write_map(case / "closed.mrc", replace(half, values=torch.zeros_like(half.values)))
    small = DensityMap(values=half.values[:40], voxel_size=half.voxel_size, origin=half.origin)
    write_map(case / "small.mrc", small)
    write_map(case / "copy.mrc", replace(half, values=2.0 * half.values))
    write_map(case / "strong.mrc", replace(half, values=10.0 * read_map(case / "half2.mrc").values))
    write_map(case / "shifted.mrc", replace(read_map(case / "half2.mrc"), origin=(0.0, 0.0, 0.0)))
    mask = torch.zeros_like(half.values)
    mask[8:-8, 8:-8, 8:-8] = 1.0
    write_map(case / "other_pixel.mrc", replace(half, values=mask, voxel_size=(1.0, 1.0, 1.0)))
    write_map(case / "shifted_mask.mrc", replace(half, values=mask, origin=(-12.0, 30.0, 8.0)))
    write_map(case / "far.mrc", DensityMap(values=half.values, voxel_size=half.voxel_size, origin=(500.0, 0.0, 0.0)))
    assert burnish("refine", "model.cif", *arguments, "--out", tmp_path / "job") == 2
    error = capsys.readouterr().err.strip().splitlines()
    assert said in error[-1]
    assert not (tmp_path / "job").exists()
