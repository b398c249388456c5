"""What the page reads of STAR files."""

from pathlib import Path

import pytest

from burnish.core.errors import DataError
from burnish.web.star_tables import fsc_curves, guinier_points, micrograph_particles, micrographs, particle_views

POSTPROCESS = """data_general
_rlnFinalResolution 4.0
_rlnBfactorUsedForSharpening -25.1
data_fsc
loop_
_rlnSpectralIndex #1
_rlnResolution #2
_rlnFourierShellCorrelationCorrected #3
_rlnFourierShellCorrelationUnmaskedMaps #4
0 0.001001 1.0 1.0
1 0.05 .9 .8
2 0.10 .5 .4
data_guinier
loop_
_rlnResolutionSquared #1
_rlnLogAmplitudesOriginal #2
_rlnLogAmplitudesSharpened #3
0.001 -8.0 -99.0
0.01 -9.0 -8.5
"""
PARTICLES = """data_particles
loop_
_rlnMicrographName #1
_rlnCoordinateX #2
_rlnCoordinateY #3
_rlnDefocusU #4
_rlnDefocusV #5
_rlnAngleRot #6
_rlnAngleTilt #7
_rlnMaxValueProbDistribution #8
m1.mrc 10 20 10000 10400 0 90 .9
m1.mrc 30 40 11000 11000 190 90 .8
'm 2.mrc' 1 2 9000 9000 -10 5 .1
"""


def test_fsc_and_guinier(tmp_path: Path) -> None:
    path = tmp_path / "postprocess.star"
    path.write_text(POSTPROCESS)
    curves = fsc_curves(path)
    assert {(p["name"], p["s"], p["fsc"]) for p in curves} == {
        ("corrected", 0.05, 0.9), ("corrected", 0.1, 0.5), ("unmasked", 0.05, 0.8), ("unmasked", 0.1, 0.4),
    }  # fmt: skip
    found = guinier_points(path)
    assert found["numbers"] == {"resolution": 4.0, "b_factor": -25.1}
    assert [p["value"] for p in found["points"]] == [-8.0, -9.0, -8.5]


def test_particles(tmp_path: Path) -> None:
    path = tmp_path / "particles.star"
    path.write_text(PARTICLES)
    views = particle_views(path)
    assert views["particles"] == sum(map(sum, views["counts"])) == 3
    assert sum(views["p_max"]) == 3
    assert views["counts"][9][1] == 1  # rot 190° is −170°
    assert micrographs(path)[0] == {"name": "m1.mrc", "particles": 2, "defocus": 10600.0}
    assert micrograph_particles(path, "m 2.mrc") == [{"x": 1.0, "y": 2.0, "defocus": 9000.0}]
    assert micrograph_particles(path, "none") == []


def test_files_without_what_is_asked(tmp_path: Path) -> None:
    path = tmp_path / "other.star"
    path.write_text("data_\nloop_\n_rlnImageName #1\na\n")
    assert fsc_curves(path) == micrographs(path) == []
    assert particle_views(path) == {}
    path.write_text("no star {{{")
    with pytest.raises(DataError, match=r"other\.star"):
        fsc_curves(path)


def test_of_a_large_file_a_sample_is_drawn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "particles.star"
    head, rows = PARTICLES.rsplit("#8\n", 1)[0] + "#8\n", []
    for k in range(1000):
        rows.append(f"m{k % 4}.mrc {k} {k} {10000 + k % 4} 10000 {k % 180} 90 .5\n")
    optics = "data_optics\nloop_\n_rlnOpticsGroup #1\n_rlnVoltage #2\n1 300\n2 200\n\n"
    path.write_text(optics + head + "".join(rows) + "\n")
    whole = particle_views(path), micrograph_particles(path, "m3.mrc")
    monkeypatch.setattr("burnish.web.star_tables.MOST_READ", path.stat().st_size // 5 + 1)
    sampled = particle_views(path)
    assert (whole[0]["particles"], whole[0]["every"]) == (1000, 1)
    assert (sampled["particles"], sampled["every"]) == (200, 5)
    assert sum(map(sum, sampled["counts"])) == 200
    assert {m["name"]: m["particles"] for m in micrographs(path)} == {f"m{k}.mrc": 250 for k in range(4)}
    assert micrograph_particles(path, "m3.mrc") == whole[1]
    assert len(whole[1]) == 250
