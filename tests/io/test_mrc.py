"""MRC maps and stacks: modes, odd headers, origins."""

import gzip

import mrcfile
import numpy as np
import pytest
import torch

from burnish.core.errors import DataError
from burnish.data.density import DensityMap
from burnish.io.mrc import map_stack, new_stack, read_header, read_map, write_map


@pytest.fixture
def grid() -> np.ndarray:
    return np.random.default_rng(1).normal(size=(4, 6, 8)).astype(np.float32)


def write_with_mrcfile(path, values, voxel=1.5, **header):
    with mrcfile.new(path) as m:
        m.set_data(values)
        m.voxel_size = voxel
        for name, value in header.items():
            m.header[name] = value
    return path


@pytest.mark.parametrize("dtype", [np.int8, np.int16, np.float32, np.uint16, np.float16])
def test_reads_every_mode_as_mrcfile_writes_it(tmp_path, dtype):
    values = (np.random.default_rng(2).uniform(0, 100, (3, 4, 5))).astype(dtype)
    read = read_map(write_with_mrcfile(tmp_path / "a.mrc", values))
    np.testing.assert_array_equal(read.values.numpy(), values.astype(np.float32))
    assert read.voxel_size == (1.5, 1.5, 1.5)


@pytest.mark.parametrize("mode", [2, 12])
@pytest.mark.parametrize("name", ["a.mrc", "a.mrc.gz"])
def test_mrcfile_reads_what_is_written(tmp_path, grid, mode, name):
    density = DensityMap(values=torch.from_numpy(grid), voxel_size=(1.0, 1.25, 1.5), origin=(1.0, -2.0, 3.5))
    write_map(tmp_path / name, density, mode=mode)
    with mrcfile.open(tmp_path / name) as m:
        assert m.header.mode == mode
        np.testing.assert_array_equal(m.data, grid.astype(np.float16 if mode == 12 else np.float32))
        np.testing.assert_allclose([m.voxel_size.x, m.voxel_size.y, m.voxel_size.z], [1.0, 1.25, 1.5])
        np.testing.assert_allclose(m.header.rms, m.data.astype(float).std(), rtol=1e-4)
    if not name.endswith("gz"):
        assert mrcfile.validate(tmp_path / name)
    again = read_map(tmp_path / name)
    assert again.origin == (1.0, -2.0, 3.5)


@pytest.mark.parametrize(
    ("origin", "starts"), [((2.5, -3.75, 1250.0), (2, -3, 1000)), ((2.5, -3.0, 0.0), (0, 0, 0)), ((0.0,) * 3, (0,) * 3)]
)
def test_starts_say_what_the_origin_says_where_it_is_whole_voxels(tmp_path, grid, origin, starts):
    density = DensityMap(values=torch.from_numpy(grid), voxel_size=(1.25, 1.25, 1.25), origin=origin)
    write_map(tmp_path / "a.mrc", density)
    with mrcfile.open(tmp_path / "a.mrc") as m:
        assert (m.header.nxstart, m.header.nystart, m.header.nzstart) == starts
    assert read_map(tmp_path / "a.mrc").origin == origin
    assert read_map(tmp_path / "a.mrc", voxel_size=2.5).origin == tuple(2 * o if any(starts) else o for o in origin)


def test_origin_words_come_before_start_and_start_counts_voxels(tmp_path, grid):
    both = write_with_mrcfile(tmp_path / "a.mrc", grid, origin=(7.0, 8.0, 9.0), nxstart=-50, nystart=2, nzstart=3)
    assert read_map(both).origin == (7.0, 8.0, 9.0)
    start = write_with_mrcfile(tmp_path / "b.mrc", grid, nxstart=-50, nystart=2, nzstart=3)
    assert read_map(start).origin == (-75.0, 3.0, 4.5)
    assert read_map(start, voxel_size=3.0).origin == (-150.0, 6.0, 9.0)


def test_axis_order_is_turned_to_z_y_x(tmp_path, grid):
    # columns run along z, rows along x, sections along y
    stored = np.ascontiguousarray(grid.transpose(1, 2, 0))
    path = write_with_mrcfile(
        tmp_path / "a.mrc", stored, mapc=3, mapr=1, maps=2, mx=8, my=6, mz=4, cella=(8.0, 12.0, 12.0), nxstart=10
    )
    read = read_map(path)
    np.testing.assert_array_equal(read.values.numpy(), grid)
    assert read.voxel_size == (1.0, 2.0, 3.0)
    assert read.origin == (0.0, 0.0, 30.0)


