"""`burnish refine3d` from files to files on a small simulated particle."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from tests.particles.phantom import write_set

from burnish.core.errors import BurnishError
from burnish.data.particles import Poses
from burnish.geometry.rotations import rotation_from_vector
from burnish.io.mrc import map_stack, read_map
from burnish.io.particles import read_particles, write_particles
from burnish.io.star import make_table, read_star, write_star
from burnish.jobs.folder import Job
from burnish.options.refine3d import Refine3DOptions
from burnish.particles import twins
from burnish.particles.reconstruct import shell_correlation
from burnish.particles.refinement import symmetric_angle
from burnish.particles.workload import Rates
from burnish.symmetry.point_groups import point_group
from burnish.workflows import refine3d


@pytest.fixture(scope="module")
def small_set(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, torch.Tensor, torch.Tensor]:
    return write_set(tmp_path_factory.mktemp("set"), symmetry="D2", count=60, noise=1.0)


def options(small_set: tuple, out: Path, **changes: object) -> Refine3DOptions:  # type: ignore[type-arg]
    given = {
        "particles": small_set[0], "reference": small_set[1], "symmetry": "D2", "mask_diameter": 90.0,
        "initial_lowpass": 30.0, "join_halves": 60.0, "out": out, "memory": 4.0, "offset_range": 4.0,
    }  # fmt: skip
    return Refine3DOptions(**(given | changes))  # type: ignore[arg-type]


def refine(o: Refine3DOptions) -> dict:  # type: ignore[type-arg]
    job = Job("refine3d", o.out, o.model_dump(mode="json"))
    try:
        summary = refine3d.run(o, job)
    except BaseException as error:
        job.fail(error)
        raise
    job.finish(summary)
    return summary


@pytest.fixture(scope="module")
def finished(small_set: tuple, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict]:  # type: ignore[type-arg]
    out = tmp_path_factory.mktemp("job") / "job001"
    return out, refine(options(small_set, out))


def test_recovers_poses_and_map(small_set: tuple, finished: tuple) -> None:  # type: ignore[type-arg]
    out, summary = finished
    found = read_particles(out / "run_data.star").particles.poses
    assert found is not None
    angle = torch.rad2deg(symmetric_angle(small_set[2], found.rotation, point_group("D2")))
    assert float(angle.median()) < 2.0
    assert float((angle > 15).double().mean()) < 0.1
    assert float((found.shift - small_set[3]).norm(dim=1).median()) < 1.0
    truth = read_map(small_set[1]).values
    agreement = shell_correlation(read_map(out / "run_class001.mrc").values, truth)
    assert float(agreement[2:10].min()) > 0.9
    assert summary["resolution"] < 13.0


def test_leaves_relion_s_files(finished: tuple) -> None:  # type: ignore[type-arg]
    out, summary = finished
    last = summary["iterations"]
    names = ["data", "model", "half1_model", "half2_model", "sampling", "optimiser"]
    for iteration in (1, last):
        for name in names:
            read_star(out / f"run_it{iteration:03d}_{name}.star")
    optimiser = read_star(out / f"run_it{last:03d}_optimiser.star")["optimiser_general"]
    for column in ("rlnModelStarFile", "rlnModelStarFile2", "rlnExperimentalDataStarFile", "rlnOrientSamplingStarFile"):
        assert Path(optimiser.value(column)).exists()
    shells = read_star(out / "run_model.star")["model_class_1"]
    fsc, ssnr = shells.floats("rlnGoldStandardFsc"), shells.floats("rlnSsnrMap")
    assert len(fsc) == 17 and np.all(ssnr >= 0)
    sigma2, tau2 = shells.floats("rlnReferenceSigma2"), shells.floats("rlnReferenceTau2")
    known = sigma2 > 0
    assert np.allclose(tau2[known], (ssnr * sigma2)[known], rtol=1e-3)  # six decimals are written
    data = read_star(out / "run_data.star")["particles"]
    assert sorted(set(data.ints("rlnRandomSubset"))) == [1, 2]
    assert (out / "report.html").exists() and (out / "logfile.pdf").read_bytes().startswith(b"%PDF")
    assert len(json.loads((out / "run_history.json").read_text())) == last


def test_threads_do_not_change_a_bit(small_set: tuple, finished: tuple, tmp_path: Path) -> None:  # type: ignore[type-arg]
    out, _ = finished
    refine(options(small_set, tmp_path / "job", threads=3))
    for name in ("run_class001.mrc", "run_half1_class001_unfil.mrc", "run_half2_class001_unfil.mrc"):
        assert torch.equal(read_map(out / name).values, read_map(tmp_path / "job" / name).values)
    assert (out / "run_data.star").read_text() == (tmp_path / "job" / "run_data.star").read_text()


def test_local_refinement_starts_from_the_poses_of_the_file(
    small_set: tuple,
    finished: tuple,
    tmp_path: Path,  # type: ignore[type-arg]
) -> None:
    """Poses turned by 3° and moved by a pixel come back without any search; without poses it is refused."""
    out, summary = finished
    file = read_particles(out / "run_data.star")
    assert file.particles.poses is not None
    generator = torch.Generator().manual_seed(2)
    vector = torch.nn.functional.normalize(torch.randn(60, 3, generator=generator, dtype=torch.float64))
    rotation = rotation_from_vector(math.radians(3.0) * vector) @ file.particles.poses.rotation
    poses = Poses(rotation=rotation, shift=file.particles.poses.shift + 4.0)
    stack = small_set[0].with_name("particles.mrcs")
    (tmp_path / "particles.mrcs").write_bytes(stack.read_bytes())
    write_particles(tmp_path / "turned.star", file, replace(file.particles, poses=poses))
    local = refine(options(small_set, tmp_path / "job", particles=tmp_path / "turned.star", local=True))
    assert local["iterations"] < summary["iterations"]
    found = read_particles(tmp_path / "job" / "run_data.star").particles.poses
    assert found is not None
    angle = torch.rad2deg(symmetric_angle(small_set[2], found.rotation, point_group("D2")))
    assert float(angle.median()) < 2.0
    assert float((found.shift - small_set[3]).norm(dim=1).median()) < 1.0
    with pytest.raises(BurnishError, match="--local"):
        refine(options(small_set, tmp_path / "none", local=True))
    assert not (tmp_path / "none").exists()


def test_array_operations_find_the_same(
    small_set: tuple,
    finished: tuple,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,  # type: ignore[type-arg]
) -> None:
    """What a GPU runs, from files to files, here on the processor; iterations enlarge the rounding of sums."""
    out, summary = finished
    monkeypatch.setattr(twins, "compiled", lambda values: False)
    monkeypatch.setattr(refine3d, "measure_rates", lambda device: Rates(operations=1e10, bytes=1e10))
    other = refine(options(small_set, tmp_path / "job"))
    assert other["iterations"] == summary["iterations"]
    events = [json.loads(line) for line in (tmp_path / "job" / "events.jsonl").read_text().splitlines()]
    told = [e["values"] for e in events if e["event"] == "metrics" and e["series"] == "device"]
    assert len(told) == other["iterations"] and all(0 < t["floor"] < t["seconds"] for t in told)
    maps = [read_map(folder / "run_class001.mrc").values for folder in (out, tmp_path / "job")]
    assert float((maps[0] - maps[1]).norm() / maps[0].norm()) < 0.02
    poses = [read_particles(folder / "run_data.star").particles.poses for folder in (out, tmp_path / "job")]
    assert poses[0] is not None and poses[1] is not None
    turned = torch.rad2deg(symmetric_angle(poses[0].rotation, poses[1].rotation, point_group("D2")))
    assert float(turned.median()) < 0.05


def test_unknown_device_is_refused(small_set: tuple, tmp_path: Path) -> None:  # type: ignore[type-arg]
    if torch.cuda.is_available():
        pytest.skip("there is a CUDA device")
    with pytest.raises(BurnishError, match="--device cuda: 0 CUDA devices"):
        refine(options(small_set, tmp_path / "job", device="cuda"))
    assert not (tmp_path / "job").exists()


def test_a_refinement_that_had_ended_is_not_touched(finished: tuple) -> None:  # type: ignore[type-arg]
    out = finished[0]
    before = {p.name: p.read_bytes() for p in out.iterdir() if p.is_file()}
    last = max(out.glob("run_it[0-9][0-9][0-9]_optimiser.star"))
    with pytest.raises(BurnishError, match=f"{last.name}: this refinement had ended; nothing is left to do"):
        refine(Refine3DOptions(continue_from=last, out=out))
    assert {p.name: p.read_bytes() for p in out.iterdir() if p.is_file()} == before


def test_continues_to_the_same_result(finished: tuple, tmp_path: Path) -> None:  # type: ignore[type-arg]
    out, summary = finished
    o = Refine3DOptions(continue_from=out / "run_it003_optimiser.star", out=tmp_path / "job")
    again = refine(o)
    assert again["iterations"] == summary["iterations"]
    assert torch.equal(
        read_map(out / "run_class001.mrc").values, read_map(tmp_path / "job" / "run_class001.mrc").values
    )
    # and from what was continued, as a job that is cut off twice must be, the second time before its results
    stopped = tmp_path / "job"
    for name in ("run_class001.mrc", "run_data.star"):
        (stopped / name).unlink()
    record = json.loads((stopped / "job.json").read_text())
    (stopped / "job.json").write_text(json.dumps({**record, "state": "running"}))
    last = max(stopped.glob("run_it[0-9][0-9][0-9]_optimiser.star"))
    refine(Refine3DOptions(continue_from=last, out=stopped))
    assert (stopped / "run_data.star").read_bytes() == (out / "run_data.star").read_bytes()
    assert torch.equal(
        read_map(out / "run_class001.mrc").values, read_map(tmp_path / "job" / "run_class001.mrc").values
    )


def test_halves_share_nothing_without_joining(small_set: tuple, tmp_path: Path) -> None:  # type: ignore[type-arg]
    """Other images in half 2: half 1's first maps may not change by a bit."""
    star = read_star(small_set[0])
    count = len(star["particles"])
    halves = star["particles"].with_columns({"rlnRandomSubset": [1 + i % 2 for i in range(count)]})
    names = {}
    for folder, spoil in (("as_is", False), ("spoilt", True)):
        place = tmp_path / folder
        place.mkdir()
        stack, _ = map_stack(small_set[0].with_name("particles.mrcs"))
        images = np.array(stack)
        if spoil:
            images[1::2] = np.random.default_rng(0).normal(size=images[1::2].shape)
        (place / "particles.mrcs").write_bytes(_with_images(small_set[0].with_name("particles.mrcs"), images))
        write_star(place / "particles.star", [star["optics"], halves])
        o = options(small_set, place / "job", particles=place / "particles.star", join_halves=0.0, max_iterations=1)
        refine(o)
        names[folder] = [read_map(place / "job" / f"run_half{h}_class001_unfil.mrc").values for h in (1, 2)]
    assert torch.equal(names["as_is"][0], names["spoilt"][0])
    assert not torch.equal(names["as_is"][1], names["spoilt"][1])


