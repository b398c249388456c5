"""MRC / CCP4 maps and image stacks, as everybody writes them.

`mrcfile` is strict where files of the field are not and silent where they are wrong, and `gemmi` knows neither float16
nor the ORIGIN words; so the 1024-byte header (Cheng et al. 2015, J. Struct. Biol. 192, 146; MRC2014) is read here.
"""

from __future__ import annotations

import gzip
import math
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from burnish import __version__
from burnish.core.errors import DataError
from burnish.data.density import DensityMap
from burnish.io.atomic import write_aside
from burnish.io.file_kinds import in_place_of

_HEADER = np.dtype(
    [
        ("size", "i4", 3),
        ("mode", "i4"),
        ("start", "i4", 3),
        ("sampling", "i4", 3),
        ("cell", "f4", 3),
        ("angles", "f4", 3),
        ("axes", "i4", 3),
        ("dmin", "f4"),
        ("dmax", "f4"),
        ("dmean", "f4"),
        ("space_group", "i4"),
        ("extended_bytes", "i4"),
        ("extra1", "V8"),
        ("extended_type", "S4"),
        ("version", "i4"),
        ("extra2", "V40"),
        ("imod_stamp", "i4"),
        ("imod_bits", "i4"),
        ("extra3", "V36"),
        ("origin", "f4", 3),
        ("map", "S4"),
        ("machine_stamp", "u1", 4),
        ("rms", "f4"),
        ("label_count", "i4"),
        ("labels", "S80", 10),
    ]
)
_MODES: dict[int, np.dtype[Any]] = {
    0: np.dtype("i1"),
    1: np.dtype("i2"),
    2: np.dtype("f4"),
    6: np.dtype("u2"),
    12: np.dtype("f2"),
}
_IMOD_STAMP = 1146047817  # "IMOD": its bit 0 of the flags says whether bytes are signed
_REMEDY = "it is cut short, still being written, or not an MRC file"


@dataclass(frozen=True, slots=True, kw_only=True)
class MrcHeader:
    """What a header says that matters here.

    Attributes
    ----------
    path : file that it came from.
    shape : (sections, rows, columns) as stored; sections are counted by the file's length, not taken from `nz`.
    claimed_sections : `nz` of the header.
    dtype : of the stored values, with its byte order.
    offset : of the first value, bytes.
    voxel_size : edge along (x, y, z), Å; zeros where the header does not say.
    origin : position of voxel [0, 0, 0] along (x, y, z), Å.
    axes : spatial axis (0 = x) of columns, rows and sections.
    leftover_bytes : bytes beyond the last whole section.
    """

    path: Path
    shape: tuple[int, int, int]
    claimed_sections: int
    dtype: np.dtype[Any]
    offset: int
    voxel_size: tuple[float, float, float]
    origin: tuple[float, float, float]
    axes: tuple[int, int, int]
    leftover_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class MapArray:
    """A `DensityMap` whose values are a NumPy array.

    Attributes
    ----------
    values : density, float32, indexed [z, y, x].
    voxel_size, origin : along (x, y, z), Å.
    """

    values: np.ndarray
    voxel_size: tuple[float, float, float]
    origin: tuple[float, float, float] = (0.0, 0.0, 0.0)


def read_header(path: Path) -> MrcHeader:
    """Read and check the header of a map or stack; gzip'd files are unpacked for their length."""
    path = Path(path)
    if _is_gzip(path):
        content = _gunzip(path)
        return _parse(path, content[:1024], len(content))
    with _open(path) as file:
        head = file.read(1024)
    return _parse(path, head, path.stat().st_size)


def read_map(path: Path, *, voxel_size: float | None = None) -> DensityMap:
    """Read a map as a tensor; as `read_array`."""
    import torch  # `burnish mask` reads arrays, and is done before PyTorch would have started

    array = read_array(path, voxel_size=voxel_size)
    return DensityMap(values=torch.from_numpy(array.values), voxel_size=array.voxel_size, origin=array.origin)


