"""`burnish deposit` of a model refined against half maps: one folder with model, maps, mask and FSC curves."""

import json
from dataclasses import replace
from pathlib import Path

import gemmi
import numpy as np
import pytest
import torch
from tests.workflows.command_line import burnish
from tests.workflows.small_crystal import helix

from burnish.data.density import DensityMap
from burnish.io.deposition.dictionary import find_dictionary
from burnish.io.mrc import read_map, write_map
from burnish.io.postprocess_star import read_fsc_xml
from burnish.jobs.record import JobRecord

VOXEL, SIZE = 0.9, 40


def _half_maps(folder: Path) -> None:
    """A helix in the middle of a box, its potential with two different noises."""
    model = helix(10)
    centre = np.mean([s.atom.pos.tolist() for s in model[0].all()], axis=0)
    for site in model[0].all():
        site.atom.b_iso = 30.0
        site.atom.pos = gemmi.Position(*(np.array(site.atom.pos.tolist()) - centre + SIZE * VOXEL / 2))
    model.spacegroup_hm, model.cell = "P 1", gemmi.UnitCell(1, 1, 1, 90, 90, 90)
    density = gemmi.DensityCalculatorE()
    density.grid.set_unit_cell(gemmi.UnitCell(*[SIZE * VOXEL] * 3, 90, 90, 90))
    density.d_min, density.rate = 2.0, 0.999 / VOXEL
    density.put_model_density_on_grid(model[0])
    potential = np.array(density.grid.array).transpose(2, 1, 0).astype(np.float32)
    generator = np.random.default_rng(4)
    for half in (1, 2):
        noise = 0.2 * float(potential.std()) * generator.standard_normal(potential.shape).astype(np.float32)
        write_map(
            folder / f"half{half}.mrc", DensityMap(values=torch.from_numpy(potential + noise), voxel_size=(VOXEL,) * 3)
        )
    model.make_mmcif_document().write_file(str(folder / "helix.cif"))