def _with_images(path: Path, images: np.ndarray) -> bytes:
    return path.read_bytes()[:1024] + images.astype("<f4").tobytes()


def test_pure_noise_gives_no_resolution(small_set: tuple, tmp_path: Path) -> None:  # type: ignore[type-arg]
    images, _ = map_stack(small_set[0].with_name("particles.mrcs"))
    noise = np.random.default_rng(1).normal(size=images.shape).astype(np.float32)
    (tmp_path / "particles.mrcs").write_bytes(_with_images(small_set[0].with_name("particles.mrcs"), noise))
    (tmp_path / "particles.star").write_text(small_set[0].read_text())
    summary = refine(options(small_set, tmp_path / "job", particles=tmp_path / "particles.star", max_iterations=12))
    assert summary["resolution"] is None
    assert summary["warnings"]


def test_bad_input_is_one_line_and_leaves_nothing(small_set: tuple, tmp_path: Path) -> None:  # type: ignore[type-arg]
    star = read_star(small_set[0])
    particles = star["particles"]
    one_half = particles.with_columns({"rlnRandomSubset": [1] * len(particles)})
    no_ctf = make_table("particles", {k: v for k, v in particles.columns.items() if k != "rlnDefocusU"})
    optics = star["optics"]
    twice = make_table("optics", {k: [*v, *v] for k, v in optics.columns.items()})
    cases = [
        ([optics, one_half], {}, "half set 1"),
        ([optics, no_ctf], {}, "rlnDefocusU"),
        ([twice, particles], {}, "listed 2 times"),
        ([optics, particles], {"symmetry": "X3"}, "symmetry 'X3'"),
        ([optics, particles], {"mask_diameter": 500.0}, "wider than the images"),
        ([optics, particles], {"initial_lowpass": 5.0}, "between Nyquist"),
        ([optics, particles], {"memory": 1e-3}, "GiB"),
        ([optics, particles], {"continue_from": Path("nothing.star")}, "run_itNNN_optimiser"),
    ]  # fmt: skip
    (tmp_path / "particles.mrcs").write_bytes(small_set[0].with_name("particles.mrcs").read_bytes())
    for tables, changes, message in cases:
        write_star(tmp_path / "particles.star", tables)
        o = options(small_set, tmp_path / "job", particles=tmp_path / "particles.star", **changes)
        with pytest.raises(BurnishError, match=message) as caught:
            refine(o)
        assert "\n" not in str(caught.value)
        assert not (tmp_path / "job").exists()