def read_array(path: Path, *, voxel_size: float | None = None) -> MapArray:
    """Read a map, its axes turned to [z, y, x], as float32.

    Parameters
    ----------
    path : MRC or CCP4 map, also gzip'd.
    voxel_size : overrides that of the header, Å; needed where the header has none.

    Raises
    ------
    DataError : not a map, a length that the header does not account for, no voxel size, oblique axes.

    Notes
    -----
    The origin is ORIGIN of MRC2014 where that is not zero, else `n[xyz]start` times the voxel size: maps of cryo-EM
    programs have the first, those of CCP4 and the EMDB the second.
    """
    path = Path(path)
    if path.suffix == ".mrcs":
        raise DataError(f"{path}: a stack of images (.mrcs), expected a map; give a map, or rename it if it is one")
    raw = memoryview(_gunzip(path)) if _is_gzip(path) else None
    header = _parse(path, raw[:1024], len(raw)) if raw is not None else read_header(path)
    n, rows, columns = header.shape
    if header.claimed_sections != n or header.leftover_bytes:
        section = rows * columns * header.dtype.itemsize
        raise DataError(
            f"{path}: the header promises {header.claimed_sections} sections of {columns}×{rows} "
            f"({header.claimed_sections * section} bytes), the file holds {n * section + header.leftover_bytes} bytes; "
            f"{_REMEDY}"
        )
    given = (voxel_size, voxel_size, voxel_size) if voxel_size else header.voxel_size
    if min(given) <= 0:
        raise DataError(f"{path}: the header has no voxel size; give it with --angpix")
    if raw is not None:
        values = np.frombuffer(raw, header.dtype, offset=header.offset, count=n * rows * columns).reshape(header.shape)
    else:
        values = np.memmap(path, header.dtype, "r", header.offset, header.shape)
    order = tuple(2 - header.axes.index(a) for a in (2, 1, 0))  # stored axis that holds z, y, x
    array = np.array(values.transpose(order), dtype=np.float32, order="C")  # a copy: the file may change
    if not np.isfinite(array.sum(dtype=np.float64)):
        where = np.argwhere(~np.isfinite(array))
        raise DataError(
            f"{path}: {len(where)} voxels are not numbers, the first at [z, y, x] = {where[0].tolist()}; "
            "write the map again from where it came"
        )
    origin = header.origin
    if voxel_size and not _has_origin_words(header):
        x, y, z = (o * voxel_size / v if v else o for o, v in zip(header.origin, header.voxel_size, strict=True))
        origin = (x, y, z)
    return MapArray(values=array, voxel_size=given, origin=origin)


def write_map(path: Path, density: DensityMap, *, mode: int = 2) -> None:
    """Write a map held as a tensor; as `write_array`."""
    values = density.values.detach().cpu().numpy()
    write_array(path, MapArray(values=values, voxel_size=density.voxel_size, origin=density.origin), mode=mode)


def write_array(path: Path, density: MapArray, *, mode: int = 2) -> None:
    """Write a map, mode 2 (float32) or 12 (float16), ORIGIN and `n*start` set; aside first.

    A `path` that ends in .gz is compressed.
    """
    head = _make_header(density.values.shape, mode, density.voxel_size, density.origin, space_group=1)
    values = _as_mode(density.values, mode, path)
    _set_statistics(head, values)
    with write_aside(path) as aside:
        opened = gzip.open(aside, "wb", compresslevel=4) if Path(path).suffix == ".gz" else aside.open("wb")
        with opened as file:
            file.write(head.tobytes())
            file.write(np.ascontiguousarray(values).data)


@contextmanager
def new_stack(path: Path, shape: tuple[int, int, int], pixel_size: float, *, mode: int = 2) -> Iterator[np.ndarray]:
    """Yield the memory-mapped images, (n, rows, columns), of a new stack; the file appears when all went well."""
    head = _make_header(shape, mode, (pixel_size,) * 3, (0.0, 0.0, 0.0), space_group=0)
    with write_aside(path) as aside:
        with aside.open("wb") as file:
            file.write(head.tobytes())
            file.truncate(1024 + math.prod(shape) * _MODES[mode].itemsize)
        images = np.memmap(aside, _MODES[mode], "r+", 1024, shape)
        yield images
        low, high, total = np.inf, -np.inf, 0.0
        for image in images:
            wide = image.astype(np.float32)
            low, high, total = min(low, wide.min()), max(high, wide.max()), total + float(wide.mean())
        images.flush()
        head["dmin"], head["dmax"], head["dmean"] = low, high, total / max(len(images), 1)
        with aside.open("r+b") as file:
            file.write(head.tobytes())


