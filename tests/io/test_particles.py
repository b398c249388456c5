"""Particle files: RELION 3.0 to 5 and CryoSPARC in, RELION 3.1 out."""

import shutil
import subprocess
from dataclasses import replace

import numpy as np
import pytest
import torch

from burnish.core.errors import DataError
from burnish.data.particles import Poses
from burnish.io.euler import euler_from_matrices, matrices_from_euler
from burnish.io.images import ImageStacks
from burnish.io.mrc import new_stack
from burnish.io.particles import read_particles, write_particles
from burnish.io.star import read_star

STAR_31 = """
data_optics

loop_
_rlnOpticsGroupName #1
_rlnOpticsGroup #2
_rlnVoltage #3
_rlnSphericalAberration #4
_rlnAmplitudeContrast #5
_rlnImagePixelSize #6
_rlnImageSize #7
_rlnBeamTiltX #8
_rlnBeamTiltY #9
_rlnOddZernike #10
_rlnMagMat00 #11
_rlnMagMat01 #12
_rlnMagMat10 #13
_rlnMagMat11 #14
_rlnMtfFileName #15
first 1 300 2.7 0.1 2.0 8 0.3 -0.2 [0.5,-1] 1.01 0.002 0.003 0.99 mtf.star
second 7 200 1.4 0.07 2.0 8 0 0 [0,0] 1 0 0 1 mtf.star

data_particles

loop_
_rlnImageName #1
_rlnOpticsGroup #2
_rlnDefocusU #3
_rlnDefocusV #4
_rlnDefocusAngle #5
_rlnAngleRot #6
_rlnAngleTilt #7
_rlnAnglePsi #8
_rlnOriginXAngst #9
_rlnOriginYAngst #10
_rlnRandomSubset #11
_rlnMicrographName #12
_rlnTomoWhatever #13
000002@s.mrcs 1 15000 14800 45 10 20 30 1.5 -2.5 1 a.mrc keep
000001@s.mrcs 7 12000.5 11800 -30 190 120 -170 0 0 2 b.mrc this
000003@s.mrcs 1 9000 8000 0 0 0 77 0 0.25 2 b.mrc too

data_extra

_rlnSomething 3
"""


@pytest.fixture
def star(tmp_path):
    path = tmp_path / "p.star"
    path.write_text(STAR_31)
    with new_stack(tmp_path / "s.mrcs", (3, 8, 8), 2.0) as images:
        images[:] = np.arange(3)[:, None, None]
    return path


def test_units_and_conventions_of_3_1(star):
    p = read_particles(star).particles
    assert len(p) == 3 and p.stacks == ("s.mrcs",)
    assert p.slice_index.tolist() == [1, 0, 2] and p.optics_index.tolist() == [0, 1, 0]
    first = p.optics[0]
    assert (first.voltage, first.spherical_aberration) == (300e3, 2.7e7)
    assert first.beam_tilt == pytest.approx((0.3e-3, -0.2e-3)) and first.odd_zernike == (0.5, -1.0)
    assert first.magnification.flatten().tolist() == [1.01, 0.002, 0.003, 0.99]
    assert p.defocus.angle[0] == pytest.approx(np.pi / 4)
    assert p.poses is not None and p.poses.shift[0].tolist() == [1.5, -2.5]
    assert p.half_set.tolist() == [0, 1, 1]
    assert p.micrographs == ("a.mrc", "b.mrc") and p.group.tolist() == [0, 1, 1]


def test_unknown_columns_and_tables_survive(star, tmp_path):
    file = read_particles(star)
    write_particles(tmp_path / "out.star", file)
    again = read_star(tmp_path / "out.star")
    assert list(again["particles"].text("rlnTomoWhatever")) == ["keep", "this", "too"]
    assert again["optics"].ints("rlnOpticsGroup").tolist() == [1, 7]
    assert list(again["optics"].text("rlnMtfFileName")) == ["mtf.star"] * 2
    assert again["extra"].value("rlnSomething") == "3"
    back = read_particles(tmp_path / "out.star").particles
    for a, b in zip(back.optics, file.particles.optics, strict=True):
        assert (a.beam_tilt, a.odd_zernike) == (pytest.approx(b.beam_tilt), b.odd_zernike)
        assert torch.equal(a.magnification, b.magnification)
    torch.testing.assert_close(back.poses.rotation, file.particles.poses.rotation, atol=1e-7, rtol=0)
    torch.testing.assert_close(back.defocus.u, file.particles.defocus.u)


