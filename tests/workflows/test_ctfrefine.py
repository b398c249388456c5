"""`burnish ctfrefine` from the command line: results, report, failures by name, resuming, bad input."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from tests.particles.ctf_refinement.ctf_blobs import (
    BOX,
    PIXEL,
    blob_map,
    blob_positions,
    make_group,
    make_particles,
    record_images,
)

from burnish.cli.main import main
from burnish.core.errors import DataError
from burnish.data.density import DensityMap
from burnish.io.mrc import new_stack, write_map
from burnish.io.particles import ParticleFile, read_particles, write_particles
from burnish.io.star import StarTable, make_table, read_star, write_star
from burnish.jobs.project import init_project
from burnish.workflows import ctfrefine, ctfrefine_checkpoint

NOISE = 100.0


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A folder with the files that a refinement and a post-processing leave; the defocus is wrong by 300 Å rms."""
    monkeypatch.chdir(tmp_path)
    true = make_group(beam_tilt=(0.9e-3, -0.5e-3))
    truth = make_particles(40, micrographs=4, group=true)
    g = torch.Generator().manual_seed(3)
    xy = 3000 * torch.rand(40, 2, generator=g, dtype=torch.float64)
    error = 300 * torch.randn(40, generator=g, dtype=torch.float64)
    stacks = tuple(f"mic{m}.mrcs" for m in range(4))
    given = replace(
        truth,
        optics=(make_group(),),
        defocus=replace(truth.defocus, u=truth.defocus.u + error, v=truth.defocus.v + error),
        coordinate=xy,
        stack=truth.micrograph,
        slice_index=torch.arange(40) // 4,
        stacks=stacks,
    )
    images = record_images(truth, NOISE)
    for number, name in enumerate(stacks):
        rows = (truth.micrograph == number).nonzero()[:, 0]
        with new_stack(Path(name), (len(rows), BOX, BOX), PIXEL) as stack:
            stack[:] = images[rows].numpy()
    empty = StarTable(name="particles", columns={}, source=Path("x"))
    file = ParticleFile(
        particles=given, table=empty, optics_table=make_table("optics", {}), others=(), path=Path("run_data.star")
    )
    write_particles(Path("run_data.star"), file)
    density = blob_map(blob_positions())
    for name in ("half1.mrc", "half2.mrc"):
        # two half maps agree to all but a trace of noise
        noisy = density + 1e-4 * torch.randn(density.shape, generator=g)
        write_map(Path(name), DensityMap(values=noisy, voxel_size=(PIXEL,) * 3))
    write_map(Path("mask.mrc"), DensityMap(values=torch.ones_like(density), voxel_size=(PIXEL,) * 3))
    shells = np.arange(BOX // 2 + 1)
    frequency = np.maximum(shells, 1e-3) / (BOX * PIXEL)
    general = make_table(
        "general",
        {
            "rlnUnfilteredMapHalf1": ["half1.mrc"],
            "rlnUnfilteredMapHalf2": ["half2.mrc"],
            "rlnMaskName": ["mask.mrc"],
        },
        is_loop=False,
    )
    fsc = make_table(
        "fsc",
        {
            "rlnSpectralIndex": shells.tolist(),
            "rlnResolution": frequency.tolist(),
            "rlnFourierShellCorrelationCorrected": np.where(frequency < 1 / 3.4, 0.98, 0.0).tolist(),
        },
    )
    write_star(Path("postprocess.star"), [general, fsc])
    return truth


def call(*more: str, out: str = "job", code: int | None = 0) -> None:
    arguments = ["ctfrefine", "--particles", "run_data.star", "--postprocess", "postprocess.star", "--out", out, *more]
    with pytest.raises(SystemExit) as end:
        main(arguments)
    assert end.value.code == code


def defocus_error(truth, path: str) -> float:
    found = read_particles(Path(path)).particles.defocus
    return float(((found.u - truth.defocus.u).square().mean()).sqrt())


def test_measures_the_optics_and_writes_everything(project, capsys):
    call("--beam-tilt", "--trefoil", "--json")
    summary = json.loads(capsys.readouterr().out)
    assert summary["particles"] == summary["defocus_refined"] == 40
    assert summary["failed_micrographs"] == {}
    group = summary["groups"]["a"]
    assert group["significant"] == ["beam tilt (coma)"]
    np.testing.assert_allclose(group["beam_tilt_mrad"], [0.9, -0.5], atol=0.4)
    assert "beam tilt" in summary["findings"][0] and "is significant" in summary["findings"][0]
    assert defocus_error(project, "job/particles_ctf_refine.star") < 80.0 < defocus_error(project, "run_data.star")
    optics = read_star(Path("job/particles_ctf_refine.star"))["optics"]
    tilt = [float(line.split("=")[1]) for line in Path("job/beamtilt_0.txt").read_text().splitlines()]
    np.testing.assert_allclose(optics.floats("rlnBeamTiltX"), tilt[0], rtol=1e-4)
    assert "rlnOddZernike" in optics
    table = read_star(Path("job/particles_ctf_refine.star"))["particles"]
    assert (table.floats("burnishDefocusSigma") > 0).all()
    for name in ("logfile.pdf", "report.html", "odd_phase_optics-group_1.png", "job.json"):
        assert Path("job", name).stat().st_size > 1000
    assert not list(Path("job").glob("*checkpoint*"))


def test_inputs_stay_and_poses_are_kept(project):
    before = Path("run_data.star").read_bytes()
    call()
    assert Path("run_data.star").read_bytes() == before
    old, new = (read_particles(Path(p)).particles for p in ("run_data.star", "job/particles_ctf_refine.star"))
    torch.testing.assert_close(new.poses.rotation, old.poses.rotation, rtol=0, atol=1e-6)
    assert new.half_set.tolist() == old.half_set.tolist()
    assert not list(Path("job").glob("beamtilt_*"))  # nothing of the kind was asked for


def test_a_short_stack_is_named_and_the_others_are_refined(project, capsys):
    stack = Path("mic2.mrcs")
    stack.write_bytes(stack.read_bytes()[: 1024 + 3 * 4 * BOX * BOX])
    call("--json")
    captured = capsys.readouterr()
    summary = json.loads(captured.out)
    assert list(summary["failed_micrographs"]) == ["mic2.mrc"]
    assert "which holds 3" in summary["failed_micrographs"]["mic2.mrc"]
    assert "mic2.mrc" in captured.err
    assert summary["defocus_refined"] == 30
    assert "mic2.mrc kept its old values" in Path("job/report.html").read_text()
    old, new = (read_particles(Path(p)).particles for p in ("run_data.star", "job/particles_ctf_refine.star"))
    same = (new.defocus.u - old.defocus.u).abs() < 1e-3
    assert same.tolist() == (old.micrograph == 2).tolist()
    table = read_star(Path("job/particles_ctf_refine.star"))["particles"]
    assert ((table.floats("burnishDefocusSigma") < 0) == same.numpy()).all()  # kept, not perfectly known


def test_no_stack_at_all_leaves_nothing_behind(project, capsys):
    for name in Path().glob("*.mrcs"):
        name.unlink()
    call(code=2)
    assert "no stack mic" in capsys.readouterr().err
    assert not Path("job").exists()


def test_a_killed_job_goes_on_to_the_same_answer(project, monkeypatch):
    call("--beam-tilt", out="whole")
    monkeypatch.setattr(ctfrefine_checkpoint, "INTERVAL", 0.0)
    saved = ctfrefine_checkpoint.Checkpoint.save
    count = 0

    def save_then_die(self, state):
        nonlocal count
        saved(self, state)
        count += 1
        if count == 7:
            raise KeyboardInterrupt

    monkeypatch.setattr(ctfrefine_checkpoint.Checkpoint, "save", save_then_die)
    call("--beam-tilt", out="killed", code=130)
    assert Path("killed/ctfrefine_checkpoint.pt").exists()
    monkeypatch.setattr(ctfrefine_checkpoint.Checkpoint, "save", saved)
    call("--beam-tilt", out="killed")
    assert "going on in pass 2 after 2 micrographs" in Path("killed/run.log").read_text()
    one, two = (Path(f, "particles_ctf_refine.star").read_text() for f in ("whole", "killed"))
    assert one == two


def test_continue_in_a_project(project, monkeypatch):
    init_project(Path())
    monkeypatch.setattr(ctfrefine_checkpoint, "INTERVAL", 0.0)
    saved = ctfrefine_checkpoint.Checkpoint.save

    def save_then_die(self, state):
        saved(self, state)
        raise KeyboardInterrupt

    monkeypatch.setattr(ctfrefine_checkpoint.Checkpoint, "save", save_then_die)
    call(out="CtfRefine/job005", code=130)
    monkeypatch.setattr(ctfrefine_checkpoint.Checkpoint, "save", saved)
    with pytest.raises(SystemExit) as end:
        main(["continue", "5"])
    assert end.value.code == 0
    assert "going on in pass 1 after 1 micrographs" in Path("CtfRefine/job005/run.log").read_text()
    assert json.loads(Path("CtfRefine/job005/job.json").read_text())["state"] == "finished"


def test_a_checkpoint_of_other_options_is_not_used(project, monkeypatch, capsys):
    call(out="first")
    monkeypatch.setattr(ctfrefine_checkpoint, "INTERVAL", 0.0)
    monkeypatch.setattr(ctfrefine_checkpoint.Checkpoint, "remove", lambda self: None)
    call(out="job")
    call("--defocus-range", "1500", out="job")
    assert "made with other inputs or options" in Path("job/run.log").read_text()
    Path("job/ctfrefine_checkpoint.pt").write_bytes(b"nonsense")
    call(out="job")
    assert "unreadable checkpoint" in Path("job/run.log").read_text()


def test_bad_input_is_told_in_one_line(project, capsys):
    def refused(*more: str) -> str:
        call(*more, code=2)
        assert not Path("job").exists()
        return " ".join(capsys.readouterr().err.split())

    assert "fitted alone" in refused("--magnification", "--beam-tilt")
    assert "nothing to fit" in refused("--defocus", "no")
    assert "both half maps" in refused("--half1", "half1.mrc", "--half2", "half1.mrc")
    assert "CUDA devices found" in refused("--device", "cuda:77")
    assert "expected cpu, cuda, cuda:N or auto" in refused("--device", "cuda:x")
    write_map(Path("small.mrc"), DensityMap(values=torch.ones(8, 8, 8), voxel_size=(PIXEL,) * 3))
    assert "make the mask on that grid" in refused("--mask", "small.mrc")
    assert "must be of one box" in refused("--half2", "small.mrc")
    write_map(Path("zero.mrc"), DensityMap(values=torch.zeros(BOX, BOX, BOX), voxel_size=(PIXEL,) * 3))
    assert "a mask lies between 0 and 1" in refused("--mask", "zero.mrc")
    negative = -blob_map(blob_positions())
    write_map(Path("negative.mrc"), DensityMap(values=negative, voxel_size=(PIXEL,) * 3))
    write_map(Path("negative2.mrc"), DensityMap(values=negative * 1.001, voxel_size=(PIXEL,) * 3))
    assert "do not correlate" in refused("--half1", "negative.mrc", "--half2", "negative2.mrc")


@pytest.mark.parametrize(
    ("column", "value", "message"),
    [("rlnRandomSubset", "7", "rlnRandomSubset is missing"), ("rlnDefocusU", "nan", "not a finite number")],
)
def test_bad_rows_are_named(project, capsys, column, value, message):
    star = read_star(Path("run_data.star"))
    values = list(star["particles"].text(column))
    values[4] = value
    write_star(Path("run_data.star"), [star["optics"], star["particles"].with_columns({column: values})])
    call(code=2)
    error = capsys.readouterr().err
    assert message in error and "row 5" in error


def test_magnification_runs_alone(project):
    call("--magnification", "--defocus", "no", "--device", "cpu", "--threads", "2")
    optics = read_star(Path("job/particles_ctf_refine.star"))["optics"]
    assert "rlnMagMat00" in optics
    assert "magnification" in Path("job/report.html").read_text()


def test_all_fits_at_once_and_beam_shift_groups(project):
    star = read_star(Path("run_data.star"))
    names = [f"mics/g_X{'+1' if i % 4 < 2 else '-1'}Y+0-{i % 4}.mrc" for i in range(40)]
    renamed = [n.replace("-0.", "-1.").replace("-2.", "-1.").replace("-3.", "-1.") for n in names]
    numbered = [f"mics/m{i % 4}_{n.rsplit('/g_', 1)[1]}" for i, n in enumerate(renamed)]
    write_star(Path("run_data.star"), [star["optics"], star["particles"].with_columns({"rlnMicrographName": numbered})])
    call(
        "--beam-shift-groups", "--beam-tilt", "--trefoil", "--fourth-order", "--astigmatism", "micrograph",
        "--phase-shift", "micrograph", "--bfactor", "particle",
    )  # fmt: skip
    file = read_particles(Path("job/particles_ctf_refine.star"))
    assert len(file.particles.optics) == 2
    assert {g.name for g in file.particles.optics} == {"a_X+1Y+0-1", "a_X-1Y+0-1"}
    assert sorted(p.name for p in Path("job").glob("beamtilt_*")) == ["beamtilt_0.txt", "beamtilt_1.txt"]
    assert "rlnCtfBfactor" in file.table


def test_beam_shifts_from_a_file(project, capsys):
    lines = [f"raw/mic{m}.tiff, {5 * (m % 2) + 0.01 * m}, {0.02 * m}" for m in range(4)]
    Path("shifts.csv").write_text("micrograph, x, y\n" + "\n".join(lines) + "\n")
    call("--beam-shifts", "shifts.csv", "--beam-tilt", "--defocus", "no")
    file = read_particles(Path("job/particles_ctf_refine.star"))
    assert [g.name for g in file.particles.optics] == ["a_shift1", "a_shift2"]
    Path("shifts.csv").write_text("\n".join(lines[:3]))
    call("--beam-shifts", "shifts.csv", out="other", code=2)
    assert "no beam shift of mic3.mrc (1 of 4" in " ".join(capsys.readouterr().err.split())
    Path("shifts.csv").write_text("\n".join([*lines[:3], "mic3 a b"]))
    call("--beam-shifts", "shifts.csv", out="other", code=2)
    assert "line 4" in capsys.readouterr().err


def test_names_without_beam_shifts_are_told(project, capsys):
    call("--beam-shift-groups")
    assert "carry no beam-shift positions" in " ".join(capsys.readouterr().err.split())
    assert len(read_particles(Path("job/particles_ctf_refine.star")).particles.optics) == 1


def test_an_engine_error_inside_is_a_failed_job(project, monkeypatch):
    def broken(*args, **kwargs):
        raise DataError("the half maps melted")

    monkeypatch.setattr(ctfrefine, "refine", broken)
    call(code=2)
    assert json.loads(Path("job/job.json").read_text())["state"] == "failed"