def map_stack(path: Path) -> tuple[np.ndarray, MrcHeader]:
    """Return the images of a stack, memory-mapped and read-only, (n, rows, columns), with the header.

    n is what the file holds: some programs leave another number in the header. gzip'd stacks are held in memory.
    """
    path = Path(path)
    if _is_gzip(path):
        content = _gunzip(path)
        header = _parse(path, content[:1024], len(content))
        count = math.prod(header.shape)
        return np.frombuffer(content, header.dtype, count, header.offset).reshape(header.shape), header
    header = read_header(path)
    return np.memmap(path, header.dtype, "r", header.offset, header.shape), header


def _parse(path: Path, head: bytes | memoryview, length: int) -> MrcHeader:
    if len(head) < 1024:
        raise DataError(f"{path}: {length} bytes are too few for an MRC header of 1024; {_REMEDY}")
    fields, order = _in_native_order(path, head)
    mode = int(fields["mode"])
    if mode not in _MODES:
        raise DataError(f"{path}: MRC mode {mode}, expected 0, 1, 2, 6 or 12; write the map as real numbers (mode 2)")
    dtype = _MODES[mode]
    if mode == 0 and int(fields["imod_stamp"]) == _IMOD_STAMP and not int(fields["imod_bits"]) & 1:
        dtype = np.dtype("u1")
    columns, rows, sections = (int(x) for x in fields["size"])
    offset = 1024 + int(fields["extended_bytes"])
    section = columns * rows * dtype.itemsize
    held, leftover = divmod(max(length - offset, 0), section)
    if held == 0:
        raise DataError(
            f"{path}: the header promises {sections} sections of {columns}×{rows}, the file holds not one; {_REMEDY}"
        )
    angles = fields["angles"]
    if np.any((angles != 0) & (abs(angles - 90) > 1e-2)):
        shown = " ".join(f"{a:g}" for a in angles)
        raise DataError(f"{path}: cell angles {shown}°, expected right ones; resample the map onto a box first")
    axes = tuple(int(a) - 1 for a in fields["axes"])
    if sorted(axes) != [0, 1, 2]:
        axes = (0, 1, 2)  # zeros in old headers
    voxel = _voxel_size(fields, (columns, rows, held), axes)
    return MrcHeader(
        path=path,
        shape=(held, rows, columns),
        claimed_sections=sections,
        dtype=dtype.newbyteorder(order),
        offset=offset,
        voxel_size=voxel,
        origin=_origin(fields, voxel, axes),
        axes=axes,  # type: ignore[arg-type]
        leftover_bytes=leftover,
    )


def _in_native_order(path: Path, head: bytes | memoryview) -> tuple[np.void, Literal["<", ">"]]:
    """Header fields and byte order; told by which order makes sense, since machine stamps are often wrong."""
    orders: tuple[Literal["<", ">"], ...] = ("<", ">")
    for order in orders:
        fields = np.frombuffer(head, _HEADER.newbyteorder(order), 1)[0]
        size = fields["size"]
        if 0 <= fields["mode"] <= 127 and np.all(size > 0) and np.all(size < 1 << 20) and fields["extended_bytes"] >= 0:
            return fields, order
    if other := in_place_of(bytes(head), "a map"):
        raise DataError(f"{path}: {other}")
    raise DataError(f"{path}: this is no MRC header (sizes and mode make no sense in either byte order); {_REMEDY}")


def _voxel_size(fields: np.void, size: tuple[int, int, int], axes: tuple[int, ...]) -> tuple[float, float, float]:
    """Cell over sampling; a sampling of zero stands for the size along that axis."""
    along = [size[axes.index(a)] for a in range(3)]
    sampling = [int(m) if m > 0 else along[a] for a, m in enumerate(fields["sampling"])]
    x, y, z = (
        float(c) / m if math.isfinite(c) and c > 0 else 0.0 for c, m in zip(fields["cell"], sampling, strict=True)
    )
    if x > 0 and y > 0 and z <= 0:
        z = x  # stacks whose cell has no third edge
    return tuple(round(v, 6) for v in (x, y, z))  # type: ignore[return-value]