def test_subset_with_new_poses_and_columns(star, tmp_path):
    file = read_particles(star)
    p, rows = file.particles, torch.tensor([2, 0])
    turned = Poses(rotation=torch.eye(3, dtype=torch.float64).expand(2, 3, 3), shift=torch.ones(2, 2))
    fewer = replace(
        p,
        **{k: getattr(p, k)[rows] for k in ("stack", "slice_index", "optics_index", "half_set", "micrograph", "group")},
        coordinate=p.coordinate[rows],
        defocus=replace(p.defocus, **{k: getattr(p.defocus, k)[rows] for k in p.defocus.__slots__}),
        poses=turned,
    )
    write_particles(tmp_path / "o.star", file, fewer, rows=rows, columns={"rlnMaxValueProbDistribution": [0.5, 1.0]})
    table = read_star(tmp_path / "o.star")["particles"]
    assert list(table.text("rlnTomoWhatever")) == ["too", "keep"]
    assert table.floats("rlnAngleTilt").tolist() == [0, 0] and table.floats("rlnOriginXAngst").tolist() == [1, 1]
    assert table.floats("rlnMaxValueProbDistribution").tolist() == [0.5, 1.0]
    with pytest.raises(ValueError, match="2 particles for 3 rows"):
        write_particles(tmp_path / "o.star", file, fewer)


def test_3_0_becomes_3_1(tmp_path):
    path = tmp_path / "old.star"
    columns = (
        "ImageName Voltage SphericalAberration AmplitudeContrast Magnification DetectorPixelSize DefocusU DefocusV"
    )
    columns += " DefocusAngle OriginX OriginY AngleRot AngleTilt AnglePsi"
    rows = "1@s.mrcs 300 2.7 0.1 10000 2 1e4 9e3 10 1 -2 0 0 0\n2@s.mrcs 200 2.7 0.1 10000 2 1e4 9e3 10 3 4 0 0 0\n"
    path.write_text("data_\nloop_\n" + "".join(f"_rln{c}\n" for c in columns.split()) + rows)
    with pytest.raises(DataError, match=r"no rlnImageSize, and stack s\.mrcs is not at hand"):
        read_particles(path)
    file = read_particles(path, box_size=8)
    assert [g.pixel_size for g in file.particles.optics] == [2.0, 2.0]
    assert file.particles.optics_index.tolist() == [1, 0]  # sorted by voltage
    assert file.particles.poses.shift.tolist() == [[2, -4], [6, 8]]
    write_particles(tmp_path / "new.star", file)
    new = read_star(tmp_path / "new.star")
    assert "rlnVoltage" not in new["particles"] and "rlnOriginX" not in new["particles"]
    assert new["optics"].floats("rlnVoltage").tolist() == [200, 300]
    assert list(new["particles"].text("rlnImageName")) == ["1@s.mrcs", "2@s.mrcs"]


def test_images_by_row(star):
    p = read_particles(star).particles
    images = ImageStacks(p, star)
    assert images.read(slice(None))[:, 0, 0].tolist() == [1, 0, 2]
    assert images.read([2, 0]).shape == (2, 8, 8)
    assert images.read([2, 0])[:, 3, 3].tolist() == [2, 1]
    images.announce([2, 0])  # a hint, which changes nothing
    assert images.read(torch.tensor([1])).dtype == torch.float32
    assert images.read([2, 0])[:, 3, 3].tolist() == [2, 1]


def test_more_stacks_than_stay_open(tmp_path, monkeypatch):
    monkeypatch.setattr("burnish.io.images._OPEN_STACKS", 2)
    rows = ""
    for i in range(5):
        with new_stack(tmp_path / f"s{i}.mrcs", (2, 8, 8), 2.0) as images:
            images[:] = np.array([10 * i, 10 * i + 1])[:, None, None]
        rows += "".join(f"00000{k}@s{i}.mrcs 1 9000 8000 0 0 0 0 0 0 1 a.mrc x\n" for k in (2, 1))
    head = STAR_31.partition("000002@s.mrcs")[0]
    (tmp_path / "p.star").write_text(head + rows)
    file = read_particles(tmp_path / "p.star")
    images = ImageStacks(file.particles, tmp_path / "p.star")
    assert images.read(slice(None))[:, 0, 0].tolist() == [1, 0, 11, 10, 21, 20, 31, 30, 41, 40]
    assert images.read([9, 0, 4])[:, 0, 0].tolist() == [40, 1, 21]


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("15000 14800", "abc 14800", r"row 1 \(line 39\): rlnDefocusU is 'abc', expected a number"),
        ("_rlnDefocusU #3", "_rlnOther #3", "no column rlnDefocusU"),
        ("_rlnImageName #1", "_rlnOther #1", "no table has a column rlnImageName"),
        ("000003@s.mrcs 1", "000003@s.mrcs 3", "row 3 .*rlnOpticsGroup 3 is not in the table"),
        ("000003@s.mrcs", "x@s.mrcs", "row 3 .*expected number@stack"),
        ("000003@s.mrcs", "000004@s.mrcs", r"row 3: image 4 of .*s\.mrcs, which holds 3"),
        ("000003@s.mrcs", "000003@t.mrcs", r"row 3: no stack t\.mrcs"),
        ("0.07 2.0 8", "0.07 2.0 16", "row 2: images of .* are 8×8, the optics group says 16"),
        ("[0.5,-1]", "[0.5;-1]", "rlnOddZernike is"),
        (" keep", "", r"row 1 \(line 39\): 12 values for 13 columns"),
    ],
)
def test_says_file_and_row_of_what_is_wrong(star, old, new, message):
    star.write_text(STAR_31.replace(old, new))
    with pytest.raises(DataError, match=message) as caught:
        ImageStacks(read_particles(star).particles, star)
    assert "p.star" in str(caught.value) and "\n" not in str(caught.value)


