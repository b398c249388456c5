"""Particle files of RELION (3.0 to 5) and CryoSPARC to `Particles`, and back as RELION 3.1 tables.

Columns and tables that `Particles` does not know travel along in `ParticleFile` and are written again.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from burnish.core.errors import DataError
from burnish.core.units import ANGSTROM_PER_MM, ANGSTROM_PER_UM, RAD_PER_DEG, RAD_PER_MRAD, VOLT_PER_KV
from burnish.data.optics import Defocus, OpticsGroup
from burnish.data.particles import Particles, Poses
from burnish.io.cryosparc import read_cryosparc
from burnish.io.distinct import distinct
from burnish.io.euler import euler_from_matrices, matrices_from_euler
from burnish.io.images import find_stack
from burnish.io.mrc import read_header
from burnish.io.star import StarFile, StarTable, make_table, read_star, write_star

_OPTICS_COLUMNS = ("rlnVoltage", "rlnSphericalAberration", "rlnAmplitudeContrast", "rlnBeamTiltX", "rlnBeamTiltY")
_OF_3_0 = (*_OPTICS_COLUMNS, "rlnMagnification", "rlnDetectorPixelSize", "rlnOriginX", "rlnOriginY", "rlnPixelSize")
_EULER = ("rlnAngleRot", "rlnAngleTilt", "rlnAnglePsi")


@dataclass(frozen=True, slots=True, kw_only=True)
class ParticleFile:
    """Particles with all that their file says beside.

    Attributes
    ----------
    particles : what Burnish works with.
    table : one row a particle, every column of the file.
    optics_table : one row an optics group, every column of the file; empty for files without.
    others : tables that are neither.
    path : the file.
    notes : what the reader could not carry over and the user should know.
    """

    particles: Particles
    table: StarTable
    optics_table: StarTable
    others: tuple[StarTable, ...]
    path: Path
    notes: tuple[str, ...] = ()


def read_particles(
    path: Path,
    *,
    pixel_size: float | None = None,
    box_size: int | None = None,
    amplitude_contrast: float | None = None,
    needs_defocus: bool = True,
) -> ParticleFile:
    """Read the particles of a RELION STAR file or a CryoSPARC .cs file.

    Parameters
    ----------
    path : `.star` of RELION 3.0, 3.1, 4 or 5, or `.cs`.
    pixel_size : of the images, Å, for files of RELION 3.0 that do not say; elsewhere the file's is used.
    box_size : of the images, pixels, for files that do not say and whose stacks are not at hand.
    amplitude_contrast : Q0 for files of RELION 3.0 that do not say; elsewhere the file's is used.
    needs_defocus : False lets particles without defocus pass (subtomograms), theirs being NaN.

    Raises
    ------
    DataError : not such a file, a column missing, a value that is no number; the message names file, table and row.
    """
    path = Path(path)
    if path.suffix == ".cs":
        found = read_cryosparc(path)
        table = StarTable(name="particles", columns={}, source=path)
        return ParticleFile(
            particles=found.particles,
            table=table,
            optics_table=_no_optics(path),
            others=(),
            path=path,
            notes=found.notes,
        )
    star = read_star(path)
    table = _particle_table(star)
    if len(table) == 0:
        raise DataError(f"{table.place()}: no particles in it")
    names = table.text("rlnImageName")
    stacks, stack, slice_index = _parse_image_names(table, names)
    optics_table = star["optics"] if "optics" in star else _no_optics(path)
    guess = _StackFacts(stacks[int(stack[0])], path)
    if len(optics_table):
        optics, optics_index = _read_optics(table, optics_table, guess, box_size)
    else:
        optics, optics_index = _optics_of_3_0(table, guess, pixel_size, box_size, amplitude_contrast)
    micrographs, micrograph = _micrographs(table, stacks, stack)
    half = table.ints("rlnRandomSubset", 0) - 1
    particles = Particles(
        stack=stack,
        slice_index=slice_index,
        stacks=stacks,
        optics=optics,
        optics_index=optics_index,
        defocus=_read_defocus(table, needs_defocus),
        poses=_read_poses(table, optics, optics_index),
        half_set=torch.from_numpy(np.where((half == 0) | (half == 1), half, -1)),
        micrograph=micrograph,
        micrographs=micrographs,
        group=_groups(table, micrograph),
        coordinate=torch.from_numpy(
            np.stack([table.floats(c, np.nan) for c in ("rlnCoordinateX", "rlnCoordinateY")], axis=1)
        ),
    )
    others = tuple(t for t in star if t is not table and t is not optics_table)
    return ParticleFile(particles=particles, table=table, optics_table=optics_table, others=others, path=path)


def write_particles(
    path: Path,
    file: ParticleFile,
    particles: Particles | None = None,
    *,
    rows: Sequence[int] | Tensor | None = None,
    columns: Mapping[str, Iterable[object]] | None = None,
    optics_columns: Mapping[str, Iterable[object]] | None = None,
) -> None:
    """Write particles as RELION 3.1 does, with every column and table that came with them.

    Parameters
    ----------
    path : of the new STAR file.
    file : what the particles were read with.
    particles : what to write now; those of `file` where None.
    rows : row of `file.table` that each of `particles` stems from, where some were left out or reordered.
    columns : further or changed columns, one value a particle.
    optics_columns : further or changed columns of the optics table, one value a group.
    """
    now = particles if particles is not None else file.particles
    kept = file.table if rows is None else file.table.take(int(r) for r in rows)
    if kept.columns and len(kept) != len(now):
        raise ValueError(f"{len(now)} particles for {len(kept)} rows: say which rows they stem from")
    table, numbers = _particle_columns(kept, file.optics_table, now)
    table = table.with_columns(columns or {}, drop=_OF_3_0)
    optics = _optics_columns(file.optics_table, now.optics, numbers)
    tables = [t for t in file.others if t.name == "general"]
    tables += [optics.with_columns(optics_columns or {}), StarTable(name="particles", columns=table.columns)]
    tables += [t for t in file.others if t.name != "general"]
    write_star(path, tables)


def write_new_particles(path: Path, particles: Particles) -> None:
    """Write particles that come from no file as RELION 3.1 does."""
    empty = StarTable(name="particles", columns={})
    file = ParticleFile(particles=particles, table=empty, optics_table=_no_optics(path), others=(), path=path)
    write_particles(path, file)


@dataclass(frozen=True)
class _StackFacts:
    """Facts that only the header of the first stack may hold; the file is opened when they are asked for."""

    stack: str
    star: Path

    def pixel_size(self) -> float | None:
        found = find_stack(self.stack, self.star)
        voxel = read_header(found).voxel_size[0] if found else 0.0
        return voxel if voxel > 0 else None

    def box_size(self) -> int | None:
        found = find_stack(self.stack, self.star)
        return read_header(found).shape[2] if found else None


def _no_optics(path: Path) -> StarTable:
    return StarTable(name="optics", columns={}, source=path)


def _particle_table(star: StarFile) -> StarTable:
    for name in ("particles", "images", "Particles", ""):
        if name in star and "rlnImageName" in star[name]:
            return star[name]
    for table in star:
        if "rlnImageName" in table:
            return table
    found = ", ".join(f"'{t.name}'" for t in star)
    raise DataError(f"{star.source}: no table has a column rlnImageName (tables here: {found}); expected particles")


def _parse_image_names(table: StarTable, names: Sequence[str]) -> tuple[tuple[str, ...], Tensor, Tensor]:
    """Split `000001@stack.mrcs`; a name without number is a file that holds one image."""
    known: dict[str, int] = {}
    stack, index = np.empty(len(names), np.int64), np.empty(len(names), np.int64)
    for row, name in enumerate(names):
        number, at, file = name.partition("@")
        if not at:
            number, file = "1", name
        if not number.isdigit() or int(number) < 1 or not file:
            raise DataError(f"{table.place(row)}: rlnImageName is '{name}', expected number@stack with number from 1")
        stack[row], index[row] = known.setdefault(file, len(known)), int(number) - 1
    return tuple(known), torch.from_numpy(stack), torch.from_numpy(index)


def _read_optics(
    table: StarTable, optics: StarTable, guess: _StackFacts, box_size: int | None
) -> tuple[tuple[OpticsGroup, ...], Tensor]:
    numbers = optics.ints("rlnOpticsGroup")
    if "rlnOpticsGroup" in table:
        given = table.ints("rlnOpticsGroup")
    elif len(numbers) == 1:
        given = np.full(len(table), numbers[0])
    else:
        raise DataError(f"{table.place()}: no column rlnOpticsGroup, but there are {len(numbers)} optics groups")
    row_of = {int(n): i for i, n in enumerate(numbers)}
    missing = np.flatnonzero(~np.isin(given, numbers))
    if len(missing):
        row = int(missing[0])
        raise DataError(f"{table.place(row)}: rlnOpticsGroup {given[row]} is not in the table of optics groups")
    index = torch.tensor([row_of[int(g)] for g in given])
    pixel = "rlnImagePixelSize" if "rlnImagePixelSize" in optics else "rlnTomoTiltSeriesPixelSize"
    pixels, volts = optics.floats(pixel), optics.floats("rlnVoltage")
    cs, q0 = optics.floats("rlnSphericalAberration"), optics.floats("rlnAmplitudeContrast")
    boxes = optics.ints("rlnImageSize") if "rlnImageSize" in optics else [_box(guess, box_size, optics)] * len(optics)
    tilt_x, tilt_y = (optics.floats(c, 0.0) for c in ("rlnBeamTiltX", "rlnBeamTiltY"))
    magnification = [optics.floats(f"rlnMagMat{ij}", float(ij in ("00", "11"))) for ij in ("00", "01", "10", "11")]
    groups = []
    for i in range(len(optics)):
        if pixels[i] <= 0 or volts[i] <= 0:
            raise DataError(
                f"{optics.place(i)}: pixel size {pixels[i]:g} Å at {volts[i]:g} kV, expected positive numbers"
            )
        groups.append(
            OpticsGroup(
                name=optics.text("rlnOpticsGroupName")[i]
                if "rlnOpticsGroupName" in optics
                else f"opticsGroup{numbers[i]}",
                voltage=float(volts[i] * VOLT_PER_KV),
                spherical_aberration=float(cs[i] * ANGSTROM_PER_MM),
                amplitude_contrast=float(q0[i]),
                pixel_size=float(pixels[i]),
                box_size=int(boxes[i]),
                beam_tilt=(float(tilt_x[i] * RAD_PER_MRAD), float(tilt_y[i] * RAD_PER_MRAD)),
                odd_zernike=_numbers_in_brackets(optics, "rlnOddZernike", i),
                even_zernike=_numbers_in_brackets(optics, "rlnEvenZernike", i),
                magnification=torch.tensor([m[i] for m in magnification], dtype=torch.float64).reshape(2, 2),
            )
        )
    return tuple(groups), index


def _box(guess: _StackFacts, given: int | None, table: StarTable) -> int:
    box = given or guess.box_size()
    if box is None:
        raise DataError(f"{table.place()}: no rlnImageSize, and stack {guess.stack} is not at hand; give the box size")
    return box


def _numbers_in_brackets(table: StarTable, column: str, row: int) -> tuple[float, ...] | None:
    if column not in table:
        return None
    text = table.text(column)[row]
    try:
        return tuple(float(x) for x in text.strip("[]()").split(",") if x.strip())
    except ValueError:
        raise DataError(f"{table.place(row)}: {column} is '{text}', expected numbers as [0.1,0.2]") from None


def _optics_of_3_0(
    table: StarTable, guess: _StackFacts, pixel_size: float | None, box_size: int | None, q0: float | None
) -> tuple[tuple[OpticsGroup, ...], Tensor]:
    """One group for each set of microscope values that the rows hold: RELION 3.0 has no optics table."""
    absent = {"rlnAmplitudeContrast": q0, "rlnBeamTiltX": 0.0, "rlnBeamTiltY": 0.0}
    values = np.stack([table.floats(c, absent.get(c)) for c in _OPTICS_COLUMNS], axis=1)
    if pixel_size is not None:
        pixels = np.full(len(table), pixel_size)
    elif "rlnMagnification" in table and "rlnDetectorPixelSize" in table:
        pixels = table.floats("rlnDetectorPixelSize") * ANGSTROM_PER_UM / table.floats("rlnMagnification")
    elif "rlnPixelSize" in table:
        pixels = table.floats("rlnPixelSize")
    else:
        from_header = guess.pixel_size()
        if from_header is None:
            raise DataError(f"{table.place()}: neither rlnMagnification nor a stack says the pixel size; give --angpix")
        pixels = np.full(len(table), from_header)
    box = _box(guess, box_size, table)
    distinct, index = np.unique(np.column_stack([values, pixels.round(6)]), axis=0, return_inverse=True)
    if np.any(distinct[:, [0, 5]] <= 0):
        raise DataError(f"{table.place()}: voltage and pixel size must be positive in every row")
    groups = tuple(
        OpticsGroup(
            name=f"opticsGroup{i + 1}",
            voltage=float(kv) * VOLT_PER_KV,
            spherical_aberration=float(cs) * ANGSTROM_PER_MM,
            amplitude_contrast=float(contrast),
            pixel_size=float(pixel),
            box_size=box,
            beam_tilt=(float(tx) * RAD_PER_MRAD, float(ty) * RAD_PER_MRAD),
        )
        for i, (kv, cs, contrast, tx, ty, pixel) in enumerate(distinct)
    )
    return groups, torch.from_numpy(index.reshape(-1).astype(np.int64))


def _read_defocus(table: StarTable, needed: bool) -> Defocus:
    if needed or "rlnDefocusU" in table:
        u, v = table.floats("rlnDefocusU"), table.floats("rlnDefocusV")
        angle = table.floats("rlnDefocusAngle")
    else:
        u, v, angle = (np.full(len(table), np.nan) for _ in range(3))
    columns = (u, v, angle * RAD_PER_DEG, table.floats("rlnPhaseShift", 0.0) * RAD_PER_DEG)
    more = (table.floats("rlnCtfBfactor", 0.0), table.floats("rlnCtfScalefactor", 1.0))
    names = ("u", "v", "angle", "phase_shift", "b_factor", "scale")
    return Defocus(**{n: torch.from_numpy(c) for n, c in zip(names, (*columns, *more), strict=True)})


def _read_poses(table: StarTable, optics: tuple[OpticsGroup, ...], index: Tensor) -> Poses | None:
    if any(c not in table for c in _EULER):
        return None
    rotation = matrices_from_euler(*(table.floats(c) for c in _EULER))
    if "rlnOriginXAngst" in table:
        shift = np.stack([table.floats("rlnOriginXAngst"), table.floats("rlnOriginYAngst")], axis=1)
    else:  # RELION 3.0: pixels
        pixel = np.array([g.pixel_size for g in optics])[index.numpy()]
        shift = np.stack([table.floats("rlnOriginX", 0.0), table.floats("rlnOriginY", 0.0)], axis=1) * pixel[:, None]
    return Poses(rotation=rotation, shift=torch.from_numpy(shift))


def _micrographs(table: StarTable, stacks: tuple[str, ...], stack: Tensor) -> tuple[tuple[str, ...], Tensor]:
    for column in ("rlnMicrographName", "rlnTomoName"):
        if column in table:
            return distinct(table.text(column))
    return stacks, stack


def _groups(table: StarTable, micrograph: Tensor) -> Tensor:
    for column in ("rlnGroupNumber", "rlnGroupName"):
        if column in table:
            return distinct(table.text(column))[1]
    return micrograph  # RELION makes one group a micrograph


def _particle_columns(kept: StarTable, optics_table: StarTable, now: Particles) -> tuple[StarTable, list[int]]:
    """The kept columns with those of `now` in their place, and the number of each optics group."""
    numbers = list(range(1, len(now.optics) + 1))
    if len(optics_table) == len(now.optics):
        numbers = [int(n) for n in optics_table.ints("rlnOpticsGroup")]
    stacks, index = now.stack.tolist(), now.slice_index.tolist()
    old = kept.columns.get("rlnImageName")
    names = [f"{i + 1:06d}@{now.stacks[s]}" for s, i in zip(stacks, index, strict=True)]
    if old is not None:  # as it stood, where it says the same: leading zeros, files without a number
        names = [o if _same_image(o, n) else n for o, n in zip(old, names, strict=True)]
    changes: dict[str, Iterable[object]] = {}
    if "rlnMicrographName" in kept or "rlnTomoName" not in kept:
        changes["rlnMicrographName"] = [now.micrographs[m] for m in now.micrograph.tolist()]
    known = ~torch.isnan(now.coordinate)
    if bool(known.all()):
        changes["rlnCoordinateX"], changes["rlnCoordinateY"] = (
            now.coordinate[:, 0].tolist(),
            now.coordinate[:, 1].tolist(),
        )
    changes["rlnImageName"] = names
    changes["rlnOpticsGroup"] = [numbers[g] for g in now.optics_index.tolist()]
    changes |= _defocus_columns(kept, now.defocus)
    if now.poses is not None:
        changes |= dict(zip(_EULER, euler_from_matrices(now.poses.rotation), strict=True))
        changes["rlnOriginXAngst"], changes["rlnOriginYAngst"] = now.poses.shift.T.tolist()
    if bool((now.half_set >= 0).any()):
        changes["rlnRandomSubset"] = (now.half_set + 1).tolist()
    if "rlnGroupNumber" not in kept and "rlnGroupName" not in kept:
        changes["rlnGroupNumber"] = (now.group + 1).tolist()
    return kept.with_columns(changes), numbers


def _defocus_columns(kept: StarTable, defocus: Defocus) -> dict[str, Iterable[object]]:
    if bool(torch.isnan(defocus.u).any()):
        return {}
    columns: dict[str, Iterable[object]] = {
        "rlnDefocusU": defocus.u.tolist(),
        "rlnDefocusV": defocus.v.tolist(),
        "rlnDefocusAngle": (defocus.angle / RAD_PER_DEG).tolist(),
    }
    for name, values, neutral in (
        ("rlnPhaseShift", defocus.phase_shift / RAD_PER_DEG, 0.0),
        ("rlnCtfBfactor", defocus.b_factor, 0.0),
        ("rlnCtfScalefactor", defocus.scale, 1.0),
    ):
        if name in kept or bool((values != neutral).any()):
            columns[name] = values.tolist()
    return columns


def _same_image(old: str, new: str) -> bool:
    number, at, file = old.partition("@")
    if not at:
        number, file = "1", old
    new_number, _, new_file = new.partition("@")
    return file == new_file and int(number) == int(new_number)


def _optics_columns(kept: StarTable, optics: tuple[OpticsGroup, ...], numbers: list[int]) -> StarTable:
    known = kept if len(kept) == len(optics) else make_table("optics", {})
    changes: dict[str, Iterable[object]] = {
        "rlnOpticsGroupName": [g.name for g in optics],
        "rlnOpticsGroup": numbers,
        "rlnVoltage": [g.voltage / VOLT_PER_KV for g in optics],
        "rlnSphericalAberration": [g.spherical_aberration / ANGSTROM_PER_MM for g in optics],
        "rlnAmplitudeContrast": [g.amplitude_contrast for g in optics],
        "rlnImagePixelSize": [g.pixel_size for g in optics],
        "rlnImageSize": [g.box_size for g in optics],
    }
    if "rlnImageDimensionality" not in known:
        changes["rlnImageDimensionality"] = [2 for _ in optics]
    if "rlnBeamTiltX" in known or any(any(g.beam_tilt) for g in optics):
        for axis, name in enumerate(("rlnBeamTiltX", "rlnBeamTiltY")):
            changes[name] = [g.beam_tilt[axis] / RAD_PER_MRAD for g in optics]
    for name, zernikes in (
        ("rlnOddZernike", [g.odd_zernike for g in optics]),
        ("rlnEvenZernike", [g.even_zernike for g in optics]),
    ):
        if any(z is not None for z in zernikes):
            longest = max(len(z or ()) for z in zernikes)
            padded = [(*(z or ()), *(0.0,) * (longest - len(z or ()))) for z in zernikes]
            changes[name] = ["[" + ",".join(f"{x:.12g}" for x in z) + "]" for z in padded]
    identity = torch.eye(2, dtype=torch.float64)
    if "rlnMagMat00" in known or any(not torch.equal(g.magnification.to(identity), identity) for g in optics):
        for i in range(2):
            for j in range(2):
                changes[f"rlnMagMat{i}{j}"] = [float(g.magnification[i, j]) for g in optics]
    return StarTable(name="optics", columns=known.with_columns(changes).columns)