@pytest.fixture(scope="module")
def refined(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("em")
    _half_maps(folder)
    halves = ("--half1", folder / "half1.mrc", "--half2", folder / "half2.mrc")
    assert (
        burnish(
            "refine", folder / "helix.cif", *halves, "--resolution", 2.5, "--cycles", 1, "--out", folder / "refined"
        )
        == 0
    )
    return folder / "refined"


PARTICLES = """data_optics

loop_
_rlnOpticsGroup #1
_rlnVoltage #2
_rlnSphericalAberration #3
1 300.0 2.7

data_particles

loop_
_rlnImageName #1
_rlnDefocusU #2
_rlnOpticsGroup #3
1@stack.mrcs 12000.0 1
2@stack.mrcs 21000.0 1
3@stack.mrcs 15000.0 1
"""


def test_everything_lies_in_one_folder(refined, tmp_path, capsys):
    particles = tmp_path / "particles.star"
    particles.write_text(PARTICLES)
    out = tmp_path / "out"
    extra = ("--particles", particles, "--symmetry", "C1", "--contour", 0.1)
    assert burnish("deposit", refined, *extra, "--entry", "HELX", "--out", out, "--json") == 0
    summary = json.loads(capsys.readouterr().out)
    (finding,) = json.loads((out / "deposit.json").read_text())["findings"]
    assert "mean of the half maps" in finding
    halves = [read_map(refined.parent / f"half{i}.mrc").values for i in (1, 2)]
    for i, half in enumerate(halves, start=1):
        assert torch.equal(read_map(out / f"half_map_{i}.mrc").values, half)
    assert torch.allclose(read_map(out / "primary_map.mrc").values, 0.5 * (halves[0] + halves[1]))
    block = gemmi.cif.read(str(out / "model.cif")).sole_block()
    assert list(block.find_loop("_em_map.type")) == ["'primary map'", "'half map'", "'half map'"]
    expected = {
        "_entry.id": "HELX",
        "_refine.entry_id": "HELX",
        "_refine.pdbx_stereochemistry_target_values": "MAXIMUM LIKELIHOOD ON HALF MAPS",
        "_exptl.method": "ELECTRON MICROSCOPY",
        "_em_3d_reconstruction.num_particles": "3",
        "_em_imaging.accelerating_voltage": "300",
        "_em_imaging.nominal_defocus_max": "2100",
        "_em_single_particle_entity.point_symmetry": "C1",
        "_em_3d_fitting.target_criteria": "MAXIMUM LIKELIHOOD",
    }
    assert {k: gemmi.cif.as_string(block.find_value(k)) for k in expected} == expected
    final = json.loads((refined / "refined.json").read_text())["final"]
    assert float(block.find_value("_refine.pdbx_average_fsc_overall")) == pytest.approx(final["fsc_average"], abs=1e-4)
    assert summary["fsc_average"] == pytest.approx(final["fsc_average"], abs=0.005)  # the files as written, read back
    assert not block.find_mmcif_category("_cell.")


def test_curves_for_the_emdb(refined, tmp_path):
    mask = read_map(refined.parent / "half1.mrc")
    write_map(tmp_path / "mask.mrc", DensityMap(values=torch.ones_like(mask.values), voxel_size=mask.voxel_size))
    out = tmp_path / "out"
    assert burnish("deposit", refined, "--mask", tmp_path / "mask.mrc", "--out", out, "--no-validate-files") == 0
    s, fsc = read_fsc_xml(out / "fsc.xml")
    assert len(s) == SIZE // 2 + 1 and float(s[1]) == pytest.approx(1 / (SIZE * VOXEL), abs=1e-6)
    assert float(fsc[0]) == pytest.approx(1.0) and float(fsc[3]) > 0.9
    s, fsc = read_fsc_xml(out / "model_map_fsc.xml")
    assert bool((s[1:] > s[:-1]).all()) and float(fsc[0]) > 0.8
    assert (out / "mask.mrc").is_file()


def test_half_maps_of_our_own_are_known_to_be(refined, tmp_path):
    def software(name: str) -> list[str]:
        out = tmp_path / name
        assert burnish("deposit", refined, "--symmetry", "C1", "--out", out, "--no-validate-files") == 0
        block = gemmi.cif.read(str(out / "model.cif")).sole_block()
        steps = [gemmi.cif.as_string(v) for v in block.find_loop("_em_software.category")]
        known = "phase flipping" in (block.find_value("_em_ctf_correction.type") or "").lower()
        assert known == ("CTF CORRECTION" in steps)
        return steps

    assert software("others") == ["MODEL REFINEMENT"]
    record = refined.parent / "job.json"
    try:
        record.write_text(JobRecord(job_type="refine3d", options={"ctf_correction": True}).model_dump_json())
        assert {"RECONSTRUCTION", "FINAL EULER ASSIGNMENT", "CTF CORRECTION"} < set(software("ours"))
    finally:
        record.unlink()


def test_maps_of_different_grids_are_told(refined, tmp_path, capsys):
    other = DensityMap(values=torch.rand(SIZE, SIZE, SIZE + 2), voxel_size=(VOXEL,) * 3)
    write_map(tmp_path / "other.mrc", other)
    out = tmp_path / "out"
    assert (
        burnish("deposit", refined, "--primary-map", tmp_path / "other.mrc", "--out", out, "--no-validate-files") == 0
    )
    assert "half_map_1.mrc and primary_map.mrc differ in size" in capsys.readouterr().err
    half = read_map(refined.parent / "half1.mrc")
    write_map(tmp_path / "shifted.mrc", replace(half, origin=(VOXEL * 3, 0.0, 0.0)))
    assert burnish("deposit", refined, "--primary-map", tmp_path / "shifted.mrc", "--out", out) == 0
    assert "half_map_1.mrc and primary_map.mrc differ in origin" in capsys.readouterr().err


def test_a_single_map_says_that_half_maps_are_missing(refined, tmp_path, capsys):
    given = ("--map", refined.parent / "half1.mrc", "--resolution", 2.5, "--cycles", 0)
    assert burnish("refine", refined.parent / "helix.cif", *given, "--out", tmp_path / "job") == 0
    assert burnish("deposit", tmp_path / "job", "--out", tmp_path / "out", "--no-validate-files") == 0
    assert "no half maps, which the EMDB asks for" in capsys.readouterr().err
    block = gemmi.cif.read(str(tmp_path / "out/model.cif")).sole_block()
    target = gemmi.cif.as_string(block.find_value("_refine.pdbx_stereochemistry_target_values"))
    assert target == "MAXIMUM LIKELIHOOD"
    assert block.find_value("_entry.id") == "HELIX"


def test_the_dictionary_finds_no_error(refined, tmp_path):
    if find_dictionary(None) is None:
        pytest.skip("no PDBx/mmCIF dictionary: pip install burnish[cctbx]")
    assert burnish("deposit", refined, "--out", tmp_path / "out", "--no-validate-files") == 0
    record = json.loads((tmp_path / "out" / "deposit.json").read_text())
    assert record["dictionary"]["model.cif"]["errors"] == []


def test_a_sequence_of_another_molecule_is_in_the_report(refined, tmp_path):
    (tmp_path / "other.fasta").write_text(">other\nMKWVTFISLLFLFSSAYSRG\n")
    given = ("--sequence", tmp_path / "other.fasta", "--out", tmp_path / "out", "--no-validate-files")
    assert burnish("deposit", refined, *given) == 0
    findings = json.loads((tmp_path / "out/deposit.json").read_text())["findings"]
    assert any("70 % alike; not used" in text for text in findings)
    assert (tmp_path / "out/run.log").read_text().count("70 % alike; not used") == 1


def test_no_point_group(refined, tmp_path, capsys):
    assert burnish("deposit", refined, "--symmetry", "Q9", "--out", tmp_path / "out") == 2
    assert "symmetry 'Q9': expected C1, C2" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_no_post_processing_in_the_folder(refined, tmp_path, capsys):
    assert burnish("deposit", refined, "--postprocess", tmp_path, "--out", tmp_path / "out") == 2
    assert "no postprocess.star in it" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