def test_euler_angles_return():
    rng = np.random.default_rng(3)
    angles = rng.uniform(-180, 180, 50), np.concatenate([rng.uniform(0, 180, 48), [0, 180]]), rng.uniform(-180, 180, 50)
    matrices = matrices_from_euler(*angles)
    torch.testing.assert_close(matrices_from_euler(*euler_from_matrices(matrices)), matrices)
    torch.testing.assert_close(torch.linalg.det(matrices), torch.ones(50, dtype=torch.float64))


def test_real_files(shared_data, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    em = shared_data / "em"
    file = read_particles(em / "relion_jobs/emtools_refine3d_it016/run_it016_data.star")
    optics = file.particles.optics[0]
    assert len(file.particles) == 4748 and optics.voltage == 200e3 and len(optics.odd_zernike) == 6
    tomo = read_particles(em / "relion_jobs/relion5_sta/refine3d_job074/run_data.star", needs_defocus=False)
    assert "rlnTomoName" in tomo.table and tomo.others[0].name == "general"
    for name in ("relion31.star", "empiar_10076_7.star", "empiar_10076_7.cs", "sta_testing_bin8.star"):
        path = em / "particles/cryodrgn" / name
        p = read_particles(path).particles
        assert ImageStacks(p, path).read([0, len(p) - 1]).isfinite().all()
    with pytest.raises(DataError, match="no column rlnAmplitudeContrast"):
        read_particles(em / "particles/cryodrgn/FinalRefinement-OriginalParticles-PfCRT.star", box_size=300)
    short = em / "particles/drgnai_M_ribosome_tilts/M_particles_sub10.star"
    assert ImageStacks(read_particles(short).particles, short).read([0]).shape == (1, 128, 128)


def test_cryosparc_and_relion_files_of_the_same_images_agree(shared_data):
    folder = shared_data / "em/particles/cryodrgn"
    a, b = (read_particles(folder / f"empiar_10076_7.{s}").particles for s in ("cs", "star"))
    assert a.slice_index.tolist() == b.slice_index.tolist()
    torch.testing.assert_close(a.defocus.u, b.defocus.u, atol=0.1, rtol=0)
    torch.testing.assert_close(a.defocus.angle, b.defocus.angle, atol=1e-4, rtol=0)
    assert a.optics[0].pixel_size == pytest.approx(b.optics[0].pixel_size, rel=1e-5)
    posed = read_particles(folder / "cryosparc_P12_J24_001_particles.cs").particles
    assert posed.poses is not None
    gram = posed.poses.rotation @ posed.poses.rotation.transpose(1, 2)
    torch.testing.assert_close(gram, torch.eye(3, dtype=torch.float64).expand_as(gram))


def test_relion_reads_what_is_written(star, tmp_path):
    if shutil.which("relion_star_handler") is None:
        pytest.skip("RELION is not installed")
    write_particles(tmp_path / "out.star", read_particles(star))
    command = ["relion_star_handler", "--i", "out.star", "--o", "by_relion.star", "--select", "rlnDefocusU"]
    subprocess.run([*command, "--minval", "8500"], cwd=tmp_path, check=True, capture_output=True)
    by_relion = read_particles(tmp_path / "by_relion.star").particles
    ours = read_particles(star).particles
    torch.testing.assert_close(by_relion.poses.rotation, ours.poses.rotation, atol=1e-6, rtol=0)
    assert by_relion.optics_index.tolist() == [0, 1, 0]
    assert by_relion.optics[0].odd_zernike == (0.5, -1.0)