def test_big_endian_and_zero_voxel_size(tmp_path, grid):
    path = write_with_mrcfile(tmp_path / "a.mrc", grid, voxel=0.0)
    head = np.frombuffer(path.read_bytes()[:224], "<i4").astype(">i4").tobytes()
    (tmp_path / "b.mrc").write_bytes(head + path.read_bytes()[224:1024] + grid.astype(">f4").tobytes())
    read = read_map(tmp_path / "b.mrc", voxel_size=2.0)
    np.testing.assert_array_equal(read.values.numpy(), grid)
    assert read.voxel_size == (2.0, 2.0, 2.0)
    with pytest.raises(DataError, match=r"a\.mrc: the header has no voxel size; give it with --angpix"):
        read_map(path)


def test_says_what_is_wrong_with_a_file(tmp_path, grid):
    whole = write_with_mrcfile(tmp_path / "a.mrc", grid).read_bytes()
    cases = {
        "short.mrc": (whole[:-4], "promises 4 sections of 8×6 .* the file holds 764 bytes"),
        "long.mrc": (whole + b"1234", "promises 4 sections"),
        "header.mrc": (whole[:900], "900 bytes are too few"),
        "text.mrc": (b"not a map " * 200, "no MRC header|MRC mode"),
        "broken.map.gz": (gzip.compress(whole)[:-30], "cannot be unpacked"),
    }
    for name, (content, message) in cases.items():
        (tmp_path / name).write_bytes(content)
        with pytest.raises(DataError, match=f"{name}: .*({message})"):
            read_map(tmp_path / name)
    grid[1, 2, 3] = np.nan
    (tmp_path / "nan.mrc").write_bytes(whole[:1024] + grid.tobytes())
    with pytest.raises(DataError, match=r"1 voxels are not numbers, the first at \[z, y, x\] = \[1, 2, 3\]"):
        read_map(tmp_path / "nan.mrc")
    write_with_mrcfile(tmp_path / "oblique.mrc", np.ones((2, 2, 2), np.float32), cellb=(90.0, 94.0, 90.0))
    with pytest.raises(DataError, match="expected right ones"):
        read_map(tmp_path / "oblique.mrc")


def test_float16_that_overflows_is_refused_and_leaves_nothing(tmp_path):
    density = DensityMap(values=torch.full((2, 2, 2), 1e6), voxel_size=(1.0, 1.0, 1.0))
    with pytest.raises(DataError, match="do not fit float16"):
        write_map(tmp_path / "a.mrc", density, mode=12)
    assert not list(tmp_path.iterdir())


def test_new_stack_is_whole_or_not_there(tmp_path, grid):
    with new_stack(tmp_path / "s.mrcs", grid.shape, 1.25) as images:
        images[:] = grid
    with mrcfile.open(tmp_path / "s.mrcs") as m:
        assert m.is_image_stack()
        np.testing.assert_array_equal(m.data, grid)
        assert m.voxel_size.x == 1.25
    with pytest.raises(RuntimeError), new_stack(tmp_path / "t.mrcs", grid.shape, 1.25):
        raise RuntimeError
    assert [p.name for p in tmp_path.iterdir()] == ["s.mrcs"]


def test_stack_counts_its_images_by_length(tmp_path, grid):
    path = write_with_mrcfile(tmp_path / "s.mrcs", grid, nz=11029)
    images, header = map_stack(path)
    assert images.shape == (4, 6, 8) and header.claimed_sections == 11029
    assert isinstance(images, np.memmap)


def test_model_lies_in_the_map_only_where_its_origin_is_honoured(shared_data):
    gemmi = pytest.importorskip("gemmi")
    for folder, name, model, expected in (
        ("emd_30342", "390_emd_30342_A_z4.mrc", "390_7cec_A.cif", 3.0),
        ("strudel_6272", "6272.mrc", "6272.pdb", 2.5),
    ):
        density = read_map(shared_data / "em/maps" / folder / name)
        structure = gemmi.read_structure(str(shared_data / "em/maps" / folder / model))
        xyz = np.array([a.atom.pos.tolist() for a in structure[0].all()])
        at = np.rint((xyz - density.origin) / density.voxel_size).astype(int)
        inside = np.all((at >= 0) & (at < density.values.numpy().shape[::-1]), axis=1)
        values = density.values.numpy()
        z = (values[at[inside, 2], at[inside, 1], at[inside, 0]].mean() - values.mean()) / values.std()
        assert inside.mean() > 0.9
        assert z == pytest.approx(expected, abs=0.2)


def test_real_headers(shared_data):
    maps = shared_data / "em/maps"
    assert read_map(maps / "tempy_emdb/emd_5168.map").origin == pytest.approx((-87.1,) * 3)
    assert read_header(maps / "mrcfile_emdb/EMD-3197.map").voxel_size == pytest.approx((11.4,) * 3)


def test_a_stack_of_images_is_no_map(tmp_path):
    with new_stack(tmp_path / "images.mrcs", (5, 8, 8), 2.0) as images:
        images[:] = 1.0
    with pytest.raises(DataError, match=r"images\.mrcs: a stack of images .*, expected a map"):
        read_map(tmp_path / "images.mrcs")
