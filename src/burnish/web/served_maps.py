"""Maps as the browser takes them: small CCP4 files, coarse over all of a map or fine about one place.

The viewer reads what is made here as it reads any CCP4 map. Values go as one byte each between two limits (words 40 and
41 of the header say so, a convention of mapmode2to0 that Mol* and UglyMol know), so that a map of 256³ points is two
megabytes. Map coefficients of an MTZ file are transformed here. No PyTorch: the server stays small.
"""

from __future__ import annotations

import math
import mmap
import struct
from collections import OrderedDict
from dataclasses import dataclass
from pathlib import Path
from threading import Lock

import gemmi
import numpy as np
from numpy.typing import NDArray

from burnish.core.errors import DataError
from burnish.io.map_coefficients import read_coefficient_map

Grid = NDArray[np.float32]

MOST_OVERVIEW = 128  # points along an edge of a coarse map
MOST_BOX = 160  # points along an edge of a box
KEPT_BYTES = 96 << 20  # transforms of MTZ files kept in memory
AT_A_TIME = 32  # planes of a file that are looked at before they are let go
SAMPLING = 3.0  # grid points per d_min
BELOW, ABOVE = 10.0, 30.0  # rms deviations from the mean between which values are told apart
MODES = {0: "i1", 1: "i2", 2: "f4", 6: "u2", 12: "f2"}  # kinds of numbers by the header's mode


@dataclass(frozen=True, slots=True, kw_only=True)
class ServedMap:
    """A part of a map on a regular grid of a cell.

    Attributes
    ----------
    values : [z, y, x] where the axes are those of the cell, c slowest.
    cell : of the whole grid, Å and °.
    grid : points along a, b, c of the cell.
    start : of the first point, in grid points along a, b, c; may be a fraction.
    mean, sigma : of the whole map.
    """

    values: Grid
    cell: tuple[float, float, float, float, float, float]
    grid: tuple[int, int, int]
    start: tuple[float, float, float]
    mean: float
    sigma: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Box:
    """A place to look at: centre and half edge, Å."""

    centre: tuple[float, float, float]
    radius: float


