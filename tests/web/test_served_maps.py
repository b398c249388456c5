"""Maps that the browser gets: the right density at the right place, small, of every kind of file."""

import struct
from pathlib import Path

import gemmi
import numpy as np
import pytest

from burnish.core.errors import DataError, InputError
from burnish.web.served_maps import ABOVE, Box, CrystalMaps, box_of_file, ccp4_bytes, overview, section

VOXEL = 1.5


def write_mrc(path: Path, values: np.ndarray, *, origin: tuple[float, float, float] = (0, 0, 0), mode: int = 2) -> Path:
    """A map of float32 or float16 values [z, y, x]."""
    nz, ny, nx = values.shape
    header = bytearray(1024)
    struct.pack_into("<10i", header, 0, nx, ny, nz, mode, 0, 0, 0, nx, ny, nz)
    struct.pack_into("<6f3i", header, 40, nx * VOXEL, ny * VOXEL, nz * VOXEL, 90, 90, 90, 1, 2, 3)
    struct.pack_into("<3f", header, 196, *origin)
    header[208:214] = b"MAP \x44\x44"
    path.write_bytes(bytes(header) + values.astype({2: "<f4", 12: "<f2"}[mode]).tobytes())
    return path


def decode(content: bytes) -> tuple[np.ndarray, np.ndarray]:
    """Values [z, y, x] and the position of the first one, Å, as the viewer computes them."""
    nx, ny, nz, mode, *start = struct.unpack_from("<7i", content, 0)
    grid, cell = struct.unpack_from("<3i", content, 28), struct.unpack_from("<3f", content, 40)
    low, high = struct.unpack_from("<2f", content, 76)
    assert (mode, struct.unpack_from("<2i", content, 156)) == (0, (-128, 127))
    raw = np.frombuffer(content, dtype=np.int8, offset=1024).reshape(nz, ny, nx).astype(np.float64)
    step = (high - low) / 255.0
    origin = np.array(struct.unpack_from("<3f", content, 196))
    first = origin if origin.any() else np.array(start) * np.array(cell) / np.array(grid)
    return step * raw + 0.5 * (low + high + step), first


def blob(shape: tuple[int, int, int], centre: tuple[float, float, float]) -> np.ndarray:
    z, y, x = np.indices(shape)
    away = (x * VOXEL - centre[0]) ** 2 + (y * VOXEL - centre[1]) ** 2 + (z * VOXEL - centre[2]) ** 2
    return np.exp(-away / 40.0).astype(np.float32)


def centre_of_mass(values: np.ndarray, first: np.ndarray, step: float) -> np.ndarray:
    share = np.clip(values - 0.1 * values.max(), 0, None)
    z, y, x = np.indices(values.shape)
    return first + step * np.array([(share * i).sum() for i in (x, y, z)]) / share.sum()


@pytest.mark.parametrize("mode", [2, 12])
@pytest.mark.parametrize("origin", [(0.0, 0.0, 0.0), (-30.0, 12.0, 7.5)])
def test_a_coarse_map_has_its_density_where_it_was(tmp_path: Path, origin: tuple[float, ...], mode: int) -> None:
    values = blob((150, 140, 131), (90.0, 60.0, 120.0))
    served = overview(write_mrc(tmp_path / "map.mrc", values, origin=origin, mode=mode))  # type: ignore[arg-type]
    content = ccp4_bytes(served)
    assert max(served.values.shape) <= 128
    assert len(content) < 1024 + 76**3
    coarse, first = decode(content)
    np.testing.assert_allclose(centre_of_mass(coarse, first, 2 * VOXEL), np.add(origin, (90, 60, 120)), atol=0.05)
    assert served.mean == pytest.approx(float(values.mean()), rel=1e-2)
    assert served.sigma == pytest.approx(float(values.std()), rel=1e-2)


def test_a_box_holds_the_map_to_the_precision_of_a_byte(tmp_path: Path) -> None:
    values = np.random.default_rng(1).normal(size=(40, 50, 60)).astype(np.float32)
    path = write_mrc(tmp_path / "map.mrc", values, origin=(10.0, 0.0, 0.0))
    served = box_of_file(path, Box(centre=(10.0 + 30 * VOXEL, 20 * VOXEL, 15 * VOXEL), radius=6 * VOXEL))
    part, first = decode(ccp4_bytes(served))
    np.testing.assert_allclose(first, (10.0 + 24 * VOXEL, 14 * VOXEL, 9 * VOXEL), atol=1e-3)
    np.testing.assert_allclose(part, values[9:22, 14:27, 24:37], atol=8.0 / 255)


def test_a_box_beyond_the_map_ends_with_it(tmp_path: Path) -> None:
    path = write_mrc(tmp_path / "map.mrc", blob((20, 20, 20), (15, 15, 15)))
    assert box_of_file(path, Box(centre=(0.0, 0.0, 0.0), radius=6.0)).values.shape == (5, 5, 5)
    assert min(box_of_file(path, Box(centre=(900.0, 0.0, 0.0), radius=3.0)).values.shape) >= 1