def _origin(fields: np.void, voxel: tuple[float, float, float], axes: tuple[int, ...]) -> tuple[float, float, float]:
    words = [float(o) for o in fields["origin"]]
    if any(words) and all(math.isfinite(o) for o in words):
        return tuple(words)  # type: ignore[return-value]
    start = [int(fields["start"][axes.index(a)]) for a in range(3)]  # n*start count columns, rows, sections
    return tuple(s * v for s, v in zip(start, voxel, strict=True))  # type: ignore[return-value]


def _has_origin_words(header: MrcHeader) -> bool:
    """True where the origin cannot be a whole number of voxels from n*start, so does not scale with the voxel."""
    return any(
        v <= 0 or abs(o / v - round(o / v)) > 1e-3 for o, v in zip(header.origin, header.voxel_size, strict=True)
    )


def _make_header(
    shape: tuple[int, ...],
    mode: int,
    voxel_size: tuple[float, float, float],
    origin: tuple[float, float, float],
    *,
    space_group: int,
) -> np.ndarray:
    if mode not in (2, 12):
        raise ValueError(f"mode {mode}: maps are written in mode 2 or 12")
    head = np.zeros((), _HEADER)
    sampling = shape[::-1] if space_group else (shape[2], shape[1], 1)  # an image stack is one section deep
    head["size"], head["sampling"], head["mode"] = shape[::-1], sampling, mode
    head["cell"], head["angles"], head["axes"] = np.multiply(sampling, voxel_size), 90.0, (1, 2, 3)
    head["space_group"], head["version"], head["origin"] = space_group, 20141, origin
    if space_group:
        head["start"] = _whole_voxels(voxel_size, origin)
    head["map"], head["label_count"] = b"MAP ", 1
    head["machine_stamp"] = (0x44, 0x44, 0, 0) if sys.byteorder == "little" else (0x11, 0x11, 0, 0)
    head["labels"][0] = f"Burnish {__version__}".encode()
    head["rms"] = -1.0  # not determined
    return head


def _whole_voxels(voxel_size: tuple[float, float, float], origin: tuple[float, float, float]) -> tuple[int, ...]:
    """`n*start` of an origin; zeros where it is no whole number of voxels, which those words cannot hold.

    Coot, phenix and the programs of CCP4 place a map by these words alone, those of cryo-EM by ORIGIN.
    """
    starts = [o / v if v > 0 else 0.0 for o, v in zip(origin, voxel_size, strict=True)]
    whole = all(abs(s - round(s)) < 1e-2 for s in starts)
    return tuple(round(s) for s in starts) if whole else (0, 0, 0)


def _set_statistics(head: np.ndarray, values: np.ndarray) -> None:
    head["dmin"], head["dmax"] = values.min(), values.max()
    mean = values.mean(dtype=np.float64)
    flat = (np.float32(v).ravel() - np.float32(mean) for v in values)  # a section at a time: no second volume
    spread = np.sqrt(sum(float(np.dot(v, v)) for v in flat) / values.size)
    head["dmean"], head["rms"] = mean, spread


def _as_mode(values: np.ndarray, mode: int, path: Path) -> np.ndarray:
    if mode == 12 and abs(values).max() > np.finfo(np.float16).max:
        raise DataError(f"{path}: densities up to {abs(values).max():.4g} do not fit float16 (65504); write mode 2")
    return values.astype(_MODES[mode], copy=False)


def _is_gzip(path: Path) -> bool:
    with _open(path) as file:
        return file.read(2) == b"\x1f\x8b"


def _gunzip(path: Path) -> bytes:
    try:
        with gzip.open(path, "rb") as file:
            return file.read()
    except (EOFError, gzip.BadGzipFile) as error:
        raise DataError(f"{path}: the gzip'd file cannot be unpacked ({error}); fetch it again") from None


def _open(path: Path):  # type: ignore[no-untyped-def]
    try:
        return path.open("rb")
    except FileNotFoundError:
        raise DataError(f"{path}: no such file; check the path") from None
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror}); check the name of the file") from None