def test_reference_is_resampled_or_refused(small_set: tuple, tmp_path: Path) -> None:  # type: ignore[type-arg]
    from burnish.io.mrc import DensityMap, write_map

    given = read_map(small_set[1])
    write_map(tmp_path / "coarse.mrc", DensityMap(values=given.values[::2, ::2, ::2].clone(), voxel_size=(8.0,) * 3))
    with pytest.raises(BurnishError, match="no-resize-reference"):
        refine(options(small_set, tmp_path / "job", reference=tmp_path / "coarse.mrc", resize_reference=False))
    assert not (tmp_path / "job").exists()


def test_reference_without_pixel_size_is_refused(small_set: tuple, tmp_path: Path) -> None:  # type: ignore[type-arg]
    raw = bytearray(small_set[1].read_bytes())
    raw[40:52] = bytes(12)
    (tmp_path / "initial.mrc").write_bytes(raw)
    with pytest.raises(BurnishError, match="no voxel size; give it with --reference-angpix"):
        refine(options(small_set, tmp_path / "job", reference=tmp_path / "initial.mrc"))
    assert not (tmp_path / "job").exists()


def test_nan_images_are_named_and_left_out(small_set: tuple, tmp_path: Path) -> None:  # type: ignore[type-arg]
    images = np.array(map_stack(small_set[0].with_name("particles.mrcs"))[0])
    images[4, 3, 3] = np.nan
    (tmp_path / "particles.mrcs").write_bytes(_with_images(small_set[0].with_name("particles.mrcs"), images))
    (tmp_path / "particles.star").write_text(small_set[0].read_text())
    refine(options(small_set, tmp_path / "job", particles=tmp_path / "particles.star", max_iterations=1))
    assert "rows 5" in (tmp_path / "job" / "run.log").read_text()
    assert len(read_star(tmp_path / "job" / "run_it001_data.star")["particles"]) == len(images) - 1