@pytest.fixture
def crystal(tmp_path: Path) -> tuple[Path, gemmi.Mtz]:
    """An MTZ file with map coefficients of one atom in a monoclinic cell."""
    structure = gemmi.Structure()
    structure.cell = gemmi.UnitCell(22.0, 19.0, 25.0, 90.0, 104.0, 90.0)
    structure.spacegroup_hm = "P 1 21 1"
    mtz = gemmi.Mtz(with_base=True)
    mtz.spacegroup = gemmi.SpaceGroup("P 1 21 1")
    mtz.set_cell_for_all(structure.cell)
    mtz.add_dataset("data")
    for label, kind in (("FWT", "F"), ("PHWT", "P")):
        mtz.add_column(label, kind)
    hkl = gemmi.make_miller_array(structure.cell, mtz.spacegroup, 2.0)
    position = structure.cell.fractionalize(gemmi.Position(3.0, 5.0, 7.0))
    rows = []
    for h in hkl.tolist():
        total = 0j
        for op in mtz.spacegroup.operations():
            x = op.apply_to_xyz(position.tolist())
            total += np.exp(2j * np.pi * np.dot(h, x))
        rows.append([*h, abs(total), np.degrees(np.angle(total))])
    mtz.set_data(np.array(rows, dtype=np.float32))
    mtz.write_to_file(str(tmp_path / "maps.mtz"))
    return tmp_path / "maps.mtz", mtz


@pytest.mark.parametrize("shift", [(0, 0, 0), (-1, 2, 1)])
def test_density_of_a_crystal_goes_on_beyond_its_cell(crystal: tuple[Path, gemmi.Mtz], shift: tuple[int, ...]) -> None:
    path, mtz = crystal
    lattice = np.array(mtz.cell.orth.mat.tolist()) @ np.array(shift, dtype=float)
    wanted = np.array([3.0, 5.0, 7.0]) + lattice
    served = CrystalMaps().box(path, "density", Box(centre=tuple(wanted), radius=4.0))  # type: ignore[arg-type]
    k = np.unravel_index(int(served.values.argmax()), served.values.shape)
    frac = (np.array(served.start) + np.array(k[::-1])) / np.array(served.grid)
    at = np.array(mtz.cell.orthogonalize(gemmi.Fractional(*frac)).tolist())
    assert np.linalg.norm(at - wanted) < 0.7
    assert served.values.max() > 5 * served.sigma


def test_transforms_are_kept_only_as_memory_allows(crystal: tuple[Path, gemmi.Mtz]) -> None:
    path, _ = crystal
    maps = CrystalMaps(kept_bytes=1)
    box = Box(centre=(0.0, 0.0, 0.0), radius=3.0)
    first = maps.box(path, "density", box)
    np.testing.assert_array_equal(first.values, maps.box(path, "density", box).values)
    assert len(maps._kept) == 1


def test_refusals(tmp_path: Path, crystal: tuple[Path, gemmi.Mtz]) -> None:
    box = Box(centre=(0.0, 0.0, 0.0), radius=3.0)
    with pytest.raises(DataError, match="no coefficients of the difference map"):
        CrystalMaps().box(crystal[0], "difference", box)
    with pytest.raises(InputError, match="no such map"):
        CrystalMaps().box(crystal[0], "anything", box)
    (tmp_path / "text.mrc").write_text("no map")
    with pytest.raises(DataError, match="not a CCP4 or MRC map"):
        overview(tmp_path / "text.mrc")
    whole = write_mrc(tmp_path / "cut.mrc", blob((20, 20, 20), (15, 15, 15)))
    whole.write_bytes(whole.read_bytes()[:-100])
    with pytest.raises(DataError, match="cut off"):
        overview(whole)
    (tmp_path / "bad.mtz").write_bytes(b"no")
    with pytest.raises(DataError, match="not an MTZ file"):
        CrystalMaps().box(tmp_path / "bad.mtz", "density", box)


def test_high_values_are_told_apart_up_to_many_sigmas(tmp_path: Path) -> None:
    values = blob((60, 60, 60), (45.0, 45.0, 45.0)) * 100
    served = overview(write_mrc(tmp_path / "map.mrc", values))
    decoded, _ = decode(ccp4_bytes(served))
    inside = values < served.mean + ABOVE * served.sigma
    np.testing.assert_allclose(decoded[inside], values[inside], atol=0.2 * served.sigma)


def test_sections_show_the_plane(tmp_path: Path) -> None:
    values = blob((30, 40, 50), (60.0, 15.0, 30.0))
    path = write_mrc(tmp_path / "map.mrc", values)
    assert section(path, 2, 20 / 29).shape == (40, 50)
    grey = section(path, 0, 40 / 49)
    assert np.unravel_index(int(grey.argmax()), grey.shape) == pytest.approx((20, 10), abs=2)
    assert section(path, 1, most=20).shape == (10, 16)
    flat = section(write_mrc(tmp_path / "image.mrc", values[:1]), 2)
    assert flat.shape == (40, 50)