def overview(path: Path) -> ServedMap:
    """A whole map of a CCP4 or MRC file, averaged over blocks until no edge has more than `MOST_OVERVIEW` points."""
    header, stored = _open(path)
    values = _ordered(header, stored.values)
    factor = max(1, math.ceil(max(values.shape) / MOST_OVERVIEW))
    kept = [n // factor for n in values.shape]
    small = np.empty(kept, dtype=np.float32)
    total = square = 0.0
    for z in range(kept[0]):  # a few planes at a time: the file never stands in memory as a whole
        if z % AT_A_TIME == 0:
            stored.forget()
        planes = np.asarray(values[z * factor : (z + 1) * factor], dtype=np.float32)
        flat = planes.reshape(-1)
        square += float(flat @ flat)
        plane = planes.sum(axis=0)
        total += float(plane.sum(dtype=np.float64))
        cut = plane[: kept[1] * factor, : kept[2] * factor]
        small[z] = cut.reshape(kept[1], factor, kept[2], factor).sum(axis=(1, 3)) / factor**3
    seen = kept[0] * factor * values.shape[1] * values.shape[2]
    mean = total / seen
    centre = 0.5 * (factor - 1)  # of the first block, in the grid of the file
    (*lengths, alpha, beta, gamma), grid = header.cell, header.grid
    a, b, c = (v * factor * (n // factor) / n for v, n in zip(lengths, grid, strict=True))
    return ServedMap(
        values=small,
        cell=(a, b, c, alpha, beta, gamma),
        grid=(grid[0] // factor, grid[1] // factor, grid[2] // factor),
        start=tuple((s + centre) / factor for s in header.start),
        mean=mean,
        sigma=math.sqrt(max(square / seen - mean**2, 0.0)),
    )


def box_of_file(path: Path, box: Box) -> ServedMap:
    """A box of a CCP4 or MRC file at full resolution, cut off where the map ends."""
    header, stored = _open(path)
    values = _ordered(header, stored.values)
    low, high = _bounds(header.cell, header.grid, box)
    first = [math.floor(lo - s + 1e-3) for lo, s in zip(low, header.start, strict=True)]
    last = [math.ceil(hi - s - 1e-3) for hi, s in zip(high, header.start, strict=True)]
    sizes = values.shape[::-1]
    first = [min(max(f, 0), n - 1) for f, n in zip(first, sizes, strict=True)]
    last = [min(max(e, f), f + MOST_BOX - 1, n - 1) for e, f, n in zip(last, first, sizes, strict=True)]
    (x0, y0, z0), (x1, y1, z1) = first, last
    part = np.array(values[z0 : z1 + 1, y0 : y1 + 1, x0 : x1 + 1], dtype=np.float32)
    mean, sigma = (header.mean, header.sigma) if header.sigma > 0 else (float(part.mean()), float(part.std()))
    return ServedMap(
        values=part,
        cell=header.cell,
        grid=header.grid,
        start=tuple(s + f for s, f in zip(header.start, first, strict=True)),  # type: ignore[arg-type]
        mean=mean,
        sigma=sigma,
    )


class CrystalMaps:
    """Transforms of map coefficients, the last few kept."""

    def __init__(self, kept_bytes: int = KEPT_BYTES) -> None:
        self._kept: OrderedDict[tuple[str, int, str], tuple[Grid, gemmi.UnitCell]] = OrderedDict()
        self._kept_bytes = kept_bytes
        self._lock = Lock()

    def box(self, path: Path, kind: str, box: Box) -> ServedMap:
        """A box of the density or the difference density of an MTZ file; the crystal goes on beyond its cell."""
        values, cell = self._transform(path, kind)
        shape = values.shape  # along a, b, c
        low, high = _bounds(cell.parameters, shape, box)
        first = [math.floor(v) for v in low]
        index = [
            np.arange(f, min(math.ceil(h), f + MOST_BOX - 1) + 1) % n
            for f, h, n in zip(first, high, shape, strict=True)
        ]
        part = np.ascontiguousarray(values[np.ix_(*index)].transpose(2, 1, 0))
        return ServedMap(
            values=part,
            cell=cell.parameters,
            grid=shape,
            start=tuple(float(f) for f in first),  # type: ignore[arg-type]
            mean=0.0,
            sigma=float(values.std()),
        )

    def _transform(self, path: Path, kind: str) -> tuple[Grid, gemmi.UnitCell]:
        key = (str(path), path.stat().st_mtime_ns, kind)
        with self._lock:
            if key not in self._kept:
                self._kept[key] = read_coefficient_map(path, kind, SAMPLING)
                while len(self._kept) > 1 and sum(v.nbytes for v, _ in self._kept.values()) > self._kept_bytes:
                    self._kept.popitem(last=False)
            self._kept.move_to_end(key)
            return self._kept[key]


@dataclass(frozen=True, slots=True)
class _Header:
    cell: tuple[float, float, float, float, float, float]
    grid: tuple[int, int, int]
    start: tuple[float, float, float]  # grid points along a, b, c
    axes: tuple[int, int, int]  # which of a, b, c columns, rows and sections are
    mean: float
    sigma: float


@dataclass(frozen=True, slots=True)
class _Stored:
    """Values of a file [section, row, column], which stay there, and the mapping that they are seen through."""

    values: np.ndarray
    mapping: mmap.mmap

    def forget(self) -> None:
        """Let go of the pages seen so far: they count as memory of the server, once for each request."""
        if hasattr(self.mapping, "madvise"):
            self.mapping.madvise(mmap.MADV_DONTNEED)


def _open(path: Path) -> tuple[_Header, _Stored]:
    """Header and values of a CCP4 or MRC file."""
    with path.open("rb") as file:
        raw = file.read(1024)
    if len(raw) < 1024 or raw[208:211] != b"MAP":
        raise DataError(f"{path.name}: not a CCP4 or MRC map")
    order = ">" if raw[212] == 0x11 else "<"
    words = struct.unpack(f"{order}10i6f3i3f3i", raw[:100])
    columns, rows, sections, mode = words[:4]
    if mode not in MODES or min(columns, rows, sections) < 1:
        raise DataError(f"{path.name}: mode {mode} with {columns} × {rows} × {sections} points; expected a real map")
    kind = np.dtype(order + MODES[mode])
    offset = 1024 + struct.unpack(f"{order}i", raw[92:96])[0]
    if path.stat().st_size < offset + kind.itemsize * columns * rows * sections:
        raise DataError(f"{path.name}: shorter than its header says; the file is cut off")
    grid = tuple(n if n > 0 else m for n, m in zip(words[7:10], words[:3], strict=True))
    cell = words[10:16] if min(words[10:13]) > 0 else (*map(float, grid), 90.0, 90.0, 90.0)
    axes = tuple(a - 1 for a in words[16:19]) if sorted(words[16:19]) == [1, 2, 3] else (0, 1, 2)
    origin = struct.unpack(f"{order}3f", raw[196:208])
    start = [0.0, 0.0, 0.0]
    for place, axis in enumerate(axes):
        start[axis] = float(words[4 + place])
    if any(origin):
        start = [o * n / c for o, n, c in zip(origin, grid, cell[:3], strict=True)]
    sigma = struct.unpack(f"{order}f", raw[216:220])[0]
    header = _Header(cell, grid, tuple(start), axes, words[21], sigma if math.isfinite(sigma) else 0.0)  # type: ignore[arg-type]
    with path.open("rb") as file:
        mapping = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    values = np.frombuffer(mapping, dtype=kind, count=columns * rows * sections, offset=offset)
    return header, _Stored(values.reshape(sections, rows, columns), mapping)


def _ordered(header: _Header, stored: np.ndarray) -> np.ndarray:
    """Values as [c, b, a], whatever order the file has them in."""
    column, row, section = header.axes
    place = {column: 2, row: 1, section: 0}
    return stored.transpose(place[2], place[1], place[0])


def _bounds(cell: tuple[float, ...], grid: tuple[int, ...], box: Box) -> tuple[list[float], list[float]]:
    """First and last grid coordinates of a cube about a place, in the whole grid."""
    to_grid = np.array(gemmi.UnitCell(*cell).frac.mat.tolist()) * np.array(grid)[:, None]
    middle = to_grid @ np.array(box.centre)
    reach = np.abs(to_grid).sum(axis=1) * box.radius
    return (middle - reach).tolist(), (middle + reach).tolist()


def ccp4_bytes(served: ServedMap) -> bytes:
    """The map as a CCP4 file of one byte a value."""
    values = served.values
    low = max(float(values.min()), served.mean - BELOW * served.sigma)
    high = min(float(values.max()), served.mean + ABOVE * served.sigma)
    if high <= low:
        high = low + 1e-6
    step = (high - low) / 255.0
    bytes_ = (np.rint((np.clip(values, low, high) - low) / step) - 128.0).astype(np.int8)
    nz, ny, nx = values.shape
    whole = [math.floor(s) for s in served.start]
    fractional = any(abs(s - w) > 1e-6 for s, w in zip(served.start, whole, strict=True))
    origin = (0.0, 0.0, 0.0)
    if fractional:
        origin = tuple(s * c / n for s, c, n in zip(served.start, served.cell, served.grid, strict=False))  # type: ignore[assignment]
    header = bytearray(1024)
    struct.pack_into("<10i", header, 0, nx, ny, nz, 0, *whole, *served.grid)
    struct.pack_into("<6f3i3f", header, 40, *served.cell, 1, 2, 3, low, high, served.mean)
    struct.pack_into("<i", header, 88, 1)
    struct.pack_into("<2i", header, 156, -128, 127)
    struct.pack_into("<3f", header, 196, *origin)
    header[208:212] = b"MAP "
    header[212:216] = bytes((0x44, 0x44, 0, 0))
    struct.pack_into("<f", header, 216, served.sigma)
    return bytes(header) + bytes_.tobytes()


def section(path: Path, axis: int, fraction: float = 0.5, *, most: int = 400) -> NDArray[np.uint8]:
    """One plane of a map as grey values, averaged over blocks until no edge has more than `most` points.

    Parameters
    ----------
    axis : 0, 1, 2: perpendicular to x, y or z.
    fraction : how far along that axis.
    """
    header, stored = _open(path)
    values = _ordered(header, stored.values)
    n = values.shape[2 - axis]
    at = min(max(round(fraction * (n - 1)), 0), n - 1)
    if axis == 2:
        plane = np.array(values[at], dtype=np.float32)
    else:
        plane = np.empty((values.shape[0], values.shape[1 + axis]), dtype=np.float32)
        for z in range(0, len(plane), AT_A_TIME):
            plane[z : z + AT_A_TIME] = np.take(values[z : z + AT_A_TIME], at, axis=2 - axis)
            stored.forget()
    factor = max(1, math.ceil(max(plane.shape) / most))
    rows, columns = (max(1, size // factor) for size in plane.shape)
    plane = (
        plane[: rows * factor, : columns * factor].reshape(rows, -1, columns, min(factor, plane.shape[1])).mean((1, 3))
    )
    low, high = (float(v) for v in np.percentile(plane, (0.5, 99.8)))
    if high <= low:
        low, high = float(plane.min()), float(plane.max()) + 1e-6
    return np.rint(255 * np.clip((plane - low) / (high - low), 0, 1)).astype(np.uint8)