def test_first_comparison_may_leave_the_ctf_out(small_set: tuple, tmp_path: Path) -> None:  # type: ignore[type-arg]
    """Only the first iteration's poses may change, its map is made with the CTF either way."""
    found = []
    for name, corrected in (("with", True), ("without", False)):
        refine(options(small_set, tmp_path / name, reference_ctf_corrected=corrected, max_iterations=1))
        found.append(read_particles(tmp_path / name / "run_data.star").particles.poses)
    assert found[0] is not None and found[1] is not None
    assert not torch.equal(found[0].rotation, found[1].rotation)
    turned = torch.rad2deg(symmetric_angle(found[1].rotation, small_set[2], point_group("D2")))
    assert float(turned.median()) < 25.0


def test_solvent_flattened_fsc_is_that_inside_the_mask(small_set: tuple, finished: tuple, tmp_path: Path) -> None:  # type: ignore[type-arg]
    """On the same maps: continued from the last iteration but one, so that poses are the same."""
    out, summary = finished
    before = out / f"run_it{summary['iterations'] - 1:03d}_optimiser.star"
    flat = refine(Refine3DOptions(continue_from=before, out=tmp_path / "job", solvent_flattened_fsc=True))
    assert torch.equal(
        read_map(out / "run_half1_class001_unfil.mrc").values,
        read_map(tmp_path / "job" / "run_half1_class001_unfil.mrc").values,
    )
    plain, inside = (
        read_star(folder / "run_model.star")["model_class_1"].floats("rlnGoldStandardFsc")
        for folder in (out, tmp_path / "job")
    )
    assert not np.allclose(plain, inside)
    assert flat["resolution"] <= summary["resolution"] + 0.5  # noise of the solvent is outside


def test_half_precision_stacks_are_read(small_set: tuple, tmp_path: Path) -> None:  # type: ignore[type-arg]
    from burnish.io.mrc import read_header

    source = small_set[0].with_name("particles.mrcs")
    images = np.array(map_stack(source)[0])
    header = bytearray(source.read_bytes()[:1024])
    header[12:16] = np.int32(12).tobytes()
    (tmp_path / "particles.mrcs").write_bytes(bytes(header) + images.astype("<f2").tobytes())
    (tmp_path / "particles.star").write_text(small_set[0].read_text())
    assert read_header(tmp_path / "particles.mrcs").dtype == np.float16
    refine(options(small_set, tmp_path / "half", particles=tmp_path / "particles.star", max_iterations=1))
    refine(options(small_set, tmp_path / "full", max_iterations=1))
    maps = [read_map(tmp_path / name / "run_half1_class001_unfil.mrc").values for name in ("half", "full")]
    assert float((maps[0] - maps[1]).norm() / maps[1].norm()) < 0.01
